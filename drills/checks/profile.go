package checks

import (
	"path"
	"slices"
	"strings"

	"github.com/restore-drill/restore-drill/internal/census"
	"github.com/restore-drill/restore-drill/internal/ledger"
)

// A profile is what may differ between the cluster at the time of its backup and the one that came back. Everything else is
// a difference.
type profile struct {
	name  string
	rules []rule
	// keys of the raw store that may be missing.
	keys []keyRule
}

// A rule allows one sort of difference. Its zero fields match anything, except that a rule without classes allows nothing.
type rule struct {
	name    string
	because string
	// source is where it is written that this is so.
	source string
	// resource is group/plural, or the plural alone for the core group.
	resources []string
	// namespace and names are globs as package path matches them.
	namespace string
	names     []string
	// label is one that the object must carry.
	label string
	// classes of difference: lost, extra, changed.
	classes []string
	// fields limits a changed object to JSON pointers, in which * stands for one step and a last ** for all below. A change
	// of any other field of the object is a difference.
	fields []string
}

// A keyRule allows keys of the raw store to be missing. A last ** stands for all below.
type keyRule struct{ glob, because string }

// Classes of a difference.
const (
	lostClass     = census.Lost
	extraClass    = census.Extra
	changedClass  = census.Changed
	expectedClass = "expected"
)

var profiles = map[string]*profile{"etcd": &etcdProfile}

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
			name: "the-drill-itself", because: "the drill made it after the restore, to see whether the cluster works",
			source: "restore-drill", namespace: ledger.Namespace, label: "restoredrill.io/drill", classes: []string{extraClass},
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

// ledgerRule is not in a profile: it holds for the objects of the ledger alone, and only where the census before does not show them as the
// artifact holds them. See ledgerWrites.
var ledgerRule = rule{
	name: "ledger", because: "the ledger wrote it while or after the artifact was taken: its check counts every write",
	source: "restore-drill",
}

// An object that differs.
type object struct {
	resource, namespace, name string
	labels                    map[string]string
}

// covers tells whether the rule is about this object and class of difference.
func (r *rule) covers(o object, class string) bool {
	if !slices.Contains(r.classes, class) {
		return false
	}
	if len(r.resources) > 0 && !slices.Contains(r.resources, o.resource) {
		return false
	}
	if r.namespace != "" && !glob(r.namespace, o.namespace) {
		return false
	}
	if len(r.names) > 0 && !slices.ContainsFunc(r.names, func(n string) bool { return glob(n, o.name) }) {
		return false
	}
	_, labelled := o.labels[r.label]
	return r.label == "" || labelled
}

// allows tells whether the rule, which covers the object, lets this field change.
func (r *rule) allows(pointer string) bool {
	return len(r.fields) == 0 || slices.ContainsFunc(r.fields, func(f string) bool { return pointerGlob(f, pointer) })
}

func glob(pattern, s string) bool {
	ok, err := path.Match(pattern, s)
	return err == nil && ok
}

// pointerGlob matches a JSON pointer step by step.
func pointerGlob(pattern, pointer string) bool {
	want, have := strings.Split(pattern, "/"), strings.Split(pointer, "/")
	for i, step := range want {
		switch {
		case step == "**" && i == len(want)-1:
			return true
		case i >= len(have):
			return false
		case step != "*" && step != have[i]:
			return false
		}
	}
	return len(want) == len(have)
}
