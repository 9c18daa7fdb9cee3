// Package engine speaks to the container engine of this machine through its command line, docker or podman, as kind does. It changes nothing but
// what its caller names, and finds again by label what was made.
package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/restore-drill/restore-drill/internal/shell"
)

// ProviderVariable names the engine for kind, and so for us: docker or podman.
const ProviderVariable = "KIND_EXPERIMENTAL_PROVIDER"

// names of the engines that are looked for, in this order.
var names = []string{"docker", "podman"}

// stopGrace is what a command gets to end by itself when its context does.
const stopGrace = 5 * time.Second

// ErrNoEngine is wrapped by the error of a machine on which no engine is installed.
var ErrNoEngine = errors.New("no container engine on PATH")

// An Engine is one that is installed; whether it answers, Info tells. Its methods may be called from several goroutines.
type Engine struct {
	// Name is docker or podman.
	Name string
	path string
}

// Find takes the engine that KIND_EXPERIMENTAL_PROVIDER names, else docker, else podman.
func Find() (*Engine, error) {
	wanted := names
	if name := os.Getenv(ProviderVariable); name != "" {
		if name != "docker" && name != "podman" {
			return nil, fmt.Errorf("use %s=%s: unknown engine (want %s)", ProviderVariable, name, strings.Join(names, " or "))
		}
		wanted = []string{name}
	}
	for _, name := range wanted {
		path, err := exec.LookPath(name)
		if err == nil {
			return &Engine{Name: name, path: path}, nil
		}
		if !errors.Is(err, exec.ErrNotFound) {
			return nil, fmt.Errorf("use %s: %w", name, err)
		}
	}
	return nil, fmt.Errorf("find %s: %w: install Docker (https://docs.docker.com/engine/install, on Debian the package docker.io)",
		strings.Join(wanted, " or "), ErrNoEngine)
}

// Named is the engine of that name, docker or podman, where it is installed.
func Named(name string) (*Engine, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return nil, fmt.Errorf("use %s: %w", name, err)
	}
	return &Engine{Name: name, path: path}, nil
}

// A CommandError is a command of the engine that ended with a failure.
type CommandError struct {
	// Argv can be pasted into a shell.
	Argv []string
	// Said is the end of what it wrote to standard error, or to standard output where it wrote nothing there.
	Said string
	Err  error
}

func (e *CommandError) Error() string {
	said := ""
	if e.Said != "" {
		said = "\n" + e.Said
	}
	return fmt.Sprintf("%s: %v%s", shell.Join(e.Argv...), e.Err, said)
}

func (e *CommandError) Unwrap() error { return e.Err }

// ExitCode of the command, or -1 where it had none.
func (e *CommandError) ExitCode() int {
	var exit *exec.ExitError
	if errors.As(e.Err, &exit) {
		return exit.ExitCode()
	}
	return -1
}

// Do runs a command of the engine's CLI and returns its standard output without the space around it. The error is a *CommandError.
func (e *Engine) Do(ctx context.Context, args ...string) (string, error) {
	out, err := e.Pipe(ctx, nil, args...)
	return strings.TrimSpace(string(out)), err
}

// Pipe runs a command of the engine's CLI with stdin, which may be nil, and returns its standard output. The error is a *CommandError.
func (e *Engine) Pipe(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	err := e.Stream(ctx, stdin, &stdout, &stderr, args...)
	var failed *CommandError
	if errors.As(err, &failed) && failed.Said == "" {
		failed.Said = tail(stdout.String())
	}
	return stdout.Bytes(), err
}

// Stream runs a command of the engine's CLI, its output going to stdout and stderr as it comes. The error is a *CommandError with the end of stderr.
func (e *Engine) Stream(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer, args ...string) error {
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, e.path, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, io.MultiWriter(stderr, &said)
	// The terminal's Ctrl-C is for us: we tell the command ourselves, when the context ends.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = stopGrace
	err := cmd.Run()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return &CommandError{Argv: append([]string{e.Name}, args...), Said: tail(said.String()), Err: err}
}

// tailLines is how much of a failed command's output an error shows.
const tailLines = 20

func tail(said string) string {
	lines := strings.Split(strings.TrimSpace(said), "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}

// Path of the engine's program.
func (e *Engine) Path() string { return e.path }
