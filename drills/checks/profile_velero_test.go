package checks

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/internal/census"
	"github.com/restore-drill/restore-drill/reports"
	"github.com/restore-drill/restore-drill/scenarios"
)

// TestVeleroProfile shows for each rule what it allows, and what lies close by and is a difference.
func TestVeleroProfile(t *testing.T) {
	const owned = `{"metadata": {"ownerReferences": [{"controller": true, "uid": "1"}]}}`
	for _, test := range []struct {
		what, resource, namespace, name, before, after string
		// rule that allows it; empty for none.
		rule string
	}{
		{"UID and time", "/configmaps", "shop", "a", `{"metadata": {"uid": "1", "creationTimestamp": "x"}}`, `{"metadata": {"uid": "2", "creationTimestamp": "y"}}`, "made-anew"},
		{"data", "/configmaps", "shop", "a", `{"data": {"k": "1"}}`, `{"data": {"k": "2"}}`, ""},
		{"lost", "/configmaps", "shop", "a", `{}`, "", ""},
		{"extra", "/configmaps", "shop", "a", "", `{}`, ""},
		{"labels of Velero's", "/configmaps", "shop", "a", `{"metadata": {}}`, `{"metadata": {"labels": {"velero.io/backup-name": "b", "velero.io/restore-name": "r"}}}`, "velero-labels"},
		{"labels of Velero's and another", "/configmaps", "shop", "a", `{"metadata": {}}`, `{"metadata": {"labels": {"velero.io/backup-name": "b", "team": "x"}}}`, ""},
		{"labels lost", "/configmaps", "shop", "a", `{"metadata": {"labels": {"team": "x"}}}`, `{"metadata": {}}`, ""},
		{"annotation lost", "/configmaps", "shop", "a", `{"metadata": {"annotations": {"team": "x"}}}`, `{"metadata": {}}`, ""},
		{"finalizer lost", "/configmaps", "shop", "a", `{"metadata": {"finalizers": ["x"]}}`, `{"metadata": {}}`, ""},
		{"owner lost", "/configmaps", "shop", "a", owned, `{"metadata": {}}`, "owner-references"},
		{"status lost", "shop.example.com/widgets", "shop", "a", `{"spec": {}, "status": {"ready": true}}`, `{"spec": {}}`, "status"},
		{"spec changed", "shop.example.com/widgets", "shop", "a", `{"spec": {"size": 1}}`, `{"spec": {"size": 2}}`, ""},
		{"cluster IP", "/services", "shop", "web", `{"spec": {"clusterIP": "1", "clusterIPs": ["1"]}}`, `{"spec": {"clusterIP": "2", "clusterIPs": ["2"]}}`, "cluster-ip"},
		{"node port", "/services", "shop", "web", `{"spec": {"ports": [{"port": 80, "nodePort": 30001}]}}`, `{"spec": {"ports": [{"port": 80, "nodePort": 30002}]}}`, "node-ports"},
		{"port", "/services", "shop", "web", `{"spec": {"ports": [{"port": 80}]}}`, `{"spec": {"ports": [{"port": 81}]}}`, ""},
		{"address of a Service", "networking.k8s.io/ipaddresses", "", "10.0.0.1", `{}`, "", "cluster-ip"},
		{"claim bound anew", "/persistentvolumes", "", "v", `{"spec": {"claimRef": {"uid": "1"}}}`, `{"spec": {"claimRef": {"uid": "2"}}}`, "pvc-rebound"},
		{"claim of another", "/persistentvolumes", "", "v", `{"spec": {"claimRef": {"name": "a"}}}`, `{"spec": {"claimRef": {"name": "b"}}}`, ""},
		{"claim of another volume", "/persistentvolumeclaims", "shop", "c", `{"spec": {"volumeName": "a"}}`, `{"spec": {"volumeName": "b"}}`, ""},
		{"claim of a volume provisioned anew", "/persistentvolumeclaims", "shop", "c", `{"metadata": {"annotations": {"volume.kubernetes.io/storage-provisioner": "p"}}, "spec": {"volumeName": "a"}}`,
			`{"metadata": {"annotations": {"volume.kubernetes.io/storage-provisioner": "p"}}, "spec": {"volumeName": "b"}}`, "provisioned-anew"},
		{"size of a claim", "/persistentvolumeclaims", "shop", "c", `{"metadata": {"annotations": {"volume.kubernetes.io/storage-provisioner": "p"}}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}}`,
			`{"metadata": {"annotations": {"volume.kubernetes.io/storage-provisioner": "p"}}, "spec": {"resources": {"requests": {"storage": "2Gi"}}}}`, ""},
		{"provisioned volume", "/persistentvolumes", "", "pvc-1", `{"metadata": {"annotations": {"pv.kubernetes.io/provisioned-by": "p"}}}`, "", "provisioned-anew"},
		{"volume of a user", "/persistentvolumes", "", "disk", `{"spec": {}}`, "", ""},
		{"reclaim policy", "/persistentvolumes", "", "pvc-1", `{"metadata": {"annotations": {"pv.kubernetes.io/provisioned-by": "p"}}, "spec": {"persistentVolumeReclaimPolicy": "Retain"}}`,
			`{"metadata": {"annotations": {"pv.kubernetes.io/provisioned-by": "p"}}, "spec": {"persistentVolumeReclaimPolicy": "Delete"}}`, ""},
		{"pod that is held until its volumes are written", "/pods", "shop", "p", `{"spec": {}}`, `{"spec": {"initContainers": [{"name": "restore-wait"}]}}`, "restore-wait"},
		{"what a cgroup grants", "/pods", "shop", "p", `{"status": {}}`, `{"status": {"resources": {"limits": {"memory": "1Ki"}}}}`, "pod-resources"},
		{"what a pod asks for", "/pods", "shop", "p", `{"spec": {}}`, `{"spec": {"resources": {"limits": {"memory": "1Ki"}}}}`, ""},
		{"init container of a user", "/pods", "shop", "p", `{"spec": {"initContainers": [{"name": "a"}]}}`, `{"spec": {"initContainers": [{"name": "b"}]}}`, ""},
		{"machine", "/nodes", "", "drill-source", `{}`, "", "machines"},
		{"kubeadm's configuration", "/configmaps", "kube-system", "kubeadm-config", `{"data": {"ClusterConfiguration": "a"}}`, `{"data": {"ClusterConfiguration": "b"}}`, "kubeadm"},
		{"kube-proxy's mode", "/configmaps", "kube-system", "kube-proxy", `{"data": {"config.conf": "a"}}`, `{"data": {"config.conf": "b"}}`, ""},
		{"cluster-info", "/configmaps", "kube-public", "cluster-info", `{"data": {"kubeconfig": "a"}}`, `{"data": {"kubeconfig": "b"}}`, "kubeadm"},
		{"bootstrap token", "/secrets", "kube-system", "bootstrap-token-abcdef", `{"data": {"expiration": "a"}}`, `{"data": {"expiration": "b"}}`, "kubeadm"},
		{"Secret beside it", "/secrets", "kube-system", "cloud", `{"data": {"expiration": "a"}}`, `{"data": {"expiration": "b"}}`, ""},
		{"who asked for a certificate", "certificates.k8s.io/certificatesigningrequests", "", "csr-1", `{"spec": {"username": "a", "groups": ["x", "y"]}}`,
			`{"spec": {"username": "b", "groups": ["z"], "extra": {"node": ["n"]}}}`, "request-of-velero"},
		{"what was asked for", "certificates.k8s.io/certificatesigningrequests", "", "csr-1", `{"spec": {"request": "a"}}`, `{"spec": {"request": "b"}}`, ""},
		{"request of a machine", "certificates.k8s.io/certificatesigningrequests", "", "csr-1", `{}`, "", "machines"},
		{"request of a user", "certificates.k8s.io/certificatesigningrequests", "", "alice", `{}`, "", ""},
		{"simulated node", "/nodes", "", "node-0", `{"metadata": {"labels": {"type": "kwok"}}}`, "", ""},
		{"agent of Velero's", "apps/daemonsets", "velero", "node-agent", `{"spec": {"a": 1}}`, `{"spec": {"a": 2}}`, "velero-itself"},
		{"daemon of another", "apps/daemonsets", "velero", "logs", `{"spec": {"a": 1}}`, `{"spec": {"a": 2}}`, ""},
		{"token", "/secrets", "shop", "t", `{"type": "kubernetes.io/service-account-token", "data": {"token": "1"}}`, `{"type": "kubernetes.io/service-account-token", "data": {"token": "2"}}`, "service-account-token"},
		{"token of another sort", "/secrets", "shop", "t", `{"type": "Opaque", "data": {"token": "1"}}`, `{"type": "Opaque", "data": {"token": "2"}}`, ""},
		{"completed job", "batch/jobs", "shop", "j", `{"status": {"completionTime": "x"}}`, "", "completed"},
		{"running job", "batch/jobs", "shop", "j", `{"status": {"active": 1}}`, "", ""},
		{"completed pod", "/pods", "shop", "p", `{"status": {"phase": "Succeeded"}}`, "", "completed"},
		{"running pod of its own", "/pods", "shop", "p", `{"status": {"phase": "Running"}}`, "", ""},
		{"running pod of a controller", "/pods", "shop", "p", owned, "", "made-by-controller"},
		{"running pod of an operator", "/pods", "shop", "p", `{"metadata": {"ownerReferences": [{"apiVersion": "shop.example.com/v1", "controller": true}]}}`, "", ""},
		{"new pod of a controller", "/pods", "shop", "p", "", owned, "made-by-controller"},
		{"deployment", "apps/deployments", "shop", "d", owned, "", ""},
		{"node", "/pods", "shop", "p", `{"spec": {"nodeName": "a"}}`, `{"spec": {"nodeName": "b"}}`, "scheduled-anew"},
		{"image", "/pods", "shop", "p", `{"spec": {"containers": [{"image": "a"}]}}`, `{"spec": {"containers": [{"image": "b"}]}}`, ""},
		{"label of a job's pods", "batch/jobs", "shop", "j", `{"spec": {"selector": {"matchLabels": {"controller-uid": "1"}}}}`, `{"spec": {"selector": {"matchLabels": {"controller-uid": "2"}}}}`, "job-anew"},
		{"endpoints of pods", "/endpoints", "shop", "e", `{"metadata": {"labels": {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}}, "subsets": [1]}`,
			`{"metadata": {"labels": {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}}, "subsets": [2]}`, "endpoints"},
		{"endpoints of a user", "/endpoints", "shop", "e", `{"subsets": [1]}`, `{"subsets": [2]}`, ""},
		{"root CA", "/configmaps", "shop", "kube-root-ca.crt", `{"data": {"ca.crt": "1"}}`, `{"data": {"ca.crt": "2"}}`, "cluster-authorities"},
		{"CA of a user", "/configmaps", "shop", "my-ca.crt", `{"data": {"ca.crt": "1"}}`, `{"data": {"ca.crt": "2"}}`, ""},
		{"client CA", "/configmaps", "kube-system", "extension-apiserver-authentication", `{"data": {"client-ca-file": "1"}}`, `{"data": {"client-ca-file": "2"}}`, "cluster-authorities"},
		{"Velero's Restore", "velero.io/restores", "velero", "r", "", `{}`, "velero-itself"},
		{"Velero's Schedule", "velero.io/schedules", "velero", "s", `{}`, "", ""},
		{"Velero's credentials", "/secrets", "velero", "cloud-credentials", `{"data": {"cloud": "1"}}`, `{"data": {"cloud": "2"}}`, "velero-itself"},
		{"a Secret beside them", "/secrets", "velero", "mine", `{}`, "", ""},
		{"event", "/events", "shop", "e", `{}`, "", "events"},
	} {
		t.Run(test.what, func(t *testing.T) {
			entry := func(object string) *census.Entry {
				if object == "" {
					return nil
				}
				return &census.Entry{Key: test.resource + "/" + test.namespace + "/" + test.name, Version: "v1", Namespace: test.namespace, Name: test.name, Object: json.RawMessage(object)}
			}
			c := comparison{profile: &veleroProfile, rows: map[string]*reports.KindRow{}, expectedBefore: map[string]int{}, losses: map[string]int{}}
			c.add(entry(test.before), entry(test.after))
			if test.rule == "" {
				require.Len(t, c.unexpected, 1, "%+v", c.expected)
				return
			}
			require.Empty(t, c.unexpected)
			require.Equal(t, test.rule, c.expected[0].Rule)
		})
	}
}

// TestVeleroWasAsked shows that what a scenario has Velero restore is not allowed to be lost.
func TestVeleroWasAsked(t *testing.T) {
	yes := true
	asked := veleroProfile.asked(&scenarios.VeleroRestore{
		PreserveNodePorts: &yes, RestoreStatus: &scenarios.VeleroRestoreStatus{IncludedResources: []string{"widgets.shop.example.com"}},
	})
	allowed := func(p *profile, resource, pointer string) bool {
		return slices.ContainsFunc(p.rules, func(r rule) bool { return r.covers(object{resource: resource}, changedClass) && r.allows(pointer) })
	}
	for resource, pointer := range map[string]string{"services": "/spec/ports/0/nodePort", "shop.example.com/widgets": "/status/phase"} {
		require.True(t, allowed(&veleroProfile, resource, pointer), resource)
		require.False(t, allowed(asked, resource, pointer), resource)
	}
	require.True(t, allowed(asked, "apps/deployments", "/status/replicas"), "nobody asked for that")
	require.Same(t, &veleroProfile, veleroProfile.asked(nil))
}
