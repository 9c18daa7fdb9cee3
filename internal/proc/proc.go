// Package proc runs child processes that outlive no drill: each in its own process group, its output in a file, and with an identity by which
// a later process can find it again and be sure that it kills no stranger.
package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/shirou/gopsutil/v4/process"
	"golang.org/x/sys/unix"
)

// An Identity names one process for good: a pid alone is used again.
type Identity struct {
	PID int `json:"pid"`
	// Start is when the process began, in the operating system's own unit, exact since the machine's boot.
	Start string `json:"start"`
}

func (i Identity) String() string {
	if i == (Identity{}) {
		return ""
	}
	return "pid " + strconv.Itoa(i.PID) + " started " + i.Start
}

// Self is this process.
func Self() (Identity, error) {
	return Identify(os.Getpid())
}

// Identify tells which process has the pid now. The error is os.ErrProcessDone when none has, or what has it has ended and waits for its parent.
func Identify(pid int) (Identity, error) {
	start, err := startOf(pid)
	if err != nil {
		return Identity{}, fmt.Errorf("identify process %d: %w", pid, err)
	}
	return Identity{PID: pid, Start: start}, nil
}

// Alive tells whether this very process still runs. Unknown counts as alive, with an error.
func (i Identity) Alive() (bool, error) {
	now, err := Identify(i.PID)
	if errors.Is(err, os.ErrProcessDone) {
		return false, nil
	}
	if err != nil {
		return true, err
	}
	return now == i, nil
}

// Kill ends this very process, which need not be a child, and what it started in its process group, and returns when they are gone; killed is
// false when they were gone before.
func (i Identity) Kill(ctx context.Context) (killed bool, err error) {
	if i.PID <= 1 {
		return false, fmt.Errorf("kill process %d: not a pid of ours", i.PID)
	}
	if killed, err = i.kill(ctx); err != nil {
		return killed, err
	}
	if _, err := Identify(i.PID); !errors.Is(err, os.ErrProcessDone) {
		// The number has passed to a stranger, which it does not while a process of the group is there.
		return killed, err
	}
	members, err := group(i.PID)
	if err != nil {
		return killed, fmt.Errorf("look for what %s started: %w", i, err)
	}
	for _, member := range members {
		one, err := member.kill(ctx)
		if killed = killed || one; err != nil {
			return killed, err
		}
	}
	return killed, nil
}

// group returns the processes of a process group.
func group(id int) ([]Identity, error) {
	pids, err := process.Pids()
	if err != nil {
		return nil, err
	}
	var members []Identity
	for _, pid := range pids {
		if g, err := unix.Getpgid(int(pid)); err != nil || g != id {
			continue
		}
		if member, err := Identify(int(pid)); err == nil {
			members = append(members, member)
		}
	}
	return members, nil
}

// kill ends this one process. The pid is held while its owner is looked at, where the system can do that, so it cannot pass to another in between.
func (i Identity) kill(ctx context.Context) (killed bool, err error) {
	p, err := os.FindProcess(i.PID)
	if err != nil {
		return false, fmt.Errorf("kill %s: %w", i, err)
	}
	defer p.Release()
	if alive, err := i.Alive(); err != nil || !alive {
		return false, err
	}
	if err := p.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return false, fmt.Errorf("kill %s: %w", i, err)
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if alive, err := i.Alive(); err != nil || !alive {
			return true, err
		}
		select {
		case <-ctx.Done():
			return true, fmt.Errorf("kill %s: still there: %w", i, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// A Command is what to run. The child sees no environment but Env.
type Command struct {
	Path string
	Args []string
	Dir  string
	Env  []string
	// Log is a file to which standard output and error are appended.
	Log string
}

// Argv as the child sees it.
func (c Command) Argv() []string {
	return append([]string{c.Path}, c.Args...)
}

// String can be pasted into a shell.
func (c Command) String() string {
	words := make([]string, 0, 1+len(c.Args))
	for _, w := range c.Argv() {
		if strings.ContainsAny(w, " \t\n'\"\\$&;|<>*?()[]{}#~`!") || w == "" {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}

// A Process is a child.
type Process struct {
	cmd      *exec.Cmd
	identity Identity
	// log is where its output goes, from the byte from on.
	log  string
	from int64
	done chan struct{}
	err  error
}

// Start runs the command in a process group of its own, so that what a terminal sends to this process does not reach it. The group ends with it.
func Start(c Command) (*Process, error) {
	log, err := os.OpenFile(c.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	info, err := log.Stat()
	if err != nil {
		return nil, err
	}
	cmd := &exec.Cmd{Path: c.Path, Args: c.Argv(), Dir: c.Dir, Env: c.Env, Stdout: log, Stderr: log, SysProcAttr: &syscall.SysProcAttr{Setpgid: true}}
	if cmd.Env == nil {
		cmd.Env = []string{}
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("run %s: %w", c, err)
	}
	p := &Process{cmd: cmd, log: c.Log, from: info.Size(), done: make(chan struct{})}
	// A child that has ended keeps its pid until it is waited for, which begins below.
	if start, err := startOf(cmd.Process.Pid); err == nil {
		p.identity = Identity{PID: cmd.Process.Pid, Start: start}
	} else if !errors.Is(err, os.ErrProcessDone) {
		return nil, errors.Join(fmt.Errorf("identify %s: %w", c.Path, err), cmd.Process.Kill(), cmd.Wait())
	} else {
		p.identity = Identity{PID: cmd.Process.Pid, Start: "ended"}
	}
	go func() {
		p.err = cmd.Wait()
		// What it started, as Velero does its plugins, does not outlive it.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		close(p.done)
	}()
	return p, nil
}

// Identity of the child.
func (p *Process) Identity() Identity { return p.identity }

// Done is closed when the child has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Ended says how the child ended: "exit status 1", "signal: killed". It blocks until it has.
func (p *Process) Ended() string {
	<-p.done
	if p.err == nil {
		return "exit status 0"
	}
	return p.err.Error()
}

// Killed tells whether the child ended because somebody wanted it gone: by a signal that it cannot have sent itself (the kernel's for memory
// too), or with exit status 0, which is how a server ends that was asked to.
func (p *Process) Killed() bool {
	<-p.done
	if p.err == nil {
		return true
	}
	var exit *exec.ExitError
	if !errors.As(p.err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && slices.Contains([]syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP}, status.Signal())
}

// Stop asks the child to end (SIGTERM), kills it when ctx ends first, and returns when it has ended.
func (p *Process) Stop(ctx context.Context) error {
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return p.Kill()
	}
}

// Kill ends the child (SIGKILL), and returns when it has ended. That takes no longer than the kernel needs.
func (p *Process) Kill() error {
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return nil
}

func (p *Process) signal(s os.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %s to %s: %w", s, p.identity, err)
	}
	return nil
}

// Words are what the child had to say for itself: the first line of its output and the last, n at most. A program that is called wrongly says so
// first and explains itself at length, one that fails later says so last.
func (p *Process) Words(n int) []string {
	lines := tail(p.log, p.from, n)
	if len(lines) < n {
		return lines
	}
	first := make([]byte, 512)
	f, err := os.Open(p.log)
	if err != nil {
		return lines
	}
	defer f.Close()
	k, _ := f.ReadAt(first, p.from)
	line, _, _ := strings.Cut(string(first[:k]), "\n")
	lines[0] = line
	return lines
}

// Tail returns the last n lines of a file, which may be long; none when it cannot be read.
func Tail(file string, n int) []string {
	return tail(file, 0, n)
}

// tailBytes bounds what is read of a file for its last lines.
const tailBytes = 64 << 10

func tail(file string, from int64, n int) []string {
	f, err := os.Open(file)
	if err != nil || n <= 0 {
		return nil
	}
	defer f.Close()
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil || end <= from {
		return nil
	}
	cut := end-from > tailBytes
	if cut {
		from = end - tailBytes
	}
	b := make([]byte, end-from)
	k, err := f.ReadAt(b, from)
	if err != nil && err != io.EOF {
		return nil
	}
	b = b[:k]
	if cut {
		_, b, _ = bytes.Cut(b, []byte("\n"))
	}
	text := strings.TrimRight(string(b), "\n")
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	return lines[max(0, len(lines)-n):]
}
