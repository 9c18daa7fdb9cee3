package checks

import (
	"fmt"

	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/internal/ledger"
	"github.com/restore-drill/restore-drill/reports"
)

var staleClientsCheck = Check{
	Name:       "stale-clients",
	Title:      "Does a client that was connected before the failure see what is there now?",
	IfFailed:   "restart every controller and client that held a watch before the failure, or raise the store's revision when it is restored",
	IfUnknown:  "run the drill again: the client has to be seen watching when the failure strikes",
	Needs:      []string{evidence.InformerFile},
	OfRestored: true,
	Applies:    func(run *Run) string { return run.remade() },
	Judge: func(run *Run, r *reports.Report, c *reports.Check) {
		informer, err := evidence.ReadJSON[evidence.Informer](run.Dir, evidence.InformerFile)
		if err != nil {
			unknown(c, "%s", unread(evidence.InformerFile, err))
			return
		}
		next := "restart the clients, or restore with a revision bump and mark-compacted"
		for _, believed := range []struct {
			names []string
			how   string
		}{
			{informer.Phantom, "is held by the client, and is not there"},
			{informer.Missing, "is there, and the client does not know of it"},
			{informer.Stale, "is there, and the client holds another state of it"},
		} {
			for _, name := range believed.names {
				find(c, reports.Finding{Verdict: reports.Failed, Subject: name, Message: believed.how, Next: next})
			}
		}
		wrong := len(c.Findings) + c.Omitted
		reused := run.reusedRevision()
		if reused != "" {
			c.Evidence = append(c.Evidence[:len(c.Evidence):len(c.Evidence)], evidence.StoreFile, evidence.LedgerFile)
			find(c, reports.Finding{Verdict: reports.Failed, Message: reused, Next: next})
		}
		switch {
		case informer.Error != "":
			unknown(c, "the client was not observed: %s", firstLine(informer.Error))
		case len(informer.Resources) == 0 || informer.OpenedAt == "" || informer.OpenedAt == "0":
			unknown(c, "the client is not shown to have watched anything when the failure struck")
		case informer.Held == 0 && informer.Listed == 0:
			unknown(c, "the client held nothing and there was nothing to list")
		case wrong > 0:
			failed(c, "after %s the client is wrong about %s, first %s: it %s", rounded(informer.Waited), counted(wrong, "object"), c.Findings[0].Subject, c.Findings[0].Message)
		case !informer.Converged:
			failed(c, "after %s the client had not converged with a fresh list (%d held, %d listed)", rounded(informer.Waited), informer.Held, informer.Listed)
		case !informer.CanarySeen:
			failed(c, "after %s the client had not been told of an object that was written after the restore", rounded(informer.Waited))
		case informer.Held != informer.Listed:
			failed(c, "the client holds %s, a fresh list has %d", counted(informer.Held, "object"), informer.Listed)
		case reused != "":
			failed(c, "%s", reused)
		default:
			passed(c, "after %s the client held the same %s as a fresh list, and was told of a new one", rounded(informer.Waited), counted(informer.Held, "object"))
		}
	},
}

// reusedRevision says that the restored store gave a revision, which a client had seen acknowledged before the failure, to
// another write; empty when that is not seen.
func (run *Run) reusedRevision() string {
	store, err := evidence.ReadJSON[evidence.StoreComparison](run.Dir, evidence.StoreFile)
	a := run.account()
	if err != nil || a.err != nil || run.unreplaced() {
		return ""
	}
	var newest *ledger.Write
	for _, w := range a.Writes {
		if newest == nil || w.Revision > newest.Revision {
			newest = w
		}
	}
	for _, keys := range [][]evidence.StoreKey{store.Extra, store.Changed} {
		for _, key := range keys {
			if newest != nil && key.AfterRevision > store.BeforeRevision && key.AfterRevision <= newest.Revision {
				return fmt.Sprintf("revision %d was given to %s after the restore, while clients had seen revisions up to %d before the failure (%s)",
					key.AfterRevision, key.Key, newest.Revision, newest)
			}
		}
	}
	return ""
}
