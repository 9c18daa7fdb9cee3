package faults

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/internal/etcd"
)

// EtcdCorrupted is a power cut that leaves torn pages in the databases of all etcd members, as a disk that lies about fsync does. The members are
// killed, pages that their databases use are overwritten with noise, and they are started again, as their supervisor would do.
type EtcdCorrupted struct {
	// Pages of each database to overwrite; default 8.
	Pages int `json:"pages,omitempty"`
}

// askAgain is how long a member that was started again may think about one question before it is asked whether it still runs.
const askAgain = 5 * time.Second

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
	for i, m := range all {
		if err := damagePages(ctx, s.Source, i, m.DataDir(), f.Pages, s.Rand); err != nil {
			return err
		}
	}
	if err := each(ctx, all, func(ctx context.Context, m clusters.Component) error { return m.Start(ctx, nil) }); err != nil {
		return err
	}
	return f.settle(ctx, s, all)
}

// settle returns when every member serves or has ended, or so many have ended that the others cannot serve. One that does neither may be broken
// or only slow: nobody could tell.
func (*EtcdCorrupted) settle(ctx context.Context, s *Scene, all []clusters.Component) error {
	var g errgroup.Group
	for i, m := range all {
		g.Go(func() error {
			asking, stop := context.WithCancel(ctx)
			defer stop()
			serves := served(asking, s.Source.Store(), i)
			for m.Running() && !leaveNoQuorum(ended(all), len(all)) {
				select {
				case <-serves:
					return nil
				case <-ctx.Done():
					return fmt.Errorf("%s neither serves nor has ended since it was started again: %w", m.Name(), context.Cause(ctx))
				case <-time.After(20 * time.Millisecond):
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// served is closed once the member answers a read. A question that a dying member leaves unanswered is given up with ctx only.
func served(ctx context.Context, store clusters.Store, member int) <-chan struct{} {
	answered := make(chan struct{})
	go func() {
		for ctx.Err() == nil {
			if _, err := etcd.Revision(ctx, store.Endpoints[member], store.TLS); err == nil {
				close(answered)
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return answered
}

// ended counts the components that do not run.
func ended(all []clusters.Component) (n int) {
	for _, m := range all {
		if !m.Running() {
			n++
		}
	}
	return n
}

// Visible when so many members that were started again have ended that the others have no quorum.
func (*EtcdCorrupted) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	if s.Source == nil {
		return Sighting{}, errNoSource
	}
	seen, err := refusals(ctx, s.Source, leaveNoQuorum)
	if err != nil || !seen.Visible {
		return seen, err
	}
	all, err := members(s.Source)
	for _, m := range all {
		if words := lastWords(m); !m.Running() && words != "" {
			seen.Detail += fmt.Sprintf("; %s ended: %s", m.Name(), words)
		}
	}
	return seen, err
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
