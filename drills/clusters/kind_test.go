package clusters_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/drills/clusters/clustertest"
	"github.com/restore-drill/restore-drill/internal/engine"
	"github.com/restore-drill/restore-drill/internal/proc"
	"github.com/restore-drill/restore-drill/internal/toolchain"
)

// kind is the provider, where an engine and the node image are there for it. In CI they have to be.
func kind(t *testing.T) (clusters.Provider, *engine.Engine) {
	t.Helper()
	lacking := t.Skipf
	if os.Getenv("CI") != "" {
		lacking = t.Fatalf
	}
	e, err := engine.Find()
	if err == nil {
		_, err = e.Info(t.Context())
	}
	if err != nil {
		lacking("no container engine: %v", err)
	}
	p := clusters.NewKind(clusters.Tools{StateRoot: t.TempDir(), NodeImage: os.Getenv("RESTORE_DRILL_TEST_NODE_IMAGE")})
	if err := p.Check(t.Context(), kindSpec(t)); err != nil {
		lacking("provider kind cannot run here: %v", err)
	}
	return p, e
}

func kindSpec(t *testing.T) clusters.Spec {
	return clusters.Spec{
		Name: "source", DrillID: "drill", LogDir: filepath.Join(t.TempDir(), "logs"), Version: toolchain.DefaultKubernetes, EtcdMembers: 1, Nodes: 1,
		StartTimeout: 3 * time.Minute, Progress: func(line string) { t.Log(line) },
	}
}

func TestKindProvider(t *testing.T) {
	p, _ := kind(t)
	clustertest.Run(t, 1, func() clusters.Provider { return p })
}

func TestKindRefuses(t *testing.T) {
	p := clusters.NewKind(clusters.Tools{StateRoot: t.TempDir()})
	spec := kindSpec(t)
	spec.EtcdMembers, spec.Nodes = 3, 9
	err := p.Check(t.Context(), spec)
	require.ErrorIs(t, err, clusters.ErrUnsupported)
	require.ErrorContains(t, err, "3 etcd members on provider kind, whose clusters have one control-plane node: set cluster.etcdMembers to 1, or use --provider process")
	require.ErrorContains(t, err, "9 nodes on provider kind, each of which is a machine: set cluster.nodes to 3 or less")
}

func TestKindNamesMissingImages(t *testing.T) {
	p, e := kind(t)
	spec := kindSpec(t)
	spec.Images = []string{"example.org/nobody/has:1"}
	require.ErrorContains(t, p.Check(t.Context(), spec),
		e.Name+" has no image example.org/nobody/has:1: run "+e.Name+" pull example.org/nobody/has:1, or, where no registry can be reached, restore-drill images build")
}

// made is a cluster whose machines are there, and that was not started.
func made(t *testing.T, p clusters.Provider) clusters.Machined {
	t.Helper()
	c, err := p.Create(t.Context(), kindSpec(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Delete(context.WithoutCancel(t.Context()))) })
	return c.(clusters.Machined)
}

// TestKindLeavesStrangersAlone has a container of somebody else's in the way, with the label that kind gives to its own.
func TestKindLeavesStrangersAlone(t *testing.T) {
	p, e := kind(t)
	first := made(t, p)
	ours := first.Machines()[0]
	label, err := e.Do(t.Context(), "inspect", "--format", `{{index .Config.Labels "io.x-k8s.kind.cluster"}}`, ours.Name())
	require.NoError(t, err)
	image, err := e.Do(t.Context(), "inspect", "--format", "{{.Config.Image}}", ours.Name())
	require.NoError(t, err)
	require.NoError(t, first.Delete(t.Context()))

	stranger, err := e.Do(t.Context(), "create", "--label", "io.x-k8s.kind.cluster="+label, "--entrypoint", "true", image)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Remove(context.WithoutCancel(t.Context()), engine.Containers, stranger)) })
	_, err = p.Create(t.Context(), kindSpec(t))
	require.ErrorContains(t, err, "containers of a cluster "+label+" are there already, and are not this drill's: ")
	left, err := e.Do(t.Context(), "container", "ls", "--all", "--quiet", "--no-trunc", "--filter", "id="+stranger)
	require.NoError(t, err)
	require.Equal(t, stranger, left)
}

func TestKindMachineKilledFromOutside(t *testing.T) {
	p, e := kind(t)
	c := made(t, p)
	name := c.Machines()[0].Name()
	_, err := e.Do(t.Context(), "kill", name)
	require.NoError(t, err)
	select {
	case err := <-c.Died():
		require.ErrorContains(t, err, "machine "+name+" ended unasked: exit status 137")
		var death *clusters.Death
		require.True(t, errors.As(err, &death) && death.Outside)
	case <-time.After(time.Minute):
		require.Fail(t, "nobody told")
	}
	require.Empty(t, c.Machines())
}

func TestKindMachineCutOff(t *testing.T) {
	p, _ := kind(t)
	m := made(t, p).Machines()[0]
	gateway := func() error {
		_, err := m.Exec(t.Context(), nil, "bash", "-c", `timeout 5 bash -c "</dev/tcp/$(ip route | awk '/^default/ {print $3}')/9" 2>&1 | grep -q refused`)
		return err
	}
	require.NoError(t, gateway(), "the engine's machine answers, that nothing listens there")
	require.NoError(t, m.CutOff(t.Context()))
	require.Error(t, gateway())
	require.NoError(t, m.Reconnect(t.Context()))
	require.NoError(t, gateway())
}

func TestKindInterruptedWhileMachinesAreMade(t *testing.T) {
	p, e := kind(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	interrupted := errors.New("interrupted by the test")
	spec := kindSpec(t)
	spec.Progress = func(line string) {
		if strings.Contains(line, "Preparing nodes") {
			cancel(interrupted)
		}
	}
	_, err := p.Create(ctx, spec)
	require.ErrorIs(t, err, interrupted)
	requireNoMachines(t, p, e)
}

// readUntil reads lines until one holds a text.
func readUntil(t *testing.T, r io.Reader, text string) {
	t.Helper()
	var seen []string
	for lines := bufio.NewScanner(r); lines.Scan(); {
		if seen = append(seen, lines.Text()); strings.Contains(lines.Text(), text) {
			return
		}
	}
	require.Failf(t, "not seen", "%q in:\n%s", text, strings.Join(seen, "\n"))
}

// machines is the label of a cluster's machines under a provider's state directory.
func machines(p clusters.Provider) string {
	return "io.x-k8s.kind.cluster=" + clusters.KindName(filepath.Join(p.Tools().StateRoot, "drill", "source"), "source")
}

func requireNoMachines(t *testing.T, p clusters.Provider, e *engine.Engine) {
	t.Helper()
	left, err := e.Labelled(t.Context(), engine.Containers, machines(p))
	require.NoError(t, err)
	require.Empty(t, left)
	require.NoDirExists(t, filepath.Join(p.Tools().StateRoot, "drill"))
}

// awaitEngine returns when a command of the engine's runs that makes machines.
func awaitEngine(t *testing.T, p clusters.Provider) {
	t.Helper()
	require.Eventually(t, func() bool {
		making, err := proc.Naming(machines(p))
		return err == nil && len(making) > 0
	}, time.Minute, time.Millisecond)
}

// TestKindCleanupAfterSIGKILL kills a harness while kind makes its machines, and another when they are there.
func TestKindCleanupAfterSIGKILL(t *testing.T) {
	for _, at := range []string{"Preparing nodes", "made"} {
		t.Run(at, func(t *testing.T) {
			p, e := kind(t)
			self, err := os.Executable()
			require.NoError(t, err)
			cmd := exec.Command(self)
			cmd.Env = append(os.Environ(), clusters.KindHarnessVar+"="+p.Tools().StateRoot)
			out, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			readUntil(t, out, at)
			if at != "made" {
				awaitEngine(t, p)
			}
			require.NoError(t, cmd.Process.Kill())
			require.EqualError(t, cmd.Wait(), "signal: killed")

			var progress []string
			removed, err := clusters.Cleanup(t.Context(), p.Tools().StateRoot, func(line string) { progress = append(progress, line) })
			require.NoError(t, err)
			require.Equal(t, []string{filepath.Join(p.Tools().StateRoot, "drill", "source")}, removed)
			require.Contains(t, strings.Join(progress, "\n"), "removed container drill-")
			requireNoMachines(t, p, e)
			removed, err = clusters.Cleanup(t.Context(), p.Tools().StateRoot, nil)
			require.NoError(t, err)
			require.Empty(t, removed)
		})
	}
}
