package backups

import (
	"bytes"
	"context"
	"crypto/aes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	apiserverv1 "k8s.io/apiserver/pkg/apis/apiserver/v1"
	"k8s.io/apiserver/pkg/storage/value"
	aescbc "k8s.io/apiserver/pkg/storage/value/encrypt/aes"
	"k8s.io/apiserver/pkg/storage/value/encrypt/secretbox"
	"sigs.k8s.io/yaml"

	"github.com/restore-drill/restore-drill/internal/etcd"
)

// checkEncryption decrypts the newest Secret of a snapshot, whose key is in the configuration or nowhere. Ciphers whose key lies elsewhere, as
// that of a KMS does, and snapshots that cannot be read are for others to judge. It quotes no key and no Secret.
func checkEncryption(ctx context.Context, snapshot string, config []byte) error {
	stored, encrypted, err := etcd.Newest(ctx, snapshot, "/registry/secrets/")
	if err != nil {
		return nil
	}
	// k8s:enc:CIPHER:v1:KEY:CIPHERTEXT
	parts := strings.SplitN(string(encrypted), ":", 6)
	if len(parts) != 6 || parts[0] != "k8s" || parts[1] != "enc" {
		return nil
	}
	cipher, name := parts[2], parts[4]
	var configured apiserverv1.EncryptionConfiguration
	if err := yaml.Unmarshal(config, &configured); err != nil {
		return fmt.Errorf("%s is not YAML of an EncryptionConfiguration", encryptionFile)
	}
	var keys []apiserverv1.Key
	for _, resource := range configured.Resources {
		for _, p := range resource.Providers {
			switch {
			case cipher == "secretbox" && p.Secretbox != nil:
				keys = append(keys, p.Secretbox.Keys...)
			case cipher == "aescbc" && p.AESCBC != nil:
				keys = append(keys, p.AESCBC.Keys...)
			}
		}
	}
	if cipher != "secretbox" && cipher != "aescbc" {
		return nil
	}
	i := slices.IndexFunc(keys, func(k apiserverv1.Key) bool { return k.Name == name })
	if i < 0 {
		return fmt.Errorf("%s has no key %s (%s), with which the snapshot's Secrets are encrypted: nobody can read them", encryptionFile, name, cipher)
	}
	if decrypt(ctx, cipher, keys[i].Secret, stored, []byte(parts[5])) != nil {
		return fmt.Errorf("key %s (%s) of %s is not the one that the snapshot's Secrets are encrypted with: it does not open %s", name, cipher, encryptionFile, stored)
	}
	return nil
}

func decrypt(ctx context.Context, cipher, secret, stored string, text []byte) error {
	key, err := base64.StdEncoding.DecodeString(secret)
	if err != nil {
		return err
	}
	var open value.Read
	switch cipher {
	case "secretbox":
		if len(key) != 32 {
			return fmt.Errorf("the key has %d bytes", len(key))
		}
		open = secretbox.NewSecretboxTransformer([32]byte(key))
	default:
		block, err := aes.NewCipher(key)
		if err != nil {
			return err
		}
		open = aescbc.NewCBCTransformer(block)
	}
	plain, _, err := open.TransformFromStorage(ctx, text, value.DefaultContext(stored))
	// AES-CBC takes one wrong key in 256 for a right one.
	if err == nil && !bytes.HasPrefix(plain, []byte("k8s\x00")) && !bytes.HasPrefix(plain, []byte("{")) {
		err = errors.New("what comes out is no object")
	}
	return err
}
