package faults

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/restore-drill/restore-drill/drills/clusters"
)

// KubeletStopped is a kubelet that does not run on the control-plane machine of the restored cluster: a unit that nobody enabled, or that gave up. What it
// had started goes on, and the API says of it what was true last.
type KubeletStopped struct{}

// Name in the catalogue.
func (*KubeletStopped) Name() string { return "kubelet-stopped" }

// Strikes the restored cluster.
func (*KubeletStopped) Strikes() Target { return Restored }

// OnMachine says that there have to be machines.
func (*KubeletStopped) OnMachine() {}

// Destroys in one sentence.
func (*KubeletStopped) Destroys() string {
	return "Nothing; the kubelet of the restored cluster's control-plane machine is stopped, and what it started goes on."
}

// Inject stops it.
func (*KubeletStopped) Inject(ctx context.Context, s *Scene) error {
	m, err := s.restoredMachine()
	if err != nil {
		return err
	}
	_, err = m.Exec(ctx, nil, "systemctl", "stop", "kubelet")
	return err
}

// Visible when the machine's init system says that it does not run.
func (*KubeletStopped) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	m, err := s.restoredMachine()
	if err != nil {
		return Sighting{}, err
	}
	out, err := m.Exec(ctx, nil, "bash", "-c", "systemctl is-active kubelet || true")
	if err != nil {
		return Sighting{}, err
	}
	state := strings.TrimSpace(string(out))
	return Sighting{Visible: state == "inactive", Detail: fmt.Sprintf("kubelet on machine %s is %s", m.Name(), state)}, nil
}

// restoredMachine is the control-plane machine of the restored cluster.
func (s *Scene) restoredMachine() (clusters.Machine, error) {
	if s.Restored == nil {
		return nil, errNoRestored
	}
	m, there := controlPlaneMachine(s.Restored, 0)
	if !there {
		return nil, errors.New("the restored cluster has no control-plane machine")
	}
	return m, nil
}
