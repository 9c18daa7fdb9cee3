package etcd

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"golang.org/x/sync/errgroup"
)

// Keys that are written to strain a store lie outside of what Kubernetes reads.
const (
	ballast = "restore-drill/ballast/"
	probe   = "restore-drill/probe"
)

// ExhaustQuota writes into a store whose quota is used up until that is noticed, and the alarm raised.
func ExhaustQuota(ctx context.Context, endpoints []string, tlsConfig *tls.Config) error {
	client, err := Connect(endpoints, tlsConfig)
	if err != nil {
		return err
	}
	defer client.Close()
	if _, err := client.Put(ctx, probe, ""); !errors.Is(err, rpctypes.ErrNoSpace) {
		return errors.Join(errors.New("the store still takes writes: its quota is not used up"), err)
	}
	return nil
}

// Fragment writes so many MiB, deletes them, and compacts: their pages stay in the members' files.
func Fragment(ctx context.Context, endpoints []string, tlsConfig *tls.Config, mib int) error {
	client, err := Connect(endpoints, tlsConfig)
	if err != nil {
		return err
	}
	defer client.Close()
	noise := make([]byte, 1<<20)
	rand.Read(noise)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for i := range mib {
		g.Go(func() error {
			_, err := client.Put(gctx, fmt.Sprint(ballast, i), string(noise))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("write ballast: %w", err)
	}
	deleted, err := client.Delete(ctx, ballast, clientv3.WithPrefix())
	if err != nil {
		return fmt.Errorf("delete ballast: %w", err)
	}
	if _, err := client.Compact(ctx, deleted.Header.Revision, clientv3.WithCompactPhysical()); err != nil {
		return fmt.Errorf("compact ballast: %w", err)
	}
	return nil
}

// PutProbe writes the key that Diverge changes.
func PutProbe(ctx context.Context, endpoints []string, tlsConfig *tls.Config) error {
	client, err := Connect(endpoints, tlsConfig)
	if err != nil {
		return err
	}
	defer client.Close()
	if _, err := client.Put(ctx, probe, "the same everywhere"); err != nil {
		return fmt.Errorf("write %s: %w", probe, err)
	}
	return nil
}

// Diverge changes what PutProbe wrote in a stopped member's data directory, at the revision at which it was written.
func Diverge(dataDir string) error {
	file := filepath.Join(dataDir, "member", "snap", "db")
	db, err := bolt.Open(file, 0o600, &bolt.Options{Timeout: time.Second})
	if err != nil {
		return fmt.Errorf("change database %s: %w", file, err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		keys := tx.Bucket(schema.Key.Name())
		if keys == nil {
			return errors.New("it is not an etcd database")
		}
		var kv mvccpb.KeyValue
		for c, revision, value := newest(keys); revision != nil; revision, value = c.Prev() {
			kv.Reset()
			if err := kv.Unmarshal(value); err != nil {
				return err
			}
			if string(kv.Key) != probe {
				continue
			}
			kv.Value = []byte("something else")
			changed, err := kv.Marshal()
			if err != nil {
				return err
			}
			return keys.Put(revision, changed)
		}
		return fmt.Errorf("it does not hold %s", probe)
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("change database %s: %w", file, err)
	}
	return nil
}

func newest(keys *bolt.Bucket) (c *bolt.Cursor, revision, value []byte) {
	c = keys.Cursor()
	revision, value = c.Last()
	return c, revision, value
}
