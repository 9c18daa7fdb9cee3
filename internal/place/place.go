// Package place gives what runs for a drill a directory of its own, and supervises the child processes in it. A place is StateRoot/DRILL/NAME; an
// owner file in it says whose it is and what runs for it, so that Cleanup finds both after a SIGKILL.
package place

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sync/errgroup"

	"github.com/restore-drill/restore-drill/internal/proc"
)

// StateRoot is where places are by default: RESTORE_DRILL_STATE_DIR, else restore-drill in the user's state directory.
func StateRoot() string {
	if dir := os.Getenv("RESTORE_DRILL_STATE_DIR"); dir != "" {
		return dir
	}
	state := os.Getenv("XDG_STATE_HOME")
	if state == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return filepath.Join(os.TempDir(), fmt.Sprintf("restore-drill-%d", os.Getuid()))
		}
		state = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(state, "restore-drill")
}

const (
	// tmpDir is the home and working directory of a place's processes.
	tmpDir = "tmp"
	// lockFile is held while a place and its owner file come into being, so that a place without one has lost its maker.
	lockFile = ".lock"
)

// A Place belongs to this process. Its methods may be called from several goroutines.
type Place struct {
	dir   string
	owner *owner
	died  chan error
	// closing is held by Close.
	closing sync.Mutex

	mu        sync.Mutex
	closed    bool
	processes []*Process
	ports     []*proc.Port
	guards    map[context.Context]context.CancelCauseFunc
}

// CheckNames finds what cannot be the names of directories.
func CheckNames(drillID, name string) error {
	check := func(what, name string) error {
		if name == "" || name != filepath.Base(name) || strings.HasPrefix(name, ".") {
			return fmt.Errorf("%s %q is not the name of a directory", what, name)
		}
		return nil
	}
	return errors.Join(check("drill ID", drillID), check("name", name))
}

// Claim makes the directory StateRoot/drillID/name, which must not be there, in this process's name. An empty root is StateRoot().
func Claim(ctx context.Context, root, drillID, name string) (*Place, error) {
	if err := CheckNames(drillID, name); err != nil {
		return nil, err
	}
	if root == "" {
		root = StateRoot()
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(root, drillID, name)
	owner, err := claim(ctx, root, dir)
	if err != nil {
		return nil, err
	}
	p := &Place{dir: dir, owner: owner, died: make(chan error, 64), guards: map[context.Context]context.CancelCauseFunc{}}
	if err := os.Mkdir(p.Dir(tmpDir), 0o700); err != nil {
		return nil, errors.Join(err, p.Close(context.WithoutCancel(ctx)))
	}
	return p, nil
}

// Dir is the directory, or the path of something in it.
func (p *Place) Dir(elem ...string) string {
	return filepath.Join(append([]string{p.dir}, elem...)...)
}

// ReservePort keeps a port until the place is closed.
func (p *Place) ReservePort(s proc.Sharing) (*proc.Port, error) {
	port, err := proc.ReservePort(s)
	if err == nil {
		p.mu.Lock()
		p.ports = append(p.ports, port)
		p.mu.Unlock()
	}
	return port, err
}

// Process makes one that is not started yet.
func (p *Place) Process(c Command) *Process {
	process := &Process{Command: c, place: p}
	p.mu.Lock()
	p.processes = append(p.processes, process)
	p.mu.Unlock()
	return process
}

// Died delivers a *Death when a process ends that nobody stopped through its Process.
func (p *Place) Died() <-chan error { return p.died }

// Guard returns a context that ends, too, when a process ends that nobody stopped through its Process, with the *Death as its cause. The function
// it returns ends it as well, and has to be called in the end.
func (p *Place) Guard(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.guards[ctx] = cancel
	return ctx, func(cause error) {
		p.mu.Lock()
		delete(p.guards, ctx)
		p.mu.Unlock()
		cancel(cause)
	}
}

// Lost tells of the end of something that runs for the place and is no process of it. It is news as the death of a process is.
func (p *Place) Lost(death *Death) { p.lost(death) }

func (p *Place) lost(death error) {
	p.mu.Lock()
	for _, cancel := range p.guards {
		cancel(death)
	}
	p.mu.Unlock()
	select {
	case p.died <- death:
	default: // whoever listens has had 64 to read
	}
}

// Close ends every process at once, and removes the directory: nothing in it is needed any more. It may be called twice.
func (p *Place) Close(ctx context.Context) error {
	p.closing.Lock()
	defer p.closing.Unlock()
	p.mu.Lock()
	p.closed = true
	processes, ports := slices.Clone(p.processes), p.ports
	p.mu.Unlock()
	var g errgroup.Group
	for _, process := range processes {
		g.Go(func() error { return process.Kill(ctx) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	errs := []error{p.owner.close(), os.RemoveAll(p.dir)}
	for _, port := range ports {
		errs = append(errs, port.Release())
	}
	// Fails while the drill has another place there.
	_ = os.Remove(filepath.Dir(p.dir))
	return errors.Join(errs...)
}

func lock(ctx context.Context, root string) (unlock func(), err error) {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, err
	}
	l := flock.New(filepath.Join(root, lockFile))
	if _, err := l.TryLockContext(ctx, 10*time.Millisecond); err != nil {
		return nil, fmt.Errorf("lock %s: %w", l.Path(), err)
	}
	return func() { _ = l.Unlock() }, nil
}
