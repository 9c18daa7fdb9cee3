package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// A Container to run.
type Container struct {
	// Name may be empty.
	Name   string
	Image  string
	Labels map[string]string
	// Options of the engine's run command, such as --privileged or --network.
	Options []string
	// Command and its arguments, for the image's entry point.
	Command []string
}

// Run starts a container that stays in the background, and returns its ID. It pulls nothing: an image that is not there is an error.
func (e *Engine) Run(ctx context.Context, c Container) (id string, err error) {
	id, err = e.Do(ctx, append([]string{"run", "--detach"}, c.arguments()...)...)
	if err != nil {
		return "", fmt.Errorf("run container of %s: %w", c.Image, err)
	}
	return id, nil
}

// Output runs a container to its end, removes it, and returns its standard output. It pulls nothing.
func (e *Engine) Output(ctx context.Context, c Container) (string, error) {
	out, err := e.Do(ctx, append([]string{"run", "--rm"}, c.arguments()...)...)
	if err != nil {
		return "", fmt.Errorf("run container of %s: %w", c.Image, err)
	}
	return out, nil
}

func (c Container) arguments() []string {
	args := append([]string{"--pull", "never"}, labelArguments(c.Labels)...)
	if c.Name != "" {
		args = append(args, "--name", c.Name)
	}
	return slices.Concat(args, c.Options, []string{c.Image}, c.Command)
}

func labelArguments(labels map[string]string) (args []string) {
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		args = append(args, "--label", name+"="+labels[name])
	}
	return args
}

// Exec runs a command in a running container and returns its standard output. Stdin may be nil.
func (e *Engine) Exec(ctx context.Context, container string, stdin io.Reader, argv ...string) ([]byte, error) {
	args := []string{"exec"}
	if stdin != nil {
		args = append(args, "--interactive")
	}
	return e.Pipe(ctx, stdin, slices.Concat(args, []string{container}, argv)...)
}

// Commit makes an image of a container's file system, with the changes, which are instructions of a Dockerfile, and returns its ID.
func (e *Engine) Commit(ctx context.Context, container, ref string, changes ...string) (id string, err error) {
	args := []string{"commit"}
	for _, change := range changes {
		args = append(args, "--change", change)
	}
	if id, err = e.Do(ctx, append(args, container, ref)...); err != nil {
		return "", fmt.Errorf("commit container %s: %w", container, err)
	}
	return id, nil
}

// A Kind of thing that the engine keeps and that can carry a label.
type Kind string

// The kinds of what a drill leaves in the engine.
const (
	Containers Kind = "container"
	Networks   Kind = "network"
	Volumes    Kind = "volume"
)

// Labelled lists the names of what carries a label, NAME or NAME=VALUE; containers that do not run as well.
func (e *Engine) Labelled(ctx context.Context, kind Kind, label string) ([]string, error) {
	args := []string{string(kind), "ls", "--filter", "label=" + label, "--format", "{{.Name}}"}
	if kind == Containers {
		args = []string{"container", "ls", "--all", "--no-trunc", "--filter", "label=" + label, "--format", "{{.Names}}"}
	}
	out, err := e.Do(ctx, args...)
	if err != nil {
		return nil, fmt.Errorf("list %ss with the label %s: %w", kind, label, err)
	}
	return strings.Fields(out), nil
}

// Remove removes what is named at once: containers are killed, and their anonymous volumes go with them. What is not there is removed already.
func (e *Engine) Remove(ctx context.Context, kind Kind, names ...string) error {
	args := []string{string(kind), "rm"}
	switch kind {
	case Containers:
		args = append(args, "--force", "--volumes")
	case Volumes:
		args = append(args, "--force")
	}
	var errs []error
	for _, name := range names {
		if _, err := e.Do(ctx, append(args, name)...); err != nil && !notThere(err) {
			errs = append(errs, fmt.Errorf("remove %s %s: %w", kind, name, err))
		}
	}
	return errors.Join(errs...)
}

// RemoveLabelled removes every container, network and volume with a label, and returns what it removed as "container NAME".
func (e *Engine) RemoveLabelled(ctx context.Context, label string) (removed []string, err error) {
	var errs []error
	// Containers first: they hold the others.
	for _, kind := range []Kind{Containers, Networks, Volumes} {
		found, err := e.Labelled(ctx, kind, label)
		errs = append(errs, err)
		for _, name := range found {
			if err := e.Remove(ctx, kind, name); err != nil {
				errs = append(errs, err)
				continue
			}
			removed = append(removed, string(kind)+" "+name)
		}
	}
	return removed, errors.Join(errs...)
}
