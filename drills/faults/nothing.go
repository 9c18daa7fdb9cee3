package faults

import "context"

// Nothing is a fault that does not take effect, like a kill of a process that had been replaced. A drill that then restores, and finds all well,
// has shown nothing.
type Nothing struct{}

// Name in the catalogue.
func (*Nothing) Name() string { return "nothing" }

// Strikes the source cluster.
func (*Nothing) Strikes() Target { return Source }

// Destroys in one sentence.
func (*Nothing) Destroys() string { return "Nothing." }

// Inject does nothing.
func (*Nothing) Inject(context.Context, *Scene) error { return nil }

// Visible never.
func (*Nothing) Visible(context.Context, *Scene) (Sighting, error) {
	return Sighting{Detail: "nothing is broken"}, nil
}
