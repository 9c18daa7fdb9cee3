package toolchain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Source is the directory of the module that a component is built from, downloaded and checked against its pin if need be. Nothing in it may be
// changed.
func (t *Toolchain) Source(ctx context.Context, component string) (dir string, err error) {
	chosen, err := choose("", []string{component})
	if err != nil {
		return "", err
	}
	c := chosen[0]
	defer func() {
		if err != nil {
			err = fmt.Errorf("get the source of %s %s: %w", c.name, c.version(), err)
		}
	}()
	if t.cacheErr != nil {
		return "", t.cacheErr
	}
	goTool, err := exec.LookPath("go")
	if err != nil {
		return "", fmt.Errorf("%w: install Go (https://go.dev/dl)", ErrNoGo)
	}
	set, err := filepath.Abs(t.setDir(c.set))
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(set, 0o755); err != nil {
		return "", err
	}
	unlock, err := t.lock(ctx, filepath.Join(set, ".lock"), c.name)
	if err != nil {
		return "", err
	}
	defer unlock()
	if err := c.set.write(set); err != nil {
		return "", err
	}
	args := []string{"mod", "download", "-json", c.origin()}
	cmd := exec.CommandContext(ctx, goTool, args...)
	cmd.Dir = set
	cmd.Env = append(os.Environ(), c.set.environment()...)
	cmd.WaitDelay = stopGrace
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	var got struct{ Dir, Error string }
	if err == nil {
		err = json.Unmarshal(out, &got)
	}
	if err != nil {
		// Where a download fails, the reason is in the answer.
		var exit *exec.ExitError
		if json.Unmarshal(out, &got) != nil && errors.As(err, &exit) {
			got.Error = strings.TrimSpace(string(exit.Stderr))
		}
		return "", fmt.Errorf("%s: %w\n%s", pasteable(set, c.set.environment(), append([]string{goTool}, args...)), err, got.Error)
	}
	return got.Dir, nil
}

// write puts the files of a set into a directory.
func (s *set) write(dir string) error {
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "go.mod"), s.mod, 0o644),
		os.WriteFile(filepath.Join(dir, "go.sum"), s.sum, 0o644),
	)
}

// Pins names what components are made of, for a version of Kubernetes (empty is the default one): equal pins and ways of building have equal
// names. It looks at nothing and builds nothing.
func Pins(kubernetesVersion string, names ...string) ([]string, error) {
	chosen, err := choose(kubernetesVersion, names)
	if err != nil {
		return nil, err
	}
	pins := make([]string, len(chosen))
	for i, c := range chosen {
		pins[i] = c.name + "@" + c.set.directory()
	}
	return pins, nil
}

// Pinned is the version of a component of the default Kubernetes, empty where there is no such component.
func Pinned(component string) string {
	chosen, err := choose("", []string{component})
	if err != nil {
		return ""
	}
	return chosen[0].version()
}
