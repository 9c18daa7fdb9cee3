package reports

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/restore-drill/restore-drill/internal/jsonschema"
)

// SummarySchemaVersion of summary.json.
const SummarySchemaVersion = "restoredrill.io/summary/v1alpha1"

// A Summary is what came out of several drills that were run together. Each has its own report in a directory of its name beside it.
type Summary struct {
	// Schema is the format of this document; see SummarySchemaVersion.
	Schema string `json:"schema"`
	// Verdict is the worst of the drills'.
	Verdict Verdict `json:"verdict"`
	// AsDeclared tells whether every drill came out as its scenario declares.
	AsDeclared bool `json:"asDeclared"`
	// Started is when the drills were begun, and Seconds the wall time until the last had ended.
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"`
	// Parallel is how many drills ran at a time, at most.
	Parallel int `json:"parallel"`
	// RunBy is the version of restore-drill.
	RunBy string `json:"runBy"`
	// Drills in the order in which they were named.
	Drills []Outcome `json:"drills"`
}

// An Outcome is one drill of a Summary.
type Outcome struct {
	Scenario string `json:"scenario"`
	// Report is the path of the drill's own page, relative to the summary; absent when it left no report that can be read.
	Report string `json:"report,omitempty"`
	// Provider that the clusters ran on.
	Provider string   `json:"provider,omitempty"`
	Method   string   `json:"method"`
	Faults   []string `json:"faults"`
	// Tool is what the backup tool last said of its restore, or else of its backup; absent when it said nothing.
	Tool    string  `json:"tool,omitempty"`
	Verdict Verdict `json:"verdict"`
	// Reason is the verdict in one sentence.
	Reason     string `json:"reason"`
	AsDeclared bool   `json:"asDeclared"`
	// Mismatches says, one sentence each, what came out otherwise than declared.
	Mismatches []string `json:"mismatches,omitempty"`
	// RTO and RPO in seconds, and the acknowledged writes that were lost; absent when they could not be measured.
	RTO        *float64 `json:"rto,omitempty"`
	RPO        *float64 `json:"rpo,omitempty"`
	LostWrites *int     `json:"lostWrites,omitempty"`
	// Seconds that the drill took; absent when it is not known.
	Seconds *float64 `json:"seconds,omitempty"`
}

// Read reads report.json from the directory of a drill. One that is not as it was written there is an error.
func Read(dir string) (*Report, error) {
	return readFile(filepath.Join(dir, "report.json"))
}

// Missing stands in for the report of a drill that left none, or none that can be read: nothing is known of it.
func Missing(d Drill, why error) *Report {
	return &Report{Verdict: Unknown, Reason: "there is no report: " + why.Error(), Drill: d}
}

// missing tells whether the report only stands in for one: every drill that began has an ID.
func (r *Report) missing() bool { return r.Drill.ID == "" }

// Summarize the reports of several drills.
func Summarize(drills ...*Report) *Summary {
	s := &Summary{Schema: SummarySchemaVersion, AsDeclared: len(drills) > 0, Drills: []Outcome{}}
	var verdicts []Verdict
	for _, r := range drills {
		o := Outcome{
			Scenario: r.Drill.Scenario, Provider: r.Drill.Provider, Method: r.Drill.Method, Faults: slices.Concat([]string{}, r.Drill.Faults), Tool: r.says(),
			Verdict: r.Verdict, Reason: r.Reason, AsDeclared: r.Declared.AsDeclared, Mismatches: r.Declared.Mismatches,
		}
		if !r.missing() {
			o.Report, o.Seconds = r.Drill.Scenario+"/report.html", &r.Drill.Seconds
		}
		if r.RTO != nil {
			o.RTO = &r.RTO.Seconds
		}
		if r.Ledger != nil {
			missing := r.Ledger.Total.Lost + r.Ledger.Total.Resurrected
			o.RPO, o.LostWrites = r.Ledger.RPO, &missing
		}
		s.AsDeclared = s.AsDeclared && o.AsDeclared
		verdicts = append(verdicts, r.Verdict)
		s.Drills = append(s.Drills, o)
	}
	s.Verdict = Worst(verdicts...)
	return s
}

// says is the tool's last word.
func (r *Report) says() string {
	for _, operation := range []string{"restore", "backup"} {
		for _, c := range slices.Backward(r.Claims) {
			if c.Operation == operation {
				return operation + " " + c.Says
			}
		}
	}
	return ""
}

// Tally counts the drills' verdicts in words, the worst first.
func (s *Summary) Tally() string {
	var checks []Check
	for _, o := range s.Drills {
		checks = append(checks, Check{Verdict: o.Verdict})
	}
	return tally(checks)
}

// Otherwise are the drills that did not come out as declared.
func (s *Summary) Otherwise() (all []Outcome) {
	for _, o := range s.Drills {
		if !o.AsDeclared {
			all = append(all, o)
		}
	}
	return all
}

// Declaration compares the outcomes with what the scenarios declare, in one sentence.
func (s *Summary) Declaration() string {
	if s.AsDeclared {
		return "Every drill came out as its scenario declares."
	}
	return fmt.Sprintf("%s of %d did not come out as declared.", plural(len(s.Otherwise()), "drill"), len(s.Drills))
}

// WriteSummary writes summary.json, junit.xml with one testsuite a drill, and index.html into dir, each whole or not at all, and returns
// their paths.
func WriteSummary(dir string, s *Summary, drills []*Report) ([]string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("write summary: %w", err)
	}
	var (
		paths []string
		errs  []error
	)
	for _, format := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{"index.html", func(w io.Writer) error { return WriteSummaryHTML(w, s) }},
		{"summary.json", func(w io.Writer) error { return WriteSummaryJSON(w, s) }},
	} {
		path := filepath.Join(dir, format.name)
		paths = append(paths, path)
		errs = append(errs, writeFile(path, format.write))
	}
	files, err := WriteJUnitFiles(filepath.Join(dir, "junit.xml"), drills...)
	return append(paths, files...), errors.Join(append(errs, err)...)
}

// WriteSummaryJSON writes summary.json, indented.
func WriteSummaryJSON(w io.Writer, s *Summary) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(s); err != nil {
		return fmt.Errorf("write summary: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// A summaryPage is a summary as it is shown.
type summaryPage struct {
	frame
	*Summary
	Word     string
	Statuses []string
	// Ways are the methods on the providers that drills were run with: the columns of the matrix, whose rows are the scenarios.
	Ways   []way
	Matrix []matrixRow
}

type way struct{ Method, Provider string }

type matrixRow struct {
	Scenario string
	// Cells are those of the Ways; nil where the scenario was not run so.
	Cells []*Outcome
}

func newSummaryPage(s *Summary) *summaryPage {
	clean := readable(*s)
	word := capital(clean.Verdict.String())
	p := &summaryPage{
		frame:   newFrame(fmt.Sprintf("%s: %s · restore-drill", word, plural(len(clean.Drills), "drill")), clean.Verdict, pageStyle, pageFile("summary.css")),
		Summary: &clean, Word: word, Statuses: []string{Failed.String(), Unknown.String(), Passed.String()},
	}
	for _, o := range clean.Drills {
		if w := (way{o.Method, o.Provider}); !slices.Contains(p.Ways, w) {
			p.Ways = append(p.Ways, w)
		}
	}
	slices.SortFunc(p.Ways, func(a, b way) int {
		return cmp.Or(cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Method, b.Method))
	})
	for i := range clean.Drills {
		o := &clean.Drills[i]
		column := slices.Index(p.Ways, way{o.Method, o.Provider})
		// One that was run twice in the same way has two rows.
		row := slices.IndexFunc(p.Matrix, func(r matrixRow) bool { return r.Scenario == o.Scenario && r.Cells[column] == nil })
		if row < 0 {
			row = len(p.Matrix)
			p.Matrix = append(p.Matrix, matrixRow{o.Scenario, make([]*Outcome, len(p.Ways))})
		}
		p.Matrix[row].Cells[column] = o
	}
	return p
}

// Worst verdict of the row, for the filter.
func (r matrixRow) Worst() Verdict {
	var all []Verdict
	for _, o := range r.Cells {
		if o != nil {
			all = append(all, o.Verdict)
		}
	}
	return Worst(all...)
}

// WriteSummaryHTML writes one page of all drills, with links to their own.
func WriteSummaryHTML(w io.Writer, s *Summary) error {
	var b bytes.Buffer
	if err := pageTemplates.ExecuteTemplate(&b, "summary.tmpl", newSummaryPage(s)); err != nil {
		return fmt.Errorf("write summary: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// summaryHead begins the summary on a terminal.
const summaryHead = "  drill"

// WriteSummaryTerminal writes a line a drill, and the files in which the rest is. Colour only repeats what the words say.
func WriteSummaryTerminal(w io.Writer, s *Summary, color bool, files ...string) error {
	t := terminal{color: color}
	width := 0
	for _, o := range s.Drills {
		width = max(width, len(o.Scenario))
	}
	t.text("%s%s %s %s %s %s   %s\n", summaryHead, left("", width-3), left("verdict", 8), right("RTO", 10), right("RPO", 10), right("took", 12), "as declared")
	for _, o := range s.Drills {
		declared := "yes"
		if !o.AsDeclared {
			declared = "NO: " + short(line(strings.Join(slices.Concat(o.Mismatches, []string{o.Reason})[:1], "")), terminalWidth)
		}
		t.icon(o.Verdict)
		t.text(" %s %s %s %s %s   %s\n", left(line(o.Scenario), width), left(o.Verdict.String(), 8), right(maybe(o.RTO), 10), right(maybe(o.RPO), 10),
			right(maybe(o.Seconds), 12), declared)
	}
	t.text("\n")
	t.verdict(s.Verdict, "%s %s", strings.ToUpper(s.Verdict.String()), fmt.Sprintf("%s: %s, in %s", plural(len(s.Drills), "drill"), s.Tally(), seconds(s.Seconds)))
	t.paragraph("  ", "  ", s.Declaration())
	t.files(files)
	_, err := w.Write(t.b.Bytes())
	return err
}

// maybe is a time that may not have been measured.
func maybe(s *float64) string {
	if s == nil {
		return "-"
	}
	return seconds(*s)
}

// SummarySchemaID names the JSON Schema of summary.json. It is a name, not an address to fetch.
const SummarySchemaID = "https://restoredrill.io/schemas/summary-v1alpha1.json"

//go:embed summary.go
var summarySourceGo []byte

// SummarySchema is the JSON Schema of summary.json, made from the types. It is shipped as summary.schema.json.
func SummarySchema() ([]byte, error) {
	g, err := jsonschema.New(summarySourceGo)
	if err != nil {
		return nil, err
	}
	g.Define(reflect.TypeFor[Verdict](), &jsonschema.Schema{Type: "string", Enum: verdictNames[:]})
	doc, err := g.Document(SummarySchemaID, "restore-drill summary", reflect.TypeFor[Summary]())
	if err != nil {
		return nil, err
	}
	doc.Definitions.Get("Summary").Properties.Get("schema").Const = SummarySchemaVersion
	return doc.Bytes()
}
