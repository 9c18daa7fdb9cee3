package checks

import (
	"fmt"
	"maps"
	"slices"

	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/internal/graph"
	"github.com/restore-drill/restore-drill/reports"
)

var referencesCheck = Check{
	Name:       "references",
	Title:      "Does everything that came back still find what it refers to?",
	IfFailed:   "take it into the backup, or restore it before what refers to it",
	IfUnknown:  "see which census is not whole, and run the drill again",
	Needs:      []string{evidence.CensusBeforeFile, evidence.CensusAfterFile},
	OfRestored: true,
	Judge: func(run *Run, r *reports.Report, c *reports.Check) {
		before, after := run.survey(evidence.CensusBeforeFile), run.survey(evidence.CensusAfterFile)
		missing := after.graph.Missing(before.graph)
		r.Dependencies = dependencies(after.graph, missing)

		var broken, already []graph.Missing
		var doubts []string
		for _, m := range missing {
			switch {
			case m.State == graph.Unseen:
				doubts = append(doubts, fmt.Sprintf("%s could not be looked for: its resource is not in the census after", m.Object))
			case m.Since == graph.Undetermined:
				doubts = append(doubts, fmt.Sprintf("%s is missing, and its resource is not in the census before: nobody knows whether it was there", m.Object))
			case m.Since == graph.Before:
				already = append(already, m)
			default:
				broken = append(broken, m)
			}
		}
		for _, resource := range slices.Sorted(maps.Keys(after.tail.Unreadable)) {
			doubts = append(doubts, fmt.Sprintf("%s could not be read in the census after, nor what its objects refer to: %s", resource, firstLine(after.tail.Unreadable[resource])))
		}
		for _, side := range []struct {
			name string
			*survey
		}{{"before", before}, {"after", after}} {
			unread, more := side.graph.Unread()
			for _, why := range unread {
				doubts = append(doubts, fmt.Sprintf("in the census %s, %s", side.name, why))
			}
			if more > 0 {
				doubts = append(doubts, fmt.Sprintf("in the census %s, so of %s more", side.name, counted(more, "object")))
			}
		}
		if r.Dependencies.References == 0 {
			doubts = append(doubts, "no object of the restored cluster refers to any other: nothing was looked for")
		}

		for _, m := range broken {
			find(c, reports.Finding{Verdict: reports.Failed, Subject: m.Object.String(), Message: describeMissing(m),
				Next: "take it into the backup, or restore it before what refers to it"})
		}
		for _, d := range doubts {
			find(c, reports.Finding{Message: d})
		}
		if len(already) > 0 {
			find(c, reports.Finding{Verdict: reports.Passed, Subject: already[0].Object.String(),
				Message: fmt.Sprintf("is missing as it was before the failure, %d such in all: that is not the restore's doing", len(already))})
		}
		switch {
		case len(broken) > 0:
			failed(c, "%s missing that others refer to, first %s", counted(len(broken), "object"), summary(c.Findings[0]))
		case len(doubts) > 0:
			unknown(c, "%s", doubts[0])
		default:
			passed(c, "none of %s (%d optional) broke; %s missing as before the failure",
				counted(r.Dependencies.References, "reference"), r.Dependencies.Optional, counted(len(already), "object"))
		}
	},
}

func describeMissing(m graph.Missing) string {
	what := "is missing, and was there before"
	switch {
	case m.State == graph.Replaced:
		what = "is another one than is referred to: its UID differs"
	case m.Since == graph.Newly:
		what = "is missing, and nothing referred to it before"
	}
	by := m.By[0]
	return fmt.Sprintf("%s; %s to it, first %s (%s)", what, refer(m.Referrers), by.From, by.Via)
}

func refer(n int) string {
	if n == 1 {
		return "1 object refers"
	}
	return fmt.Sprintf("%d objects refer", n)
}
