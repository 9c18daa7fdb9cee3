package faults

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/restore-drill/restore-drill/drills/clusters"
)

// controlPlane is the machine that the source's control plane runs on, or ran on: false when it is gone.
func (s *Scene) controlPlane() (clusters.Machine, bool, error) {
	if s.Source == nil {
		return nil, false, errNoSource
	}
	if _, ok := s.Source.(clusters.Machined); !ok {
		return nil, false, errors.New("the source cluster has no machines: its nodes are simulated")
	}
	m, there := controlPlaneMachine(s.Source, 0)
	return m, there, nil
}

// onControlPlane runs a command on that machine, which has to be there.
func (s *Scene) onControlPlane(ctx context.Context, argv ...string) (string, error) {
	m, there, err := s.controlPlane()
	if err != nil {
		return "", err
	}
	if !there {
		return "", errors.New("the control-plane machine of the source cluster is gone")
	}
	out, err := m.Exec(ctx, nil, argv...)
	return strings.TrimSpace(string(out)), err
}

// existing counts which of the paths, globs too, are there on the control-plane machine.
func (s *Scene) existing(ctx context.Context, paths ...string) (int, error) {
	out, err := s.onControlPlane(ctx, "bash", "-c", "shopt -s nullglob dotglob; for f in "+strings.Join(paths, " ")+"; do test -e $f && echo $f; done; true")
	if err != nil {
		return 0, fmt.Errorf("look for %s: %w", strings.Join(paths, ", "), err)
	}
	return len(strings.Fields(out)), nil
}

// stopsServing adds to a sighting of missing files that the control plane's servers end: without that, nobody would have noticed yet. An API server that
// is asked to end may take connections for a minute more, and answers nothing once its store is gone.
func (s *Scene) stopsServing(ctx context.Context, what string, left int) (Sighting, error) {
	refused, err := refusesOn(ctx, s.Source, 0, apiServerPort, s.Source.Config().Host)
	if err != nil {
		return Sighting{}, err
	}
	gone, all, err := refusing(ctx, s.Source)
	if err != nil {
		return Sighting{}, err
	}
	served := "the API server takes connections"
	switch {
	case refused:
		served = "the API server refuses connections"
	case all > 0 && gone == all:
		served, refused = "every member of etcd refuses connections", true
	}
	if left > 0 {
		return Sighting{Detail: fmt.Sprintf("%d files are in %s, and %s", left, what, served)}, nil
	}
	return Sighting{Visible: refused, Detail: fmt.Sprintf("no file is in %s, and %s", what, served)}, nil
}
