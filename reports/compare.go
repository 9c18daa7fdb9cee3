package reports

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// ComparisonSchemaVersion of a comparison as JSON.
const ComparisonSchemaVersion = "restoredrill.io/comparison/v1alpha1"

// Outcomes of a comparison, or of a part of it.
const (
	Same   = "same"
	Better = "better"
	Worse  = "worse"
)

// A Comparison is what changed from one drill to another.
type Comparison struct {
	// Schema is the format of this document; see ComparisonSchemaVersion.
	Schema string `json:"schema"`
	// Outcome is worse when the verdict, a check or an objective came out worse, or an objective that was missed is missed by more; else better when one
	// came out better; else same. A figure that meets its objective is told and not judged: no two runs take the same time.
	Outcome string `json:"outcome"`
	Before  Side   `json:"before"`
	After   Side   `json:"after"`
	// Caveats say in what else the drills differ: as far as they do, figures do not compare.
	Caveats []string           `json:"caveats,omitempty"`
	Figures []FigureComparison `json:"figures"`
	// Checks are those whose verdict changed.
	Checks []CheckComparison `json:"checks"`
	// New findings are those of the second drill alone, and Gone those of the first alone, of checks that did not pass.
	New  []FoundBy `json:"new"`
	Gone []FoundBy `json:"gone"`
	// Unlisted findings were counted by the two reports and not listed: they cannot be compared.
	Unlisted int `json:"unlisted,omitempty"`
}

// A Side is one of the two drills.
type Side struct {
	Drill    string    `json:"drill"`
	Scenario string    `json:"scenario"`
	Provider string    `json:"provider"`
	Method   string    `json:"method"`
	Started  time.Time `json:"started"`
	Verdict  Verdict   `json:"verdict"`
	Reason   string    `json:"reason"`
}

// A FigureComparison is an objective of both drills. What was not measured is absent.
type FigureComparison struct {
	Name   string   `json:"name"`
	Unit   string   `json:"unit"`
	Before *float64 `json:"before,omitempty"`
	After  *float64 `json:"after,omitempty"`
	// Ratio is after by before; absent when one is not measured, or before is zero.
	Ratio         *float64 `json:"ratio,omitempty"`
	VerdictBefore Verdict  `json:"verdictBefore"`
	VerdictAfter  Verdict  `json:"verdictAfter"`
	Outcome       string   `json:"outcome"`
}

// A CheckComparison is a check whose verdict changed. One that a drill does not have is absent there.
type CheckComparison struct {
	Name    string   `json:"name"`
	Before  *Verdict `json:"before,omitempty"`
	After   *Verdict `json:"after,omitempty"`
	Outcome string   `json:"outcome"`
	// Reason is that of the second drill, or of the first where the second does not have the check.
	Reason string `json:"reason"`
}

// FoundBy is a finding and the check that found it.
type FoundBy struct {
	Check string `json:"check"`
	Finding
}

// Compare two drills.
func Compare(before, after *Report) *Comparison {
	c := &Comparison{Schema: ComparisonSchemaVersion, Before: side(before), After: side(after), Caveats: caveats(before, after),
		Figures: []FigureComparison{}, Checks: []CheckComparison{}, New: []FoundBy{}, Gone: []FoundBy{}}
	outcomes := []string{change(before.Verdict, after.Verdict)}
	for _, name := range inEither(before.Objectives, after.Objectives, func(o Objective) string { return o.Name }) {
		a, b := named(before.Objectives, name, func(o Objective) string { return o.Name }), named(after.Objectives, name, func(o Objective) string { return o.Name })
		f := compareFigures(cmp.Or(a, &Objective{Name: name, Verdict: Skipped}), cmp.Or(b, &Objective{Name: name, Verdict: Skipped}))
		c.Figures = append(c.Figures, f)
		outcomes = append(outcomes, f.Outcome)
	}
	byName := func(c Check) string { return c.Name }
	for _, name := range inEither(before.Checks, after.Checks, byName) {
		a, b := named(before.Checks, name, byName), named(after.Checks, name, byName)
		d := CheckComparison{Name: name, Outcome: Same}
		was, is := Skipped, Skipped
		if a != nil {
			was, d.Before, d.Reason = a.Verdict, &a.Verdict, a.Reason
		}
		if b != nil {
			is, d.After, d.Reason = b.Verdict, &b.Verdict, b.Reason
		}
		if d.Outcome = change(was, is); was != is || a == nil || b == nil {
			c.Checks = append(c.Checks, d)
			outcomes = append(outcomes, d.Outcome)
		}
	}
	c.New, c.Gone = only(after, before), only(before, after)
	for _, r := range []*Report{before, after} {
		for _, check := range r.Checks {
			c.Unlisted += check.Omitted
		}
	}
	c.Outcome = Same
	for _, o := range []string{Better, Worse} {
		if slices.Contains(outcomes, o) {
			c.Outcome = o
		}
	}
	return c
}

func side(r *Report) Side {
	return Side{Drill: r.Drill.ID, Scenario: r.Drill.Scenario, Provider: r.Drill.Provider, Method: r.Drill.Method, Started: r.Drill.Started, Verdict: r.Verdict, Reason: r.Reason}
}

// caveats are the conditions that differ.
func caveats(a, b *Report) (all []string) {
	differ := func(what, before, after string) {
		if before != after {
			all = append(all, fmt.Sprintf("%s: %s before, %s after", what, cmp.Or(before, "none"), cmp.Or(after, "none")))
		}
	}
	differ("scenario", a.Drill.Scenario, b.Drill.Scenario)
	if a.Drill.Scenario == b.Drill.Scenario && a.Scenario != b.Scenario {
		all = append(all, "the scenario's file was changed in between")
	}
	differ("provider", a.Drill.Provider, b.Drill.Provider)
	differ("method", a.Drill.Method, b.Drill.Method)
	differ("run by", a.Drill.RunBy, b.Drill.RunBy)
	differ("judged by", a.Drill.JudgedBy, b.Drill.JudgedBy)
	before, after := a.Environment, b.Environment
	differ("platform", before.OS+"/"+before.Arch, after.OS+"/"+after.Arch)
	differ("CPUs", fmt.Sprint(before.CPUs), fmt.Sprint(after.CPUs))
	differ("memory", bytesText(before.MemoryBytes), bytesText(after.MemoryBytes))
	versions := slices.Collect(maps.Keys(before.Versions))
	versions = append(versions, slices.Collect(maps.Keys(after.Versions))...)
	slices.Sort(versions)
	for _, name := range slices.Compact(versions) {
		differ(name, before.Versions[name], after.Versions[name])
	}
	return all
}

// worseness of a verdict. What was not judged is no pass.
func worseness(v Verdict) int {
	switch v {
	case Passed:
		return 0
	case Skipped:
		return 1
	case Failed:
		return 3
	}
	return 2
}

func change(before, after Verdict) string {
	switch d := worseness(after) - worseness(before); {
	case d > 0:
		return Worse
	case d < 0:
		return Better
	}
	return Same
}

func compareFigures(a, b *Objective) FigureComparison {
	f := FigureComparison{Name: a.Name, Unit: cmp.Or(b.Unit, a.Unit), Before: a.Measured, After: b.Measured, VerdictBefore: a.Verdict, VerdictAfter: b.Verdict, Outcome: change(a.Verdict, b.Verdict)}
	if a.Measured == nil || b.Measured == nil {
		return f
	}
	if *a.Measured != 0 {
		ratio := *b.Measured / *a.Measured
		f.Ratio = &ratio
	}
	// Both were missed: by more, or by less, than the two can be told apart.
	if f.Outcome == Same && b.Verdict == Failed {
		apart := 0.0
		for _, o := range []*Objective{a, b} {
			if o.Resolution != nil {
				apart += *o.Resolution
			}
		}
		switch d := *b.Measured - *a.Measured; {
		case d > apart:
			f.Outcome = Worse
		case d < -apart:
			f.Outcome = Better
		}
	}
	return f
}

// inEither lists the names of both, those of the second that the first does not have last.
func inEither[T any](a, b []T, name func(T) string) (all []string) {
	for _, of := range [][]T{a, b} {
		for _, v := range of {
			if !slices.Contains(all, name(v)) {
				all = append(all, name(v))
			}
		}
	}
	return all
}

func named[T any](of []T, want string, name func(T) string) *T {
	for i := range of {
		if name(of[i]) == want {
			return &of[i]
		}
	}
	return nil
}

// only the findings of r that other does not have. They are told apart by what they are about: messages hold figures, which always differ.
func only(r, other *Report) []FoundBy {
	bad := func(r *Report, visit func(check string, f Finding, key [3]string)) {
		for _, c := range r.Checks {
			for _, f := range c.Findings {
				if f.Verdict != Passed && f.Verdict != Skipped {
					visit(c.Name, f, [3]string{c.Name, f.Verdict.String(), cmp.Or(f.Subject, f.Message)})
				}
			}
		}
	}
	there := map[[3]string]bool{}
	bad(other, func(_ string, _ Finding, key [3]string) { there[key] = true })
	all := []FoundBy{}
	bad(r, func(check string, f Finding, key [3]string) {
		if !there[key] {
			all = append(all, FoundBy{check, f})
		}
	})
	return all
}

// WriteComparisonJSON writes the comparison, indented.
func WriteComparisonJSON(w io.Writer, c *Comparison) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(c); err != nil {
		return fmt.Errorf("write comparison: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// verdict that stands for an outcome, for its icon and colour.
func outcomeVerdict(outcome string) Verdict {
	return map[string]Verdict{Worse: Failed, Better: Passed, Same: Skipped}[outcome]
}

// from one verdict to another; the same is said once.
func fromTo(before, after *Verdict) string {
	word := func(v *Verdict) string {
		if v == nil {
			return "not there"
		}
		return v.String()
	}
	if word(before) == word(after) {
		return word(after)
	}
	return word(before) + " → " + word(after)
}

func (f FigureComparison) cells() (before, after, ratio string) {
	before, after, ratio = "not measured", "not measured", "-"
	if f.Before != nil {
		before = figure(f.Unit, *f.Before)
	}
	if f.After != nil {
		after = figure(f.Unit, *f.After)
	}
	if f.Ratio != nil {
		ratio = fmt.Sprintf("× %.2f", *f.Ratio)
	}
	return before, after, ratio
}

// comparedFindings of each list are shown.
const comparedFindings = 20

// WriteComparison writes the comparison for a terminal.
func WriteComparison(w io.Writer, c *Comparison, color bool) error {
	t := terminal{color: color}
	t.verdict(outcomeVerdict(c.Outcome), "%s %s: %s", strings.ToUpper(c.Outcome), c.After.Scenario, fromTo(&c.Before.Verdict, &c.After.Verdict))
	for _, s := range []struct {
		when string
		side Side
	}{{"before", c.Before}, {"after", c.After}} {
		t.text("  %s%s, drill %s, %s on %s\n", left(s.when, 8), s.side.Started.UTC().Format("2006-01-02 15:04"), line(s.side.Drill), line(s.side.Method), line(s.side.Provider))
		t.paragraph("          ", "          ", s.side.Reason)
	}
	if len(c.Caveats) > 0 {
		t.text("\n  Other things differ too, and figures compare only as far as they do not matter:\n")
		for _, s := range c.Caveats {
			t.paragraph("  - ", "    ", s)
		}
	}
	t.text("\n    %-14s %16s %16s %9s   %s\n", "objective", "before", "after", "ratio", "verdict")
	for _, f := range c.Figures {
		before, after, ratio := f.cells()
		t.icon(outcomeVerdict(f.Outcome))
		t.text(" %s %s %s %s   %s\n", left(short(line(f.Name), 24), 14), right(before, 16), right(after, 16), right(ratio, 9), fromTo(&f.VerdictBefore, &f.VerdictAfter))
	}
	if len(c.Checks) == 0 {
		t.text("\n  Every check came out as before.\n")
	} else {
		t.text("\n  %s changed:\n", plural(len(c.Checks), "check"))
	}
	for _, d := range c.Checks {
		t.icon(outcomeVerdict(d.Outcome))
		t.paragraph(" ", "    ", d.Name+": "+fromTo(d.Before, d.After)+": "+d.Reason)
	}
	for _, l := range []struct {
		what string
		all  []FoundBy
	}{{"new", c.New}, {"gone", c.Gone}} {
		if len(l.all) > 0 {
			t.text("\n  %s: %s\n", l.what, plural(len(l.all), "finding"))
		}
		for _, f := range l.all[:min(len(l.all), comparedFindings)] {
			t.paragraph("    - ", "      ", f.Check+": "+f.words())
		}
		t.more("    ", len(l.all)-comparedFindings, "finding")
	}
	if c.Unlisted > 0 {
		t.text("\n  %s more were counted by the two reports and not listed: they could not be compared.\n", plural(c.Unlisted, "finding"))
	}
	_, err := w.Write(t.b.Bytes())
	return err
}

func (f Finding) words() string {
	if f.Subject == "" {
		return f.Message
	}
	return f.Subject + ": " + f.Message
}

// WriteComparisonMarkdown writes the comparison for a pull request's comment, within 65,536 characters.
func WriteComparisonMarkdown(w io.Writer, c *Comparison) error {
	m := &markdown{markdownForm: commentForm}
	m.add(markdownMark)
	m.add("## %s %s: %s, %s\n\n", icon(outcomeVerdict(c.Outcome)), capital(c.Outcome), code(short(line(c.After.Scenario), 200)), fromTo(&c.Before.Verdict, &c.After.Verdict))
	m.table([]string{"", "started", "drill", "method", "provider", "verdict", "reason"}, "-------", 2, "drill", func(i int) []string {
		s := []Side{c.Before, c.After}[i]
		return []string{[]string{"before", "after"}[i], s.Started.UTC().Format("2006-01-02 15:04"), codeCell(short(line(s.Drill), 100)), prose(short(line(s.Method), 100)), prose(short(line(s.Provider), 100)),
			verdictCell(s.Verdict), prose(cut(line(s.Reason), 1<<10))}
	})
	m.table([]string{"objective", "before", "after", "ratio", "verdict"}, "-:::-", len(c.Figures), "objective", func(i int) []string {
		f := c.Figures[i]
		before, after, ratio := f.cells()
		return []string{prose(short(line(f.Name), 100)), prose(before), prose(after), ratio, icon(outcomeVerdict(f.Outcome)) + " " + fromTo(&f.VerdictBefore, &f.VerdictAfter)}
	})
	if len(c.Checks) == 0 {
		m.add("\nEvery check came out as before.\n")
	}
	m.table([]string{"check that changed", "verdict", "reason"}, "---", len(c.Checks), "check", func(i int) []string {
		d := c.Checks[i]
		return []string{prose(short(line(d.Name), 100)), icon(outcomeVerdict(d.Outcome)) + " " + fromTo(d.Before, d.After), prose(cut(line(d.Reason), 1<<10))}
	})
	for _, l := range []struct {
		what string
		all  []FoundBy
	}{{"new", c.New}, {"gone", c.Gone}} {
		if len(l.all) > 0 && m.fit(fmt.Sprintf("\n**%s: %s**\n\n", l.what, plural(len(l.all), "finding"))) {
			m.list(len(l.all), comparedFindings, "finding", func(i int) string {
				return "- " + prose(l.all[i].Check) + ": " + prose(cut(line(l.all[i].words()), 1<<10)) + "\n"
			})
		}
	}
	if c.Unlisted > 0 {
		m.add("\n%s more were counted by the two reports and not listed: they could not be compared.\n", plural(c.Unlisted, "finding"))
	}
	if len(c.Caveats) > 0 && m.fit("\nOther things differ too, and figures compare only as far as they do not matter:\n\n") {
		m.list(len(c.Caveats), 50, "difference", func(i int) string { return "- " + prose(cut(line(c.Caveats[i]), 500)) + "\n" })
	}
	return m.flush(w)
}
