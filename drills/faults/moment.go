package faults

import (
	"context"
	"fmt"

	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/internal/crd"
	"github.com/restore-drill/restore-drill/scenarios"
)

// moments at which a fault that has a parameter for it may strike a running cluster, and their order.
var moments = map[string]Target{"seeded": Seeded, "source": Source, "empty": Empty, "restored": Restored}

var momentNames = []string{"seeded", "source", "empty", "restored"}

func checkMoment(at string) error {
	if _, ok := moments[at]; !ok {
		return fmt.Errorf("at: %s", scenarios.Unknown("moment", at, momentNames))
	}
	return nil
}

// checkOperation is of a tool, during which a fault may strike.
func checkOperation(during string) error {
	if during != "backup" && during != "restore" {
		return fmt.Errorf("during: unknown operation %q (want backup or restore)", during)
	}
	return nil
}

// at the target of a fault there is this cluster.
func (s *Scene) at(target Target) (clusters.Cluster, error) {
	switch {
	case target == Empty || target == Restored:
		if s.Restored == nil {
			return nil, errNoRestored
		}
		return s.Restored, nil
	case s.Source == nil:
		return nil, errNoSource
	}
	return s.Source, nil
}

// settle returns when the cluster that a fault with this target strikes serves custom resources as their definition says now.
func (s *Scene) settle(ctx context.Context, target Target, definition string) error {
	cluster, err := s.at(target)
	if err != nil {
		return err
	}
	return crd.Settle(ctx, cluster.Config(), definition)
}
