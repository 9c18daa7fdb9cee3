package checks

import "github.com/restore-drill/restore-drill/internal/ledger"

// etcdProfile is strict: a snapshot brings back every object with its UID. What may differ is what a control plane writes of itself
// once it runs again.
var etcdProfile = profile{
	name: "etcd",
	rules: []rule{
		{
			name: "leader-election", because: "the new control plane elects its own leaders; that there are some is what the marks show",
			source:    "Kubernetes, Leases: leader election",
			resources: []string{"coordination.k8s.io/leases"}, namespace: "kube-system",
			names:   []string{"kube-controller-manager", "kube-scheduler", "cloud-controller-manager"},
			classes: []string{extraClass, changedClass},
		},
		{
			name: "apiserver-identity", because: "each API server announces itself in a lease, and those of the lost ones are removed",
			source:    "Kubernetes, Leases: API server identity",
			resources: []string{"coordination.k8s.io/leases"}, namespace: "kube-system", names: []string{"apiserver-*"},
			classes: []string{lostClass, extraClass, changedClass},
		},
		{
			name: "node-heartbeats", because: "nodes renew their leases and the times of their conditions for as long as they live",
			source:    "Kubernetes, Nodes: heartbeats",
			resources: []string{"coordination.k8s.io/leases"}, namespace: "kube-node-lease",
			classes: []string{lostClass, extraClass, changedClass},
		},
		{
			name: "node-heartbeats", because: "nodes renew their leases and the times of their conditions for as long as they live",
			source:    "Kubernetes, Nodes: heartbeats",
			resources: []string{"nodes"}, classes: []string{changedClass},
			fields: []string{"/status/conditions/*/lastHeartbeatTime"},
		},
		{
			name: "events", because: "events tell what happened lately, expire by themselves, and a restored control plane writes new ones",
			source:    "Kubernetes, kube-apiserver --event-ttl",
			resources: []string{"events", "events.k8s.io/events"}, classes: []string{lostClass, extraClass, changedClass},
		},
		{
			name: "apiserver-address", because: "the service default/kubernetes leads to the API servers that run now",
			source:    "Kubernetes, pkg/controlplane/controller/kubernetesservice",
			resources: []string{"endpoints"}, namespace: "default", names: []string{"kubernetes"}, classes: []string{changedClass},
			fields: []string{"/subsets/**"},
		},
		{
			name: "apiserver-address", because: "the service default/kubernetes leads to the API servers that run now",
			source:    "Kubernetes, pkg/controlplane/controller/kubernetesservice",
			resources: []string{"discovery.k8s.io/endpointslices"}, namespace: "default", names: []string{"kubernetes"}, classes: []string{changedClass},
			fields: []string{"/endpoints/**", "/ports/**", "/metadata/generation"},
		},
		{
			name: "apiserver-address", because: "the service default/kubernetes leads to the API servers that run now",
			source:    "Kubernetes, pkg/controlplane/controller/kubernetesservice",
			resources: []string{"services"}, namespace: "default", names: []string{"kubernetes"}, classes: []string{changedClass},
			fields: []string{"/spec/ports/*/targetPort"},
		},
		{
			name: "pod-resources", because: "a kubelet tells of a running pod what its cgroup grants it, some time after it has started it",
			source:    "Kubernetes, in-place resize of pods: status.resources",
			resources: []string{"pods"}, classes: []string{changedClass}, fields: []string{"/status/resources", "/status/resources/**"},
		},
		{
			name: "autoscaler-rounds", because: "the autoscaler writes what it sees at each of its rounds, every 15 s, and the first may come after the backup",
			source:    "Kubernetes, kube-controller-manager --horizontal-pod-autoscaler-sync-period",
			resources: []string{"autoscaling/horizontalpodautoscalers"}, classes: []string{changedClass},
			fields: []string{"/status/**"},
		},
		{
			name: "quota-counts", because: "the quota controller counts what is used anew when it starts and every five minutes; until then its count may be behind",
			source:    "Kubernetes, kube-controller-manager --resource-quota-sync-period",
			resources: []string{"resourcequotas"}, classes: []string{changedClass},
			fields: []string{"/status/used/**"},
		},
		{
			name: "the-drill-itself", because: "the drill made it after the restore, to see whether the cluster works",
			source: "restore-drill", namespace: ledger.Namespace, label: "restoredrill.io/drill", classes: []string{extraClass},
		},
		{
			name: "the-drill-itself", because: "the drill's probes have a pod of their own in each cluster, which no restore has to bring back",
			source: "restore-drill", resources: []string{"pods"}, namespace: ledger.Namespace, label: "restoredrill.io/drill", names: []string{"restore-drill-probe"},
			classes: []string{lostClass, changedClass},
		},
	},
	keys: []keyRule{
		{"/registry/events/**", "events expire by themselves"},
		{"/registry/masterleases/**", "addresses of API servers that are gone"},
		{"/registry/peerserverleases/**", "addresses of API servers that are gone"},
		{"/registry/leases/kube-system/apiserver-*", "identities of API servers that are gone"},
		{"/registry/leases/kube-node-lease/**", "heartbeats, which the nodes write anew"},
	},
}
