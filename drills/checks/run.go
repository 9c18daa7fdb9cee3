package checks

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/restore-drill/restore-drill/internal/census"
	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/internal/graph"
	"github.com/restore-drill/restore-drill/internal/ledger"
	"github.com/restore-drill/restore-drill/reports"
	"github.com/restore-drill/restore-drill/scenarios"
)

// A Run is a run directory, opened for reading.
type Run struct {
	// Dir is its path.
	Dir string
	// Scenario as run, with its defaults filled in; Text is its file, verbatim.
	Scenario *scenarios.Scenario
	Text     []byte
	Header   evidence.Header
	// Events of the timeline. What is wrong with it is in Timeline; a torn end leaves the events before it.
	Events   []evidence.Event
	Timeline error

	phases     []phase
	artifacts  []artifact
	objectives map[string]reports.Objective
	accounted  *account
	surveys    map[string]*survey
}

// A phase as the timeline has it.
type phase struct {
	name       string
	start, end *evidence.Event
}

// An artifact as its own artifact.json describes it.
type artifact struct {
	Name     string    `json:"name"`
	Method   string    `json:"method"`
	Taken    time.Time `json:"taken"`
	Seconds  float64   `json:"seconds"`
	Revision int64     `json:"revision"`
	Window   *struct {
		From int64 `json:"from"`
		To   int64 `json:"to"`
	} `json:"window"`
	// Files lie in the run directory, Objects in a store.
	Files   map[string]artifactFile `json:"files"`
	Objects map[string]artifactFile `json:"objects"`
	Facts   map[string]string       `json:"facts"`
}

type artifactFile struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// read is the revision at which the census that goes with the artifact is taken; 0 for none.
func (a artifact) read() int64 {
	if a.Window != nil {
		return a.Window.To
	}
	return a.Revision
}

// Open reads what every check needs. The error says that dir is no run directory at all; what is wrong with its evidence is for the
// checks to say.
func Open(dir string) (*Run, error) {
	header, err := evidence.ReadHeader(dir)
	if err != nil {
		return nil, fmt.Errorf("open run directory %s: %w", dir, err)
	}
	if err := evidence.CheckSeal(dir); err != nil {
		return nil, fmt.Errorf("open run directory %s: %w", dir, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, evidence.ScenarioFile))
	if err != nil {
		return nil, fmt.Errorf("open run directory %s: %w", dir, err)
	}
	// Any name will do: the drill was run, so its faults were known to whoever ran it.
	scenario, err := scenarios.Parse(filepath.Join(dir, evidence.ScenarioFile), text, scenarios.Vocabulary{})
	if err != nil {
		return nil, fmt.Errorf("open run directory: %w", err)
	}
	run := &Run{Dir: dir, Scenario: scenario, Text: text, Header: header, objectives: map[string]reports.Objective{}, surveys: map[string]*survey{}}
	run.Events, run.Timeline = evidence.ReadTimeline(dir)
	run.readPhases()
	return run, run.readArtifacts()
}

func (run *Run) readPhases() {
	names := slices.Clone(evidence.Phases)
	for i := range run.Events {
		if e := &run.Events[i]; e.Kind == evidence.PhaseStarted && !slices.Contains(names, e.Name) {
			names = append(names, e.Name)
		}
	}
	for _, name := range names {
		p := phase{name: name}
		for i := range run.Events {
			switch e := &run.Events[i]; {
			case e.Name != name:
			case e.Kind == evidence.PhaseStarted && p.start == nil:
				p.start = e
			case e.Kind == evidence.PhaseEnded && p.start != nil && p.end == nil:
				p.end = e
			}
		}
		run.phases = append(run.phases, p)
	}
}

// verdict of a phase, with a reason where that is not passed. A phase that never began after another went wrong is skipped.
func (run *Run) verdict(p phase) (reports.Verdict, string) {
	switch {
	case p.start == nil && p.name != evidence.PhaseTeardown && run.stopped() != nil:
		return reports.Skipped, fmt.Sprintf("phase %s did not take place: phase %s failed", p.name, run.stopped().name)
	case p.start == nil:
		return reports.Unknown, fmt.Sprintf("phase %s did not take place", p.name)
	case p.end == nil:
		return reports.Unknown, fmt.Sprintf("phase %s did not end: the drill was interrupted in it", p.name)
	case p.end.Error == "":
		return reports.Passed, ""
	case p.name == evidence.PhaseSurvey && run.stopped() != nil && run.stopped().name == evidence.PhaseRestore:
		return reports.Skipped, fmt.Sprintf("what the restore left behind could not be surveyed: %s", firstLine(p.end.Error))
	case p.end.Blame == evidence.BlameTool && evidence.OnTrial(p.name):
		return reports.Failed, fmt.Sprintf("phase %s failed: %s", p.name, firstLine(p.end.Error))
	}
	return reports.Unknown, fmt.Sprintf("phase %s broke: %s", p.name, firstLine(p.end.Error))
}

// stopped is the phase whose error ended the drill before its time; nil when there is none.
func (run *Run) stopped() *phase {
	for i, p := range run.phases {
		if p.end != nil && p.end.Error != "" && p.name != evidence.PhaseTeardown {
			return &run.phases[i]
		}
	}
	return nil
}

// interrupted says in words that the timeline has no end; empty when it has.
func (run *Run) interrupted() string {
	switch n := len(run.Events); {
	case run.Timeline != nil && !errors.Is(run.Timeline, evidence.ErrTorn):
		return unread(evidence.TimelineFile, run.Timeline)
	case run.Timeline != nil || n == 0 || run.Events[n-1].Kind != evidence.DrillEnded:
		for _, p := range slices.Backward(run.phases) {
			if p.start != nil && p.end == nil {
				return fmt.Sprintf("the drill was interrupted in phase %s: its timeline has no end", p.name)
			}
		}
		return "the drill was interrupted: its timeline has no end"
	}
	return ""
}

// broke says what, other than the tool's own work, went wrong before the teardown, so that what was seen later proves nothing;
// empty when nothing did.
func (run *Run) broke() string {
	for _, p := range run.phases {
		if p.name == evidence.PhaseTeardown || p.start == nil {
			continue
		}
		if v, reason := run.verdict(p); v == reports.Unknown {
			return reason
		}
	}
	for _, e := range run.Events {
		if e.Kind != evidence.PhaseEnded && e.Phase != evidence.PhaseTeardown && e.Blame == evidence.BlameHarness && e.Error != "" {
			return fmt.Sprintf("the drill broke: %s", firstLine(e.Error))
		}
	}
	return cmp.Or(run.unstruck(), run.interrupted())
}

// unstruck says that a fault of the scenario was not injected, though no phase failed; empty when all were, or when the drill stopped before its
// time. What was then restored shows nothing of that fault.
func (run *Run) unstruck() string {
	if run.stopped() != nil || run.interrupted() != "" {
		return ""
	}
	injected := map[string]int{}
	for _, e := range run.Events {
		if name, ok := strings.CutPrefix(e.Name, evidence.StepInject); ok && e.Kind == evidence.StepEnded && e.Error == "" {
			injected[strings.TrimPrefix(name, strings.TrimPrefix(evidence.StepInjectMeanwhile, evidence.StepInject))]++
		}
	}
	for _, f := range run.Scenario.Spec.Faults {
		if injected[f.Name]--; injected[f.Name] < 0 {
			return fmt.Sprintf("fault %s was never injected: the drill proves nothing", f.Name)
		}
	}
	return ""
}

// notRestored says that the tool brought no cluster back that was looked at; empty when it did.
func (run *Run) notRestored() string {
	for _, p := range run.phases {
		if p.name == evidence.PhaseSurvey && p.end != nil && p.end.Error == "" {
			return ""
		}
	}
	for _, p := range run.phases {
		if v, reason := run.verdict(p); v == reports.Failed {
			return "there is no restored cluster to judge: " + reason
		}
	}
	return ""
}

// mark is the first one of that name, at or after another time.
func (run *Run) mark(name string, from time.Duration) (evidence.Event, bool) {
	for _, e := range run.Events {
		if e.Kind == evidence.MarkReached && e.Name == name && e.At >= from {
			return e, true
		}
	}
	return evidence.Event{}, false
}

// claim is what the tool last said of its backup or restore; of several layers, the worst, and of those the first.
func (run *Run) claim(name string) (claim evidence.Event, said bool) {
	layers := map[string]bool{}
	for _, e := range slices.Backward(run.Events) {
		if e.Kind != evidence.Claim || e.Name != name || layers[e.Layer] {
			continue
		}
		layers[e.Layer] = true
		if !said || gravity(e.Detail) > 0 && gravity(e.Detail) >= gravity(claim.Detail) {
			claim, said = e, true
		}
	}
	return claim, said
}

// gravity of a claim: a layer that was not restored is worse than one that was in part.
func gravity(claim string) int {
	switch claim {
	case evidence.Completed:
		return 0
	case evidence.PartiallyFailed:
		return 1
	}
	return 2
}

// restoresStore tells whether the store itself came back, with its UIDs and revisions, or objects were made anew.
func (run *Run) restoresStore() bool { return run.Scenario.Spec.Backup.Method == "etcd" }

// inPlace tells whether the backup went back into the cluster that it was taken of.
func (run *Run) inPlace() bool { return run.Scenario.Spec.Restore.Into == scenarios.IntoSource }

// remade says why a check of the store that came back does not apply; empty when it does.
func (run *Run) remade() string {
	if run.restoresStore() {
		return ""
	}
	return fmt.Sprintf("the method %s does not bring the store back: it makes the objects anew", run.Scenario.Spec.Backup.Method)
}

func (run *Run) readArtifacts() error {
	entries, err := os.ReadDir(filepath.Join(run.Dir, evidence.ArtifactsDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("list artifacts: %w", err)
	}
	for _, e := range entries {
		a, err := evidence.ReadJSON[artifact](run.Dir, filepath.Join(evidence.ArtifactsDir, e.Name(), "artifact.json"))
		if err != nil {
			// One that was not finished, or was moved away.
			continue
		}
		if a.Name == "" {
			a.Name = e.Name()
		}
		run.artifacts = append(run.artifacts, a)
	}
	slices.SortStableFunc(run.artifacts, func(a, b artifact) int { return a.Taken.Compare(b.Taken) })
	return nil
}

// restored is the artifact that was brought back, that of the first layer. The error says why that is not known.
func (run *Run) restored() (artifact, error) {
	var chosen string
	for _, e := range run.Events {
		if e.Kind == evidence.ArtifactChosen && (e.Layer == "" || e.Layer == run.Scenario.Spec.Backup.Method) {
			chosen = e.Name
		}
	}
	if chosen != "" {
		for _, a := range run.artifacts {
			if a.Name == chosen {
				return a, nil
			}
		}
		return artifact{}, fmt.Errorf("the restored artifact, %s, has no readable artifact.json", chosen)
	}
	switch len(run.artifacts) {
	case 0:
		return artifact{}, errors.New("no artifact has a readable artifact.json")
	case 1:
		return run.artifacts[0], nil
	}
	// Several artifacts: the snapshot that was compared with the restored store is the one it came from.
	if store, err := evidence.ReadJSON[evidence.StoreComparison](run.Dir, evidence.StoreFile); err == nil && store.BeforeRevision != 0 {
		for _, a := range run.artifacts {
			if a.Revision == store.BeforeRevision {
				return a, nil
			}
		}
	}
	return artifact{}, fmt.Errorf("the timeline does not say which of %s was restored", counted(len(run.artifacts), "artifact"))
}

// lacks says which of the files is no evidence, and why; empty when all are whole. A torn end of the timeline or of the ledger is
// judged by those who read them.
func (run *Run) lacks(needs []string) string {
	var all []string
	for _, name := range needs {
		var err error
		switch {
		case name == evidence.TimelineFile:
			if err = run.Timeline; errors.Is(err, evidence.ErrTorn) {
				err = nil
			}
		case strings.HasSuffix(name, ".zst"):
			err = run.survey(name).err
		case strings.HasSuffix(name, ".jsonl"):
			if _, err = evidence.ReadLines[json.RawMessage](run.Dir, name); name == evidence.LedgerFile && errors.Is(err, evidence.ErrTorn) {
				err = nil
			}
		default:
			_, err = evidence.ReadJSON[json.RawMessage](run.Dir, name)
		}
		if err != nil {
			all = append(all, run.local(unread(name, err)))
		}
	}
	return strings.Join(all, "; ")
}

// local spells paths in the run directory from there: a report does not depend on where it was judged.
func (run *Run) local(message string) string {
	return strings.ReplaceAll(message, run.Dir+string(filepath.Separator), "")
}

// An account is the ledger's, with the second method's answer.
type account struct {
	ledger.Account
	// err says why there is none.
	err error
	// torn is set when the ledger's last line is.
	torn bool
	// byRevision counts the acknowledged writes above the restored artifact's revision; nil where that has none.
	byRevision    *int
	disagreements []ledger.Disagreement
	// spread of the classes, where the artifact was not taken at one revision; nil where it was.
	spread *ledger.Spread
}

// account of the drill's own ledger.
func (run *Run) account() *account {
	if run.accounted == nil {
		run.accounted = run.accountOf(run.ledgers()[0])
	}
	return run.accounted
}

func (run *Run) accountOf(l ledgerEvidence) *account {
	a := &account{}
	a.err = run.readAccount(a, l)
	return a
}

func (run *Run) readAccount(a *account, l ledgerEvidence) error {
	struck, ok := run.mark(evidence.MarkStruck, 0)
	if !ok {
		return errors.New("the failure was never seen: without the mark struck no write is before or after it")
	}
	records, err := evidence.ReadLines[ledger.Record](run.Dir, l.records)
	if a.torn = errors.Is(err, evidence.ErrTorn); err != nil && !a.torn {
		return err
	}
	survivors, err := evidence.ReadLines[ledger.Survivor](run.Dir, l.survivors)
	if err != nil {
		return err
	}
	// Without the mark, what the failure did to the writers before it was visible counts against them.
	failure := ledger.Failure{Began: struck.At, Struck: struck.At}
	if began, ok := run.mark(evidence.MarkFaultBegan, 0); ok {
		failure.Began = began.At
	}
	if a.Account, err = ledger.Analyse(records, survivors, failure); err != nil {
		return err
	}
	restored, err := run.restored()
	if err != nil {
		return err
	}
	if restored.Revision > 0 && l.layer == "" && !run.unreplaced() {
		disagreements, above := a.Reconcile(restored.Revision)
		a.disagreements, a.byRevision = disagreements, &above
	}
	if restored.Window != nil && l.layer == "" {
		spread := a.Spread(restored.Window.From, restored.Window.To)
		a.spread = &spread
	}
	return nil
}

// A survey is what one pass over a census file tells.
type survey struct {
	err       error
	head      census.Head
	tail      census.Tail
	resources map[string]*count
	workloads []workload
	graph     *graph.Graph
}

// A count of the objects of one resource.
type count struct {
	label   string
	objects int
}

// survey reads a census file once, to its end.
func (run *Run) survey(name string) *survey {
	if s := run.surveys[name]; s != nil {
		return s
	}
	s := &survey{resources: map[string]*count{}, graph: graph.New()}
	run.surveys[name] = s
	s.err = s.read(filepath.Join(run.Dir, name))
	return s
}

func (s *survey) read(path string) error {
	r, err := census.Open(path)
	if err != nil {
		return err
	}
	defer r.Close()
	s.head = r.Head()
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			s.tail = r.Tail()
			s.graph.Close(s.tail)
			return nil
		}
		if err != nil {
			return err
		}
		resource := resourceOf(e.Key)
		if s.resources[resource] == nil {
			s.resources[resource] = &count{label: label(resource, e.Version)}
		}
		s.resources[resource].objects++
		s.graph.Add(&e)
		if w, ok := readWorkload(&e); ok {
			s.workloads = append(s.workloads, w)
		}
	}
}

// resourceOf a census key: group/resource, the group empty for the core.
func resourceOf(key string) string {
	parts := strings.SplitN(key, "/", 3)
	if len(parts) < 2 {
		return key
	}
	return parts[0] + "/" + parts[1]
}

// label of a resource for the report: v1 secrets, apps/v1 deployments.
func label(resource, version string) string {
	group, plural, _ := strings.Cut(resource, "/")
	if i := strings.LastIndex(version, "/"); i >= 0 {
		version = version[i+1:]
	}
	if group != "" && group != "core" {
		version = group + "/" + version
	}
	return version + " " + plural
}

// firstLine of an error, without what follows (a stack, a log).
func firstLine(s string) string {
	line, _, more := strings.Cut(strings.TrimSpace(s), "\n")
	if more {
		line += " ..."
	}
	return line
}

// since orders events by time.
func since(a, b evidence.Event) int { return cmp.Compare(a.At, b.At) }
