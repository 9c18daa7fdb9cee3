package faults

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/restore-drill/restore-drill/drills/clusters"
)

// refuses tells whether nothing listens at the host of a URL. The system answers that at once, whatever the process is about that listens: an
// election, a stalled disk or a busy machine make a server silent, and only its end makes it refuse connections.
func refuses(ctx context.Context, server string) (bool, error) {
	u, err := url.Parse(server)
	if err != nil {
		return false, err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", u.Host)
	if err == nil {
		return false, conn.Close()
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return true, nil
	}
	return false, fmt.Errorf("tell whether %s takes connections: %w", u.Host, err)
}

// Ports of a control-plane machine.
const (
	apiServerPort = 6443
	etcdPort      = 2379
)

// refusesOn is refuses for a server on the nth control-plane machine of a cluster that has machines: what the drill connects to itself is the engine's
// forwarding, which takes connections as long as the machine is there.
func refusesOn(ctx context.Context, c clusters.Cluster, n int, port int, server string) (bool, error) {
	m, on := controlPlaneMachine(c, n)
	if !on {
		return refuses(ctx, server)
	}
	_, err := m.Exec(ctx, nil, "bash", "-c", fmt.Sprintf("exec 3<>/dev/tcp/127.0.0.1/%d", port))
	switch {
	case err == nil:
		return false, nil
	case strings.Contains(err.Error(), "Connection refused"):
		return true, nil
	}
	return false, fmt.Errorf("tell whether port %d of machine %s takes connections: %w", port, m.Name(), err)
}

// controlPlaneMachine is the nth machine of the control plane that is there; false where nodes are no machines, or that one is gone.
func controlPlaneMachine(c clusters.Cluster, n int) (clusters.Machine, bool) {
	machined, ok := c.(clusters.Machined)
	if !ok {
		return nil, false
	}
	for _, m := range machined.Machines() {
		if m.ControlPlane() {
			if n == 0 {
				return m, true
			}
			n--
		}
	}
	return nil, false
}

// refusing counts the etcd members that refuse connections, all asked at the same time.
func refusing(ctx context.Context, c clusters.Cluster) (n, all int, err error) {
	endpoints := c.Store().Endpoints
	refused, errs := make([]bool, len(endpoints)), make([]error, len(endpoints))
	var wg sync.WaitGroup
	for i, endpoint := range endpoints {
		wg.Go(func() { refused[i], errs[i] = refusesOn(ctx, c, i, etcdPort, endpoint) })
	}
	wg.Wait()
	for _, r := range refused {
		if r {
			n++
		}
	}
	return n, len(endpoints), errors.Join(errs...)
}

// refusals looks how many etcd members refuse connections. The failure is visible when those are enough.
func refusals(ctx context.Context, c clusters.Cluster, enough func(refusing, all int) bool) (Sighting, error) {
	n, all, err := refusing(ctx, c)
	if err != nil {
		return Sighting{}, err
	}
	return Sighting{Visible: enough(n, all), Detail: fmt.Sprintf("%d of %d etcd members refuse connections", n, all)}, nil
}

// leaveNoQuorum tells whether so many members are gone that the others can neither read nor write.
func leaveNoQuorum(gone, all int) bool { return all-gone < all/2+1 }

// members of the store, as components.
func members(c clusters.Cluster) ([]clusters.Component, error) {
	var all []clusters.Component
	var errs []error
	for _, m := range c.Members() {
		component := c.Component(m.Name)
		if component == nil {
			errs = append(errs, fmt.Errorf("cluster %s has no component %s", c.Name(), m.Name))
			continue
		}
		all = append(all, component)
	}
	return all, errors.Join(errs...)
}

// each does the same to all components, at the same time.
func each(ctx context.Context, components []clusters.Component, do func(context.Context, clusters.Component) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, c := range components {
		g.Go(func() error { return do(ctx, c) })
	}
	return g.Wait()
}

func kill(ctx context.Context, c clusters.Component) error { return c.Kill(ctx) }

// brief is the first line of an error: etcd's and Kubernetes' go on.
func brief(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// pause between two looks at something that cannot be watched.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(20 * time.Millisecond):
		return nil
	}
}
