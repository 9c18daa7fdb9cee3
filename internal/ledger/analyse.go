package ledger

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// A Fate is what became of a write.
type Fate int

const (
	// Doubtful writes have no answer, or one that leaves open whether they happened. They are neither lost nor kept.
	Doubtful Fate = iota
	// Rejected writes got a definite refusal.
	Rejected
	// Kept writes were acknowledged, and what they wrote is there, or was overwritten by a later write that is.
	Kept
	// Lost writes were acknowledged and are not there.
	Lost
	// Resurrected is the fate of an acknowledged delete whose object is there again: a lost delete.
	Resurrected
	// Unseen writes were acknowledged, and a later delete of the same object took away every trace that could tell whether they
	// are in what was restored: the object is absent, as it would be with all of them and with none. Looking alone counts them as
	// kept, because the state is the one that the client was promised; Reconcile settles them by revision.
	Unseen
)

func (f Fate) String() string {
	return [...]string{"in doubt", "refused", "kept", "lost", "resurrected", "unseen"}[f]
}

// Missing tells whether an acknowledged write is not in effect.
func (f Fate) Missing() bool { return f == Lost || f == Resurrected }

// A Write is one write of a chain, with its fate.
type Write struct {
	Class string
	Seq   int
	Verb  string
	Name  string
	// Called and Answered are on the timeline's clock; Answered is Called when there was no answer.
	Called, Answered time.Duration
	// Status is Acknowledged, Refused or InDoubt.
	Status string
	// Revision as acknowledged; 0 when the API told none, as for a delete.
	Revision int64
	Fate     Fate
	// Recovered writes were in doubt and turned out to be there.
	Recovered bool

	digest string
}

func (w *Write) String() string {
	s := fmt.Sprintf("%s #%d (%s %s", w.Class, w.Seq, w.Verb, w.Name)
	if w.Revision != 0 {
		s += fmt.Sprintf(", revision %d", w.Revision)
	}
	return s + ")"
}

// Sums counts the writes of one chain, or of all.
type Sums struct {
	Class                                                 string
	Attempted, Acknowledged, InDoubt, Refused             int
	Kept, Lost, Resurrected, Unexpected, Recovered, Holes int
	// Unseen is how many of those kept or lost could not be told by looking.
	Unseen int
	// Rate that was reached before the failure and the one that was asked for, in writes a second.
	Rate, Want float64
	// RPO is the failure minus the acknowledgement of the newest write up to which nothing is missing; in total, that of the writer for which it is
	// longest. What is lost is no older: it is an upper bound. It is nil when no such write exists: everything that a writer had acknowledged
	// is missing, or nothing was.
	RPO *time.Duration
	// Least is the lower bound: the failure minus the acknowledgement of the first write that is missing, 0 when none is. A silence of the
	// writers between the two bounds, or before the failure, sets them apart.
	Least time.Duration
	// Short is how many writes more would have been acknowledged since UpTo, until the failure began, at the rate that was asked for; one a
	// writer, which the ends of the interval may cut, left out. As many could have been lost, had they been made.
	Short int
	// UpTo is that write, and FirstMissing the first one that is not in effect; nil when there is none.
	UpTo, FirstMissing *Write
}

// Missing is the number of acknowledged writes that are not in effect, deletes included.
func (s Sums) Missing() int { return s.Lost + s.Resurrected }

// An Account is what became of every write.
type Account struct {
	Struck time.Duration
	// Classes in the order of Classes; Total over all of them.
	Classes []Sums
	Total   Sums
	// Writes of each class in the order of its chain, class after class.
	Writes []*Write
	// Strangers are survivors that nobody wrote, or not so.
	Strangers []Stranger
	// Doubts are reasons, one sentence each, why the account does not carry a verdict.
	Doubts []string

	began  time.Duration
	chains map[string]chain
}

// A Stranger is an object of the ledger that its records do not explain.
type Stranger struct {
	Class, Name string
	// Why it is unexpected, in words.
	Why string
}

// A Disagreement is a write on which looking and the artifact's revision do not agree.
type Disagreement struct {
	*Write
	// Seen is the fate by looking; ByRevision tells whether the artifact's revision covers the write.
	Seen       Fate
	ByRevision bool
}

func (d Disagreement) String() string {
	if d.ByRevision {
		return fmt.Sprintf("%s is %s, though the artifact's revision covers it", d.Write, d.Seen)
	}
	return fmt.Sprintf("%s is %s, though it is newer than the artifact's revision", d.Write, d.Seen)
}

// A Spread tells how far apart the classes end in what was restored from a backup that was not taken at one moment.
type Spread struct {
	// Missing was written before Kept, which is of another class and is there. They are nil where no such two writes were acknowledged while the
	// backup was taken: a state with one and without the other never was.
	Missing, Kept *Write
	// Classes of which a write was acknowledged meanwhile. With fewer than two, nothing could show.
	Classes int
}

// Apart is how much later what is there was acknowledged than what is missing; clients learn of their writes in an order of their own, so two
// that are close may be 0 apart.
func (s Spread) Apart() time.Duration { return max(0, s.Kept.Answered-s.Missing.Answered) }

// Spread looks among the writes above revision from, up to revision to: those that were made while the backup was taken. Of all pairs of
// classes, it is the one that is furthest apart by revision.
func (a *Account) Spread(from, to int64) Spread {
	var s Spread
	first, last := map[string]*Write{}, map[string]*Write{}
	seen := map[string]bool{}
	for _, w := range a.Writes {
		if w.Status != Acknowledged || w.Revision <= from || w.Revision > to {
			continue
		}
		seen[w.Class] = true
		// The writes of a class come in the order of their revisions.
		switch {
		case w.Fate.Missing() && first[w.Class] == nil:
			first[w.Class] = w
		case w.Fate == Kept:
			last[w.Class] = w
		}
	}
	s.Classes = len(seen)
	for _, missing := range Classes {
		for _, kept := range Classes {
			m, k := first[missing], last[kept]
			if missing == kept || m == nil || k == nil || k.Revision <= m.Revision {
				continue
			}
			if s.Kept == nil || k.Revision-m.Revision > s.Kept.Revision-s.Missing.Revision {
				s.Missing, s.Kept = m, k
			}
		}
	}
	return s
}

// chain is what the records say of one class.
type chain struct {
	started, stopped bool
	start            time.Duration
	rate             float64
	writes           []*Write
}

// A Failure is when it began (from then on, writers may be hindered by it) and when it was visible.
type Failure struct{ Began, Struck time.Duration }

// Analyse accounts for every write before and around a failure; the survivors are what was there after the
// restore. The error says all that is wrong with the two lists themselves; then there is no account. An account with
// Doubts is sound arithmetic over a measurement that proves nothing.
func Analyse(records []Record, survivors []Survivor, failure Failure) (Account, error) {
	chains, errs := readChains(records)
	there, readErrs := readSurvivors(survivors)
	if err := errors.Join(append(errs, readErrs...)...); err != nil {
		return Account{}, err
	}
	a := Account{Struck: failure.Struck, began: failure.Began, chains: chains}
	for _, class := range Classes {
		c := chains[class]
		a.Strangers = append(a.Strangers, judge(class, c.writes, there[class])...)
		a.Writes = append(a.Writes, c.writes...)
		a.Doubts = append(a.Doubts, c.doubts(class, failure.Began)...)
	}
	a.sum()
	return a, nil
}

func readChains(records []Record) (map[string]chain, []error) {
	var errs []error
	complain := func(r Record, format string, args ...any) {
		errs = append(errs, fmt.Errorf("ledger of class %s: %s #%d: %s", r.Class, r.Kind, r.Seq, fmt.Sprintf(format, args...)))
	}
	chains := map[string]chain{}
	answered := map[*Write]bool{}
	for _, r := range records {
		if !slices.Contains(Classes, r.Class) {
			complain(r, "unknown class")
			continue
		}
		c := chains[r.Class]
		var last *Write
		if n := len(c.writes); n > 0 {
			last = c.writes[n-1]
		}
		switch {
		case r.Kind == Start && c.started:
			complain(r, "the writer starts twice")
		case r.Kind == Start:
			c.started, c.start, c.rate = true, r.At, r.Rate
			if r.Rate <= 0 {
				complain(r, "it has no rate")
			}
		case !c.started:
			complain(r, "it comes before the writer's start")
		case c.stopped:
			complain(r, "it comes after the writer's stop")
		case r.Kind == Stop:
			c.stopped = true
		case r.Kind == Intent:
			w := &Write{Class: r.Class, Seq: r.Seq, Verb: r.Verb, Name: r.Name, Called: r.At, Answered: r.At, Status: InDoubt, digest: r.Digest}
			switch {
			case r.Seq != len(c.writes)+1:
				complain(r, "the chain is at #%d", len(c.writes)+1)
			case last != nil && r.At < last.Answered:
				complain(r, "it was called before #%d was answered: the chain is not sequential", last.Seq)
			case r.Name == "":
				complain(r, "it has no name")
			case r.Verb != Create && r.Verb != Update && r.Verb != Delete:
				complain(r, "unknown verb %q", r.Verb)
			case r.Verb != Delete && r.Digest == "":
				complain(r, "it has no digest")
			}
			c.writes = append(c.writes, w)
		case r.Kind == Outcome:
			switch {
			case last == nil || last.Seq != r.Seq:
				complain(r, "it answers no intent")
			case answered[last]:
				complain(r, "it is answered twice")
			case r.At < last.Called:
				complain(r, "it was answered before it was called")
			case r.Status != Acknowledged && r.Status != Refused && r.Status != InDoubt:
				complain(r, "unknown status %q", r.Status)
			case r.Status == Acknowledged && r.Revision <= 0 && last.Verb != Delete:
				complain(r, "it was acknowledged without a revision")
			case r.Status == Acknowledged && r.Revision != 0 && r.Revision <= newestRevision(c.writes):
				complain(r, "its revision %d is not above the one before, %d", r.Revision, newestRevision(c.writes))
			default:
				answered[last] = true
				last.Answered, last.Status = r.At, r.Status
				if r.Status == Acknowledged {
					last.Revision = r.Revision
				}
			}
		default:
			complain(r, "unknown kind of record")
		}
		chains[r.Class] = c
	}
	for _, class := range Classes {
		if !chains[class].started {
			errs = append(errs, fmt.Errorf("ledger of class %s: its writer never started", class))
		}
	}
	return chains, errs
}

func newestRevision(writes []*Write) (newest int64) {
	for _, w := range slices.Backward(writes) {
		if w.Revision != 0 {
			return w.Revision
		}
	}
	return 0
}

func readSurvivors(survivors []Survivor) (map[string]map[string]Survivor, []error) {
	var errs []error
	there, ended := map[string]map[string]Survivor{}, map[string]bool{}
	for _, s := range survivors {
		if there[s.Class] == nil {
			there[s.Class] = map[string]Survivor{}
		}
		class := there[s.Class]
		_, twice := class[s.Name]
		switch {
		case !slices.Contains(Classes, s.Class):
			errs = append(errs, fmt.Errorf("survivor %q: unknown class %q", s.Name, s.Class))
		case ended[s.Class]:
			errs = append(errs, fmt.Errorf("survivors of class %s: the list goes on after its end", s.Class))
		case s.End && s.Count != len(class):
			errs = append(errs, fmt.Errorf("survivors of class %s: the list has %d lines, its end says %d", s.Class, len(class), s.Count))
			ended[s.Class] = true
		case s.End:
			ended[s.Class] = true
		case twice:
			errs = append(errs, fmt.Errorf("survivors of class %s: %s is listed twice", s.Class, s.Name))
		default:
			class[s.Name] = s
		}
	}
	for _, class := range Classes {
		if !ended[class] {
			errs = append(errs, fmt.Errorf("survivors of class %s: the list has no end: it was not read, or not to its end", class))
		}
	}
	return there, errs
}

// judge sets the fate of each write of a chain from what is there, and returns what is there unexpectedly. Each object is
// judged by itself: only its own writes can explain it.
func judge(class string, writes []*Write, there map[string]Survivor) (strangers []Stranger) {
	objects := map[string][]*Write{}
	for _, w := range writes {
		switch w.Status {
		case Refused:
			w.Fate = Rejected
		case InDoubt:
			w.Fate = Doubtful
		}
		objects[w.Name] = append(objects[w.Name], w)
	}
	for name := range there {
		if objects[name] == nil {
			strangers = append(strangers, Stranger{class, name, "is there, and no write of the ledger made it"})
		}
	}
	for name, own := range objects {
		s, present := there[name]
		if !present {
			judgeAbsent(own)
			continue
		}
		if why := judgePresent(own, s); why != "" {
			strangers = append(strangers, Stranger{class, name, why})
		}
	}
	slices.SortFunc(strangers, func(a, b Stranger) int { return cmp.Compare(a.Name, b.Name) })
	return strangers
}

// judgeAbsent judges the writes of an object that is not there. That is explained by the newest delete that happened or may have: later
// writes are lost, and of earlier ones no trace could be left either way.
func judgeAbsent(own []*Write) {
	gone := -1
	for i, w := range own {
		if w.Verb == Delete && w.Status != Refused {
			gone = i
		}
	}
	for i, w := range own {
		switch {
		case w.Status != Acknowledged:
		case i <= gone:
			w.Fate = Unseen
		default:
			w.Fate = missing(w)
		}
	}
}

// judgePresent judges the writes of an object that is there: what it carries says which write was the last to take effect. The
// answer is not empty when the object carries what no write put there.
func judgePresent(own []*Write, s Survivor) (unexpected string) {
	at := slices.IndexFunc(own, func(w *Write) bool { return w.Seq == s.Seq && w.Verb != Delete })
	switch {
	case at < 0:
		unexpected = fmt.Sprintf("carries #%d, and no such write made it", s.Seq)
	case own[at].Status == Refused:
		unexpected = fmt.Sprintf("carries #%d, which was refused", s.Seq)
	case own[at].digest != s.Digest:
		unexpected = fmt.Sprintf("has another value than #%d wrote", s.Seq)
	}
	if unexpected != "" {
		// Nothing tells which of its writes took effect, but the newest acknowledged one is not in effect.
		newest := true
		for _, w := range slices.Backward(own) {
			if w.Status == Acknowledged {
				w.Fate = Unseen
				if newest {
					w.Fate, newest = missing(w), false
				}
			}
		}
		return unexpected
	}
	carried := own[at]
	carried.Recovered = carried.Status == InDoubt
	for i, w := range own {
		switch {
		case w.Status != Acknowledged:
		case i <= at:
			w.Fate = Kept
		case carried.Recovered && w.Revision != 0 && s.Revision > w.Revision:
			// A write in doubt that arrived late overwrote this one.
			w.Fate = Kept
		default:
			w.Fate = missing(w)
		}
	}
	return ""
}

func missing(w *Write) Fate {
	if w.Verb == Delete {
		return Resurrected
	}
	return Lost
}

// minRate is the part of its rate without which a writer did not put the cluster under the load that it was to be under. Above it, what was not
// written widens what can be told (Sums.Least, Sums.Short): a machine that stalls for a moment voids nothing.
const minRate = 0.5

// doubts tells why the measurement of one class proves nothing, whatever its figures.
func (c chain) doubts(class string, began time.Duration) (doubts []string) {
	doubt := func(format string, args ...any) {
		doubts = append(doubts, "writer "+class+" "+fmt.Sprintf(format, args...))
	}
	if !c.stopped {
		doubt("was not stopped: its records may end too early")
	}
	if c.start >= began {
		doubt("started after the failure")
		return doubts
	}
	switch n := c.acknowledged(-1, began); {
	case n == 0:
		doubt("had no write acknowledged before the failure")
	case float64(n) < minRate*c.rate*(began-c.start).Seconds()-1:
		doubt("reached %.2f writes a second before the failure, it was to reach %.2f", c.reached(began), c.rate)
	}
	return doubts
}

// acknowledged counts the writes that were acknowledged after a time, and not after another.
func (c chain) acknowledged(after, until time.Duration) (n int) {
	for _, w := range c.writes {
		if w.Status == Acknowledged && w.Answered > after && w.Answered <= until {
			n++
		}
	}
	return n
}

// short is how many of the writes that were asked for between two times were not acknowledged, as Sums.Short has it.
func (c chain) short(after, until time.Duration) int {
	return max(0, int(c.rate*(until-after).Seconds())-1-c.acknowledged(after, until))
}

// reached is the rate of acknowledged writes from the writer's start until the failure began.
func (c chain) reached(began time.Duration) float64 {
	if began <= c.start {
		return 0
	}
	return float64(c.acknowledged(-1, began)) / (began - c.start).Seconds()
}

// sum counts fates.
func (a *Account) sum() {
	a.Classes, a.Total = nil, Sums{Class: "total"}
	for _, class := range Classes {
		c := a.chains[class]
		s := Sums{Class: class, Rate: c.reached(a.began), Want: c.rate}
		s.count(c.writes, a.Struck)
		newest := 0
		for _, w := range c.writes {
			if w.Fate == Kept || w.Recovered {
				newest = max(newest, w.Seq)
			}
		}
		for _, w := range c.writes {
			if w.Fate.Missing() && w.Seq < newest {
				s.Holes++
			}
		}
		from := c.start
		if s.UpTo != nil {
			from = s.UpTo.Answered
		}
		s.Short = c.short(from, a.began)
		a.Total.Short += s.Short
		a.Total.Holes += s.Holes
		a.Total.Rate += s.Rate
		a.Total.Want += s.Want
		a.Classes = append(a.Classes, s)
	}
	for _, stranger := range a.Strangers {
		a.Classes[slices.Index(Classes, stranger.Class)].Unexpected++
		a.Total.Unexpected++
	}
	a.Total.count(a.Writes, a.Struck)
	// Of all writes together, those of one writer would hide that another had fallen silent.
	longest := slices.MaxFunc(a.Classes, func(x, y Sums) int { return cmp.Compare(x.bound(), y.bound()) })
	a.Total.RPO, a.Total.UpTo = longest.RPO, longest.UpTo
}

// bound is RPO, and beyond any where there is none.
func (s Sums) bound() time.Duration {
	if s.RPO == nil {
		return math.MaxInt64
	}
	return *s.RPO
}

func (s *Sums) count(writes []*Write, struck time.Duration) {
	acknowledged := make([]*Write, 0, len(writes))
	for _, w := range writes {
		s.Attempted++
		switch w.Status {
		case Refused:
			s.Refused++
		case InDoubt:
			s.InDoubt++
			if w.Recovered {
				s.Recovered++
			}
		case Acknowledged:
			s.Acknowledged++
			acknowledged = append(acknowledged, w)
		}
		switch w.Fate {
		case Kept:
			s.Kept++
		case Unseen:
			s.Kept++
			s.Unseen++
		case Lost:
			s.Lost++
		case Resurrected:
			s.Resurrected++
		}
	}
	slices.SortStableFunc(acknowledged, func(a, b *Write) int { return cmp.Compare(a.Answered, b.Answered) })
	// A write may still be acknowledged while the failure is being looked for.
	for _, w := range acknowledged {
		if w.Fate.Missing() {
			s.FirstMissing, s.Least = w, max(0, struck-w.Answered)
			break
		}
		s.UpTo = w
	}
	if s.UpTo != nil {
		rpo := max(0, struck-s.UpTo.Answered)
		s.RPO = &rpo
	}
}

// Reconcile brings in the second, independent method: what is restored from an artifact of the given revision holds exactly
// the acknowledged writes up to it. Writes that nobody could see are settled by it, and the sums are made anew. It
// returns the writes on which the two methods do not agree, and how many acknowledged writes lie above the revision.
// A delete whose revision the API did not tell lies between its neighbours in the chain; where the artifact was taken
// just there, either fate agrees.
func (a *Account) Reconcile(revision int64) (disagreements []Disagreement, above int) {
	for _, class := range Classes {
		writes := a.chains[class].writes
		// vanished are, by object, the newest unseen write that the revision covers.
		vanished := map[string]*Write{}
		// past is set once the chain is seen to be above the revision: what follows in it is, too.
		past := false
		for i, w := range writes {
			if w.Status == InDoubt && w.Verb == Delete {
				delete(vanished, w.Name)
			}
			if w.Status != Acknowledged {
				continue
			}
			low, high := bounds(writes, i)
			covered := high <= revision
			if low <= revision && revision < high {
				covered = !w.Fate.Missing() && !past
			}
			past = past || !covered
			if !covered {
				above++
			}
			switch {
			case w.Fate == Unseen && covered:
				w.Fate, vanished[w.Name] = Kept, w
			case w.Fate == Unseen:
				w.Fate = Lost
			case covered == w.Fate.Missing():
				disagreements = append(disagreements, Disagreement{w, w.Fate, covered})
			}
		}
		for _, w := range writes {
			// The artifact holds this object, since it was deleted after the artifact was taken; and it is not there.
			if vanished[w.Name] == w && w.Verb != Delete {
				w.Fate = Lost
				disagreements = append(disagreements, Disagreement{w, w.Fate, true})
			}
		}
	}
	a.sum()
	return disagreements, above
}

// bounds of the revision of write i: it is at least low and at most high.
func bounds(writes []*Write, i int) (low, high int64) {
	if r := writes[i].Revision; r != 0 {
		return r, r
	}
	high = int64(1)<<62 - 1
	for _, w := range writes[i+1:] {
		if w.Revision != 0 {
			high = w.Revision - 1
			break
		}
	}
	return newestRevision(writes[:i]) + 1, high
}
