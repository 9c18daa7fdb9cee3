package faults

import (
	"context"
	"fmt"

	"github.com/restore-drill/restore-drill/fixtures"
)

// VolumeFileChanged is a file of a restored volume that has other bytes than it had: a repository that rots, or a program that writes over it. Nothing in
// the API tells of it.
type VolumeFileChanged struct {
	// Claim in the namespace volumes; default data-journal-0.
	Claim string `json:"claim,omitempty"`
	// File in its volume; default file-000.
	File string `json:"file,omitempty"`
}

// Name in the catalogue.
func (*VolumeFileChanged) Name() string { return "volume-file-changed" }

// Strikes the restored cluster.
func (*VolumeFileChanged) Strikes() Target { return Restored }

// Destroys in one sentence.
func (f *VolumeFileChanged) Destroys() string {
	return fmt.Sprintf("The first two bytes of file %s in the volume of claim %s.", f.File, f.Claim)
}

// Inject writes over the first two bytes.
func (f *VolumeFileChanged) Inject(ctx context.Context, s *Scene) error {
	if s.Restored == nil {
		return errNoRestored
	}
	_, err := fixtures.InVolume(ctx, s.Restored.Config(), f.Claim, `printf '\377\0' | dd of="$0/$1" conv=notrunc bs=2 count=1 2>/dev/null && sync "$0/$1"`, f.File)
	return err
}

// Visible when the file begins with the two bytes that were written over it.
func (f *VolumeFileChanged) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	if s.Restored == nil {
		return Sighting{}, errNoRestored
	}
	begins, err := fixtures.InVolume(ctx, s.Restored.Config(), f.Claim, `head -c 2 "$0/$1" | od -An -tx1`, f.File)
	return Sighting{Visible: begins == "ff 00", Detail: fmt.Sprintf("file %s of claim %s begins with the bytes %s", f.File, f.Claim, begins)}, err
}
