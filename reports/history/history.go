// Package history keeps the outcomes of drills, failed and unknown ones too, in a directory or a bucket to which is only ever added.
//
// Each record is one JSON object, named by its number, that holds the digest of the record before it. A changed record, one that was taken out and one that was
// put in break that chain, and Verify names where. Who may write all of them may write a whole new chain, and who takes away the newest ones leaves a shorter
// one: against both helps the digest of the newest record, noted elsewhere.
//
// Buckets are opened by gocloud.dev/blob: a program links the driver of each scheme that it serves.
package history

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/gcerrors"
	"golang.org/x/sync/errgroup"

	"github.com/restore-drill/restore-drill/reports"
)

// A History is open until it is closed.
type History struct {
	bucket *blob.Bucket
	// write an object that is not there; one that is has to be an error.
	write func(ctx context.Context, name string, b []byte) error
	// dir that the bucket is; empty for one that is none.
	dir string
	// name as it was given.
	name string
}

// Open opens a history by the path or the URL of a directory (file://), or by the URL of a bucket. With create, a directory that is not there is made.
func Open(ctx context.Context, where string, create bool) (*History, error) {
	dir, isDir, err := directory(where)
	switch {
	case err != nil:
		return nil, fmt.Errorf("open history %s: %w", where, err)
	case !isDir:
		bucket, err := blob.OpenBucket(ctx, where)
		if err != nil {
			return nil, fmt.Errorf("open history %s: %w", where, err)
		}
		return Of(bucket, where), nil
	}
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !create:
		return nil, fmt.Errorf("open history %s: there is no such directory: no drill was appended to it yet", where)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("open history %s: %w", where, err)
	case err == nil && !info.IsDir():
		return nil, fmt.Errorf("open history %s: it is a file; a history is a directory of its own", where)
	}
	bucket, err := fileblob.OpenBucket(dir, &fileblob.Options{CreateDir: create, DirFileMode: 0o700, NoTempDir: true, Metadata: fileblob.MetadataDontWrite})
	if err != nil {
		return nil, fmt.Errorf("open history %s: %w", where, err)
	}
	h := Of(bucket, where)
	h.dir = dir
	return h, nil
}

// Check tells what is wrong with the name of a history, before there is anything to append to it.
func Check(where string) error {
	if _, _, err := directory(where); err != nil {
		return fmt.Errorf("open history %s: %w", where, err)
	}
	return nil
}

// directory of a path or a file URL.
func directory(where string) (dir string, ok bool, err error) {
	if where == "" {
		return "", false, errors.New("it has no name (want a directory, or a URL such as s3://bucket?prefix=drills/)")
	}
	scheme, _, isURL := strings.Cut(where, "://")
	switch {
	case !isURL:
		return filepath.Clean(where), true, nil
	case scheme == "file":
		u, err := url.Parse(where)
		if err != nil {
			return "", false, err
		}
		if u.Host != "" || u.RawQuery != "" {
			return "", false, errors.New("a file URL of a history is file:///absolute/path")
		}
		return filepath.FromSlash(u.Path), true, nil
	case !blob.DefaultURLMux().ValidBucketScheme(scheme):
		schemes := append(blob.DefaultURLMux().BucketSchemes(), "file")
		slices.Sort(schemes)
		return "", false, fmt.Errorf("unknown scheme %q (want a directory, or one of %s)", scheme, strings.Join(slices.Compact(schemes), ", "))
	}
	return "", false, nil
}

// Of is the history in a bucket that is open already; closing the history closes it.
func Of(bucket *blob.Bucket, name string) *History {
	return &History{bucket: bucket, name: name, write: func(ctx context.Context, name string, b []byte) error {
		return bucket.WriteAll(ctx, name, b, &blob.WriterOptions{ContentType: "application/json", IfNotExist: true})
	}}
}

// Close lets go of the bucket.
func (h *History) Close() error { return h.bucket.Close() }

// Names of records. They sort as their numbers do.
var recordName = regexp.MustCompile(`^([0-9]{8})\.json$`)

func nameOf(sequence int) string { return fmt.Sprintf("%08d.json", sequence) }

// list the numbers of the records, ascending, and what lies beside them.
func (h *History) list(ctx context.Context) (numbers []int, strays []string, err error) {
	all := h.bucket.List(nil)
	for {
		object, err := all.Next(ctx)
		if err == io.EOF {
			slices.Sort(numbers)
			return numbers, strays, nil
		}
		if err != nil {
			return nil, nil, fmt.Errorf("list history %s: %w", h.name, err)
		}
		m := recordName.FindStringSubmatch(object.Key)
		if m == nil {
			if object.Key != lockName {
				strays = append(strays, object.Key)
			}
			continue
		}
		n, err := strconv.Atoi(m[1])
		if err != nil {
			return nil, nil, err
		}
		numbers = append(numbers, n)
	}
}

// Append adds a record after the newest one, and returns it with its number and digests. Several may append at the same time: each gets a number of its own.
func (h *History) Append(ctx context.Context, r reports.Record) (reports.Record, error) {
	unlock, err := h.lock(ctx)
	if err != nil {
		return r, err
	}
	appended, err := h.append(ctx, r)
	if err := errors.Join(err, unlock()); err != nil {
		return appended, fmt.Errorf("append to history %s: %w", h.name, err)
	}
	return appended, nil
}

func (h *History) append(ctx context.Context, r reports.Record) (reports.Record, error) {
	for {
		numbers, _, err := h.list(ctx)
		if err != nil {
			return r, err
		}
		last := len(numbers)
		if last > 0 && numbers[last-1] != last {
			return r, fmt.Errorf("record %d is missing: nothing is added to a broken chain", firstGap(numbers))
		}
		r.Schema, r.Sequence, r.Previous, r.Appended = reports.RecordSchemaVersion, last+1, "", time.Now().UTC().Round(time.Millisecond)
		if last > 0 {
			b, err := h.bucket.ReadAll(ctx, nameOf(last))
			if err != nil {
				return r, fmt.Errorf("read record %d: %w", last, err)
			}
			if _, err := decode(b, last); err != nil {
				return r, fmt.Errorf("record %d %w: nothing is added to a broken chain", last, err)
			}
			r.Previous = reports.Digest(b)
		}
		b, err := seal(&r)
		if err != nil {
			return r, err
		}
		taken, err := h.create(ctx, nameOf(r.Sequence), b)
		if err != nil {
			return r, fmt.Errorf("write record %d: %w", r.Sequence, err)
		}
		if !taken {
			return r, h.durable(nameOf(r.Sequence))
		}
		// Another drill has this number; ours comes after it.
	}
}

// create an object that is not there yet. Taken tells that it is, by another's hand.
func (h *History) create(ctx context.Context, name string, b []byte) (taken bool, err error) {
	if err := h.write(ctx, name, b); err != nil {
		// A store that answers with a conflict, or not at all, may have written it or not: what is there tells, for no two drills have one ID.
		there, readErr := h.bucket.ReadAll(ctx, name)
		switch {
		case readErr == nil && !bytes.Equal(there, b):
			return true, nil
		case readErr != nil && gcerrors.Code(readErr) == gcerrors.NotFound:
			return false, err
		case readErr != nil:
			return false, errors.Join(err, readErr)
		}
	}
	if h.dir != "" {
		return false, nil // the lock excludes others
	}
	// A store that knows nothing of conditional writes would let two drills have the same number, and would lose one without a word. So the same bytes are
	// written again: it has to refuse.
	if err := h.write(ctx, name, b); err == nil {
		return false, errors.New("the record is written, but the store does not honour If-None-Match: of two drills that end at the same time, one would be lost; use a store that does")
	}
	return false, nil
}

// lockName is the file by which processes take turns in a directory: no file system call that the bucket makes excludes another process.
const lockName = ".lock"

func (h *History) lock(ctx context.Context) (unlock func() error, err error) {
	if h.dir == "" {
		return func() error { return nil }, nil
	}
	lock := flock.New(filepath.Join(h.dir, lockName), flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(ctx, 10*time.Millisecond); err != nil {
		return nil, fmt.Errorf("lock history %s: %w", h.name, err)
	}
	return lock.Close, nil
}

// durable puts a record of a directory on the disk.
func (h *History) durable(name string) error {
	if h.dir == "" {
		return nil
	}
	for _, path := range []string{filepath.Join(h.dir, name), h.dir} {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// seal gives a record its own digest, and returns it as it is written.
func seal(r *reports.Record) ([]byte, error) {
	r.SHA256 = ""
	b, err := encode(*r)
	if err != nil {
		return nil, err
	}
	r.SHA256 = reports.Digest(b)
	return encode(*r)
}

func encode(r reports.Record) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// decode reads a record; the error continues "record N".
func decode(b []byte, sequence int) (reports.Record, error) {
	var head struct {
		Schema string `json:"schema"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return reports.Record{}, fmt.Errorf("is torn, or no JSON: %w", err)
	}
	if head.Schema != reports.RecordSchemaVersion {
		return reports.Record{}, fmt.Errorf("is written as %q, and this restore-drill reads %q: use the version that wrote it", head.Schema, reports.RecordSchemaVersion)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var r reports.Record
	if err := d.Decode(&r); err != nil {
		return reports.Record{}, fmt.Errorf("was edited, or written by a newer version: %w", err)
	}
	if r.Sequence != sequence {
		return reports.Record{}, fmt.Errorf("was moved: it says that it is record %d", r.Sequence)
	}
	whole := r
	if again, err := seal(&whole); err != nil || !bytes.Equal(again, b) {
		return reports.Record{}, fmt.Errorf("was edited: it does not have the digest that it says of itself")
	}
	return r, nil
}

// readers at a time of a bucket.
const readers = 16

// A Chain is a history as it was read.
type Chain struct {
	// Records in their order. Of a broken chain those that could be read.
	Records []reports.Record
	// Digests of the records as they lie there.
	Digests []string
	// Breaks say, one sentence each, where the chain does not hold.
	Breaks []string
	// Strays are the names of what lies beside the records.
	Strays []string
}

// Head is the digest of the newest record, empty for none. Noted elsewhere, it tells that nothing before it was changed or taken away; see Holds.
func (c *Chain) Head() string {
	if len(c.Digests) == 0 {
		return ""
	}
	return c.Digests[len(c.Digests)-1]
}

// Holds tells whether the record with this digest is in the chain.
func (c *Chain) Holds(digest string) bool { return slices.Contains(c.Digests, digest) }

// ErrBroken is wrapped by the error of a chain that does not hold.
var ErrBroken = errors.New("the history is broken")

// Err says where the chain is broken; nil when it holds.
func (c *Chain) Err() error {
	if len(c.Breaks) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrBroken, strings.Join(c.Breaks, "; "))
}

// Read reads all records, and checks each, and the links between them. The error says that they could not be read; whether they hold, the chain's own Err says.
func (h *History) Read(ctx context.Context) (*Chain, error) {
	numbers, strays, err := h.list(ctx)
	if err != nil {
		return nil, err
	}
	bodies := make([][]byte, len(numbers))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	for i, n := range numbers {
		group.Go(func() (err error) {
			if bodies[i], err = h.bucket.ReadAll(groupCtx, nameOf(n)); err != nil {
				return fmt.Errorf("read record %d of history %s: %w", n, h.name, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	c := &Chain{Strays: strays}
	breaks := func(format string, args ...any) { c.Breaks = append(c.Breaks, fmt.Sprintf(format, args...)) }
	next := 1
	for i, n := range numbers {
		switch {
		case n == next+1:
			breaks("record %d is missing", next)
		case n > next+1:
			breaks("records %d to %d are missing", next, n-1)
		}
		digest := reports.Digest(bodies[i])
		r, err := decode(bodies[i], n)
		if err != nil {
			breaks("record %d %s", n, err)
		} else {
			switch adjacent := i > 0 && numbers[i-1] == n-1; {
			case n == 1 && r.Previous != "":
				breaks("record 1 links to a record before it, %.12s, which is missing", r.Previous)
			case adjacent && r.Previous != c.Digests[i-1]:
				breaks("record %d does not link to record %d: it was appended to one with the digest %.12s, and that there is %.12s", n, n-1, r.Previous, c.Digests[i-1])
			}
			c.Records = append(c.Records, r)
		}
		c.Digests = append(c.Digests, digest)
		next = n + 1
	}
	return c, nil
}

func firstGap(numbers []int) int {
	for i, n := range numbers {
		if n != i+1 {
			return i + 1
		}
	}
	return len(numbers) + 1
}
