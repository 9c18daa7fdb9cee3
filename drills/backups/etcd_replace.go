package backups

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"

	"github.com/restore-drill/restore-drill/drills/clusters"
)

// A store that is there already is replaced: that of the cluster itself, in a restore in place, or the empty one of a cluster that somebody made
// first. Nothing may use it meanwhile: kubernetes.io has all API servers stopped before any member of etcd is restored, and started after.

// replaces tells whether there is such a store, and key material that its cluster works with.
func (r *etcdRestore) replaces() bool { return r.Running || r.Procedure.LiveAPIServer }

// vacate ends what uses the store, where there is one; by mistake, an API server begins to.
func (r *etcdRestore) vacate(ctx context.Context) error {
	switch {
	case r.Procedure.LiveAPIServer:
		return r.step(ctx, "serve an empty store", "an API server runs while the store is restored", func(ctx context.Context) error { return r.serveEmpty(ctx) })
	case r.Running:
		return r.step(ctx, "stop the cluster", "no API server may run while the store is restored", func(ctx context.Context) error {
			g, ctx := errgroup.WithContext(ctx)
			for _, c := range r.target.Components() {
				if r.Procedure.KeepKubelet && c.Name() == "kubelet" {
					continue
				}
				g.Go(func() error { return c.Kill(ctx) })
			}
			return g.Wait()
		})
	}
	return nil
}

// startPoll is how often what starts is asked whether it is ready.
const startPoll = 50 * time.Millisecond

// serveEmpty returns when an API server serves the new store, and has it in its caches.
func (r *etcdRestore) serveEmpty(ctx context.Context) error {
	if err := r.target.LayIn(ctx, r.Material()); err != nil {
		return err
	}
	started, err := r.membersOfTarget()
	if err != nil {
		return err
	}
	apiServer := r.target.Component("kube-apiserver")
	if apiServer == nil {
		return fmt.Errorf("cluster %s has no component kube-apiserver", r.target.Name())
	}
	for _, c := range append(started, apiServer) {
		if err := c.Start(ctx, nil); err != nil {
			return err
		}
	}
	client, err := kubernetes.NewForConfig(r.target.Config())
	if err != nil {
		return err
	}
	for {
		var status int
		err := client.RESTClient().Get().AbsPath("/readyz").Do(ctx).StatusCode(&status).Error()
		if err == nil && status == http.StatusOK {
			return nil
		}
		if !apiServer.Running() {
			return errors.New("the API server ended before the empty store was replaced")
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the API server to serve an empty store: %w: %w", context.Cause(ctx), err)
		case <-time.After(startPoll):
		}
	}
}

// moveAside stops the members and keeps their data beside their places.
func (r *etcdRestore) moveAside(ctx context.Context) error {
	stopped, err := r.membersOfTarget()
	if err != nil {
		return err
	}
	for i, c := range stopped {
		if err := c.Kill(ctx); err != nil {
			return err
		}
		if machined, on := r.target.(clusters.Machined); on {
			if err := setAside(ctx, machined.Machines()[i], c.DataDir()); err != nil {
				return fmt.Errorf("move the data of %s aside: %w", c.Name(), err)
			}
			continue
		}
		err := os.Rename(c.DataDir(), filepath.Join(r.target.StateDir(), "replaced-"+c.Name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("move the data of %s aside: %w", c.Name(), err)
		}
	}
	return nil
}

// setAside moves a directory on a machine out of the way, if it is there.
func setAside(ctx context.Context, m clusters.Machine, dir string) error {
	_, err := m.Exec(ctx, nil, "bash", "-c", `! test -e "$0" || mv "$0" "$0.replaced"`, dir)
	return err
}

func (r *etcdRestore) membersOfTarget() (all []clusters.Component, err error) {
	for _, m := range r.target.Members() {
		c := r.target.Component(m.Name)
		if c == nil {
			return nil, fmt.Errorf("cluster %s has no component %s", r.target.Name(), m.Name)
		}
		all = append(all, c)
	}
	return all, nil
}
