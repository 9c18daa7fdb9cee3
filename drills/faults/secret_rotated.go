package faults

import (
	"context"
	"fmt"

	"k8s.io/client-go/kubernetes"
)

// SecretRotated is a password that is changed after the backup, in the service that it opens and in the Secret. A restore brings the old one back,
// exactly as it was backed up, and the service outside the cluster does not take it any more.
type SecretRotated struct {
	// Namespace of the Secret; default shop.
	Namespace string `json:"namespace,omitempty"`
	// Secret is its name; default orders-db.
	Secret string `json:"name,omitempty"`
	// Key within the Secret; default password.
	Key string `json:"key,omitempty"`
}

// Name in the catalogue.
func (*SecretRotated) Name() string { return "secret-rotated" }

// Strikes the source cluster, and breaks nothing there.
func (*SecretRotated) Strikes() Target { return Change }

// Destroys in one sentence.
func (f *SecretRotated) Destroys() string {
	return fmt.Sprintf("The value of key %s of Secret %s/%s is replaced after the backup.", f.Key, f.Namespace, f.Secret)
}

// Inject patches the Secret.
func (f *SecretRotated) Inject(ctx context.Context, s *Scene) error {
	client, err := s.source()
	if err != nil {
		return err
	}
	return substituteValue(ctx, client, f.Namespace, f.Secret, f.Key)
}

// Visible when the Secret has the new value.
func (f *SecretRotated) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	client, err := s.source()
	if err != nil {
		return Sighting{}, err
	}
	return substituted(ctx, client, f.Namespace, f.Secret, f.Key)
}

// source is a client of the source cluster.
func (s *Scene) source() (kubernetes.Interface, error) {
	if s.Source == nil {
		return nil, errNoSource
	}
	return kubernetes.NewForConfig(s.Source.Config())
}
