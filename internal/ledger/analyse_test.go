package ledger_test

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/internal/ledger"
)

const ms = time.Millisecond

// tape writes records by hand: one chain of class core, and five others that do one write and stop.
type tape struct {
	records   []ledger.Record
	survivors []ledger.Survivor
	seq       int
	now       time.Duration
	revision  int64
}

func newTape() *tape {
	t := &tape{revision: 10}
	t.records = append(t.records, ledger.Record{Kind: ledger.Start, Class: ledger.ClassCore, Rate: 10})
	return t
}

// write appends a write and its outcome ("" for none), 100 ms apart.
func (t *tape) write(verb, name, status string) *tape {
	t.seq++
	t.now += 90 * ms
	r := ledger.Record{Kind: ledger.Intent, Class: ledger.ClassCore, Seq: t.seq, Verb: verb, Name: name, At: t.now}
	if verb != ledger.Delete {
		r.Digest = fmt.Sprint("value ", t.seq)
	}
	t.records = append(t.records, r)
	t.now += 10 * ms
	if status == "" {
		return t
	}
	r = ledger.Record{Kind: ledger.Outcome, Class: ledger.ClassCore, Seq: t.seq, Status: status, At: t.now}
	if status == ledger.Acknowledged {
		t.revision += 10
		if verb != ledger.Delete {
			r.Revision = t.revision
		}
	}
	t.records = append(t.records, r)
	return t
}

func (t *tape) there(name string, seq int) *tape {
	t.survivors = append(t.survivors, ledger.Survivor{Class: ledger.ClassCore, Name: name, Seq: seq, Digest: fmt.Sprint("value ", seq)})
	return t
}

// analyse closes the tape; struck is now.
func (t *tape) analyse(test *testing.T) ledger.Account {
	records := append(slices.Clone(t.records), ledger.Record{Kind: ledger.Stop, Class: ledger.ClassCore, At: t.now})
	survivors := append(slices.Clone(t.survivors), ledger.Survivor{Class: ledger.ClassCore, End: true, Count: len(t.survivors)})
	for _, class := range ledger.Classes[1:] {
		records = append(records,
			ledger.Record{Kind: ledger.Start, Class: class, Rate: 0.1},
			ledger.Record{Kind: ledger.Intent, Class: class, Seq: 1, Verb: ledger.Create, Name: "a", Digest: "value 1"},
			ledger.Record{Kind: ledger.Outcome, Class: class, Seq: 1, Status: ledger.Acknowledged, Revision: 5},
			ledger.Record{Kind: ledger.Stop, Class: class})
		survivors = append(survivors,
			ledger.Survivor{Class: class, Name: "a", Seq: 1, Digest: "value 1"},
			ledger.Survivor{Class: class, End: true, Count: 1})
	}
	a, err := ledger.Analyse(records, survivors, ledger.Failure{Began: t.now, Struck: t.now})
	require.NoError(test, err)
	return a
}

func fates(a ledger.Account) (fates []string) {
	for _, w := range a.Writes {
		if w.Class == ledger.ClassCore {
			fate := w.Fate.String()
			if w.Recovered {
				fate += ", recovered"
			}
			fates = append(fates, fate)
		}
	}
	return fates
}

func TestFateOfEachWrite(t *testing.T) {
	const ack, doubt, refused = ledger.Acknowledged, ledger.InDoubt, ledger.Refused
	const create, update, del = ledger.Create, ledger.Update, ledger.Delete
	for name, test := range map[string]struct {
		tape      *tape
		want      []string
		strangers []string
		holes     int
	}{
		"kept, and the tail lost": {
			tape: newTape().write(create, "a", ack).write(create, "b", ack).write(create, "c", ack).there("a", 1),
			want: []string{"kept", "lost", "lost"},
		},
		"a hole": {
			tape:  newTape().write(create, "a", ack).write(create, "b", ack).write(create, "c", ack).there("a", 1).there("c", 3),
			want:  []string{"kept", "lost", "kept"},
			holes: 1,
		},
		"a hole under a recovered write": {
			tape:  newTape().write(create, "a", ack).write(create, "b", ack).write(create, "c", doubt).there("a", 1).there("c", 3),
			want:  []string{"kept", "lost", "in doubt, recovered"},
			holes: 1,
		},
		"in doubt: neither lost nor kept": {
			tape: newTape().write(create, "a", ack).write(create, "b", doubt).write(create, "c", "").there("a", 1),
			want: []string{"kept", "in doubt", "in doubt"},
		},
		"an intent without outcome is recovered": {
			tape: newTape().write(create, "a", ack).write(create, "b", "").there("a", 1).there("b", 2),
			want: []string{"kept", "in doubt, recovered"},
		},
		"refused, and rightly not there": {
			tape: newTape().write(create, "a", ack).write(create, "b", refused).there("a", 1),
			want: []string{"kept", "refused"},
		},
		"refused, and there": {
			tape:      newTape().write(create, "a", ack).write(create, "b", refused).there("a", 1).there("b", 2),
			want:      []string{"kept", "refused"},
			strangers: []string{"b carries #2, which was refused"},
		},
		"never written, and there": {
			tape:      newTape().write(create, "a", ack).there("a", 1).there("z", 1),
			want:      []string{"kept"},
			strangers: []string{"z is there, and no write of the ledger made it"},
		},
		"an overwritten update counts as kept": {
			tape: newTape().write(create, "a", ack).write(update, "a", ack).write(update, "a", ack).write(update, "a", ack).there("a", 3),
			want: []string{"kept", "kept", "kept", "lost"},
		},
		"an update chain that is gone": {
			tape: newTape().write(create, "a", ack).write(update, "a", ack),
			want: []string{"lost", "lost"},
		},
		"another value": {
			tape: func() *tape {
				t := newTape().write(create, "a", ack).write(update, "a", ack).there("a", 2)
				t.survivors[0].Digest = "tampered"
				return t
			}(),
			want:      []string{"unseen", "lost"},
			strangers: []string{"a has another value than #2 wrote"},
		},
		"a sequence from nowhere": {
			tape:      newTape().write(create, "a", ack).there("a", 7),
			want:      []string{"lost"},
			strangers: []string{"a carries #7, and no such write made it"},
		},
		"the sequence of another object": {
			tape:      newTape().write(create, "a", ack).write(create, "b", ack).there("a", 2).there("b", 2),
			want:      []string{"lost", "kept"},
			strangers: []string{"a carries #2, and no such write made it"},
			holes:     1,
		},
		"resurrected": {
			tape: newTape().write(create, "a", ack).write(del, "a", ack).there("a", 1),
			want: []string{"kept", "resurrected"},
		},
		"a hole among deletes": {
			tape: newTape().write(create, "a", ack).write(del, "a", ack).write(create, "b", ack).write(del, "b", ack).
				there("a", 1).there("b", 3),
			want:  []string{"kept", "resurrected", "kept", "resurrected"},
			holes: 1,
		},
		"deleted, and gone": {
			tape: newTape().write(create, "a", ack).write(del, "a", ack),
			want: []string{"unseen", "unseen"},
		},
		"a delete in doubt explains the absence": {
			tape: newTape().write(create, "a", ack).write(del, "a", doubt),
			want: []string{"unseen", "in doubt"},
		},
		"a delete in doubt did not happen": {
			tape: newTape().write(create, "a", ack).write(del, "a", doubt).there("a", 1),
			want: []string{"kept", "in doubt"},
		},
		"a refused delete explains nothing": {
			tape: newTape().write(create, "a", ack).write(del, "a", refused),
			want: []string{"lost", "refused"},
		},
		"deleted and made again": {
			tape: newTape().write(create, "a", ack).write(del, "a", ack).write(create, "a", ack).there("a", 3),
			want: []string{"kept", "kept", "kept"},
		},
		"deleted, made again and lost": {
			tape: newTape().write(create, "a", ack).write(del, "a", ack).write(create, "a", ack),
			want: []string{"unseen", "unseen", "lost"},
		},
		"a write in doubt that arrived late overwrote a newer one": {
			tape: func() *tape {
				t := newTape().write(create, "a", ack).write(update, "a", doubt).write(update, "a", ack).there("a", 2)
				t.survivors[0].Revision = 31
				return t
			}(),
			want: []string{"kept", "in doubt, recovered", "kept"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := test.tape.analyse(t)
			require.Equal(t, test.want, fates(a))
			var strangers []string
			for _, s := range a.Strangers {
				strangers = append(strangers, s.Name+" "+s.Why)
			}
			require.Equal(t, test.strangers, strangers)
			core := a.Classes[0]
			require.Equal(t, test.holes, core.Holes)
			require.Equal(t, len(test.strangers), core.Unexpected)
			require.Equal(t, core.Attempted, core.Acknowledged+core.InDoubt+core.Refused)
			require.Equal(t, core.Acknowledged, core.Kept+core.Lost+core.Resurrected, "every acknowledged write is kept or missing")
		})
	}
}

func TestRPOIsTheAgeOfTheNewestWriteUpToWhichNothingIsMissing(t *testing.T) {
	const ack, create = ledger.Acknowledged, ledger.Create
	tape := newTape()
	for _, name := range []string{"a", "b", "c", "d"} {
		tape.write(create, name, ack)
	}
	tape.write(create, "e", ledger.InDoubt)

	a := tape.there("a", 1).there("b", 2).analyse(t)
	require.Equal(t, 300*ms, *a.Classes[0].RPO, "struck at 500 ms, b acknowledged at 200 ms")
	require.Equal(t, 200*ms, a.Classes[0].Least, "c acknowledged at 300 ms")
	require.Equal(t, "core #2 (create b, revision 30)", a.Classes[0].UpTo.String())
	require.Equal(t, "core #3 (create c, revision 40)", a.Classes[0].FirstMissing.String())
	require.Equal(t, 500*ms, *a.Total.RPO, "the other writers wrote at 0 ms and not again: nobody knows what would have been lost of theirs")
	require.Equal(t, "custom #1 (create a, revision 5)", a.Total.UpTo.String())
	require.Equal(t, 200*ms, a.Total.Least)
	require.Equal(t, 2, a.Total.Lost)

	tape.survivors = nil
	a = tape.there("b", 2).there("c", 3).there("d", 4).analyse(t)
	require.Nil(t, a.Classes[0].RPO, "the first write of all is missing")
	require.Equal(t, 400*ms, a.Classes[0].Least)
	require.Nil(t, a.Total.RPO, "what a writer that lost all would have lost more is not known")
	require.Equal(t, 400*ms, a.Total.Least)

	tape.survivors = nil
	a = tape.there("a", 1).there("b", 2).there("c", 3).there("d", 4).analyse(t)
	require.Equal(t, 100*ms, *a.Classes[0].RPO, "nothing is missing: no finer than the writer's interval")
	require.Zero(t, a.Classes[0].Least)
	require.Nil(t, a.Classes[0].FirstMissing)
}

// Silence and a low rate widen what can be told, and make it no less true.
func TestWritersThatWroteLess(t *testing.T) {
	const ack, create = ledger.Acknowledged, ledger.Create
	silent := newTape()
	for i := range 100 {
		silent.write(create, fmt.Sprint(i), ack).there(fmt.Sprint(i), i+1)
	}
	a := silent.analyse(t)
	require.Empty(t, a.Doubts)
	require.Zero(t, *a.Classes[0].RPO)
	require.Zero(t, a.Classes[0].Short)
	silent.now += 2 * time.Second
	a = silent.analyse(t)
	require.Empty(t, a.Doubts)
	require.Equal(t, 2*time.Second, *a.Classes[0].RPO, "what was written last is that old")
	require.Zero(t, a.Classes[0].Least)
	require.Equal(t, 19, a.Classes[0].Short, "ten a second, but for one")
	silent.write(create, "late", ack)
	a = silent.analyse(t)
	require.Equal(t, 2100*ms, *a.Classes[0].RPO)
	require.Zero(t, a.Classes[0].Least, "the write that is missing was made when the failure began")
	require.Equal(t, 19, a.Classes[0].Short, "21, of which one was made, and one may have been cut")

	slow := newTape()
	for i := range 10 {
		slow.now += 80 * ms
		slow.write(create, fmt.Sprint(i), ack)
		if i < 5 {
			slow.there(fmt.Sprint(i), i+1)
		}
	}
	a = slow.analyse(t)
	require.Empty(t, a.Doubts)
	require.Equal(t, 900*ms, *a.Classes[0].RPO)
	require.Equal(t, 720*ms, a.Classes[0].Least)
	require.Equal(t, 5, a.Classes[0].Lost)
	require.Equal(t, 3, a.Classes[0].Short, "nine in 900 ms, five of them made, and one may have been cut")
	require.InDelta(t, 10/1.8, a.Classes[0].Rate, 1e-9)

	slow.now += 3 * time.Second
	a = slow.analyse(t)
	require.Equal(t, []string{"writer core reached 2.08 writes a second before the failure, it was to reach 10.00"}, a.Doubts)
}

func TestTheTwoMethodsDisagree(t *testing.T) {
	const ack, create, del = ledger.Acknowledged, ledger.Create, ledger.Delete
	for name, test := range map[string]struct {
		tape     *tape
		revision int64
		above    int
		want     []string
		fates    []string
	}{
		"they agree": {
			tape:     newTape().write(create, "a", ack).write(create, "b", ack).there("a", 1),
			revision: 25, above: 1, fates: []string{"kept", "lost"},
		},
		"lost below the revision": {
			tape:     newTape().write(create, "a", ack).write(create, "b", ack).there("a", 1),
			revision: 30, above: 0, fates: []string{"kept", "lost"},
			want: []string{"core #2 (create b, revision 30) is lost, though the artifact's revision covers it"},
		},
		"kept above the revision": {
			tape:     newTape().write(create, "a", ack).write(create, "b", ack).there("a", 1).there("b", 2),
			revision: 29, above: 1, fates: []string{"kept", "kept"},
			want: []string{"core #2 (create b, revision 30) is kept, though it is newer than the artifact's revision"},
		},
		"a delete between its neighbours may be either": {
			tape:     newTape().write(create, "a", ack).write(del, "a", ack).write(create, "b", ack).there("a", 1),
			revision: 30, above: 2, fates: []string{"kept", "resurrected", "lost"},
		},
		"a delete between its neighbours may be either: gone": {
			tape:     newTape().write(create, "a", ack).write(del, "a", ack).write(create, "b", ack),
			revision: 30, above: 1, fates: []string{"kept", "kept", "lost"},
		},
		"a delete that must have been there": {
			tape:     newTape().write(create, "a", ack).write(del, "a", ack).write(create, "b", ack).there("a", 1),
			revision: 39, above: 1, fates: []string{"kept", "resurrected", "lost"},
			want: []string{"core #2 (delete a) is resurrected, though the artifact's revision covers it"},
		},
		"made and deleted above the revision: lost, though nobody can see it": {
			tape:     newTape().write(create, "a", ack).write(create, "b", ack).write(del, "b", ack).there("a", 1),
			revision: 20, above: 2, fates: []string{"kept", "lost", "lost"},
		},
		"an object that the artifact holds is not there, and was deleted later": {
			tape:     newTape().write(create, "a", ack).write(create, "b", ack).write(create, "c", ack).write(del, "b", ack).there("a", 1),
			revision: 30, above: 2, fates: []string{"kept", "lost", "lost", "lost"},
			want: []string{"core #2 (create b, revision 30) is lost, though the artifact's revision covers it"},
		},
		"the same under a delete in doubt cannot be told": {
			tape:     newTape().write(create, "a", ack).write(create, "b", ack).write(del, "b", ledger.InDoubt).there("a", 1),
			revision: 30, above: 0, fates: []string{"kept", "kept", "in doubt"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := test.tape.analyse(t)
			disagreements, above := a.Reconcile(test.revision)
			var got []string
			for _, d := range disagreements {
				got = append(got, d.String())
			}
			require.Equal(t, test.want, got)
			require.Equal(t, test.above, above)
			require.Equal(t, test.fates, fates(a))
			if test.want == nil {
				require.Equal(t, above, a.Total.Missing())
			}
		})
	}
}

func TestAnAccountThatProvesNothing(t *testing.T) {
	const create = ledger.Create
	none := newTape().write(create, "a", ledger.InDoubt)
	require.Equal(t, []string{"writer core had no write acknowledged before the failure"}, without(none.analyse(t).Doubts, "core"))

	late := newTape()
	late.records[0].At = time.Hour
	a := late.analyse(t)
	require.Equal(t, []string{"writer core started after the failure"}, without(a.Doubts, "core"))
	require.Nil(t, a.Classes[0].RPO)
}

// without keeps the doubts about one writer.
func without(doubts []string, class string) (own []string) {
	for _, d := range doubts {
		if len(d) > 7+len(class) && d[7:7+len(class)] == class {
			own = append(own, d)
		}
	}
	return own
}

func TestListsThatAreNoAccount(t *testing.T) {
	start := ledger.Record{Kind: ledger.Start, Class: ledger.ClassCore, Rate: 1}
	intent := func(seq int, at time.Duration) ledger.Record {
		return ledger.Record{Kind: ledger.Intent, Class: ledger.ClassCore, Seq: seq, Verb: ledger.Create, Name: "a", Digest: "d", At: at}
	}
	outcome := func(seq int, at time.Duration, revision int64) ledger.Record {
		return ledger.Record{Kind: ledger.Outcome, Class: ledger.ClassCore, Seq: seq, Status: ledger.Acknowledged, At: at, Revision: revision}
	}
	for want, records := range map[string][]ledger.Record{
		"ledger of class core: its writer never started":                                                     {},
		"ledger of class core: intent #1: it comes before the writer's start":                                {intent(1, 0)},
		"ledger of class core: start #0: the writer starts twice":                                            {start, start},
		"ledger of class core: start #0: it has no rate":                                                     {{Kind: ledger.Start, Class: ledger.ClassCore}},
		"ledger of class core: intent #1: it comes after the writer's stop":                                  {start, {Kind: ledger.Stop, Class: ledger.ClassCore}, intent(1, 0)},
		"ledger of class core: intent #2: the chain is at #1":                                                {start, intent(2, 0)},
		"ledger of class core: intent #2: it was called before #1 was answered: the chain is not sequential": {start, intent(1, 0), outcome(1, 5, 1), intent(2, 3)},
		"ledger of class core: outcome #1: it answers no intent":                                             {start, outcome(1, 0, 1)},
		"ledger of class core: outcome #1: it is answered twice":                                             {start, intent(1, 0), outcome(1, 0, 1), outcome(1, 0, 2)},
		"ledger of class core: outcome #1: it was answered before it was called":                             {start, intent(1, 5), outcome(1, 0, 1)},
		"ledger of class core: outcome #1: it was acknowledged without a revision":                           {start, intent(1, 0), outcome(1, 0, 0)},
		"ledger of class core: outcome #2: its revision 7 is not above the one before, 7":                    {start, intent(1, 0), outcome(1, 0, 7), intent(2, 0), outcome(2, 0, 7)},
		"ledger of class core: outcome #1: unknown status \"OK\"":                                            {start, intent(1, 0), {Kind: ledger.Outcome, Class: ledger.ClassCore, Seq: 1, Status: "OK"}},
		"ledger of class core: intent #1: unknown verb \"\"":                                                 {start, {Kind: ledger.Intent, Class: ledger.ClassCore, Seq: 1, Name: "a", Digest: "d"}},
		"ledger of class core: intent #1: it has no name":                                                    {start, {Kind: ledger.Intent, Class: ledger.ClassCore, Seq: 1, Verb: ledger.Delete}},
		"ledger of class core: intent #1: it has no digest":                                                  {start, {Kind: ledger.Intent, Class: ledger.ClassCore, Seq: 1, Verb: ledger.Create, Name: "a"}},
		"ledger of class core:  #0: unknown kind of record":                                                  {start, {Class: ledger.ClassCore}},
		"ledger of class volume: start #0: unknown class":                                                    {{Kind: ledger.Start, Class: "volume"}},
	} {
		_, err := ledger.Analyse(records, nil, ledger.Failure{Began: time.Second, Struck: time.Second})
		require.ErrorContains(t, err, want)
	}
	for want, survivors := range map[string][]ledger.Survivor{
		"survivors of class core: the list has no end: it was not read, or not to its end": {{Class: ledger.ClassCore, Name: "a"}},
		"survivors of class core: the list has 0 lines, its end says 1":                    {{Class: ledger.ClassCore, End: true, Count: 1}},
		"survivors of class core: the list goes on after its end":                          {{Class: ledger.ClassCore, End: true}, {Class: ledger.ClassCore, Name: "a"}},
		"survivors of class core: a is listed twice":                                       {{Class: ledger.ClassCore, Name: "a"}, {Class: ledger.ClassCore, Name: "a"}},
		"survivor \"a\": unknown class \"volume\"":                                         {{Class: "volume", Name: "a"}},
	} {
		_, err := ledger.Analyse(nil, survivors, ledger.Failure{Began: time.Second, Struck: time.Second})
		require.ErrorContains(t, err, want)
	}
}

// A world is a simulated store, its six writers, and what a restore of it gives.
type world struct {
	rng       *rand.Rand
	records   []ledger.Record
	revision  int64
	state     map[[2]string]ledger.Survivor
	history   map[int64]map[[2]string]ledger.Survivor
	struck    time.Duration
	artifact  int64
	survivors map[[2]string]ledger.Survivor
}

// simulate interleaves the writers at random; some calls are answered, some are not, some refused.
func simulate(seed uint64) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 1)), state: map[[2]string]ledger.Survivor{}, history: map[int64]map[[2]string]ledger.Survivor{}}
	w.revision = w.rng.Int64N(1000) + 1
	seqs, busy, alive := map[string]int{}, map[string]time.Duration{}, map[string][]string{}
	for _, class := range ledger.Classes {
		w.records = append(w.records, ledger.Record{Kind: ledger.Start, Class: class, Rate: 1})
	}
	now := time.Duration(0)
	for range 40 + w.rng.IntN(150) {
		class := ledger.Classes[w.rng.IntN(len(ledger.Classes))]
		now = max(now, busy[class]) + time.Duration(1+w.rng.IntN(20))*ms
		seqs[class]++
		seq := seqs[class]
		verb, name := ledger.Create, fmt.Sprintf("%s-%05d", class, seq)
		switch {
		case class == ledger.ClassUpdate && seq > 1:
			verb, name = ledger.Update, class+"-00001"
		case class == ledger.ClassDelete && len(alive[class]) > 0 && w.rng.IntN(2) == 0:
			i := w.rng.IntN(len(alive[class]))
			verb, name = ledger.Delete, alive[class][i]
			alive[class] = slices.Delete(alive[class], i, i+1)
		}
		r := ledger.Record{Kind: ledger.Intent, Class: class, Seq: seq, Verb: verb, Name: name, At: now}
		if verb != ledger.Delete {
			r.Digest = fmt.Sprint(class, seq)
		}
		w.records = append(w.records, r)
		now += time.Duration(1+w.rng.IntN(5)) * ms
		busy[class] = now
		key := [2]string{class, name}
		_, exists := w.state[key]
		answer := ledger.Record{Kind: ledger.Outcome, Class: class, Seq: seq, At: now, Status: ledger.Acknowledged}
		happens := true
		switch n := w.rng.IntN(20); {
		case verb == ledger.Create && exists, verb != ledger.Create && !exists:
			answer.Status, happens = ledger.Refused, false
		case n == 0:
			answer.Status, happens = ledger.Refused, false
		case n <= 2:
			answer.Status, happens = ledger.InDoubt, w.rng.IntN(2) == 0
		}
		if happens {
			// Other clients write too.
			w.revision += 1 + w.rng.Int64N(3)
			if verb == ledger.Delete {
				delete(w.state, key)
			} else {
				w.state[key] = ledger.Survivor{Class: class, Name: name, Seq: seq, Digest: r.Digest, Revision: w.revision}
			}
			if verb == ledger.Create && class == ledger.ClassDelete {
				alive[class] = append(alive[class], name)
			}
			w.history[w.revision] = maps.Clone(w.state)
		}
		if answer.Status == ledger.Acknowledged && (verb != ledger.Delete || w.rng.IntN(2) == 0) {
			answer.Revision = w.revision
		}
		if answer.Status != ledger.InDoubt || w.rng.IntN(2) == 0 {
			w.records = append(w.records, answer)
		}
	}
	for _, class := range ledger.Classes {
		w.records = append(w.records, ledger.Record{Kind: ledger.Stop, Class: class, At: now})
	}
	w.struck = now
	w.restore(slices.Sorted(maps.Keys(w.history))[w.rng.IntN(len(w.history))])
	return w
}

func (w *world) restore(revision int64) {
	w.artifact, w.survivors = revision, maps.Clone(w.history[revision])
}

func (w *world) analyse(t *testing.T) (ledger.Account, []ledger.Disagreement, int) {
	var list []ledger.Survivor
	count := map[string]int{}
	for _, s := range w.survivors {
		list = append(list, s)
		count[s.Class]++
	}
	for _, class := range ledger.Classes {
		list = append(list, ledger.Survivor{Class: class, End: true, Count: count[class]})
	}
	a, err := ledger.Analyse(w.records, list, ledger.Failure{Began: w.struck, Struck: w.struck})
	require.NoError(t, err)
	disagreements, above := a.Reconcile(w.artifact)
	return a, disagreements, above
}

const histories = 250

func TestAnHonestRestoreOfAnyHistoryAgreesExactly(t *testing.T) {
	lost, resurrected, recovered := 0, 0, 0
	for seed := range uint64(histories) {
		w := simulate(seed)
		a, disagreements, above := w.analyse(t)
		require.Empty(t, disagreements, "seed %d", seed)
		require.Empty(t, a.Strangers, "seed %d", seed)
		require.Zero(t, a.Total.Holes, "seed %d", seed)
		require.Equal(t, above, a.Total.Missing(), "seed %d", seed)
		require.Nil(t, a.Spread(0, math.MaxInt64).Missing, "seed %d: what was restored is a point in time", seed)
		lost, resurrected, recovered = lost+a.Total.Lost, resurrected+a.Total.Resurrected, recovered+a.Total.Recovered
		for _, write := range a.Writes {
			if write.Status == ledger.Acknowledged && write.Revision != 0 {
				require.Equal(t, write.Revision > w.artifact, write.Fate.Missing(), "seed %d: %s", seed, write)
			}
			if write.Status != ledger.Acknowledged {
				require.False(t, write.Fate.Missing() || write.Fate == ledger.Kept, "seed %d: %s", seed, write)
			}
		}
		for _, s := range append(a.Classes, a.Total) {
			require.Equal(t, s.Acknowledged, s.Kept+s.Missing(), "seed %d", seed)
			rpo, known := oracle(a.Writes, s.Class, w.struck)
			require.Equal(t, known, s.RPO != nil, "seed %d: class %s", seed, s.Class)
			if known {
				require.Equal(t, rpo, *s.RPO, "seed %d: class %s", seed, s.Class)
			}
		}
	}
	require.Positive(t, lost)
	require.Positive(t, resurrected)
	require.Positive(t, recovered)
}

// oracle computes an RPO by its definition, in the most naive way.
func oracle(writes []*ledger.Write, class string, struck time.Duration) (time.Duration, bool) {
	if class == "total" { // the longest of the writers'
		longest := time.Duration(0)
		for _, class := range ledger.Classes {
			rpo, known := oracle(writes, class, struck)
			if !known {
				return 0, false
			}
			longest = max(longest, rpo)
		}
		return longest, true
	}
	best, known := time.Duration(0), false
	for _, upTo := range writes {
		whole := upTo.Status == ledger.Acknowledged && class == upTo.Class
		for _, w := range writes {
			if class == w.Class && w.Answered <= upTo.Answered && w.Fate.Missing() {
				whole = false
			}
		}
		if whole && (!known || upTo.Answered > best) {
			best, known = upTo.Answered, true
		}
	}
	return struck - best, known
}

// TestOneClassThatWasReadEarlier is the backup of a tool that reads resource by resource.
func TestOneClassThatWasReadEarlier(t *testing.T) {
	found := 0
	for seed := range uint64(histories) {
		w := simulate(seed)
		revisions := slices.Sorted(maps.Keys(w.history))
		from, to := revisions[w.rng.IntN(len(revisions))], revisions[len(revisions)-1]
		early := ledger.Classes[w.rng.IntN(len(ledger.Classes))]
		w.restore(to)
		maps.DeleteFunc(w.survivors, func(key [2]string, _ ledger.Survivor) bool { return key[0] == early })
		for key, s := range w.history[from] {
			if key[0] == early {
				w.survivors[key] = s
			}
		}
		a, _, _ := w.analyse(t)
		s := a.Spread(from, to)
		proof := false
		for _, missing := range a.Writes {
			for _, kept := range a.Writes {
				proof = proof || missing.Class == early && missing.Fate.Missing() && missing.Revision > from &&
					kept.Class != early && kept.Fate == ledger.Kept && kept.Revision > missing.Revision
			}
		}
		require.Equal(t, proof, s.Missing != nil, "seed %d", seed)
		if !proof {
			continue
		}
		found++
		require.Equal(t, early, s.Missing.Class, "seed %d", seed)
		require.NotEqual(t, early, s.Kept.Class, "seed %d", seed)
		require.Greater(t, s.Kept.Revision, s.Missing.Revision, "seed %d", seed)
		require.GreaterOrEqual(t, s.Apart(), time.Duration(0), "seed %d", seed)
		require.GreaterOrEqual(t, s.Classes, 2, "seed %d", seed)
		require.Equal(t, ledger.Spread{}, a.Spread(to, to), "seed %d: nothing was written there", seed)
	}
	require.Greater(t, found, histories/2)
}

func TestEveryDishonestRestoreIsFound(t *testing.T) {
	// Each mutation changes what is there; it returns false where the history does not lend itself to it.
	acknowledged := func(w *world) map[[2]string][]ledger.Record {
		outcomes := map[[2]any]ledger.Record{}
		for _, r := range w.records {
			if r.Kind == ledger.Outcome {
				outcomes[[2]any{r.Class, r.Seq}] = r
			}
		}
		writes := map[[2]string][]ledger.Record{}
		for _, r := range w.records {
			if r.Kind == ledger.Intent {
				o := outcomes[[2]any{r.Class, r.Seq}]
				r.Status, r.Revision = o.Status, o.Revision
				writes[[2]string{r.Class, r.Name}] = append(writes[[2]string{r.Class, r.Name}], r)
			}
		}
		return writes
	}
	pick := func(w *world, fits func(key [2]string, writes []ledger.Record) bool) ([2]string, []ledger.Record, bool) {
		writes := acknowledged(w)
		var keys [][2]string
		for key, own := range writes {
			if fits(key, own) {
				keys = append(keys, key)
			}
		}
		if len(keys) == 0 {
			return [2]string{}, nil, false
		}
		slices.SortFunc(keys, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
		key := keys[w.rng.IntN(len(keys))]
		return key, writes[key], true
	}
	doubtful := func(r ledger.Record) bool { return r.Status == "" || r.Status == ledger.InDoubt }
	for name, mutate := range map[string]func(w *world) bool{
		"drop an object": func(w *world) bool {
			key, _, ok := pick(w, func(key [2]string, own []ledger.Record) bool {
				s, there := w.survivors[key]
				// Writes in doubt, and deletes whose revision nobody knows, leave room for an honest explanation.
				return there && !slices.ContainsFunc(own, func(r ledger.Record) bool { return doubtful(r) || r.Revision == 0 }) && s.Revision <= w.artifact
			})
			delete(w.survivors, key)
			return ok
		},
		"copy an object": func(w *world) bool {
			key, _, ok := pick(w, func(key [2]string, _ []ledger.Record) bool { _, there := w.survivors[key]; return there })
			if ok {
				s := w.survivors[key]
				s.Name += "-copy"
				w.survivors[[2]string{s.Class, s.Name}] = s
			}
			return ok
		},
		"alter a value": func(w *world) bool {
			key, _, ok := pick(w, func(key [2]string, _ []ledger.Record) bool { _, there := w.survivors[key]; return there })
			if ok {
				s := w.survivors[key]
				s.Digest = "tampered"
				w.survivors[key] = s
			}
			return ok
		},
		"resurrect an object": func(w *world) bool {
			key, own, ok := pick(w, func(key [2]string, own []ledger.Record) bool {
				_, there := w.survivors[key]
				last := own[len(own)-1]
				return !there && len(own) == 2 && last.Verb == ledger.Delete && last.Status == ledger.Acknowledged &&
					last.Revision != 0 && last.Revision <= w.artifact
			})
			if ok {
				w.survivors[key] = ledger.Survivor{Class: key[0], Name: key[1], Seq: own[0].Seq, Digest: own[0].Digest}
			}
			return ok
		},
		"set an object back": func(w *world) bool {
			key, own, ok := pick(w, func(key [2]string, own []ledger.Record) bool {
				s, there := w.survivors[key]
				return there && key[0] == ledger.ClassUpdate && s.Seq > own[0].Seq && !slices.ContainsFunc(own, doubtful)
			})
			if ok {
				w.survivors[key] = ledger.Survivor{Class: key[0], Name: key[1], Seq: own[0].Seq, Digest: own[0].Digest}
			}
			return ok
		},
		"restore what is newer than the artifact": func(w *world) bool {
			key, own, ok := pick(w, func(key [2]string, own []ledger.Record) bool {
				return len(own) == 1 && own[0].Status == ledger.Acknowledged && own[0].Revision > w.artifact
			})
			if ok {
				w.survivors[key] = ledger.Survivor{Class: key[0], Name: key[1], Seq: own[0].Seq, Digest: own[0].Digest, Revision: own[0].Revision}
			}
			return ok
		},
		"restore an older artifact than is said": func(w *world) bool {
			said := w.artifact
			w.restore(slices.Sorted(maps.Keys(w.history))[0])
			older := w.artifact
			w.artifact = said
			for _, own := range acknowledged(w) {
				for _, r := range own {
					if r.Status == ledger.Acknowledged && r.Revision > older && r.Revision <= said && len(own) == 1 {
						return true
					}
				}
			}
			return false
		},
	} {
		t.Run(name, func(t *testing.T) {
			mutated := 0
			for seed := range uint64(histories) {
				w := simulate(seed)
				if !mutate(w) {
					continue
				}
				mutated++
				a, disagreements, _ := w.analyse(t)
				require.True(t, len(disagreements) > 0 || len(a.Strangers) > 0 || a.Total.Holes > 0, "seed %d is not found", seed)
			}
			require.Greater(t, mutated, histories/20)
		})
	}
}

// A failure that takes its time to be visible hinders the writers; their rate is taken until it began.
func TestTheRateIsTakenUntilTheFailureBegan(t *testing.T) {
	w := ledger.Record{Class: ledger.ClassCore, Verb: ledger.Create, Digest: "d"}
	var records []ledger.Record
	var survivors []ledger.Survivor
	for _, class := range ledger.Classes {
		records = append(records, ledger.Record{Kind: ledger.Start, Class: class, Rate: 10})
		for seq := 1; seq <= 10; seq++ {
			w.Class, w.Seq, w.Name = class, seq, fmt.Sprint(class, seq)
			intent, outcome := w, w
			intent.Kind, intent.At = ledger.Intent, time.Duration(seq)*100*time.Millisecond
			outcome.Kind, outcome.At, outcome.Status, outcome.Revision = ledger.Outcome, intent.At+time.Millisecond, ledger.Acknowledged, int64(seq)
			records = append(records, intent, outcome)
			survivors = append(survivors, ledger.Survivor{Class: class, Name: w.Name, Seq: seq, Digest: "d", Revision: int64(seq)})
		}
		records = append(records, ledger.Record{Kind: ledger.Stop, Class: class})
		survivors = append(survivors, ledger.Survivor{Class: class, End: true, Count: 10})
	}
	a, err := ledger.Analyse(records, survivors, ledger.Failure{Began: 1100 * time.Millisecond, Struck: 5 * time.Second})
	require.NoError(t, err)
	require.Empty(t, a.Doubts)
	require.Equal(t, 5*time.Second-1001*time.Millisecond, *a.Total.RPO, "the RPO is up to when the failure was visible")
	require.Zero(t, a.Total.Short)
	a, err = ledger.Analyse(records, survivors, ledger.Failure{Began: 5 * time.Second, Struck: 5 * time.Second})
	require.NoError(t, err)
	require.Equal(t, 5*time.Second-1001*time.Millisecond, *a.Total.RPO)
	require.Equal(t, 38*len(ledger.Classes), a.Total.Short, "nothing explains why they fell silent")
	require.InDelta(t, 12, a.Total.Rate, 1e-9)
}
