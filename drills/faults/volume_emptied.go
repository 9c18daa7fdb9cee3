package faults

import (
	"context"
	"fmt"

	"github.com/restore-drill/restore-drill/fixtures"
	"github.com/restore-drill/restore-drill/internal/evidence"
)

// VolumeEmptied is a restored volume that somebody wiped, as an init container that formats what it takes for a new disk does.
type VolumeEmptied struct {
	// Claim in the namespace volumes; default data-journal-0.
	Claim string `json:"claim,omitempty"`
}

// Name in the catalogue.
func (*VolumeEmptied) Name() string { return "volume-emptied" }

// Strikes the restored cluster.
func (*VolumeEmptied) Strikes() Target { return Restored }

// Destroys in one sentence.
func (f *VolumeEmptied) Destroys() string {
	return "Every file in the volume of claim " + f.Claim + "."
}

// Inject removes every file.
func (f *VolumeEmptied) Inject(ctx context.Context, s *Scene) error {
	if s.Restored == nil {
		return errNoRestored
	}
	_, err := fixtures.InVolume(ctx, s.Restored.Config(), f.Claim, `find "$0" -mindepth 1 -maxdepth 1 -exec rm -rf {} +`)
	return err
}

// Visible when no file is in the volume.
func (f *VolumeEmptied) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	if s.Restored == nil {
		return Sighting{}, errNoRestored
	}
	read := fixtures.ReadVolumes(ctx, s.Restored.Config(), evidence.Volumes{Claims: []evidence.VolumeClaim{{Namespace: fixtures.VolumesNamespace, Name: f.Claim}}})
	c := read.Claims[0]
	if c.Files == nil {
		return Sighting{}, fmt.Errorf("look into the volume of claim %s: %s", f.Claim, c.Error)
	}
	return Sighting{Visible: len(c.Files) == 0, Detail: fmt.Sprintf("the volume of claim %s holds %d files", f.Claim, len(c.Files))}, nil
}
