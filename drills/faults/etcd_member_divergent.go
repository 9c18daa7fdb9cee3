package faults

import (
	"context"
	"errors"
	"fmt"

	"github.com/restore-drill/restore-drill/internal/etcd"
)

// EtcdMemberDivergent is a member that holds other data than the rest at the same revision, as etcd 3.5.0 to 3.5.2 could leave one after
// a crash, and nobody was told. Which data a client is shown depends on the member that answers it, and so does what a snapshot holds.
type EtcdMemberDivergent struct {
	// At is when the member comes to differ: seeded, before the backup, or restored, before the restored cluster is surveyed; default seeded.
	At string `json:"at,omitempty"`
}

// Name in the catalogue.
func (*EtcdMemberDivergent) Name() string { return "etcd-member-divergent" }

// Strikes the cluster at the moment that is set.
func (f *EtcdMemberDivergent) Strikes() Target { return moments[f.At] }

// Destroys in one sentence.
func (*EtcdMemberDivergent) Destroys() string {
	return "Nothing of the cluster's own; the value of a key that the drill writes is changed in the database of the last etcd member."
}

// Validate the parameters.
func (f *EtcdMemberDivergent) Validate() error {
	if f.At != "seeded" && f.At != "restored" {
		return fmt.Errorf("at is %q, want seeded or restored", f.At)
	}
	return nil
}

// Inject writes a key, changes it in the stopped last member's database, and starts that without the check that would find it.
func (f *EtcdMemberDivergent) Inject(ctx context.Context, s *Scene) error {
	cluster, err := s.at(f.Strikes())
	if err != nil {
		return err
	}
	all, err := members(cluster)
	if err != nil {
		return err
	}
	if len(all) < 3 {
		return fmt.Errorf("cluster %s has %d etcd members: one is in the minority among 3 or more (cluster.etcdMembers: 3)", cluster.Name(), len(all))
	}
	const last = 2
	store := cluster.Store()
	if err := etcd.PutProbe(ctx, store.Endpoints, store.TLS); err != nil {
		return err
	}
	// It has to have the key before it is stopped.
	if _, err := etcd.Revision(ctx, store.Endpoints[last], store.TLS); err != nil {
		return err
	}
	if err := all[last].Stop(ctx); err != nil {
		return err
	}
	if err := etcd.Diverge(all[last].DataDir()); err != nil {
		return err
	}
	if err := all[last].Start(ctx, map[string]string{"feature-gates": "InitialCorruptCheck=false"}); err != nil {
		return err
	}
	return awaitMember(ctx, cluster, last, all[last])
}

// Visible when the members' hashes at one revision differ.
func (f *EtcdMemberDivergent) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	cluster, err := s.at(f.Strikes())
	if err != nil {
		return Sighting{}, err
	}
	store := cluster.Store()
	revision, err := etcd.Revision(ctx, store.Endpoints[0], store.TLS)
	if err != nil {
		return Sighting{}, err
	}
	agreement, err := etcd.Agree(ctx, store.Endpoints, store.TLS, revision)
	if errors.Is(err, etcd.ErrDivergent) {
		return Sighting{Visible: true, Detail: err.Error()}, nil
	}
	return Sighting{Detail: fmt.Sprintf("%d of %d members have hash %08x at revision %d", len(agreement.Members), len(store.Endpoints), agreement.Hash, agreement.Revision)}, err
}
