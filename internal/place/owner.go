package place

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/restore-drill/restore-drill/internal/proc"
)

const ownerFile = "owner.jsonl"

// An ownerLine is one line of an owner file. The first says whose the place is. Then come two for each start of a process: what is about to
// run, and which process it became. A harness that is killed between the two leaves a process that its command line gives away: it names
// files of this place, so no other process has the like.
type ownerLine struct {
	Harness   *proc.Identity `json:"harness,omitempty"`
	Boot      string         `json:"boot,omitempty"`
	Component string         `json:"component,omitempty"`
	Argv      []string       `json:"argv,omitempty"`
	Process   *proc.Identity `json:"process,omitempty"`
	// Engine is a container engine, and Label, NAME=VALUE, what it is about to give to all that it makes for the place.
	Engine string `json:"engine,omitempty"`
	Label  string `json:"label,omitempty"`
}

// An owner is the open owner file of a place of this process.
type owner struct {
	file *os.File
}

// claim makes the directory and its owner file, in this process's name.
func claim(ctx context.Context, root, dir string) (*owner, error) {
	boot, err := proc.Boot()
	if err != nil {
		return nil, fmt.Errorf("tell this run of the machine from others: %w", err)
	}
	self, err := proc.Self()
	if err != nil {
		return nil, err
	}
	unlock, err := lock(ctx, root)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, ownerFile), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	o := &owner{f}
	if err := o.write(ownerLine{Harness: &self, Boot: boot}); err != nil {
		return nil, errors.Join(err, f.Close(), os.RemoveAll(dir))
	}
	return o, nil
}

func (o *owner) write(l ownerLine) error {
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	if _, err := o.file.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("write owner file: %w", err)
	}
	if err := o.file.Sync(); err != nil {
		return fmt.Errorf("write owner file: %w", err)
	}
	return nil
}

func (o *owner) close() error {
	if err := o.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// Cleanup ends the processes and removes the places whose own process is gone, and says what it removed. It leaves alone the places
// of drills that still run. Done again it finds nothing.
func Cleanup(ctx context.Context, stateRoot string, progress func(string)) ([]string, error) {
	if progress == nil {
		progress = func(string) {}
	}
	if _, err := os.Stat(stateRoot); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	unlock, err := lock(ctx, stateRoot)
	if err != nil {
		return nil, err
	}
	defer unlock()
	places, err := filepath.Glob(filepath.Join(globQuote(stateRoot), "*", "*"))
	if err != nil {
		return nil, err
	}
	var (
		removed []string
		errs    []error
	)
	for _, dir := range places {
		if info, err := os.Lstat(dir); err != nil || !info.IsDir() {
			continue
		}
		gone, err := abandoned(ctx, dir, progress)
		if err == nil && gone {
			if err = os.RemoveAll(dir); err == nil {
				removed = append(removed, dir)
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("clean up %s: %w", dir, err))
		}
	}
	drills, err := os.ReadDir(stateRoot)
	errs = append(errs, err)
	for _, d := range drills {
		if d.IsDir() {
			// Fails where a place is left there.
			_ = os.Remove(filepath.Join(stateRoot, d.Name()))
		}
	}
	return removed, errors.Join(errs...)
}

// abandoned tells whether nobody owns the place, and if so ends what still runs for it.
func abandoned(ctx context.Context, dir string, progress func(string)) (bool, error) {
	lines, err := readOwner(filepath.Join(dir, ownerFile))
	if err != nil {
		return false, err
	}
	if len(lines) == 0 || lines[0].Harness == nil {
		// Its maker died before it could say so, and so before it could start anything.
		return true, nil
	}
	boot, err := proc.Boot()
	if err != nil {
		return false, err
	}
	// Processes end with the machine's run, and containers do not.
	ended := lines[0].Boot != boot
	if !ended {
		if alive, err := lines[0].Harness.Alive(); err != nil || alive {
			return false, err
		}
	}
	var (
		errs []error
		kill = func(component string, id proc.Identity) {
			killed, err := id.Kill(ctx)
			errs = append(errs, err)
			if killed {
				progress(fmt.Sprintf("killed %s of %s (pid %d)", component, dir, id.PID))
			}
		}
		begun = map[string][]string{}
	)
	for _, l := range lines[1:] {
		switch {
		case l.Label != "":
			errs = append(errs, removeLabelled(ctx, l, func(what string) { progress(fmt.Sprintf("removed %s of %s", what, dir)) }))
		case ended:
		case l.Process != nil:
			delete(begun, l.Component)
			kill(l.Component, *l.Process)
		case len(l.Argv) > 0:
			begun[l.Component] = l.Argv
		}
	}
	for component, argv := range begun {
		if !names(dir, argv) {
			errs = append(errs, fmt.Errorf("%s was about to be started, and its command line names nothing of this place: look for it yourself", component))
			continue
		}
		found, err := proc.Find(argv)
		errs = append(errs, err)
		for _, id := range found {
			kill(component, id)
		}
	}
	return true, errors.Join(errs...)
}

// names tells whether a command line names anything in a directory.
func names(dir string, argv []string) bool {
	return slices.ContainsFunc(argv, func(word string) bool { return strings.Contains(word, dir+string(filepath.Separator)) })
}

// readOwner returns the whole lines of an owner file: its writer may have died within the last. No file is no lines.
func readOwner(file string) ([]ownerLine, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var lines []ownerLine
	for text := range strings.Lines(string(b)) {
		if !strings.HasSuffix(text, "\n") {
			break
		}
		var l ownerLine
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			return nil, fmt.Errorf("read %s line %d: %w", filepath.Base(file), len(lines)+1, err)
		}
		lines = append(lines, l)
	}
	return lines, nil
}

func globQuote(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}
