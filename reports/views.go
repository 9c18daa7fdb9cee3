package reports

import (
	"regexp"
	"slices"
)

// A bullet is an objective drawn: the measured figure on the way to its target.
type bullet struct {
	Objective
	Anchor, Label, Of string
	Bar, Tick         string // per cent of the width; empty when there is none
	Least             string // the measured figure, less its resolution
}

// objectiveLabels are the words for the objectives that a drill has, and for what their figure is of.
var objectiveLabels = map[string][2]string{
	"rto": {"RTO", "to recover"}, "rpo": {"RPO", "of work lost"}, "lost writes": {"Lost writes", ""}, "fidelity": {"Fidelity", ""},
	"volume rpo": {"Volume RPO", "of records"}, "lost records": {"Lost records", ""},
}

// newBullet scales measured and target to one width, with some room to the right.
func newBullet(o Objective, anchor string) bullet {
	b := bullet{Objective: o, Anchor: anchor, Label: o.Name}
	if label, ok := objectiveLabels[o.Name]; ok {
		b.Label = label[0]
		if o.Measured != nil {
			b.Of = label[1]
		}
	}
	whole := 0.0
	for _, v := range []*float64{o.Target, o.Measured} {
		if v != nil {
			whole = max(whole, *v*1.12)
		}
	}
	if o.Measured != nil && o.Target != nil {
		b.Bar = percent(*o.Measured, whole)
		if o.Unit == "s" && o.Resolution != nil && whole > 0 && *o.Resolution/whole > 0.01 {
			b.Least = percent(*o.Measured-*o.Resolution, whole)
		}
	}
	if o.Target != nil {
		b.Tick = percent(*o.Target, whole)
	}
	return b
}

// resolutionText says how sharp a figure is.
func resolutionText(o Objective) string {
	switch {
	case o.Measured == nil:
		return "not measured"
	case o.Resolution == nil:
		return "not known"
	case *o.Resolution == 0:
		return "exact count"
	case o.Unit == "writes":
		return "up to " + figure(o.Unit, *o.Resolution) + " were not made"
	}
	return "to within " + figure(o.Unit, *o.Resolution)
}

// A kindView is a row of the table of kinds, with its figures drawn.
type kindView struct {
	KindRow
	Status string
	Shares []share
}

type share struct{ Class, X, W string }

func newKind(k KindRow) kindView {
	v := kindView{KindRow: k, Status: Passed.String()}
	switch {
	case k.Lost+k.Extra+k.Changed > 0:
		v.Status = Failed.String()
	case k.Expected > 0:
		v.Status = "expected"
	}
	whole, at := float64(k.Equal+k.Lost+k.Extra+k.Changed+k.Expected), 0.0
	for _, s := range []struct {
		class string
		n     int
	}{{"lost", k.Lost}, {"changed", k.Changed}, {"extra", k.Extra}, {"expected", k.Expected}, {"equal", k.Equal}} {
		if s.n > 0 {
			w := float64(s.n)
			if s.class != "equal" {
				w = max(w, whole/40) // one of thousands can be seen
			}
			v.Shares = append(v.Shares, share{s.class, percent(at, whole), percent(w, whole)})
			at += w
		}
	}
	return v
}

// kinds puts those with something to see first, the worst on top.
func (p *page) kinds(all []KindRow) {
	sum := KindRow{Resource: "all"}
	for _, k := range all {
		sum.Before += k.Before
		sum.After += k.After
		sum.Equal += k.Equal
		sum.Lost += k.Lost
		sum.Extra += k.Extra
		sum.Changed += k.Changed
		sum.Expected += k.Expected
		if k.Lost+k.Extra+k.Changed+k.Expected > 0 {
			p.Kinds = append(p.Kinds, newKind(k))
		} else {
			p.Quiet = append(p.Quiet, newKind(k))
		}
	}
	p.Sum = newKind(sum)
	slices.SortStableFunc(p.Kinds, func(a, b kindView) int {
		return (b.Lost + b.Extra + b.Changed) - (a.Lost + a.Extra + a.Changed)
	})
	// Few are shown at once; of many, those in which something went wrong.
	wrong := slices.IndexFunc(p.Kinds, func(k kindView) bool { return k.Status != Failed.String() })
	switch {
	case len(p.Kinds)+len(p.Quiet) <= maxKinds:
		p.Kinds, p.Quiet = append(p.Kinds, p.Quiet...), nil
	case len(p.Kinds) > maxKinds && wrong >= 0:
		p.Kinds, p.Usual = p.Kinds[:wrong], p.Kinds[wrong:]
	}
}

// A probeView is a probe with its answers drawn, from the drill's beginning to its end.
type probeView struct {
	Probe
	Anchor string
	Strip  []share
}

func (p *page) probes() {
	whole := p.Drill.Seconds
	for _, probe := range p.Probes {
		for _, a := range probe.History {
			whole = max(whole, a.To)
		}
	}
	if struck, seen := markAt(p.Report, markStruck); seen && whole > 0 {
		p.StruckAt = percent(struck, whole)
	}
	for _, probe := range p.Probes {
		v := probeView{Probe: probe, Anchor: p.anchor("probe", probe.Name)}
		for _, a := range probe.History {
			class := Failed.String()
			if a.Passed {
				class = Passed.String()
			}
			// One answer is an instant: it gets a width that can be seen.
			v.Strip = append(v.Strip, share{class, percent(a.From, whole), percent(max(a.To-a.From, whole/300), whole)})
		}
		p.Asked = append(p.Asked, v)
	}
}

// A recoveryView is a step of the runbook.
type recoveryView struct {
	RunbookStep
	Anchor      string
	After, Took string // since the failure, where that was seen
}

func (p *page) recovery() {
	steps, more := bound(p.Runbook, maxSteps)
	p.MoreRecovery = more
	struck, seen := markAt(p.Report, markStruck)
	for _, s := range steps {
		v := recoveryView{RunbookStep: s, Anchor: p.anchor("runbook", s.Title)}
		v.Commands, _ = bound(v.Commands, maxCommands)
		if seen {
			v.After = signed(s.Start - struck)
		}
		if s.End != nil {
			v.Took = seconds(*s.End - s.Start)
		}
		p.Recovery = append(p.Recovery, v)
	}
}

// An excerptView is a log excerpt, line by line.
type excerptView struct {
	Component, Anchor string
	Lines             []logLine
}

// A logLine with its level, error or warning; empty for any other.
type logLine struct{ Level, Text string }

// Levels as klog, logrus and zap write them.
var (
	errorLine   = regexp.MustCompile(`^[EF]\d{4} |\blevel=(error|fatal)\b|"level":"(error|fatal|panic)"|^(panic|fatal error): `)
	warningLine = regexp.MustCompile(`^W\d{4} |\blevel=warning\b|"level":"warn"`)
)

func newExcerpt(l LogExcerpt, anchor string) excerptView {
	v := excerptView{Component: l.Component, Anchor: anchor}
	for _, text := range l.Lines {
		level := ""
		switch {
		case errorLine.MatchString(text):
			level = "error"
		case warningLine.MatchString(text):
			level = "warning"
		}
		v.Lines = append(v.Lines, logLine{level, text})
	}
	return v
}
