package faults

import (
	"context"
	"errors"
	"fmt"

	"github.com/restore-drill/restore-drill/drills/clusters"
)

// MachineDeleted is the loss of the control-plane machines with their disks: somebody deletes the wrong instance, or the host under it burns. The
// workers and what runs on them go on, and find nobody to report to.
type MachineDeleted struct{}

// Name in the catalogue.
func (*MachineDeleted) Name() string { return "machine-deleted" }

// Strikes the source cluster.
func (*MachineDeleted) Strikes() Target { return Source }

// OnMachine says that there have to be machines.
func (*MachineDeleted) OnMachine() {}

// Destroys in one sentence.
func (*MachineDeleted) Destroys() string {
	return "Every control-plane machine of the source cluster is removed with its disks."
}

// Inject removes them.
func (*MachineDeleted) Inject(ctx context.Context, s *Scene) error {
	if _, _, err := s.controlPlane(); err != nil {
		return err
	}
	var errs []error
	for _, m := range s.Source.(clusters.Machined).Machines() {
		if m.ControlPlane() {
			errs = append(errs, m.Destroy(ctx))
		}
	}
	return errors.Join(errs...)
}

// Visible when none of them is left, and nothing listens where they served the API.
func (*MachineDeleted) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	m, there, err := s.controlPlane()
	if err != nil {
		return Sighting{}, err
	}
	if there {
		return Sighting{Detail: fmt.Sprintf("machine %s is there", m.Name())}, nil
	}
	refused, err := refuses(ctx, s.Source.Config().Host)
	if err != nil {
		return Sighting{}, err
	}
	return Sighting{Visible: refused, Detail: fmt.Sprintf("no control-plane machine is there, and the API server %s connections", map[bool]string{true: "refuses", false: "takes"}[refused])}, nil
}
