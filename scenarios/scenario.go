// Package scenarios holds the document a drill starts from: what fails, how the cluster is backed up and restored, and
// what has to be true afterwards. It is plain data: it knows nothing of clusters, and nothing here runs anything.
//
// To add a scenario, put one YAML file beside this one (or under sabotage/, if it must come out failed or unknown).
package scenarios

import (
	"encoding/json"

	"go.yaml.in/yaml/v3"
)

// APIVersion and Kind head every scenario file.
const (
	APIVersion = "restoredrill.io/v1alpha1"
	Kind       = "Scenario"
)

// A Scenario describes one drill.
type Scenario struct {
	// APIVersion is restoredrill.io/v1alpha1.
	APIVersion string `json:"apiVersion"`
	// Kind is Scenario.
	Kind     string   `json:"kind"`
	Metadata Metadata `json:"metadata"`
	Spec     Spec     `json:"spec"`

	// positions of the values in the file, by path; nil when it was not parsed from one.
	positions map[string]position
}

// Metadata names a scenario.
type Metadata struct {
	// Name is a DNS label. It names the drill in reports, in JUnit and on the command line.
	Name string `json:"name"`
	// Labels are free for the user: team, service, tier.
	Labels map[string]string `json:"labels,omitempty"`
}

// Spec is the drill itself, in the order in which it is read: what must hold first, what happens after.
type Spec struct {
	// Description says in one or two sentences what disaster this rehearses, and why.
	Description string `json:"description,omitempty"`
	// Cadence in which it is to be rehearsed: daily, weekly, monthly, quarterly, or a time such as 10d. "restore-drill history overdue" holds it to that.
	Cadence string `json:"cadence,omitempty"`
	// Objectives are the targets that the restore is judged against.
	Objectives Objectives `json:"objectives"`
	// Requires names what the clusters must have beyond an API: machines, whose kubelets run pods and whose disks hold volumes. A provider without
	// it refuses the drill. What the scenario uses is required without being named: seed.volumes need machines.
	Requires []string `json:"requires,omitempty"`
	// Cluster is the cluster to lose.
	Cluster Cluster `json:"cluster,omitempty"`
	// Seed is what runs on it.
	Seed Seed `json:"seed,omitempty"`
	// Ledger sets how the data-loss measurement writes.
	Ledger Ledger `json:"ledger,omitempty"`
	// Backup sets how and when the cluster is backed up.
	Backup Backup `json:"backup"`
	// Layers are further backups, taken of the same cluster and brought back onto the restored one, one after the other: a Velero backup of
	// a namespace above an etcd snapshot of the whole.
	Layers []Layer `json:"layers,omitempty"`
	// Faults strike in order, each at the moment its target calls for: those against the source cluster and the
	// artifact when the failure is injected, those against the restored cluster and the evidence after the restore.
	Faults []Fault `json:"faults"`
	// Restore sets how the backup is brought back.
	Restore Restore `json:"restore,omitempty"`
	// Probes are what the restored service must answer before it counts as restored.
	Probes []Probe `json:"probes,omitempty"`
	// Controls of frameworks that the drill is to be evidence for, such as soc2:A1.2. The report says what a passed run supports of each, and what it
	// does not show.
	Controls []string `json:"controls,omitempty"`
	// Expect declares how the drill comes out. A scenario that says nothing expects the tool to complete and every check to pass.
	Expect Expect `json:"expect,omitempty"`
}

// Objectives are the promises on trial. A time or a count that is absent is measured and reported, but not judged; fidelity always is.
type Objectives struct {
	// RTO bounds the time from the visible failure to the service restored, for example 30s.
	RTO *Duration `json:"rto,omitempty"`
	// RPO bounds the age of the newest write up to which nothing is missing, for example 5m.
	RPO *Duration `json:"rpo,omitempty"`
	// LostWrites bounds the number of acknowledged writes that are missing after the restore.
	LostWrites *int `json:"lostWrites,omitempty"`
	// PointInTime asks for a state that the cluster was in at one moment; default false, which does not hold it against a method that reads object
	// by object. A snapshot of the store is held to it in any case.
	PointInTime bool `json:"pointInTime,omitempty"`
	// Fidelity names the profile of allowed differences: etcd, velero or gitops; the default is that of the backup method.
	Fidelity string `json:"fidelity,omitempty"`
}

// Cluster describes the source cluster. The restored cluster is its like.
type Cluster struct {
	// Version of Kubernetes, for example v1.36.3, which is the default.
	Version string `json:"version,omitempty"`
	// EtcdMembers is 1 (the default) or 3.
	EtcdMembers int `json:"etcdMembers,omitempty"`
	// Nodes is the number of nodes, default 3: simulated ones or, on a provider whose nodes are machines, the control-plane node and its workers.
	Nodes int `json:"nodes,omitempty"`
	// Encryption at rest of Secrets: secretbox or aescbc; absent for none.
	Encryption string `json:"encryption,omitempty"`
	// AuditLog turns the API server's audit log on (metadata level).
	AuditLog bool `json:"auditLog,omitempty"`
	// StartTimeout bounds the start of a cluster; default 5m.
	StartTimeout *Duration `json:"startTimeout,omitempty"`
	// Kind sets what only the provider kind knows; other providers take no notice.
	Kind *KindCluster `json:"kind,omitempty"`
}

// KindCluster is what a cluster of the provider kind is made of.
type KindCluster struct {
	// NodeImage is the image of every node; default kindest/node:VERSION. It has to hold that version.
	NodeImage string `json:"nodeImage,omitempty"`
	// Config is further configuration in kind's own terms, the fields of kind.x-k8s.io/v1alpha4: nodes, extraMounts, kubeadmConfigPatches, networking.
	Config json.RawMessage `json:"config,omitempty"`
}

// Seed is the workload that the drill has to bring back.
type Seed struct {
	// Workloads names embedded manifest sets; default [standard]. An empty list seeds none.
	Workloads []string `json:"workloads,omitempty"`
	// Objects is the number of generated objects; default 500.
	Objects *int `json:"objects,omitempty"`
	// Kinds of the generated objects, dealt round robin; default ConfigMap, Secret, ServiceAccount, Widget.
	Kinds []string `json:"kinds,omitempty"`
	// Size of each generated object's payload in bytes, for example 1Ki, which is the default.
	Size Size `json:"size,omitempty"`
	// RandomSeed makes the generated objects and seeded offsets the same again; default 1.
	RandomSeed *int64 `json:"randomSeed,omitempty"`
	// Manifests are files or directories of the user's own, relative to the scenario file.
	Manifests []string `json:"manifests,omitempty"`
	// Volumes are filled with files whose bytes have to come back, and take the volume ledger's records; absent for none.
	Volumes *Volumes `json:"volumes,omitempty"`
}

// Volumes are claims of a StatefulSet, each with the same number of files of generated content, and one more for the ledger of the volume layer: a pod
// that appends numbered records, which count as written once they are on disk.
type Volumes struct {
	// Claims of the StatefulSet; default 2.
	Claims int `json:"claims,omitempty"`
	// Size of the files of each claim together, for example 64Mi, which is the default.
	Size Capacity `json:"size,omitempty"`
	// Files in each claim; default 12.
	Files int `json:"files,omitempty"`
	// ReclaimPolicy is what the PersistentVolumes are told to do once their claims are gone: Delete or Retain; default that of their class.
	ReclaimPolicy string `json:"reclaimPolicy,omitempty"`
	// Annotations of the pods, as Velero reads them: backup.velero.io/backup-volumes-excludes, for example.
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Ledger sets the writers whose acknowledged writes measure the RPO.
type Ledger struct {
	// Rate in writes a second, over all writers; default 20.
	Rate *float64 `json:"rate,omitempty"`
	// Before is how long the writers run before the first backup; default 1s.
	Before *Duration `json:"before,omitempty"`
	// After is how long they run on between the last backup and the failure: the exposure; default 1s.
	After *Duration `json:"after,omitempty"`
}

// Backup sets the method and its schedule.
type Backup struct {
	// Method is etcd, velero or manifests.
	Method string `json:"method"`
	// Count of backups taken while the ledger writes; default 1. The newest is restored.
	Count int `json:"count,omitempty"`
	// Every is the interval between the starts of two backups; needed when count is above 1.
	Every *Duration `json:"every,omitempty"`
	// Timeout of one backup; default 5m.
	Timeout *Duration `json:"timeout,omitempty"`
	// Velero sets what a backup of the method velero takes, in Velero's own terms.
	Velero *VeleroBackup `json:"velero,omitempty"`
	// Manifests are the files or directories that the method manifests brings back, relative to the scenario file; default what was seeded.
	Manifests []string `json:"manifests,omitempty"`
}

// A Layer is a backup that is restored onto the cluster that the layers before it brought back.
type Layer struct {
	// Backup is taken once, when those of spec.backup are done.
	Backup Backup `json:"backup"`
	// Velero sets how a backup of the method velero is restored, in Velero's own terms.
	Velero *VeleroRestore `json:"velero,omitempty"`
	// Ledger is a namespace into which a second ledger writes, so that this layer's own RPO can be measured; absent for none.
	Ledger string `json:"ledger,omitempty"`
}

// Fault names one failure of the catalogue and its parameters.
type Fault struct {
	// Name in the catalogue, for example etcd-data-lost.
	Name string `json:"name"`
	// After names the method of a layer: the fault strikes the restored cluster once that layer is back, and the next one repairs it.
	After string `json:"after,omitempty"`
	// Parameters of that fault; the JSON Schema (`restore-drill scenario schema`) lists them.
	Parameters *yaml.Node `json:"parameters,omitempty"`
}

// Restore sets how the backup is brought back.
type Restore struct {
	// Into is fresh, a new cluster (the default), or source: the cluster that the backup was taken of, which has to have survived the failure.
	Into string `json:"into,omitempty"`
	// Version of Kubernetes of the new cluster; default the source's.
	Version string `json:"version,omitempty"`
	// Downgrade lets Version be older than the source's, which nobody supports: the scenario is about that.
	// Source: https://kubernetes.io/releases/version-skew-policy/
	Downgrade bool `json:"downgrade,omitempty"`
	// Velero sets how a backup of the method velero is restored, in Velero's own terms.
	Velero *VeleroRestore `json:"velero,omitempty"`
	// EtcdMembers of the restored cluster; default: as many as the source had.
	EtcdMembers int `json:"etcdMembers,omitempty"`
	// Timeout from the start of the restore to the service restored, after which the drill gives up; default 5m.
	Timeout *Duration `json:"timeout,omitempty"`
}

// A Probe is a question to the restored cluster; exactly one of cel, get, command, create, login, token, http, dns, exec and identity is set. The
// service is restored when every probe passes. The last four are asked by pods: where nodes are simulated they are left out, and the report says so.
type Probe struct {
	// Name in the report; a DNS label.
	Name string `json:"name"`
	// CEL evaluates an expression over one object or a list.
	CEL *CELProbe `json:"cel,omitempty"`
	// Get asks the API server for a path, and passes on HTTP 200.
	Get *GetProbe `json:"get,omitempty"`
	// Command runs a program with KUBECONFIG set to the restored cluster, and passes on exit code 0.
	Command *CommandProbe `json:"command,omitempty"`
	// Create shows an object to admission, and passes when it is admitted, or refused by whom it has to be.
	Create *CreateProbe `json:"create,omitempty"`
	// Login logs in outside the cluster with what a Secret holds, and passes when that is what was in force when the cluster was lost.
	Login *LoginProbe `json:"login,omitempty"`
	// Token is a client outside the cluster, and passes when the token that it was given before the failure still lets it in.
	Token *TokenProbe `json:"token,omitempty"`
	// HTTP asks a Service for a page, from a pod, and passes on status 200.
	HTTP *HTTPProbe `json:"http,omitempty"`
	// DNS asks the cluster's DNS for a Service, from a pod, and passes when that gives the address that the Service has.
	DNS *DNSProbe `json:"dns,omitempty"`
	// Exec runs a command in a pod, and passes on exit code 0.
	Exec *ExecProbe `json:"exec,omitempty"`
	// Identity asks every pod of a StatefulSet who it is, and passes when each has its own name, its own volume and its own entry in the cluster's DNS.
	Identity *IdentityProbe `json:"identity,omitempty"`
}

// NeedsMachines tells whether pods have to run for it to be answered.
func (p Probe) NeedsMachines() bool {
	return p.HTTP != nil || p.DNS != nil || p.Exec != nil || p.Identity != nil
}

// CELProbe evaluates Expression over the variable `object` (one object, when name is set) or `items` (a list).
type CELProbe struct {
	APIVersion string `json:"apiVersion"`
	// Kind of the object or objects.
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
	// Expression must give a bool, for example object.status.readyReplicas == object.spec.replicas.
	Expression string `json:"expression"`
}

// GetProbe is an HTTP GET of an API path such as /readyz.
type GetProbe struct {
	Path string `json:"path"`
}

// CommandProbe is a program and its arguments, without a shell.
type CommandProbe struct {
	Argv []string `json:"argv"`
}

// CreateProbe creates an object in a dry run: every admission policy and webhook is asked, and nothing is stored.
type CreateProbe struct {
	// Object as in a manifest.
	Object map[string]any `json:"object"`
	// RefusedBy is the name of the policy or webhook that has to refuse it: a refusal that does not name it proves nothing. Absent, the object
	// has to be admitted.
	RefusedBy string `json:"refusedBy,omitempty"`
}

// LoginProbe stands for a database or another service outside the cluster. Whoever rotates its password tells both the service and the Secret; a
// restore brings back only what the Secret was.
type LoginProbe struct {
	Namespace string `json:"namespace"`
	// Secret that holds the password.
	Secret string `json:"secret"`
	// Key of the password within it.
	Key string `json:"key"`
}

// TokenProbe stands for a build server or another client outside the cluster. It was given the token of a Secret of type
// kubernetes.io/service-account-token, and nobody tells it of a restore.
type TokenProbe struct {
	Namespace string `json:"namespace"`
	// Secret that the token was read from.
	Secret string `json:"secret"`
}

// HTTPProbe goes the way that a client in the cluster goes: by the Service's name, and through its address.
type HTTPProbe struct {
	Namespace string `json:"namespace"`
	Service   string `json:"service"`
	Port      int    `json:"port"`
	// Path of the page; default /.
	Path string `json:"path,omitempty"`
	// Contains is a text that the page must hold; absent for any page.
	Contains string `json:"contains,omitempty"`
}

// DNSProbe asks for SERVICE.NAMESPACE.svc.cluster.local.
type DNSProbe struct {
	Namespace string `json:"namespace"`
	Service   string `json:"service"`
}

// ExecProbe is a command in a container, without a shell; one of pod and selector says in which.
type ExecProbe struct {
	Namespace string `json:"namespace"`
	Pod       string `json:"pod,omitempty"`
	// Selector of labels, for example app=web; every running pod that it selects is asked, and there has to be one.
	Selector string `json:"selector,omitempty"`
	// Container; default the pod's first.
	Container string   `json:"container,omitempty"`
	Argv      []string `json:"argv"`
}

// IdentityProbe asks as many pods as the StatefulSet has replicas.
type IdentityProbe struct {
	Namespace   string `json:"namespace"`
	StatefulSet string `json:"statefulSet"`
	// File on each pod's volume, in which its name stands.
	File string `json:"file"`
}

// Expect declares the outcome.
type Expect struct {
	// Tool is what the tool says of the restore: completed (the default), partially failed, failed, failed validation, refused, or missing when it
	// does not find its backup.
	Tool string `json:"tool,omitempty"`
	// Backup is what it says of the backup, in the same words: completed by default.
	Backup string `json:"backup,omitempty"`
	// Verdict of the checks: passed (the default), failed or unknown.
	Verdict string `json:"verdict,omitempty"`
	// Checks names the checks that must come out other than passed, and how; any is for one that may come out so or so, by the moment at which a
	// fault strikes.
	Checks map[string]string `json:"checks,omitempty"`
}
