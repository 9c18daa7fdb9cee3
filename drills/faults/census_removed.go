package faults

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/restore-drill/restore-drill/internal/evidence"
)

// CensusRemoved is evidence that was never collected, or that is lost: no difference is found, because nothing is there to be compared.
type CensusRemoved struct {
	// After removes the census that was taken after the restore; else it is the one from before the failure.
	After bool `json:"after,omitempty"`
}

func (f *CensusRemoved) file() string {
	if f.After {
		return evidence.CensusAfterFile
	}
	return evidence.CensusBeforeFile
}

// Name in the catalogue.
func (*CensusRemoved) Name() string { return "census-removed" }

// Strikes the evidence.
func (*CensusRemoved) Strikes() Target { return Evidence }

// Destroys in one sentence.
func (f *CensusRemoved) Destroys() string {
	return f.file() + " is removed from the run directory before it is judged."
}

// Inject removes the file.
func (f *CensusRemoved) Inject(_ context.Context, s *Scene) error {
	if s.RunDir == "" {
		return errors.New("there is no run directory")
	}
	return os.Remove(filepath.Join(s.RunDir, f.file()))
}

// Visible when the file is not there.
func (f *CensusRemoved) Visible(_ context.Context, s *Scene) (Sighting, error) {
	if s.RunDir == "" {
		return Sighting{}, errors.New("there is no run directory")
	}
	_, err := os.Lstat(filepath.Join(s.RunDir, f.file()))
	if errors.Is(err, fs.ErrNotExist) {
		return Sighting{Visible: true, Detail: f.file() + " is not there"}, nil
	}
	return Sighting{Detail: f.file() + " is there"}, err
}
