package checks

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/reports"
)

var phasesCheck = Check{
	Name:      "phases",
	Title:     "Did the drill come to its end, and did the backup tool do its work?",
	IfFailed:  "read the error of the phase and the last lines of the component it names: the tool's own work failed, so the backup cannot be counted on",
	IfUnknown: "put right what broke the drill, and run it again: it shows nothing of the backup",
	Needs:     []string{evidence.TimelineFile},
	Judge: func(run *Run, r *reports.Report, c *reports.Check) {
		var verdicts []reports.Verdict
		var reasons []string
		for _, p := range run.phases {
			v, reason := run.verdict(p)
			verdicts = append(verdicts, v)
			if v != reports.Passed {
				find(c, reports.Finding{Verdict: v, Subject: p.name, Message: reason})
			}
			if v == reports.Failed || v == reports.Unknown {
				reasons = append(reasons, reason)
			}
		}
		for _, e := range run.Events {
			if e.Kind != evidence.PhaseEnded && e.Blame == evidence.BlameHarness && e.Error != "" {
				verdicts = append(verdicts, reports.Unknown)
				reasons = append(reasons, firstLine(e.Error))
				find(c, reports.Finding{Verdict: reports.Unknown, Subject: e.Phase, Message: e.Error})
			}
		}
		if why := run.unstruck(); why != "" {
			verdicts, reasons = append(verdicts, reports.Unknown), append(reasons, why)
			find(c, reports.Finding{Message: why})
		}
		c.Verdict = reports.Worst(verdicts...)
		if why := run.interrupted(); why != "" {
			c.Verdict = reports.Unknown
			reasons = append([]string{why}, reasons...)
		}
		c.Reason = strings.Join(reasons, "; ")
		if c.Verdict == reports.Passed {
			c.Reason = "every phase ended without an error"
		}
	},
}

var toolCheck = Check{
	Name:      "tool",
	Title:     "Did the backup tool say of its own work what the scenario expects?",
	IfFailed:  "read what the tool says in its own log; if it says so rightly, declare it in the scenario under expect.backup or expect.tool",
	IfUnknown: "see in the timeline where the tool was when it fell silent, and run the drill again",
	Needs:     []string{evidence.TimelineFile},
	Judge: func(run *Run, r *reports.Report, c *reports.Check) {
		defer run.words(c)
		for _, want := range []struct{ name, says string }{{"backup", run.Scenario.Spec.Expect.Backup}, {"restore", run.Scenario.Spec.Expect.Tool}} {
			claim, said := run.claim(want.name)
			switch {
			case want.name == "restore" && run.noBackup():
				continue
			case !said:
				unknown(c, "the tool said nothing of the %s", want.name)
				return
			case claim.Detail == want.says:
				continue
			case claim.Detail == evidence.Failed && run.broke() != "":
				// It may have failed of what broke the drill.
				unknown(c, "the tool said of the %s: %s; but %s", want.name, claim.Detail, run.broke())
			default:
				failed(c, "the tool said of the %s: %s; the scenario expects: %s", want.name, claim.Detail, want.says)
				find(c, reports.Finding{Verdict: reports.Failed, Subject: want.name, Message: firstLine(claim.Error)})
			}
			return
		}
		if run.noBackup() {
			passed(c, "the tool said of the backup: %s, as the scenario expects; there was nothing to restore", run.Scenario.Spec.Expect.Backup)
			return
		}
		passed(c, "the tool said of the backup: %s, and of the restore: %s", run.Scenario.Spec.Expect.Backup, run.Scenario.Spec.Expect.Tool)
	},
}

// words are the tool's own: its errors, and its warnings, which it does not count against itself.
func (run *Run) words(c *reports.Check) {
	files, err := filepath.Glob(filepath.Join(run.Dir, evidence.ToolFiles))
	if err != nil {
		return
	}
	var grave, light []reports.Finding
	for _, file := range files {
		name := filepath.Base(file)
		result, err := evidence.ReadJSON[evidence.ToolResult](run.Dir, name)
		if err != nil {
			find(c, reports.Finding{Subject: name, Message: unread(name, err)})
			continue
		}
		c.Evidence = append(slices.Clip(c.Evidence), name)
		say := func(verdict reports.Verdict, word string, messages []evidence.ToolMessage) (all []reports.Finding) {
			for _, m := range messages {
				all = append(all, reports.Finding{Verdict: verdict, Subject: result.Tool + " " + result.Operation + " " + result.Name,
					Message: fmt.Sprintf("%s in %s: %s", word, m.Scope, firstLine(m.Message))})
			}
			return all
		}
		grave = append(grave, say(reports.Failed, "error", result.Errors)...)
		light = append(light, say(reports.Passed, "warning", result.Warnings)...)
	}
	// So many warnings may be told that no room would be left for an error.
	for _, f := range append(grave, light...) {
		find(c, f)
	}
}

// noBackup tells whether the tool itself said that it has no backup, so that there was nothing to restore.
func (run *Run) noBackup() bool {
	claim, said := run.claim("backup")
	return said && claim.Detail != evidence.Completed && claim.Detail != evidence.PartiallyFailed && len(run.artifacts) == 0
}
