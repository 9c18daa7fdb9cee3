package clusters

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	restclient "k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	watchtools "k8s.io/client-go/tools/watch"
	"sigs.k8s.io/yaml"

	"github.com/restore-drill/restore-drill/internal/evidence"
)

// layOut has kubeadm issue certificates and logins under the authorities that are there, and write manifests, which are parked: nothing starts. The
// setup lock is held.
func (c *kindCluster) layOut(ctx context.Context) error {
	m := c.control()
	for _, phase := range [][]string{{"certs", "all"}, {"kubeconfig", "all"}, {"etcd", "local"}, {"control-plane", "all"}} {
		if _, err := m.run(ctx, nil, append(append([]string{"kubeadm", "init", "phase"}, phase...), "--config", kubeadmConfig)...); err != nil {
			return err
		}
	}
	park := fmt.Sprintf("mkdir -p %[2]s && mv %[1]s/*.yaml %[2]s/", nodeManifests, nodeParked)
	if _, err := m.run(ctx, nil, "bash", "-c", park); err != nil {
		return err
	}
	packed, err := m.Exec(ctx, nil, "tar", "-c", "-C", path.Dir(nodeParked), path.Base(nodeParked))
	if err != nil {
		return err
	}
	manifests, err := unpack(packed)
	if err != nil {
		return err
	}
	for _, p := range c.static {
		file, ok := manifests[p.container+".yaml"]
		if !ok {
			return fmt.Errorf("kubeadm wrote no manifest of %s", p.container)
		}
		pod := &corev1.Pod{}
		if err := yaml.Unmarshal(file.Data, pod); err != nil {
			return fmt.Errorf("read kubeadm's manifest of %s: %w", p.container, err)
		}
		if len(pod.Spec.Containers) != 1 {
			return fmt.Errorf("kubeadm's manifest of %s has %d containers, want 1", p.container, len(pod.Spec.Containers))
		}
		p.mu.Lock()
		p.pod = pod
		p.mu.Unlock()
	}
	c.laidOut = true
	return nil
}

// begin sees to it that there is something to start a component with. From then on nobody replaces it.
func (c *kindCluster) begin(ctx context.Context) error {
	c.setup.Lock()
	defer c.setup.Unlock()
	c.mu.Lock()
	deleted := c.deleted
	c.mu.Unlock()
	if deleted {
		return fmt.Errorf("cluster %s was removed", c.spec.Name)
	}
	if !c.laidOut {
		if err := c.layOut(ctx); err != nil {
			return err
		}
	}
	if c.begun {
		return nil
	}
	c.begun = true
	c.logs.Add(1)
	go func() {
		defer c.logs.Done()
		c.watchContainers()
	}()
	c.follow(kubeletName, make(chan struct{}), "journalctl", "--follow", "--no-tail", "--output", "cat", "--unit", kubeletName)
	if c.spec.AuditLog {
		c.follow("audit", make(chan struct{}), "tail", "--lines=+1", "--follow=name", "--retry", nodeAudit+"/audit.log")
	}
	return nil
}

// Start starts the store, then the API server, then the controllers, each as soon as the one before serves it; then it has kubeadm write the
// cluster's own objects, and the workers join.
func (c *kindCluster) Start(ctx context.Context, reached func(mark, how string, resolution time.Duration)) error {
	if err := c.start(ctx, reached); err != nil {
		return fmt.Errorf("start cluster %s: %w", c.spec.Name, err)
	}
	return nil
}

func (c *kindCluster) start(ctx context.Context, reached func(mark, how string, resolution time.Duration)) error {
	ctx, mark, release := c.spec.starting(ctx, c.place, reached)
	defer release()
	config := c.Config()
	admin, err := restclient.TLSConfigFor(config)
	if err != nil {
		return err
	}
	etcd, server, controllers := c.static[0], c.static[1], c.static[2:]
	var (
		serving = make(chan struct{})
		tidy    = make(chan struct{})
	)
	after := func(ctx context.Context, moment <-chan struct{}) error {
		select {
		case <-moment:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := after(ctx, c.brought); err != nil {
			return err
		}
		return c.notBrought
	})
	g.Go(func() error {
		if err := startPods(ctx, etcd); err != nil {
			return err
		}
		store := c.Store()
		resolution, err := c.spec.watch(ctx, "etcd to answer a linearizable read", store.TLS, prefix(store.Endpoints, "/readyz"), http.StatusOK)
		if err != nil {
			return err
		}
		close(serving)
		mark(evidence.MarkStoreServing, "a member of etcd answered /readyz, which makes a linearizable read", resolution)
		close(tidy)
		return nil
	})
	g.Go(func() error {
		if err := after(ctx, serving); err != nil {
			return err
		}
		if err := startPods(ctx, server); err != nil {
			return err
		}
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
		if err := after(ctx, tidy); err != nil {
			return err
		}
		return c.settle(ctx)
	})
	g.Go(func() error {
		if err := after(ctx, serving); err != nil {
			return err
		}
		login, err := c.controllersLogin(ctx)
		if err != nil {
			return err
		}
		// Controllers that come too early are refused, and wait longer than they would have had to.
		if _, err := c.spec.watch(ctx, "the API server to be healthy for controllers", login, []string{config.Host + "/healthz"}, http.StatusOK); err != nil {
			return err
		}
		if err := after(ctx, tidy); err != nil {
			return err
		}
		return startPods(ctx, controllers...)
	})
	if err := g.Wait(); err != nil {
		return err
	}
	return c.kubelet.ensure(ctx)
}

func startPods(ctx context.Context, pods ...*staticPod) error {
	var g errgroup.Group
	for _, p := range pods {
		if !p.Running() {
			g.Go(func() error { return p.Start(ctx, nil) })
		}
	}
	return g.Wait()
}

// controllersLogin is how kube-controller-manager comes to the API server.
func (c *kindCluster) controllersLogin(ctx context.Context) (*tls.Config, error) {
	b, err := c.control().Exec(ctx, nil, "cat", "/etc/kubernetes/controller-manager.conf")
	if err != nil {
		return nil, err
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(b)
	if err != nil {
		return nil, err
	}
	return restclient.TLSConfigFor(config)
}

// settle has the cluster's own objects written: by kubeadm, as after any start of a control plane on a new machine, and by what the node image brings.
func (c *kindCluster) settle(ctx context.Context) error {
	c.settling.Lock()
	defer c.settling.Unlock()
	if c.settled {
		return nil
	}
	m := c.control()
	phase := func(ctx context.Context, words ...string) error {
		_, err := m.run(ctx, nil, append(append([]string{"kubeadm", "init", "phase"}, words...), "--config", kubeadmConfig)...)
		return err
	}
	step, outer := c.spec.step, ctx
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := step(ctx, "cluster-info and bootstrap token", "new nodes are told of this API server", func(ctx context.Context) error { return phase(ctx, "bootstrap-token") }); err != nil {
			return err
		}
		if err := step(ctx, "kubeadm's configuration", "as it is for these machines", func(ctx context.Context) error { return phase(ctx, "upload-config", "all") }); err != nil {
			return err
		}
		return c.join(ctx)
	})
	g.Go(func() error {
		return step(ctx, "pod network and storage", "the manifests of the node image", func(ctx context.Context) error {
			for _, file := range []string{"/kind/manifests/default-cni.yaml", "/kind/manifests/default-storage.yaml"} {
				if err := c.apply(ctx, file); err != nil {
					return err
				}
			}
			return nil
		})
	})
	g.Go(func() error {
		before, err := c.hasKubeProxy(ctx)
		if err != nil {
			return err
		}
		if err := step(ctx, "kube-proxy and cluster DNS", "pointed at this API server", func(ctx context.Context) error { return phase(ctx, "addon", "all") }); err != nil {
			return err
		}
		if before {
			if err := step(ctx, "start kube-proxy anew", "one that started before looks for the API server that is lost", c.restartKubeProxy); err != nil {
				return err
			}
		}
		return step(ctx, "mark the control-plane node", "with its label", func(ctx context.Context) error { return phase(ctx, "mark-control-plane") })
	})
	if err := g.Wait(); err != nil {
		return err
	}
	if err := step(outer, "Services", "by its Service, every machine finds the API server", c.awaitServices); err != nil {
		return err
	}
	c.settled = true
	return nil
}

// awaitServices returns when kube-proxy leads from every machine to the API server by the address of its Service. A pod that started before would reach
// nobody there, or a stranger. Where there is no kube-proxy, it is for whoever replaces it.
func (c *kindCluster) awaitServices(ctx context.Context) error {
	there, err := c.hasKubeProxy(ctx)
	if err != nil || !there {
		return err
	}
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		return err
	}
	service, err := client.CoreV1().Services(metav1.NamespaceDefault).Get(ctx, "kubernetes", metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("look for the API server's Service: %w", err)
	}
	url := "https://" + net.JoinHostPort(service.Spec.ClusterIP, "443") + "/livez"
	patience := strconv.Itoa(int(c.spec.StartTimeout.Seconds()))
	const ask = `until curl --silent --output /dev/null --max-time 2 --cacert "$0" "$1"; do sleep 0.1; done`
	g, ctx := errgroup.WithContext(ctx)
	for _, m := range c.machines {
		g.Go(func() error {
			if _, err := m.Exec(ctx, nil, "timeout", patience, "bash", "-c", ask, nodePKI+"/ca.crt", url); err != nil {
				return fmt.Errorf("wait for kube-proxy to lead from machine %s to %s: %w", m.name, url, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// hasKubeProxy tells whether the store knows of kube-proxy already, as a restored one does.
func (c *kindCluster) hasKubeProxy(ctx context.Context) (bool, error) {
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		return false, err
	}
	_, err = client.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, "kube-proxy", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for kube-proxy's configuration: %w", err)
	}
	return true, nil
}

// restartKubeProxy has its pods made anew: each reads where the API server is when it starts, and never again.
func (c *kindCluster) restartKubeProxy(ctx context.Context) error {
	_, err := c.control().run(ctx, nil, "kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "--namespace="+metav1.NamespaceSystem,
		"delete", "pods", "--selector=k8s-app=kube-proxy", "--grace-period=1", "--wait=false")
	return err
}

// apply makes the objects of a manifest of the node image's, or makes them anew what it says.
func (c *kindCluster) apply(ctx context.Context, file string) error {
	m := c.control()
	manifest, err := m.Exec(ctx, nil, "cat", file)
	if err != nil {
		return err
	}
	if manifest, err = c.fillIn(manifest); err != nil {
		return fmt.Errorf("fill in %s: %w", file, err)
	}
	_, err = m.run(ctx, bytes.NewReader(manifest), "kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "apply", "--server-side", "--force-conflicts", "--field-manager=kind", "-f", "-")
	return err
}

// join has the workers come in, once what a new node asks for without a certificate is signed: kubeadm would look every five seconds.
func (c *kindCluster) join(ctx context.Context) error {
	if len(c.machines) == 1 {
		return nil
	}
	if err := c.awaitClusterInfo(ctx); err != nil {
		return err
	}
	return c.spec.step(ctx, "join workers", fmt.Sprintf("%d machines", len(c.machines)-1), func(ctx context.Context) error {
		g, ctx := errgroup.WithContext(ctx)
		for _, m := range c.machines[1:] {
			g.Go(func() error {
				_, err := m.run(ctx, nil, "kubeadm", "join", "--config", kubeadmConfig)
				return err
			})
		}
		return g.Wait()
	})
}

// The token that kind's nodes join with.
const (
	bootstrapID     = "abcdef"
	bootstrapSecret = "0123456789abcdef"
)

// awaitClusterInfo returns when kube-public/cluster-info is signed for kind's token, as it is now: in a restored store there is a signature of what it was.
func (c *kindCluster) awaitClusterInfo(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		return err
	}
	named := fields.OneTermEqualSelector(metav1.ObjectNameField, "cluster-info")
	list := cache.NewListWatchFromClient(client.CoreV1().RESTClient(), "configmaps", metav1.NamespacePublic, named)
	_, err = watchtools.UntilWithSync(ctx, list, &corev1.ConfigMap{}, nil, func(event watch.Event) (bool, error) {
		data := event.Object.(*corev1.ConfigMap).Data
		return event.Type != watch.Deleted && signed(data["kubeconfig"], data["jws-kubeconfig-"+bootstrapID]), nil
	})
	if err != nil {
		return fmt.Errorf("wait for kube-public/cluster-info to be signed: %w: %w", err, context.Cause(ctx))
	}
	return nil
}

// signed tells whether a detached JWS is that of the content, with kind's token for a key (HS256).
func signed(content, jws string) bool {
	head, tail, ok := strings.Cut(jws, "..")
	signature, err := base64.RawURLEncoding.DecodeString(tail)
	if !ok || err != nil {
		return false
	}
	mac := hmac.New(sha256.New, []byte(bootstrapSecret))
	mac.Write([]byte(head + "." + base64.RawURLEncoding.EncodeToString([]byte(content))))
	return hmac.Equal(signature, mac.Sum(nil))
}

// bringImages begins to load images as soon as there are machines: they are on a node before anything of Kubernetes is, as in a node's own image.
func (c *kindCluster) bringImages() {
	c.brought = make(chan struct{})
	c.logs.Add(1)
	go func() {
		defer c.logs.Done()
		defer close(c.brought)
		c.notBrought = c.loadImages(c.watching)
	}()
}

// loadImages brings the spec's images from the local engine to every machine.
func (c *kindCluster) loadImages(ctx context.Context) error {
	if len(c.spec.Images) == 0 {
		return nil
	}
	file := c.place.Dir("images.tar")
	if err := c.engine.Save(ctx, file, c.spec.Images...); err != nil {
		return err
	}
	defer os.Remove(file)
	g, ctx := errgroup.WithContext(ctx)
	for _, m := range c.machines {
		g.Go(func() error {
			f, err := os.Open(file)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = m.Exec(ctx, f, "ctr", "--namespace", "k8s.io", "images", "import", "--all-platforms", "--digests", "-")
			return err
		})
	}
	return g.Wait()
}
