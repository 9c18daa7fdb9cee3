// Package reports holds the document a drill ends in. It is plain data and its renderings: report.json is the truth,
// and every other format is rendered from it.
//
// To add a format, add one file with one Write function from Report to an io.Writer.
package reports

import (
	"fmt"
	"time"
)

// SchemaVersion of report.json. A reader refuses a newer major version.
const SchemaVersion = "restoredrill.io/report/v1alpha1"

// A Verdict is three-valued, and its zero value is Unknown: what nobody judged has not passed.
type Verdict int

// Unknown is worse than Passed and better than Failed: a proven failure is not excused by what could not be seen.
const (
	Unknown Verdict = iota
	Passed
	Failed
	// Skipped is for a check that does not apply to this drill; it never counts as passed.
	Skipped
)

var verdictNames = [...]string{Unknown: "unknown", Passed: "passed", Failed: "failed", Skipped: "skipped"}

// Valid tells whether v is one of the four.
func (v Verdict) Valid() bool { return v >= 0 && int(v) < len(verdictNames) }

func (v Verdict) String() string {
	if !v.Valid() {
		return fmt.Sprintf("invalid verdict %d", int(v))
	}
	return verdictNames[v]
}

// MarshalText writes passed, failed, unknown or skipped.
func (v Verdict) MarshalText() ([]byte, error) {
	if !v.Valid() {
		return nil, fmt.Errorf("write %s", v)
	}
	return []byte(v.String()), nil
}

// UnmarshalText reads what MarshalText wrote, and nothing else.
func (v *Verdict) UnmarshalText(b []byte) error {
	for i, n := range verdictNames {
		if n == string(b) {
			*v = Verdict(i)
			return nil
		}
	}
	return fmt.Errorf("unknown verdict %q (want passed, failed, unknown or skipped)", b)
}

// Worst of several verdicts: failed beats unknown beats passed, skipped ones do not count, and the worst of nothing is
// unknown. What is no verdict at all counts as unknown.
func Worst(vs ...Verdict) Verdict {
	passed, unknown := false, false
	for _, v := range vs {
		switch v {
		case Failed:
			return Failed
		case Passed:
			passed = true
		case Skipped:
		default:
			unknown = true
		}
	}
	if passed && !unknown {
		return Passed
	}
	return Unknown
}

// A Report is the outcome of one drill.
type Report struct {
	// Schema is the format of this document; see SchemaVersion.
	Schema string `json:"schema"`
	// Verdict answers: did the backup hold, within the objectives?
	Verdict Verdict `json:"verdict"`
	// Reason is the verdict in one sentence.
	Reason string `json:"reason"`
	// Declared is what the scenario expects, and whether it came out so.
	Declared Declared `json:"declared"`
	// Drill identifies the run.
	Drill Drill `json:"drill"`
	// Objectives with target, measured figure, margin and method.
	Objectives []Objective `json:"objectives"`
	// Checks in the order in which they were judged.
	Checks []Check `json:"checks"`
	// Phases and Marks are the timeline.
	Phases []Phase `json:"phases"`
	Marks  []Mark  `json:"marks"`
	// Claims are what the backup tool said of its own work, in order.
	Claims []Claim `json:"claims,omitempty"`
	// Steps are what was done within the phases, in order.
	Steps []Step `json:"steps,omitempty"`
	// Runbook is what was done to bring the cluster back, in the order in which it was begun. It is made of what was run, so that a person can do it
	// again by hand.
	Runbook []RunbookStep `json:"runbook,omitempty"`
	// RTO split by mark; absent when the service was not restored.
	RTO *RTO `json:"rto,omitempty"`
	// Ledger is the data-loss account; absent when the ledger could not be read.
	Ledger *Ledger `json:"ledger,omitempty"`
	// Layers above the first, each with the account of its own ledger.
	Layers []Layer `json:"layers,omitempty"`
	// Volumes are the bytes in PersistentVolumes; absent when the drill seeded none, or what is in them could not be compared.
	Volumes *Volumes `json:"volumes,omitempty"`
	// Fidelity is the comparison of the two censuses; absent when one is missing.
	Fidelity *Fidelity `json:"fidelity,omitempty"`
	// Dependencies is what the restored objects refer to; absent when a census is missing.
	Dependencies *Dependencies `json:"dependencies,omitempty"`
	// Access is what subjects may do now and could not before, or the reverse.
	Access []AccessDifference `json:"access,omitempty"`
	// Probes of the scenario.
	Probes []Probe `json:"probes,omitempty"`
	// Artifacts are the backups taken, oldest first.
	Artifacts []Artifact `json:"artifacts"`
	// Environment: versions and host.
	Environment Environment `json:"environment"`
	// Controls are those that the scenario names, with what this run supports evidence for, and what it does not show.
	Controls []Control `json:"controls,omitempty"`
	// Limits are what this provider and this run cannot show.
	Limits []string `json:"limits"`
	// Logs are the last lines of components that died or refused.
	Logs []LogExcerpt `json:"logs,omitempty"`
	// Scenario is the file, verbatim.
	Scenario string `json:"scenario"`
}

// Declared compares the outcome with the scenario's expectation.
type Declared struct {
	Tool       string            `json:"tool"`
	Verdict    Verdict           `json:"verdict"`
	Checks     map[string]string `json:"checks,omitempty"`
	AsDeclared bool              `json:"asDeclared"`
	// Mismatches says, one sentence each, what came out otherwise.
	Mismatches []string `json:"mismatches,omitempty"`
}

// Drill identifies a run.
type Drill struct {
	ID          string            `json:"id"`
	Scenario    string            `json:"scenario"`
	Description string            `json:"description,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	// Cadence in which the scenario is to be rehearsed; absent when it declares none.
	Cadence  string    `json:"cadence,omitempty"`
	Provider string    `json:"provider"`
	Method   string    `json:"method"`
	Faults   []string  `json:"faults"`
	Started  time.Time `json:"started"`
	// Seconds of wall time, provisioning to survey.
	Seconds float64 `json:"seconds"`
	// Version of restore-drill that ran it, and that judged it.
	RunBy    string `json:"runBy"`
	JudgedBy string `json:"judgedBy"`
}

// An Objective is a promise and what was measured of it.
type Objective struct {
	Name string `json:"name"`
	// Unit is s, writes, records (of the volume ledger) or profile: differences that the fidelity profile does not allow.
	Unit string `json:"unit"`
	// Target is absent when the scenario sets none; Measured is absent when it could not be measured.
	Target   *float64 `json:"target,omitempty"`
	Measured *float64 `json:"measured,omitempty"`
	Verdict  Verdict  `json:"verdict"`
	// Method says how the figure was got; Resolution is its error bound in Unit.
	Method     string   `json:"method"`
	Resolution *float64 `json:"resolution,omitempty"`
}

// Margin is what was left of the target, negative when it was missed. It is not known without both figures.
func (o Objective) Margin() (margin float64, known bool) {
	if o.Target == nil || o.Measured == nil {
		return 0, false
	}
	return *o.Target - *o.Measured, true
}

// A Check is one judged question.
type Check struct {
	Name string `json:"name"`
	// Title is the question in words.
	Title   string  `json:"title"`
	Verdict Verdict `json:"verdict"`
	// Reason is one sentence; for a skipped check, why.
	Reason   string    `json:"reason"`
	Findings []Finding `json:"findings,omitempty"`
	// Omitted counts findings beyond those listed.
	Omitted int `json:"omitted,omitempty"`
	// Next is what a person should do where the check did not pass and no finding says it.
	Next string `json:"next,omitempty"`
	// Evidence names the files of the run directory that were read.
	Evidence []string `json:"evidence,omitempty"`
}

// A Finding is one thing that a check saw.
type Finding struct {
	Verdict Verdict `json:"verdict"`
	// Subject is what it is about: an object, a writer, a mark.
	Subject string `json:"subject,omitempty"`
	Message string `json:"message"`
	// Next is what a person should do about it.
	Next string `json:"next,omitempty"`
}

// A Phase of the pipeline. Times are seconds since the drill began, on the monotonic clock.
type Phase struct {
	Name string `json:"name"`
	// OnTrial phases are the backup tool's own work: when one fails, the backup failed.
	OnTrial bool     `json:"onTrial,omitempty"`
	Verdict Verdict  `json:"verdict"`
	Start   *float64 `json:"start,omitempty"`
	End     *float64 `json:"end,omitempty"`
	Error   string   `json:"error,omitempty"`
}

// A Mark is an instant that matters to a measurement. A mark that was not reached is absent.
type Mark struct {
	Name string `json:"name"`
	// At in seconds since the drill began; Wall is the same instant on the wall clock.
	At   float64   `json:"at"`
	Wall time.Time `json:"wall"`
	// How it was seen, and the resolution of that in seconds.
	How        string  `json:"how"`
	Resolution float64 `json:"resolution"`
}

// A Claim is what the backup tool says of its own work. It is on trial: the checks say whether it is true.
type Claim struct {
	// Operation is backup or restore; Layer is the backup method, in a drill of several.
	Operation string `json:"operation"`
	Layer     string `json:"layer,omitempty"`
	// Says is its word for the outcome: completed, partially failed, failed, failed validation, missing or refused.
	Says string `json:"says"`
}

// A Step is one operation within a phase.
type Step struct {
	Phase string   `json:"phase"`
	Name  string   `json:"name"`
	Start float64  `json:"start"`
	End   *float64 `json:"end,omitempty"`
	// Detail is free text, without secrets.
	Detail string `json:"detail,omitempty"`
	Error  string `json:"error,omitempty"`
}

// A RunbookStep is one step of a restore. One without commands was waiting or looking.
type RunbookStep struct {
	Title string `json:"title"`
	// Detail says what it is for.
	Detail string   `json:"detail,omitempty"`
	Start  float64  `json:"start"`
	End    *float64 `json:"end,omitempty"`
	// Commands in the order in which they ended.
	Commands []Command `json:"commands,omitempty"`
	Error    string    `json:"error,omitempty"`
}

// A Command was run, on a machine of the cluster or on the one that the drill ran on. What it was given on its standard input is not in it.
type Command struct {
	Where   string `json:"where"`
	Command string `json:"command"`
}

// RTO is the recovery time and where it went.
type RTO struct {
	Seconds float64 `json:"seconds"`
	// Split holds consecutive intervals that add up to Seconds.
	Split []Interval `json:"split"`
	// Aside is the time between failure and recovery that is not counted: the drill broke the restored cluster again, for its next layer.
	Aside float64 `json:"aside,omitempty"`
}

// An Interval between two marks.
type Interval struct {
	From    string  `json:"from"`
	To      string  `json:"to"`
	Seconds float64 `json:"seconds"`
}

// Ledger is the account of acknowledged writes, in the terms of Jepsen's set checker.
type Ledger struct {
	Writers []Writer `json:"writers"`
	// Total over all writers.
	Total Writer `json:"total"`
	// RPO in seconds; absent when it could not be established.
	RPO *float64 `json:"rpo,omitempty"`
	// ByRevision is the second method: acknowledged writes above the artifact's revision, creates, updates and deletes; absent where the method has none.
	ByRevision *int `json:"byRevision,omitempty"`
	// Series is for the picture: writes a time bucket.
	Series []LedgerBucket `json:"series,omitempty"`
}

// Revisions is ByRevision, or 0 without a second method.
func (l Ledger) Revisions() int {
	if l.ByRevision == nil {
		return 0
	}
	return *l.ByRevision
}

// Agrees tells that there is a second method and that it counts the same writes that are not in effect: lost ones, and deletes that came back.
func (l Ledger) Agrees() bool {
	return l.ByRevision != nil && *l.ByRevision == l.Total.Lost+l.Total.Resurrected
}

// A Layer is a backup that was restored above another.
type Layer struct {
	Method string `json:"method"`
	// Namespace that its ledger wrote into.
	Namespace string `json:"namespace"`
	// Ledger is the account of those writes; absent when it could not be read.
	Ledger *Ledger `json:"ledger,omitempty"`
}

// A Writer is one sequential chain of one durability class.
type Writer struct {
	Class        string `json:"class"`
	Attempted    int    `json:"attempted"`
	Acknowledged int    `json:"acknowledged"`
	// InDoubt writes timed out, were reset or got a 5xx: neither lost nor kept.
	InDoubt int `json:"inDoubt"`
	// Refused writes got a definite 4xx.
	Refused int `json:"refused"`
	// Lost = acknowledged and not there. Resurrected = deleted, acknowledged, and there again.
	Lost        int `json:"lost"`
	Resurrected int `json:"resurrected"`
	// Unexpected is there and was never attempted, or has another value. Recovered was in doubt and is there.
	Unexpected int `json:"unexpected"`
	Recovered  int `json:"recovered"`
	// Holes are lost writes older than a surviving one of the same chain.
	Holes int `json:"holes"`
	// RatePerSecond before the failure, and the rate that was asked for.
	RatePerSecond float64 `json:"ratePerSecond"`
	WantPerSecond float64 `json:"wantPerSecond"`
	// RPO of this class in seconds.
	RPO *float64 `json:"rpo,omitempty"`
}

// A LedgerBucket counts the writes acknowledged in one slice of time, by their fate.
type LedgerBucket struct {
	Start       float64 `json:"start"`
	Seconds     float64 `json:"seconds"`
	Kept        int     `json:"kept"`
	Lost        int     `json:"lost"`
	Resurrected int     `json:"resurrected"`
	InDoubt     int     `json:"inDoubt"`
}

// Volumes are the claims that the drill seeded, each with a volume, and what became of the bytes in them.
type Volumes struct {
	Claims []VolumeClaim `json:"claims"`
	// Restored counts the claims that passed, and Empty those whose volume holds nothing any more.
	Restored int `json:"restored"`
	Empty    int `json:"empty"`
	// Files of all volumes but the volume ledger's; absent when those of one could not be compared, for what it lost is not known.
	Files *VolumeFiles `json:"files,omitempty"`
	// Records of the volume ledger; absent when they could not be compared.
	Records *VolumeRecords `json:"records,omitempty"`
}

// A VolumeClaim is a PersistentVolumeClaim by what came back of it.
type VolumeClaim struct {
	Namespace string  `json:"namespace"`
	Name      string  `json:"name"`
	Verdict   Verdict `json:"verdict"`
	// Reason is one sentence.
	Reason string `json:"reason"`
	// Empty: its volume is there, and nothing is in it.
	Empty bool `json:"empty,omitempty"`
	// Files in its volume; absent when they could not be compared, and where the volume ledger lies.
	Files *VolumeFiles `json:"files,omitempty"`
}

// VolumeFiles counts files, compared by their SHA-256.
type VolumeFiles struct {
	// Before the failure and After the restore. The empty files by which Velero marks a volume are none of them.
	Before int `json:"before"`
	After  int `json:"after"`
	// Lost files are not there, or their claim or volume is not; Changed ones have other bytes; Extra ones were written by nobody.
	Lost    int `json:"lost"`
	Changed int `json:"changed"`
	Extra   int `json:"extra"`
}

// VolumeRecords is the account of the volume ledger, whose numbered records count once they are on disk.
type VolumeRecords struct {
	// Acknowledged before the failure, and Lost of those.
	Acknowledged int `json:"acknowledged"`
	Lost         int `json:"lost"`
	// RPO of the volumes, in seconds: from the newest record up to which nothing is missing to the failure; absent when not even the first is there.
	RPO *float64 `json:"rpo,omitempty"`
}

// Fidelity compares the census before with the census after.
type Fidelity struct {
	Profile string `json:"profile"`
	// Before and After name what was compared.
	Before CensusInfo `json:"before"`
	After  CensusInfo `json:"after"`
	Kinds  []KindRow  `json:"kinds"`
	// Differences, unexpected ones first; Omitted counts those beyond the listed.
	Differences []Difference `json:"differences,omitempty"`
	Omitted     int          `json:"omitted,omitempty"`
}

// CensusInfo says what a census is of.
type CensusInfo struct {
	Objects int `json:"objects"`
	// Revision of the store at which it was read, as the API calls it: resourceVersion.
	Revision string `json:"revision,omitempty"`
	How      string `json:"how"`
	Complete bool   `json:"complete"`
}

// A KindRow counts one resource.
type KindRow struct {
	// Resource is group/version resource, for example apps/v1 deployments or v1 secrets.
	Resource string `json:"resource"`
	Before   int    `json:"before"`
	After    int    `json:"after"`
	Equal    int    `json:"equal"`
	Lost     int    `json:"lost"`
	Extra    int    `json:"extra"`
	Changed  int    `json:"changed"`
	Expected int    `json:"expected"`
}

// A Difference of one object. Class is lost, extra, changed or expected.
type Difference struct {
	Class     string `json:"class"`
	Resource  string `json:"resource"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// Rule and Because say why an expected difference is allowed.
	Rule    string        `json:"rule,omitempty"`
	Because string        `json:"because,omitempty"`
	Fields  []FieldChange `json:"fields,omitempty"`
}

// A FieldChange of an object; Path is a JSON pointer (RFC 6901). Secret values are keyed digests.
type FieldChange struct {
	Path   string `json:"path"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
	// Class is lost (only before), extra (only after) or changed; Rule names the profile rule that allows it.
	Class string `json:"class"`
	Rule  string `json:"rule,omitempty"`
}

// Dependencies is what the objects of the restored cluster refer to, and what of it is missing.
type Dependencies struct {
	// Objects and their References; an Optional reference may lead to nothing.
	Objects    int `json:"objects"`
	References int `json:"references"`
	Optional   int `json:"optional"`
	// Missing objects, those first that the restore has to answer for; MissingBefore counts those that were missing before it as well.
	Missing        []MissingObject `json:"missing,omitempty"`
	MissingOmitted int             `json:"missingOmitted,omitempty"`
	MissingBefore  int             `json:"missingBefore"`
	// Kinds counts the references of one kind to another.
	Kinds        []KindPair `json:"kinds"`
	KindsOmitted int        `json:"kindsOmitted,omitempty"`
	// Waves are the shortest order in which each object finds what it refers to.
	Waves        []RestoreWave `json:"waves"`
	WavesOmitted int           `json:"wavesOmitted,omitempty"`
	// Cycles are objects that need one another, so that one has to go first.
	Cycles        []Cycle `json:"cycles,omitempty"`
	CyclesOmitted int     `json:"cyclesOmitted,omitempty"`
	// Groups are for the picture: the objects of one kind in one namespace that refer, or are referred to, beyond their namespace.
	Groups        []DependencyGroup `json:"groups,omitempty"`
	GroupsOmitted int               `json:"groupsOmitted,omitempty"`
	// Links between Groups, the strongest first.
	Links        []DependencyLink `json:"links,omitempty"`
	LinksOmitted int              `json:"linksOmitted,omitempty"`
}

// An Object by name. Kind has its group behind it where that is not one of Kubernetes' own: Deployment, Widget.shop.example.com.
type Object struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

func (o Object) String() string {
	if o.Namespace == "" {
		return o.Kind + " " + o.Name
	}
	return o.Kind + " " + o.Namespace + "/" + o.Name
}

// A MissingObject is one that others refer to and do not find.
type MissingObject struct {
	Object
	// State is absent, replaced (another object of that name, by its UID) or unseen (its resource could not be read).
	State string `json:"state"`
	// Since is lost (it was there before the failure), before (it was missing then as well), new (neither it nor a reference to it was there) or undetermined.
	Since string `json:"since"`
	// Referrers are counted, and the first of them listed.
	Referrers int        `json:"referrers"`
	By        []Referrer `json:"by"`
}

// A Referrer names another object in one of its fields.
type Referrer struct {
	Object
	Via string `json:"via"`
}

// A KindPair counts the references of one kind to another.
type KindPair struct {
	From       string `json:"from"`
	To         string `json:"to"`
	References int    `json:"references"`
	Optional   int    `json:"optional"`
	// Missing references lead to nothing since the restore, MissingBefore did so before it.
	Missing       int `json:"missing"`
	MissingBefore int `json:"missingBefore"`
}

// A RestoreWave holds objects that need only those of earlier waves.
type RestoreWave struct {
	Objects int `json:"objects"`
	// Kinds counts them by kind.
	Kinds map[string]int `json:"kinds"`
}

// A Cycle of objects that need one another.
type Cycle struct {
	Objects []Object `json:"objects"`
	Omitted int      `json:"omitted,omitempty"`
}

// A DependencyGroup is what there is of one kind in one namespace.
type DependencyGroup struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Objects   int    `json:"objects"`
	// Wave of the last of them, counted from 1.
	Wave int `json:"wave"`
}

// A DependencyLink counts the references of one group to another; both are positions in Groups.
type DependencyLink struct {
	From       int `json:"from"`
	To         int `json:"to"`
	References int `json:"references"`
}

// An AccessDifference is a privilege lost or gained.
type AccessDifference struct {
	Subject   string `json:"subject"`
	Namespace string `json:"namespace,omitempty"`
	// Change is lost or gained.
	Change string `json:"change"`
	Rule   string `json:"rule"`
}

// A Probe of the scenario and its last answer.
type Probe struct {
	Name    string  `json:"name"`
	Verdict Verdict `json:"verdict"`
	Detail  string  `json:"detail"`
	// At is when it first passed, in seconds since the drill began.
	At       *float64 `json:"at,omitempty"`
	Attempts int      `json:"attempts"`
	// History is what it answered, of both clusters; HistoryOmitted counts the entries beyond those listed, which are the newest.
	History        []ProbeAnswer `json:"history,omitempty"`
	HistoryOmitted int           `json:"historyOmitted,omitempty"`
}

// A ProbeAnswer is an answer of a probe, and those like it that followed at once.
type ProbeAnswer struct {
	// Cluster that was asked: source or restored.
	Cluster string `json:"cluster"`
	Passed  bool   `json:"passed"`
	Detail  string `json:"detail"`
	// From the first to the last of them, in seconds since the drill began.
	From     float64 `json:"from"`
	To       float64 `json:"to"`
	Attempts int     `json:"attempts"`
}

// An Artifact is a finished backup.
type Artifact struct {
	Name   string    `json:"name"`
	Method string    `json:"method"`
	Taken  time.Time `json:"taken"`
	// Seconds that taking it took.
	Seconds float64 `json:"seconds"`
	// Bytes of all its files; SHA256 is that of the largest.
	Bytes  int64          `json:"bytes"`
	SHA256 string         `json:"sha256"`
	Files  []ArtifactFile `json:"files,omitempty"`
	// Facts of the method: revision, cluster ID, keys ...
	Facts map[string]string `json:"facts,omitempty"`
	// Restored marks the one that was brought back.
	Restored bool `json:"restored,omitempty"`
}

// An ArtifactFile with its digest, as recorded when the backup was taken.
type ArtifactFile struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Environment of the run.
type Environment struct {
	// Versions of the components, as each said of itself.
	Versions map[string]string `json:"versions"`
	OS       string            `json:"os"`
	Arch     string            `json:"arch"`
	CPUs     int               `json:"cpus"`
	// MemoryBytes of the host.
	MemoryBytes int64 `json:"memoryBytes"`
	// Facts: file system of the state directory, fsync, CI ...
	Facts map[string]string `json:"facts,omitempty"`
}

// A LogExcerpt is the tail of a component's log.
type LogExcerpt struct {
	Component string   `json:"component"`
	Lines     []string `json:"lines"`
}

// A Control of a framework, such as SOC 2, that the scenario names. The run supports evidence for statements about it; whether the control is
// met is for an auditor to say.
type Control struct {
	ID        string `json:"id"`
	Framework string `json:"framework"`
	// Source is the edition of the framework that the mapping was made for.
	Source string `json:"source"`
	Title  string `json:"title"`
	// Supports are the statements that this run supports evidence for; none unless the drill passed.
	Supports []ControlStatement `json:"supports"`
	// NotSupported are the others, each with the reason.
	NotSupported []ControlStatement `json:"notSupported"`
	// DoesNotShow is what belongs to the control, and no drill can show.
	DoesNotShow []string `json:"doesNotShow"`
}

// A ControlStatement is something that a run can be evidence for.
type ControlStatement struct {
	// ID is the control's and the number of the statement in our mapping: soc2:A1.2/1.
	ID   string `json:"id"`
	Says string `json:"says"`
	// Checks that it rests on.
	Checks []string `json:"checks"`
	// Because says why it is not supported; empty when it is.
	Because string `json:"because,omitempty"`
}
