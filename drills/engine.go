package drills

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/internal/evidence"
)

// teardownTimeout bounds each undo: a teardown that hangs must not hide the drill's outcome.
const teardownTimeout = 3 * time.Minute

// A phase is one row of the pipeline.
type phase struct {
	name string
	// does says in a few words what happens, for plan and progress.
	does string
	run  func(ctx context.Context) error
	// still tells whether it is worth running though the backup tool failed in the phase before: there is something to look at. Nil for no.
	still func() bool
}

// An engine runs phases in order, writes down what happens, and undoes everything at the end. Of clusters it
// knows only how they die.
type engine struct {
	rec    recorder
	cancel context.CancelCauseFunc

	// toolFailed is set once the backup tool failed in a phase.
	toolFailed bool

	mu    sync.Mutex
	undos []undo
}

// A recorder takes the timeline; *evidence.Recorder is the real one.
type recorder interface {
	Event(evidence.Event) error
}

type undo struct {
	name string
	do   func(context.Context) error
}

// within undoes, and gives up waiting after the timeout even when the undo does not heed its context.
func (u undo) within(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- protect(ctx, u.do) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("not done within %s", timeout)
	}
}

// A harnessError is trouble of the drill's own making or surroundings: it says nothing about the backup.
type harnessError struct{ error }

func (e harnessError) Unwrap() error { return e.error }

// harness marks err as the drill's own trouble; a nil error stays nil.
func harness(err error) error {
	if err == nil {
		return nil
	}
	return harnessError{err}
}

// onTeardown registers an undo. Register it before looking at the error of what it undoes.
func (e *engine) onTeardown(name string, do func(context.Context) error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.undos = append(e.undos, undo{name, do})
}

// run executes the phases until one fails, then tears down, and closes the timeline. What a failed tool left behind is still looked at. Its
// error joins all that went wrong; the verdict is not its business.
func (e *engine) run(ctx context.Context, phases []phase) error {
	ctx, e.cancel = context.WithCancelCause(ctx)
	defer e.cancel(nil)
	var err error
	for _, p := range phases {
		if err == nil || e.toolFailed && p.still != nil && p.still() {
			err = errors.Join(err, e.phase(ctx, p))
		}
	}
	err = errors.Join(err, e.teardown(context.WithoutCancel(ctx)))
	return errors.Join(err, e.rec.Event(evidence.Event{Kind: evidence.DrillEnded}))
}

func (e *engine) phase(ctx context.Context, p phase) error {
	if err := e.rec.Event(evidence.Event{Kind: evidence.PhaseStarted, Name: p.name, Phase: p.name, Detail: p.does}); err != nil {
		return err
	}
	err := protect(ctx, p.run)
	end := evidence.Event{Kind: evidence.PhaseEnded, Name: p.name, Phase: p.name}
	if err != nil {
		end.Error, end.Blame = err.Error(), blame(ctx, p, err)
		e.toolFailed = end.Blame == evidence.BlameTool
		err = fmt.Errorf("%s: %w", p.name, err)
	}
	return errors.Join(err, e.rec.Event(end))
}

// recovered turns a panic into a harness error.
func recovered(run func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = harness(fmt.Errorf("panic: %v\n%s", r, debug.Stack()))
		}
	}()
	return run()
}

// protect turns a panic into a harness error, and an error that a cancellation caused into the cancellation's own cause.
func protect(ctx context.Context, run func(context.Context) error) error {
	err := recovered(func() error { return run(ctx) })
	if err == nil {
		// A death or an interrupt that the phase did not notice must not pass unnoticed.
		return context.Cause(ctx)
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w (while: %w)", cause, err)
	}
	return err
}

// blame tells whether a phase's error is a verdict on the backup. It is only when the phase is on trial, and neither the
// drill's own trouble, nor a death or a cancellation from outside, is behind it.
func blame(ctx context.Context, p phase, err error) string {
	var (
		h harnessError
		d *clusters.Death
	)
	switch {
	case !evidence.OnTrial(p.name), errors.As(err, &h), machineTrouble(err):
		return evidence.BlameHarness
	case errors.As(err, &d):
		if d.Outside {
			return evidence.BlameHarness
		}
	case context.Cause(ctx) != nil:
		return evidence.BlameHarness
	}
	return evidence.BlameTool
}

// machineTrouble tells whether this machine ran out of something, or does not let us: a backup that met no such machine might have
// held. A component that died of it, or a library that panicked, only tells so in words.
func machineTrouble(err error) bool {
	return slices.ContainsFunc([]syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EROFS},
		func(trouble syscall.Errno) bool {
			return errors.Is(err, trouble) || strings.Contains(err.Error(), trouble.Error())
		})
}

// teardown undoes everything, last in first out. Its errors are recorded and returned: they cap the verdict at unknown.
func (e *engine) teardown(ctx context.Context) error {
	const name = evidence.PhaseTeardown
	// A timeline that cannot be written is no reason to leave anything running.
	errs := []error{e.rec.Event(evidence.Event{Kind: evidence.PhaseStarted, Name: name, Phase: name})}
	for {
		e.mu.Lock()
		if len(e.undos) == 0 {
			e.mu.Unlock()
			break
		}
		u := e.undos[len(e.undos)-1]
		e.undos = e.undos[:len(e.undos)-1]
		e.mu.Unlock()
		if err := u.within(ctx, teardownTimeout); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", u.name, err))
		}
	}
	err := errors.Join(errs...)
	end := evidence.Event{Kind: evidence.PhaseEnded, Name: name, Phase: name}
	if err != nil {
		end.Error, end.Blame = err.Error(), evidence.BlameHarness
	}
	return errors.Join(err, e.rec.Event(end))
}
