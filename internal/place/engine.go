package place

import (
	"context"
	"fmt"
	"time"

	"github.com/restore-drill/restore-drill/internal/engine"
	"github.com/restore-drill/restore-drill/internal/proc"
)

// Engine writes down that a container engine is about to make containers, networks or volumes with a label, NAME=VALUE, for the place. From then on
// Cleanup removes whatever carries it: nothing that does must be there before.
func (p *Place) Engine(name, label string) error {
	return p.owner.write(ownerLine{Engine: name, Label: label})
}

// makingTimeout bounds the wait for commands of the engine that outlived their harness. They end by themselves, as soon as what they make is there.
const makingTimeout = time.Minute

// removeLabelled removes what an engine made for a place. A command that makes something of it may have outlived the harness, and is waited for.
func removeLabelled(ctx context.Context, l ownerLine, removed func(what string)) error {
	e, err := engine.Named(l.Engine)
	if err != nil {
		return err
	}
	if err := awaitMaking(ctx, l.Label); err != nil {
		return err
	}
	all, err := e.RemoveLabelled(ctx, l.Label)
	for _, what := range all {
		removed(what)
	}
	return err
}

func awaitMaking(ctx context.Context, label string) error {
	ctx, cancel := context.WithTimeout(ctx, makingTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		making, err := proc.Naming(label)
		if err != nil || len(making) == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s, which makes something labelled %s: %w", making[0], label, context.Cause(ctx))
		case <-tick.C:
		}
	}
}
