package proc

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func command(t *testing.T, script string, args ...string) Command {
	t.Helper()
	return Command{Path: "/bin/sh", Args: append([]string{"-c", script}, args...), Log: filepath.Join(t.TempDir(), "log"), Dir: t.TempDir()}
}

func started(t *testing.T, c Command) *Process {
	t.Helper()
	p, err := Start(c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Kill()) })
	return p
}

// waiting never ends by itself: it reads from a pipe that it holds open.
const waiting = `mkfifo wait; exec 3<>wait; echo ready; read line <&3`

func ready(t *testing.T, c Command) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Join(Tail(c.Log, 1), "") == "ready" }, time.Minute, time.Millisecond)
}

func TestChildSeesNothingOfThisProcess(t *testing.T) {
	t.Setenv("KUBECONFIG", "/a/cluster/that/is/not/ours")
	c := command(t, `echo "$KUBECONFIG|$MINE|$1"; pwd; test $$ = $(cut -d' ' -f5 /proc/$$/stat) && echo own group`, "sh", "one")
	c.Env = []string{"MINE=yes"}
	p := started(t, c)
	require.Equal(t, "exit status 0", p.Ended())
	require.Equal(t, []string{"|yes|one", c.Dir, "own group"}, Tail(c.Log, 5))
}

func TestProcessEnds(t *testing.T) {
	c := command(t, "trap 'echo asked; exit 3' TERM; "+waiting)
	p := started(t, c)
	ready(t, c)
	require.NoError(t, p.Stop(t.Context()))
	require.Equal(t, "exit status 3", p.Ended())
	require.NoError(t, p.Stop(t.Context()), "what has ended is stopped")

	c = command(t, "trap '' TERM; "+waiting)
	p = started(t, c)
	ready(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, p.Stop(ctx))
	require.Equal(t, "signal: killed", p.Ended(), "it does not listen, and has no time left")
	require.NoError(t, p.Kill())
}

func TestStartOfWhatIsNotThere(t *testing.T) {
	c := command(t, "")
	c.Path = filepath.Join(c.Dir, "it's not")
	_, err := Start(c)
	require.EqualError(t, err, fmt.Sprintf(`run '%s/it'\''s not' -c '': fork/exec %s: no such file or directory`, c.Dir, c.Path))
}

func TestIdentity(t *testing.T) {
	self, err := Self()
	require.NoError(t, err)
	require.Equal(t, os.Getpid(), self.PID)
	alive, err := self.Alive()
	require.NoError(t, err)
	require.True(t, alive)

	c := command(t, waiting)
	p := started(t, c)
	ready(t, c)
	id := p.Identity()
	alive, err = id.Alive()
	require.NoError(t, err)
	require.True(t, alive)

	stranger := Identity{PID: id.PID, Start: "1"}
	alive, err = stranger.Alive()
	require.NoError(t, err)
	require.False(t, alive, "the same pid, another process")
	killed, err := stranger.Kill(t.Context())
	require.NoError(t, err)
	require.False(t, killed)
	select {
	case <-p.Done():
		require.Fail(t, "a stranger was killed: "+p.Ended())
	default:
	}

	killed, err = id.Kill(t.Context())
	require.NoError(t, err)
	require.True(t, killed)
	require.Equal(t, "signal: killed", p.Ended())
	killed, err = id.Kill(t.Context())
	require.NoError(t, err)
	require.False(t, killed, "twice")

	_, err = Identify(id.PID)
	require.ErrorIs(t, err, os.ErrProcessDone)
	_, err = Identity{PID: 1, Start: "0"}.Kill(t.Context())
	require.EqualError(t, err, "kill process 1: not a pid of ours")
	require.Empty(t, Identity{}.String())
}

// parent starts a child that waits, and waits too; the child's pid is the first word of the log.
func parent(t *testing.T) (leader *Process, child Identity) {
	t.Helper()
	c := command(t, "mkfifo wait; exec 3<>wait; (read line <&3) & echo $!; read line <&3")
	leader = started(t, c)
	require.Eventually(t, func() bool { return len(Tail(c.Log, 1)) == 1 }, time.Minute, time.Millisecond)
	pid, err := strconv.Atoi(Tail(c.Log, 1)[0])
	require.NoError(t, err)
	child, err = Identify(pid)
	require.NoError(t, err)
	return leader, child
}

func TestChildrenOfAChildGoWithIt(t *testing.T) {
	gone := func(id Identity) {
		require.Eventually(t, func() bool {
			alive, err := id.Alive()
			require.NoError(t, err)
			return !alive
		}, time.Minute, time.Millisecond, "%s outlived its parent", id)
	}
	leader, child := parent(t)
	require.NoError(t, leader.Kill())
	gone(child)

	leader, child = parent(t)
	killed, err := leader.Identity().kill(t.Context())
	require.NoError(t, err)
	require.True(t, killed)
	<-leader.Done()
	gone(child)
}

// The parent has died, and nobody of this process's was there to see it.
func TestChildrenOfADeadProcessAreFound(t *testing.T) {
	parent := exec.Command("/bin/sh", "-c", "mkfifo wait; exec 3<>wait; (read line <&3) >/dev/null 2>&1 & echo $!; kill -KILL $$")
	parent.Dir, parent.SysProcAttr = t.TempDir(), &syscall.SysProcAttr{Setpgid: true}
	out, err := parent.Output()
	t.Cleanup(func() { _ = syscall.Kill(-parent.Process.Pid, syscall.SIGKILL) })
	require.EqualError(t, err, "signal: killed")
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	require.NoError(t, err)
	child, err := Identify(pid)
	require.NoError(t, err)
	was := Identity{PID: parent.Process.Pid, Start: child.Start}
	members, err := group(was.PID)
	require.NoError(t, err)
	require.Equal(t, []Identity{child}, members)
	killed, err := was.Kill(t.Context())
	require.NoError(t, err)
	require.True(t, killed)
	alive, err := child.Alive()
	require.NoError(t, err)
	require.False(t, alive)
}

func TestZombieIsGone(t *testing.T) {
	pid, err := syscall.ForkExec("/bin/true", []string{"true"}, nil)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err := Identify(pid)
		return err != nil
	}, time.Minute, time.Millisecond)
	_, err = Identify(pid)
	require.ErrorIs(t, err, os.ErrProcessDone, "it has ended, and was not waited for")
	_, err = syscall.Wait4(pid, nil, 0, nil)
	require.NoError(t, err)
}

func TestFindTakesTheWholeCommandLine(t *testing.T) {
	c := command(t, waiting, "sh", t.TempDir()+"/a b")
	p := started(t, c)
	ready(t, c)
	found, err := Find(c.Argv())
	require.NoError(t, err)
	require.Equal(t, []Identity{p.Identity()}, found)
	for _, other := range [][]string{c.Argv()[:3], append(c.Argv(), "more"), {strings.Join(c.Argv(), " ")}, nil} {
		found, err := Find(other)
		require.NoError(t, err)
		require.Empty(t, found)
	}
}

func TestBootIsOne(t *testing.T) {
	a, err := Boot()
	require.NoError(t, err)
	b, err := Boot()
	require.NoError(t, err)
	require.Equal(t, a, b)
	require.NotEmpty(t, a)
}

func TestTail(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	require.Empty(t, Tail(file, 3))
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.Empty(t, Tail(file, 3))
	require.NoError(t, os.WriteFile(file, []byte("a\nb\nc"), 0o600))
	require.Equal(t, []string{"b", "c"}, Tail(file, 2))
	require.Equal(t, []string{"a", "b", "c"}, Tail(file, 9))
	require.Empty(t, Tail(file, 0))
	require.NoError(t, os.WriteFile(file, []byte(strings.Repeat("0123456789\n", 100_000)), 0o600))
	lines := Tail(file, 1_000_000)
	require.Less(t, len(lines), 10_000, "a long file is not read whole")
	require.Equal(t, "0123456789", lines[0], "and no line is cut")
}

func TestWordsAreThoseOfThisRun(t *testing.T) {
	c := command(t, "echo wrong flag; for i in 1 2 3 4 5; do echo usage $i; done; exit 2")
	require.NoError(t, os.WriteFile(c.Log, []byte("of an earlier run\n"), 0o600))
	p := started(t, c)
	require.Equal(t, "exit status 2", p.Ended())
	require.Equal(t, []string{"wrong flag", "usage 4", "usage 5"}, p.Words(3))
	require.Equal(t, []string{"wrong flag", "usage 1", "usage 2", "usage 3", "usage 4", "usage 5"}, p.Words(6))
	require.Len(t, p.Words(10), 6)
	c.Args[1] = "exit 1"
	p = started(t, c)
	require.Equal(t, "exit status 1", p.Ended())
	require.Empty(t, p.Words(3))
}
