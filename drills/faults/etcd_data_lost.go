package faults

import (
	"context"
	"fmt"
)

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
	return loseData(lost)
}

// Visible when no member answers, and the API cannot read through any.
func (*EtcdDataLost) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	if s.Source == nil {
		return Sighting{}, errNoSource
	}
	return unreadable(ctx, s, func(silent, all int) bool { return silent == all })
}

// unreadable looks whether enough members are silent, and whether the API cannot make a quorum read.
func unreadable(ctx context.Context, s *Scene, enough func(silent, all int) bool) (Sighting, error) {
	read := make(chan error, 1)
	go func() { read <- readThrough(ctx, s.Source) }()
	silent := unanswered(ctx, s.Source)
	err := <-read
	if cause := ctx.Err(); cause != nil {
		return Sighting{}, cause
	}
	n, all := count(silent), len(silent)
	detail := fmt.Sprintf("%d of %d etcd members answer no linearizable read", n, all)
	if err == nil {
		return Sighting{Detail: detail + "; the API makes quorum reads"}, nil
	}
	return Sighting{Visible: enough(n, all), Detail: detail + "; a quorum read through the API fails: " + brief(err)}, nil
}
