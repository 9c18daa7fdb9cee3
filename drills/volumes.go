package drills

import (
	"context"
	"fmt"

	"github.com/restore-drill/restore-drill/fixtures"
	"github.com/restore-drill/restore-drill/internal/evidence"
)

// seedVolumes fills volumes, and has a pod write the volume ledger, where the scenario asks for it.
func (d *drill) seedVolumes(ctx context.Context) error {
	v := d.spec.Seed.Volumes
	if v == nil {
		return nil
	}
	return d.step(ctx, "seed volumes", fmt.Sprintf("%d claims of %s in %d files, and one for the volume ledger", v.Claims, v.Size, v.Files), func() (err error) {
		d.volumes, err = fixtures.SeedVolumes(ctx, d.source.Config(), fixtures.VolumeOptions{
			Claims: v.Claims, Files: v.Files, Bytes: v.Size.Bytes(), RandomSeed: *d.spec.Seed.RandomSeed,
			ReclaimPolicy: v.ReclaimPolicy, Annotations: v.Annotations, Progress: d.note,
		})
		if err != nil {
			return err
		}
		d.volumeLedger, err = fixtures.StartVolumeLedger(ctx, d.source.Config(), d.rec.Path(evidence.VolumeLedgerFile), d.rec.Now)
		if err != nil {
			return err
		}
		d.onTeardown("stop the volume ledger", func(context.Context) error { return d.volumeLedger.Stop() })
		for i := range d.volumes.Claims {
			if c := &d.volumes.Claims[i]; c.Name == fixtures.VolumeLedgerClaim {
				c.Writer = d.volumeLedger.Writer
			}
		}
		return d.rec.Put(evidence.VolumesBeforeFile, d.volumes)
	})()
}

// readVolumes of the restored cluster. What cannot be read is evidence too.
func (d *drill) readVolumes(ctx context.Context) error {
	if d.spec.Seed.Volumes == nil {
		return nil
	}
	return d.step(ctx, "volumes", "digests of the files in the restored volumes, and the records of the volume ledger", func() error {
		return d.rec.Put(evidence.VolumesAfterFile, fixtures.ReadVolumes(ctx, d.restored.Config(), d.volumes))
	})()
}
