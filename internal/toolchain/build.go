package toolchain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"github.com/restore-drill/restore-drill/internal/shell"
)

const (
	// heartbeat is how often a build tells that it is alive.
	heartbeat = 10 * time.Second
	// lockRetry is how often a run looks whether the other run, which builds, is done.
	lockRetry = 200 * time.Millisecond
	// stopGrace is what a build that is told to stop gets to remove its own temporary files.
	stopGrace = 5 * time.Second
	// unfinished is how directories start that hold what a build has not finished.
	unfinished = ".build-"
)

// ErrNoGo is wrapped by the error of a build on a machine without Go.
var ErrNoGo = errors.New("no go on PATH")

// build makes components of a set and puts them in the cache. It holds the set's lock meanwhile: of several runs that need the
// same, one builds and the others wait for it. A binary appears under its name when it is whole and has told its version.
func (t *Toolchain) build(ctx context.Context, s *set, missing []component) error {
	if t.cacheErr != nil {
		return t.cacheErr
	}
	names, versions := nameList(missing), versionList(missing)
	goTool, err := exec.LookPath("go")
	if err != nil {
		return fmt.Errorf("build %s: %w: install Go (https://go.dev/dl), or set --bin-dir (RESTORE_DRILL_BIN_DIR) to a directory that holds %s",
			versions, ErrNoGo, names)
	}
	dir, err := filepath.Abs(t.setDir(s))
	if err != nil {
		return fmt.Errorf("build %s: %w", names, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("build %s: %w", names, err)
	}
	unlock, err := t.lock(ctx, filepath.Join(dir, ".lock"), names)
	if err != nil {
		return err
	}
	defer unlock()

	// The run that held the lock may have built them.
	var still []component
	for _, c := range missing {
		if reason, err := t.misfit(ctx, c, filepath.Join(dir, c.name)); reason != "" || err != nil {
			still = append(still, c)
		}
	}
	if len(still) == 0 {
		return nil
	}
	return t.buildLocked(ctx, goTool, dir, s, still)
}

// lock waits until no other run builds in this place, and says so when it has to wait.
func (t *Toolchain) lock(ctx context.Context, file, names string) (unlock func(), err error) {
	l := flock.New(file)
	ok, err := l.TryLock()
	if err == nil && !ok {
		t.say("waiting for another run that builds %s (%s)", names, file)
		_, err = l.TryLockContext(ctx, lockRetry)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", file, err), l.Close())
	}
	// The file stays: whoever removed it would let two runs lock two files of one name.
	return func() { _ = l.Close() }, nil
}

func (t *Toolchain) buildLocked(ctx context.Context, goTool, dir string, s *set, components []component) (err error) {
	versions := versionList(components)
	defer func() {
		if err != nil {
			err = fmt.Errorf("build %s: %w", versions, err)
		}
	}()
	// What runs before this one were killed over.
	leftovers, err := filepath.Glob(filepath.Join(dir, unfinished+"*"))
	if err != nil {
		return err
	}
	for _, leftover := range leftovers {
		if err := os.RemoveAll(leftover); err != nil {
			return err
		}
	}
	if err := s.write(dir); err != nil {
		return err
	}
	out, err := os.MkdirTemp(dir, unfinished)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(out)) }()

	started := time.Now()
	t.mentionEmptyBinDir()
	t.say("building %s in %s", versions, dir)
	var packages []string
	for _, c := range components {
		packages = append(packages, c.pkg)
	}
	if err := t.goBuild(ctx, goTool, dir, versions, s.environment(), s.arguments(out+"/", packages...)); err != nil {
		return err
	}
	for _, c := range components {
		file := filepath.Join(out, c.executable())
		if reason, err := t.misfit(ctx, c, file); err != nil {
			return err
		} else if reason != "" {
			return fmt.Errorf("check %s: %s, and %s is pinned", c.name, reason, c.version())
		}
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		if err := os.Rename(file, filepath.Join(dir, c.name)); err != nil {
			return err
		}
		t.say("built %s %s in %s", c.name, c.version(), elapsed(info.ModTime().Sub(started)))
	}
	return nil
}

// goBuild runs go build, with a sign of life now and then. It leaves no process when ctx is cancelled.
func (t *Toolchain) goBuild(ctx context.Context, goTool, dir, what string, env, args []string) error {
	var said output
	cmd := exec.CommandContext(ctx, goTool, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = stopGrace

	started := time.Now()
	done := make(chan struct{})
	var beating sync.WaitGroup
	beating.Go(func() {
		ticker := time.NewTicker(heartbeat)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				t.say("building %s: %s, %s", what, said.progress(), elapsed(time.Since(started)))
			}
		}
	})
	err := cmd.Run()
	close(done)
	beating.Wait()
	if ctx.Err() != nil {
		if cmd.Process != nil {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", pasteable(dir, env, append([]string{goTool}, args...)), err, said.end())
	}
	return nil
}

// tailLines is how much of a failed build's output an error shows.
const tailLines = 20

// output takes what go build -v prints: counts of what goes well, and the end of everything else.
type output struct {
	mu                   sync.Mutex
	rest                 []byte
	downloaded, compiled int
	tail                 []string
}

var packagePath = regexp.MustCompile(`^[\w.~/-]+$`)

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rest = append(o.rest, p...)
	for {
		i := bytes.IndexByte(o.rest, '\n')
		if i < 0 {
			return len(p), nil
		}
		o.take(string(o.rest[:i]))
		o.rest = o.rest[i+1:]
	}
}

func (o *output) take(line string) {
	switch {
	case strings.HasPrefix(line, "go: downloading "):
		o.downloaded++
	case packagePath.MatchString(line):
		o.compiled++
	default:
		o.tail = append(o.tail, line)
		if len(o.tail) > tailLines {
			o.tail = o.tail[1:]
		}
	}
}

func (o *output) progress() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return fmt.Sprintf("%d modules downloaded, %d packages compiled", o.downloaded, o.compiled)
}

// end is the end of the output, for an error.
func (o *output) end() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	lines := o.tail
	if len(o.rest) > 0 {
		lines = append(lines, string(o.rest))
	}
	return strings.Join(lines, "\n")
}

// pasteable is a command as a user can run it again.
func pasteable(dir string, env, argv []string) string {
	line := "cd " + shell.Quote(dir) + " && "
	for _, setting := range env {
		name, value, _ := strings.Cut(setting, "=")
		line += name + "=" + shell.Quote(value) + " "
	}
	return line + shell.Join(argv...)
}

func nameList(components []component) string {
	var names []string
	for _, c := range components {
		names = append(names, c.name)
	}
	return strings.Join(names, ", ")
}

// versionList is a list of names with their versions: "etcd, etcdutl v3.6.16".
func versionList(components []component) string {
	var words []string
	for i, c := range components {
		word := c.name
		if i == len(components)-1 || components[i+1].version() != c.version() {
			word += " " + c.version()
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}
