package drills

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"

	"github.com/restore-drill/restore-drill/fixtures"
	"github.com/restore-drill/restore-drill/internal/ledger"
	"github.com/restore-drill/restore-drill/internal/shell"
	"github.com/restore-drill/restore-drill/scenarios"
)

// What a client in the cluster sees is asked by a pod of the drill's own, and of the pods themselves.

// probePod is the drill's own. It is in the ledger's namespace, and no backup needs it: where it is gone or does not run, it is made anew.
const probePod = "restore-drill-probe"

// clusterDomain is kubeadm's.
const clusterDomain = "cluster.local"

// maxOutput of a command in a pod that is looked at.
const maxOutput = 64 << 10

// An insider asks from inside a cluster.
type insider struct {
	cfg    *rest.Config
	client kubernetes.Interface
}

func newInsider(cfg *rest.Config) (*insider, error) {
	client, err := kubernetes.NewForConfig(cfg)
	return &insider{cfg, client}, err
}

func (p *probe) askInside(ctx context.Context, cfg *rest.Config) (string, error) {
	in, err := newInsider(cfg)
	if err != nil {
		return "", err
	}
	switch {
	case p.HTTP != nil:
		return in.askHTTP(ctx, p.HTTP)
	case p.DNS != nil:
		return in.askDNS(ctx, p.DNS)
	case p.Exec != nil:
		return in.askExec(ctx, p.Exec)
	}
	return in.askIdentity(ctx, p.Identity)
}

func (in *insider) askHTTP(ctx context.Context, p *scenarios.HTTPProbe) (string, error) {
	address := fmt.Sprintf("http://%s.%s:%d%s", p.Service, p.Namespace, p.Port, path.Join("/", p.Path))
	// Debian's busybox crashes on wget's own -T.
	page, err := in.outside(ctx, "timeout", "5", "wget", "-q", "-O", "-", address)
	if err != nil {
		return "", fmt.Errorf("GET %s from a pod: %w", address, err)
	}
	if !bytes.Contains(page, []byte(p.Contains)) {
		return "", fmt.Errorf("GET %s from a pod: HTTP 200, and the page of %d bytes does not hold %q", address, len(page), p.Contains)
	}
	return fmt.Sprintf("GET %s from a pod: HTTP 200, %d bytes", address, len(page)), nil
}

func (in *insider) askDNS(ctx context.Context, p *scenarios.DNSProbe) (string, error) {
	service, err := in.client.CoreV1().Services(p.Namespace).Get(ctx, p.Service, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	want := service.Spec.ClusterIPs
	if service.Spec.ClusterIP == corev1.ClusterIPNone {
		if want, err = in.endpoints(ctx, p.Namespace, p.Service); err != nil {
			return "", err
		}
	}
	return in.resolves(ctx, fmt.Sprintf("%s.%s.svc.%s", p.Service, p.Namespace, clusterDomain), want)
}

// endpoints that a Service without an address of its own has: those that are ready.
func (in *insider) endpoints(ctx context.Context, namespace, service string) (all []string, err error) {
	slices, err := in.client.DiscoveryV1().EndpointSlices(namespace).List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + service})
	if err != nil {
		return nil, err
	}
	for _, s := range slices.Items {
		for _, e := range s.Endpoints {
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				all = append(all, e.Addresses...)
			}
		}
	}
	return all, nil
}

// resolves asks for a name, and wants all the addresses among the answers.
func (in *insider) resolves(ctx context.Context, name string, want []string) (string, error) {
	if len(want) == 0 {
		return "", fmt.Errorf("%s: the API knows no address for it", name)
	}
	out, err := in.outside(ctx, "nslookup", name+".")
	if err != nil {
		return "", fmt.Errorf("resolve %s in a pod: %w", name, err)
	}
	got := addresses(string(out))
	for _, address := range want {
		if !slices.Contains(got, address) {
			return "", fmt.Errorf("%s is %s in the cluster's DNS, and %s in the API", name, strings.Join(got, ", "), strings.Join(want, ", "))
		}
	}
	return fmt.Sprintf("%s is %s", name, strings.Join(want, ", ")), nil
}

// addresses that nslookup answered with. It prints the server's own first.
func addresses(out string) (all []string) {
	_, answer, _ := strings.Cut(out, "\nName:")
	for line := range strings.Lines(answer) {
		if after, ok := strings.CutPrefix(line, "Address"); ok {
			for _, word := range strings.Fields(after) {
				if ip := net.ParseIP(word); ip != nil {
					all = append(all, ip.String())
				}
			}
		}
	}
	return all
}

func (in *insider) askExec(ctx context.Context, p *scenarios.ExecProbe) (string, error) {
	pods := []string{p.Pod}
	if p.Selector != "" {
		list, err := in.client.CoreV1().Pods(p.Namespace).List(ctx, metav1.ListOptions{LabelSelector: p.Selector, FieldSelector: "status.phase=Running"})
		if err != nil {
			return "", err
		}
		pods = nil
		for _, pod := range list.Items {
			if pod.DeletionTimestamp == nil {
				pods = append(pods, pod.Name)
			}
		}
		if len(pods) == 0 {
			return "", fmt.Errorf("no pod of %s runs that %s selects", p.Namespace, p.Selector)
		}
	}
	shown, _ := json.Marshal(p.Argv)
	for _, pod := range pods {
		// What the command says may be secret.
		if out, err := in.run(ctx, p.Namespace, pod, p.Container, p.Argv...); err != nil {
			return "", fmt.Errorf("%s in pod %s/%s: %w (%d bytes of output)", shown, p.Namespace, pod, bare(err), len(out))
		}
	}
	return fmt.Sprintf("%s: exit code 0 in %d pods", shown, len(pods)), nil
}

func (in *insider) askIdentity(ctx context.Context, p *scenarios.IdentityProbe) (string, error) {
	set, err := in.client.AppsV1().StatefulSets(p.Namespace).Get(ctx, p.StatefulSet, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	replicas := 1
	if set.Spec.Replicas != nil {
		replicas = int(*set.Spec.Replicas)
	}
	if replicas == 0 {
		return "", fmt.Errorf("StatefulSet %s/%s has no replicas", p.Namespace, p.StatefulSet)
	}
	for i := range replicas {
		name := fmt.Sprintf("%s-%d", set.Name, i)
		pod, err := in.client.CoreV1().Pods(p.Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		for _, t := range set.Spec.VolumeClaimTemplates {
			claim := t.Name + "-" + name
			if !slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool {
				return v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == claim
			}) {
				return "", fmt.Errorf("pod %s/%s does not mount its own claim %s", p.Namespace, name, claim)
			}
		}
		holds, err := in.run(ctx, p.Namespace, name, "", "cat", p.File)
		if err != nil {
			return "", fmt.Errorf("read %s in pod %s/%s: %w", p.File, p.Namespace, name, err)
		}
		if got := strings.TrimSpace(string(holds)); got != name {
			return "", fmt.Errorf("pod %s/%s has the volume of another: %s holds %q", p.Namespace, name, p.File, shorten(got))
		}
		if _, err := in.resolves(ctx, fmt.Sprintf("%s.%s.%s.svc.%s", name, set.Spec.ServiceName, p.Namespace, clusterDomain), []string{pod.Status.PodIP}); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d pods of StatefulSet %s/%s have their own names, volumes and addresses", replicas, p.Namespace, p.StatefulSet), nil
}

func shorten(s string) string { return s[:min(len(s), 80)] }

// outside of all workloads, but inside the cluster: in the drill's own pod.
func (in *insider) outside(ctx context.Context, argv ...string) ([]byte, error) {
	if err := in.ensurePod(ctx); err != nil {
		return nil, err
	}
	return in.run(ctx, ledger.Namespace, probePod, "", argv...)
}

// ensurePod returns when the drill's own pod runs, as far as the API knows; the error says that it does not yet. One that was restored with the rest,
// on a node that is gone, is made anew.
func (in *insider) ensurePod(ctx context.Context) error {
	pods := in.client.CoreV1().Pods(ledger.Namespace)
	pod, err := pods.Get(ctx, probePod, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		if err := in.makePod(ctx); err != nil {
			return fmt.Errorf("make the drill's own pod: %w", err)
		}
		return errors.New("the drill's own pod was just made")
	case err != nil:
		return err
	case pod.Status.Phase == corev1.PodRunning && pod.DeletionTimestamp == nil:
		return nil
	case pod.Status.Phase == corev1.PodSucceeded, pod.Status.Phase == corev1.PodFailed:
		err := pods.Delete(ctx, probePod, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0)), Preconditions: metav1.NewUIDPreconditions(string(pod.UID))})
		return errors.Join(fmt.Errorf("the drill's own pod is %s", pod.Status.Phase), ignoreNotFound(err))
	}
	why := ""
	for _, c := range pod.Status.Conditions {
		if c.Status == corev1.ConditionFalse && c.Message != "" {
			why = ": " + c.Message
		}
	}
	for _, c := range pod.Status.ContainerStatuses {
		if w := c.State.Waiting; w != nil && w.Message != "" {
			why = ": " + w.Message
		}
	}
	return fmt.Errorf("the drill's own pod is %s%s", pod.Status.Phase, why)
}

func (in *insider) makePod(ctx context.Context) error {
	labels := map[string]string{DrillLabel: probePod}
	_, err := in.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ledger.Namespace, Labels: labels}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	_, err = in.client.CoreV1().Pods(ledger.Namespace).Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: probePod, Namespace: ledger.Namespace, Labels: labels},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: new(int64(1)), AutomountServiceAccountToken: new(false),
			Containers: []corev1.Container{{Name: "probe", Image: fixtures.Image, Command: []string{"sleep", "infinity"}}},
		},
	}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil // another probe was quicker
	}
	return err
}

// An execError is a command in a pod that ended with another exit code than 0.
type execError struct {
	err  error
	said string
}

func (e *execError) Error() string { return e.err.Error() + ": " + e.said }
func (e *execError) Unwrap() error { return e.err }

// bare is the error without what the command said.
func bare(err error) error {
	if e := new(execError); errors.As(err, &e) {
		return e.err
	}
	return err
}

// run a command in a pod's container; an empty one is the first. The output is bounded.
func (in *insider) run(ctx context.Context, namespace, pod, container string, argv ...string) ([]byte, error) {
	request := in.client.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: container, Command: argv, Stdout: true, Stderr: true}, scheme.ParameterCodec)
	executor, err := remotecommand.NewWebSocketExecutor(in.cfg, "GET", request.URL().String())
	if err != nil {
		return nil, err
	}
	var out, said bytes.Buffer
	err = executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &limited{&out}, Stderr: &limited{&said}})
	if err != nil {
		lines := strings.Split(strings.TrimSpace(said.String()), "\n")
		return out.Bytes(), fmt.Errorf("%s: %w", shell.Join(argv...), &execError{err, lines[len(lines)-1]})
	}
	return out.Bytes(), nil
}

// limited writes what fits, and takes the rest.
type limited struct{ to *bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if room := maxOutput - l.to.Len(); room > 0 {
		_, _ = l.to.Write(p[:min(len(p), room)])
	}
	return len(p), nil
}
