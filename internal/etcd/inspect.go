package etcd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"os"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/schema"
)

// Content of a snapshot, read from the file itself: what a member says of itself at another moment may be newer.
type Content struct {
	// Revision of the store.
	Revision int64
	// Compacted is the revision up to which history is gone; 0 for none.
	Compacted int64
	// Keys that exist at Revision.
	Keys  int
	Bytes int64
}

// Inspect reads a whole snapshot, checks the structure of the database in it, and tells its content. It does not compare the SHA-256 at its
// end. It opens the file read-only and leaves it as it is.
func Inspect(ctx context.Context, file string) (c Content, err error) {
	info, err := os.Stat(file)
	if err != nil {
		return c, fmt.Errorf("inspect snapshot: %w", err)
	}
	c.Bytes = info.Size()
	// A file that is shorter than its pages say faults on access, and a damaged page panics in bbolt.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("inspect snapshot %s: it is damaged: %v", file, r)
		}
	}()
	db, err := bolt.Open(file, 0, &bolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return c, fmt.Errorf("inspect snapshot %s: %w", file, err)
	}
	defer db.Close()
	err = db.View(func(tx *bolt.Tx) error {
		if tx.Size() > c.Bytes {
			return fmt.Errorf("the database has %d bytes, and the file %d", tx.Size(), c.Bytes)
		}
		if err := tx.ForEach(func(name []byte, b *bolt.Bucket) error { return walk(ctx, name, b) }); err != nil {
			return err
		}
		return c.read(tx)
	})
	if err != nil {
		return c, fmt.Errorf("inspect snapshot %s: %w", file, err)
	}
	return c, nil
}

// walk visits every page that a bucket uses, on which bbolt panics when it is not the page that it should be, and finds keys out of order, as in
// a page that is there twice. It stands in for bbolt's own check, which runs in a goroutine where such a panic would end the process.
func walk(ctx context.Context, name []byte, b *bolt.Bucket) error {
	var last []byte
	n := 0
	return b.ForEach(func(k, _ []byte) error {
		if n++; n > 1 && bytes.Compare(last, k) >= 0 {
			return fmt.Errorf("bucket %q: key %x comes after %x", name, k, last)
		}
		last = k
		return ctx.Err()
	})
}

func (c *Content) read(tx *bolt.Tx) error {
	keys, meta := tx.Bucket(schema.Key.Name()), tx.Bucket(schema.Meta.Name())
	if keys == nil || meta == nil {
		return errors.New("it is not an etcd database: the buckets key and meta are not there")
	}
	live := map[uint64]struct{}{}
	seed := maphash.MakeSeed()
	var kv mvccpb.KeyValue
	if err := keys.ForEach(func(k, v []byte) error {
		revision := mvcc.BytesToBucketKey(k)
		c.Revision = max(c.Revision, revision.Main)
		kv.Reset()
		if err := kv.Unmarshal(v); err != nil {
			return fmt.Errorf("read the value at revision %d: %w", revision.Main, err)
		}
		switch {
		case mvcc.IsTombstone(k):
			delete(live, maphash.Bytes(seed, kv.Key))
		case len(kv.Key) > 0: // a revision bump leaves an empty entry
			live[maphash.Bytes(seed, kv.Key)] = struct{}{}
		}
		return nil
	}); err != nil {
		return err
	}
	c.Keys = len(live)
	// A compaction may have removed the newest entry, a deletion; the store's revision is not below it for that.
	for _, name := range [][]byte{schema.ScheduledCompactKeyName, schema.FinishedCompactKeyName} {
		if v := meta.Get(name); v != nil {
			c.Compacted = max(c.Compacted, mvcc.BytesToRev(v).Main)
		}
	}
	c.Revision = max(c.Revision, c.Compacted)
	return nil
}
