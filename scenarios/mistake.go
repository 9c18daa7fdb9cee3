package scenarios

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Mistake is one thing that is wrong with a scenario file, and where.
type Mistake struct {
	// File as it was named to Parse; empty where there is none.
	File string
	// Line and Column count from 1.
	Line, Column int
	// Path of the value, for example spec.faults[0].name; empty for the document itself.
	Path string
	// Text says what is wrong and, where that is known, what to write instead.
	Text string
}

func (m Mistake) String() string {
	var b strings.Builder
	if m.File != "" {
		b.WriteString(m.File + ":")
	}
	fmt.Fprintf(&b, "%d:%d: ", m.Line, m.Column)
	if m.Path != "" {
		b.WriteString(m.Path + ": ")
	}
	b.WriteString(m.Text)
	return b.String()
}

// Mistakes are all that is wrong with a file, in the order in which they stand in it.
type Mistakes []Mistake

// mistakesShown bounds what one error prints: a file that is not a scenario at all has a mistake on every line.
const mistakesShown = 100

func (ms Mistakes) Error() string {
	var lines []string
	for _, m := range ms[:min(len(ms), mistakesShown)] {
		lines = append(lines, m.String())
	}
	if more := len(ms) - mistakesShown; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more mistakes", more))
	}
	return strings.Join(lines, "\n")
}

// err is nil when there is no mistake.
func (ms Mistakes) err() error {
	if len(ms) == 0 {
		return nil
	}
	slices.SortStableFunc(ms, func(a, b Mistake) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Path, b.Path))
	})
	return ms
}

// Unknown says that a word is not among the known ones, and which of them may have been meant.
func Unknown(what, word string, known []string) string {
	text := fmt.Sprintf("unknown %s %q", what, shorten(word))
	if near := nearest(word, known); near != "" {
		text += fmt.Sprintf(" (did you mean %s?)", near)
	}
	return text + "; known: " + strings.Join(known, ", ")
}

// nearest of the known words to one that is not, or empty when none is near enough to be what was meant.
func nearest(word string, known []string) string {
	best, bestDistance := "", 0
	w := fold(word)
	if len(w) > 80 {
		return ""
	}
	for _, k := range known {
		f := fold(k)
		d := distance(w, f)
		if d > max(1, len(w)/3) && !abridges(w, f) {
			continue
		}
		if best == "" || d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// fold leaves out what people write differently: upper case and separators.
func fold(s string) string {
	return strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(s))
}

// abridges tells whether short is long with some letters left out, and long enough to mean something.
func abridges(short, long string) bool {
	if len(short) < 4 {
		return false
	}
	for _, r := range long {
		if len(short) > 0 && strings.HasPrefix(short, string(r)) {
			short = short[len(string(r)):]
		}
	}
	return short == ""
}

// distance is the number of letters to insert, delete, replace or swap with their neighbour.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			replace := 1
			if x[i-1] == y[j-1] {
				replace = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+replace)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(x)][len(y)]
}

// shorten keeps a message on one line.
func shorten(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "..."
	}
	return s
}
