package faults

import (
	"context"
	"fmt"

	"github.com/restore-drill/restore-drill/internal/etcd"
)

// EtcdFragmented is a store whose file is mostly empty pages: what was written once and deleted and compacted since, as Events are,
// leaves its room in the file until somebody defragments it. A snapshot is a copy of that file, and a restore is as slow as the file is
// large.
type EtcdFragmented struct {
	// MiB that are written and deleted again; default 64.
	MiB int `json:"mib,omitempty"`
}

// Name in the catalogue.
func (*EtcdFragmented) Name() string { return "etcd-fragmented" }

// Strikes the seeded source cluster.
func (*EtcdFragmented) Strikes() Target { return Seeded }

// Destroys in one sentence.
func (f *EtcdFragmented) Destroys() string {
	return fmt.Sprintf("Nothing; %d MiB are written into the source cluster's store, deleted and compacted, and not defragmented.", f.MiB)
}

// Validate the parameters.
func (f *EtcdFragmented) Validate() error {
	if f.MiB < 8 || f.MiB > 1024 {
		return fmt.Errorf("mib is %d, want 8 to 1024", f.MiB)
	}
	return nil
}

// Inject writes, deletes and compacts.
func (f *EtcdFragmented) Inject(ctx context.Context, s *Scene) error {
	if s.Source == nil {
		return errNoSource
	}
	store := s.Source.Store()
	return etcd.Fragment(ctx, store.Endpoints, store.TLS, f.MiB)
}

// Visible when every member's file has so many MiB, or nearly, that are not in use.
func (f *EtcdFragmented) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	if s.Source == nil {
		return Sighting{}, errNoSource
	}
	store := s.Source.Store()
	h, err := etcd.Health(ctx, store.Endpoints, store.TLS)
	if err != nil {
		return Sighting{}, err
	}
	seen := Sighting{Visible: true}
	for _, m := range h.Members {
		if m.Error != "" {
			return Sighting{}, fmt.Errorf("%s: %s", m.Endpoint, m.Error)
		}
		seen.Visible = seen.Visible && m.Bytes-m.BytesInUse >= int64(f.MiB)<<20*3/4
		seen.Detail = fmt.Sprintf("of the file of %s, %d MiB, %d MiB are in use", m.ID, m.Bytes>>20, m.BytesInUse>>20)
	}
	return seen, nil
}
