package checks

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/scenarios"
)

// TestWhatOtherMachinesExcuse shows each rule beside what lies close by and is a difference.
func TestWhatOtherMachinesExcuse(t *testing.T) {
	run := func(provider bool, into string) *Run {
		s := &scenarios.Scenario{}
		s.Spec.Backup.Method, s.Spec.Restore.Into = "etcd", into
		scenarios.Default(s)
		return &Run{Scenario: s, Header: evidence.Header{Machines: provider}}
	}
	moved := run(true, scenarios.IntoFresh).profile()
	controlled := json.RawMessage(`{"metadata":{"ownerReferences":[{"controller":true}]}}`)
	owned := json.RawMessage(`{"metadata":{"ownerReferences":[{"controller":false}]}}`)
	mirror := json.RawMessage(`{"metadata":{"annotations":{"kubernetes.io/config.mirror":"x"}}}`)
	for _, test := range []struct {
		o       object
		class   string
		pointer string
		want    bool
	}{
		{object{resource: "nodes", name: "old"}, lostClass, "", true},
		{object{resource: "nodes", name: "old"}, changedClass, "/spec/taints", false},
		{object{resource: "storage.k8s.io/csidrivers", name: "a"}, lostClass, "", false},
		{object{resource: "certificates.k8s.io/certificatesigningrequests", name: "csr-1"}, extraClass, "", true},
		{object{resource: "certificates.k8s.io/certificatesigningrequests", name: "payroll"}, lostClass, "", false},
		{object{resource: "pods", namespace: "shop", name: "web-1", raw: controlled}, lostClass, "", true},
		{object{resource: "pods", namespace: "shop", name: "bare", raw: json.RawMessage(`{}`)}, lostClass, "", false},
		{object{resource: "pods", namespace: "shop", name: "owned", raw: owned}, lostClass, "", false},
		{object{resource: "pods", namespace: "kube-system", name: "etcd-old", raw: mirror}, lostClass, "", true},
		{object{resource: "pods", namespace: "shop", name: "orders-0", raw: controlled}, changedClass, "/spec/nodeName", true},
		{object{resource: "pods", namespace: "shop", name: "orders-0", raw: controlled}, changedClass, "/spec/containers/0/image", false},
		{object{resource: "endpoints", namespace: "shop", name: "web"}, changedClass, "/subsets/0/addresses/1", true},
		{object{resource: "endpoints", namespace: "shop", name: "web"}, lostClass, "", false},
		{object{resource: "discovery.k8s.io/endpointslices", namespace: "shop", name: "web-x"}, changedClass, "/metadata/labels/a", false},
		{object{resource: "apps/deployments", namespace: "shop", name: "web"}, changedClass, "/status/conditions/0/lastUpdateTime", true},
		{object{resource: "apps/deployments", namespace: "shop", name: "web"}, changedClass, "/status/conditions/0/status", false},
		{object{resource: "apps/deployments", namespace: "shop", name: "web"}, changedClass, "/metadata/generation", false},
		{object{resource: "apps/deployments", namespace: "kube-system", name: "coredns"}, changedClass, "/metadata/generation", true},
		{object{resource: "apps/deployments", namespace: "kube-system", name: "coredns"}, changedClass, "/spec/replicas", false},
		{object{resource: "configmaps", namespace: "kube-system", name: "kube-proxy"}, changedClass, "/data/kubeconfig.conf", true},
		{object{resource: "configmaps", namespace: "kube-system", name: "kube-proxy"}, changedClass, "/data/config.conf", false},
		{object{resource: "configmaps", namespace: "kube-system", name: "coredns"}, changedClass, "/data/Corefile", false},
		{object{resource: "configmaps", namespace: "kube-system", name: "kubeadm-config"}, changedClass, "/data/ClusterConfiguration", true},
		{object{resource: "configmaps", namespace: "kube-public", name: "cluster-info"}, changedClass, "/data/kubeconfig", true},
		{object{resource: "configmaps", namespace: "kube-public", name: "cluster-info"}, lostClass, "", false},
		{object{resource: "configmaps", namespace: "shop", name: "cluster-info"}, changedClass, "/data/kubeconfig", false},
		{object{resource: "secrets", namespace: "kube-system", name: "bootstrap-token-abcdef"}, changedClass, "/data/expiration", true},
		{object{resource: "secrets", namespace: "kube-system", name: "bootstrap-token-abcdef"}, changedClass, "/data/token-secret", false},
		{object{resource: "secrets", namespace: "shop", name: "bootstrap-token-abcdef"}, lostClass, "", false},
	} {
		allowed := false
		for _, r := range moved.rules {
			allowed = allowed || r.covers(test.o, test.class) && (test.pointer == "" || r.allows(test.pointer))
		}
		require.Equal(t, test.want, allowed, "%s %s/%s %s %s", test.o.resource, test.o.namespace, test.o.name, test.class, test.pointer)
	}
	require.Same(t, &etcdProfile, run(false, scenarios.IntoFresh).profile(), "nodes are simulated")
	// The machines are the same.
	same := run(true, scenarios.IntoSource).profile()
	require.False(t, same.allows(object{resource: "nodes", name: "old"}, lostClass))
	for _, test := range []struct {
		raw     json.RawMessage
		pointer string
		want    bool
	}{
		{mirror, "/metadata/annotations/kubernetes.io~1config.hash", true},
		{mirror, "/status/containerStatuses/0/ready", true},
		{mirror, "/spec/containers/0/image", false},
		{controlled, "/status/conditions/2/lastTransitionTime", true},
		{controlled, "/status/conditions/2/status", false},
		{controlled, "/metadata/uid", false},
	} {
		o := object{resource: "pods", namespace: "kube-system", name: "a", raw: test.raw}
		allowed := false
		for _, r := range same.rules {
			allowed = allowed || r.covers(o, changedClass) && r.allows(test.pointer)
		}
		require.Equal(t, test.want, allowed, "%s of %s", test.pointer, test.raw)
		require.False(t, same.allows(o, lostClass), "a pod that is gone")
	}
	require.False(t, run(true, scenarios.IntoSource).storeKeys().excuses("/registry/minions/old"))
	keys := run(true, scenarios.IntoFresh).storeKeys()
	require.True(t, keys.excuses("/registry/minions/old"))
	require.True(t, keys.excuses("/registry/secrets/kube-system/bootstrap-token-abcdef"))
	require.True(t, keys.excuses("/registry/events/shop/web.1"))
	require.False(t, keys.excuses("/registry/secrets/shop/orders-db"))
	for _, r := range append(restartRules, machineRules...) {
		require.NotEmpty(t, r.because)
		require.NotEmpty(t, r.source)
		require.NotEmpty(t, r.resources)
	}
}
