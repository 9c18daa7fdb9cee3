package reports

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Bounds of the page. What is left off is counted.
const (
	maxSeries = 100
	maxDrawn  = 120 // drills of a chart
	maxListed = 100 // drills of the table behind it
)

// WriteTrendHTML writes for each series a chart of each figure against its target, and the table behind it, as one page like that of a report.
func WriteTrendHTML(w io.Writer, series []Series, now time.Time) error {
	if len(series) == 0 {
		return errors.New("write trend: there are no drills")
	}
	var checks []Check
	drills := 0
	for _, s := range series {
		checks = append(checks, Check{Verdict: s.newest().Verdict})
		drills += len(s.Records)
	}
	p := trendPage{Written: now.UTC(), Verdict: worstOf(checks), Newest: tally(checks), Drills: drills, Statuses: []string{Failed.String(), Unknown.String(), Passed.String()}}
	p.frame = newFrame(fmt.Sprintf("Trend of %s · restore-drill", plural(drills, "drill")), p.Verdict, pageStyle, pageFile("trend.css"))
	var shown []Series
	shown, p.More = bound(series, maxSeries)
	anchors := map[string]bool{}
	for _, s := range shown {
		p.Series = append(p.Series, newSeriesView(readable(s), unique(anchors, "s-"+slug(s.Scenario), "%s-%d")))
	}
	var b bytes.Buffer
	if err := pageTemplates.ExecuteTemplate(&b, "trend.tmpl", p); err != nil {
		return fmt.Errorf("write trend: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

func worstOf(checks []Check) Verdict {
	var all []Verdict
	for _, c := range checks {
		all = append(all, c.Verdict)
	}
	return Worst(all...)
}

type trendPage struct {
	frame
	Written time.Time
	// Verdict is the worst of the newest drills', and Newest counts them.
	Verdict  Verdict
	Newest   string
	Drills   int
	Statuses []string
	Series   []seriesView
	More     int
}

type seriesView struct {
	Series
	Anchor string
	Last   Record
	Strip  []Record // the drills that are drawn
	Older  int      // and how many are not
	Charts []chart
	Names  []string // of the figures
	Listed []trendRow
	Rest   int
}

// A trendRow is a drill of the table behind the charts, with a cell for each figure.
type trendRow struct {
	Record
	File  string
	Cells []trendCell
}

type trendCell struct {
	Text   string // empty for what was not measured
	Missed bool
}

func newSeriesView(s Series, anchor string) seriesView {
	v := seriesView{Series: s, Anchor: anchor, Last: s.newest()}
	v.Older = max(0, len(s.Records)-maxDrawn)
	v.Strip = s.Records[v.Older:]
	for _, t := range s.Trends() {
		v.Names = append(v.Names, t.Name)
		v.Charts = append(v.Charts, newChart(t, v.Strip, v.Older))
	}
	for _, r := range slices.Backward(s.Records) {
		if len(v.Listed) == maxListed {
			break
		}
		row := trendRow{Record: r, File: r.ScenarioSHA256[:min(12, len(r.ScenarioSHA256))]}
		for _, name := range v.Names {
			cell := trendCell{}
			if o := r.Figure(name); o != nil && o.Measured != nil {
				margin, known := o.Margin()
				cell = trendCell{figure(o.Unit, *o.Measured), known && margin < 0}
			}
			row.Cells = append(row.Cells, cell)
		}
		v.Listed = append(v.Listed, row)
	}
	v.Rest = len(s.Records) - len(v.Listed)
	return v
}

// Day of the drill.
func (r Record) Day() string { return day(r.Started) }

// Geometry of a chart, in user units of its viewBox, which are pixels.
const (
	chartWidth  = 520.0
	chartHeight = 176.0
	chartLeft   = 64.0
	chartRight  = 12.0
	chartTop    = 12.0
	chartBottom = 26.0
)

// A chart is one figure over the drills of a series, each at the same distance, from zero to a ceiling.
type chart struct {
	Name, Words   string
	Width, Height float64
	Left, Right   float64
	Base          float64
	Grid          []tick
	// Line joins neighbours that were both measured; Target is the promise as it was at each drill.
	Line, Target string
	Dots         []chartDot
	First, Last  string // dates
}

type chartDot struct {
	X, Y float64
	// Class is met, missed or unmeasured: a circle, a square, a question mark at the base.
	Class, Title string
}

func newChart(t Trend, drills []Record, skip int) chart {
	c := chart{Name: t.Name, Words: t.Words(), Width: chartWidth, Height: chartHeight, Left: chartLeft, Right: chartWidth - chartRight, Base: chartHeight - chartBottom}
	t.Points = t.Points[skip:]
	top := t.ceiling()
	for _, p := range t.Points {
		if p.Target != nil {
			top = max(top, *p.Target)
		}
	}
	top *= 1.08
	if top <= 0 {
		top = 1
	}
	y := func(f float64) float64 { return c.Base - f/top*(c.Base-chartTop) }
	x := func(i int) float64 {
		if len(t.Points) == 1 {
			return (c.Left + c.Right) / 2
		}
		const pad = 10
		return c.Left + pad + float64(i)/float64(len(t.Points)-1)*(c.Right-c.Left-2*pad)
	}
	for _, f := range rungs(top) {
		c.Grid = append(c.Grid, tick{y(f), shortFigure(t.Unit, f)})
	}
	c.First, c.Last = day(drills[0].Started), day(drills[len(drills)-1].Started)
	var line, target strings.Builder
	joined, promised := false, false
	for i, p := range t.Points {
		title := fmt.Sprintf("%s, drill %s: ", drills[i].Started.UTC().Format("2006-01-02 15:04 UTC"), drills[i].Drill)
		if p.Target != nil {
			fmt.Fprintf(&target, "%s%.1f %.1f", map[bool]string{true: "L", false: "M"}[promised], x(i), y(*p.Target))
			if len(t.Points) == 1 {
				fmt.Fprintf(&target, "M%.1f %.1fL%.1f %.1f", c.Left, y(*p.Target), c.Right, y(*p.Target))
			}
		}
		promised = p.Target != nil
		if p.Measured == nil {
			joined = false
			c.Dots = append(c.Dots, chartDot{x(i), c.Base, "unmeasured", title + "not measured, " + drills[i].Verdict.String()})
			continue
		}
		fmt.Fprintf(&line, "%s%.1f %.1f", map[bool]string{true: "L", false: "M"}[joined], x(i), y(*p.Measured))
		joined = true
		class := "met"
		if margin, known := p.Margin(); known && margin < 0 {
			class = "missed"
		}
		c.Dots = append(c.Dots, chartDot{x(i), y(*p.Measured), class, title + figure(t.Unit, *p.Measured) + ", " + marginText(p)})
	}
	c.Line, c.Target = line.String(), target.String()
	return c
}

// rungs are 0 and up to four round numbers up to top.
func rungs(top float64) (all []float64) {
	step := 1e-9
	for _, factor := range []float64{1, 2, 5} {
		for s := factor * 1e-9; s <= top; s *= 10 {
			if top/s >= 2 && top/s <= 5 && s > step {
				step = s
			}
		}
	}
	for i := 0; float64(i)*step <= top; i++ {
		if all = append(all, float64(i)*step); len(all) > 6 {
			break
		}
	}
	return all
}

// shortFigure is a figure for an axis.
func shortFigure(unit string, f float64) string {
	if unit == "s" {
		return seconds(f)
	}
	return decimals(f, 1)
}
