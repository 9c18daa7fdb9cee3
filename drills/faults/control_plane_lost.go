package faults

import (
	"context"
	"fmt"
)

// ControlPlaneLost is the loss of every control-plane machine: a zone that burns, or an account that is deleted. All components are killed
// at once, and the disks under etcd are gone.
type ControlPlaneLost struct{}

// Name in the catalogue.
func (*ControlPlaneLost) Name() string { return "control-plane-lost" }

// Strikes the source cluster.
func (*ControlPlaneLost) Strikes() Target { return Source }

// Destroys in one sentence.
func (*ControlPlaneLost) Destroys() string {
	return "Every component of the source cluster is killed, and the data of all etcd members is deleted."
}

// Inject kills and deletes.
func (*ControlPlaneLost) Inject(ctx context.Context, s *Scene) error {
	if s.Source == nil {
		return errNoSource
	}
	if err := each(ctx, s.Source.Components(), kill); err != nil {
		return err
	}
	return loseData(ctx, s.Source, s.Source.Components())
}

// Visible when nothing takes a connection.
func (*ControlPlaneLost) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	if s.Source == nil {
		return Sighting{}, errNoSource
	}
	api, err := refusesOn(ctx, s.Source, 0, apiServerPort, s.Source.Config().Host)
	if err != nil {
		return Sighting{}, err
	}
	seen, err := refusals(ctx, s.Source, func(gone, all int) bool { return api && gone == all })
	seen.Detail = fmt.Sprintf("the API server %s connections, %s", map[bool]string{true: "refuses", false: "takes"}[api], seen.Detail)
	return seen, err
}
