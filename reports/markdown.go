package reports

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// What GitHub takes, in bytes: of a step's summary 1 MiB, of a comment 65,536 characters. GitLab takes more of both.
const (
	summaryLimit = 1 << 20
	commentLimit = 65_536
)

// markdownMark is the first line of every file of ours: a workflow finds its older comment by it.
const markdownMark = "<!-- restore-drill report -->\n"

// A markdownForm is how long a document may be, and how much of each list it shows before it only counts.
type markdownForm struct {
	limit                         int
	findings, differences, fields int
}

var (
	summaryForm = markdownForm{summaryLimit, 50, 300, 20}
	commentForm = markdownForm{commentLimit, 10, 30, 6}
)

// WriteMarkdown writes the report in GitHub's Markdown for a CI step's summary: at most 1 MiB. Names and messages stay text: they are no markup, link
// nobody and mention nobody. What is left off is counted.
func WriteMarkdown(w io.Writer, r *Report) error { return writeMarkdown(w, summaryForm, r) }

// WriteComment is WriteMarkdown within the 65,536 characters of a pull request's comment.
func WriteComment(w io.Writer, r *Report) error { return writeMarkdown(w, commentForm, r) }

func writeMarkdown(w io.Writer, form markdownForm, r *Report) error {
	if r == nil {
		return errors.New("write markdown: there is no report")
	}
	m := &markdown{markdownForm: form}
	m.add(markdownMark)
	m.drill(r, "##")
	return m.flush(w)
}

// WriteSummaryMarkdown writes a table of several drills, and a section for each that did not pass or did not come out as declared.
func WriteSummaryMarkdown(w io.Writer, s *Summary, drills []*Report) error {
	return writeSummaryMarkdown(w, summaryForm, s, drills)
}

// WriteSummaryComment is WriteSummaryMarkdown within the 65,536 characters of a pull request's comment.
func WriteSummaryComment(w io.Writer, s *Summary, drills []*Report) error {
	return writeSummaryMarkdown(w, commentForm, s, drills)
}

func writeSummaryMarkdown(w io.Writer, form markdownForm, s *Summary, drills []*Report) error {
	m := &markdown{markdownForm: form}
	m.add(markdownMark)
	m.add("## %s %s: %s\n\n%s, in %s. %s\n", icon(s.Verdict), capital(s.Verdict.String()), plural(len(s.Drills), "drill"), prose(s.Tally()), seconds(s.Seconds), prose(s.Declaration()))
	m.table([]string{"drill", "verdict", "RTO", "RPO", "lost writes", "took", "as declared"}, "--::::-", len(s.Drills), "drill", func(i int) []string {
		o := s.Drills[i]
		lost, declared := "-", "yes"
		if o.LostWrites != nil {
			lost = fmt.Sprint(*o.LostWrites)
		}
		if !o.AsDeclared {
			declared = "**no**: " + prose(short(line(slices.Concat(o.Mismatches, []string{o.Reason})[0]), 200))
		}
		return []string{codeCell(short(line(o.Scenario), 200)), verdictCell(o.Verdict), maybe(o.RTO), maybe(o.RPO), lost, maybe(o.Seconds), declared}
	})
	for i, r := range drills {
		if r.Verdict == Passed && r.Declared.AsDeclared {
			continue
		}
		if m.b.Len() > m.room()-2<<10 {
			m.cut = true
			m.more(len(drills)-i, "drill", "of which some may not have passed; each has a report of its own")
			break
		}
		m.add("\n")
		m.drill(r, "###")
	}
	return m.flush(w)
}

// A markdown document that is being written. Every part is added whole, or is counted as left off.
type markdown struct {
	markdownForm
	b strings.Builder
	// cut is set when the limit kept something out.
	cut bool
}

// tail is kept free for what closes lists, tables and the document.
const tail = 4 << 10

func (m *markdown) room() int { return m.limit - tail }

// add a part that has to be there: short, and of our own words or of bounded ones.
func (m *markdown) add(format string, args ...any) { fmt.Fprintf(&m.b, format, args...) }

// fit adds a part if there is room for it.
func (m *markdown) fit(part string) bool {
	if m.b.Len()+len(part) > m.room() {
		m.cut = true
		return false
	}
	m.b.WriteString(part)
	return true
}

// more tells how many were left off, if any.
func (m *markdown) more(n int, what, where string) {
	// Of several lists that are cut short, the last ones may be told by the document's last line alone.
	if n > 0 && m.b.Len() < m.limit-tail/2 {
		m.add("\n… and %s more, %s.\n", plural(n, what), where)
	}
}

func (m *markdown) flush(w io.Writer) error {
	if m.cut {
		m.add("\n> [!WARNING]\n> This text ends at the %d bytes that its place allows; what it leaves off is in report.json and report.html.\n", m.limit)
	}
	_, err := io.WriteString(w, m.b.String())
	return err
}

// list adds up to bound items.
func (m *markdown) list(n, bound int, what string, item func(i int) string) {
	shown := 0
	for ; shown < min(n, bound); shown++ {
		if !m.fit(item(shown)) {
			break
		}
	}
	m.more(n-shown, what, "in report.json")
}

// table adds a header and as many rows as there is room for. Columns are aligned by a letter each of align: - to the left, : to the right.
func (m *markdown) table(head []string, align string, n int, what string, row func(i int) []string) {
	rule := "|"
	for _, a := range align {
		if a == ':' {
			rule += "---:|"
		} else {
			rule += "---|"
		}
	}
	if n == 0 || !m.fit("\n| "+strings.Join(head, " | ")+" |\n"+rule+"\n") {
		return
	}
	m.list(n, n, what, func(i int) string { return "| " + strings.Join(row(i), " | ") + " |\n" })
}

func (m *markdown) drill(r *Report, heading string) {
	d := r.Drill
	m.add("%s %s %s: %s\n\n%s\n\n", heading, icon(r.Verdict), capital(r.Verdict.String()), code(short(line(d.Scenario), 200)), prose(cut(line(r.Reason), 4<<10)))
	facts := []string{prose(d.Method) + " on " + prose(d.Provider)}
	if len(d.Faults) > 0 {
		facts = append(facts, "after "+prose(short(line(strings.Join(d.Faults, ", ")), 500)))
	}
	if !r.missing() {
		facts = append(facts, seconds(d.Seconds), "drill "+code(short(line(d.ID), 200)))
	}
	m.add("%s\n", strings.Join(facts, " · "))
	if !r.Declared.AsDeclared || r.Verdict != Passed {
		m.add("\n%s\n\n", prose(declaration(r)))
		m.list(len(r.Declared.Mismatches), m.findings, "mismatch", func(i int) string { return "- " + prose(cut(line(r.Declared.Mismatches[i]), 1<<10)) + "\n" })
	}

	m.table([]string{"objective", "target", "measured", "margin", "verdict"}, "-:::-", len(r.Objectives), "objective", func(i int) []string {
		o := r.Objectives[i]
		target, measured := "-", "not measured"
		if o.Target != nil {
			target = "≤ " + figure(o.Unit, *o.Target)
		}
		if o.Measured != nil {
			measured = figure(o.Unit, *o.Measured)
		}
		return []string{prose(short(line(o.Name), 100)), prose(target), prose(measured), prose(marginText(o)), verdictCell(o.Verdict)}
	})
	m.checks(r, heading+"#")
	m.volumes(r, heading+"#")
	m.differences(r, heading+"#")
	m.phases(r)
	m.controls(r)
	if len(r.Limits) > 0 && m.fit("\n<details><summary>What this run does not show</summary>\n\n") {
		m.list(len(r.Limits), 100, "limit", func(i int) string { return "- " + prose(cut(line(r.Limits[i]), 1<<10)) + "\n" })
		m.add("\n</details>\n")
	}
}

// controls that the scenario names, with each statement that the run supports evidence for, or does not.
func (m *markdown) controls(r *Report) {
	if len(r.Controls) == 0 || !m.fit("\n<details><summary>Controls: what this run supports evidence for, and no claim that a control is met</summary>\n") {
		return
	}
	var rows [][]string
	for _, c := range r.Controls {
		name := prose(short(line(c.ID), 100))
		for _, s := range c.Supports {
			rows = append(rows, []string{name, "supports evidence for", prose(cut(line(s.Says), 1<<10)), prose(cut(line(strings.Join(s.Checks, ", ")), 500))})
		}
		for _, s := range c.NotSupported {
			rows = append(rows, []string{name, "does not support", prose(cut(line(s.Says), 1<<10)), prose(cut(line(s.Because), 500))})
		}
		for _, s := range c.DoesNotShow {
			rows = append(rows, []string{name, "does not show", prose(cut(line(s), 1<<10)), ""})
		}
	}
	m.table([]string{"control", "this run", "statement", "by"}, "----", len(rows), "statement", func(i int) []string { return rows[i] })
	m.add("\n</details>\n")
}

// checks that did not pass come with their findings and what to do next; the others in one table.
func (m *markdown) checks(r *Report, heading string) {
	if !m.fit(fmt.Sprintf("\n%s Checks: %s\n", heading, prose(tally(r.Checks)))) {
		return
	}
	var fine []Check
	for _, c := range worstFirst(r.Checks) {
		if c.Verdict == Passed || c.Verdict == Skipped {
			fine = append(fine, c)
			continue
		}
		if !m.fit(fmt.Sprintf("\n**%s %s**: %s\n\n", icon(c.Verdict), prose(short(line(c.Name), 100)), prose(cut(line(c.Reason), 2<<10)))) {
			continue
		}
		bad := slices.DeleteFunc(slices.Clone(c.Findings), func(f Finding) bool { return f.Verdict == Passed || f.Verdict == Skipped })
		m.list(len(bad), m.findings, "finding", func(i int) string {
			f := bad[i]
			item := "- "
			if f.Subject != "" {
				item += code(cut(line(f.Subject), 500)) + ": "
			}
			item += prose(cut(line(f.Message), 1<<10)) + "\n"
			if f.Next != "" {
				item += "  - **next**: " + prose(cut(line(f.Next), 1<<10)) + "\n"
			}
			return item
		})
		if c.Omitted > 0 {
			m.add("\n%s more were counted, and are not in report.json.\n", plural(c.Omitted, "finding"))
		}
	}
	if len(fine) > 0 && m.fit(fmt.Sprintf("\n<details><summary>%s</summary>\n", prose(tally(fine)))) {
		m.table([]string{"check", "verdict", "reason"}, "---", len(fine), "check", func(i int) []string {
			return []string{prose(short(line(fine[i].Name), 100)), verdictCell(fine[i].Verdict), prose(cut(line(fine[i].Reason), 1<<10))}
		})
		m.add("\n</details>\n")
	}
}

// worstFirst: failed, unknown, skipped, passed, each in the order in which it was judged.
func worstFirst(checks []Check) []Check {
	rank := map[Verdict]int{Failed: -3, Skipped: -1, Passed: 0}
	of := func(c Check) int {
		if n, ok := rank[c.Verdict]; ok {
			return n
		}
		return -2
	}
	return slices.SortedStableFunc(slices.Values(checks), func(a, b Check) int { return of(a) - of(b) })
}

func (m *markdown) volumes(r *Report, heading string) {
	v := r.Volumes
	if v == nil || !m.fit(fmt.Sprintf("\n%s Volumes\n\n%s\n", heading, prose(cut(line(v.Words()), 4<<10)))) {
		return
	}
	m.table([]string{"volume", "files before", "after", "lost", "changed", "extra", "verdict"}, "-:::::-", len(v.Claims), "volume", func(i int) []string {
		c := v.Claims[i]
		row := []string{codeCell(short(line(objectName(c.Namespace, c.Name)), 200)), "-", "-", "-", "-", "-", verdictCell(c.Verdict)}
		if f := c.Files; f != nil {
			for i, n := range []int{f.Before, f.After, f.Lost, f.Changed, f.Extra} {
				row[i+1] = fmt.Sprint(n)
			}
		}
		return row
	})
}

func (m *markdown) differences(r *Report, heading string) {
	f := r.Fidelity
	if f == nil {
		return
	}
	var kinds []KindRow
	for _, k := range f.Kinds {
		if k.Lost+k.Extra+k.Changed > 0 {
			kinds = append(kinds, k)
		}
	}
	var unexpected []Difference
	for _, d := range f.Differences {
		if d.Class != "expected" {
			unexpected = append(unexpected, d)
		}
	}
	if len(kinds)+len(unexpected)+f.Omitted == 0 || !m.fit(fmt.Sprintf("\n%s What differs, by profile %s\n", heading, prose(f.Profile))) {
		return
	}
	m.table([]string{"resource", "before", "after", "equal", "lost", "extra", "changed", "expected"}, "-:::::::", len(kinds), "resource", func(i int) []string {
		k := kinds[i]
		row := []string{codeCell(short(line(k.Resource), 200))}
		for _, n := range []int{k.Before, k.After, k.Equal, k.Lost, k.Extra, k.Changed, k.Expected} {
			row = append(row, fmt.Sprint(n))
		}
		return row
	})
	m.add("\n")
	m.list(len(unexpected), m.markdownForm.differences, "difference", func(i int) string { return m.difference(unexpected[i]) })
	if f.Omitted > 0 {
		m.add("\n%s more were counted, and are not in report.json.\n", plural(f.Omitted, "difference"))
	}
}

func (m *markdown) difference(d Difference) string {
	name := d.Name
	if d.Namespace != "" {
		name = d.Namespace + "/" + d.Name
	}
	var b strings.Builder
	fmt.Fprintf(&b, "- %s %s\n", prose(d.Class), code(cut(line(d.Resource+" "+name), 500)))
	for _, f := range d.Fields[:min(len(d.Fields), m.fields)] {
		value := func(s, absent string) string {
			if f.Class == absent {
				return "absent"
			}
			return code(cut(line(s), 200))
		}
		fmt.Fprintf(&b, "  - %s: %s → %s", code(cut(line(f.Path), 300)), value(f.Before, "extra"), value(f.After, "lost"))
		if f.Rule != "" {
			b.WriteString(" (allowed: " + prose(short(line(f.Rule), 100)) + ")")
		}
		b.WriteString("\n")
	}
	if n := len(d.Fields) - m.fields; n > 0 {
		fmt.Fprintf(&b, "  - … and %s more\n", plural(n, "field"))
	}
	return b.String()
}

func (m *markdown) phases(r *Report) {
	if len(r.Phases) == 0 || !m.fit("\n<details><summary>Phases</summary>\n") {
		return
	}
	m.table([]string{"phase", "verdict", "took", "error"}, "--:-", len(r.Phases), "phase", func(i int) []string {
		p := r.Phases[i]
		took := "-"
		if p.Start != nil && p.End != nil {
			took = seconds(*p.End - *p.Start)
		}
		return []string{prose(short(line(p.Name), 100)), verdictCell(p.Verdict), took, prose(cut(line(p.Error), 1<<10))}
	})
	m.add("\n</details>\n")
}

func verdictCell(v Verdict) string {
	if !v.Valid() {
		v = Unknown
	}
	return icon(v) + " " + v.String()
}

// escapes are what Markdown, and the HTML in it, would read as markup. A dollar sign begins mathematics at GitHub, in a span it does not.
var escapes = strings.NewReplacer(
	"&", "&amp;", "<", "&lt;", ">", "&gt;", "$", "<span>$</span>",
	`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "~", `\~`, "|", `\|`, "://", `:\//`, "www.", `www\.`,
)

// wordJoiner keeps a sign and what follows together, is not seen, and makes no mention or reference of them.
const wordJoiner = "\u2060"

// block is what begins a list, a heading or a rule where it begins a line.
var block = regexp.MustCompile(`^([0-9]*)([-+=#.)])`)

// prose is text of one line that is no markup, wherever it stands.
func prose(s string) string {
	s = line(s)
	var b strings.Builder
	runes := []rune(s)
	for i, r := range runes {
		b.WriteRune(r)
		// @somebody, group/project#12, !12, GH-12
		if i+1 < len(runes) && (r == '@' && runes[i+1] != ' ' || (r == '#' || r == '!' || r == '-') && unicode.IsDigit(runes[i+1]) && (r != '-' || i > 1 && strings.EqualFold(string(runes[i-2:i]), "gh"))) {
			b.WriteString(wordJoiner)
		}
	}
	return block.ReplaceAllString(escapes.Replace(b.String()), `$1\$2`)
}

// code is a name as a code span, to be copied: no markup in it has a meaning, and nobody is mentioned.
func code(s string) string {
	if s = line(s); s == "" {
		return ""
	}
	fence := "`"
	for strings.Contains(s, fence) {
		fence += "`"
	}
	if strings.HasPrefix(s, "`") || strings.HasSuffix(s, "`") {
		s = " " + s + " " // which the reader takes off again
	}
	return fence + s + fence
}

// codeCell is code within a table, where even a code span ends at a bar.
func codeCell(s string) string { return strings.ReplaceAll(code(s), "|", `\|`) }
