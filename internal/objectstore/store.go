// Package objectstore runs the S3 store of a drill: versitygw on a directory, as a child process on loopback with TLS. The store belongs to the
// drill and not to a cluster: it outlives both.
package objectstore

import (
	"context"
	"errors"

	"github.com/restore-drill/restore-drill/internal/place"
	"github.com/restore-drill/restore-drill/internal/toolchain"
)

// Options of a store.
type Options struct {
	Toolchain *toolchain.Toolchain
	// StateRoot and DrillID: the store's place is StateRoot/DrillID/object-store.
	StateRoot, DrillID string
	// LogDir receives versitygw's log, which outlives the store.
	LogDir string
	// Progress receives one short line for each thing that is done; may be nil.
	Progress func(line string)
}

// A Store is one bucket.
type Store struct {
	place   *place.Place
	process *place.Process
}

// An Object of the bucket.
type Object struct {
	Key    string
	Size   int64
	SHA256 string
}

// Start makes a store with one bucket, and returns when it serves.
func Start(ctx context.Context, o Options) (*Store, error) {
	return nil, errors.New("start object store: not there yet")
}

// Endpoint is its https URL. It stays the same when the store is stopped and started again.
func (s *Store) Endpoint() string { return "" }

// Bucket is the name of its bucket.
func (s *Store) Bucket() string { return "" }

// Region that requests are signed for.
func (s *Store) Region() string { return "" }

// CA is the authority of its certificate, as PEM.
func (s *Store) CA() []byte { return nil }

// Credentials of the store, made for it alone. The secret goes into no argument, log or error.
func (s *Store) Credentials() (access, secret string) { return "", "" }

// Component is the process, for faults that stop it.
func (s *Store) Component() *place.Process { return s.process }

// Died delivers an error when the process ends that nobody stopped through Component.
func (s *Store) Died() <-chan error { return s.place.Died() }

// Objects reads what the bucket holds off the disk, sorted by key, whether the store runs or not.
func (s *Store) Objects(ctx context.Context) ([]Object, error) { return nil, nil }

// Path is the file of an object, for faults that damage it.
func (s *Store) Path(key string) string { return "" }

// Close ends the process and removes everything. It may be called twice.
func (s *Store) Close(ctx context.Context) error { return nil }
