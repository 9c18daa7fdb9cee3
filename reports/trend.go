package reports

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

// A Series is the drills of one scenario on one provider by one method, by the time at which they began: what compares.
type Series struct {
	Scenario, Provider, Method string
	Records                    []Record
}

// SeriesOf groups records.
func SeriesOf(records []Record) (all []Series) {
	for _, r := range records {
		i := slices.IndexFunc(all, func(s Series) bool {
			return s.Scenario == r.Scenario && s.Provider == r.Provider && s.Method == r.Method
		})
		if i < 0 {
			i = len(all)
			all = append(all, Series{Scenario: r.Scenario, Provider: r.Provider, Method: r.Method})
		}
		all[i].Records = append(all[i].Records, r)
	}
	for _, s := range all {
		slices.SortStableFunc(s.Records, func(a, b Record) int { return a.Started.Compare(b.Started) })
	}
	slices.SortFunc(all, func(a, b Series) int {
		return cmp.Or(cmp.Compare(a.Scenario, b.Scenario), cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Method, b.Method))
	})
	return all
}

// newest record of the series, which has at least one.
func (s Series) newest() Record { return s.Records[len(s.Records)-1] }

// Tally counts the drills' verdicts in words, the worst first.
func (s Series) Tally() string {
	var checks []Check
	for _, r := range s.Records {
		checks = append(checks, Check{Verdict: r.Verdict})
	}
	return tally(checks)
}

// Scenarios counts the different files under the scenario's name.
func (s Series) Scenarios() int {
	seen := map[string]bool{}
	for _, r := range s.Records {
		seen[r.ScenarioSHA256] = true
	}
	return len(seen)
}

// A Trend is one figure of a series. Points are as many as the series has records: what was not measured is a point without a figure.
type Trend struct {
	Name, Unit string
	Points     []Objective
}

// Trends of a series, in the order in which its records name them.
func (s Series) Trends() (all []Trend) {
	for i, r := range s.Records {
		for _, o := range r.Figures {
			j := slices.IndexFunc(all, func(t Trend) bool { return t.Name == o.Name })
			if j < 0 {
				j = len(all)
				all = append(all, Trend{Name: o.Name, Unit: o.Unit, Points: make([]Objective, len(s.Records))})
			}
			all[j].Points[i] = o
		}
	}
	return all
}

// measured figures, oldest first.
func (t Trend) measured() (all []float64) {
	for _, p := range t.Points {
		if p.Measured != nil {
			all = append(all, *p.Measured)
		}
	}
	return all
}

// Missed counts the drills that measured a figure over its target then, of those that measured it against one.
func (t Trend) Missed() (missed, of int) {
	for _, p := range t.Points {
		if margin, known := p.Margin(); known {
			of++
			if margin < 0 {
				missed++
			}
		}
	}
	return missed, of
}

// Median of what was measured; unknown for nothing.
func (t Trend) Median() (median float64, known bool) {
	all := slices.Sorted(slices.Values(t.measured()))
	if len(all) == 0 {
		return 0, false
	}
	middle := len(all) / 2
	if len(all)%2 == 0 {
		return (all[middle-1] + all[middle]) / 2, true
	}
	return all[middle], true
}

// Words for a trend: the newest figure, the median, the worst, and the target with how often it was missed.
func (t Trend) Words() string {
	all := t.measured()
	if len(all) == 0 {
		return "never measured"
	}
	newest := "not measured by the newest drill"
	last := t.Points[len(t.Points)-1]
	if last.Measured != nil {
		newest = "newest " + figure(t.Unit, *last.Measured)
	}
	median, _ := t.Median()
	parts := []string{newest, "median " + figure(t.Unit, median), "worst " + figure(t.Unit, slices.Max(all))}
	if last.Target != nil {
		parts = append(parts, "target ≤ "+figure(t.Unit, *last.Target))
	}
	if missed, of := t.Missed(); missed > 0 {
		parts = append(parts, fmt.Sprintf("missed %d of %d", missed, of))
	}
	if n := len(t.Points) - len(all); n > 0 {
		parts = append(parts, fmt.Sprintf("not measured %d of %d", n, len(t.Points)))
	}
	return strings.Join(parts, ", ")
}

// ceiling of a picture of the trend: the largest figure, or the newest target, whichever is larger.
func (t Trend) ceiling() float64 {
	top := 0.0
	for _, f := range t.measured() {
		top = max(top, f)
	}
	if last := t.Points[len(t.Points)-1]; last.Target != nil {
		top = max(top, *last.Target)
	}
	return top
}

var sparks = []rune("▁▂▃▄▅▆▇█")

// sparkline of the newest n points, from zero to the worst figure of all, in the colour of whether the target was met: under a generous target, bars of
// its scale would all be the lowest. A dot stands for what was not measured.
func (t *terminal) sparkline(trend Trend, n int) {
	top := slices.Max(append(trend.measured(), 0))
	for _, p := range trend.Points[max(0, len(trend.Points)-n):] {
		switch {
		case p.Measured == nil:
			t.paint(Unknown, "·")
			continue
		case top <= 0:
			t.paint(Passed, string(sparks[0]))
			continue
		}
		height := int(math.Ceil(*p.Measured / top * float64(len(sparks))))
		met := Passed
		if margin, known := p.Margin(); known && margin < 0 {
			met = Failed
		}
		t.paint(met, string(sparks[min(max(height, 1), len(sparks))-1]))
	}
}

// trendWidth is how many drills a sparkline shows.
const trendWidth = 60

// WriteTrend writes for each series its verdicts, and a sparkline of each figure, on a terminal.
func WriteTrend(w io.Writer, series []Series, color bool) error {
	t := terminal{color: color}
	for i, s := range series {
		if i > 0 {
			t.b.WriteByte('\n')
		}
		t.text("%s  %s on %s\n", s.Scenario, s.Method, s.Provider)
		t.text("  %s from %s to %s: %s\n", plural(len(s.Records), "drill"), day(s.Records[0].Started), day(s.newest().Started), s.Tally())
		if n := s.Scenarios(); n > 1 {
			t.text("  Its file was changed in between: there are %d of this name.\n", n)
		}
		if more := len(s.Records) - trendWidth; more > 0 {
			t.text("  The newest %d are drawn, %d older ones are not.\n", trendWidth, more)
		}
		t.b.WriteByte('\n')
		t.text("    %s", left("verdict", 14))
		for _, r := range s.Records[max(0, len(s.Records)-trendWidth):] {
			t.paint(r.Verdict, icon(r.Verdict))
		}
		t.b.WriteByte('\n')
		for _, trend := range s.Trends() {
			t.text("    %s", left(short(line(trend.Name), 13), 14))
			t.sparkline(trend, trendWidth)
			t.text("   %s\n", trend.Words())
		}
	}
	_, err := w.Write(t.b.Bytes())
	return err
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02") }
