package faults

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"

	apiserverv1 "k8s.io/apiserver/pkg/apis/apiserver/v1"
	"sigs.k8s.io/yaml"

	"github.com/restore-drill/restore-drill/internal/pki"
)

// EncryptionKeyChanged is a backup whose encryption configuration is not that of its snapshot: it was copied from a sister cluster, or after a key
// rotation that dropped the old key. The key has the right name and the right length, and opens nothing.
type EncryptionKeyChanged struct{}

const encryptionConfig = "encryption-config.yaml"

// Name in the catalogue.
func (*EncryptionKeyChanged) Name() string { return "encryption-key-changed" }

// Strikes the artifact.
func (*EncryptionKeyChanged) Strikes() Target { return Artifact }

// Destroys in one sentence.
func (*EncryptionKeyChanged) Destroys() string {
	return "The keys in the backup's encryption configuration are replaced by others of the same names."
}

// Inject replaces the keys.
func (*EncryptionKeyChanged) Inject(_ context.Context, s *Scene) error {
	a, _, err := s.chosen()
	if err != nil {
		return err
	}
	content, err := pki.ReadFile(a.Material(), encryptionConfig)
	if err != nil {
		return err
	}
	var config apiserverv1.EncryptionConfiguration
	if err := yaml.Unmarshal(content, &config); err != nil {
		return fmt.Errorf("%s is not YAML of an EncryptionConfiguration", encryptionConfig)
	}
	replaced := 0
	for _, r := range config.Resources {
		for _, p := range r.Providers {
			var keys []apiserverv1.Key
			switch {
			case p.Secretbox != nil:
				keys = p.Secretbox.Keys
			case p.AESCBC != nil:
				keys = p.AESCBC.Keys
			}
			for i := range keys {
				key := make([]byte, 32)
				if _, err := rand.Read(key); err != nil {
					return err
				}
				keys[i].Secret = base64.StdEncoding.EncodeToString(key)
				replaced++
			}
		}
	}
	if replaced == 0 {
		return errors.New("the encryption configuration has no key to replace")
	}
	if content, err = yaml.Marshal(config); err != nil {
		return err
	}
	return s.retake(encryptionConfig, content)
}

// Visible when the artifact's encryption configuration is not the source cluster's.
func (*EncryptionKeyChanged) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	return otherMaterial(ctx, s, encryptionConfig)
}
