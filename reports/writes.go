package reports

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Geometry of the picture of writes, in user units of its viewBox.
const (
	writesTop   = 64.0  // captions and the bracket
	writesAbove = 104.0 // of the bars of what is still there, at most
	writesBelow = 72.0  // of those of what is gone
)

// A writesPicture is a ledger drawn: above the line the writes that are still there, below it those that are not, as they were acknowledged over time.
type writesPicture struct {
	Width, Height, Left, Right float64
	Top, Bottom, Base          float64
	Below                      bool
	Levels                     []level
	Ticks                      []tick
	Bars                       []ledgerBar
	Backups                    []instant
	Durable, Struck            *instant
	RPO                        *bracket
	Slice, Summary             string
}

type level struct {
	Y    float64
	Text string
}

// PlotHeight is the height of the bars' field.
func (p *writesPicture) PlotHeight() float64 { return p.Bottom - p.Top }

// newWritesPicture draws a ledger, with the backups that were taken meanwhile. It is nil without a series.
func newWritesPicture(r *Report, l *Ledger) *writesPicture {
	if l == nil || len(l.Series) == 0 {
		return nil
	}
	series := coarse(l.Series, 200)
	struck, seen := markAt(r, markStruck)
	last := series[len(series)-1]
	from, to := series[0].Start, last.Start+last.Seconds
	if seen {
		to = max(to, struck)
	}
	pad := max((to-from)*0.03, 0.001)
	from, to = from-pad, to+pad
	if !(to > from) || math.IsInf(to-from, 0) {
		return nil
	}
	p := &writesPicture{Width: picWidth, Left: picLeft, Right: picWidth - picRight, Top: writesTop, Slice: seconds(last.Seconds)}
	x := func(t float64) float64 { return p.Left + (p.Right-p.Left)*(min(max(t, from), to)-from)/(to-from) }

	above, below := 0, 0
	var kept, lost, back, doubt int
	for _, b := range series {
		above, below = max(above, b.Kept+b.InDoubt), max(below, b.Lost+b.Resurrected)
		kept, lost, back, doubt = kept+b.Kept, lost+b.Lost, back+b.Resurrected, doubt+b.InDoubt
	}
	p.Summary = fmt.Sprintf("%d kept, %d lost, %d resurrected, %d in doubt.", kept, lost, back, doubt)
	high := math.Inf(1)
	if above > 0 {
		high = writesAbove / float64(above)
	}
	if below > 0 {
		p.Below, high = true, min(high, writesBelow/float64(below))
	}
	if math.IsInf(high, 1) {
		return nil
	}
	high = min(high, 24)
	p.Base = p.Top + 8 + high*float64(above)
	p.Bottom = p.Base + 8 + high*float64(below)
	p.Height = p.Bottom + 26
	step := levelStep(max(above, below))
	for n := step; n <= above; n += step {
		p.Levels = append(p.Levels, level{p.Base - high*float64(n), fmt.Sprint(n)})
	}
	for n := step; n <= below; n += step {
		p.Levels = append(p.Levels, level{p.Base + high*float64(n), fmt.Sprint(n)})
	}

	for _, b := range series {
		bar := ledgerBar{X: x(b.Start), Title: fmt.Sprintf("%s: %d kept, %d in doubt, %d lost, %d resurrected", seconds(b.Start), b.Kept, b.InDoubt, b.Lost, b.Resurrected)}
		bar.W = max(x(b.Start+b.Seconds)-bar.X-0.8, 0.8)
		up, down := p.Base, p.Base
		for _, of := range []struct {
			class string
			n     int
		}{{"kept", b.Kept}, {"indoubt", b.InDoubt}} {
			if h := high * float64(of.n); of.n > 0 {
				up -= h
				bar.Parts = append(bar.Parts, part{of.class, up, h})
			}
		}
		for _, of := range []struct {
			class string
			n     int
		}{{"lost", b.Lost}, {"resurrected", b.Resurrected}} {
			if h := high * float64(of.n); of.n > 0 {
				bar.Parts = append(bar.Parts, part{of.class, down, h})
				down += h
			}
		}
		p.Bars = append(p.Bars, bar)
	}

	// Time runs from the failure, where that is known: the ledger is about what came before it.
	origin, word := 0.0, seconds
	if seen {
		origin, word = struck, signed
	}
	every := tickStep(to - from)
	for t := origin + math.Ceil((from-origin)/every)*every; t <= to; t += every {
		p.Ticks = append(p.Ticks, tick{x(t), word(roundTo(t-origin, every))})
	}
	for _, a := range r.Artifacts {
		if at, ok := since(r, a.Taken); ok && at > from && at < to {
			i := instant{X: x(at), TextX: x(at) - 5, Anchor: "end", Text: short("backup "+a.Name, 28)}
			if i.X-p.Left < 150 {
				i.TextX, i.Anchor = i.X+5, "start"
			}
			p.Backups = append(p.Backups, i)
		}
	}
	if n := len(p.Backups); n > 1 {
		for i := range n - 1 { // names would cover one another
			p.Backups[i].Text = ""
		}
	}
	if seen {
		sx := x(struck)
		p.Struck = &instant{X: sx, TextX: sx - 5, Anchor: "end", Text: "failure"}
		if l.RPO != nil && struck-*l.RPO >= from {
			dx := x(struck - *l.RPO)
			p.Durable = &instant{X: dx, TextX: dx - 5, Anchor: "end", Text: "last durable write"}
			if dx-p.Left < 130 {
				p.Durable.TextX, p.Durable.Anchor = dx+5, "start"
			}
			p.RPO = &bracket{X1: dx, X2: sx, Text: "RPO " + seconds(*l.RPO), TextX: sx - 6, Anchor: "end"}
			if sx-dx < 90 {
				p.RPO.TextX = dx - 6
			}
		}
	}
	return p
}

// coarse adds neighbours up until there are no more slices than n: more than pixels are of no use.
func coarse(series []LedgerBucket, n int) []LedgerBucket {
	series = slices.Clone(series)
	for len(series) > n {
		var half []LedgerBucket
		for i := 0; i < len(series); i += 2 {
			b := series[i]
			if i+1 < len(series) {
				next := series[i+1]
				b.Seconds = next.Start + next.Seconds - b.Start
				b.Kept, b.Lost, b.Resurrected, b.InDoubt = b.Kept+next.Kept, b.Lost+next.Lost, b.Resurrected+next.Resurrected, b.InDoubt+next.InDoubt
			}
			half = append(half, b)
		}
		series = half
	}
	return series
}

// levelStep is a round number of writes that gives two or three lines.
func levelStep(most int) int {
	for step := 1; ; step *= 10 {
		for _, f := range []int{1, 2, 5} {
			if most/(f*step) <= 3 {
				return f * step
			}
		}
	}
}

func roundTo(v, step float64) float64 { return math.Round(v/step) * step }

// since is the time of a wall clock in seconds since the drill began, by a mark that has both.
func since(r *Report, wall time.Time) (at float64, ok bool) {
	if len(r.Marks) == 0 {
		return 0, false
	}
	m := r.Marks[0]
	return m.At + wall.Sub(m.Wall).Seconds(), true
}
