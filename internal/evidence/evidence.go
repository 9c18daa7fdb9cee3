// Package evidence is the run directory: what a drill writes as it goes, and all that a check may read.
//
//	drill.json            Header: which drill, on what, since when
//	scenario.yaml         the scenario, verbatim
//	timeline.jsonl        Event: phases, steps, marks, claims, as they happen
//	ledger.jsonl          ledger.Record: intents and outcomes of the writers, fsynced
//	survivors.jsonl       ledger.Survivor: what was there of them after the restore
//	census-before.jsonl.zst, census-after.jsonl.zst   census files (package census)
//	store-health.json     StoreHealth: what the restored store says of itself, and the API server of it
//	store.json            StoreComparison: the two etcd snapshots, compared key by key
//	access-backup.jsonl, access-before.jsonl, access-after.jsonl   AccessRule: who may do what, as the authorizer says: after the backup, right
//	                      before the failure, and after the restore
//	crds-before.json, crds-after.json                 CRDs: definitions of custom resources, and whether those can be read
//	crds-recreate.json    CRDTrials: what the restored definitions do to the custom resources that there were
//	freshness.json        Freshness: identities of the source and of the restored cluster
//	informer.json         Informer: the stale client's view against a fresh list
//	probes.jsonl          ProbeResult, every attempt
//	apis.json             APIs: which of the source's the restored cluster's version of Kubernetes does not serve, where the versions differ
//	drift.json            Drift: what lived against what Git says, for the method manifests
//	machines.json         Machines: what runs on each machine, against what the API says
//	volumes-before.json, volumes-after.json           Volumes: what lies in the seeded volumes, with digests
//	volume-ledger.jsonl   VolumeRecord: records that a pod acknowledged once they were on its volume's disk
//	tool-*.json           ToolResult: what the backup tool says of one of its operations
//	artifacts/NAME/       one backup each: artifact.json and the method's own files, 0600 in 0700
//	logs/CLUSTER/*.log    component logs
//	evidence.sha256       the digests of all of it, written when the drill has come to its end
//
// A file that is absent was not observed; no reader may take that for "observed nothing".
package evidence

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Names of the files in a run directory.
const (
	HeaderFile        = "drill.json"
	ScenarioFile      = "scenario.yaml"
	TimelineFile      = "timeline.jsonl"
	LedgerFile        = "ledger.jsonl"
	SurvivorsFile     = "survivors.jsonl"
	CensusBeforeFile  = "census-before.jsonl.zst"
	CensusAfterFile   = "census-after.jsonl.zst"
	StoreFile         = "store.json"
	StoreHealthFile   = "store-health.json"
	AccessBackupFile  = "access-backup.jsonl"
	AccessBeforeFile  = "access-before.jsonl"
	AccessAfterFile   = "access-after.jsonl"
	CRDsBeforeFile    = "crds-before.json"
	CRDsAfterFile     = "crds-after.json"
	CRDsRecreateFile  = "crds-recreate.json"
	FreshnessFile     = "freshness.json"
	DriftFile         = "drift.json"
	APIsFile          = "apis.json"
	InformerFile      = "informer.json"
	ProbesFile        = "probes.jsonl"
	MachinesFile      = "machines.json"
	ArtifactsDir      = "artifacts"
	LogsDir           = "logs"
	VolumesBeforeFile = "volumes-before.json"
	VolumesAfterFile  = "volumes-after.json"
	VolumeLedgerFile  = "volume-ledger.jsonl"
)

// Of is the name of a layer's own file beside that of the drill: ledger-velero.jsonl.
func Of(layer, file string) string {
	name, ext, _ := strings.Cut(file, ".")
	return name + "-" + layer + "." + ext
}

// A Header identifies the run. It is written first.
type Header struct {
	Schema       string            `json:"schema"`
	ID           string            `json:"id"`
	Scenario     string            `json:"scenario"`
	ScenarioPath string            `json:"scenarioPath,omitempty"`
	Provider     string            `json:"provider"`
	RunBy        string            `json:"runBy"`
	Started      time.Time         `json:"started"`
	OS           string            `json:"os"`
	Arch         string            `json:"arch"`
	CPUs         int               `json:"cpus"`
	MemoryBytes  int64             `json:"memoryBytes"`
	Versions     map[string]string `json:"versions"`
	Facts        map[string]string `json:"facts,omitempty"`
	// Machines says that the clusters' nodes are machines, on which pods run.
	Machines bool `json:"machines,omitempty"`
	// Limits are what the provider, and the drill on it, cannot show.
	Limits []string `json:"limits"`
}

// HeaderSchema is the format of a run directory. A reader refuses another.
const HeaderSchema = "restoredrill.io/evidence/v1alpha1"

// StepVerify is the step in which an artifact is compared with the digests recorded when it was taken. Its error holds Damaged where they differ.
const (
	StepVerify = "verify artifact"
	Damaged    = "artifact is not as it was taken"
)

// Names of the steps in which a fault is injected begin with one of these. Meanwhile is for one that strikes while the tool works on.
const (
	StepInject          = "inject "
	StepInjectMeanwhile = "inject meanwhile "
)

// Kinds of Event.
const (
	PhaseStarted = "phase-started"
	PhaseEnded   = "phase-ended" // Error is set when it failed
	StepStarted  = "step-started"
	StepEnded    = "step-ended"
	MarkReached  = "mark"
	// Claim is what a backup tool says of its own work: Name is backup or restore, Detail one of the Claims, Error the tool's words. Layer is
	// the method, where there are several.
	Claim = "claim"
	// ArtifactChosen says which artifact the restore brings back: Name is the artifact's.
	ArtifactChosen = "artifact-chosen"
	// Command was run, on a machine or against the API: Name is where, Detail can be pasted there, Step is what it was run for.
	Command = "command"
	// Note is anything worth a line in the timeline: a fault's sighting, a line of progress.
	Note = "note"
	// DrillEnded closes the timeline; without it the run was interrupted and its verdict is unknown.
	DrillEnded = "drill-ended"
)

// What a tool can say of its own work.
const (
	Completed        = "completed"
	PartiallyFailed  = "partially failed"
	Failed           = "failed"
	FailedValidation = "failed validation"
	Missing          = "missing" // it does not find its backup
	Refused          = "refused" // it found the backup unfit before it did anything
)

// Names of the phases.
const (
	PhaseProvision = "provision"
	PhaseSeed      = "seed"
	PhaseBackup    = "backup"
	PhaseInject    = "inject"
	PhaseRestore   = "restore"
	PhaseSurvey    = "survey"
	PhaseTeardown  = "teardown"
)

// Phases of a drill that came to its end, in order: a timeline without one of them is not the whole drill.
var Phases = []string{PhaseProvision, PhaseSeed, PhaseBackup, PhaseInject, PhaseRestore, PhaseSurvey, PhaseTeardown}

// OnTrial tells whether a phase is the backup tool's own work: when it fails by itself, the backup failed.
func OnTrial(phase string) bool { return phase == PhaseBackup || phase == PhaseRestore }

// Names of marks, in the order in which a good drill reaches them.
const (
	MarkLedgerStarted  = "ledger started"
	MarkLedgerEnded    = "ledger ended"
	MarkFaultBegan     = "fault began" // the first fault's first call: from here on, writers may be hindered
	MarkInjected       = "injected"    // the faults' last call returned
	MarkStruck         = "struck"      // the failure is visible: the RTO clock starts
	MarkRestoreStarted = "restore started"
	MarkArtifactOK     = "artifact verified"
	MarkStoreRestored  = "store restored" // data laid in place
	MarkStoreServing   = "store serving"
	MarkAPIServing     = "api serving"      // first authorised answer
	MarkAPIReady       = "api ready"        // readyz
	MarkToolReady      = "tool ready"       // the backup tool runs on the restored cluster
	MarkBackupFound    = "backup found"     // and sees the backup in its store
	MarkObjectsBack    = "objects restored" // and says that it has brought back what it could
	MarkWriteAccepted  = "write accepted"
	MarkControllers    = "controllers converged"
	MarkWorkloads      = "workloads ready"
	MarkIdentity       = "identity works"   // a token minted before the failure authenticates
	MarkServiceBack    = "service restored" // every probe passes: the RTO clock stops
)

// An Event is one line of the timeline.
type Event struct {
	// At is nanoseconds since the drill began, on the monotonic clock.
	At    time.Duration `json:"at"`
	Wall  time.Time     `json:"wall"`
	Kind  string        `json:"kind"`
	Name  string        `json:"name,omitempty"`
	Phase string        `json:"phase,omitempty"`
	// Layer is the backup method that it is about, in a drill of several.
	Layer string `json:"layer,omitempty"`
	// Step that a command belongs to; empty for the one that was begun last.
	Step string `json:"step,omitempty"`
	// Detail is free text without secrets; for a mark, how it was seen.
	Detail string `json:"detail,omitempty"`
	// Resolution of a mark: the longest time by which it may have been seen late.
	Resolution time.Duration `json:"resolution,omitempty"`
	Error      string        `json:"error,omitempty"`
	// Blame says whose error it is: tool (the backup tool's own work failed), or harness (anything else: the drill could not tell).
	Blame string `json:"blame,omitempty"`
}

// Whose error an Event's Error is.
const (
	BlameTool    = "tool"
	BlameHarness = "harness"
)

// StoreComparison compares two etcd snapshots key by key: the artifact, and one taken of the restored store.
type StoreComparison struct {
	BeforeRevision int64 `json:"beforeRevision"`
	AfterRevision  int64 `json:"afterRevision"`
	BeforeKeys     int   `json:"beforeKeys"`
	AfterKeys      int   `json:"afterKeys"`
	// Equal keys hold the same object; Reencoded of them hold it in another encoding (JSON, protobuf).
	Equal     int `json:"equal"`
	Reencoded int `json:"reencoded,omitempty"`
	// Lost, Extra and Changed list keys, sorted. Changed keys were rewritten since the restore, or damaged by it.
	Lost    []StoreKey `json:"lost"`
	Extra   []StoreKey `json:"extra"`
	Changed []StoreKey `json:"changed"`
	// Omitted keys are beyond those listed.
	LostOmitted    int `json:"lostOmitted,omitempty"`
	ExtraOmitted   int `json:"extraOmitted,omitempty"`
	ChangedOmitted int `json:"changedOmitted,omitempty"`
}

// A StoreKey is an etcd key and its modification revisions.
type StoreKey struct {
	Key            string `json:"key"`
	BeforeRevision int64  `json:"beforeRevision,omitempty"`
	AfterRevision  int64  `json:"afterRevision,omitempty"`
	// Encrypted values can only be told to have been rewritten, not whether they still say the same.
	Encrypted bool `json:"encrypted,omitempty"`
}

// StoreHealth is what the restored store says of itself, and what the API server above it makes of it.
type StoreHealth struct {
	// ClusterID of the store, in hex.
	ClusterID string        `json:"clusterID"`
	Members   []StoreMember `json:"members"`
	Alarms    []StoreAlarm  `json:"alarms"`
	// HashedAt is the revision at which the members were compared, and Divergence how they differ; Undecided is why that is not known.
	HashedAt   int64  `json:"hashedAt"`
	Divergence string `json:"divergence,omitempty"`
	Undecided  string `json:"undecided,omitempty"`
	// Lists are what the API server lists against the keys of the store.
	Lists []StoreList `json:"lists"`
	// APIServers are the addresses that default/kubernetes sends clients to, and LostAPIServers those that were registered when the backup was taken.
	APIServers     []string `json:"apiServers"`
	LostAPIServers []string `json:"lostAPIServers"`
	// Machines are the addresses of the restored cluster's own. An engine gives the address of a machine that is gone to the next one, whose API
	// server is then not the lost one.
	Machines []string `json:"machines,omitempty"`
}

// A StoreMember is what one member of the store says; Error is why it says nothing.
type StoreMember struct {
	ID    string `json:"id"`
	Error string `json:"error,omitempty"`
	// Bytes of its file, and those of them that hold data.
	Bytes      int64    `json:"bytes"`
	BytesInUse int64    `json:"bytesInUse"`
	Complaints []string `json:"complaints,omitempty"`
}

// A StoreAlarm stays raised until somebody disarms it. Member raised it, one of the lost store where a snapshot held the alarm.
type StoreAlarm struct {
	Type   string `json:"type"`
	Member string `json:"member"`
}

// A StoreList compares a consistent list of the API server with the keys of the store, as they were just before and just after it. A key that was
// written in between is in neither of the three.
type StoreList struct {
	Resource string `json:"resource"`
	Listed   int    `json:"listed"`
	Stored   int    `json:"stored"`
	// Phantom objects are listed and not in the store; Missing the reverse; Stale are listed as they were at another revision.
	Phantom []string `json:"phantom"`
	Missing []string `json:"missing"`
	Stale   []string `json:"stale"`
}

// A ToolResult is what a backup tool says of one operation, item by item where it tells.
type ToolResult struct {
	// Tool and Operation: velero, backup or restore. Name is the tool's own name of it.
	Tool      string `json:"tool"`
	Operation string `json:"operation"`
	Name      string `json:"name"`
	// Claim is one of the Claims; Phase is the tool's own word for it.
	Claim     string    `json:"claim"`
	Phase     string    `json:"phase"`
	Started   time.Time `json:"started"`
	Completed time.Time `json:"completed"`
	// Items that it means to handle, and that it says it has handled.
	Items    int           `json:"items"`
	Handled  int           `json:"handled"`
	Warnings []ToolMessage `json:"warnings"`
	Errors   []ToolMessage `json:"errors"`
	// Objects that it names, with what it did to them: created, updated, skipped, failed. Nil when it does not tell.
	Objects []ToolObject `json:"objects,omitempty"`
}

// A ToolMessage is a warning or an error of a backup tool.
type ToolMessage struct {
	// Scope is a namespace, cluster, or the tool itself.
	Scope   string `json:"scope"`
	Message string `json:"message"`
}

// A ToolObject is one object that a backup tool says it handled.
type ToolObject struct {
	// Resource is group/version kind as the tool writes it: apps/v1/Deployment, v1/Secret.
	Resource  string `json:"resource"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Action    string `json:"action"`
}

// ToolFiles is a pattern of all names that ToolFile gives.
const ToolFiles = "tool-*.json"

// ToolFile is the name of the file with the nth result of an operation of a tool.
func ToolFile(tool, operation string, n int) string {
	return fmt.Sprintf("tool-%s-%s-%03d.json", tool, operation, n)
}

// APIs that go with a version of Kubernetes, as they were known before the restore began.
type APIs struct {
	From string `json:"from"`
	To   string `json:"to"`
	// Removed were served by the source and are not in version To.
	Removed []RemovedAPI `json:"removed"`
}

// A RemovedAPI is a resource in one version of its group.
type RemovedAPI struct {
	GroupVersion string `json:"groupVersion"`
	Kind         string `json:"kind"`
	Resource     string `json:"resource"`
	// Removed is the release of Kubernetes that did away with it; Replacement is the group and version to use.
	Removed     string `json:"removed"`
	Replacement string `json:"replacement,omitempty"`
}

// Drift compares what lived in the source cluster at the time of the backup with what Git says.
type Drift struct {
	// Desired objects are in Git; InSync of them lived as Git says.
	Desired int             `json:"desired"`
	InSync  int             `json:"inSync"`
	Drifted []DriftedObject `json:"drifted"`
}

// A DriftedObject lived otherwise than Git says.
type DriftedObject struct {
	Object string         `json:"object"`
	Fields []DriftedField `json:"fields"`
}

// A DriftedField at a JSON pointer; the empty one is the object itself. Secret values are keyed digests.
type DriftedField struct {
	Path    string `json:"path"`
	Desired string `json:"desired,omitempty"`
	Live    string `json:"live,omitempty"`
}

// An AccessRule is one thing that a subject may do, as the cluster's own authorizer listed it.
type AccessRule struct {
	Subject string `json:"subject"` // User:alice, Group:ops, ServiceAccount:ns/name
	// Namespace where it was asked; default stands for every namespace that no binding of the subject names.
	Namespace string `json:"namespace"`
	// Rule in one canonical line: verbs, groups, resources, names, or verbs and non-resource URLs.
	Rule string `json:"rule"`
	// End closes the file: its Rule holds the number of lines before it. Without it the file is incomplete.
	End bool `json:"end,omitempty"`
}

// CRDs are the definitions of custom resources of one cluster, sorted by name; nil Definitions were not read.
type CRDs struct {
	Definitions []CRD `json:"definitions"`
}

// A CRD is one definition.
type CRD struct {
	Name string `json:"name"`
	// Spec is what the API server gives of it, whole: whatever a later version adds to definitions is in it.
	Spec json.RawMessage `json:"spec"`
	// StoredVersions are those in which resources may lie in the store, as its status says.
	StoredVersions []string `json:"storedVersions"`
	// Trouble is each condition that an established definition would meet, and this one does not.
	Trouble []string `json:"trouble,omitempty"`
	// Readings of its resources, by the version that was asked for: every one that is served.
	Readings map[string]CRDReading `json:"readings"`
}

// A CRDReading is how many custom resources a list gave, or why it gave none.
type CRDReading struct {
	Objects int    `json:"objects"`
	Error   string `json:"error,omitempty"`
	// Undecided is set when the error does not say that they cannot be read, only that they were not.
	Undecided bool `json:"undecided,omitempty"`
}

// CRDTrials tell what the definitions of the restored cluster do to the custom resources that lived before the failure: each was created
// anew without effect (dry run). Nil Definitions were not tried.
type CRDTrials struct {
	Definitions []CRDTrial `json:"definitions"`
}

// A CRDTrial is that of one definition. Of many resources a sample is tried, evenly spread.
type CRDTrial struct {
	Name  string `json:"name"`
	Known int    `json:"known"`
	Tried int    `json:"tried"`
	// Troubled are those that would not come out as they were.
	Troubled []CRDTrouble `json:"troubled"`
}

// A CRDTrouble is what one custom resource met. Its texts name fields and hold none of their values, which may be secrets.
type CRDTrouble struct {
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Version   string `json:"version"`
	// Refused says for which fields, and how, the definition refuses it: "spec.mode: Unsupported value".
	Refused []string `json:"refused,omitempty"`
	// Dropped are fields that the definition does not know: they are lost without a word.
	Dropped []string `json:"dropped,omitempty"`
	// Undecided says what else stood in the way, so that the definition was not asked.
	Undecided string `json:"undecided,omitempty"`
}

// Machines is what was found on the machines of the restored cluster, and what its API said of them at the same time.
type Machines struct {
	// Waited is for how long differences were given time to go away, in seconds: a pod that ends is gone from the API first.
	Waited float64 `json:"waited"`
	// Machines that are there, and the names of all Nodes in the API.
	Machines []Machine `json:"machines"`
	Nodes    []string  `json:"nodes"`
}

// A Machine is one node: what its container runtime says, and what the API says of it.
type Machine struct {
	Name string `json:"name"`
	// Error is why it could not be asked.
	Error string `json:"error,omitempty"`
	// Kubelet is the state of its unit in the init system's word: active.
	Kubelet string `json:"kubelet,omitempty"`
	// Registered says that there is a Node of its name, and Ready what that says of itself.
	Registered bool `json:"registered"`
	Ready      bool `json:"ready"`
	// Running pods in the container runtime, and Bound ones in the API that are to run there.
	Running []MachinePod `json:"running"`
	Bound   []MachinePod `json:"bound"`
}

// A MachinePod is one pod, by the UID under which the kubelet runs it: that of a static pod is the one in its manifest.
type MachinePod struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid"`
}

// Freshness holds what tells one cluster from another.
type Freshness struct {
	Source   Identity `json:"source"`
	Restored Identity `json:"restored"`
}

// An Identity of a cluster.
type Identity struct {
	// EtcdCluster and EtcdMembers are etcd's IDs, in hex.
	EtcdCluster string   `json:"etcdCluster"`
	EtcdMembers []string `json:"etcdMembers"`
	// Serving is the SHA-256 of the API server's certificate, as seen in a TLS handshake.
	Serving string `json:"serving"`
	// Directory or node on which it runs; never the same for both.
	Place string `json:"place"`
	// Processes are pid and start time of the components, or container IDs.
	Processes []string `json:"processes"`
}

// Informer is what a client that was connected before the failure believes after it, against a fresh quorum list.
type Informer struct {
	Resources []string `json:"resources"`
	// OpenedAt is the resourceVersion that its watch had reached when the failure struck.
	OpenedAt string `json:"openedAt"`
	// CanaryWritten after the restore, and whether the informer was told of it.
	CanarySeen bool `json:"canarySeen"`
	Converged  bool `json:"converged"`
	// Waited for convergence before it was judged.
	Waited time.Duration `json:"waited"`
	Held   int           `json:"held"`
	Listed int           `json:"listed"`
	// Phantom objects are held by the client and not in the list; Missing the reverse; Stale differ.
	Phantom []string `json:"phantom"`
	Missing []string `json:"missing"`
	Stale   []string `json:"stale"`
	// Error is set when the client or the list failed: then nothing was observed.
	Error string `json:"error,omitempty"`
}

// A ProbeResult is one attempt of one probe.
type ProbeResult struct {
	Name string `json:"name"`
	// Cluster that was asked: source (before the failure) or restored.
	Cluster string        `json:"cluster"`
	At      time.Duration `json:"at"`
	Passed  bool          `json:"passed"`
	Detail  string        `json:"detail"`
}
