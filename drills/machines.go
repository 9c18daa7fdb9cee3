package drills

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/internal/evidence"
)

// machinesSettle is how long what runs and what the API says may differ, as they do while a pod starts or ends. A kubelet that knows of a pod that is
// gone ends it within its grace period, which is 30 s by default.
const machinesSettle = 45 * time.Second

// readMachines compares what runs on each machine with the API. It waits while they differ, and keeps what it saw last.
func (d *drill) readMachines(ctx context.Context, c clusters.Machined) error {
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		return err
	}
	began := time.Now()
	for {
		seen, settled, err := lookAtMachines(ctx, client, c.Machines())
		if err != nil {
			return err
		}
		seen.Waited = time.Since(began).Seconds()
		if settled || time.Since(began) > machinesSettle {
			return d.rec.Put(evidence.MachinesFile, seen)
		}
		if err := wait(ctx, time.Second); err != nil {
			return err
		}
	}
}

// lookAtMachines once. The API is asked before and after the machines: a pod is bound when it runs by both answers, and unknown when it is in neither. One
// that comes or goes is left out of both sides.
func lookAtMachines(ctx context.Context, client kubernetes.Interface, machines []clusters.Machine) (seen evidence.Machines, settled bool, err error) {
	before, err := boundPods(ctx, client)
	if err != nil {
		return seen, false, err
	}
	running := make([][]evidence.MachinePod, len(machines))
	for i, m := range machines {
		found := evidence.Machine{Name: m.Name(), Running: []evidence.MachinePod{}, Bound: []evidence.MachinePod{}}
		var asked error
		if running[i], asked = runningPods(ctx, m); asked == nil {
			var state []byte
			state, asked = m.Exec(ctx, nil, "bash", "-c", "systemctl is-active kubelet || true")
			found.Kubelet = strings.TrimSpace(string(state))
		}
		if asked != nil {
			found.Error = asked.Error()
		}
		seen.Machines = append(seen.Machines, found)
	}
	after, err := boundPods(ctx, client)
	if err != nil {
		return seen, false, err
	}
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return seen, false, fmt.Errorf("list nodes: %w", err)
	}
	ready := map[string]bool{}
	for _, n := range nodes.Items {
		seen.Nodes = append(seen.Nodes, n.Name)
		ready[n.Name] = slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
			return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
		})
	}
	settled = true
	for i := range seen.Machines {
		m := &seen.Machines[i]
		m.Ready, m.Registered = ready[m.Name]
		for _, pod := range running[i] {
			if state := before[m.Name][pod]; state == after[m.Name][pod] && state != known {
				m.Running = append(m.Running, pod)
				settled = settled && state == runs
			}
		}
		for pod, state := range before[m.Name] {
			if state == runs && after[m.Name][pod] == runs {
				m.Bound = append(m.Bound, pod)
				settled = settled && slices.Contains(running[i], pod)
			}
		}
		slices.SortFunc(m.Running, comparePods)
		slices.SortFunc(m.Bound, comparePods)
		settled = settled && m.Error == "" && m.Registered && m.Ready && m.Kubelet == "active"
	}
	return seen, settled, nil
}

func comparePods(a, b evidence.MachinePod) int {
	return strings.Compare(a.Namespace+"/"+a.Name+"/"+a.UID, b.Namespace+"/"+b.Name+"/"+b.UID)
}

// What the API says of a pod on a machine: nothing, that it is there, or that it runs.
const (
	absent = iota
	known
	runs
)

// boundPods are the pods of the API by the node that they are bound to.
func boundPods(ctx context.Context, client kubernetes.Interface) (map[string]map[evidence.MachinePod]int, error) {
	list, err := client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	bound := map[string]map[evidence.MachinePod]int{}
	for _, p := range list.Items {
		uid := string(p.UID)
		// A static pod's entry in the API is a mirror of what the kubelet runs under another UID.
		if config, mirror := p.Annotations[corev1.MirrorPodAnnotationKey]; mirror {
			uid = config
		}
		if bound[p.Spec.NodeName] == nil {
			bound[p.Spec.NodeName] = map[evidence.MachinePod]int{}
		}
		state := known
		if p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil {
			state = runs
		}
		bound[p.Spec.NodeName][evidence.MachinePod{Namespace: p.Namespace, Name: p.Name, UID: uid}] = state
	}
	return bound, nil
}

// runningPods are those whose sandbox the machine's container runtime says is ready.
func runningPods(ctx context.Context, m clusters.Machine) ([]evidence.MachinePod, error) {
	out, err := m.Exec(ctx, nil, "crictl", "pods", "--state", "ready", "--output", "json")
	if err != nil {
		return nil, err
	}
	var list struct {
		Items []struct {
			Metadata evidence.MachinePod `json:"metadata"`
		} `json:"items"`
	}
	if err := json.Unmarshal(out, &list); err != nil {
		return nil, fmt.Errorf("read what crictl says on machine %s: %w", m.Name(), err)
	}
	pods := []evidence.MachinePod{}
	for _, item := range list.Items {
		pods = append(pods, item.Metadata)
	}
	return pods, nil
}
