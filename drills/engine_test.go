package drills

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/internal/evidence"
)

// timeline is a recorder that keeps what matters of the events: "seed", "seed!harness", "teardown" ...
type timeline struct {
	events []evidence.Event
}

func (t *timeline) Event(e evidence.Event) error {
	t.events = append(t.events, e)
	return nil
}

func (t *timeline) String() string {
	var ended []string
	for _, e := range t.events {
		switch {
		case e.Kind == evidence.DrillEnded:
			ended = append(ended, "end")
		case e.Kind != evidence.PhaseEnded:
		case e.Error == "":
			ended = append(ended, e.Name)
		default:
			ended = append(ended, e.Name+"!"+e.Blame)
		}
	}
	return strings.Join(ended, " ")
}

func (t *timeline) err(phase string) string {
	for _, e := range t.events {
		if e.Kind == evidence.PhaseEnded && e.Name == phase {
			return e.Error
		}
	}
	return ""
}

// death is a component's end, as clusters report it.
func death(outside bool) error {
	return &clusters.Death{Component: "etcd-0", Words: "etcd-0 died", Outside: outside}
}

func TestEveryOutcomeOfThePipeline(t *testing.T) {
	boom := errors.New("boom")
	nothing := func(context.Context) error { return nil }
	fails := func(context.Context) error { return boom }
	for name, test := range map[string]struct {
		prepare, trial func(*engine, context.Context) error
		interrupt      time.Duration
		want           string
		reason         string // of the failed phase
	}{
		"all is well": {want: "seed restore survey teardown end"},
		"a phase that is not on trial fails": {
			prepare: func(*engine, context.Context) error { return boom },
			want:    "seed!harness teardown end", reason: "boom",
		},
		"the tool fails": {
			trial: func(*engine, context.Context) error { return boom },
			want:  "seed restore!tool teardown end", reason: "boom",
		},
		"the harness fails while the tool is on trial": {
			trial: func(*engine, context.Context) error { return harness(boom) },
			want:  "seed restore!harness teardown end", reason: "boom",
		},
		"a full disk while the tool is on trial": {
			trial: func(*engine, context.Context) error {
				return &os.PathError{Op: "write", Path: "snapshot.db", Err: syscall.ENOSPC}
			},
			want: "seed restore!harness teardown end", reason: "no space left on device",
		},
		"a component that died of a full disk": {
			trial: func(*engine, context.Context) error {
				return &clusters.Death{Component: "etcd-0", Words: "etcd-0 ended unasked: exit status 1\nwal: no space left on device"}
			},
			want: "seed restore!harness teardown end", reason: "no space left on device",
		},
		"a panic": {
			trial: func(*engine, context.Context) error { panic("at the disco") },
			want:  "seed restore!harness teardown end", reason: "panic: at the disco",
		},
		"an interrupt": {
			trial:     func(_ *engine, ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
			interrupt: time.Second,
			want:      "seed restore!harness teardown end", reason: "interrupted",
		},
		"an interrupt that the phase does not notice": {
			trial:     func(_ *engine, ctx context.Context) error { <-ctx.Done(); return nil },
			interrupt: time.Second,
			want:      "seed restore!harness teardown end", reason: "interrupted",
		},
		"a component killed from outside": {
			trial: func(e *engine, ctx context.Context) error {
				e.cancel(death(true))
				<-ctx.Done()
				return ctx.Err()
			},
			want: "seed restore!harness teardown end", reason: "etcd-0 died",
		},
		"a death from outside that the tool itself reports": {
			trial: func(*engine, context.Context) error { return fmt.Errorf("start: %w", death(true)) },
			want:  "seed restore!harness teardown end", reason: "etcd-0 died",
		},
		"a death of what was restored that the tool itself reports": {
			trial: func(*engine, context.Context) error { return fmt.Errorf("start: %w", death(false)) },
			want:  "seed restore!tool teardown end", reason: "etcd-0 died",
		},
		"a component that dies of what was restored": {
			trial: func(e *engine, ctx context.Context) error {
				e.cancel(death(false))
				<-ctx.Done()
				return ctx.Err()
			},
			want: "seed restore!tool teardown end", reason: "etcd-0 died",
		},
		"a deadline of the restore": {
			trial: func(_ *engine, ctx context.Context) error {
				ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("not restored within 1m0s"))
				defer cancel()
				<-ctx.Done()
				return context.Cause(ctx)
			},
			want: "seed restore!tool teardown end", reason: "not restored within 1m0s",
		},
		"an undo fails": {
			prepare: func(e *engine, _ context.Context) error {
				e.onTeardown("remove the directory", fails)
				return nil
			},
			want: "seed restore survey teardown!harness end",
		},
		"an undo panics": {
			prepare: func(e *engine, _ context.Context) error {
				e.onTeardown("remove the directory", func(context.Context) error { panic("no") })
				return nil
			},
			want: "seed restore survey teardown!harness end",
		},
		"an undo that hangs, deaf to its context": {
			prepare: func(e *engine, ctx context.Context) error {
				e.onTeardown("remove the directory", func(context.Context) error { <-ctx.Done(); return nil })
				return nil
			},
			want: "seed restore survey teardown!harness end",
		},
		"an undo hangs": {
			prepare: func(e *engine, _ context.Context) error {
				e.onTeardown("remove the directory", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
				return nil
			},
			want: "seed restore survey teardown!harness end",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lines := &timeline{}
				e := &engine{rec: lines}
				bind := func(run func(*engine, context.Context) error) func(context.Context) error {
					if run == nil {
						return nothing
					}
					return func(ctx context.Context) error { return run(e, ctx) }
				}
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				if test.interrupt > 0 {
					time.AfterFunc(test.interrupt, func() { cancel(errors.New("interrupted")) })
				}
				err := e.run(ctx, []phase{
					{name: "seed", run: bind(test.prepare)},
					{name: "restore", run: bind(test.trial)},
					{name: "survey", run: nothing},
				})
				require.Equal(t, test.want, lines.String())
				if strings.Contains(test.want, "!") {
					require.Error(t, err)
				} else {
					require.NoError(t, err)
				}
				if test.reason != "" {
					failed := lines.err("seed") + lines.err("restore")
					require.Contains(t, failed, test.reason)
					require.Contains(t, err.Error(), test.reason)
				}
			})
		})
	}
}

// full is a timeline on a disk that is full.
type full struct{}

func (full) Event(evidence.Event) error { return syscall.ENOSPC }

func TestATimelineThatCannotBeWrittenLeavesNothingRunning(t *testing.T) {
	e := &engine{rec: full{}}
	undone := false
	e.onTeardown("delete the cluster", func(context.Context) error { undone = true; return nil })
	require.ErrorIs(t, e.run(t.Context(), nil), syscall.ENOSPC)
	require.True(t, undone)
}

func TestTeardownIsLastInFirstOutAndSurvivesAnInterrupt(t *testing.T) {
	lines := &timeline{}
	e := &engine{rec: lines}
	var order []string
	ctx, cancel := context.WithCancel(t.Context())
	err := e.run(ctx, []phase{{name: "seed", run: func(context.Context) error {
		for _, name := range []string{"first", "second"} {
			e.onTeardown(name, func(ctx context.Context) error {
				order = append(order, name)
				return ctx.Err()
			})
		}
		cancel()
		return nil
	}}})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, []string{"second", "first"}, order)
	require.Equal(t, "seed!harness teardown end", lines.String())
}
