package drills

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/internal/ledger"
)

// A silentMachine runs pods, and says so, unless it does not answer.
type silentMachine struct {
	clusters.Machine
	name    string
	pods    []evidence.MachinePod
	kubelet string
	broken  error
}

func (m silentMachine) Name() string { return m.name }

func (m silentMachine) Exec(_ context.Context, _ io.Reader, argv ...string) ([]byte, error) {
	switch {
	case m.broken != nil:
		return nil, m.broken
	case argv[0] != "crictl":
		return []byte(m.kubelet + "\n"), nil
	}
	var items []string
	for _, p := range m.pods {
		items = append(items, fmt.Sprintf(`{"id":"x","metadata":{"name":%q,"uid":%q,"namespace":%q,"attempt":0},"state":"SANDBOX_READY"}`, p.Name, p.UID, p.Namespace))
	}
	return []byte(`{"items":[` + strings.Join(items, ",") + `]}`), nil
}

func TestMachinesAreComparedWithTheAPI(t *testing.T) {
	pod := func(name, uid, node string, phase corev1.PodPhase, annotations map[string]string, ending bool) runtime.Object {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(uid), Annotations: annotations}, Spec: corev1.PodSpec{NodeName: node}, Status: corev1.PodStatus{Phase: phase}}
		if ending {
			p.DeletionTimestamp = new(metav1.Now())
		}
		return p
	}
	node := func(name string, ready corev1.ConditionStatus) runtime.Object {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}}}}
	}
	on := func(name, uid string) evidence.MachinePod {
		return evidence.MachinePod{Namespace: "shop", Name: name, UID: uid}
	}
	client := fake.NewClientset(
		node("a", corev1.ConditionTrue), node("old", corev1.ConditionUnknown),
		pod("web", "1", "a", corev1.PodRunning, nil, false),
		pod("etcd", "mirror", "a", corev1.PodRunning, map[string]string{corev1.MirrorPodAnnotationKey: "hash"}, false),
		pod("starting", "2", "a", corev1.PodPending, nil, false),
		pod("ending", "3", "a", corev1.PodRunning, nil, true),
		pod("done", "4", "a", corev1.PodSucceeded, nil, false),
		pod("ghost", "5", "a", corev1.PodRunning, nil, false),
		pod("elsewhere", "6", "b", corev1.PodRunning, nil, false),
	)
	machines := []clusters.Machine{
		silentMachine{name: "a", kubelet: "active", pods: []evidence.MachinePod{on("web", "1"), on("etcd", "hash"), on("starting", "2"), on("ending", "3"), on("phantom", "7")}},
		silentMachine{name: "b", broken: errors.New("no such container")},
	}
	seen, settled, err := lookAtMachines(t.Context(), client, machines)
	require.NoError(t, err)
	require.False(t, settled)
	require.Equal(t, evidence.Machines{
		Machines: []evidence.Machine{
			{Name: "a", Kubelet: "active", Registered: true, Ready: true,
				Running: []evidence.MachinePod{on("etcd", "hash"), on("phantom", "7"), on("web", "1")},
				Bound:   []evidence.MachinePod{on("etcd", "hash"), on("ghost", "5"), on("web", "1")}},
			{Name: "b", Error: "no such container", Running: []evidence.MachinePod{}, Bound: []evidence.MachinePod{on("elsewhere", "6")}},
		},
		Nodes: []string{"a", "old"},
	}, seen)

	// Each difference by itself keeps it from having settled.
	well := []runtime.Object{node("a", corev1.ConditionTrue), pod("web", "1", "a", corev1.PodRunning, nil, false)}
	for name, test := range map[string]struct {
		objects []runtime.Object
		machine silentMachine
		settled bool
	}{
		"all as it is":    {well, silentMachine{name: "a", kubelet: "active", pods: []evidence.MachinePod{on("web", "1")}}, true},
		"a phantom":       {well, silentMachine{name: "a", kubelet: "active", pods: []evidence.MachinePod{on("web", "1"), on("old", "0")}}, false},
		"a ghost":         {well, silentMachine{name: "a", kubelet: "active"}, false},
		"no kubelet":      {well, silentMachine{name: "a", kubelet: "inactive", pods: []evidence.MachinePod{on("web", "1")}}, false},
		"not registered":  {nil, silentMachine{name: "a", kubelet: "active"}, false},
		"another pod":     {well, silentMachine{name: "a", kubelet: "active", pods: []evidence.MachinePod{on("web", "2")}}, false},
		"does not answer": {well, silentMachine{name: "a", broken: errors.New("gone")}, false},
	} {
		_, settled, err := lookAtMachines(t.Context(), fake.NewClientset(test.objects...), []clusters.Machine{test.machine})
		require.NoError(t, err)
		require.Equal(t, test.settled, settled, name)
	}
}

func TestAddressesThatNslookupAnswers(t *testing.T) {
	require.Equal(t, []string{"10.96.12.7"}, addresses("Server:\t\t10.96.0.10\nAddress:\t10.96.0.10:53\n\n\nName:\tweb.shop.svc.cluster.local\nAddress: 10.96.12.7\n\n"))
	require.Equal(t, []string{"10.244.0.5", "fd00::5"}, addresses("Server:    10.96.0.10\nAddress 1: 10.96.0.10 kube-dns\n\nName:      orders\nAddress 1: 10.244.0.5 orders-0\nAddress 2: fd00::5\n"))
	require.Empty(t, addresses("Server:\t\t10.96.0.10\nAddress:\t10.96.0.10:53\n\n** server can't find web: NXDOMAIN\n"))
}

func TestTheDrillsOwnPodIsMadeAnew(t *testing.T) {
	client := fake.NewClientset()
	in := &insider{client: client}
	require.EqualError(t, in.ensurePod(t.Context()), "the drill's own pod was just made")
	require.EqualError(t, in.ensurePod(t.Context()), "the drill's own pod is ")
	pods := client.CoreV1().Pods(ledger.Namespace)
	mine, err := pods.Get(t.Context(), probePod, metav1.GetOptions{})
	require.NoError(t, err)
	require.Contains(t, mine.Labels, DrillLabel)
	mine.Status.Phase = corev1.PodRunning
	_, err = pods.UpdateStatus(t.Context(), mine, metav1.UpdateOptions{})
	require.NoError(t, err)
	require.NoError(t, in.ensurePod(t.Context()))
	mine.Status.Phase = corev1.PodFailed
	_, err = pods.UpdateStatus(t.Context(), mine, metav1.UpdateOptions{})
	require.NoError(t, err)
	require.EqualError(t, in.ensurePod(t.Context()), "the drill's own pod is Failed")
	require.EqualError(t, in.ensurePod(t.Context()), "the drill's own pod was just made")
}

func TestAddressesOfMachines(t *testing.T) {
	require.Equal(t, []string{"172.20.0.2"}, machineAddresses([]clusters.Member{{PeerURL: "https://172.20.0.2:2380"}}))
}
