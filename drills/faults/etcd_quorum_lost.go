package faults

import (
	"context"
	"fmt"
)

// EtcdQuorumLost is the loss of most etcd members with their disks, two of three: the one that is left holds all data, and can neither
// read nor write without the others.
type EtcdQuorumLost struct{}

// Name in the catalogue.
func (*EtcdQuorumLost) Name() string { return "etcd-quorum-lost" }

// Strikes the source cluster.
func (*EtcdQuorumLost) Strikes() Target { return Source }

// Destroys in one sentence.
func (*EtcdQuorumLost) Destroys() string {
	return "Most etcd members of the source cluster, two of three, are killed, and their data is deleted."
}

// Inject kills and deletes.
func (*EtcdQuorumLost) Inject(ctx context.Context, s *Scene) error {
	if s.Source == nil {
		return errNoSource
	}
	all, err := members(s.Source)
	if err != nil {
		return err
	}
	if len(all) < 3 {
		return fmt.Errorf("cluster %s has %d etcd members: a quorum is lost among 3 or more (cluster.etcdMembers: 3)", s.Source.Name(), len(all))
	}
	lost := all[:len(all)/2+1]
	if err := each(ctx, lost, kill); err != nil {
		return err
	}
	return loseData(ctx, s.Source, lost)
}

// Visible when so many members take no connection that the one that is left has no quorum: what it answers, and when, depends on how long it
// takes to notice.
func (*EtcdQuorumLost) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	if s.Source == nil {
		return Sighting{}, errNoSource
	}
	return refusals(ctx, s.Source, func(gone, all int) bool { return all >= 3 && leaveNoQuorum(gone, all) })
}
