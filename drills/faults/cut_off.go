package faults

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/restore-drill/restore-drill/drills/clusters"
)

// CutOff takes the control-plane machine off its network: a pulled cable, or a security group. Everything on it goes on running, and nobody can
// tell that from outside. Whoever restores has to fence it, or two control planes work on the same things once it is back.
type CutOff struct{}

// Name in the catalogue.
func (*CutOff) Name() string { return "cut-off" }

// Strikes the source cluster.
func (*CutOff) Strikes() Target { return Source }

// OnMachine says that there have to be machines.
func (*CutOff) OnMachine() {}

// Destroys in one sentence.
func (*CutOff) Destroys() string {
	return "Nothing; the control-plane machine of the source cluster is taken off its network, and goes on running."
}

// Inject cuts it off.
func (*CutOff) Inject(ctx context.Context, s *Scene) error {
	m, there, err := s.controlPlane()
	if err == nil && !there {
		err = errors.New("the control-plane machine of the source cluster is gone")
	}
	if err != nil {
		return err
	}
	return m.CutOff(ctx)
}

// Visible when the machine's own system says that it reaches nobody: from outside there is only silence, which is no sign.
func (*CutOff) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	m, there, err := s.controlPlane()
	if err != nil || !there {
		return Sighting{}, err
	}
	reaches, err := reachesOut(ctx, m)
	if err != nil {
		return Sighting{}, err
	}
	if reaches {
		return Sighting{Detail: fmt.Sprintf("machine %s reaches the network that it is on", m.Name())}, nil
	}
	refused, err := refusesOn(ctx, s.Source, 0, apiServerPort, s.Source.Config().Host)
	if err != nil {
		return Sighting{}, err
	}
	return Sighting{Visible: true, Detail: fmt.Sprintf("machine %s reaches nobody, and its API server %s connections there", m.Name(), map[bool]string{true: "refuses", false: "takes"}[refused])}, nil
}

// reachesOut tells whether a machine can send to the network that it is on. Its own system refuses that at once where it cannot: the packet is sent to
// the gateway, where nobody has to be listening.
func reachesOut(ctx context.Context, m clusters.Machine) (bool, error) {
	_, err := m.Exec(ctx, nil, "bash", "-c", `gateway=$(ip -4 route show default | cut -d " " -f 3); echo > "/dev/udp/$gateway/9"`)
	switch {
	case err == nil:
		return true, nil
	case strings.Contains(err.Error(), "Operation not permitted"), strings.Contains(err.Error(), "unreachable"):
		return false, nil
	}
	return false, fmt.Errorf("tell whether machine %s reaches its network: %w", m.Name(), err)
}
