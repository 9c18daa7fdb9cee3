package checks

import (
	"fmt"
	"time"

	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/internal/ledger"
	"github.com/restore-drill/restore-drill/reports"
)

var ledgerFiles = []string{evidence.TimelineFile, evidence.LedgerFile, evidence.SurvivorsFile}

var rpoCheck = Check{
	Name:       "rpo",
	Title:      "Is the loss of acknowledged writes within the objectives?",
	IfFailed:   "back up more often, or see why it was not the newest backup that came back",
	IfUnknown:  "run the drill again with a target further from what is measured, or with writers that have room to reach their rate",
	Needs:      ledgerFiles,
	OfRestored: true,
	Judge: func(run *Run, r *reports.Report, c *reports.Check) {
		a := run.account()
		if a.err != nil {
			unknown(c, "there is no account of the writes: %s", firstLine(a.err.Error()))
			return
		}
		struck, _ := run.mark(evidence.MarkStruck, 0)
		objectives := run.Scenario.Spec.Objectives
		total := a.Total
		// The failure may have been there before it was seen.
		least := max(0, total.Least-struck.Resolution)
		rpo := reports.Objective{Method: "struck - the acknowledgement of the newest write up to which nothing is missing, of the writer for which that is longest; " +
			"bounded from below by the age of the oldest write that is missing"}
		writes := reports.Objective{Method: lostMethod(a), Measured: number(total.Missing()), Resolution: number(total.Short)}
		if total.RPO != nil {
			rpo.Measured, rpo.Resolution = seconds(*total.RPO), seconds(*total.RPO-least)
		}
		run.objectives["rpo"], run.objectives["lost writes"] = rpo, writes
		if why := a.doubt(); why != "" {
			unknown(c, "the account of the writes proves nothing: %s", why)
			return
		}
		var parts []reports.Check
		if target := objectives.RPO; target != nil {
			part := reports.Check{}
			judgeRPO(&part, total, least, target.Duration)
			parts, rpo.Verdict = append(parts, part), part.Verdict
		}
		if target := objectives.LostWrites; target != nil {
			part := reports.Check{}
			judgeLost(&part, total, *target)
			parts, writes.Verdict = append(parts, part), part.Verdict
		}
		run.objectives["rpo"], run.objectives["lost writes"] = rpo, writes
		if len(parts) == 0 {
			skipped(c, "%s missing; the scenario sets no objective", counted(total.Missing(), "acknowledged write"))
			return
		}
		merge(c, parts)
		if w := total.FirstMissing; w != nil {
			find(c, reports.Finding{Verdict: c.Verdict, Subject: w.String(),
				Message: fmt.Sprintf("is the first acknowledged write that is missing, %s before the failure", rounded(struck.At-w.Answered))})
		}
		for _, s := range a.Classes {
			if s.Short > 0 {
				find(c, reports.Finding{Verdict: c.Verdict, Subject: "writer " + s.Class,
					Message: fmt.Sprintf("made %s less than it was asked to between its newest safe write and the failure: what it did not write cannot be missed",
						counted(s.Short, "write"))})
			}
		}
	},
}

// judgeRPO judges the age of what is lost. The newest write up to which nothing is missing bounds it from above, and what is known to be missing
// from below: where the writers fell silent, by themselves or because the machine stalled, nothing was measured between the two.
func judgeRPO(c *reports.Check, total ledger.Sums, least, target time.Duration) {
	switch rpo := total.RPO; {
	case rpo != nil && *rpo <= target:
		passed(c, "nothing older than %s before the failure is missing, within the objective of %s", rounded(*rpo), target)
	case least > target && rpo != nil:
		failed(c, "nothing is missing up to %s before the failure, over the objective of %s", rounded(*rpo), target)
	case least > target:
		failed(c, "the first acknowledged write of a writer, %s before the failure, is missing, over the objective of %s", rounded(least), target)
	case rpo == nil:
		unknown(c, "even the first acknowledged write of a writer is missing, so how far the loss goes back cannot be told")
	default:
		unknown(c, "nothing is missing up to %s before the failure, and the oldest missing write is %s old: closer to the objective of %s than can be told",
			rounded(*rpo), rounded(least), target)
	}
}

// judgeLost judges how much is lost. Writes that were not made could have been lost too: they cannot make good what is over the objective.
func judgeLost(c *reports.Check, total ledger.Sums, target int) {
	lost := counted(total.Missing(), "acknowledged write")
	switch {
	case total.Missing() > target:
		failed(c, "%s missing, over the objective of %d", lost, target)
	case total.Missing()+total.Short > target:
		unknown(c, "%s missing, within the objective of %d, but the writers made %d less than they were asked to: with those it could have been missed",
			lost, target, total.Short)
	default:
		passed(c, "%s missing, within the objective of %d", lost, target)
	}
}

func lostMethod(a *account) string {
	method := "acknowledged writes that are not in effect: lost creates and updates, and deletes whose object came back"
	if a.byRevision == nil {
		return method
	}
	return method + fmt.Sprintf("; by the artifact's revision: %d", *a.byRevision)
}

// doubt says why the account does not carry a verdict; empty when it does.
func (a *account) doubt() string {
	if a.torn {
		return "the ledger's last line is torn: its writer was interrupted"
	}
	if n := len(a.Doubts); n > 1 {
		return fmt.Sprintf("%s (and %d more)", a.Doubts[0], n-1)
	} else if n == 1 {
		return a.Doubts[0]
	}
	return ""
}

var ledgerCheck = Check{
	Name:       "ledger",
	Title:      "Is what is left of the acknowledged writes a state that the cluster was in, and do both methods agree on it?",
	IfFailed:   "compare the writes with the census: what came back is no state that the cluster was ever in, so do not let clients rely on it",
	IfUnknown:  "see which write the two accounts differ on, and run the drill again",
	Needs:      ledgerFiles,
	OfRestored: true,
	Judge: func(run *Run, r *reports.Report, c *reports.Check) {
		a := run.account()
		if a.err != nil {
			unknown(c, "there is no account of the writes")
			for _, line := range lines(a.err) {
				find(c, reports.Finding{Message: line})
			}
			if len(c.Findings) > 0 {
				c.Reason += ": " + c.Findings[0].Message
			}
			return
		}
		r.Ledger = a.report()
		for _, s := range a.Strangers {
			find(c, reports.Finding{Verdict: reports.Failed, Subject: s.Class + " " + s.Name, Message: s.Why,
				Next: "compare the object with the ledger's intents in " + evidence.LedgerFile})
		}
		for _, w := range a.Writes {
			if w.Fate.Missing() && a.hole(w) {
				find(c, reports.Finding{Verdict: reports.Failed, Subject: w.String(), Message: fmt.Sprintf("is %s, while a later write of the same writer is there", w.Fate),
					Next: "the artifact or its restore is not a point in time: see where the object went"})
			}
		}
		for _, d := range a.disagreements {
			find(c, reports.Finding{Subject: d.Write.String(), Message: d.String()})
		}
		apart := a.apart(c, run.Scenario.Spec.Objectives.PointInTime)
		if a.torn {
			find(c, reports.Finding{Subject: evidence.LedgerFile, Message: a.doubt()})
		}
		for _, doubt := range a.Doubts {
			find(c, reports.Finding{Message: doubt})
		}
		switch t := a.Total; {
		case t.Unexpected > 0:
			failed(c, "%s, first %s %s: it %s", counted(t.Unexpected, "object")+" nobody wrote so", a.Strangers[0].Class, a.Strangers[0].Name, a.Strangers[0].Why)
		case t.Holes > 0:
			failed(c, "%s: missing, while later ones of the same writer are there", counted(t.Holes, "hole"))
		case apart.Verdict == reports.Failed:
			failed(c, "%s", apart.Reason)
		case len(a.disagreements) > 0:
			unknown(c, "looking and the artifact's revision disagree on %s, first: %s", counted(len(a.disagreements), "write"), a.disagreements[0])
		case a.doubt() != "":
			unknown(c, "the account of the writes proves nothing: %s", a.doubt())
		case apart.Verdict == reports.Unknown:
			unknown(c, "%s", apart.Reason)
		case a.byRevision != nil:
			passed(c, "%s missing, which are exactly those above the artifact's revision; no holes, nothing unexpected%s", counted(t.Missing(), "acknowledged write"), unseen(t))
		default:
			passed(c, "%s missing; no holes, nothing unexpected", counted(t.Missing(), "acknowledged write"))
		}
	},
}

// apart tells whether what came back is a point in time, where the artifact alone does not say so; that it is none is a finding in any case, and
// held against it where that is asked for.
func (a *account) apart(c *reports.Check, asked bool) (part reports.Check) {
	part.Verdict = reports.Passed
	switch s := a.spread; {
	case s == nil && a.byRevision == nil && asked:
		unknown(&part, "the artifact has no revision, and none is known from before and after it: whether it is a point in time cannot be told")
	case s == nil:
	case s.Missing != nil:
		part.Reason = fmt.Sprintf("no point in time: the classes end %s apart, for %s is missing while %s, acknowledged that much later, is there",
			rounded(s.Apart()), s.Missing, s.Kept)
		if asked {
			part.Verdict = reports.Failed
		}
		find(c, reports.Finding{Verdict: part.Verdict, Subject: s.Missing.String(), Message: part.Reason,
			Next: "whoever keeps two objects in step has to be quiet while the backup is taken, or be backed up by a snapshot of the store"})
	case asked && s.Classes < 2:
		unknown(&part, "%s wrote while the backup was taken: whether it is a point in time cannot be told", counted(s.Classes, "writer"))
	}
	return part
}

// report of an account.
func (a *account) report() *reports.Ledger {
	l := &reports.Ledger{Total: writer(a.Total), RPO: durationPointer(a.Total.RPO), ByRevision: a.byRevision, Series: series(a)}
	for _, s := range a.Classes {
		l.Writers = append(l.Writers, writer(s))
	}
	return l
}

// unseen names the writes on whose fate only one method had a say.
func unseen(s ledger.Sums) string {
	if s.Unseen == 0 {
		return ""
	}
	return fmt.Sprintf(" (%s left no trace to look at, and are settled by revision alone)", counted(s.Unseen, "write"))
}

// hole tells whether a later write of the same chain is there.
func (a *account) hole(w *ledger.Write) bool {
	for _, later := range a.Writes {
		if later.Class == w.Class && later.Seq > w.Seq && (later.Fate == ledger.Kept || later.Recovered) {
			return true
		}
	}
	return false
}

func writer(s ledger.Sums) reports.Writer {
	return reports.Writer{
		Class: s.Class, Attempted: s.Attempted, Acknowledged: s.Acknowledged, InDoubt: s.InDoubt, Refused: s.Refused,
		Lost: s.Lost, Resurrected: s.Resurrected, Unexpected: s.Unexpected, Recovered: s.Recovered, Holes: s.Holes,
		RatePerSecond: s.Rate, WantPerSecond: s.Want, RPO: durationPointer(s.RPO),
	}
}

// widths of a bucket, of which the finest that gives at most maxBuckets is taken.
var widths = []time.Duration{20 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, 30 * time.Minute, time.Hour}

const maxBuckets = 80

// series cuts the ledger's time into buckets: each write is in that of its answer.
func series(a *account) []reports.LedgerBucket {
	if len(a.Writes) == 0 {
		return nil
	}
	first, last := a.Writes[0].Answered, a.Writes[0].Answered
	for _, w := range a.Writes {
		first, last = min(first, w.Answered), max(last, w.Answered)
	}
	width := widths[len(widths)-1]
	for _, w := range widths {
		if (last-first)/w < maxBuckets-1 {
			width = w
			break
		}
	}
	first = first.Truncate(width)
	n := min(int((last-first)/width)+1, maxBuckets*10)
	buckets := make([]reports.LedgerBucket, n)
	for i := range buckets {
		buckets[i].Start, buckets[i].Seconds = (first + time.Duration(i)*width).Seconds(), width.Seconds()
	}
	for _, w := range a.Writes {
		b := &buckets[min(int((w.Answered-first)/width), n-1)]
		switch w.Fate {
		case ledger.Kept, ledger.Unseen:
			b.Kept++
		case ledger.Lost:
			b.Lost++
		case ledger.Resurrected:
			b.Resurrected++
		case ledger.Doubtful:
			b.InDoubt++
		}
	}
	return buckets
}

func durationPointer(d *time.Duration) *float64 {
	if d == nil {
		return nil
	}
	return seconds(*d)
}

func number(n int) *float64 {
	f := float64(n)
	return &f
}

// merge the parts of a question into its answer: the worst of them, worst reasons first.
func merge(c *reports.Check, parts []reports.Check) {
	var verdicts []reports.Verdict
	for _, p := range parts {
		verdicts = append(verdicts, p.Verdict)
	}
	c.Verdict = reports.Worst(verdicts...)
	for _, v := range []reports.Verdict{reports.Failed, reports.Unknown, reports.Passed, reports.Skipped} {
		for _, p := range parts {
			if p.Verdict != v {
				continue
			}
			if c.Reason != "" {
				c.Reason += "; "
			}
			c.Reason += p.Reason
		}
	}
}

// lines of an error that joins several.
func lines(err error) []string {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []string
		for _, e := range joined.Unwrap() {
			all = append(all, lines(e)...)
		}
		return all
	}
	return []string{err.Error()}
}
