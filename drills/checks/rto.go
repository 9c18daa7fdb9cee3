package checks

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/reports"
)

// rtoMarks have to be reached before a service counts as restored.
func (run *Run) rtoMarks() []string {
	all := []string{evidence.MarkRestoreStarted, evidence.MarkWriteAccepted, evidence.MarkControllers, evidence.MarkWorkloads}
	if !run.inPlace() {
		all = append(all, evidence.MarkAPIReady)
	}
	if run.restoresStore() || run.inPlace() {
		all = append(all, evidence.MarkIdentity)
	}
	return all
}

// maxClockGap between the wall clock and the monotonic one over a recovery. More than that, and the machine slept or its clock
// was set: the monotonic clock stands still while a machine sleeps.
const maxClockGap = time.Second

var rtoCheck = Check{
	Name:       "rto",
	Title:      "Was the service back within the recovery time objective?",
	IfFailed:   "see under Timeline where the recovery time went, and shorten the longest interval, or agree on an objective that can be kept",
	IfUnknown:  "see which mark is missing from the timeline, and run the drill again on a machine that does nothing else",
	Needs:      []string{evidence.TimelineFile},
	OfRestored: true,
	Judge: func(run *Run, r *reports.Report, c *reports.Check) {
		struck, ok := run.mark(evidence.MarkStruck, 0)
		if !ok {
			unknown(c, "the failure was never seen: the mark %q was not reached", evidence.MarkStruck)
			return
		}
		back, ok := run.mark(evidence.MarkServiceBack, struck.At)
		if stopped := run.stopped(); !ok && stopped != nil && stopped.name == evidence.PhaseRestore && run.broke() == "" {
			failed(c, "the service was not restored: %s", firstLine(stopped.end.Error))
			return
		}
		if !ok {
			unknown(c, "the mark %q was not reached", evidence.MarkServiceBack)
			return
		}
		for _, name := range run.rtoMarks() {
			if m, ok := run.mark(name, struck.At); !ok || m.At > back.At {
				unknown(c, "the service is said to be restored, but the mark %q was not reached before", name)
				return
			}
		}
		breaks := run.breaks(struck.At, back.At)
		aside := breaks.within(struck.At, back.At)
		rto := back.At - struck.At - aside
		r.RTO = &reports.RTO{Seconds: rto.Seconds(), Split: split(run.Events, struck, back, breaks), Aside: aside.Seconds()}
		o := reports.Objective{Measured: seconds(rto), Resolution: seconds(struck.Resolution + back.Resolution),
			Method: fmt.Sprintf("service restored - struck, on one monotonic clock; struck: %s; restored: %s", struck.Detail, back.Detail)}
		if len(run.Scenario.Spec.Probes) == 0 {
			o.Method += "; the scenario has no probe, so that is when what had come back was ready, whatever was missing"
		}
		if aside > 0 {
			o.Method += fmt.Sprintf("; without the %s in which the drill broke the restored cluster again", rounded(aside))
		}
		if gap := (back.Wall.Sub(struck.Wall) - rto - aside).Abs(); gap > maxClockGap {
			unknown(c, "the wall clock and the monotonic clock differ by %.1f s over the recovery: the machine slept, or its clock was set", gap.Seconds())
			o.Measured = nil
		} else if target := run.Scenario.Spec.Objectives.RTO; target == nil {
			skipped(c, "service restored %s after the failure; the scenario sets no objective", rounded(rto))
		} else {
			// The failure may have been there before it was seen, and so may the service.
			within(c, "service restored", rto-back.Resolution, rto, rto+struck.Resolution, target.Duration)
		}
		run.objectives["rto"] = o
	},
}

// within judges a measured time against its objective: low and high bound what it can be in truth.
func within(c *reports.Check, what string, low, measured, high, target time.Duration) {
	switch {
	case high <= target:
		passed(c, "%s %s after the failure, within the objective of %s", what, rounded(measured), target)
	case low > target:
		failed(c, "%s %s after the failure, over the objective of %s", what, rounded(measured), target)
	default:
		unknown(c, "%s %s after the failure: closer to the objective of %s than can be told (it is between %s and %s)",
			what, rounded(measured), target, rounded(low), rounded(high))
	}
}

// spans of time, one after the other.
type spans []struct{ from, to time.Duration }

// within sums up what of the spans lies between two instants.
func (s spans) within(from, to time.Duration) (sum time.Duration) {
	for _, span := range s {
		sum += max(0, min(span.to, to)-max(span.from, from))
	}
	return sum
}

// breaks are the times in a recovery at which the drill broke the restored cluster itself, while nobody restored anything.
func (run *Run) breaks(from, to time.Duration) (all spans) {
	for _, s := range run.Events {
		if s.Kind != evidence.StepStarted || s.At < from || s.At > to ||
			!strings.HasPrefix(s.Name, evidence.StepInject) || strings.HasPrefix(s.Name, evidence.StepInjectMeanwhile) {
			continue
		}
		for _, e := range run.Events {
			if e.Kind == evidence.StepEnded && e.Name == s.Name && e.At >= s.At {
				all = append(all, struct{ from, to time.Duration }{s.At, e.At})
				break
			}
		}
	}
	return all
}

// split is a recovery cut at every mark that was reached in it, in the order of time. It adds up to the whole.
func split(events []evidence.Event, struck, back evidence.Event, breaks spans) []reports.Interval {
	marks := []evidence.Event{struck}
	seen := map[string]bool{struck.Name: true, back.Name: true}
	for _, e := range events {
		if e.Kind == evidence.MarkReached && e.At >= struck.At && e.At <= back.At && !seen[e.Name] {
			seen[e.Name] = true
			marks = append(marks, e)
		}
	}
	slices.SortStableFunc(marks[1:], since)
	marks = append(marks, back)
	var intervals []reports.Interval
	for i, m := range marks[1:] {
		took := m.At - marks[i].At - breaks.within(marks[i].At, m.At)
		intervals = append(intervals, reports.Interval{From: marks[i].Name, To: m.Name, Seconds: took.Seconds()})
	}
	return intervals
}

func seconds(d time.Duration) *float64 {
	s := d.Seconds()
	return &s
}

// rounded to what a person reads.
func rounded(d time.Duration) string { return d.Round(time.Millisecond).String() }
