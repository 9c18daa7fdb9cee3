package evidence

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// A Recorder writes a run directory. It may be used from several goroutines. What it wrote before a SIGKILL stays readable: a
// file is either there whole (Put) or grows by whole lines, of which only the last may be torn (Event, Append).
type Recorder struct {
	dir     string
	started time.Time
	observe func(Event)

	mu    sync.Mutex
	files map[string]*os.File
	// newest time of an event so far.
	newest time.Duration
	// phase that runs now; an event that names none happened in it.
	phase  string
	closed bool
}

// Free tells whether dir can become a run directory: it is not there yet, or it is empty.
func Free(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look into the run directory: %w", err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("use %s as run directory: it is not empty (it holds %s); name a new or an empty one", dir, entries[0].Name())
	}
	return nil
}

// Create makes dir (mode 0700) or takes it when it is empty, and starts the drill's clock. A directory that holds anything is
// refused: evidence of two drills must not mix. Observe is called with each event once it is on disk; it may be nil.
func Create(dir string, observe func(Event)) (*Recorder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the run directory: %w", err)
	}
	if err := Free(dir); err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, fmt.Errorf("close the run directory to others: %w", err)
	}
	r := &Recorder{dir: dir, started: time.Now(), observe: observe, files: map[string]*os.File{}}
	if _, err := r.open(TimelineFile); err != nil {
		return nil, err
	}
	return r, nil
}

// Now is the time since the drill began, on the monotonic clock.
func (r *Recorder) Now() time.Duration { return time.Since(r.started) }

// Started is when the drill began, on the wall clock.
func (r *Recorder) Started() time.Time { return r.started.Round(0).UTC() }

// Path of a file in the run directory.
func (r *Recorder) Path(name string) string { return filepath.Join(r.dir, name) }

// durable kinds of Event are on the disk when Event returns; a verdict may hang on them.
var durable = []string{PhaseStarted, PhaseEnded, MarkReached, Claim, ArtifactChosen, DrillEnded}

// Event appends e to the timeline. Its time is now unless it has one, and its phase the running one. Now is when Event was called: a slow
// disk, or a display that is stopped, delays the line and not its time.
func (r *Recorder) Event(e Event) error {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.At == 0 {
		// Of events at the same moment, one may have overtaken the other; the timeline stays in order.
		e.At, e.Wall = max(r.newest, now.Sub(r.started)), now.Round(0).UTC()
		r.newest = e.At
	}
	if e.Wall.IsZero() {
		e.Wall = r.started.Add(e.At).Round(0).UTC()
	}
	if e.Kind == PhaseStarted {
		r.phase = e.Name
	}
	if e.Phase == "" {
		e.Phase = r.phase
	}
	if e.Kind == PhaseEnded {
		r.phase = ""
	}
	if err := r.append(TimelineFile, e, slices.Contains(durable, e.Kind)); err != nil {
		return err
	}
	if r.observe != nil {
		r.observe(e)
	}
	return nil
}

// Append adds v as one line to a file of JSON lines.
func (r *Recorder) Append(name string, v any) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.append(name, v, false)
}

func (r *Recorder) append(name string, v any, sync bool) error {
	f, err := r.open(name)
	if err != nil {
		return err
	}
	line, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	// One write a line: a kill tears the last line at most.
	if _, err := f.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if sync {
		if err := f.Sync(); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
}

func (r *Recorder) open(name string) (*os.File, error) {
	if r.closed {
		return nil, fmt.Errorf("write %s: the run directory is closed", name)
	}
	if f, ok := r.files[name]; ok {
		return f, nil
	}
	f, err := os.OpenFile(r.Path(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", name, err)
	}
	r.files[name] = f
	return f, nil
}

// Put writes v as a JSON file, whole or not at all. It replaces an older one.
func (r *Recorder) Put(name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return r.PutBytes(name, append(b, '\n'))
}

// PutBytes writes a file, whole or not at all. It replaces an older one.
func (r *Recorder) PutBytes(name string, b []byte) error {
	if err := r.put(name, b); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

func (r *Recorder) put(name string, b []byte) (err error) {
	f, err := os.CreateTemp(r.dir, "."+filepath.Base(name)+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), r.Path(name))
}

// Close ends the writing. Events after it are refused. It may be called twice.
func (r *Recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	var errs []error
	for _, f := range r.files {
		err := f.Sync()
		if cerr := f.Close(); err == nil && !errors.Is(cerr, fs.ErrClosed) {
			err = cerr
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
