package faults

import (
	"context"
)

// StoreCredentialsRotated is a store whose credentials were changed after the last backup: those in the runbook open nothing any more.
type StoreCredentialsRotated struct{}

// Name in the catalogue.
func (*StoreCredentialsRotated) Name() string { return "store-credentials-rotated" }

// Strikes the artifact.
func (*StoreCredentialsRotated) Strikes() Target { return Artifact }

// Destroys in one sentence.
func (*StoreCredentialsRotated) Destroys() string {
	return "The object store takes other credentials than those that Velero has; what it holds stays."
}

// Inject starts the store with other credentials.
func (*StoreCredentialsRotated) Inject(ctx context.Context, s *Scene) error {
	method, err := s.velero()
	if err != nil {
		return err
	}
	return method.Store().Rotate(ctx)
}

// Visible when the store serves and refuses what was signed with Velero's credentials.
func (*StoreCredentialsRotated) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	method, err := s.velero()
	if err != nil {
		return Sighting{}, err
	}
	taken, err := method.Store().Accepts(ctx)
	if err != nil {
		return Sighting{}, err
	}
	if taken {
		return Sighting{Detail: "the object store takes Velero's credentials"}, nil
	}
	return Sighting{Visible: true, Detail: "the object store refuses Velero's credentials"}, nil
}
