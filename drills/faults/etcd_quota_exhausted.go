package faults

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/internal/etcd"
)

// EtcdQuotaExhausted is a store that has reached its quota: etcd raises the alarm NOSPACE and takes no more writes until somebody makes
// room and disarms it. A snapshot that is taken meanwhile holds the alarm, and a cluster restored from it takes no write either,
// whatever its own quota is.
type EtcdQuotaExhausted struct{}

// Name in the catalogue.
func (*EtcdQuotaExhausted) Name() string { return "etcd-quota-exhausted" }

// Strikes the seeded source cluster.
func (*EtcdQuotaExhausted) Strikes() Target { return Seeded }

// Destroys in one sentence.
func (*EtcdQuotaExhausted) Destroys() string {
	return "Nothing; all etcd members of the source cluster are restarted with a quota that is used up, and take no more writes."
}

// Inject restarts the members with a quota below what they hold, and writes until that is noticed. Leaders that cannot renew their leases would
// end some seconds later: they are stopped.
func (*EtcdQuotaExhausted) Inject(ctx context.Context, s *Scene) error {
	if s.Source == nil {
		return errNoSource
	}
	for _, c := range s.Source.Components() {
		if c.Name() == "kube-controller-manager" || c.Name() == "kube-scheduler" {
			if err := c.Stop(ctx); err != nil {
				return err
			}
		}
	}
	all, err := members(s.Source)
	if err != nil {
		return err
	}
	store := s.Source.Store()
	before, err := etcd.Health(ctx, store.Endpoints, store.TLS)
	if err != nil {
		return err
	}
	for i, m := range all {
		if before.Members[i].Bytes == 0 {
			return fmt.Errorf("%s does not say how large it is", m.Name())
		}
		if err := m.Stop(ctx); err != nil {
			return err
		}
		quota := map[string]string{"quota-backend-bytes": strconv.FormatInt(before.Members[i].Bytes/2, 10)}
		if err := m.Start(ctx, quota); err != nil {
			return err
		}
		if err := awaitMember(ctx, s.Source, i, m); err != nil {
			return err
		}
	}
	return etcd.ExhaustQuota(ctx, store.Endpoints, store.TLS)
}

// awaitMember returns when a member that was started serves, and at once with an error when it ends instead.
func awaitMember(ctx context.Context, c clusters.Cluster, i int, m clusters.Component) error {
	store := c.Store()
	for {
		asked, cancel := context.WithTimeout(ctx, askAgain)
		_, err := etcd.Revision(asked, store.Endpoints[i], store.TLS)
		cancel()
		switch {
		case err == nil:
			return nil
		case !m.Running():
			return fmt.Errorf("%s ended when it was started again: %s", m.Name(), lastWords(m))
		case ctx.Err() != nil:
			return errors.Join(fmt.Errorf("%s does not serve: %w", m.Name(), context.Cause(ctx)), err)
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// Visible when the alarm is raised.
func (*EtcdQuotaExhausted) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	if s.Source == nil {
		return Sighting{}, errNoSource
	}
	store := s.Source.Store()
	h, err := etcd.Health(ctx, store.Endpoints, store.TLS)
	if err != nil {
		return Sighting{}, err
	}
	for _, alarm := range h.Alarms {
		if alarm.Type == etcd.NoSpace {
			return Sighting{Visible: true, Detail: fmt.Sprintf("member %s has the alarm %s", alarm.Member, alarm.Type)}, nil
		}
	}
	return Sighting{Detail: "no member has an alarm for want of space"}, nil
}
