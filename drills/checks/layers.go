package checks

import (
	"fmt"

	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/reports"
)

// layersCheck looks at what each layer above the first one lost of the writes into its own namespace. Their objectives are the drill's.
var layersCheck = Check{
	Name:       "layers",
	Title:      "Did each further layer bring back what was written to it, within the objectives?",
	IfFailed:   "compare the layer's own ledger with what is there now, and see whether the layers above it undid it",
	IfUnknown:  "see which layer has no account of its writes, and run the drill again",
	Needs:      []string{evidence.TimelineFile},
	OfRestored: true,
	Applies: func(run *Run) string {
		if len(run.ledgers()) == 1 {
			return "no layer above the first has a ledger of its own"
		}
		return ""
	},
	Judge: func(run *Run, r *reports.Report, c *reports.Check) {
		var parts []reports.Check
		struck, _ := run.mark(evidence.MarkStruck, 0)
		for _, l := range run.ledgers()[1:] {
			c.Evidence = append(c.Evidence[:len(c.Evidence):len(c.Evidence)], l.records, l.survivors)
			part, layer := reports.Check{}, reports.Layer{Method: l.layer, Namespace: l.namespace}
			if why := run.lacks([]string{l.records, l.survivors}); why != "" {
				unknown(&part, "%s", why)
			} else {
				a := run.accountOf(l)
				if a.err == nil {
					layer.Ledger = a.report()
				}
				judgeLayer(run, &part, a, struck)
			}
			part.Reason = fmt.Sprintf("%s in %s: %s", l.layer, l.namespace, part.Reason)
			find(c, reports.Finding{Verdict: part.Verdict, Subject: l.layer, Message: part.Reason})
			parts, r.Layers = append(parts, part), append(r.Layers, layer)
		}
		merge(c, parts)
	},
}

// judgeLayer judges one ledger as the checks rpo and ledger judge that of the drill.
func judgeLayer(run *Run, c *reports.Check, a *account, struck evidence.Event) {
	objectives := run.Scenario.Spec.Objectives
	switch {
	case a.err != nil:
		unknown(c, "there is no account of the writes: %s", firstLine(a.err.Error()))
		return
	case a.Total.Unexpected > 0:
		failed(c, "%s nobody wrote so, first %s %s: it %s", counted(a.Total.Unexpected, "object"), a.Strangers[0].Class, a.Strangers[0].Name, a.Strangers[0].Why)
		return
	case a.Total.Holes > 0:
		failed(c, "%s: missing, while later ones of the same writer are there", counted(a.Total.Holes, "hole"))
		return
	case a.doubt() != "":
		unknown(c, "the account of the writes proves nothing: %s", a.doubt())
		return
	}
	var parts []reports.Check
	if target := objectives.RPO; target != nil {
		part := reports.Check{}
		judgeRPO(&part, a.Total, max(0, a.Total.Least-struck.Resolution), target.Duration)
		parts = append(parts, part)
	}
	if target := objectives.LostWrites; target != nil {
		part := reports.Check{}
		judgeLost(&part, a.Total, *target)
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		passed(c, "%s missing; no holes, nothing unexpected", counted(a.Total.Missing(), "acknowledged write"))
		return
	}
	merge(c, parts)
}
