package checks

import (
	"fmt"
	"slices"

	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/reports"
)

// freshnessCheck never fails: a restore into the cluster that was to be lost says nothing about the backup.
var freshnessCheck = Check{
	Name:       "freshness",
	Title:      "Is the restored cluster another one than the source?",
	IfFailed:   "tear down what is left of the source cluster, and run the drill again",
	IfUnknown:  "tear down what is left of the source cluster, and run the drill again: what was looked at may be the old one",
	Needs:      []string{evidence.FreshnessFile},
	OfRestored: true,
	Applies: func(run *Run) string {
		if run.inPlace() {
			return "the scenario restores into the cluster that the backup was taken of"
		}
		return ""
	},
	Judge: func(run *Run, r *reports.Report, c *reports.Check) {
		f, err := evidence.ReadJSON[evidence.Freshness](run.Dir, evidence.FreshnessFile)
		if err != nil {
			unknown(c, "%s", unread(evidence.FreshnessFile, err))
			return
		}
		for _, identity := range []struct {
			what             string
			source, restored []string
		}{
			{"etcd cluster ID", one(f.Source.EtcdCluster), one(f.Restored.EtcdCluster)},
			{"etcd member ID", f.Source.EtcdMembers, f.Restored.EtcdMembers},
			{"serving certificate", one(f.Source.Serving), one(f.Restored.Serving)},
			{"place", one(f.Source.Place), one(f.Restored.Place)},
			{"process", f.Source.Processes, f.Restored.Processes},
		} {
			for _, side := range []struct {
				name string
				ids  []string
			}{{"source", identity.source}, {"restored", identity.restored}} {
				if len(side.ids) == 0 || slices.Contains(side.ids, "") {
					find(c, reports.Finding{Subject: identity.what, Message: fmt.Sprintf("was not observed of the %s cluster", side.name)})
				}
			}
			for _, id := range identity.restored {
				if id != "" && slices.Contains(identity.source, id) {
					find(c, reports.Finding{Subject: identity.what, Message: "is the same before and after: " + id,
						Next: "find out what kept the source cluster alive, or brought its parts into the restored one"})
				}
			}
		}
		if len(c.Findings) > 0 {
			unknown(c, "the restored cluster is not shown to be a new one: %s %s", c.Findings[0].Subject, c.Findings[0].Message)
			return
		}
		passed(c, "etcd's cluster and member IDs, the serving certificate, the place and every process are others than the source's")
	},
}

func one(s string) []string { return []string{s} }
