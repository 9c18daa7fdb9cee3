package faults

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/internal/etcd"
)

// answerTimeout is how long a question may go unanswered before that is the answer. A healthy cluster on this machine takes milliseconds; and a
// failure cannot be seen sooner than this after it struck, so it is short. All members and the API have to be silent for as long at the same time: a
// busy machine seldom looks like that, and the drill would say that the failure was there before it was injected.
const answerTimeout = 250 * time.Millisecond

// unanswered asks each etcd member for a linearizable read, all at the same time, and returns the errors in the order of members, nil for
// a member that answers.
func unanswered(ctx context.Context, c clusters.Cluster) []error {
	store := c.Store()
	errs := make([]error, len(store.Endpoints))
	var wg sync.WaitGroup
	for i, endpoint := range store.Endpoints {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, answerTimeout)
			defer cancel()
			_, errs[i] = etcd.Revision(ctx, endpoint, store.TLS)
		})
	}
	wg.Wait()
	return errs
}

// count the errors.
func count(errs []error) (n int) {
	for _, err := range errs {
		if err != nil {
			n++
		}
	}
	return n
}

// readThrough makes a quorum read through the API.
func readThrough(ctx context.Context, c clusters.Cluster) error {
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	_, err = client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	return err
}

// refused tells whether the API server's address takes no connection.
func refused(ctx context.Context, c clusters.Cluster) bool {
	u, err := url.Parse(c.Config().Host)
	if err != nil {
		return false
	}
	conn, err := (&net.Dialer{Timeout: answerTimeout}).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return ctx.Err() == nil
	}
	conn.Close()
	return false
}

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
