package velero

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vmware-tanzu/velero/pkg/install"
	"github.com/vmware-tanzu/velero/pkg/uploader"
	"github.com/vmware-tanzu/velero/pkg/util/kube"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"

	"github.com/restore-drill/restore-drill/internal/place"
)

// Images of Velero and of its plugin for S3. They are the versions of the toolchain's, which the Deployment runs as `velero install` would have it.
const (
	ServerImage = "velero/velero:v1.18.3"
	PluginImage = "velero/velero-plugin-for-aws:v1.14.3"
)

// Names of what `velero install` makes.
const (
	deployment = "velero"
	nodeAgent  = "node-agent"
	// repositorySecret holds the password of the repository that volumes are backed up into. Velero makes it when it starts, with a password that
	// everybody knows, where it is not there.
	repositorySecret = "velero-repo-credentials"
	repositoryKey    = "repository-password"
)

const (
	serverPods = "deploy=velero"
	agentPods  = "name=node-agent"
	// podLogLines of a pod that does not run are told at most.
	podLogLines = 12
	// podTimeout bounds the wait for pods that neither run nor say why.
	podTimeout = 3 * time.Minute
)

// pods are a server in the cluster: a Deployment, and a DaemonSet that reads and writes volumes on each node.
type pods struct {
	client kubernetes.Interface
	flags  map[string]string
	logDir string
	suffix string
	ctx    context.Context // ends with close
	cancel context.CancelFunc

	mu      sync.Mutex
	started int
	running bool
	// followed are the pods whose logs are being kept, by UID.
	followed  map[types.UID]bool
	following sync.WaitGroup
}

func installPods(ctx context.Context, s *Server, o Options) (*pods, error) {
	client, err := kubernetes.NewForConfig(o.Config)
	if err != nil {
		return nil, err
	}
	p := &pods{client: client, flags: o.Flags, logDir: filepath.Dir(o.LogFile), suffix: "-" + strings.TrimPrefix(o.Name, "velero-") + ".log", followed: map[types.UID]bool{}}
	p.ctx, p.cancel = context.WithCancel(context.WithoutCancel(ctx))
	err = s.install(ctx, o, func(ctx context.Context, client kubernetes.Interface) error {
		if err := putRepositoryPassword(ctx, client, o.RepositoryPassword); err != nil {
			return err
		}
		return applyInstallation(ctx, o)
	})
	if err != nil {
		return nil, errors.Join(err, p.close(ctx))
	}
	return p, nil
}

// applyInstallation makes what Velero's own `velero install` makes, but for the API, the namespace and what tells of the store, which are there. The
// Deployment has no replica yet.
func applyInstallation(ctx context.Context, o Options) error {
	resources, err := kube.ParseCPUAndMemoryResources(install.DefaultVeleroPodCPURequest, install.DefaultVeleroPodMemRequest, install.DefaultVeleroPodCPULimit, install.DefaultVeleroPodMemLimit)
	if err != nil {
		return err
	}
	all := install.AllResources(&install.VeleroOptions{
		Namespace: Namespace, Image: ServerImage, Plugins: []string{PluginImage}, VeleroPodResources: resources,
		// The Secret is made by putCredentials; that there is one has the pods mount it.
		SecretData: []byte{}, NoDefaultBackupLocation: true,
		UseNodeAgent: true, UploaderType: uploader.KopiaType, KubeletRootDir: install.DefaultKubeletRootDir,
		PodLabels: map[string]string{excluded: "true"},
	})
	client, err := dynamic.NewForConfig(o.Config)
	if err != nil {
		return err
	}
	for i := range all.Items {
		u := &all.Items[i]
		resource, ours := installed[u.GetKind()]
		if !ours {
			continue
		}
		u.SetLabels(own)
		if u.GetKind() == "Deployment" {
			if err := unstructured.SetNestedField(u.Object, int64(0), "spec", "replicas"); err != nil {
				return err
			}
		}
		var at dynamic.ResourceInterface = client.Resource(resource)
		if namespace := u.GetNamespace(); namespace != "" {
			at = client.Resource(resource).Namespace(namespace)
		}
		if _, err := at.Apply(ctx, u.GetName(), u, metav1.ApplyOptions{FieldManager: "restore-drill", Force: true}); err != nil {
			return fmt.Errorf("apply %s %s: %w", u.GetKind(), u.GetName(), err)
		}
	}
	return nil
}

// installed kinds, with their resources.
var installed = map[string]schema.GroupVersionResource{
	"ServiceAccount":     corev1.SchemeGroupVersion.WithResource("serviceaccounts"),
	"ClusterRoleBinding": {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterrolebindings"},
	"Deployment":         appsv1.SchemeGroupVersion.WithResource("deployments"),
	"DaemonSet":          appsv1.SchemeGroupVersion.WithResource("daemonsets"),
}

// putRepositoryPassword writes the Secret anew. Without a password Velero makes its own.
func putRepositoryPassword(ctx context.Context, client kubernetes.Interface, password []byte) error {
	if password == nil {
		return nil
	}
	o := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: repositorySecret, Labels: own},
		Type:       corev1.SecretTypeOpaque, Data: map[string][]byte{repositoryKey: password},
	}
	secrets := client.CoreV1().Secrets(Namespace)
	_, err := secrets.Create(ctx, o, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		_, err = secrets.Update(ctx, o, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("write Secret %s: %w", repositorySecret, err)
	}
	return nil
}

func (p *pods) Name() string { return "velero" }

// Running tells whether it was started, and not stopped since.
func (p *pods) Running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running
}

// Identity counts the starts.
func (p *pods) Identity() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.started == 0 {
		return ""
	}
	return fmt.Sprintf("Deployment velero, start %d", p.started)
}

// LogTail returns the last n lines of the server's log.
func (p *pods) LogTail(n int) []string {
	text, err := os.ReadFile(p.logFile("server"))
	if err != nil {
		return nil
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return lines[max(0, len(lines)-n):]
}

func (p *pods) logFile(of string) string { return filepath.Join(p.logDir, of+p.suffix) }

// Start has the Deployment run one pod, with flags that replace or extend the server's for this one start, and returns when that pod and those of the
// DaemonSet run. A pod that cannot run ends the wait at once.
func (p *pods) Start(ctx context.Context, flags map[string]string) error {
	all := maps.Clone(p.flags)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, flags)
	current, err := p.client.AppsV1().Deployments(Namespace).Get(ctx, deployment, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read Deployment %s: %w", deployment, err)
	}
	args := slices.DeleteFunc(current.Spec.Template.Spec.Containers[0].Args, func(arg string) bool {
		name, _, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		_, given := all[name]
		return given
	})
	for _, name := range slices.Sorted(maps.Keys(all)) {
		args = append(args, "--"+name+"="+all[name])
	}
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"replicas": 1, "template": map[string]any{"spec": map[string]any{
		"containers": []any{map[string]any{"name": deployment, "args": args}},
	}}}})
	if err != nil {
		return err
	}
	if _, err := p.client.AppsV1().Deployments(Namespace).Patch(ctx, deployment, types.StrategicMergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("start Deployment %s: %w", deployment, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, podTimeout, fmt.Errorf("not within %s", podTimeout))
	defer cancel()
	nodes, err := p.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("count the nodes: %w", err)
	}
	agents := 0
	for _, n := range nodes.Items {
		if !n.Spec.Unschedulable && !slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Effect != corev1.TaintEffectPreferNoSchedule }) {
			agents++
		}
	}
	if err := p.awaitPods(ctx, serverPods, 1); err != nil {
		return err
	}
	if err := p.awaitPods(ctx, agentPods, max(1, agents)); err != nil {
		return err
	}
	p.mu.Lock()
	p.started, p.running = p.started+1, true
	p.mu.Unlock()
	return nil
}

// awaitPods returns when so many of the pods are ready.
func (p *pods) awaitPods(ctx context.Context, selector string, want int) error {
	ready := map[types.UID]bool{}
	var last string
	err := p.watch(ctx, selector, func(pod *corev1.Pod, gone bool) (bool, error) {
		delete(ready, pod.UID)
		if gone || pod.DeletionTimestamp != nil {
			return false, nil
		}
		// One that was started again works for all that is known; one that is held back does not.
		if death := p.death(ctx, pod, nil); death != nil {
			return false, death
		}
		last = fmt.Sprintf("pod %s is %s", pod.Name, state(pod))
		if isReady(pod) {
			ready[pod.UID] = true
			p.follow(pod)
		}
		return len(ready) >= want, nil
	})
	if err != nil {
		return fmt.Errorf("wait for %d pod(s) %s (%s): %w", want, selector, last, err)
	}
	return nil
}

func (p *pods) watch(ctx context.Context, selector string, see func(pod *corev1.Pod, gone bool) (bool, error)) error {
	list := cache.NewFilteredListWatchFromClient(p.client.CoreV1().RESTClient(), "pods", Namespace, func(o *metav1.ListOptions) { o.LabelSelector = selector })
	_, err := watchtools.UntilWithSync(ctx, list, &corev1.Pod{}, nil, func(e watch.Event) (bool, error) {
		pod, ok := e.Object.(*corev1.Pod)
		if !ok {
			return false, nil
		}
		return see(pod, e.Type == watch.Deleted)
	})
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return err
}

func isReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue })
}

// state of a pod in words.
func state(pod *corev1.Pod) string {
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if w := c.State.Waiting; w != nil && w.Reason != "" {
			return strings.TrimSpace(w.Reason + " " + w.Message)
		}
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return strings.TrimSpace(c.Reason + " " + c.Message)
		}
	}
	return string(pod.Status.Phase)
}

// hopeless are reasons for which a container waits that no waiting mends.
var hopeless = []string{"CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError"}

// death of a pod's container that cannot run, with its last log lines, or of one that has ended since it was seen first, whose restarts are in seen; nil
// while nothing is wrong with it.
func (p *pods) death(ctx context.Context, pod *corev1.Pod, seen map[string]int32) error {
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		ended := c.State.Terminated
		if ended == nil {
			ended = c.LastTerminationState.Terminated
		}
		waiting := c.State.Waiting
		held := waiting != nil && waiting.Reason == "CrashLoopBackOff"
		if seen != nil {
			key := string(pod.UID) + "/" + c.Name
			if _, known := seen[key]; !known {
				seen[key] = c.RestartCount
			}
			held = held || c.State.Terminated != nil || c.RestartCount > seen[key]
		}
		switch {
		case held && ended != nil && ended.ExitCode != 0:
			return &place.Death{
				Component: "velero", Outside: ended.Reason == "OOMKilled",
				Words: fmt.Sprintf("container %s of pod %s ended unasked: %s, exit code %d; its log:\n%s", c.Name, pod.Name, ended.Reason, ended.ExitCode, p.lastWords(ctx, pod, c)),
			}
		case waiting != nil && slices.Contains(hopeless, waiting.Reason):
			return &place.Death{
				Component: "velero", Outside: waiting.Reason != "CrashLoopBackOff",
				Words: fmt.Sprintf("container %s of pod %s cannot run: %s: %s", c.Name, pod.Name, waiting.Reason, waiting.Message),
			}
		}
	}
	return nil
}

func (p *pods) lastWords(ctx context.Context, pod *corev1.Pod, c corev1.ContainerStatus) string {
	lines := int64(podLogLines)
	text, err := p.client.CoreV1().Pods(Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{
		Container: c.Name, TailLines: &lines, Previous: c.State.Terminated == nil,
	}).DoRaw(ctx)
	if err != nil {
		return fmt.Sprintf("(its log cannot be read: %v)", err)
	}
	if len(text) == 0 {
		return "(it logged nothing)"
	}
	return strings.TrimSpace(string(text))
}

// follow keeps what a pod logs until it ends, or the server is closed.
func (p *pods) follow(pod *corev1.Pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.followed[pod.UID] {
		return
	}
	p.followed[pod.UID] = true
	file := p.logFile("server")
	if pod.Labels["name"] == nodeAgent {
		file = p.logFile(nodeAgent)
	}
	p.following.Go(func() {
		in, err := p.client.CoreV1().Pods(Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Container: pod.Spec.Containers[0].Name, Follow: true}).Stream(p.ctx)
		if err != nil {
			return // what is lost is a log
		}
		defer in.Close()
		out, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return
		}
		defer out.Close()
		_, _ = io.Copy(out, in) // it ends with the pod, its node or us
	})
}

// Stop has the Deployment run no pod, and returns when there is none.
func (p *pods) Stop(ctx context.Context) error {
	p.mu.Lock()
	p.running = false
	p.mu.Unlock()
	_, err := p.client.AppsV1().Deployments(Namespace).Patch(ctx, deployment, types.MergePatchType, []byte(`{"spec":{"replicas":0}}`), metav1.PatchOptions{})
	if err != nil {
		return fmt.Errorf("stop Deployment %s: %w", deployment, err)
	}
	return p.awaitGone(ctx, nil)
}

// Kill ends the server's process at once. The Deployment makes another pod; Start waits for it.
func (p *pods) Kill(ctx context.Context) error {
	now := int64(0)
	all, err := p.client.CoreV1().Pods(Namespace).List(ctx, metav1.ListOptions{LabelSelector: serverPods})
	if err != nil {
		return fmt.Errorf("kill velero: %w", err)
	}
	killed := map[types.UID]bool{}
	for _, pod := range all.Items {
		killed[pod.UID] = true
		if err := p.client.CoreV1().Pods(Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("kill pod %s: %w", pod.Name, err)
		}
	}
	return p.awaitGone(ctx, killed)
}

// awaitGone returns when none of those pods is there; nil stands for any.
func (p *pods) awaitGone(ctx context.Context, which map[types.UID]bool) error {
	there, err := p.client.CoreV1().Pods(Namespace).List(ctx, metav1.ListOptions{LabelSelector: serverPods})
	if err != nil {
		return err
	}
	left := map[types.UID]bool{}
	for _, pod := range there.Items {
		if which == nil || which[pod.UID] {
			left[pod.UID] = true
		}
	}
	if len(left) == 0 {
		return nil
	}
	err = p.watch(ctx, serverPods, func(pod *corev1.Pod, gone bool) (bool, error) {
		if gone {
			delete(left, pod.UID)
		}
		return len(left) == 0, nil
	})
	if err != nil {
		return fmt.Errorf("wait for velero's pods to end: %w", err)
	}
	return nil
}

// guard ends the context when a container of Velero's ends that nobody ended through Stop or Kill.
func (p *pods) guard(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	for _, selector := range []string{serverPods, agentPods} {
		go func() {
			seen := map[string]int32{}
			err := p.watch(ctx, selector, func(pod *corev1.Pod, gone bool) (bool, error) {
				if gone || pod.DeletionTimestamp != nil {
					return false, nil
				}
				if isReady(pod) {
					p.follow(pod)
				}
				return false, p.death(ctx, pod, seen)
			})
			if death := new(place.Death); errors.As(err, &death) {
				cancel(death)
			}
		}()
	}
	return ctx, func() { cancel(nil) }
}

// close ends the keeping of logs. What was installed goes with the cluster.
func (p *pods) close(context.Context) error {
	p.cancel()
	p.following.Wait()
	return nil
}
