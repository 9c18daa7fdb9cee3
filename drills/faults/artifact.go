package faults

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/restore-drill/restore-drill/drills/backups"
)

// chosen is the artifact that the drill will restore, with its snapshot.
func (s *Scene) chosen() (*backups.Artifact, string, error) {
	if s.Chosen < 0 || s.Chosen >= len(s.Artifacts) {
		return nil, "", errNoArtifact
	}
	a := s.Artifacts[s.Chosen]
	file := a.Snapshot()
	if file == "" {
		return nil, "", fmt.Errorf("artifact %s, of method %s, has no snapshot file", a.Name, a.Method)
	}
	return a, file, nil
}

// damaged looks whether the chosen artifact is still what was recorded of it.
func damaged(ctx context.Context, s *Scene) (Sighting, error) {
	a, _, err := s.chosen()
	if err != nil {
		return Sighting{}, err
	}
	err = a.Verify(ctx)
	switch {
	case err == nil:
		return Sighting{Detail: "every file of artifact " + a.Name + " has its recorded digest"}, nil
	case errors.Is(err, backups.ErrDamaged):
		return Sighting{Visible: true, Detail: brief(err)}, nil
	}
	return Sighting{}, err
}

// rewrite a file in place, as a failing disk would: nothing else learns of it.
func rewrite(file string, how func(*os.File) error) error {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(how(f), f.Sync(), f.Close())
}
