package drills

import (
	"context"

	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/internal/crd"
	"github.com/restore-drill/restore-drill/internal/evidence"
)

// readDefinitions of the custom resources of a cluster.
func (d *drill) readDefinitions(ctx context.Context, c clusters.Cluster, file string) (evidence.CRDs, error) {
	all, err := crd.Read(ctx, c.Config())
	if err != nil {
		return evidence.CRDs{}, err
	}
	return all, d.rec.Put(file, all)
}

// tryDefinitions of the restored cluster with the custom resources that lived in the source.
func (d *drill) tryDefinitions(ctx context.Context) error {
	after, err := d.readDefinitions(ctx, d.restored, evidence.CRDsAfterFile)
	if err != nil {
		return err
	}
	trials, err := crd.Try(ctx, d.restored.Config(), d.rec.Path(evidence.CensusBeforeFile), after)
	if err != nil {
		return err
	}
	return d.rec.Put(evidence.CRDsRecreateFile, trials)
}
