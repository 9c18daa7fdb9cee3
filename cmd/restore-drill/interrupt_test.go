package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/shirou/gopsutil/v4/process"
	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/reports"
)

var phases = []string{"provision", "seed", "backup", "inject", "restore", "survey"}

// TestInterrupt sends SIGINT in each phase: the drill tears itself down, keeps its evidence, and is unknown.
func TestInterrupt(t *testing.T) {
	for _, phase := range phases {
		t.Run(phase, func(t *testing.T) {
			d := startDrill(t)
			d.signalIn(phase, syscall.SIGINT)
			require.Equal(t, exitInterrupted, d.exitCode())
			d.requireNothingLeft()
			report, err := os.Open(filepath.Join(d.dir, "report.json"))
			require.NoError(t, err)
			defer report.Close()
			r, err := reports.ReadJSON(report)
			require.NoError(t, err)
			require.Equal(t, reports.Unknown, r.Verdict, r.Reason)
			require.Contains(t, r.Reason, "interrupted")
		})
	}
}

// TestHangup closes the terminal under a drill, and the pipe that it tells its progress to.
func TestHangup(t *testing.T) {
	t.Run("SIGHUP", func(t *testing.T) {
		d := startDrill(t)
		d.signalIn("seed", syscall.SIGHUP)
		require.Equal(t, exitInterrupted, d.exitCode())
		d.requireNothingLeft()
	})
	t.Run("nobody reads", func(t *testing.T) {
		d := startDrill(t)
		require.NoError(t, d.stderr.(io.Closer).Close())
		require.Zero(t, d.exitCode(), "the drill goes on, and passes")
		d.requireNothingLeft()
	})
}

// TestKill sends SIGKILL in each phase: cleanup removes all that is left, and the evidence can be judged: unknown.
func TestKill(t *testing.T) {
	for _, phase := range phases {
		t.Run(phase, func(t *testing.T) {
			d := startDrill(t)
			d.signalIn(phase, syscall.SIGKILL)
			require.Equal(t, -1, d.exitCode())
			out, code := d.command("cleanup")
			require.Zero(t, code, out)
			d.requireNothingLeft()
			out, code = d.command("cleanup")
			require.Zero(t, code)
			require.Empty(t, out, "a second cleanup finds nothing")
			out, code = d.command("judge", d.dir)
			require.Equal(t, exitUnknown, code, out)
		})
	}
}

// A runningDrill is a process of its own, with its own state directory.
type runningDrill struct {
	t          *testing.T
	dir, state string
	cmd        *exec.Cmd
	stderr     io.Reader
}

func startDrill(t *testing.T) *runningDrill {
	work := t.TempDir()
	d := &runningDrill{t: t, dir: filepath.Join(work, "run"), state: filepath.Join(work, "state")}
	scenario := filepath.Join(work, "small.yaml")
	require.NoError(t, os.WriteFile(scenario, []byte(`apiVersion: restoredrill.io/v1alpha1
kind: Scenario
metadata: {name: small}
spec:
  objectives: {rto: 60s}
  seed: {objects: 10}
  backup: {method: etcd}
  faults: [{name: etcd-data-lost}]
`), 0o600))
	d.cmd = d.exec("run", scenario, "--out", d.dir, "--progress", "json")
	var err error
	d.stderr, err = d.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, d.cmd.Start())
	return d
}

func (d *runningDrill) exec(args ...string) *exec.Cmd {
	self, err := exec.LookPath("restore-drill") // testscript puts this test binary there
	require.NoError(d.t, err)
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), "RESTORE_DRILL_STATE_DIR="+d.state)
	return cmd
}

// signalIn sends sig as soon as the phase has begun, and reads on until the process has ended.
func (d *runningDrill) signalIn(phase string, sig syscall.Signal) {
	sent := false
	var seen bytes.Buffer
	lines := bufio.NewScanner(io.TeeReader(d.stderr, &seen))
	for lines.Scan() {
		var e evidence.Event
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.Kind == evidence.PhaseStarted && e.Name == phase {
			require.NoError(d.t, d.cmd.Process.Signal(sig))
			sent = true
		}
	}
	require.True(d.t, sent, "phase %s was not seen in:\n%s", phase, seen.String())
}

func (d *runningDrill) exitCode() int {
	var exit *exec.ExitError
	if err := d.cmd.Wait(); err != nil {
		require.True(d.t, errors.As(err, &exit), "%v", err)
	}
	return d.cmd.ProcessState.ExitCode()
}

func (d *runningDrill) command(args ...string) (string, int) {
	cmd := d.exec(args...)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil {
		require.True(d.t, errors.As(err, &exit), "%v", err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// requireNothingLeft looks for processes and files under the drill's state directory.
func (d *runningDrill) requireNothingLeft() {
	pids, err := process.Pids()
	require.NoError(d.t, err)
	for _, pid := range pids {
		p, err := process.NewProcess(pid)
		if err != nil {
			continue
		}
		if argv, err := p.Cmdline(); err == nil && strings.Contains(argv, d.state) {
			d.t.Errorf("process %d is left: %s", pid, argv)
		}
	}
	entries, err := os.ReadDir(d.state)
	if !errors.Is(err, os.ErrNotExist) {
		require.NoError(d.t, err)
	}
	for _, e := range entries {
		require.Equal(d.t, ".lock", e.Name(), "left in the state directory")
	}
}
