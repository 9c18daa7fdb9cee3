package etcd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/schema"
)

// Newest reads the newest key and value under a prefix that a snapshot has, from the end of its history; an empty key says that there is none. It
// opens the file read-only and leaves it as it is.
func Newest(ctx context.Context, file, prefix string) (key string, value []byte, err error) {
	// A file that is shorter than its pages say faults on access, and a damaged page panics in bbolt.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("read snapshot %s: it is damaged: %v", file, r)
		}
	}()
	db, err := bolt.Open(file, 0, &bolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return "", nil, fmt.Errorf("read snapshot %s: %w", file, err)
	}
	defer db.Close()
	err = db.View(func(tx *bolt.Tx) error {
		bucket := tx.Bucket(schema.Key.Name())
		if bucket == nil {
			return errors.New("it is not an etcd database: the bucket key is not there")
		}
		deleted := map[string]bool{}
		var kv mvccpb.KeyValue
		cursor := bucket.Cursor()
		for k, v := cursor.Last(); k != nil; k, v = cursor.Prev() {
			if err := ctx.Err(); err != nil {
				return err
			}
			kv.Reset()
			if err := kv.Unmarshal(v); err != nil {
				return fmt.Errorf("read the value at revision %d: %w", mvcc.BytesToBucketKey(k).Main, err)
			}
			switch {
			case !bytes.HasPrefix(kv.Key, []byte(prefix)) || deleted[string(kv.Key)]:
			case mvcc.IsTombstone(k):
				deleted[string(kv.Key)] = true
			default:
				key, value = string(kv.Key), bytes.Clone(kv.Value)
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return "", nil, fmt.Errorf("read snapshot %s: %w", file, err)
	}
	return key, value, nil
}
