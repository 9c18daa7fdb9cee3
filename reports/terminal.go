package reports

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// What a summary on a terminal holds at most: it fits a screen of 100 columns and some 40 lines.
const (
	terminalWidth      = 100
	terminalObjectives = 8
	terminalChecks     = 8
	terminalFindings   = 2
)

// WriteTerminal writes a summary that fits a screen: the verdict and its reason, the objectives, the checks that did not
// pass with their findings, and the files in which the rest is. Colour only repeats what the words say.
func WriteTerminal(w io.Writer, r *Report, color bool, files ...string) error {
	if r == nil {
		return errors.New("write summary: there is no report")
	}
	t := terminal{color: color}
	d := r.Drill
	t.verdict(r.Verdict, "%s %s", strings.ToUpper(r.Verdict.String()), d.Scenario)
	t.text("  %s on %s, %s, drill %s\n", d.Method, d.Provider, seconds(d.Seconds), d.ID)
	t.paragraph("  ", "  ", r.Reason)
	if !r.Declared.AsDeclared || r.Verdict != Passed {
		t.paragraph("  ", "  ", declaration(r))
	}

	if len(r.Objectives) > 0 {
		t.text("\n    %-14s %16s %16s   %s\n", "objective", "target", "measured", "margin")
		shown := r.Objectives[:min(len(r.Objectives), terminalObjectives)]
		for _, o := range shown {
			target, measured := "-", "-"
			if o.Target != nil {
				target = "≤ " + figure(o.Unit, *o.Target)
			}
			if o.Measured != nil {
				measured = figure(o.Unit, *o.Measured)
			}
			t.icon(o.Verdict)
			t.text(" %s %s %s   %s\n", left(short(line(o.Name), 24), 14), right(target, 16), right(measured, 16), marginText(o))
		}
		t.more("  ", len(r.Objectives)-len(shown), "objective")
	}

	t.text("\n  checks: %s\n", tally(r.Checks))
	bad := 0
	for _, c := range r.Checks {
		if c.Verdict == Passed || c.Verdict == Skipped {
			continue
		}
		if bad++; bad > terminalChecks {
			continue
		}
		t.icon(c.Verdict)
		t.paragraph(" ", "    ", c.Name+": "+c.Reason)
		listed := 0
		for _, f := range c.Findings {
			if f.Verdict == Passed || f.Verdict == Skipped {
				continue
			}
			if listed++; listed > terminalFindings {
				continue
			}
			subject := ""
			if f.Subject != "" {
				subject = f.Subject + ": "
			}
			t.paragraph("    - ", "      ", subject+f.Message)
			if f.Next != "" {
				t.paragraph("      → ", "        ", f.Next)
			}
		}
		t.more("    ", listed-terminalFindings+c.Omitted, "finding")
	}
	t.more("  ", bad-terminalChecks, "check")
	for _, l := range r.Layers {
		if l.Ledger == nil {
			continue
		}
		rpo := "an RPO that could not be established"
		if l.Ledger.RPO != nil {
			rpo = "RPO " + seconds(*l.Ledger.RPO)
		}
		t.text("\n  layer %s in %s: %s, %s lost\n", line(l.Method), line(l.Namespace), rpo, plural(l.Ledger.Total.Lost+l.Ledger.Total.Resurrected, "acknowledged write"))
	}
	if r.Volumes != nil {
		t.paragraph("\n  ", "    ", r.Volumes.Words())
	}
	if d := r.Dependencies; d != nil {
		t.text("\n  dependencies: %s, %s missing since the restore, %d before; restorable in %s\n",
			plural(d.References, "reference"), plural(d.MissingSince(), "object"), d.MissingBefore, plural(len(d.Waves)+d.WavesOmitted, "wave"))
	}

	for _, p := range r.Phases {
		if p.Error != "" {
			t.icon(p.Verdict)
			t.paragraph(" ", "    ", "phase "+p.Name+": "+p.Error)
		}
	}
	t.files(files)
	_, err := w.Write(t.b.Bytes())
	return err
}

// files in which the rest is.
func (t *terminal) files(files []string) {
	if len(files) > 0 {
		t.text("\n")
		for _, f := range files {
			t.text("  %s\n", clean(f))
		}
	}
}

// icon of a verdict: a shape, so that colour is not needed.
func icon(v Verdict) string {
	switch v {
	case Passed:
		return "✓"
	case Failed:
		return "✗"
	case Skipped:
		return "–"
	}
	return "?"
}

type terminal struct {
	b     bytes.Buffer
	color bool
}

func (t *terminal) text(format string, args ...any) {
	for i, a := range args {
		if s, ok := a.(string); ok {
			args[i] = strings.ReplaceAll(clean(s), "\n", " ")
		}
	}
	fmt.Fprintf(&t.b, format, args...)
}

// paint writes s in the colour of a verdict.
func (t *terminal) paint(v Verdict, s string) {
	if !t.color {
		t.b.WriteString(s)
		return
	}
	sgr := "1;33" // bold yellow
	switch v {
	case Passed:
		sgr = "1;32"
	case Failed:
		sgr = "1;31"
	case Skipped:
		sgr = "2"
	}
	fmt.Fprintf(&t.b, "\x1b[%sm%s\x1b[0m", sgr, s)
}

func (t *terminal) icon(v Verdict) {
	t.b.WriteString("  ")
	t.paint(v, icon(v))
}

func (t *terminal) verdict(v Verdict, format string, args ...any) {
	for i := range args {
		args[i] = line(args[i].(string))
	}
	t.paint(v, icon(v)+" "+fmt.Sprintf(format, args...))
	t.b.WriteByte('\n')
}

func (t *terminal) more(indent string, n int, what string) {
	if n > 0 {
		fmt.Fprintf(&t.b, "%s… and %s more\n", indent, plural(n, what))
	}
}

// paragraph wraps a text, at most four lines of it. Next indents the lines that follow, as far as the first one is.
func (t *terminal) paragraph(first, next, s string) {
	used, lines := utf8.RuneCountInString(next), 1
	t.b.WriteString(first)
	start := true
	for _, word := range strings.Fields(clean(s)) {
		n := utf8.RuneCountInString(word)
		if !start && used+1+n > terminalWidth {
			if lines == 4 {
				t.b.WriteString(" …")
				break
			}
			t.b.WriteString("\n" + next)
			used, start = utf8.RuneCountInString(next), true
			lines++
		}
		if !start {
			t.b.WriteByte(' ')
			used++
		}
		if n > 2*terminalWidth {
			word = string([]rune(word)[:2*terminalWidth]) + "…"
		}
		t.b.WriteString(word)
		used, start = used+n, false
	}
	t.b.WriteByte('\n')
}

// left and right pad to n columns.
func left(s string, n int) string {
	return s + strings.Repeat(" ", max(n-utf8.RuneCountInString(s), 0))
}
func right(s string, n int) string {
	return strings.Repeat(" ", max(n-utf8.RuneCountInString(s), 0)) + s
}
