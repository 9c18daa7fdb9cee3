package checks

import (
	"fmt"

	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/reports"
)

// driftCheck finds what of Git's objects lived otherwise than Git says: a rebuild from Git undoes it, whether it was a repair made by hand or a
// mistake. What lived and is not in Git at all is for the fidelity check to miss.
var driftCheck = Check{
	Name:      "drift",
	Title:     "Did the objects that are in Git live as Git says?",
	IfFailed:  "commit what is to stay, before a rebuild from Git undoes it",
	IfUnknown: "see that Git holds what the cluster is made of, and run the drill again",
	Needs:     []string{evidence.DriftFile},
	Applies: func(run *Run) string {
		if run.Scenario.Spec.Backup.Method != "manifests" {
			return "the backup is not a set of manifests"
		}
		return ""
	},
	Judge: func(run *Run, r *reports.Report, c *reports.Check) {
		drift, err := evidence.ReadJSON[evidence.Drift](run.Dir, evidence.DriftFile)
		switch {
		case err != nil:
			unknown(c, "%s", unread(evidence.DriftFile, err))
			return
		case drift.Desired == 0:
			unknown(c, "Git holds no object")
			return
		case drift.InSync+len(drift.Drifted) != drift.Desired:
			unknown(c, "the comparison does not add up: %d in sync and %d drifted of %d", drift.InSync, len(drift.Drifted), drift.Desired)
			return
		}
		for _, o := range drift.Drifted {
			message := ""
			for i, f := range o.Fields {
				if i > 0 {
					message += ", "
				}
				message += fmt.Sprintf("%s was %s, and is %s in Git", f.Path, orNothing(f.Live), orNothing(f.Desired))
			}
			find(c, reports.Finding{Verdict: reports.Failed, Subject: o.Object, Message: message, Next: "commit what is to stay, before a rebuild from Git undoes it"})
		}
		if n := len(drift.Drifted); n > 0 {
			failed(c, "%s of %d lived otherwise than Git says, first %s", counted(n, "object"), drift.Desired, summary(c.Findings[0]))
			return
		}
		passed(c, "all %d objects lived as Git says", drift.Desired)
	},
}
