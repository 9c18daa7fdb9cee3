package place

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/internal/proc"
)

func claimed(t *testing.T) *Place {
	t.Helper()
	p, err := Claim(t.Context(), filepath.Join(t.TempDir(), "state"), "drill", "velero")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close(context.WithoutCancel(t.Context()))) })
	return p
}

// script is a command that names the place, as all have to.
func script(t *testing.T, p *Place, text string) Command {
	return Command{Name: "velero", Path: "/bin/sh", Args: []string{"-c", text, p.Dir("x")}, LogFile: filepath.Join(t.TempDir(), "velero.log")}
}

// waiting never ends by itself.
const waiting = `mkfifo $0.$$; exec 3<>$0.$$; echo ready; read line <&3`

func logged(t *testing.T, p *Process, line string) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Contains(strings.Join(p.LogTail(100), "\n"), line) }, time.Minute, time.Millisecond)
}

func TestPlaceIsPrivateAndGoes(t *testing.T) {
	root := filepath.Join(t.TempDir(), "state")
	p, err := Claim(t.Context(), root, "drill", "velero")
	require.NoError(t, err)
	require.Equal(t, filepath.Join(root, "drill", "velero"), p.Dir())
	require.Equal(t, filepath.Join(root, "drill", "velero", "a", "b"), p.Dir("a", "b"))
	info, err := os.Stat(p.Dir())
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	_, err = Claim(t.Context(), root, "drill", "velero")
	require.ErrorIs(t, err, os.ErrExist, "a place has one owner")
	beside, err := Claim(t.Context(), root, "drill", "object-store")
	require.NoError(t, err)

	require.NoError(t, p.Close(t.Context()))
	require.NoDirExists(t, p.Dir())
	require.DirExists(t, beside.Dir(), "another place of the drill stays")
	require.NoError(t, p.Close(t.Context()), "twice")
	require.NoError(t, beside.Close(t.Context()))
	require.NoDirExists(t, filepath.Join(root, "drill"))
	err = p.Process(script(t, p, "exit")).Start(t.Context(), nil)
	require.EqualError(t, err, "start velero: "+p.Dir()+" was removed")
}

func TestNamesOfPlaces(t *testing.T) {
	require.EqualError(t, CheckNames("../drill", ""), "drill ID \"../drill\" is not the name of a directory\nname \"\" is not the name of a directory")
	require.EqualError(t, CheckNames("drill", ".lock"), `name ".lock" is not the name of a directory`)
	require.NoError(t, CheckNames("20260102-030405-etcd", "source"))
	_, err := Claim(t.Context(), t.TempDir(), "drill", "a/b")
	require.EqualError(t, err, `name "a/b" is not the name of a directory`)
}

func TestProcessAgainAndAgain(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "the user's own")
	p := claimed(t)
	c := script(t, p, `echo "$@ $MINE ${HOME#`+p.Dir()+`} ${AWS_SECRET_ACCESS_KEY-}."; `+waiting)
	c.Env, c.Flags = []string{"MINE=yes"}, map[string]string{"b": "1", "a": "2"}
	process := p.Process(c)
	require.False(t, process.Running())
	require.Empty(t, process.Identity())
	require.NoError(t, process.Kill(t.Context()), "what never ran is dead")
	require.NoError(t, process.Death())

	require.NoError(t, process.Start(t.Context(), nil))
	logged(t, process, "ready")
	require.Equal(t, []string{"--a=2 --b=1 yes /tmp .", "ready"}, process.LogTail(9), "nothing of this user's environment reaches it")
	first := process.Identity()
	require.EqualError(t, process.Start(t.Context(), nil), "start velero: it runs already ("+first+")")
	require.EqualError(t, process.WhileDown(func() error { return nil }), "velero runs")
	require.NoError(t, process.Stop(t.Context()))
	require.False(t, process.Running())
	require.NoError(t, process.Death(), "it was asked to")
	down := false
	require.NoError(t, process.WhileDown(func() error { down = true; return nil }))
	require.True(t, down)

	require.NoError(t, process.Start(t.Context(), map[string]string{"b": "3", "c": "4"}))
	logged(t, process, "--a=2 --b=3 --c=4 yes")
	require.NotEqual(t, first, process.Identity())
	require.NoError(t, process.Kill(t.Context()))
	require.NoError(t, process.Start(t.Context(), nil))
	require.True(t, process.Running())
	require.Equal(t, map[string]string{"b": "1", "a": "2"}, process.Command.Flags, "flags of one start are not those of the next")
	select {
	case err := <-p.Died():
		require.NoError(t, err)
	default:
	}
}

func TestDeath(t *testing.T) {
	p := claimed(t)
	ctx, release := p.Guard(t.Context())
	defer release(nil)
	other, releaseOther := p.Guard(t.Context())
	releaseOther(nil)
	c := script(t, p, "echo no such flag; exit 3")
	process := p.Process(c)
	require.NoError(t, process.Start(t.Context(), nil))
	<-ctx.Done()
	words := "velero ended unasked: exit status 3; from " + c.LogFile + ":\nno such flag"
	var death *Death
	require.ErrorAs(t, context.Cause(ctx), &death)
	require.Equal(t, &Death{Component: "velero", Words: words}, death)
	require.EqualError(t, <-p.Died(), words)
	require.EqualError(t, process.Death(), words)
	require.ErrorIs(t, context.Cause(other), context.Canceled, "a guard that was released hears nothing")

	process.Command.Args[1] = waiting
	require.NoError(t, process.Start(t.Context(), nil))
	logged(t, process, "ready")
	require.NoError(t, process.Death(), "it lives again")
	var id proc.Identity
	_, err := fmt.Sscanf(process.Identity(), "pid %d started %s", &id.PID, &id.Start)
	require.NoError(t, err)
	_, err = id.Kill(t.Context())
	require.NoError(t, err)
	require.ErrorAs(t, <-p.Died(), &death)
	require.True(t, death.Outside)
	require.Contains(t, death.Words, "velero ended unasked: signal: killed")
}

func TestDeathOverAPort(t *testing.T) {
	p := claimed(t)
	port, err := p.ReservePort(proc.ReuseAddr)
	require.NoError(t, err)
	c := script(t, p, fmt.Sprintf("echo listen tcp %s: bind: address already in use; exit 1", port.Address()))
	c.Ports = []*proc.Port{port}
	err = p.Process(c).Start(t.Context(), nil)
	require.NoError(t, err)
	var death *Death
	require.ErrorAs(t, <-p.Died(), &death)
	require.True(t, death.Outside)
	require.Contains(t, death.Words, "velero ended unasked: port "+port.Address()+" is taken by another process: exit status 1; from ")
}

func TestWhatCannotStart(t *testing.T) {
	p := claimed(t)
	c := script(t, p, "exit")
	c.Path = p.Dir("nothing")
	err := p.Process(c).Start(t.Context(), nil)
	require.ErrorContains(t, err, "start velero: run "+c.Path+" -c exit "+p.Dir("x")+": fork/exec "+c.Path+": no such file or directory")
	c = script(t, p, "exit")
	c.Args = []string{"-c", "exit"}
	err = p.Process(c).Start(t.Context(), nil)
	require.EqualError(t, err, "start velero: no word of its command line names anything in "+p.Dir()+", by which cleanup could tell it from a stranger's")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = p.Process(script(t, p, "exit")).Start(ctx, nil)
	require.ErrorIs(t, err, context.Canceled)
}
