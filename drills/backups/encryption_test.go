package backups

import (
	"crypto/aes"
	"encoding/base64"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"k8s.io/apiserver/pkg/storage/value"
	aescbc "k8s.io/apiserver/pkg/storage/value/encrypt/aes"
	"k8s.io/apiserver/pkg/storage/value/encrypt/secretbox"
)

// secretStore is a snapshot with one Secret, as it is stored.
func secretStore(t *testing.T, stored []byte) string {
	file := filepath.Join(t.TempDir(), "snapshot.db")
	db, err := bolt.Open(file, 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bolt.Tx) error {
		bucket, err := tx.CreateBucket(schema.Key.Name())
		require.NoError(t, err)
		kv := mvccpb.KeyValue{Key: []byte(storedSecret), Value: stored}
		content, err := kv.Marshal()
		require.NoError(t, err)
		return bucket.Put(mvcc.RevToBytes(mvcc.Revision{Main: 2}, mvcc.NewRevBytes()), content)
	}))
	require.NoError(t, db.Close())
	return file
}

const storedSecret = "/registry/secrets/shop/orders-db"

// encryptionConfig with one key.
func encryptionConfig(cipher, name, key string) []byte {
	return fmt.Appendf(nil, "kind: EncryptionConfiguration\nresources: [{resources: [secrets], providers: [{%s: {keys: [{name: %s, secret: %s}]}}, {identity: {}}]}]",
		cipher, name, base64.StdEncoding.EncodeToString([]byte(key)))
}

func TestCheckEncryption(t *testing.T) {
	key, other := strings.Repeat("a", 32), strings.Repeat("b", 32)
	block, err := aes.NewCipher([]byte(key))
	require.NoError(t, err)
	for cipher, transformer := range map[string]value.Transformer{
		"secretbox": secretbox.NewSecretboxTransformer([32]byte([]byte(key))),
		"aescbc":    aescbc.NewCBCTransformer(block),
	} {
		t.Run(cipher, func(t *testing.T) {
			text, err := transformer.TransformToStorage(t.Context(), []byte("k8s\x00a Secret of some length: with colons: in it"), value.DefaultContext(storedSecret))
			require.NoError(t, err)
			snapshot := secretStore(t, append([]byte("k8s:enc:"+cipher+":v1:key1:"), text...))
			check := func(config []byte) error { return checkEncryption(t.Context(), snapshot, config) }
			require.NoError(t, check(encryptionConfig(cipher, "key1", key)))
			for _, wrong := range []string{other, "short"} {
				require.EqualError(t, check(encryptionConfig(cipher, "key1", wrong)), "key key1 ("+cipher+") of encryption-config.yaml is not the one that "+
					"the snapshot's Secrets are encrypted with: it does not open "+storedSecret)
			}
			require.EqualError(t, check(encryptionConfig(cipher, "key2", key)), "encryption-config.yaml has no key key1 ("+cipher+"), with which the "+
				"snapshot's Secrets are encrypted: nobody can read them")
			require.EqualError(t, check([]byte("\tno: yaml")), "encryption-config.yaml is not YAML of an EncryptionConfiguration")
		})
	}
	t.Run("not to be told here", func(t *testing.T) {
		config := encryptionConfig("secretbox", "key1", key)
		for _, stored := range []string{"k8s\x00plain", "k8s:enc:kms:v2:plugin:text", ""} {
			require.NoError(t, checkEncryption(t.Context(), secretStore(t, []byte(stored)), config), stored)
		}
		require.NoError(t, checkEncryption(t.Context(), filepath.Join(t.TempDir(), "none"), config))
	})
}

func TestRetake(t *testing.T) {
	a := &Artifact{Dir: t.TempDir(), Name: "etcd-000"}
	require.NoError(t, a.Keep(MaterialFile("sa.key"), []byte("a key")))
	require.NoError(t, a.Keep(MaterialFile("sa.pub"), []byte("its public half")))
	require.NoError(t, a.Finish())
	require.NoError(t, a.Retake(MaterialFile("sa.key"), []byte("another")))
	require.NoError(t, a.Retake(MaterialFile("sa.pub"), nil))
	require.NoError(t, a.Verify(t.Context()))
	loaded, err := LoadArtifact(a.Dir)
	require.NoError(t, err)
	require.NoError(t, loaded.Verify(t.Context()))
	require.Contains(t, loaded.Files, "pki/sa.key")
	require.NotContains(t, loaded.Files, "pki/sa.pub")
	require.EqualError(t, a.Retake("pki/sa.pub", nil), "retake artifact etcd-000: it has no file pki/sa.pub")
}
