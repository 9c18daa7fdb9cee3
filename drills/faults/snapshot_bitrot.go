package faults

import (
	"context"
	"fmt"
	"os"
)

// SnapshotBitrot is a backup in which bits have flipped on their way or at rest: its size is right, and `etcdutl snapshot status` finds nothing
// wrong with it.
type SnapshotBitrot struct {
	// Bits to flip, at seeded offsets; default 1.
	Bits int `json:"bits,omitempty"`
}

// Name in the catalogue.
func (*SnapshotBitrot) Name() string { return "snapshot-bitrot" }

// Strikes the artifact.
func (*SnapshotBitrot) Strikes() Target { return Artifact }

// Destroys in one sentence.
func (f *SnapshotBitrot) Destroys() string {
	return fmt.Sprintf("%d bit(s) of the snapshot in the backup's artifact are flipped.", f.Bits)
}

// Validate the parameters.
func (f *SnapshotBitrot) Validate() error {
	if f.Bits < 1 {
		return fmt.Errorf("bits is %d, want at least 1", f.Bits)
	}
	return nil
}

// Inject flips bits, no two in the same byte.
func (f *SnapshotBitrot) Inject(_ context.Context, s *Scene) error {
	_, file, err := s.chosen()
	if err != nil {
		return err
	}
	return rewrite(file, func(snapshot *os.File) error {
		info, err := snapshot.Stat()
		if err != nil {
			return err
		}
		if info.Size() < int64(f.Bits) {
			return fmt.Errorf("snapshot has %d bytes, too few to flip a bit in %d of them", info.Size(), f.Bits)
		}
		flipped := map[int64]bool{}
		for len(flipped) < f.Bits {
			offset := s.Rand.Int64N(info.Size())
			if flipped[offset] {
				continue
			}
			flipped[offset] = true
			var b [1]byte
			if _, err := snapshot.ReadAt(b[:], offset); err != nil {
				return err
			}
			b[0] ^= 1 << s.Rand.IntN(8)
			if _, err := snapshot.WriteAt(b[:], offset); err != nil {
				return err
			}
		}
		return nil
	})
}

// Visible when the artifact is not as it was recorded.
func (*SnapshotBitrot) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	return damaged(ctx, s)
}
