package checks

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/reports"
	"github.com/restore-drill/restore-drill/scenarios"
)

// Judge reads the run directory, runs every check over it, and assembles the report. It writes nothing, and gives the same report
// each time. Version is that of the program that judges. The error says that dir is no run directory.
func Judge(dir, version string) (*reports.Report, error) {
	run, err := Open(dir)
	if err != nil {
		return nil, err
	}
	r := &reports.Report{
		Schema: reports.SchemaVersion, Objectives: []reports.Objective{}, Checks: []reports.Check{},
		Drill: run.drill(version), Phases: run.reportPhases(), Marks: run.marks(), Claims: run.claims(), Steps: run.steps(), Runbook: run.runbook(), Artifacts: run.reportArtifacts(),
		Environment: reports.Environment{
			Versions: run.Header.Versions, OS: run.Header.OS, Arch: run.Header.Arch,
			CPUs: run.Header.CPUs, MemoryBytes: run.Header.MemoryBytes, Facts: run.Header.Facts,
		},
		Limits: append(slices.Clone(run.Header.Limits),
			"The digests of the artifacts are those recorded when they were taken: judging does not read the artifacts."),
		Logs: run.logs(), Scenario: string(run.Text),
	}
	for _, check := range All() {
		r.Checks = append(r.Checks, check.judge(run, r))
	}
	r.Objectives = run.reportObjectives(r.Checks)
	run.conclude(r)
	r.Controls = reports.MapControls(r, run.Scenario.Spec.Controls)
	r.Declared = run.declared(r)
	return r, nil
}

func (run *Run) drill(version string) reports.Drill {
	spec := run.Scenario.Spec
	d := reports.Drill{
		ID: run.Header.ID, Scenario: run.Header.Scenario, Description: spec.Description, Labels: run.Scenario.Metadata.Labels, Cadence: spec.Cadence,
		Provider: run.Header.Provider, Method: spec.Backup.Method, Faults: []string{},
		Started: run.Header.Started, RunBy: run.Header.RunBy, JudgedBy: version,
	}
	for _, f := range spec.Faults {
		d.Faults = append(d.Faults, f.Name)
	}
	for _, e := range run.Events {
		if e.Phase != evidence.PhaseTeardown && e.Kind != evidence.DrillEnded {
			d.Seconds = max(d.Seconds, e.At.Seconds())
		}
	}
	return d
}

func (run *Run) reportPhases() []reports.Phase {
	all := []reports.Phase{}
	for _, p := range run.phases {
		phase := reports.Phase{Name: p.name, OnTrial: evidence.OnTrial(p.name)}
		phase.Verdict, phase.Error = run.verdict(p)
		if p.start != nil {
			phase.Start, phase.Error = seconds(p.start.At), ""
		}
		if p.end != nil {
			phase.End, phase.Error = seconds(p.end.At), p.end.Error
		}
		all = append(all, phase)
	}
	return all
}

func (run *Run) marks() []reports.Mark {
	all := []reports.Mark{}
	for _, e := range run.Events {
		if e.Kind == evidence.MarkReached {
			all = append(all, reports.Mark{Name: e.Name, At: e.At.Seconds(), Wall: e.Wall, How: e.Detail, Resolution: e.Resolution.Seconds()})
		}
	}
	return all
}

func (run *Run) claims() (all []reports.Claim) {
	for _, e := range run.Events {
		if e.Kind == evidence.Claim {
			all = append(all, reports.Claim{Operation: e.Name, Layer: e.Layer, Says: e.Detail})
		}
	}
	return all
}

// steps pairs the beginnings and ends of a phase's operations. Those that run beside each other have different names.
func (run *Run) steps() (all []reports.Step) {
	for _, e := range run.Events {
		switch e.Kind {
		case evidence.StepStarted:
			all = append(all, reports.Step{Phase: e.Phase, Name: e.Name, Start: e.At.Seconds(), Detail: e.Detail})
		case evidence.StepEnded:
			i := slices.IndexFunc(all, func(s reports.Step) bool { return s.Phase == e.Phase && s.Name == e.Name && s.End == nil })
			if i >= 0 {
				all[i].End, all[i].Error = seconds(e.At), e.Error
			}
		}
	}
	return all
}

func (run *Run) reportArtifacts() []reports.Artifact {
	restored, err := run.restored()
	chosen := map[string]bool{restored.Name: err == nil}
	for _, e := range run.Events {
		if e.Kind == evidence.ArtifactChosen && e.Layer != "" {
			chosen[e.Name] = true
		}
	}
	_, begun := run.mark(evidence.MarkRestoreStarted, 0)
	all := []reports.Artifact{}
	for _, a := range run.artifacts {
		out := reports.Artifact{
			Name: a.Name, Method: a.Method, Taken: a.Taken, Seconds: a.Seconds, Facts: map[string]string{},
			Restored: begun && chosen[a.Name],
		}
		maps.Copy(out.Facts, a.Facts)
		if a.Revision > 0 {
			out.Facts["revision"] = fmt.Sprint(a.Revision)
		}
		var largest int64 = -1
		files := maps.Clone(a.Files)
		if files == nil {
			files = map[string]artifactFile{}
		}
		maps.Copy(files, a.Objects)
		for _, name := range slices.Sorted(maps.Keys(files)) {
			f := files[name]
			out.Bytes += f.Bytes
			out.Files = append(out.Files, reports.ArtifactFile{Name: name, Bytes: f.Bytes, SHA256: f.SHA256})
			if f.Bytes > largest {
				largest, out.SHA256, out.Facts["digest of"] = f.Bytes, f.SHA256, name
			}
		}
		all = append(all, out)
	}
	return all
}

// reportObjectives lists each with its target, whether it could be measured or not. One without a target is not judged.
func (run *Run) reportObjectives(judged []reports.Check) []reports.Objective {
	set := run.Scenario.Spec.Objectives
	verdict := map[string]reports.Verdict{}
	for _, c := range judged {
		verdict[c.Name] = c.Verdict
	}
	all := []reports.Objective{}
	// The checks of writes and of volumes judge two of them, each by itself.
	for _, o := range []struct{ name, unit, check string }{
		{"rto", "s", "rto"}, {"rpo", "s", "rpo"}, {"lost writes", "writes", "rpo"}, {"fidelity", "profile", "fidelity"},
		{"volume rpo", "s", "volumes"}, {"lost records", "records", "volumes"},
	} {
		if o.check == "volumes" && run.Scenario.Spec.Seed.Volumes == nil {
			continue
		}
		out := run.objectives[o.name]
		out.Name, out.Unit = o.name, o.unit
		switch o.name {
		case "rto":
			if set.RTO != nil {
				out.Target = seconds(set.RTO.Duration)
			}
		case "rpo", "volume rpo":
			if set.RPO != nil {
				out.Target = seconds(set.RPO.Duration)
			}
		case "lost writes":
			if set.LostWrites != nil {
				out.Target = number(*set.LostWrites)
			}
		case "fidelity":
			if set.Fidelity != "" {
				out.Target = number(0)
			}
		}
		switch check := verdict[o.check]; {
		case out.Target == nil:
			out.Verdict = reports.Skipped
		case o.check != "rpo" && o.check != "volumes" || check == reports.Skipped || check == reports.Unknown && out.Verdict == reports.Failed:
			out.Verdict = check
		}
		if out.Method == "" {
			out.Method = "not measured"
		}
		all = append(all, out)
	}
	return all
}

// conclude settles the verdict and says why in one sentence.
func (run *Run) conclude(r *reports.Report) {
	var verdicts []reports.Verdict
	for _, c := range r.Checks {
		verdicts = append(verdicts, c.Verdict)
	}
	r.Verdict = reports.Worst(verdicts...)
	if why := run.interrupted(); why != "" {
		r.Verdict, r.Reason = reports.Unknown, why
		return
	}
	if r.Verdict == reports.Passed {
		r.Reason = run.praise(r)
		return
	}
	more := -1
	for _, c := range r.Checks {
		if c.Verdict == r.Verdict {
			if more++; more == 0 {
				r.Reason = c.Name + ": " + c.Reason
			}
		}
	}
	if more > 0 {
		r.Reason += fmt.Sprintf(" (and %s %s)", counted(more, "more check"), r.Verdict)
	}
	if claim, said := run.claim("restore"); said && claim.Detail == "completed" && r.Verdict == reports.Failed {
		r.Reason += "; the tool itself said of the restore: completed"
	}
}

func (run *Run) praise(r *reports.Report) string {
	var parts []string
	if a, err := run.restored(); err == nil && r.RTO != nil {
		parts = append(parts, fmt.Sprintf("%s came back in %.1f s", a.Name, r.RTO.Seconds))
	}
	if r.Ledger != nil {
		parts = append(parts, counted(r.Ledger.Total.Lost+r.Ledger.Total.Resurrected, "acknowledged write")+" lost")
	}
	if f := r.Fidelity; f != nil && run.restoresStore() {
		equal := 0
		for _, k := range f.Kinds {
			equal += k.Equal
		}
		parts = append(parts, fmt.Sprintf("%d objects as they were", equal))
	} else if f != nil {
		parts = append(parts, fmt.Sprintf("no difference in %d objects that profile %s does not allow", f.Before.Objects, f.Profile))
	}
	return strings.Join(parts, ", ")
}

// declared compares the outcome with what the scenario expects. Every check that comes out failed has to be named there, and every
// unknown one too, unless the drill as a whole is expected to be unknown: then it may be for more than one check.
func (run *Run) declared(r *reports.Report) reports.Declared {
	expect := run.Scenario.Spec.Expect
	d := reports.Declared{Tool: expect.Tool, Checks: expect.Checks}
	if err := d.Verdict.UnmarshalText([]byte(expect.Verdict)); err != nil {
		d.Mismatches = append(d.Mismatches, "expected verdict: "+err.Error())
	}
	if claim, said := run.claim("backup"); said && claim.Detail != expect.Backup {
		d.Mismatches = append(d.Mismatches, fmt.Sprintf("the tool said of the backup: %s, declared: %s", claim.Detail, expect.Backup))
	}
	if claim, said := run.claim("restore"); !said && r.Verdict != reports.Unknown && !run.noBackup() {
		d.Mismatches = append(d.Mismatches, fmt.Sprintf("the tool said nothing of the restore, declared: %s", expect.Tool))
	} else if said && claim.Detail != expect.Tool {
		d.Mismatches = append(d.Mismatches, fmt.Sprintf("the tool said of the restore: %s, declared: %s", claim.Detail, expect.Tool))
	}
	if r.Verdict != d.Verdict {
		d.Mismatches = append(d.Mismatches, fmt.Sprintf("the verdict is %s, declared: %s", r.Verdict, d.Verdict))
	}
	seen := map[string]bool{}
	for _, c := range r.Checks {
		seen[c.Name] = true
		want, named := expect.Checks[c.Name]
		switch {
		case named && (want == c.Verdict.String() || want == scenarios.AnyOutcome), !named && (c.Verdict == reports.Passed || c.Verdict == reports.Skipped):
		case !named && c.Verdict == reports.Unknown && d.Verdict == reports.Unknown:
		case named:
			d.Mismatches = append(d.Mismatches, fmt.Sprintf("check %s is %s, declared: %s", c.Name, c.Verdict, want))
		default:
			d.Mismatches = append(d.Mismatches, fmt.Sprintf("check %s is %s, which is not declared: %s", c.Name, c.Verdict, c.Reason))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(expect.Checks)) {
		if !seen[name] {
			d.Mismatches = append(d.Mismatches, fmt.Sprintf("check %s is declared, and there is no such check", name))
		}
	}
	d.AsDeclared = len(d.Mismatches) == 0
	return d
}
