package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/restore-drill/restore-drill/drills/backups"
	"github.com/restore-drill/restore-drill/internal/pki"
)

// retake one file of the chosen artifact's key material as if it had been backed up so; nil content leaves it out.
func (s *Scene) retake(name string, content []byte) error {
	a, _, err := s.chosen()
	if err != nil {
		return err
	}
	return a.Retake(backups.MaterialFile(name), content)
}

// otherMaterial looks whether a file of the chosen artifact's key material is not the one that the source cluster runs with.
func otherMaterial(ctx context.Context, s *Scene, name string) (Sighting, error) {
	a, _, err := s.chosen()
	if err != nil {
		return Sighting{}, err
	}
	if s.Source == nil {
		return Sighting{}, errNoSource
	}
	material, err := s.Source.Material(ctx)
	if err != nil {
		return Sighting{}, err
	}
	mine, err := pki.ReadFile(material, name)
	if err != nil {
		return Sighting{}, fmt.Errorf("the source cluster's key material: %w", err)
	}
	kept, err := pki.ReadFile(a.Material(), name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Sighting{Visible: true, Detail: fmt.Sprintf("artifact %s has no %s, and the source cluster has", a.Name, name)}, nil
	case err != nil:
		return Sighting{}, err
	case bytes.Equal(mine, kept):
		return Sighting{Detail: fmt.Sprintf("%s of artifact %s is the source cluster's", name, a.Name)}, nil
	}
	return Sighting{Visible: true, Detail: fmt.Sprintf("%s of artifact %s is not the source cluster's", name, a.Name)}, nil
}
