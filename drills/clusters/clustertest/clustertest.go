// Package clustertest holds the suite that every provider of clusters passes. It makes real clusters.
//
// To extend it, add a subtest that asks through the contract alone: what only one provider has is tested beside that provider.
package clustertest

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/internal/evidence"
)

// patience bounds every wait of the suite. Nothing waits for it that goes well.
const patience = 3 * time.Minute

// canary is the value of a Secret, and must be found nowhere but where Secrets are kept.
const canary = "canary-8c1f0e6b-in-a-secret"

// Run runs the suite. Most is how many members a store can have that the provider makes, and each call of provider may return the same one.
func Run(t *testing.T, most int, provider func() clusters.Provider) {
	t.Run("says what it is", func(t *testing.T) {
		p := provider()
		require.NotEmpty(t, p.Name())
		require.NotEmpty(t, p.Limits(), "no provider shows everything")
	})
	t.Run("refuses a cluster that cannot be", func(t *testing.T) {
		p := provider()
		spec := newSpec(t, "source")
		spec.EtcdMembers, spec.Nodes, spec.Encryption = 2, -1, "rot13"
		for _, err := range []error{p.Check(t.Context(), spec), second(p.Create(t.Context(), spec))} {
			require.ErrorContains(t, err, "2 etcd members (want 1 or 3)")
			require.ErrorContains(t, err, "-1 nodes")
			require.ErrorContains(t, err, `unknown encryption "rot13" (want secretbox or aescbc, or none)`)
		}
		spec = newSpec(t, "../elsewhere")
		spec.LogDir = ""
		_, err := p.Create(t.Context(), spec)
		require.ErrorContains(t, err, `name "../elsewhere" is not the name of a directory`)
		require.ErrorContains(t, err, "no directory for logs")
	})
	t.Run("takes this machine", func(t *testing.T) {
		require.NoError(t, provider().Check(t.Context(), newSpec(t, "source")))
	})
	t.Run("one member", func(t *testing.T) { oneMember(t, provider()) })
	t.Run("three members", func(t *testing.T) {
		p, three := provider(), newSpec(t, "source")
		three.EtcdMembers = 3
		if most >= 3 {
			threeMembers(t, p)
			return
		}
		for _, err := range []error{p.Check(t.Context(), three), second(p.Create(t.Context(), three))} {
			require.ErrorIs(t, err, clusters.ErrUnsupported)
			require.ErrorContains(t, err, "set cluster.etcdMembers to 1")
		}
	})
	t.Run("is deleted half made", func(t *testing.T) { halfMade(t, provider()) })
}

// oneMember follows a cluster through its life, and another that takes over from it.
func oneMember(t *testing.T, p clusters.Provider) {
	spec := newSpec(t, "source")
	spec.Encryption, spec.AuditLog = "secretbox", true
	source := create(t, p, spec)
	t.Run("nothing runs before the start", func(t *testing.T) {
		require.Equal(t, "source", source.Name())
		require.Equal(t, spec.DrillID, source.Spec().DrillID)
		require.Len(t, source.Members(), 1)
		require.DirExists(t, source.StateDir())
		for _, c := range source.Components() {
			require.False(t, c.Running(), c.Name())
			require.Empty(t, c.Identity(), c.Name())
			require.NoError(t, c.Kill(t.Context()), "to kill what never ran is no error")
		}
		for _, name := range []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
			require.NotEmpty(t, source.Versions()[name], name)
		}
	})
	start(t, source)
	client := kubernetes.NewForConfigOrDie(source.Config())

	t.Run("a stranger is refused", func(t *testing.T) { strangers(t, source) })
	t.Run("the kubeconfig is an administrator's", func(t *testing.T) {
		config, err := clientcmd.BuildConfigFromFlags("", source.Kubeconfig())
		require.NoError(t, err)
		_, err = kubernetes.NewForConfigOrDie(config).CoreV1().Secrets("").List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
	})
	t.Run("default/kubernetes names one API server", func(t *testing.T) {
		eventually(t, "endpoints of default/kubernetes", func(ctx context.Context) error {
			addresses, err := apiServers(ctx, client)
			if err != nil || len(addresses) != 1 {
				return errors.Join(err, fmt.Errorf("endpoints %v, want one", addresses))
			}
			return nil
		})
	})
	t.Run("workloads become ready", func(t *testing.T) { workloads(t, client, source.Versions()["kube-scheduler"]) })
	t.Run("Secrets are encrypted at rest", func(t *testing.T) {
		_, err := client.CoreV1().Secrets("default").Create(t.Context(), &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: "canary"}, StringData: map[string]string{"value": canary},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
		raw := stored(t, source, "/registry/secrets/default/canary")
		require.Contains(t, raw, "k8s:enc:secretbox:v1:")
		require.NotContains(t, raw, canary)
		require.Contains(t, stored(t, source, "/registry/namespaces/default"), "k8s\x00", "this is how a value that is not encrypted looks")
	})
	t.Run("the audit log tells of requests and no contents", func(t *testing.T) {
		file := filepath.Join(spec.LogDir, "audit.log")
		eventually(t, "the audit log to tell of a request", func(context.Context) error {
			log, err := os.ReadFile(file)
			if err == nil && !strings.Contains(string(log), `"name":"canary"`) {
				err = errors.New("it does not")
			}
			return err
		})
		require.NotContains(t, read(t, file), canary)
	})
	t.Run("a component is killed, started, stopped and started with other flags", func(t *testing.T) { restarts(t, source) })
	t.Run("key material is refused once started", func(t *testing.T) {
		material, err := source.Material(t.Context())
		require.NoError(t, err)
		require.ErrorContains(t, source.LayIn(t.Context(), material), "it has been started")
	})

	target := newSpec(t, "restored", spec)
	target.Nodes = 1
	restored := create(t, p, target)
	t.Run("takes over", func(t *testing.T) { takeOver(t, source, restored) })
	t.Run("is deleted", func(t *testing.T) {
		deleted(t, source)
		require.NoError(t, ask(t.Context(), restored), "another cluster of the drill is not touched")
		deleted(t, restored)
	})
}

func start(t *testing.T, c clusters.Cluster) {
	t.Helper()
	var (
		mu    sync.Mutex
		marks []string
		ready = make(chan struct{})
		began = time.Now()
	)
	err := c.Start(t.Context(), func(mark, how string, resolution time.Duration) {
		mu.Lock()
		marks = append(marks, mark)
		mu.Unlock()
		assert.NotEmpty(t, how, mark)
		assert.Positive(t, resolution, mark)
		assert.Less(t, resolution, time.Since(began)+time.Second, mark)
		switch mark {
		case evidence.MarkAPIReady:
			close(ready)
		case evidence.MarkStoreServing:
			select {
			case <-ready:
				assert.False(t, c.Component("kube-controller-manager").Running(), "controllers wait until the store is tidy")
			case <-time.After(patience):
			}
		}
	})
	require.NoError(t, err)
	require.ElementsMatch(t, []string{evidence.MarkStoreServing, evidence.MarkAPIServing, evidence.MarkAPIReady}, marks)
	require.NoError(t, ask(t.Context(), c), "a cluster that has started is ready")
	for _, component := range c.Components() {
		require.True(t, component.Running(), component.Name())
		require.NotEmpty(t, component.Identity(), component.Name())
	}
}

// strangers have no certificate, or one of somebody else's. A provider may let them see that a cluster is there, and of what version, as kubeadm does.
func strangers(t *testing.T, c clusters.Cluster) {
	anonymous := rest.AnonymousClientConfig(c.Config())
	for _, path := range []string{"/api/v1/namespaces", "/api/v1/secrets", "/metrics", "/logs"} {
		_, err := kubernetes.NewForConfigOrDie(anonymous).RESTClient().Get().AbsPath(path).DoRaw(t.Context())
		require.True(t, apierrors.IsUnauthorized(err) || apierrors.IsForbidden(err), "%s: %v", path, err)
	}
	for i, m := range c.Members() {
		for _, endpoint := range []string{c.Store().Endpoints[i], m.PeerURL} {
			config := c.Store().TLS
			config.Certificates = nil
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
			_, err := client.Get(endpoint + "/version")
			require.ErrorContains(t, err, "certificate required", endpoint)
			u, err := url.Parse(endpoint)
			require.NoError(t, err)
			_, err = tls.Dial("tcp", u.Host, &tls.Config{ServerName: u.Hostname()})
			require.ErrorContains(t, err, "unknown authority", endpoint)
		}
	}
}

// pause is an image that every node has that can run one. It waits.
const pause = "registry.k8s.io/pause:3.10"

func workloads(t *testing.T, client kubernetes.Interface, version string) {
	// A program that tells its version has come to its end, and every node has the image of this one.
	ends := "registry.k8s.io/kube-scheduler:" + version
	ctx := t.Context()
	labels := map[string]string{"app": "web"}
	template := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels},
		Spec: corev1.PodSpec{
			InitContainers: []corev1.Container{{Name: "first", Image: ends, Command: []string{"kube-scheduler", "--version"}}},
			Containers:     []corev1.Container{{Name: "web", Image: pause}},
		},
	}
	selector := &metav1.LabelSelector{MatchLabels: labels}
	two := int32(2)
	_, err := client.AppsV1().Deployments("default").Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: appsv1.DeploymentSpec{Replicas: &two, Selector: selector, Template: template},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = client.AppsV1().StatefulSets("default").Create(ctx, &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: "db"}, Spec: appsv1.StatefulSetSpec{Replicas: &two, Selector: selector, Template: template},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = client.AppsV1().DaemonSets("default").Create(ctx, &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: "agent"}, Spec: appsv1.DaemonSetSpec{Selector: selector, Template: template},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	once := template.DeepCopy()
	once.Spec.RestartPolicy = corev1.RestartPolicyNever
	once.Spec.Containers[0].Image, once.Spec.Containers[0].Command = ends, []string{"kube-scheduler", "--version"}
	_, err = client.BatchV1().Jobs("default").Create(ctx, &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "once"}, Spec: batchv1.JobSpec{Template: *once},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	eventually(t, "workloads to be ready", func(ctx context.Context) error {
		d, err1 := client.AppsV1().Deployments("default").Get(ctx, "web", metav1.GetOptions{})
		s, err2 := client.AppsV1().StatefulSets("default").Get(ctx, "db", metav1.GetOptions{})
		a, err3 := client.AppsV1().DaemonSets("default").Get(ctx, "agent", metav1.GetOptions{})
		j, err4 := client.BatchV1().Jobs("default").Get(ctx, "once", metav1.GetOptions{})
		if err := errors.Join(err1, err2, err3, err4); err != nil {
			return err
		}
		if d.Status.ReadyReplicas != 2 || s.Status.ReadyReplicas != 2 || a.Status.NumberReady != 2 || j.Status.Succeeded != 1 {
			return fmt.Errorf("ready: deployment %d of 2, statefulset %d of 2, daemonset %d of 2; job succeeded %d of 1",
				d.Status.ReadyReplicas, s.Status.ReadyReplicas, a.Status.NumberReady, j.Status.Succeeded)
		}
		return nil
	})
	require.NoError(t, client.CoreV1().Pods("default").Delete(ctx, "db-0", metav1.DeleteOptions{}))
	eventually(t, "a deleted pod to come back", func(ctx context.Context) error {
		pod, err := client.CoreV1().Pods("default").Get(ctx, "db-0", metav1.GetOptions{})
		if err == nil && (pod.DeletionTimestamp != nil || pod.Status.Phase != corev1.PodRunning) {
			err = fmt.Errorf("it is %s", pod.Status.Phase)
		}
		return err
	})
}

// requireEnded asks etcd's first member, or the API server, itself.
func requireEnded(t *testing.T, c clusters.Cluster, component clusters.Component) {
	t.Helper()
	require.False(t, component.Running(), component.Name())
	if component.DataDir() == "" {
		require.Error(t, ask(t.Context(), c), component.Name())
		return
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: c.Store().TLS, DisableKeepAlives: true}, Timeout: patience}
	_, err := client.Get(c.Store().Endpoints[0] + "/health")
	require.Error(t, err, component.Name())
}

func restarts(t *testing.T, c clusters.Cluster) {
	require.Nil(t, c.Component("no-such-thing"))
	member := c.Members()[0]
	// These end by themselves when the API server is away for longer than they may hold their leases.
	controllers := []clusters.Component{c.Component("kube-controller-manager"), c.Component("kube-scheduler")}
	for _, component := range controllers {
		require.NoError(t, component.Stop(t.Context()))
	}
	// The API server ends before the store is started again: a kubelet that an API server without a store keeps waiting starts nothing meanwhile, and ends it
	// at last. That a living API server finds its store again is asked of three members.
	names := []string{member.Name, "kube-apiserver"}
	was := map[string]string{}
	for _, name := range names {
		component := c.Component(name)
		require.NotNil(t, component, name)
		require.Equal(t, name, component.Name())
		was[name] = component.Identity()
		require.ErrorContains(t, component.Start(t.Context(), nil), name+": it runs already")

		require.NoError(t, component.Kill(t.Context()))
		requireEnded(t, c, component)
		// An API server that lost its store looks for it once a second at most, and says between what it saw last.
		eventually(t, "the cluster not to be ready without "+name, func(ctx context.Context) error {
			if ask(ctx, c) == nil {
				return errors.New("it is ready")
			}
			return nil
		})
		requireEnded(t, c, component)
		require.NoError(t, component.Kill(t.Context()), "twice is no error")
	}
	for _, name := range names {
		component := c.Component(name)
		require.NoError(t, component.Start(t.Context(), nil))
		require.True(t, component.Running(), name)
		require.NotEqual(t, was[name], component.Identity(), name)
	}
	eventually(t, "the cluster to be ready again", func(ctx context.Context) error { return ask(ctx, c) })
	for _, component := range controllers {
		require.NoError(t, component.Start(t.Context(), nil))
	}
	require.Equal(t, member.DataDir, c.Component(member.Name).DataDir())
	require.Empty(t, c.Component("kube-apiserver").DataDir())
	select {
	case err := <-c.Died():
		require.NoError(t, err, "what is done through Component is no death")
	default:
	}

	scheduler := c.Component("kube-scheduler")
	require.NoError(t, scheduler.Stop(t.Context()))
	require.False(t, scheduler.Running())
	require.NoError(t, scheduler.Start(t.Context(), map[string]string{"v": "1", "no-such-flag": "1"}))
	select {
	case err := <-c.Died():
		require.ErrorContains(t, err, "kube-scheduler ended unasked: exit status 1")
		require.ErrorContains(t, err, "unknown flag: --no-such-flag")
	case <-time.After(patience):
		require.Fail(t, "a component with a wrong flag died, and nobody said so")
	}
	require.Contains(t, strings.Join(scheduler.LogTail(10), "\n"), "unknown flag: --no-such-flag")
	require.NoError(t, scheduler.Start(t.Context(), nil), "flags are those of one start only")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, scheduler.Stop(ended), "a stop that has no time is a kill")
	require.False(t, scheduler.Running())
	require.ErrorIs(t, scheduler.Start(ended, nil), context.Canceled)
	require.NoError(t, scheduler.Start(t.Context(), map[string]string{"v": "1"}))
}

// takeOver brings the source's store and key material into another cluster, as a restore does.
func takeOver(t *testing.T, source, restored clusters.Cluster) {
	ctx := t.Context()
	before := kubernetes.NewForConfigOrDie(source.Config())
	token, err := before.CoreV1().ServiceAccounts("default").CreateToken(ctx, "default", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	require.NoError(t, err)
	namespace, err := before.CoreV1().Namespaces().Get(ctx, "default", metav1.GetOptions{})
	require.NoError(t, err)
	for _, c := range source.Components() {
		require.NoError(t, c.Kill(ctx))
	}

	material, err := source.Material(ctx)
	require.NoError(t, err, "material is there while the cluster is down")
	names := files(t, material)
	require.ElementsMatch(t, []string{"ca.crt", "ca.key", "etcd/ca.crt", "etcd/ca.key", "front-proxy-ca.crt", "front-proxy-ca.key", "sa.key", "sa.pub", "encryption-config.yaml"}, keys(names))

	require.ErrorContains(t, restored.LayIn(ctx, fstest.MapFS{}), "ca.crt is missing")
	stranger := restored.Config()
	require.NoError(t, restored.LayIn(ctx, material))
	now, err := restored.Material(ctx)
	require.NoError(t, err)
	require.Equal(t, names, files(t, now))
	require.NotEqual(t, stranger.CAData, restored.Config().CAData)

	member := restored.Members()[0]
	copied := filepath.Join(restored.StateDir(), "copy")
	copyData(t, source, copied)
	require.ErrorContains(t, restored.SeedStore(ctx, "etcd-9", copied), `no member "etcd-9"`)
	require.ErrorContains(t, restored.SeedStore(ctx, member.Name, filepath.Join(copied, "nothing")), "no such file or directory")
	require.NoError(t, restored.SeedStore(ctx, member.Name, copied))
	require.NoDirExists(t, copied)
	require.NoError(t, os.Mkdir(copied, 0o700))
	require.ErrorContains(t, restored.SeedStore(ctx, member.Name, copied), "is there already")

	require.NoError(t, restored.Component(member.Name).Start(ctx, nil), "the store can be had alone first")
	identity := restored.Component(member.Name).Identity()
	require.ErrorContains(t, restored.SeedStore(ctx, member.Name, copied), "runs")
	require.ErrorContains(t, restored.LayIn(ctx, material), "it has been started")
	start(t, restored)
	require.Equal(t, identity, restored.Component(member.Name).Identity())

	after := kubernetes.NewForConfigOrDie(restored.Config())
	again, err := after.CoreV1().Namespaces().Get(ctx, "default", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, namespace.UID, again.UID)
	secret, err := after.CoreV1().Secrets("default").Get(ctx, "canary", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, canary, string(secret.Data["value"]))
	review, err := after.AuthenticationV1().TokenReviews().Create(ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token.Status.Token}}, metav1.CreateOptions{})
	require.NoError(t, err)
	require.True(t, review.Status.Authenticated, "a token of before: %s", review.Status.Error)

	old := source.Config()
	old.Host = restored.Config().Host
	_, err = kubernetes.NewForConfigOrDie(old).Discovery().ServerVersion()
	require.NoError(t, err, "certificates of before are good still")
	stranger.Host, stranger.CAData = old.Host, old.CAData
	_, err = kubernetes.NewForConfigOrDie(stranger).Discovery().ServerVersion()
	require.Error(t, err, "those of before the material came are not")
}

// copyData copies the data directory of a cluster's member, which does not run, from its machine if there is one.
func copyData(t *testing.T, c clusters.Cluster, to string) {
	t.Helper()
	from := c.Members()[0].DataDir
	machined, ok := c.(clusters.Machined)
	if !ok {
		require.NoError(t, os.CopyFS(to, os.DirFS(from)))
		require.NoError(t, os.Chmod(to, 0o700))
		return
	}
	archive, err := machined.Machines()[0].Exec(t.Context(), nil, "tar", "-c", "-C", from, ".")
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(to, 0o700))
	unpack := exec.CommandContext(t.Context(), "tar", "-x", "-C", to)
	unpack.Stdin = bytes.NewReader(archive)
	out, err := unpack.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

func threeMembers(t *testing.T, p clusters.Provider) {
	spec := newSpec(t, "source")
	spec.EtcdMembers, spec.Nodes = 3, 0
	c := create(t, p, spec)
	start(t, c)
	require.Len(t, c.Members(), 3)
	require.Len(t, c.Store().Endpoints, 3)
	client := kubernetes.NewForConfigOrDie(c.Config())
	write := func(ctx context.Context) error {
		_, err := client.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "written-"}}, metav1.CreateOptions{})
		return err
	}
	store, err := clientv3.New(clientv3.Config{Endpoints: c.Store().Endpoints, TLS: c.Store().TLS})
	require.NoError(t, err)
	defer store.Close()
	members, err := store.MemberList(t.Context())
	require.NoError(t, err)
	require.Len(t, members.Members, 3)

	one, two := c.Component(c.Members()[0].Name), c.Component(c.Members()[1].Name)
	require.NoError(t, one.Kill(t.Context()))
	eventually(t, "a write with two of three", write)
	require.NoError(t, two.Kill(t.Context()))
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	require.Error(t, write(short), "one of three is no quorum")
	require.NoError(t, one.Start(t.Context(), nil))
	eventually(t, "a write with two of three again", write)
	require.NoError(t, two.Start(t.Context(), nil))

	for _, component := range c.Components() {
		require.NoError(t, component.Kill(t.Context()))
	}
	start(t, c)
	written, err := client.CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(written.Items), 2, "all of it was killed at once and started again")
	deleted(t, c)
}

func halfMade(t *testing.T, p clusters.Provider) {
	spec := newSpec(t, "source")
	spec.Nodes = 1
	never := create(t, p, spec)
	_, err := p.Create(t.Context(), never.Spec())
	require.ErrorContains(t, err, "create cluster source", "a place is taken once")
	deleted(t, never)
	require.Error(t, never.Component("kube-apiserver").Start(t.Context(), nil), "what is deleted does not start")

	starting := create(t, p, never.Spec())
	ctx, cancel := context.WithCancelCause(t.Context())
	interrupted := errors.New("interrupted by the suite")
	err = starting.Start(ctx, func(mark, _ string, _ time.Duration) {
		if mark == evidence.MarkStoreServing {
			cancel(interrupted)
		}
	})
	require.ErrorIs(t, err, interrupted)
	deleted(t, starting)

	again := create(t, p, starting.Spec())
	deleted(t, again)
}

// deleted deletes c and makes sure that nothing of it is left but its logs.
func deleted(t *testing.T, c clusters.Cluster) {
	t.Helper()
	member := c.Component(c.Members()[0].Name)
	ran := len(member.LogTail(1)) > 0
	require.NoError(t, c.Delete(t.Context()))
	require.NoError(t, c.Delete(t.Context()), "twice is no error")
	require.NoDirExists(t, c.StateDir())
	require.NoFileExists(t, c.Kubeconfig())
	for _, component := range c.Components() {
		require.False(t, component.Running(), component.Name())
	}
	for _, server := range append(c.Store().Endpoints, c.Config().Host) {
		u, err := url.Parse(server)
		require.NoError(t, err)
		_, err = net.Dial("tcp", u.Host)
		require.ErrorContains(t, err, "connection refused", server)
	}
	if ran {
		require.NotEmpty(t, member.LogTail(1), "logs outlive the cluster")
	}
}

func create(t *testing.T, p clusters.Provider, spec clusters.Spec) clusters.Cluster {
	t.Helper()
	c, err := p.Create(t.Context(), spec)
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			for _, component := range c.Components() {
				t.Logf("end of the log of %s of %s:\n%s", component.Name(), c.Name(), strings.Join(component.LogTail(5), "\n"))
			}
		}
		require.NoError(t, c.Delete(context.WithoutCancel(t.Context())))
	})
	return c
}

// newSpec of a cluster, of the same drill as another where one is given.
func newSpec(t *testing.T, name string, of ...clusters.Spec) clusters.Spec {
	t.Helper()
	id := strings.ToLower(strings.NewReplacer("/", "-", "#", "-").Replace(t.Name()))
	if len(of) > 0 {
		id = of[0].DrillID
	}
	return clusters.Spec{
		Name: name, DrillID: id, LogDir: filepath.Join(t.TempDir(), "logs"), EtcdMembers: 1, Nodes: 2, StartTimeout: patience,
		Progress: func(line string) { t.Log(line) },
	}
}

func ask(ctx context.Context, c clusters.Cluster) error {
	config := c.Config()
	config.Timeout = patience
	_, err := kubernetes.NewForConfigOrDie(config).RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
	return err
}

// stored is what the store holds under a key.
func stored(t *testing.T, c clusters.Cluster, key string) string {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: c.Store().Endpoints, TLS: c.Store().TLS})
	require.NoError(t, err)
	defer client.Close()
	got, err := client.Get(t.Context(), key)
	require.NoError(t, err)
	require.Len(t, got.Kvs, 1, key)
	return string(got.Kvs[0].Value)
}

func apiServers(ctx context.Context, client kubernetes.Interface) ([]string, error) {
	slices, err := client.DiscoveryV1().EndpointSlices("default").List(ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=kubernetes"})
	if err != nil {
		return nil, err
	}
	var addresses []string
	for _, s := range slices.Items {
		for _, e := range s.Endpoints {
			addresses = append(addresses, e.Addresses...)
		}
	}
	return addresses, nil
}

// eventually watches until try succeeds.
func eventually(t *testing.T, what string, try func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			require.NoError(t, err, "waited %s for %s", patience, what)
		case <-tick.C:
		}
	}
}

func files(t *testing.T, fsys fs.FS) map[string]string {
	t.Helper()
	all := map[string]string{}
	require.NoError(t, fs.WalkDir(fsys, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(fsys, path)
		all[path] = string(b)
		return err
	}))
	return all
}

func keys(m map[string]string) []string {
	var all []string
	for k := range m {
		all = append(all, k)
	}
	return all
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(b)
}

func second[T any](_ T, err error) error { return err }
