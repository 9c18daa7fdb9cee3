package checks

import (
	"fmt"
	"slices"

	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/reports"
)

var storeHealthCheck = Check{
	Name:       "store-health",
	Title:      "Is the restored store of one mind, open for writes, and what the API server shows?",
	IfFailed:   "see etcdctl alarm list and etcdctl endpoint status before clients are let in",
	IfUnknown:  "ask every member of the restored store with etcdctl endpoint status and hashkv",
	Needs:      []string{evidence.StoreHealthFile},
	OfRestored: true,
	Applies:    func(run *Run) string { return run.remade() },
	Judge: func(run *Run, r *reports.Report, c *reports.Check) {
		h, err := evidence.ReadJSON[evidence.StoreHealth](run.Dir, evidence.StoreHealthFile)
		if err != nil {
			unknown(c, "%s", unread(evidence.StoreHealthFile, err))
			return
		}
		if _, err := run.restored(); err != nil {
			unknown(c, "%v", err)
			return
		}
		ill := func(subject, message, next string) {
			find(c, reports.Finding{Verdict: reports.Failed, Subject: subject, Message: message, Next: next})
		}
		if run.unreplaced() {
			ill("etcd cluster "+h.ClusterID, "is the one that the backup was taken of: what serves is its old data, and not what was restored",
				"look where etcd has its --data-dir, and where the snapshot was restored to")
		}
		for _, alarm := range h.Alarms {
			by := "by a member of the lost store: it came back with the snapshot"
			if slices.ContainsFunc(h.Members, func(m evidence.StoreMember) bool { return m.ID == alarm.Member }) {
				by = "by member " + alarm.Member
			}
			ill("alarm "+alarm.Type, "is raised "+by, "see to its cause (for NOSPACE: compact and defragment), and disarm it: etcdctl alarm disarm")
		}
		if h.Divergence != "" {
			ill("members", h.Divergence, "restore all members from the same snapshot")
		}
		listed := 0
		for _, l := range h.Lists {
			listed += l.Listed
			for _, wrong := range []struct {
				names []string
				how   string
			}{
				{l.Phantom, "is listed by the API server, and is not in the store"},
				{l.Missing, "is in the store, and the API server does not list it"},
				{l.Stale, "is how the API server lists it, and not how the store has it"},
			} {
				for _, name := range wrong.names {
					ill(name, wrong.how, "restart every API server: its caches are of another store")
				}
			}
		}
		for _, address := range h.APIServers {
			if slices.Contains(h.LostAPIServers, address) && !slices.Contains(h.Machines, address) && !run.inPlace() {
				ill("default/kubernetes", "sends clients to the API server "+address+", which is gone",
					"remove /registry/masterleases/"+address+" from the store")
			}
		}
		doubt := undecided(h)
		for _, m := range h.Members {
			if unused := m.Bytes - m.BytesInUse; unused > m.Bytes/2 && unused > worthDefragmenting {
				find(c, reports.Finding{Verdict: reports.Passed, Subject: "member " + m.ID,
					Message: fmt.Sprintf("has a file of %s, of which %s hold data: its snapshots are as large, and restoring them as slow", mebibytes(m.Bytes), mebibytes(m.BytesInUse)),
					Next:    "defragment before backing up: etcdctl defrag"})
			}
		}
		switch wrong := slices.IndexFunc(c.Findings, func(f reports.Finding) bool { return f.Verdict == reports.Failed }); {
		case wrong >= 0:
			failed(c, "%s %s", c.Findings[wrong].Subject, c.Findings[wrong].Message)
		case doubt != "":
			unknown(c, "%s", doubt)
		default:
			passed(c, "%s of one mind at revision %d, no alarm is raised, and the API server lists %s as the store has them",
				counted(len(h.Members), "member"), h.HashedAt, counted(listed, "object"))
		}
	},
}

// worthDefragmenting is the room in a file, in bytes, that is worth a word.
const worthDefragmenting = 16 << 20

// unreplaced tells whether the store that serves is shown to be the one that the backup was taken of: a restored one is a new cluster of
// etcd, with an ID of its own. Nothing is lost in it, whatever its revision, and no revision was given twice.
func (run *Run) unreplaced() bool {
	h, err := evidence.ReadJSON[evidence.StoreHealth](run.Dir, evidence.StoreHealthFile)
	artifact, unchosen := run.restored()
	return err == nil && unchosen == nil && h.ClusterID != "" && h.ClusterID == artifact.Facts["clusterID"]
}

// undecided says what was not seen of the store's health; empty when all was.
func undecided(h evidence.StoreHealth) string {
	switch {
	case len(h.Members) == 0 || h.ClusterID == "":
		return "no member of the restored store was asked"
	case h.Undecided != "" || h.HashedAt == 0:
		return "the members' data was not compared: " + firstLine(h.Undecided)
	case len(h.Lists) == 0 || !slices.ContainsFunc(h.Lists, func(l evidence.StoreList) bool { return l.Stored > 0 && l.Listed > 0 }):
		return "the API server's lists were not compared with the store"
	case len(h.APIServers) == 0 || len(h.LostAPIServers) == 0:
		return "which API servers default/kubernetes names, or which were lost, is not known"
	}
	for _, m := range h.Members {
		if m.Error != "" || m.Bytes == 0 {
			return fmt.Sprintf("member %s did not say how it is: %s", m.ID, firstLine(m.Error))
		}
	}
	return ""
}

func mebibytes(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }
