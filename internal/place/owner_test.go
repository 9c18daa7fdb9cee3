package place

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/internal/proc"
)

// abandon writes an owner file as a harness would have that is gone.
func abandon(t *testing.T, root string, lines ...ownerLine) string {
	t.Helper()
	gone := exec.Command("true")
	require.NoError(t, gone.Start())
	self, err := proc.Self()
	require.NoError(t, err)
	boot, err := proc.Boot()
	require.NoError(t, err)
	harness := proc.Identity{PID: gone.Process.Pid, Start: self.Start}
	require.NoError(t, gone.Wait())
	dir := filepath.Join(root, "drill", "source")
	o, err := claim(t.Context(), root, dir)
	require.NoError(t, err)
	require.NoError(t, o.file.Truncate(0))
	require.NoError(t, o.write(ownerLine{Harness: &harness, Boot: boot}))
	for _, l := range lines {
		require.NoError(t, o.write(l))
	}
	require.NoError(t, o.close())
	return dir
}

// sleeper runs for a minute unless it is killed; its command line is argv.
func sleeper(t *testing.T, argv ...string) *proc.Process {
	t.Helper()
	shell, err := exec.LookPath("sh")
	require.NoError(t, err)
	p, err := proc.Start(proc.Command{
		Path: shell, Args: append([]string{"-c", "exec 3<>$0; read line <&3"}, argv...), Log: filepath.Join(t.TempDir(), "log"),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Kill()) })
	return p
}

func fifo(t *testing.T, file string) string {
	t.Helper()
	require.NoError(t, exec.Command("mkfifo", file).Run())
	return file
}

func running(p *proc.Process) bool {
	select {
	case <-p.Done():
		return false
	default:
		return true
	}
}

func TestCleanupNeverKillsAStranger(t *testing.T) {
	root := t.TempDir()
	// A process that has the pid of a component that is long gone.
	stranger := sleeper(t, fifo(t, filepath.Join(t.TempDir(), "fifo")))
	then := proc.Identity{PID: stranger.Identity().PID, Start: "1"}
	dir := abandon(t, root, ownerLine{Component: "etcd-0", Argv: []string{"etcd"}}, ownerLine{Component: "etcd-0", Process: &then})
	removed, err := Cleanup(t.Context(), root, nil)
	require.NoError(t, err)
	require.Equal(t, []string{dir}, removed)
	require.True(t, running(stranger))
}

func TestCleanupFindsWhatWasNotWrittenDown(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "drill", "source")
	pipe := fifo(t, filepath.Join(t.TempDir(), "fifo"))
	shell, err := exec.LookPath("sh")
	require.NoError(t, err)
	begun := sleeper(t, pipe, dir+"/data")
	other := sleeper(t, pipe, dir+"/data", "more")
	abandon(t, root, ownerLine{Component: "etcd-0", Argv: []string{shell, "-c", "exec 3<>$0; read line <&3", pipe, dir + "/data"}})
	_, err = Cleanup(t.Context(), root, nil)
	require.NoError(t, err)
	require.False(t, running(begun), "started, and the harness was killed before it could write that down")
	require.True(t, running(other), "its command line is not the one that was begun")
	require.NoDirExists(t, dir)
}

func TestCleanupKillsNothingByACommandLineThatAnyoneMayHave(t *testing.T) {
	root := t.TempDir()
	pipe := fifo(t, filepath.Join(t.TempDir(), "fifo"))
	shell, err := exec.LookPath("sh")
	require.NoError(t, err)
	stranger := sleeper(t, pipe)
	dir := abandon(t, root, ownerLine{Component: "etcd-0", Argv: []string{shell, "-c", "exec 3<>$0; read line <&3", pipe}})
	_, err = Cleanup(t.Context(), root, nil)
	require.ErrorContains(t, err, "clean up "+dir+": etcd-0 was about to be started, and its command line names nothing of this place")
	require.True(t, running(stranger))
	require.DirExists(t, dir, "what is not understood is not removed")
}

func TestCleanupOfWhatNoHarnessCouldFinish(t *testing.T) {
	root := filepath.Join(t.TempDir(), "state")
	removed, err := Cleanup(t.Context(), root, nil)
	require.NoError(t, err)
	require.Empty(t, removed)
	require.NoDirExists(t, root, "cleanup makes nothing")

	empty, torn, rebooted := filepath.Join(root, "a", "source"), filepath.Join(root, "b", "source"), filepath.Join(root, "c", "source")
	for _, dir := range []string{empty, torn, rebooted} {
		require.NoError(t, os.MkdirAll(dir, 0o700))
	}
	require.NoError(t, os.WriteFile(filepath.Join(torn, ownerFile), []byte(`{"harness":{"pi`), 0o600))
	self, err := proc.Self()
	require.NoError(t, err)
	before := fmt.Sprintf("{\"harness\":{\"pid\":%d,\"start\":%q},\"boot\":\"another\"}\n{\"component\":\"etcd-0\",\"process\":{\"pid\":%d,\"start\":%q}}\n", self.PID, self.Start, self.PID, self.Start)
	require.NoError(t, os.WriteFile(filepath.Join(rebooted, ownerFile), []byte(before), 0o600))
	strange := filepath.Join(root, "d", "source")
	require.NoError(t, os.MkdirAll(strange, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(strange, ownerFile), []byte("not ours\n"), 0o600))

	removed, err = Cleanup(t.Context(), root, nil)
	require.ErrorContains(t, err, "clean up "+strange+": read owner.jsonl line 1: invalid character")
	require.Equal(t, []string{empty, torn, rebooted}, removed)
	require.DirExists(t, strange)
}

func TestStateRoot(t *testing.T) {
	t.Setenv("RESTORE_DRILL_STATE_DIR", "/set")
	require.Equal(t, "/set", StateRoot())
	t.Setenv("RESTORE_DRILL_STATE_DIR", "")
	t.Setenv("XDG_STATE_HOME", "/xdg")
	require.Equal(t, "/xdg/restore-drill", StateRoot())
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("HOME", "/home/x")
	require.Equal(t, "/home/x/.local/state/restore-drill", StateRoot())
}
