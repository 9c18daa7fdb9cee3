package checks

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/restore-drill/restore-drill/scenarios"
)

// veleroProfile allows what Velero is known not to bring back, and what a fresh cluster has of its own. What a user loses by it is told as a
// finding of its class. In a cluster that was there before the restore, it holds for the namespaces into which Velero restored something, and for
// what is in none; the neighbours have to be as the profile etcd has it. Files are those of the module github.com/vmware-tanzu/velero@v1.18.3.
var veleroProfile = profile{
	name: "velero",
	// A fresh cluster differs from the lost one as one does whose store was restored.
	rules: slices.Concat(etcdProfile.rules, []rule{
		{
			name: "made-anew", because: "Velero makes every object anew, with a UID and a time of its own",
			source:  "pkg/restore/restore.go, resetMetadata",
			classes: []string{changedClass}, loss: true,
			fields: []string{"/metadata/uid", "/metadata/creationTimestamp", "/metadata/generation", "/metadata/generateName"},
		},
		{
			name: "velero-labels", because: "Velero labels what it restores",
			source:  "pkg/restore/restore.go, addRestoreLabels",
			classes: []string{changedClass}, fields: []string{"/metadata/labels/velero.io~1backup-name", "/metadata/labels/velero.io~1restore-name"},
		},
		{
			name: "owner-references", because: "Velero drops owner references; controllers that adopt what is theirs write them anew, and others do not",
			source:  "pkg/restore/restore.go, resetMetadata",
			classes: []string{changedClass}, loss: true,
			fields: []string{"/metadata/ownerReferences", "/metadata/ownerReferences/**"},
		},
		{
			name: "status", because: "Velero does not restore status unless restoreStatus asks for it; controllers write it anew, where there are some",
			source:  "https://velero.io/docs/v1.18/restore-reference/#restore-status-field-of-objects",
			classes: []string{changedClass}, loss: true,
			fields: []string{"/status", "/status/**"},
		},
		{
			name: "request-of-velero", because: "the API server writes into a certificate request who makes it, and that is Velero; requests are deleted an hour after they were answered",
			source:    "Kubernetes, Certificates and Certificate Signing Requests: spec.username",
			resources: []string{"certificates.k8s.io/certificatesigningrequests"}, classes: []string{changedClass},
			fields: []string{"/spec/username", "/spec/uid", "/spec/groups", "/spec/groups/**", "/spec/extra", "/spec/extra/**"},
		},
		{
			name: "cluster-ip", because: "a Service gets another cluster IP, unless it is headless",
			source:    "pkg/restore/actions/service_action.go",
			resources: []string{"services"}, classes: []string{changedClass}, loss: true,
			fields: []string{"/spec/clusterIP", "/spec/clusterIPs/**"},
		},
		{
			name: "node-ports", because: "node ports that nobody asked for by number are given out anew, unless preserveNodePorts is set",
			source:    "pkg/restore/actions/service_action.go",
			resources: []string{"services"}, classes: []string{changedClass}, loss: true,
			fields: []string{"/spec/ports/*/nodePort", "/spec/healthCheckNodePort"},
		},
		{
			name: "cluster-ip", because: "a Service gets another cluster IP, and an IPAddress stands for each",
			source:    "Kubernetes, IPAddress: one for each Service's cluster IP",
			resources: []string{"networking.k8s.io/ipaddresses"}, classes: []string{lostClass, extraClass},
		},
		{
			name: "pvc-rebound", because: "claims and volumes are bound to each other anew; the selector by which a bound claim found its volume is not backed up",
			source:    "pkg/restore/actions/pvc_action.go, pkg/restore/restore.go resetVolumeBindingInfo, pkg/backup/actions/backup_pv_action.go",
			resources: []string{"persistentvolumeclaims", "persistentvolumes"}, classes: []string{changedClass}, loss: true,
			fields: []string{
				"/spec/selector", "/spec/claimRef/uid", "/spec/claimRef/resourceVersion",
				"/metadata/annotations/pv.kubernetes.io~1bind-completed", "/metadata/annotations/pv.kubernetes.io~1bound-by-controller",
				"/metadata/annotations/volume.beta.kubernetes.io~1storage-provisioner", "/metadata/annotations/volume.kubernetes.io~1storage-provisioner",
				"/metadata/annotations/volume.kubernetes.io~1selected-node",
			},
		},
		{
			name: "provisioned-anew", because: "a volume whose files were backed up is provisioned anew, under another name; what is in it, and what becomes of it without its claim, is judged by the check volumes",
			source:    "pkg/restore/restore.go, hasPodVolumeBackup",
			resources: []string{"persistentvolumes"}, when: isProvisioned, classes: []string{lostClass, extraClass},
		},
		{
			name: "provisioned-anew", because: "the claim of a volume that is provisioned anew is bound to it by its new name",
			source:    "pkg/restore/restore.go, hasPodVolumeBackup",
			resources: []string{"persistentvolumeclaims"}, when: isProvisioned, classes: []string{changedClass}, fields: []string{"/spec/volumeName"},
		},
		{
			name: "restore-wait", because: "an init container of Velero's holds the pod until the files of its volumes are written",
			source:    "pkg/restore/actions/pod_volume_restore_action.go",
			resources: []string{"pods"}, when: hasNoInitContainers, classes: []string{changedClass}, fields: []string{"/spec/initContainers"},
		},
		{
			name: "machines", because: "a fresh cluster has machines of its own, under other names; Velero restores no node",
			source:    "pkg/controller/restore_controller.go, nonRestorableResources",
			resources: []string{"nodes", "storage.k8s.io/csinodes"}, when: isMachine, classes: []string{lostClass, extraClass},
		},
		{
			name: "service-account-token", because: "a token is good for the cluster that issued it: the controller fills the Secret anew, and who held the old one is locked out",
			source:    "pkg/restore/actions/secret_action.go",
			resources: []string{"secrets"}, when: isServiceAccountToken, classes: []string{changedClass}, loss: true,
			fields: []string{"/data/token", "/data/ca.crt", "/metadata/annotations/kubernetes.io~1service-account.uid"},
		},
		{
			name: "completed", because: "Velero does not restore a pod or a job that has come to its end",
			source:    "pkg/restore/restore.go, isCompleted",
			resources: []string{"pods", "batch/jobs"}, when: isCompleted, classes: []string{lostClass}, loss: true,
		},
		{
			name: "made-by-controller", because: "its controller makes what it needs, under other names perhaps",
			source:    "https://velero.io/docs/v1.18/restore-reference/",
			resources: []string{"pods", "batch/jobs", "apps/replicasets", "apps/controllerrevisions", "discovery.k8s.io/endpointslices"},
			when:      isControlled, classes: []string{lostClass, extraClass},
		},
		{
			name: "scheduled-anew", because: "Velero frees a pod of its node, and the scheduler finds it one",
			source:    "pkg/restore/actions/pod_action.go",
			resources: []string{"pods"}, classes: []string{changedClass}, fields: []string{"/spec/nodeName"},
		},
		{
			name: "job-anew", because: "the label by which a job finds its pods holds the job's UID",
			source:    "pkg/restore/actions/job_action.go",
			resources: []string{"batch/jobs"}, classes: []string{changedClass},
			fields: []string{
				"/spec/selector/matchLabels/controller-uid", "/spec/selector/matchLabels/batch.kubernetes.io~1controller-uid",
				"/spec/template/metadata/labels/controller-uid", "/spec/template/metadata/labels/batch.kubernetes.io~1controller-uid",
				"/metadata/labels/controller-uid", "/metadata/labels/batch.kubernetes.io~1controller-uid",
			},
		},
		{
			name: "endpoints", because: "they hold the addresses of pods, which are new",
			source:    "Kubernetes, EndpointSlices: management",
			resources: []string{"endpoints", "discovery.k8s.io/endpointslices"}, when: followsPods, classes: []string{changedClass},
			fields: []string{
				"/subsets", "/subsets/**", "/endpoints", "/endpoints/**",
				"/metadata/annotations/endpoints.kubernetes.io~1last-change-trigger-time", "/metadata/labels/endpoints.kubernetes.io~1managed-by",
			},
		},
		{
			name: "cluster-authorities", because: "a fresh cluster has authorities of its own",
			source:    "Kubernetes, root CA publisher",
			resources: []string{"configmaps"}, names: []string{"kube-root-ca.crt"}, classes: []string{changedClass}, fields: []string{"/data/ca.crt"},
		},
		{
			name: "cluster-authorities", because: "a fresh cluster has authorities of its own",
			source:    "Kubernetes, extension API server authentication",
			resources: []string{"configmaps"}, namespace: "kube-system", names: []string{"extension-apiserver-authentication"}, classes: []string{changedClass},
			fields: []string{"/data/client-ca-file", "/data/requestheader-client-ca-file"},
		},
		{
			name: "kubeadm", because: "kubeadm tells each cluster of its own address and authorities",
			source:    "kubeadm init, phases upload-config, addon and bootstrap-token",
			resources: []string{"configmaps"}, namespace: "kube-system", names: []string{"kubeadm-config", "kube-proxy"}, classes: []string{changedClass},
			fields: []string{"/data/ClusterConfiguration", "/data/kubeconfig.conf"},
		},
		{
			name: "kubeadm", because: "kubeadm tells each cluster of its own address and authorities, signed with its bootstrap tokens",
			source:    "kubeadm init, phase bootstrap-token",
			resources: []string{"configmaps"}, namespace: "kube-public", names: []string{"cluster-info"}, classes: []string{changedClass}, fields: []string{"/data/*"},
		},
		{
			name: "kubeadm", because: "a bootstrap token lets machines join one cluster, for a day",
			source:    "kubeadm init, phase bootstrap-token",
			resources: []string{"secrets"}, namespace: "kube-system", names: []string{"bootstrap-token-*"}, classes: []string{lostClass, extraClass, changedClass},
		},
		{
			name: "machines", because: "each machine asks its cluster for a certificate under a name of its own",
			source:    "Kubernetes, TLS bootstrapping",
			resources: []string{"certificates.k8s.io/certificatesigningrequests"}, names: []string{"csr-*"}, classes: []string{lostClass, extraClass},
		},
		{
			name: "velero-itself", because: "each cluster has a Velero of its own, which keeps its accounts there",
			source: "pkg/controller/restore_controller.go, nonRestorableResources; `velero install`",
			resources: []string{
				"velero.io/backups", "velero.io/restores", "velero.io/backuprepositories", "velero.io/backupstoragelocations",
				"velero.io/deletebackuprequests", "velero.io/downloadrequests", "velero.io/serverstatusrequests",
				"velero.io/podvolumebackups", "velero.io/podvolumerestores", "velero.io/datauploads", "velero.io/datadownloads",
			},
			namespace: "velero", classes: []string{lostClass, extraClass, changedClass},
		},
		{
			name: "velero-itself", because: "each cluster has a Velero of its own, which reads its settings there",
			source:    "`velero install`; resource modifiers",
			resources: []string{"apps/deployments", "apps/replicasets", "apps/daemonsets", "apps/controllerrevisions", "pods", "serviceaccounts", "secrets", "configmaps"},
			namespace: "velero", names: []string{"velero", "velero-*", "node-agent", "node-agent-*", "cloud-credentials"},
			classes: []string{lostClass, extraClass, changedClass},
		},
	}),
}

// asked leaves out of a profile what the scenario asks Velero to bring back after all.
func (p *profile) asked(v *scenarios.VeleroRestore) *profile {
	if v == nil {
		return p
	}
	asked := *p
	asked.rules = nil
	for _, r := range p.rules {
		if r.name == "node-ports" && v.PreserveNodePorts != nil && *v.PreserveNodePorts {
			continue
		}
		if r.name == "status" && v.RestoreStatus != nil {
			for _, name := range v.RestoreStatus.IncludedResources {
				plural, group, _ := strings.Cut(name, ".")
				r.except = append(slices.Clip(r.except), strings.TrimPrefix(group+"/"+plural, "/"))
			}
		}
		asked.rules = append(asked.rules, r)
	}
	return &asked
}

// A view of an object is what the conditions below look at.
type view struct {
	Metadata struct {
		Labels, Annotations map[string]string
		OwnerReferences     []owner
	}
	Spec   struct{ InitContainers []json.RawMessage }
	Type   string
	Status struct{ Phase, CompletionTime string }
}

type owner struct {
	APIVersion string
	Controller bool
}

// builtIn controllers run in every cluster. Of one that an operator brings, nobody knows here whether it is there and makes anything again; the
// group of a definition holds a point, and theirs do not.
func (o owner) builtIn() bool { return o.Controller && !strings.Contains(o.APIVersion, ".") }

func viewOf(raw json.RawMessage) (v view) {
	// What does not parse is nothing that a rule allows.
	_ = json.Unmarshal(raw, &v)
	return v
}

// isProvisioned tells whether a provisioner made the volume, or was asked to for the claim.
func isProvisioned(raw json.RawMessage) bool {
	annotations := viewOf(raw).Metadata.Annotations
	return annotations["pv.kubernetes.io/provisioned-by"] != "" || annotations["volume.kubernetes.io/storage-provisioner"] != ""
}

func hasNoInitContainers(raw json.RawMessage) bool { return len(viewOf(raw).Spec.InitContainers) == 0 }

// isMachine tells whether a node, or what a driver says of one, is no simulated one: those have the same names in every cluster.
func isMachine(raw json.RawMessage) bool { return viewOf(raw).Metadata.Labels["type"] != "kwok" }

func isServiceAccountToken(raw json.RawMessage) bool {
	return viewOf(raw).Type == "kubernetes.io/service-account-token"
}

func isCompleted(raw json.RawMessage) bool {
	s := viewOf(raw).Status
	return s.Phase == "Succeeded" || s.Phase == "Failed" || s.CompletionTime != ""
}

func isControlled(raw json.RawMessage) bool {
	return slices.ContainsFunc(viewOf(raw).Metadata.OwnerReferences, owner.builtIn) || followsPods(raw)
}

// followsPods tells whether a controller writes these endpoints, and not a user.
func followsPods(raw json.RawMessage) bool {
	m := viewOf(raw).Metadata
	_, triggered := m.Annotations["endpoints.kubernetes.io/last-change-trigger-time"]
	return triggered || m.Labels["endpoints.kubernetes.io/managed-by"] == "endpoint-controller" ||
		m.Labels["endpointslice.kubernetes.io/managed-by"] == "endpointslice-controller.k8s.io"
}
