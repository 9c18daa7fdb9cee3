package evidence

import "context"

type stepKey struct{}

// WithStep is a context in which what is done belongs to a step: steps may run beside each other, and a command has to be told of the right one.
func WithStep(ctx context.Context, step string) context.Context {
	return context.WithValue(ctx, stepKey{}, step)
}

// StepOf is the step that a context belongs to; empty when none was named.
func StepOf(ctx context.Context) string {
	step, _ := ctx.Value(stepKey{}).(string)
	return step
}
