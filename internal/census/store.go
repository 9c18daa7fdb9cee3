package census

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/restore-drill/restore-drill/internal/evidence"
)

// Snapshot takes the census of an etcd snapshot, or of any bbolt file of a stopped etcd, and writes it to outFile: one entry
// for each key that is there at the newest revision, with the digest of its value's bytes. The file is opened read-only and
// never written to.
func Snapshot(ctx context.Context, dbFile, outFile string, key []byte) (_ Tail, err error) {
	if len(key) == 0 {
		return Tail{}, errors.New("take census of snapshot: the key of the digests is empty")
	}
	dir, err := os.MkdirTemp(filepath.Dir(outFile), "."+filepath.Base(outFile)+".runs-")
	if err != nil {
		return Tail{}, fmt.Errorf("take census of snapshot: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := openStore(ctx, dbFile, dir, key)
	if err != nil {
		return Tail{}, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	w, err := Create(outFile, Head{How: "the etcd snapshot, read offline", Revision: strconv.FormatInt(s.revision, 10)})
	if err != nil {
		return Tail{}, err
	}
	defer w.Abandon()
	for {
		k, err := s.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return Tail{}, err
		}
		err = w.Write(Entry{Key: string(k.name), Digest: hex.EncodeToString(k.digest), ResourceVersion: strconv.FormatInt(k.main, 10)})
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return Tail{}, err
		}
	}
	return w.Close(Tail{Resources: []string{"etcd"}})
}

// listedKeys of a StoreComparison are listed in each class; the rest is counted.
const listedKeys = 10000

// CompareSnapshots compares two etcd snapshots (or bbolt files of a stopped etcd) key by key, each at its newest revision.
// Both are opened read-only. Sorted runs that do not fit in memory go to tmpDir, and are removed; they hold digests, no values.
// Keys whose values differ as bytes are decoded: the same object in another encoding is equal.
func CompareSnapshots(ctx context.Context, beforeDB, afterDB, tmpDir string) (_ *evidence.StoreComparison, err error) {
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("compare snapshots: %w", err)
	}
	var stores [2]*store
	var errs [2]error
	dir, err := os.MkdirTemp(tmpDir, "compare-snapshots-")
	if err != nil {
		return nil, fmt.Errorf("compare snapshots: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var wg sync.WaitGroup
	for i, file := range []string{beforeDB, afterDB} {
		wg.Go(func() {
			runs := filepath.Join(dir, strconv.Itoa(i))
			if errs[i] = os.Mkdir(runs, 0o700); errs[i] == nil {
				stores[i], errs[i] = openStore(ctx, file, runs, key)
			}
		})
	}
	wg.Wait()
	for _, s := range stores {
		if s != nil {
			defer func() { err = errors.Join(err, s.close()) }()
		}
	}
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	return join(ctx, stores[0], stores[1])
}

// join two stores by their sorted keys.
func join(ctx context.Context, before, after *store) (*evidence.StoreComparison, error) {
	c := &evidence.StoreComparison{BeforeRevision: before.revision, AfterRevision: after.revision,
		Lost: []evidence.StoreKey{}, Extra: []evidence.StoreKey{}, Changed: []evidence.StoreKey{}}
	list := func(into *[]evidence.StoreKey, omitted *int, k evidence.StoreKey) {
		if len(*into) < listedKeys {
			*into = append(*into, k)
		} else {
			*omitted++
		}
	}
	b, errB := before.next()
	a, errA := after.next()
	for {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		for _, err := range []error{errB, errA} {
			if err != nil && err != io.EOF {
				return nil, err
			}
		}
		var order int
		switch {
		case errB == io.EOF && errA == io.EOF:
			return c, nil
		case errB == io.EOF:
			order = 1
		case errA == io.EOF:
			order = -1
		default:
			order = bytes.Compare(b.name, a.name)
		}
		switch {
		case order < 0:
			list(&c.Lost, &c.LostOmitted, evidence.StoreKey{Key: string(b.name), BeforeRevision: b.main, Encrypted: b.encrypted})
		case order > 0:
			list(&c.Extra, &c.ExtraOmitted, evidence.StoreKey{Key: string(a.name), AfterRevision: a.main, Encrypted: a.encrypted})
		case bytes.Equal(b.digest, a.digest):
			c.Equal++
		default:
			same, err := sameObject(before, b, after, a)
			if err != nil {
				return nil, err
			}
			if same {
				c.Equal++
				c.Reencoded++
				break
			}
			list(&c.Changed, &c.ChangedOmitted, evidence.StoreKey{Key: string(b.name), BeforeRevision: b.main, AfterRevision: a.main,
				Encrypted: b.encrypted || a.encrypted})
		}
		if order <= 0 {
			c.BeforeKeys++
			b, errB = before.next()
		}
		if order >= 0 {
			c.AfterKeys++
			a, errA = after.next()
		}
	}
}

// A store is a bbolt file of etcd whose keys have been read and sorted.
type store struct {
	file string
	db   *bolt.DB
	// revision is the newest in the file.
	revision int64
	keys     *sorter
	records  func() (key, rest []byte, err error)
	// ahead holds the record that was read to see that it is of another key.
	ahead   storedKey
	current []byte
	err     error
}

// A storedKey is a key of etcd with what its newest revision holds. It is valid until the next one is read.
type storedKey struct {
	name      []byte
	main, sub int64
	deleted   bool
	encrypted bool
	digest    []byte
}

var keyBucket = []byte("key")

// openStore reads all keys of a file. The caller closes the store.
func openStore(ctx context.Context, file, runs string, key []byte) (_ *store, err error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("open snapshot: %w", err)
	}
	if info.Size() == 0 {
		return nil, fmt.Errorf("read snapshot %s: it is empty", file) // bbolt would make a new one of it
	}
	s := &store{file: file, keys: newSorter(runs, info.Size())}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("read snapshot %s: %w", file, err), s.close())
		}
	}()
	if err := damageIsAnError(func() error { return s.open() }); err != nil {
		return nil, err
	}
	if err := damageIsAnError(func() error { return s.scan(ctx, newDigester(key)) }); err != nil {
		return nil, err
	}
	if s.records, err = s.keys.sorted(); err != nil {
		return nil, err
	}
	s.ahead, s.err = s.read()
	return s, nil
}

func (s *store) open() error {
	db, err := bolt.Open(s.file, 0o400, &bolt.Options{ReadOnly: true, Timeout: 10 * time.Second})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return errors.New("it is in use: a process holds its lock")
	}
	s.db = db
	return err
}

// damageIsAnError runs a reader of a bbolt file. bbolt trusts its file, so that a damaged one shows as a panic, or as a fault
// when pages lie behind its end.
func damageIsAnError(read func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it is damaged: %v", p)
		}
	}()
	return read()
}

// Flags of a record.
const (
	flagDeleted = 1 << iota
	flagEncrypted
)

var encryptedPrefix = []byte("k8s:enc:")

// scan gives every revision of every key to the sorter. They come in the order of revisions, and keep it within a key.
func (s *store) scan(ctx context.Context, digests *digester) error {
	return s.db.View(func(tx *bolt.Tx) error {
		bucket := tx.Bucket(keyBucket)
		if bucket == nil {
			return errors.New(`it has no bucket "key": it is no store of etcd`)
		}
		var last, rest []byte
		cursor := bucket.Cursor()
		n := 0
		for k, v := cursor.First(); k != nil; k, v = cursor.Next() {
			if n++; n%4096 == 0 && ctx.Err() != nil {
				return context.Cause(ctx)
			}
			main, sub, deleted, err := parseRevision(k)
			if err != nil {
				return fmt.Errorf("it is damaged: %w", err)
			}
			if bytes.Compare(last, k) >= 0 {
				return fmt.Errorf("it is damaged: revision %x follows %x", k, last)
			}
			last, s.revision = k, main
			if len(v) == 0 {
				continue // a restore marks the revision that it starts from so
			}
			name, value, err := parseKeyValue(v)
			if err != nil {
				return fmt.Errorf("it is damaged: at revision %d: %w", main, err)
			}
			var flags byte
			if deleted {
				flags |= flagDeleted
			}
			if bytes.HasPrefix(value, encryptedPrefix) {
				flags |= flagEncrypted
			}
			rest = binary.BigEndian.AppendUint64(rest[:0], uint64(main))
			rest = binary.BigEndian.AppendUint64(rest, uint64(sub))
			rest = append(rest, flags)
			if !deleted {
				rest = append(rest, digests.of(value)...)
			}
			if err := s.keys.add(name, rest); err != nil {
				return err
			}
		}
		return nil
	})
}

// read returns the next record.
func (s *store) read() (storedKey, error) {
	name, rest, err := s.records()
	if err != nil {
		return storedKey{}, err
	}
	return storedKey{name: name, main: int64(binary.BigEndian.Uint64(rest)), sub: int64(binary.BigEndian.Uint64(rest[8:])),
		deleted: rest[16]&flagDeleted != 0, encrypted: rest[16]&flagEncrypted != 0, digest: rest[17:]}, nil
}

// next returns the newest revision of the next key that is not deleted there, or io.EOF.
func (s *store) next() (storedKey, error) {
	for s.err == nil {
		// The sorter reuses what it returned, so the key at hand is kept apart while the next one is looked at.
		k := s.ahead
		s.current = append(append(s.current[:0], k.name...), k.digest...)
		k.name, k.digest = s.current[:len(k.name):len(k.name)], s.current[len(k.name):]
		s.ahead, s.err = s.read()
		if s.err == nil && bytes.Equal(k.name, s.ahead.name) || k.deleted {
			continue
		}
		return k, nil
	}
	return storedKey{}, s.err
}

// value fetches what a key holds. It is valid until the store is closed.
func (s *store) value(k storedKey) (value []byte, err error) {
	err = damageIsAnError(func() error {
		return s.db.View(func(tx *bolt.Tx) error {
			v := tx.Bucket(keyBucket).Get(revisionKey(k.main, k.sub))
			_, found, err := parseKeyValue(v)
			value = bytes.Clone(found)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read snapshot %s: key %s: %w", s.file, k.name, err)
	}
	return value, nil
}

func (s *store) close() error {
	errs := []error{s.keys.close()}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	return errors.Join(errs...)
}

// revisionKey spells a revision as etcd does: main_sub, big-endian. A tombstone has a t behind it.
func revisionKey(main, sub int64) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 18), uint64(main))
	return binary.BigEndian.AppendUint64(append(b, '_'), uint64(sub))
}

func parseRevision(k []byte) (main, sub int64, deleted bool, err error) {
	deleted = len(k) == 18 && k[17] == 't'
	if len(k) != 17 && !deleted || k[8] != '_' {
		return 0, 0, false, fmt.Errorf("%x is no revision", k)
	}
	main, sub = int64(binary.BigEndian.Uint64(k)), int64(binary.BigEndian.Uint64(k[9:17]))
	if main < 0 || sub < 0 {
		return 0, 0, false, fmt.Errorf("%x is no revision", k)
	}
	return main, sub, deleted, nil
}

// Fields of etcd's message mvccpb.KeyValue.
const (
	keyField   = 1
	valueField = 5
)

var errKeyValue = errors.New("the message is malformed")

// parseKeyValue finds the key and the value in an encoded mvccpb.KeyValue, in place.
func parseKeyValue(b []byte) (key, value []byte, err error) {
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, nil, errKeyValue
		}
		b = b[n:]
		number, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, nil, errKeyValue
		}
		b = b[n:]
		switch tag & 7 {
		case 0: // a number, of no interest
		case 2:
			if number > uint64(len(b)) {
				return nil, nil, errKeyValue
			}
			switch tag >> 3 {
			case keyField:
				key = b[:number:number]
			case valueField:
				value = b[:number:number]
			}
			b = b[number:]
		default:
			return nil, nil, errKeyValue
		}
	}
	if len(key) == 0 {
		return nil, nil, errors.New("the message has no key")
	}
	return key, value, nil
}
