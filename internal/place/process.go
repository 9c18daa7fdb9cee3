package place

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/restore-drill/restore-drill/internal/proc"
)

// A Command is what a Process runs.
type Command struct {
	// Name of the process: etcd-0, velero.
	Name string
	Path string
	// Args come first, then the Flags in the order of their names, as --name=value. The command line shows to everybody on the machine: secrets
	// belong into files or Env. One word of it has to name something in the place, or Cleanup could not tell it from a stranger's.
	Args  []string
	Flags map[string]string
	// Env comes on top of HOME and TMPDIR, which lie in the place. Nothing of this process's own environment reaches a child: no kubeconfig,
	// proxy or credentials.
	Env []string
	// LogFile takes the output, and outlives the place.
	LogFile string
	// Ports that it listens on, so that a death can tell which of them is taken.
	Ports []*proc.Port
	// DataDir of one that keeps data, else empty.
	DataDir string
}

// A Death is the end of a process that nobody stopped through its Process.
type Death struct {
	Component string
	// Words say how it ended, and hold its last log lines.
	Words string
	// Outside tells whether something outside the drill ended it: a signal, a port taken by another process. Such a death says nothing
	// about what the component was running on; any other (an exit, a crash) may well be the doing of what was restored.
	Outside bool
}

func (d *Death) Error() string { return d.Words }

// logLines of a dead process are told at most.
const logLines = 12

// A Process is one child process of a place, or several in a row.
type Process struct {
	// Command may be changed while the process does not run.
	Command Command
	place   *Place

	// turn is held while the process is started or ended.
	turn sync.Mutex

	mu sync.Mutex
	// child is the last that ran; nil when none did. Ending says that it ends because it was asked to.
	child  *proc.Process
	ending bool
}

// Name of the command.
func (p *Process) Name() string { return p.Command.Name }

// DataDir of the command.
func (p *Process) DataDir() string { return p.Command.DataDir }

// LogTail returns the last n lines of the log.
func (p *Process) LogTail(n int) []string { return proc.Tail(p.Command.LogFile, n) }

func (p *Process) current() *proc.Process {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.child
}

// Running tells whether it runs now.
func (p *Process) Running() bool {
	child := p.current()
	if child == nil {
		return false
	}
	select {
	case <-child.Done():
		return false
	default:
		return true
	}
}

// Identity is pid and start time; empty when it never ran.
func (p *Process) Identity() string {
	if child := p.current(); child != nil {
		return child.Identity().String()
	}
	return ""
}

// Death is how it ended, where nobody asked it to; nil while it runs, and where somebody did.
func (p *Process) Death() error {
	p.mu.Lock()
	child, ending := p.child, p.ending
	p.mu.Unlock()
	if child == nil || ending || p.Running() {
		return nil
	}
	return p.death(child)
}

// Start starts it, again perhaps, with flags that replace or extend the command's for this one start. It returns when the process runs, which is
// before it is ready.
func (p *Process) Start(ctx context.Context, flags map[string]string) error {
	p.turn.Lock()
	defer p.turn.Unlock()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if p.Running() {
		return fmt.Errorf("start %s: it runs already (%s)", p.Name(), p.Identity())
	}
	child, err := p.run(p.command(flags))
	if err != nil {
		return fmt.Errorf("start %s: %w", p.Name(), err)
	}
	go func() {
		<-child.Done()
		p.mu.Lock()
		expected := p.ending && p.child == child
		p.mu.Unlock()
		if !expected {
			p.place.lost(p.death(child))
		}
	}()
	return nil
}

// Argv is the command that it is started with.
func (p *Process) Argv() []string {
	c := p.command(nil)
	return append([]string{c.Path}, c.Args...)
}

func (p *Process) command(flags map[string]string) proc.Command {
	all := maps.Clone(p.Command.Flags)
	if all == nil {
		all = flags
	} else {
		maps.Copy(all, flags)
	}
	args := slices.Clone(p.Command.Args)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		args = append(args, "--"+name+"="+all[name])
	}
	home := p.place.Dir(tmpDir)
	return proc.Command{
		Path: p.Command.Path, Args: args, Dir: home, Log: p.Command.LogFile,
		Env: append([]string{"HOME=" + home, "TMPDIR=" + home}, p.Command.Env...),
	}
}

// run starts the child, and has it in the owner file before and after.
func (p *Process) run(command proc.Command) (*proc.Process, error) {
	p.place.mu.Lock()
	closed := p.place.closed
	p.place.mu.Unlock()
	if closed {
		return nil, fmt.Errorf("%s was removed", p.place.dir)
	}
	if !names(p.place.dir, command.Argv()) {
		return nil, fmt.Errorf("no word of its command line names anything in %s, by which cleanup could tell it from a stranger's", p.place.dir)
	}
	if err := p.place.owner.write(ownerLine{Component: p.Name(), Argv: command.Argv()}); err != nil {
		return nil, err
	}
	child, err := proc.Start(command)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.child, p.ending = child, false
	p.mu.Unlock()
	id := child.Identity()
	if err := p.place.owner.write(ownerLine{Component: p.Name(), Process: &id}); err != nil {
		p.mu.Lock()
		p.ending = true
		p.mu.Unlock()
		return nil, errors.Join(err, child.Kill())
	}
	return child, nil
}

// Stop asks it to end, and kills it when ctx ends first. It returns when it has ended.
func (p *Process) Stop(ctx context.Context) error {
	return p.end("stop", func(child *proc.Process) error { return child.Stop(ctx) })
}

// Kill ends it at once (SIGKILL), and returns when it has ended.
func (p *Process) Kill(context.Context) error {
	return p.end("kill", (*proc.Process).Kill)
}

func (p *Process) end(verb string, how func(*proc.Process) error) error {
	p.turn.Lock()
	defer p.turn.Unlock()
	p.mu.Lock()
	child := p.child
	p.ending = true
	p.mu.Unlock()
	if child == nil {
		return nil
	}
	if err := how(child); err != nil {
		return fmt.Errorf("%s %s: %w", verb, p.Name(), err)
	}
	return nil
}

// WhileDown calls f, and nobody starts the process meanwhile. It is refused while the process runs.
func (p *Process) WhileDown(f func() error) error {
	p.turn.Lock()
	defer p.turn.Unlock()
	if p.Running() {
		return fmt.Errorf("%s runs", p.Name())
	}
	return f()
}

// death tells how a child ended, why as far as that is known, and its last words.
func (p *Process) death(child *proc.Process) *Death {
	ended, outside := child.Ended(), child.Killed()
	words := child.Words(logLines)
	text := strings.Join(words, "\n")
	if strings.Contains(text, "address already in use") {
		for _, port := range p.Command.Ports {
			if strings.Contains(text, fmt.Sprintf(":%d", port.Number)) {
				ended = fmt.Sprintf("port %s is taken by another process: %s", port.Address(), ended)
				outside = true
				break
			}
		}
	}
	if len(words) == 0 {
		text = "(it logged nothing)"
	}
	return &Death{Component: p.Name(), Outside: outside,
		Words: fmt.Sprintf("%s ended unasked: %s; from %s:\n%s", p.Name(), ended, p.Command.LogFile, text)}
}
