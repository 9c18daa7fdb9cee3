package reports

import (
	"fmt"
	"math"
)

// Geometry of the timeline, in user units of its viewBox, which are about pixels on a wide screen.
const (
	picWidth  = 1000.0
	picLeft   = 118.0 // names of the lanes
	picRight  = 16.0
	picTop    = 62.0 // captions and brackets
	laneHigh  = 26.0
	ledgerTop = 56.0 // height of the ledger's lane
	dotRadius = 8.0
)

// A picture is the timeline drawn: phases and steps, marks, the ledger, and the two measurements as brackets.
type picture struct {
	Width, Height float64
	Left, Right   float64
	PlotTop       float64
	PlotBottom    float64
	Ticks         []tick
	Lanes         []lane
	Dots          []dot
	DotsY         float64
	Bars          []ledgerBar
	LedgerY       float64 // of the ledger's base line; 0 without a ledger
	LedgerMax     int
	Struck        *instant
	Durable       *instant
	Back          *instant
	RTO, RPO      *bracket
	Summary       string
}

type tick struct {
	X    float64
	Text string
}

type lane struct {
	Y       float64 // top
	Name    string
	OnTrial bool
	Verdict Verdict
	X, W    float64
	Drawn   bool // it has begun
	Open    bool // it has no end
	Text    string
	TextX   float64
	Anchor  string
	Inside  bool // the text is in the bar
	Steps   []stepBar
}

type stepBar struct {
	X, W  float64
	Title string
	Bad   bool
}

type dot struct {
	X, Y          float64
	N             int
	Anchor, Title string
	Key           bool
}

type ledgerBar struct {
	X, W  float64
	Parts []part
	Title string
}

type part struct {
	Class string
	Y, H  float64
}

type instant struct {
	X      float64
	Anchor string
	TextX  float64
	Text   string
}

type bracket struct {
	X1, X2 float64
	Text   string
	TextX  float64
	Anchor string
}

// markAt is the time of a mark, if it was reached.
func markAt(r *Report, name string) (float64, bool) {
	for _, m := range r.Marks {
		if m.Name == name {
			return m.At, true
		}
	}
	return 0, false
}

// newPicture draws what is known, with links to the marks' rows. It is nil when nothing has a time.
func newPicture(r *Report, marks []markRow) *picture {
	end := 0.0
	for _, p := range r.Phases {
		for _, t := range []*float64{p.Start, p.End} {
			if t != nil {
				end = max(end, *t)
			}
		}
	}
	for _, m := range r.Marks {
		end = max(end, m.At)
	}
	if end <= 0 || math.IsInf(end, 0) {
		return nil
	}
	p := &picture{Width: picWidth, Left: picLeft, Right: picWidth - picRight, PlotTop: picTop}
	end *= 1.015
	x := func(t float64) float64 {
		return picLeft + (picWidth-picRight-picLeft)*min(max(t, 0), end)/end
	}

	for step, t := tickStep(end), 0.0; t <= end; t += step {
		p.Ticks = append(p.Ticks, tick{x(t), seconds(t)})
	}

	y := picTop
	for _, ph := range r.Phases {
		l := lane{Y: y, Name: short(ph.Name, 14), OnTrial: ph.OnTrial, Verdict: ph.Verdict, Text: "not reached", TextX: picLeft + 6, Anchor: "start"}
		if ph.Start != nil {
			l.Drawn, l.X = true, x(*ph.Start)
			to := end
			l.Text = "did not end"
			if ph.End != nil {
				to, l.Text = *ph.End, seconds(*ph.End-*ph.Start)
			}
			l.Open = ph.End == nil
			l.W = max(x(to)-l.X, 2)
			l.TextX = l.X + l.W + 6
			if l.TextX > p.Right-110 {
				l.TextX, l.Anchor = l.X-6, "end"
				if l.X < picLeft+130 || l.W > 400 { // no room on either side, or too far from its end
					l.TextX, l.Inside = l.X+l.W-6, true
				}
			}
		}
		for _, s := range r.Steps {
			if s.Phase != ph.Name || len(l.Steps) >= 60 {
				continue
			}
			to, bad, took := l.X+l.W, s.Error != "", "did not end"
			if s.End != nil {
				to, took = x(*s.End), seconds(*s.End-s.Start)
			}
			l.Steps = append(l.Steps, stepBar{x(s.Start), max(to-x(s.Start)-1, 1.5), s.Name + ", " + took, bad})
		}
		p.Lanes = append(p.Lanes, l)
		y += laneHigh
	}

	// Marks that would cover one another go to the next line.
	p.DotsY = y + 6
	var taken [5]float64
	rows := 1
	for i, m := range marks {
		row := 0
		for row < len(taken)-1 && taken[row] > x(m.At)-2*dotRadius-1 && taken[row] > 0 {
			row++
		}
		taken[row] = x(m.At)
		rows = max(rows, row+1)
		p.Dots = append(p.Dots, dot{x(m.At), p.DotsY + dotRadius + float64(row)*(2*dotRadius+2), i + 1,
			m.Anchor, fmt.Sprintf("%s at %s", m.Name, seconds(m.At)), m.Key})
	}
	if len(marks) > 0 {
		y = p.DotsY + float64(rows)*(2*dotRadius+2) + 6
	}

	if r.Ledger != nil && len(r.Ledger.Series) > 0 {
		p.LedgerY = y + ledgerTop
		p.bars(r.Ledger.Series, x)
		y = p.LedgerY + 6
	}
	p.PlotBottom = y
	p.Height = y + 24
	p.measure(r, x)
	return p
}

// measure draws the failure, the last durable write, the recovery, and the brackets between them.
func (p *picture) measure(r *Report, x func(float64) float64) {
	struck, ok := markAt(r, markStruck)
	if !ok {
		p.Summary = "The failure was not seen."
		return
	}
	sx := x(struck)
	p.Summary = "The failure struck at " + seconds(struck) + "."
	p.Struck = &instant{X: sx, TextX: sx + 5, Anchor: "start", Text: "failure"}
	if r.Ledger != nil && r.Ledger.RPO != nil {
		dx := x(struck - *r.Ledger.RPO)
		text := "RPO " + seconds(*r.Ledger.RPO)
		p.Durable = &instant{X: dx, TextX: dx - 5, Anchor: "end", Text: "last durable write"}
		p.RPO = &bracket{dx, sx, text, sx - 6, "end"}
		if sx-dx < 90 {
			p.RPO.TextX = dx - 6 // beside the bracket, where it is too narrow to write on
		}
		p.Summary += " " + text + ": nothing is missing up to " + seconds(struck-*r.Ledger.RPO) + "."
	}
	if r.RTO != nil {
		bx := x(struck + r.RTO.Seconds)
		text := "RTO " + seconds(r.RTO.Seconds)
		p.RTO = &bracket{sx, bx, text, sx + 6, "start"}
		p.Back = &instant{X: bx, TextX: bx - 5, Anchor: "end", Text: "service restored"}
		if bx-sx < 180 {
			p.Back.TextX, p.Back.Anchor = bx+5, "start"
		}
		if p.Back.Anchor == "start" && bx > p.Right-110 {
			p.Back.Text = ""
		}
		p.Summary += " " + text + ": the service was back at " + seconds(struck+r.RTO.Seconds) + "."
	} else {
		p.Summary += " The service was not seen restored."
	}
}

// bars of the ledger: what became of the writes acknowledged in each slice of time.
func (p *picture) bars(series []LedgerBucket, x func(float64) float64) {
	series = coarse(series, 400)
	for _, b := range series {
		p.LedgerMax = max(p.LedgerMax, b.Kept+b.Lost+b.Resurrected+b.InDoubt)
	}
	if p.LedgerMax == 0 {
		return
	}
	high := (ledgerTop - 14) / float64(p.LedgerMax)
	for _, b := range series {
		bar := ledgerBar{X: x(b.Start), Title: fmt.Sprintf("%s: %d kept, %d lost, %d resurrected, %d in doubt", seconds(b.Start), b.Kept, b.Lost, b.Resurrected, b.InDoubt)}
		bar.W = max(x(b.Start+b.Seconds)-bar.X-0.6, 0.8)
		y := p.LedgerY
		for _, of := range []struct {
			class string
			n     int
		}{{"kept", b.Kept}, {"lost", b.Lost}, {"resurrected", b.Resurrected}, {"indoubt", b.InDoubt}} {
			if of.n > 0 {
				h := high * float64(of.n)
				y -= h
				bar.Parts = append(bar.Parts, part{of.class, y, h})
			}
		}
		p.Bars = append(p.Bars, bar)
	}
}

// tickStep is a round number of seconds that gives about eight ticks.
func tickStep(whole float64) float64 {
	for _, s := range []float64{0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200} {
		if whole/s <= 10 {
			return s
		}
	}
	return math.Ceil(whole/8/86400) * 86400
}

// PlotHeight is the height of the lanes.
func (p *picture) PlotHeight() float64 { return p.PlotBottom - p.PlotTop }

// Width of the bracket, never invisible.
func (b *bracket) Width() float64 { return max(b.X2-b.X1, 1.5) }

// Path of the bracket: a line with feet that point down.
func (b *bracket) Path() string {
	return fmt.Sprintf("M%.1f 57v-7H%.1fv7", b.X1, max(b.X2, b.X1+1.5))
}
