package faults

import "context"

// EtcdDataLost is the loss of the disks under all etcd members, or of the only one: no member is left to copy from. The rest of
// the control plane goes on running, and has nothing to serve.
type EtcdDataLost struct{}

// Name in the catalogue.
func (*EtcdDataLost) Name() string { return "etcd-data-lost" }

// Strikes the source cluster.
func (*EtcdDataLost) Strikes() Target { return Source }

// Destroys in one sentence.
func (*EtcdDataLost) Destroys() string {
	return "All etcd members of the source cluster are killed, and their data is deleted."
}

// Inject kills and deletes.
func (*EtcdDataLost) Inject(ctx context.Context, s *Scene) error {
	if s.Source == nil {
		return errNoSource
	}
	lost, err := members(s.Source)
	if err != nil {
		return err
	}
	if err := each(ctx, lost, kill); err != nil {
		return err
	}
	return loseData(ctx, s.Source, lost)
}

// Visible when no member is left that takes a connection.
func (*EtcdDataLost) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	if s.Source == nil {
		return Sighting{}, errNoSource
	}
	return refusals(ctx, s.Source, func(gone, all int) bool { return gone == all })
}
