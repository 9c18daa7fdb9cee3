package faults

import (
	"context"
	"fmt"
	"os"
)

// SnapshotTruncated is a backup that was cut short: the upload broke off, or the disk was full, and nobody looked at its size.
type SnapshotTruncated struct {
	// Percent of the snapshot that is left; default 50.
	Percent int `json:"percent,omitempty"`
}

// Name in the catalogue.
func (*SnapshotTruncated) Name() string { return "snapshot-truncated" }

// Strikes the artifact.
func (*SnapshotTruncated) Strikes() Target { return Artifact }

// Destroys in one sentence.
func (f *SnapshotTruncated) Destroys() string {
	return fmt.Sprintf("The snapshot in the backup's artifact is cut to %d %% of its size.", f.Percent)
}

// Validate the parameters.
func (f *SnapshotTruncated) Validate() error {
	if f.Percent < 0 || f.Percent > 99 {
		return fmt.Errorf("percent is %d, want 0 to 99", f.Percent)
	}
	return nil
}

// Inject cuts the file.
func (f *SnapshotTruncated) Inject(_ context.Context, s *Scene) error {
	_, file, err := s.chosen()
	if err != nil {
		return err
	}
	return rewrite(file, func(snapshot *os.File) error {
		info, err := snapshot.Stat()
		if err != nil {
			return err
		}
		return snapshot.Truncate(info.Size() * int64(f.Percent) / 100)
	})
}

// Visible when the artifact is not as it was recorded.
func (*SnapshotTruncated) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	return damaged(ctx, s)
}
