package clusters

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	restclient "k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/internal/place"
)

const (
	// pollInterval is how often a server that is starting is asked.
	pollInterval = 10 * time.Millisecond
	// askTimeout bounds the first question, so that one that got lost does not hide the next answer; each that goes unanswered leaves the next
	// one twice the time, which is how a busy machine gets its answer through.
	askTimeout = 2 * time.Second
)

// Start starts what does not run yet: the store and the API server at once, the controllers as soon as the API server lets them in. A
// component that was started before through Component is left as it is, so the store can be had alone first.
func (c *processCluster) Start(ctx context.Context, reached func(mark, how string, resolution time.Duration)) error {
	if err := c.start(ctx, reached); err != nil {
		return fmt.Errorf("start cluster %s: %w", c.spec.Name, err)
	}
	return nil
}

func (c *processCluster) start(ctx context.Context, reached func(mark, how string, resolution time.Duration)) error {
	ctx, mark, release := c.spec.starting(ctx, c.place, reached)
	defer release()

	members, rest := c.components[:len(c.members)], c.components[len(c.members):]
	config := c.Config()
	admin, err := restclient.TLSConfigFor(config)
	if err != nil {
		return err
	}
	controllers, err := c.loginTLS("controller-manager.conf")
	if err != nil {
		return err
	}
	tidy := make(chan struct{})
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.startAll(ctx, rest[:1]) })
	g.Go(func() error {
		if err := c.startStore(ctx, members); err != nil {
			return err
		}
		store := c.Store()
		resolution, err := c.spec.watch(ctx, "etcd to answer a linearizable read", store.TLS, prefix(store.Endpoints, "/readyz"), http.StatusOK)
		if err != nil {
			return err
		}
		mark(evidence.MarkStoreServing, "a member of etcd answered /readyz, which makes a linearizable read", resolution)
		close(tidy)
		return nil
	})
	g.Go(func() error {
		resolution, err := c.spec.watch(ctx, "the API server to answer", admin, []string{config.Host + "/api/v1/namespaces?limit=1"}, http.StatusOK)
		if err != nil {
			return err
		}
		mark(evidence.MarkAPIServing, "a list of namespaces by an administrator was answered 200", resolution)
		resolution, err = c.spec.watch(ctx, "the API server to be ready", admin, []string{config.Host + "/readyz?verbose"}, http.StatusOK)
		if err != nil {
			return err
		}
		mark(evidence.MarkAPIReady, "/readyz was answered 200", resolution)
		return c.makeNodes(ctx, config)
	})
	g.Go(func() error {
		// Controllers that come too early are refused, and wait longer than they would have had to: their roles come with the store or, in a
		// new cluster, shortly after the API server serves. And kube-controller-manager ends when the API server is not healthy within 10 s.
		// Source: Kubernetes, cmd/kube-controller-manager/app/controllermanager.go, WaitForAPIServer
		_, err := c.spec.watch(ctx, "the API server to be healthy for controllers", controllers, []string{config.Host + "/healthz"}, http.StatusOK)
		if err != nil {
			return err
		}
		select {
		case <-tidy:
			return c.startAll(ctx, rest[1:])
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	return g.Wait()
}

// startStore starts the members one after the other, each when the one before answers its peers, which takes some 50 ms. At the same time they
// would take a second or more: each asks the others for what they know before it serves itself, and waits for those that listen and do not serve yet.
func (c *processCluster) startStore(ctx context.Context, members []*place.Process) error {
	for i, member := range members {
		if err := c.startAll(ctx, members[i:i+1]); err != nil {
			return err
		}
		if i == len(members)-1 {
			break
		}
		if _, err := c.spec.watch(ctx, member.Name()+" to answer its peers", c.Store().TLS, []string{c.members[i].PeerURL + "/version"}, http.StatusOK); err != nil {
			return err
		}
	}
	return nil
}

func (c *processCluster) startAll(ctx context.Context, components []*place.Process) error {
	var g errgroup.Group
	for _, component := range components {
		if !component.Running() {
			g.Go(func() error {
				err := component.Start(ctx, nil)
				c.spec.ran(ctx, ThisMachine, component.Argv()...)
				return err
			})
		}
	}
	return g.Wait()
}

// watch asks the URLs in turn until one is answered with a status that is wanted. The resolution is by how much an earlier question could have
// had that answer earlier: the time between the last question that had not, and the one that had.
func (s Spec) watch(ctx context.Context, what string, config *tls.Config, urls []string, wanted ...int) (resolution time.Duration, err error) {
	// HTTP/1: a member's peer port agrees to HTTP/2 and does not speak it.
	transport := &http.Transport{TLSClientConfig: config.Clone(), MaxIdleConnsPerHost: 1}
	transport.TLSClientConfig.NextProtos = nil
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	var (
		asked    = time.Now()
		patience = askTimeout
		last     = errors.New("was not asked yet")
	)
	for i := 0; ; i++ {
		before := asked
		asked = time.Now()
		status, answer, err := ask(ctx, client, urls[i%len(urls)], patience)
		for _, w := range wanted {
			if err == nil && status == w {
				return max(asked.Sub(before), pollInterval), nil
			}
		}
		if err == nil {
			err = fmt.Errorf("%d %s", status, answer)
		}
		if ctx.Err() == nil {
			last = err
		}
		if errors.Is(err, context.DeadlineExceeded) {
			patience *= 2
		}
		select {
		case <-ctx.Done():
			cause := context.Cause(ctx)
			if errors.Is(cause, context.DeadlineExceeded) {
				return 0, fmt.Errorf("waited %s for %s: %w; last: %w", s.StartTimeout, what, cause, last)
			}
			return 0, cause
		case <-tick.C:
		}
	}
}

func ask(ctx context.Context, client *http.Client, url string, patience time.Duration) (status int, answer string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return 0, "", err
	}
	return response.StatusCode, failing(string(b)), nil
}

// failing leaves of a verbose readyz only the checks that fail.
func failing(answer string) string {
	var bad []string
	for line := range strings.Lines(answer) {
		if strings.HasPrefix(line, "[-]") {
			bad = append(bad, strings.TrimSpace(strings.TrimPrefix(line, "[-]")))
		}
	}
	if bad == nil {
		return strings.TrimSpace(answer)
	}
	return strings.Join(bad, "; ")
}

func (c *processCluster) loginTLS(kubeconfig string) (*tls.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.pki(kubeconfig))
	if err != nil {
		return nil, err
	}
	return restclient.TLSConfigFor(config)
}

// makeNodes creates the simulated nodes that are not there. As a kubelet would, it registers each with its status.
func (c *processCluster) makeNodes(ctx context.Context, config *restclient.Config) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	var g errgroup.Group
	g.SetLimit(16)
	for i := range c.spec.Nodes {
		g.Go(func() error {
			_, err := client.CoreV1().Nodes().Create(ctx, newNode(i, c.versions[kwokName]), metav1.CreateOptions{})
			if err != nil && !apierrors.IsAlreadyExists(err) {
				return fmt.Errorf("create %s: %w", nodeName(i), err)
			}
			return nil
		})
	}
	return g.Wait()
}

func newNode(i int, version string) *corev1.Node {
	name := nodeName(i)
	size := corev1.ResourceList{
		corev1.ResourceCPU:              resource.MustParse("64"),
		corev1.ResourceMemory:           resource.MustParse("256Gi"),
		corev1.ResourceEphemeralStorage: resource.MustParse("1Ti"),
		corev1.ResourcePods:             resource.MustParse("10000"),
	}
	now := metav1.Now()
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: name,
			// The beta labels would be added by kube-controller-manager, some time after.
			Labels: map[string]string{
				corev1.LabelHostname: name, corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64", "type": "kwok",
				"beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": "amd64",
			},
			Annotations: map[string]string{"kwok.x-k8s.io/node": "fake"},
		},
		Status: corev1.NodeStatus{
			Capacity: size, Allocatable: size,
			Addresses: []corev1.NodeAddress{
				{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("198.51.100.%d", 1+i%254)},
				{Type: corev1.NodeHostName, Address: name},
			},
			NodeInfo: corev1.NodeSystemInfo{OperatingSystem: "linux", Architecture: "amd64", KubeletVersion: "kwok-" + version},
			Conditions: []corev1.NodeCondition{{
				Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", Message: "simulated",
				LastHeartbeatTime: now, LastTransitionTime: now,
			}},
		},
	}
}

func prefix(servers []string, path string) []string {
	urls := make([]string, len(servers))
	for i, s := range servers {
		urls[i] = s + path
	}
	return urls
}
