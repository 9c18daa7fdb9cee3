package etcd

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/schema"
)

// history is a store with one write or deletion (an empty value) a revision.
func history(t *testing.T, writes ...[2]string) string {
	file := filepath.Join(t.TempDir(), "snapshot.db")
	db, err := bolt.Open(file, 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bolt.Tx) error {
		bucket, err := tx.CreateBucket(schema.Key.Name())
		require.NoError(t, err)
		for i, w := range writes {
			kv := mvccpb.KeyValue{Key: []byte(w[0]), Value: []byte(w[1])}
			value, err := kv.Marshal()
			require.NoError(t, err)
			key := mvcc.RevToBytes(mvcc.Revision{Main: int64(i + 2)}, mvcc.NewRevBytes())
			if w[1] == "" {
				key = append(key, 't')
			}
			require.NoError(t, bucket.Put(key, value))
		}
		return nil
	}))
	require.NoError(t, db.Close())
	return file
}

func TestNewest(t *testing.T) {
	file := history(t, [2]string{"/secrets/a", "1"}, [2]string{"/secrets/b", "2"}, [2]string{"/secrets/a", "3"}, [2]string{"/secrets/b", ""}, [2]string{"/pods/x", "4"})
	key, value, err := Newest(t.Context(), file, "/secrets/")
	require.NoError(t, err)
	require.Equal(t, "/secrets/a", key)
	require.Equal(t, "3", string(value))
	key, value, err = Newest(t.Context(), file, "/secrets/b")
	require.NoError(t, err)
	require.Empty(t, key, "what was deleted is not there, whatever it was before")
	require.Empty(t, value)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = Newest(ctx, file, "/secrets/")
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, os.WriteFile(file, []byte("no database"), 0o600))
	_, _, err = Newest(t.Context(), file, "/secrets/")
	require.ErrorContains(t, err, "read snapshot "+file)
}
