package reports

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
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

//go:embed trend.html.tmpl
var trendSource string

//go:embed trend.css
var trendStyle string

var trendTemplate = template.Must(template.Must(pageTemplate.Clone()).New("trend").Funcs(template.FuncMap{
	"brief": func(s string) string { return short(line(s), 300) },
	"date":  day,
	"digest": func(s string) string {
		return s[:min(12, len(s))]
	},
	"measured": func(r Record, name string) string {
		if o := r.Figure(name); o != nil && o.Measured != nil {
			return figure(o.Unit, *o.Measured)
		}
		return ""
	},
	"missed": func(r Record, name string) bool {
		o := r.Figure(name)
		if o == nil {
			return false
		}
		margin, known := o.Margin()
		return known && margin < 0
	},
}).Parse(trendSource))

// WriteTrendHTML writes for each series a chart of each figure against its target, and the table behind it, as one page like that of a report.
func WriteTrendHTML(w io.Writer, series []Series, now time.Time) error {
	if len(series) == 0 {
		return errors.New("write trend: there are no drills")
	}
	p := trendPage{Written: now.UTC()}
	p.Style = template.CSS(pageStyle + trendStyle)
	p.Policy = policy(pageStyle + trendStyle)
	var newest []Verdict
	for _, s := range series {
		newest = append(newest, s.newest().Verdict)
		p.Drills += len(s.Records)
	}
	p.Verdict = Worst(newest...)
	p.Icon = favicon(p.Verdict)
	var checks []Check
	for _, v := range newest {
		checks = append(checks, Check{Verdict: v})
	}
	p.Newest = tally(checks)
	shown, more := bound(series, maxSeries)
	p.More = more
	anchors := map[string]bool{}
	for _, s := range shown {
		p.Series = append(p.Series, newSeriesView(readable(s), unique(anchors, "s-"+slug(s.Scenario), "%s-%d")))
	}
	var b bytes.Buffer
	if err := trendTemplate.Execute(&b, p); err != nil {
		return fmt.Errorf("write trend: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

type trendPage struct {
	Style   template.CSS
	Policy  string
	Icon    template.URL
	Written time.Time
	// Verdict is the worst of the newest drills', and Newest counts them.
	Verdict Verdict
	Newest  string
	Drills  int
	Series  []seriesView
	More    int
}

type seriesView struct {
	Series
	Anchor string
	Last   Record
	Strip  []Record // the drills that are drawn
	Older  int      // and those that are not
	Charts []chart
	Names  []string // of the figures
	Listed []Record // newest first
	Rest   int
}

func newSeriesView(s Series, anchor string) seriesView {
	v := seriesView{Series: s, Anchor: anchor, Last: s.newest()}
	v.Older = max(0, len(s.Records)-maxDrawn)
	v.Strip = s.Records[v.Older:]
	for _, t := range s.Trends() {
		v.Names = append(v.Names, t.Name)
		v.Charts = append(v.Charts, newChart(t, v.Strip, v.Older))
	}
	v.Listed = slices.Clone(s.Records)
	slices.Reverse(v.Listed)
	v.Listed, v.Rest = bound(v.Listed, maxListed)
	return v
}

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
