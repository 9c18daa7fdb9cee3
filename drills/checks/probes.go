package checks

import (
	"fmt"
	"slices"

	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/reports"
	"github.com/restore-drill/restore-drill/scenarios"
)

// asks tells whether a probe is asked at all: where nodes are simulated, no pod can.
func (run *Run) asks(p scenarios.Probe) bool { return run.Header.Machines || !p.NeedsMachines() }

// Clusters that a probe asks.
const (
	source   = "source"
	restored = "restored"
)

var probesCheck = Check{
	Name:       "probes",
	Title:      "Does the restored service answer every probe, as the lost one did?",
	IfFailed:   "ask the probe by hand of the restored cluster: its last answer says what it misses",
	IfUnknown:  "see that the probe passes before the failure, or it can show nothing after it",
	OfRestored: true,
	Judge: func(run *Run, r *reports.Report, c *reports.Check) {
		declared := run.Scenario.Spec.Probes
		if len(declared) == 0 {
			skipped(c, "the scenario declares no probe")
			return
		}
		if !slices.ContainsFunc(declared, run.asks) {
			skipped(c, "every probe of the scenario is asked by pods, and the nodes of provider %s are simulated", run.Header.Provider)
			return
		}
		c.Evidence = []string{evidence.ProbesFile}
		results, err := evidence.ReadLines[evidence.ProbeResult](run.Dir, evidence.ProbesFile)
		if err != nil {
			unknown(c, "%s", unread(evidence.ProbesFile, err))
			return
		}
		var parts []reports.Check
		for _, d := range declared {
			p := reports.Probe{Name: d.Name}
			if !run.asks(d) {
				p.Verdict, p.Detail = reports.Skipped, "not asked: pods have to run for it, and the nodes are simulated"
				r.Probes = append(r.Probes, p)
				continue
			}
			before := false
			var last *evidence.ProbeResult
			for i, result := range results {
				if result.Name == d.Name {
					answered(&p, result)
				}
				switch {
				case result.Name != d.Name:
				case result.Cluster == source:
					before = before || result.Passed
				case result.Cluster == restored:
					last = &results[i]
					p.Attempts++
					if result.Passed && p.At == nil {
						p.At = seconds(result.At)
					}
				}
			}
			part := reports.Check{}
			switch {
			case last == nil:
				unknown(&part, "probe %s was never asked of the restored cluster", d.Name)
			case !last.Passed:
				failed(&part, "probe %s does not pass: %s", d.Name, last.Detail)
			case !before:
				unknown(&part, "probe %s never passed before the failure, so that it passes now proves nothing", d.Name)
			default:
				passed(&part, "probe %s passes", d.Name)
			}
			p.Verdict, p.Detail = part.Verdict, part.Reason
			if last != nil {
				p.Detail = last.Detail
			}
			if part.Verdict != reports.Passed {
				find(c, reports.Finding{Verdict: part.Verdict, Subject: d.Name, Message: part.Reason})
			}
			r.Probes, parts = append(r.Probes, p), append(parts, part)
		}
		merge(c, parts)
		if c.Verdict == reports.Passed {
			c.Reason = fmt.Sprintf("the last answer to %s is good", counted(len(parts), "probe"))
		}
	},
}

// maxAnswers of a probe that a report lists: enough for one that flaps, and a file of any length stays small.
const maxAnswers = 200

// answered adds an answer to a probe's history: to the entry before where it is alike.
func answered(p *reports.Probe, result evidence.ProbeResult) {
	at := result.At.Seconds()
	if n := len(p.History); n > 0 && p.HistoryOmitted == 0 {
		last := &p.History[n-1]
		if last.Cluster == result.Cluster && last.Passed == result.Passed && last.Detail == result.Detail {
			last.To, last.Attempts = at, last.Attempts+1
			return
		}
	}
	if len(p.History) == maxAnswers {
		p.HistoryOmitted++
		return
	}
	p.History = append(p.History, reports.ProbeAnswer{Cluster: result.Cluster, Passed: result.Passed, Detail: result.Detail, From: at, To: at, Attempts: 1})
}
