package clusters

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/restore-drill/restore-drill/internal/proc"
)

// logLines of a dead component are told at most.
const logLines = 12

// A processComponent is one child process of a cluster, or several in a row.
type processComponent struct {
	cluster *processCluster
	name    string
	path    string
	// flags by name, without dashes.
	flags   map[string]string
	ports   []*proc.Port
	dataDir string

	// turn is held while the process is started or ended.
	turn sync.Mutex

	mu sync.Mutex
	// process is the last that ran; nil when none did. Ending says that it ends because it was asked to.
	process *proc.Process
	ending  bool
}

func (c *processComponent) Name() string    { return c.name }
func (c *processComponent) DataDir() string { return c.dataDir }
func (c *processComponent) logFile() string {
	return filepath.Join(c.cluster.spec.LogDir, c.name+".log")
}
func (c *processComponent) LogTail(n int) []string { return proc.Tail(c.logFile(), n) }

func (c *processComponent) current() *proc.Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.process
}

func (c *processComponent) Running() bool {
	p := c.current()
	if p == nil {
		return false
	}
	select {
	case <-p.Done():
		return false
	default:
		return true
	}
}

func (c *processComponent) Identity() string {
	if p := c.current(); p != nil {
		return p.Identity().String()
	}
	return ""
}

func (c *processComponent) Start(ctx context.Context, flags map[string]string) error {
	c.turn.Lock()
	defer c.turn.Unlock()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if c.Running() {
		return fmt.Errorf("start %s: it runs already (%s)", c.name, c.Identity())
	}
	all := maps.Clone(c.flags)
	maps.Copy(all, flags)
	p, err := c.cluster.run(c, proc.Command{
		Path: c.path, Args: arguments(all), Dir: c.cluster.place(tmpDir), Log: c.logFile(),
		// Nothing of this user's environment or home reaches a component: not its kubeconfig, proxies or etcd settings.
		Env: []string{"HOME=" + c.cluster.place(tmpDir), "TMPDIR=" + c.cluster.place(tmpDir)},
	})
	if err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}
	go func() {
		<-p.Done()
		c.mu.Lock()
		expected := c.ending && c.process == p
		c.mu.Unlock()
		if !expected {
			c.cluster.lost(c.death(p))
		}
	}()
	return nil
}

func (c *processComponent) Stop(ctx context.Context) error {
	return c.end("stop", func(p *proc.Process) error { return p.Stop(ctx) })
}

func (c *processComponent) Kill(context.Context) error {
	return c.end("kill", (*proc.Process).Kill)
}

func (c *processComponent) end(verb string, how func(*proc.Process) error) error {
	c.turn.Lock()
	defer c.turn.Unlock()
	c.mu.Lock()
	p := c.process
	c.ending = true
	c.mu.Unlock()
	if p == nil {
		return nil
	}
	if err := how(p); err != nil {
		return fmt.Errorf("%s %s: %w", verb, c.name, err)
	}
	return nil
}

// death tells how p ended, why as far as that is known, and its last words.
func (c *processComponent) death(p *proc.Process) error {
	ended, outside := p.Ended(), p.Killed()
	words := p.Words(logLines)
	text := strings.Join(words, "\n")
	if strings.Contains(text, "address already in use") {
		for _, port := range c.ports {
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
	return &Death{Component: c.name, Outside: outside,
		Words: fmt.Sprintf("%s ended unasked: %s; from %s:\n%s", c.name, ended, c.logFile(), text)}
}

// arguments in a stable order.
func arguments(flags map[string]string) []string {
	var args []string
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		args = append(args, "--"+name+"="+flags[name])
	}
	return args
}

// run starts the command for c, and has it in the owner file before and after.
func (c *processCluster) run(component *processComponent, command proc.Command) (*proc.Process, error) {
	c.mu.Lock()
	gone := c.deleted
	c.started = true
	c.mu.Unlock()
	if gone {
		return nil, errors.New("the cluster was deleted")
	}
	if err := c.owner.write(ownerLine{Component: component.name, Argv: command.Argv()}); err != nil {
		return nil, err
	}
	p, err := proc.Start(command)
	if err != nil {
		return nil, err
	}
	component.mu.Lock()
	component.process, component.ending = p, false
	component.mu.Unlock()
	id := p.Identity()
	if err := c.owner.write(ownerLine{Component: component.name, Process: &id}); err != nil {
		component.mu.Lock()
		component.ending = true
		component.mu.Unlock()
		return nil, errors.Join(err, p.Kill())
	}
	return p, nil
}
