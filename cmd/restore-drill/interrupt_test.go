package main

import (
	"bufio"
	"bytes"
	"cmp"
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
			d, code := signalled(t, "etcd", evidence.PhaseStarted, phase, syscall.SIGINT)
			require.Equal(t, exitInterrupted, code)
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

// TestInterruptOfSeveral stops two drills that run and one that has not begun: each that has leaves its evidence, and nothing is left running.
func TestInterruptOfSeveral(t *testing.T) {
	d := startDrills(t, "etcd", []string{"one", "two", "three"}, "--parallel", "2")
	d.signalAt(evidence.PhaseStarted, "restore", syscall.SIGINT)
	require.Equal(t, exitInterrupted, d.exitCode())
	d.requireNothingLeft()
	b, err := os.ReadFile(filepath.Join(d.dir, "summary.json"))
	require.NoError(t, err)
	var summary reports.Summary
	require.NoError(t, json.Unmarshal(b, &summary))
	require.Equal(t, reports.Unknown, summary.Verdict)
	require.Len(t, summary.Drills, 3)
	left := 0
	for _, o := range summary.Drills {
		require.Equal(t, reports.Unknown, o.Verdict)
		require.Contains(t, o.Reason, "interrupted", o.Scenario)
		if o.Report != "" {
			left++
			require.FileExists(t, filepath.Join(d.dir, o.Report))
		}
	}
	require.Equal(t, 2, left, "%s", b)
}

// TestHangup closes the terminal under a drill, and the pipe that it tells its progress to.
func TestHangup(t *testing.T) {
	t.Run("SIGHUP", func(t *testing.T) {
		d := startDrill(t)
		d.signalAt(evidence.PhaseStarted, "seed", syscall.SIGHUP)
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
			d, code := signalled(t, "etcd", evidence.PhaseStarted, phase, syscall.SIGKILL)
			require.Equal(t, -1, code)
			d.requireCleanup()
		})
	}
}

// TestKillVelero sends SIGKILL while Velero restores: its servers, their plugins and the store that is no cluster's are left too.
func TestKillVelero(t *testing.T) {
	d, code := signalled(t, "velero", evidence.StepStarted, "restore objects", syscall.SIGKILL)
	require.Equal(t, -1, code)
	removed := d.requireCleanup()
	for _, place := range []string{"object-store", "velero-source", "velero-restored"} {
		require.Contains(t, removed, place)
	}
}

// requireCleanup of a drill that was killed, which tells what it removed.
func (d *runningDrill) requireCleanup() string {
	removed, code := d.command("cleanup")
	require.Zero(d.t, code, removed)
	d.requireNothingLeft()
	out, code := d.command("cleanup")
	require.Zero(d.t, code)
	require.Empty(d.t, out, "a second cleanup finds nothing")
	out, code = d.command("judge", d.dir)
	require.Equal(d.t, exitUnknown, code, out)
	return removed
}

// A runningDrill is a process of its own, with its own state directory.
type runningDrill struct {
	t          *testing.T
	dir, state string
	cmd        *exec.Cmd
	stderr     io.Reader
}

// signalled is a drill of a backup method that got sig after its event, of this kind and name, and before it had ended: on a busy machine the signal
// may come too late, and another drill gets it.
func signalled(t *testing.T, method, kind, name string, sig syscall.Signal) (*runningDrill, int) {
	for {
		d := startDrills(t, method, []string{"small"})
		d.signalAt(kind, name, sig)
		if code := d.exitCode(); code != 0 {
			return d, code
		}
	}
}

func startDrill(t *testing.T) *runningDrill { return startDrills(t, "etcd", []string{"small"}) }

func startDrills(t *testing.T, method string, names []string, flags ...string) *runningDrill {
	d := newDrill(t)
	for _, name := range names {
		flags = append(flags, writeSmall(t, t.TempDir(), name, method))
	}
	d.start(flags...)
	return d
}

func newDrill(t *testing.T) *runningDrill {
	work := t.TempDir()
	return &runningDrill{t: t, dir: filepath.Join(work, "run"), state: filepath.Join(work, "state")}
}

// start runs what the arguments name.
func (d *runningDrill) start(args ...string) {
	d.cmd = d.exec(append([]string{"run", "--out", d.dir, "--progress", "json"}, args...)...)
	var err error
	d.stderr, err = d.cmd.StderrPipe()
	require.NoError(d.t, err)
	require.NoError(d.t, d.cmd.Start())
}

func writeSmall(t *testing.T, dir, name, method string) string {
	scenario := filepath.Join(dir, name+".yaml")
	require.NoError(t, os.WriteFile(scenario, []byte(`apiVersion: restoredrill.io/v1alpha1
kind: Scenario
metadata: {name: `+name+`}
spec:
  objectives: {rto: 5m}
  seed: {objects: 10}
  backup: {method: `+method+`}
  faults: [{name: etcd-data-lost}]
`), 0o600))
	return scenario
}

func (d *runningDrill) exec(args ...string) *exec.Cmd {
	self, err := exec.LookPath("restore-drill") // testscript puts this test binary there
	require.NoError(d.t, err)
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), "RESTORE_DRILL_STATE_DIR="+d.state)
	return cmd
}

// signalAt sends sig at the first event of this kind and name, and reads on until the process has ended.
func (d *runningDrill) signalAt(kind, name string, sig syscall.Signal) {
	d.at(kind, name, func() { require.NoError(d.t, d.cmd.Process.Signal(sig)) })
}

// at does something at the first event of this kind and name, which of a note is its text, and reads on until the process has ended.
func (d *runningDrill) at(kind, name string, do func()) {
	// Of several drills the first to get there counts.
	done := false
	var seen bytes.Buffer
	lines := bufio.NewScanner(io.TeeReader(d.stderr, &seen))
	for lines.Scan() {
		var e evidence.Event
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.Kind == kind && cmp.Or(e.Name, e.Detail) == name && !done {
			do()
			done = true
		}
	}
	require.True(d.t, done, "%s %s was not seen in:\n%s", kind, name, seen.String())
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
