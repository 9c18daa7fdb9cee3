package faults

import (
	"context"
	"errors"

	"github.com/restore-drill/restore-drill/internal/pki"
)

// SigningKeyChanged is a restore with another service-account key: it was not in the backup, and whoever rebuilt the control plane made a new one.
// Everything starts, and every token that was ever given out is refused.
type SigningKeyChanged struct{}

// Name in the catalogue.
func (*SigningKeyChanged) Name() string { return "signing-key-changed" }

// Strikes the artifact.
func (*SigningKeyChanged) Strikes() Target { return Artifact }

// Destroys in one sentence.
func (*SigningKeyChanged) Destroys() string {
	return "The backup's service-account key, private and public, is replaced by a new one."
}

// Inject replaces both halves of the key.
func (*SigningKeyChanged) Inject(_ context.Context, s *Scene) error {
	other, err := pki.Generate()
	if err != nil {
		return err
	}
	files := other.Files()
	return errors.Join(
		s.retake(pki.ServiceAccountKey, files[pki.ServiceAccountKey]),
		s.retake(pki.ServiceAccountPub, files[pki.ServiceAccountPub]))
}

// Visible when the artifact's public key is not the source cluster's.
func (*SigningKeyChanged) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	return otherMaterial(ctx, s, pki.ServiceAccountPub)
}
