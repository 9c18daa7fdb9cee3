// Package staleclient is a client that lives through a disaster: an informer that was opened before the failure, loses its connection, and
// finds the restored cluster behind the address that it knows. What it believes afterwards is what every controller, kubelet and kube-proxy that was
// not restarted believes.
//
// A restore goes back in time. A client that resumes its watch at a revision that the restored store has not reached, or has reached with other
// writes, is told nothing of what it missed, and goes on believing in objects that are not there. A revision bump is the cure.
//
// To watch more kinds of object, add them to watched.
package staleclient

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/internal/ledger"
)

const (
	// reconnectEvery is how long the informer waits between two attempts. An informer's own wait doubles up to 30 s, and depends on how long the
	// failure lasted: that would measure the outage, and not what the client believes after it.
	reconnectEvery = 50 * time.Millisecond
	// syncTimeout bounds the first list, on a busy machine too.
	syncTimeout = 2 * time.Minute
	// lookEvery is how often the informer is compared with a fresh list.
	lookEvery = 50 * time.Millisecond
	// canary is the name of the ConfigMap that Observe writes.
	canary = "stale-client-canary"
	// noSpace is what the API server passes on of a store that takes no more writes.
	noSpace = "database space exceeded"
)

// Deadline for the informer to hold what is there, once the restored cluster serves. One whose watch works takes milliseconds, and one that is told
// nothing shows no other sign of it than its silence: the deadline is longer than a machine stalls.
const Deadline = 30 * time.Second

// A kind of object in a namespace, or in all.
type kind struct {
	schema.GroupVersionResource
	namespace string
}

func (k kind) String() string {
	if k.namespace == "" {
		return k.Resource
	}
	return k.Resource + " in " + k.namespace
}

// watched is what the ledger writes, and what the cluster's own controllers do.
var watched = []kind{
	{schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}, ledger.Namespace},
	{schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}, ""},
}

// A Client watches through a front door: a TCP forwarder on loopback, as a load balancer would be, whose address stays the same when another
// API server comes behind it. TLS is between the client and the API server.
type Client struct {
	door   *door
	views  []*view
	stop   context.CancelFunc
	ended  sync.WaitGroup
	mu     sync.Mutex
	struck string
}

// Open connects to the API server of cfg, and returns when the informer holds all objects. It holds metadata alone: uid and
// resourceVersion are what tells one state of an object from another.
func Open(ctx context.Context, cfg *rest.Config) (*Client, error) {
	backend, name, err := address(cfg.Host)
	if err != nil {
		return nil, fmt.Errorf("open a client before the failure: %w", err)
	}
	c := &Client{}
	if c.door, err = newDoor(backend); err != nil {
		return nil, fmt.Errorf("open a client before the failure: %w", err)
	}
	through := rest.CopyConfig(cfg)
	through.Host = "https://" + c.door.address()
	if through.ServerName == "" {
		through.ServerName = name
	}
	client, err := metadata.NewForConfig(through)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open a client before the failure: %w", err), c.door.close())
	}
	// It outlives the phase that opens it, and says nothing: that its connection breaks is no news here.
	var run context.Context
	run, c.stop = context.WithCancel(klog.NewContext(context.WithoutCancel(ctx), logr.Discard()))
	for _, k := range watched {
		v := newView(k)
		c.views = append(c.views, v)
		reflector := cache.NewReflectorWithOptions(listWatch(client, k), &metav1.PartialObjectMetadata{}, v,
			cache.ReflectorOptions{Name: "stale client", Backoff: &wait.Backoff{Duration: reconnectEvery}})
		v.revision = reflector.LastSyncResourceVersion
		c.ended.Go(func() { reflector.RunWithContext(run) })
	}
	synced, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	for _, v := range c.views {
		select {
		case <-v.synced:
		case <-synced.Done():
			return nil, errors.Join(fmt.Errorf("open a client before the failure: list %s: %w", v.kind, context.Cause(synced)), c.Close())
		}
	}
	return c, nil
}

func listWatch(client metadata.Interface, k kind) cache.ListerWatcher {
	resource := client.Resource(k.GroupVersionResource).Namespace(k.namespace)
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
			return resource.List(ctx, opts)
		},
		WatchFuncWithContext: func(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
			return resource.Watch(ctx, opts)
		},
	}
}

// Struck says that the failure is there: it remembers what the client had seen by then, and shuts the front door, where connections are refused
// until it is redirected.
func (c *Client) Struck() {
	c.door.shut()
	var newest int64
	for _, v := range c.views {
		if revision, err := strconv.ParseInt(v.revision(), 10, 64); err == nil {
			newest = max(newest, revision)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.struck = strconv.FormatInt(newest, 10)
}

// Redirect leads the front door to another API server: host:port, or a URL.
func (c *Client) Redirect(to string) error {
	backend, _, err := address(to)
	if err != nil {
		return fmt.Errorf("redirect the client from before the failure: %w", err)
	}
	if err := c.door.redirect(backend); err != nil {
		return fmt.Errorf("redirect the client from before the failure: %w", err)
	}
	return nil
}

// Close ends the client. It may be called twice.
func (c *Client) Close() error {
	c.stop()
	err := c.door.close()
	c.ended.Wait()
	return err
}

// Observe writes an object through fresh, a client of the restored cluster, and waits until the informer holds exactly what a fresh
// quorum list has, or Deadline passes. What it finds then is final.
func (c *Client) Observe(ctx context.Context, fresh *rest.Config) evidence.Informer {
	c.mu.Lock()
	seen := evidence.Informer{OpenedAt: c.struck, Phantom: []string{}, Missing: []string{}, Stale: []string{}}
	c.mu.Unlock()
	for _, v := range c.views {
		seen.Resources = append(seen.Resources, v.kind.String())
	}
	if err := c.observe(ctx, fresh, &seen); err != nil {
		seen.Error = err.Error()
		seen.Converged = false
	}
	return seen
}

func (c *Client) observe(ctx context.Context, fresh *rest.Config, seen *evidence.Informer) error {
	began := time.Now()
	uid, err := writeCanary(ctx, fresh)
	if err != nil {
		return err
	}
	client, err := metadata.NewForConfig(fresh)
	if err != nil {
		return err
	}
	for {
		if err := c.compare(ctx, client, uid, seen); err != nil {
			return err
		}
		seen.Waited = time.Since(began)
		switch {
		case seen.Converged:
			return nil
		case c.door.isShut():
			// Then it is not for what it believes that the client does not converge.
			return errors.New("the client from before the failure has no way to the restored API server: its front door is shut")
		case seen.Waited >= Deadline:
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(lookEvery):
		}
	}
}

func writeCanary(ctx context.Context, fresh *rest.Config) (uid string, err error) {
	client, err := kubernetes.NewForConfig(fresh)
	if err != nil {
		return "", err
	}
	// A store that is busy with an election or its disk may not get to the first; that has no reason in Kubernetes' terms, and neither has that the store
	// has no room, which no waiting makes.
	var last error
	err = wait.PollUntilContextTimeout(ctx, lookEvery, Deadline, true, func(ctx context.Context) (bool, error) {
		var written *corev1.ConfigMap
		if written, last = client.CoreV1().ConfigMaps(ledger.Namespace).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: canary + "-"}}, metav1.CreateOptions{}); last != nil {
			return apierrors.ReasonForError(last) != metav1.StatusReasonUnknown || strings.Contains(last.Error(), noSpace), nil
		}
		uid = string(written.UID)
		return true, nil
	})
	if err = errors.Join(last, err); err != nil {
		return "", fmt.Errorf("write a canary for the client from before the failure: %w", err)
	}
	return uid, nil
}

// compare replaces what seen says of the objects.
func (c *Client) compare(ctx context.Context, client metadata.Interface, canary string, seen *evidence.Informer) error {
	seen.Held, seen.Listed, seen.CanarySeen = 0, 0, false
	seen.Phantom, seen.Missing, seen.Stale = []string{}, []string{}, []string{}
	for _, v := range c.views {
		list, err := client.Resource(v.kind.GroupVersionResource).Namespace(v.kind.namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return fmt.Errorf("list %s: %w", v.kind, err)
		}
		held, listed := v.states(), map[string]state{}
		for _, o := range list.Items {
			listed[o.Namespace+"/"+o.Name] = state{string(o.UID), o.ResourceVersion}
		}
		seen.Held += len(held)
		seen.Listed += len(listed)
		for _, name := range slices.Sorted(maps.Keys(held)) {
			full := v.kind.Resource + "/" + strings.TrimPrefix(name, "/")
			actual, there := listed[name]
			switch {
			case !there:
				seen.Phantom = append(seen.Phantom, full)
			case actual != held[name]:
				seen.Stale = append(seen.Stale, full)
			}
			seen.CanarySeen = seen.CanarySeen || held[name].uid == canary
		}
		for _, name := range slices.Sorted(maps.Keys(listed)) {
			if _, there := held[name]; !there {
				seen.Missing = append(seen.Missing, v.kind.Resource+"/"+strings.TrimPrefix(name, "/"))
			}
		}
	}
	seen.Converged = seen.CanarySeen && len(seen.Phantom)+len(seen.Missing)+len(seen.Stale) == 0
	return nil
}

// address is the host and port of an API server, and its host alone.
func address(server string) (hostport, host string, err error) {
	if !strings.Contains(server, "://") {
		server = "https://" + server
	}
	u, err := url.Parse(server)
	if err != nil {
		return "", "", err
	}
	if u.Scheme != "https" || u.Hostname() == "" {
		return "", "", fmt.Errorf("%q is no https address of an API server", server)
	}
	if u.Port() == "" {
		return u.Host + ":443", u.Hostname(), nil
	}
	return u.Host, u.Hostname(), nil
}

// A view is the informer's store for one kind.
type view struct {
	cache.Store
	kind     kind
	revision func() string
	once     sync.Once
	synced   chan struct{}
}

type state struct{ uid, revision string }

func newView(k kind) *view {
	return &view{Store: cache.NewStore(cache.MetaNamespaceKeyFunc), kind: k, synced: make(chan struct{})}
}

// Replace is how a list arrives.
func (v *view) Replace(all []any, revision string) error {
	defer v.once.Do(func() { close(v.synced) })
	return v.Store.Replace(all, revision)
}

func (v *view) states() map[string]state {
	states := map[string]state{}
	for _, o := range v.List() {
		if m, ok := o.(*metav1.PartialObjectMetadata); ok {
			states[m.Namespace+"/"+m.Name] = state{string(m.UID), m.ResourceVersion}
		}
	}
	return states
}
