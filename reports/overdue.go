package reports

import (
	"cmp"
	"slices"
	"time"

	"github.com/restore-drill/restore-drill/internal/cadence"
)

// A Due is when a scenario has to be rehearsed again.
type Due struct {
	Scenario string `json:"scenario"`
	Cadence  string `json:"cadence"`
	// Kept is when the newest drill began that came out as its scenario declares, with a verdict that is not unknown; absent for never.
	Kept *time.Time `json:"kept,omitempty"`
	// Due is when the next one has to begin at the latest; absent when there was none.
	Due *time.Time `json:"due,omitempty"`
	// Newest is the verdict of the newest drill, whatever it was; absent for none.
	Newest  *Verdict `json:"newest,omitempty"`
	Overdue bool     `json:"overdue"`
}

// Dues says for each scenario whether it is overdue at now. A cadence is kept by a drill that showed what its scenario declares: one that failed, or could not
// tell, is no rehearsal. Declared are cadences by the scenarios' names; those that are not in it are taken from their newest record. The longest overdue come first.
func Dues(records []Record, declared map[string]string, now time.Time) ([]Due, error) {
	cadences := map[string]string{}
	newest, kept := map[string]Record{}, map[string]Record{}
	later := func(of map[string]Record, r Record) {
		if old, ok := of[r.Scenario]; !ok || !r.Started.Before(old.Started) {
			of[r.Scenario] = r
		}
	}
	for _, r := range records {
		later(newest, r)
		if r.AsDeclared && (r.Verdict == Passed || r.Verdict == Failed) {
			later(kept, r)
		}
	}
	for name, r := range newest {
		cadences[name] = r.Cadence
	}
	for name, c := range declared {
		cadences[name] = c
	}
	var all []Due
	for name, c := range cadences {
		if c == "" {
			continue
		}
		period, err := cadence.Period(c)
		if err != nil {
			return nil, err
		}
		d := Due{Scenario: name, Cadence: c, Overdue: true}
		if r, ok := newest[name]; ok {
			d.Newest = &r.Verdict
		}
		if r, ok := kept[name]; ok {
			due := r.Started.Add(period)
			d.Kept, d.Due, d.Overdue = &r.Started, &due, now.After(due)
		}
		all = append(all, d)
	}
	at := func(d Due) time.Time {
		if d.Due == nil {
			return time.Time{}
		}
		return *d.Due
	}
	slices.SortFunc(all, func(a, b Due) int { return cmp.Or(at(a).Compare(at(b)), cmp.Compare(a.Scenario, b.Scenario)) })
	return all, nil
}

// Ago is a span of time in words, rounded to what matters.
func Ago(d time.Duration) string {
	switch hours := d.Hours(); {
	case d < time.Hour:
		return plural(int(d.Minutes()), "minute")
	case hours < 48:
		return plural(int(hours), "hour")
	default:
		return plural(int(hours/24), "day")
	}
}

// State of a scenario at now, in words.
func (d Due) State(now time.Time) string {
	switch {
	case d.Due == nil:
		return "OVERDUE, never kept"
	case d.Overdue:
		return "OVERDUE by " + Ago(now.Sub(*d.Due))
	}
	return "due in " + Ago(d.Due.Sub(now))
}
