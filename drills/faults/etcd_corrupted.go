package faults

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/internal/etcd"
)

// EtcdCorrupted is a power cut that leaves torn pages in the databases of all etcd members, as a disk that lies about fsync does. The members are
// killed, pages that their databases use are overwritten with noise, and they are started again, as their supervisor would do.
type EtcdCorrupted struct {
	// Pages of each database to overwrite; default 8.
	Pages int `json:"pages,omitempty"`
}

// comebackTimeout is how long a member that was started again may take to serve or to end.
const comebackTimeout = 5 * time.Second

// Name in the catalogue.
func (*EtcdCorrupted) Name() string { return "etcd-corrupted" }

// Strikes the source cluster.
func (*EtcdCorrupted) Strikes() Target { return Source }

// Destroys in one sentence.
func (f *EtcdCorrupted) Destroys() string {
	return fmt.Sprintf("All etcd members of the source cluster are killed, %d pages of each one's database are overwritten, and they are started again.", f.Pages)
}

// Validate the parameters.
func (f *EtcdCorrupted) Validate() error {
	if f.Pages < 1 {
		return fmt.Errorf("pages is %d, want at least 1", f.Pages)
	}
	return nil
}

// Inject kills, damages and starts again, and waits until that has come to something.
func (f *EtcdCorrupted) Inject(ctx context.Context, s *Scene) error {
	if s.Source == nil {
		return errNoSource
	}
	all, err := members(s.Source)
	if err != nil {
		return err
	}
	if err := each(ctx, all, kill); err != nil {
		return err
	}
	for _, m := range all {
		if _, err := etcd.DamagePages(m.DataDir(), f.Pages, s.Rand); err != nil {
			return err
		}
	}
	if err := each(ctx, all, func(ctx context.Context, m clusters.Component) error { return m.Start(ctx, nil) }); err != nil {
		return err
	}
	return f.settle(ctx, s, all)
}

// settle returns when every member serves or has ended. One that does neither may be broken or only slow: nobody could tell.
func (*EtcdCorrupted) settle(ctx context.Context, s *Scene, all []clusters.Component) error {
	deadline := time.Now().Add(comebackTimeout)
	for time.Now().Before(deadline) {
		silent := unanswered(ctx, s.Source)
		starting := false
		for i, m := range all {
			starting = starting || silent[i] != nil && m.Running()
		}
		if !starting {
			return ctx.Err()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return fmt.Errorf("a member neither serves nor has ended %s after it was started again", comebackTimeout)
}

// Visible when the API cannot read, because no member that was started again serves.
func (*EtcdCorrupted) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	if s.Source == nil {
		return Sighting{}, errNoSource
	}
	sighting, err := unreadable(ctx, s, func(silent, all int) bool { return silent == all })
	all, errMembers := members(s.Source)
	if err := errors.Join(err, errMembers); err != nil || !sighting.Visible {
		return sighting, err
	}
	for _, m := range all {
		if words := lastWords(m); !m.Running() && words != "" {
			sighting.Detail += fmt.Sprintf("; %s ended: %s", m.Name(), words)
		}
	}
	return sighting, nil
}

// lastWords of a member: the line of its log that says what is wrong.
func lastWords(m clusters.Component) string {
	const most = 200
	lines := m.LogTail(200)
	for _, mark := range []string{"panic: ", `"level":"panic"`, `"level":"fatal"`} {
		for _, line := range lines {
			if _, after, found := strings.Cut(line, mark); found {
				if strings.HasPrefix(mark, "panic") {
					line = mark + after
				}
				return line[:min(len(line), most)]
			}
		}
	}
	return ""
}
