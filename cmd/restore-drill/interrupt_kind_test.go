package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/fixtures"
	"github.com/restore-drill/restore-drill/internal/engine"
	"github.com/restore-drill/restore-drill/internal/engine/enginetest"
	"github.com/restore-drill/restore-drill/internal/evidence"
)

// TestKillOnKind sends SIGKILL to drills on real nodes: cleanup removes the machines, the store's container and their volumes, and nobody else's, and the
// evidence up to then can be read. Every run kills one drill while its machines are made, and one when both clusters and a store are there; with
// RESTORE_DRILL_ON_KIND=all there is one for each phase.
func TestKillOnKind(t *testing.T) {
	e := enginetest.Answering(t)
	for _, moment := range []struct {
		phase, kind, name string
		machines, stores  int
		always            bool
	}{
		{evidence.PhaseProvision, evidence.Note, "kind: Preparing nodes", 1, 0, true},
		{evidence.PhaseSeed, evidence.PhaseStarted, evidence.PhaseSeed, 1, 1, false},
		{evidence.PhaseBackup, evidence.PhaseStarted, evidence.PhaseBackup, 1, 1, false},
		{evidence.PhaseInject, evidence.PhaseStarted, evidence.PhaseInject, 1, 1, false},
		{evidence.PhaseRestore, evidence.StepStarted, "start velero", 2, 1, true},
		{evidence.PhaseSurvey, evidence.PhaseStarted, evidence.PhaseSurvey, 2, 1, false},
	} {
		if !moment.always && os.Getenv("RESTORE_DRILL_ON_KIND") != "all" {
			continue
		}
		t.Run(moment.phase, func(t *testing.T) {
			stranger := runStranger(t, e)
			d := newDrill(t)
			d.start("--provider", "kind", "testdata/kind.yaml")
			t.Cleanup(func() {
				// Where the test has failed before, it still runs.
				_, _ = d.cmd.Process.Kill(), d.cmd.Wait()
				d.command("cleanup")
			})
			d.at(moment.kind, moment.name, func() {
				for deadline := time.Now().Add(time.Minute); len(d.volumes(e)) < moment.machines && time.Now().Before(deadline); {
					continue // it is being made, and does not run yet
				}
				require.NoError(t, d.cmd.Process.Kill())
			})
			require.Equal(t, -1, d.exitCode())
			labels, containers, volumes := d.labels(), d.containers(e), d.volumes(e)
			require.Len(t, volumes, moment.machines, "each machine has one, without a label")
			require.Len(t, containers, moment.machines+moment.stores)

			d.requireCleanup()
			for _, label := range labels {
				for _, kind := range []engine.Kind{engine.Containers, engine.Networks, engine.Volumes} {
					left, err := e.Labelled(t.Context(), kind, label)
					require.NoError(t, err)
					require.Empty(t, left)
				}
			}
			left, err := e.Do(t.Context(), "volume", "ls", "--quiet")
			require.NoError(t, err)
			for _, volume := range volumes {
				require.NotContains(t, strings.Fields(left), volume)
			}
			running, err := e.Do(t.Context(), "container", "inspect", "--format", "{{.State.Running}}", stranger)
			require.NoError(t, err)
			require.Equal(t, "true", running)

			timeline, err := evidence.ReadTimeline(d.dir)
			require.NoError(t, err)
			var last string
			for _, event := range timeline {
				if event.Kind == evidence.PhaseStarted {
					last = event.Name
				}
			}
			require.Equal(t, moment.phase, last)
		})
	}
}

// runStranger runs somebody else's container, with labels of the same names as ours have.
func runStranger(t *testing.T, e *engine.Engine) string {
	id, err := e.Run(t.Context(), engine.Container{
		Image: fixtures.Image, Command: []string{"sleep", "infinity"}, Options: []string{"--network", "none"},
		Labels: map[string]string{"io.x-k8s.kind.cluster": "drill-somebody-source", "restoredrill.io/place": "/somebody/drill/object-store"},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Remove(context.WithoutCancel(t.Context()), engine.Containers, id)) })
	return id
}

// labels of all that the engine makes for the drill, as it wrote them down before.
func (d *runningDrill) labels() (labels []string) {
	owners, err := filepath.Glob(filepath.Join(d.state, "*", "*", "owner.jsonl"))
	require.NoError(d.t, err)
	for _, owner := range owners {
		lines, err := evidence.ReadLines[struct{ Label string }](filepath.Split(owner))
		require.NoError(d.t, err)
		for _, l := range lines {
			if l.Label != "" {
				labels = append(labels, l.Label)
			}
		}
	}
	return labels
}

// containers that carry one of the drill's labels.
func (d *runningDrill) containers(e *engine.Engine) (names []string) {
	for _, label := range d.labels() {
		found, err := e.Labelled(d.t.Context(), engine.Containers, label)
		require.NoError(d.t, err)
		names = append(names, found...)
	}
	return names
}

// volumes of the drill's containers. One that is being made may be listed, and cannot be inspected yet.
func (d *runningDrill) volumes(e *engine.Engine) []string {
	containers := d.containers(e)
	if len(containers) == 0 {
		return nil
	}
	names, _ := e.Do(d.t.Context(), append([]string{"container", "inspect", "--format", "{{range .Mounts}}{{println .Name}}{{end}}"}, containers...)...)
	return strings.Fields(names)
}
