package checks

import (
	"encoding/json"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// machineRules go with the profile etcd where the store came back on other machines than it was on: what it says of those that are gone is put right, and
// the pods on them are made anew elsewhere. That the machines that are there run what the API says is what the check machines shows.
var machineRules = []rule{
	{
		name: "machine-replaced", because: "the Node of a machine that is gone is deleted, and that of the new one registers",
		source:    "Kubernetes, Nodes: self-registration",
		resources: []string{"nodes", "storage.k8s.io/csinodes"}, classes: []string{lostClass, extraClass},
	},
	{
		name: "machine-replaced", because: "a kubelet on a new machine asks for its certificate; requests are deleted an hour after they were answered",
		source:    "Kubernetes, Certificates and Certificate Signing Requests",
		resources: []string{"certificates.k8s.io/certificatesigningrequests"}, names: []string{"csr-*"}, classes: []string{lostClass, extraClass},
	},
	{
		name: "pod-made-anew", because: "a pod is bound to its node for life: its controller, or the kubelet for a static one, makes another; how many are ready is judged of the controller",
		source:    "Kubernetes, Pod lifecycle",
		resources: []string{"pods"}, when: replaceable, classes: []string{lostClass, extraClass},
	},
	{
		name: "pod-made-anew", because: "the pods of a StatefulSet keep their names, and are others",
		source:    "Kubernetes, StatefulSets: stable identity",
		resources: []string{"pods"}, when: replaceable, classes: []string{changedClass},
		fields: []string{
			"/metadata/uid", "/metadata/creationTimestamp", "/spec/nodeName", "/spec/volumes/*", "/spec/volumes/*/name", "/spec/containers/*/volumeMounts/*",
			"/spec/containers/*/volumeMounts/*/name", "/status/**",
		},
	},
	{
		name: "pod-addresses", because: "pods that are made anew have other addresses, and Services lead there",
		source:    "Kubernetes, EndpointSlices",
		resources: []string{"endpoints", "discovery.k8s.io/endpointslices"}, classes: []string{changedClass},
		fields: []string{"/subsets/**", "/endpoints/**", "/metadata/generation", "/metadata/annotations/endpoints.kubernetes.io~1last-change-trigger-time"},
	},
	{
		name: "rollout-times", because: "workloads whose pods are made anew are unavailable meanwhile, and say since when they are available again",
		source:    "Kubernetes, Deployments: status",
		resources: []string{"apps/deployments", "apps/replicasets", "apps/statefulsets", "apps/daemonsets", "policy/poddisruptionbudgets"}, classes: []string{changedClass},
		fields: []string{"/status/conditions", "/status/conditions/*/lastTransitionTime", "/status/conditions/*/lastUpdateTime"},
	},
	{
		name: "control-plane-endpoint", because: "kubeadm writes the new API server's address where nodes and kube-proxy look for it",
		source:    "kubeadm init phase addon kube-proxy, bootstrap-token, upload-config",
		resources: []string{"configmaps"}, namespace: "kube-system", names: []string{"kube-proxy"}, classes: []string{changedClass}, fields: []string{"/data/kubeconfig.conf"},
	},
	{
		name: "control-plane-endpoint", because: "kubeadm writes the new API server's address where nodes and kube-proxy look for it",
		source:    "kubeadm init phase addon kube-proxy, bootstrap-token, upload-config",
		resources: []string{"configmaps"}, namespace: "kube-system", names: []string{"kubeadm-config"}, classes: []string{changedClass}, fields: []string{"/data/ClusterConfiguration"},
	},
	{
		name: "control-plane-endpoint", because: "kubeadm writes the new API server's address where nodes and kube-proxy look for it",
		source:    "kubeadm init phase addon kube-proxy, bootstrap-token, upload-config",
		resources: []string{"configmaps"}, namespace: "kube-public", names: []string{"cluster-info"}, classes: []string{changedClass},
		fields: []string{"/data/*"}, // the login, and a signature of it for each token
	},
	{
		name: "bootstrap-token", because: "tokens to join the lost cluster with are deleted, and kubeadm makes one of its own",
		source:    "Kubernetes, Authenticating with bootstrap tokens",
		resources: []string{"secrets"}, namespace: "kube-system", names: []string{"bootstrap-token-*"}, classes: []string{lostClass, extraClass},
	},
	{
		name: "bootstrap-token", because: "tokens to join the lost cluster with are deleted, and kubeadm makes one of its own",
		source:    "Kubernetes, Authenticating with bootstrap tokens",
		resources: []string{"secrets"}, namespace: "kube-system", names: []string{"bootstrap-token-*"}, classes: []string{changedClass},
		fields: []string{"/data/expiration", "/metadata/uid", "/metadata/creationTimestamp"},
	},
	{
		name: "addon-applied", because: "kubeadm applies cluster DNS again, which counts as a change of its Deployment; what it says is compared",
		source:    "kubeadm init phase addon coredns",
		resources: []string{"apps/deployments"}, namespace: "kube-system", names: []string{"coredns"}, classes: []string{changedClass},
		fields: []string{"/metadata/generation", "/status/observedGeneration", "/status/conditions", "/status/conditions/*/lastTransitionTime", "/status/conditions/*/lastUpdateTime"},
	},
}

// restartRules go with the profile etcd where the store was put back in place on machines, whose kubelets are restarted with the control plane.
var restartRules = []rule{
	{
		name: "static-pod", because: "the kubelet runs the control plane's static pods anew, and makes their mirrors in the API anew; what runs is what the check machines shows",
		source:    "Kubernetes, Create static Pods: mirror Pods",
		resources: []string{"pods"}, when: isMirror, classes: []string{changedClass},
		fields: []string{
			"/metadata/uid", "/metadata/creationTimestamp", "/metadata/annotations/kubernetes.io~1config.hash", "/metadata/annotations/kubernetes.io~1config.mirror",
			"/metadata/annotations/kubernetes.io~1config.seen", "/status/**",
		},
	},
	{
		name: "kubelet-restarted", because: "a kubelet that is restarted looks anew whether containers are ready, and says since when",
		source:    "Kubernetes, Pod lifecycle: Pod conditions",
		resources: []string{"pods"}, classes: []string{changedClass}, fields: []string{"/status/conditions/*/lastTransitionTime"},
	},
}

// machineKeys of the store may be gone too: object by object it is the census that says which.
var machineKeys = []keyRule{
	{"/registry/minions/**", "Nodes of machines that are gone"},
	{"/registry/csinodes/**", "Nodes of machines that are gone"},
	{"/registry/pods/**", "pods that were bound to machines that are gone; the census says which may be"},
	{"/registry/certificatesigningrequests/csr-*", "requests of kubelets that are gone"},
	{"/registry/secrets/kube-system/bootstrap-token-*", "tokens to join the lost cluster with"},
}

// onOtherMachines tells whether the cluster came back on machines that are not those that it was on.
func (run *Run) onOtherMachines() bool { return run.Header.Machines && !run.inPlace() }

// profile that the drill is judged by; nil when there is none of that name.
func (run *Run) profile() *profile {
	p := profiles[run.fidelityProfile()]
	switch {
	case p != &etcdProfile || !run.Header.Machines:
		return p
	case run.inPlace():
		return p.with(restartRules...)
	}
	return p.with(machineRules...)
}

// storeKeys is the profile whose keys may be gone from a store that came back.
func (run *Run) storeKeys() *profile {
	if !run.onOtherMachines() {
		return &etcdProfile
	}
	extended := etcdProfile
	extended.keys = slices.Concat(etcdProfile.keys, machineKeys)
	return &extended
}

// replaceable tells whether a pod is made anew by somebody: it has a controller, is a static pod's mirror, or is the drill's own.
func replaceable(raw json.RawMessage) bool {
	var pod struct {
		Metadata struct {
			OwnerReferences []struct {
				Controller bool `json:"controller"`
			} `json:"ownerReferences"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(raw, &pod); err != nil {
		return false
	}
	for _, o := range pod.Metadata.OwnerReferences {
		if o.Controller {
			return true
		}
	}
	return isMirror(raw)
}

// isMirror tells whether a pod of the API stands for a static pod, which its kubelet runs from a file.
func isMirror(raw json.RawMessage) bool {
	var pod struct {
		Metadata struct {
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
	}
	return json.Unmarshal(raw, &pod) == nil && pod.Metadata.Annotations[corev1.MirrorPodAnnotationKey] != ""
}
