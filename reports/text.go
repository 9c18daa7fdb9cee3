package reports

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Names of the marks that the renderings draw, as package evidence has them. A report is read without that package.
const (
	markStruck      = "struck"
	markServiceBack = "service restored"
)

// Terminal control sequences: CSI, OSC and the two-byte ones, in their 7-bit form.
var ansi = regexp.MustCompile(`\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|[ -/]*[0-~])`)

// clean text holds what a person can read: no terminal sequences, no control characters but line feed and tab, no runes
// that XML 1.0 forbids, and those that hide or reorder their neighbours written out, as ⟨U+202E⟩.
func clean(s string) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	for _, r := range ansi.ReplaceAllString(strings.ToValidUTF8(s, "\uFFFD"), "") {
		switch {
		case r == '\n', r == '\t':
			b.WriteRune(r)
		case unicode.IsControl(r), r == 0xFFFE, r == 0xFFFF:
		case unicode.Is(unicode.Cf, r) && r != '\u200D': // which joins emoji
			fmt.Fprintf(&b, "⟨%U⟩", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// plain tells that clean has nothing to do, which is so for nearly all that a report holds.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c >= 0x7f || c < ' ' && c != '\n' && c != '\t' {
			return false
		}
	}
	return true
}

// line is clean text on one line.
func line(s string) string { return strings.Join(strings.Fields(clean(s)), " ") }

// cut bounds a text to n bytes, on a rune's boundary, and says what was left off.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	tail := fmt.Sprintf(" … (%d bytes in all)", len(s))
	end := max(n-len(tail), 0)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + tail
}

// short is at most n runes.
func short(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// seconds in the unit that a person would use, to three digits.
func seconds(s float64) string {
	switch a := math.Abs(s); {
	case a == 0:
		return "0 s"
	case a < 0.0995:
		return decimals(s*1000, 1) + " ms"
	case a < 0.9995:
		return decimals(s*1000, 0) + " ms"
	case a < 9.995:
		return decimals(s, 2) + " s"
	case a < 119.95:
		return decimals(s, 1) + " s"
	case a < 7199.5:
		whole := int(math.Round(s))
		return fmt.Sprintf("%d min %02d s", whole/60, abs(whole%60))
	default:
		minutes := int(math.Round(s / 60))
		return fmt.Sprintf("%d h %02d min", minutes/60, abs(minutes%60))
	}
}

func abs(n int) int { return max(n, -n) }

// decimals has at most n of them, without trailing zeros.
func decimals(f float64, n int) string {
	s := strconv.FormatFloat(f, 'f', n, 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// figure is a measured or promised value in the objective's unit.
func figure(unit string, v float64) string {
	switch unit {
	case "s":
		return seconds(v)
	case "writes":
		return count(v, "write")
	case "records":
		return count(v, "record")
	case "profile":
		return count(v, "difference")
	}
	return decimals(v, 3) + " " + unit
}

func count(v float64, what string) string {
	if math.Abs(v) == 1 {
		return decimals(v, 3) + " " + what
	}
	return decimals(v, 3) + " " + what + "s"
}

// marginText says what was left of the target, or by how much it was missed.
func marginText(o Objective) string {
	margin, known := o.Margin()
	switch {
	case !known && o.Measured == nil:
		return "not measured"
	case !known:
		return "no target set"
	case margin < 0:
		return figure(o.Unit, -margin) + " over"
	case margin == 0:
		return "met exactly"
	case *o.Target > 0:
		return fmt.Sprintf("%s left (%.0f %%)", figure(o.Unit, margin), 100*margin/(*o.Target))
	}
	return figure(o.Unit, margin) + " left"
}

func bytesText(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n), -1
	for f >= unit && i < 5 {
		f, i = f/unit, i+1
	}
	return fmt.Sprintf("%.1f %ciB", f, "KMGTPE"[i])
}

// plural is 1 object, 2 objects, 50,000 objects.
func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	if strings.HasSuffix(one, "y") && !strings.HasSuffix(one, "ay") {
		one = strings.TrimSuffix(one, "y") + "ie"
	}
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0 && n >= 10_000; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits + " " + one + "s"
}

// tally counts verdicts in words, the worst first: 1 failed, 2 unknown, 5 passed.
func tally(checks []Check) string {
	n := map[Verdict]int{}
	for _, c := range checks {
		n[c.Verdict]++
	}
	var parts []string
	for _, v := range []Verdict{Failed, Unknown, Passed, Skipped} {
		if n[v] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[v], v))
		}
	}
	if parts == nil {
		return "nothing was checked"
	}
	return strings.Join(parts, ", ")
}

// declaration compares the outcome with the scenario's expectation in one sentence.
func declaration(r *Report) string {
	if r.missing() {
		return "Nobody knows whether it would have come out as the scenario declares."
	}
	if r.Declared.AsDeclared {
		return fmt.Sprintf("It came out as the scenario declares: %s.", r.Declared.Verdict)
	}
	return fmt.Sprintf("The scenario declares %s: it did not come out so.", r.Declared.Verdict)
}

// Figure is a measured or promised value in the objective's unit, as the reports show it.
func Figure(unit string, v float64) string { return figure(unit, v) }
