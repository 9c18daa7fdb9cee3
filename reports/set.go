package reports

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// A Set is what is rendered: the report of one drill, or those of several with their summary.
type Set struct {
	// Summary is nil for one drill.
	Summary *Summary
	Reports []*Report
}

// Verdict is the worst of the drills'.
func (s *Set) Verdict() Verdict {
	if s.Summary != nil {
		return s.Summary.Verdict
	}
	return s.Reports[0].Verdict
}

// Open reads the reports of a run directory, of a directory of several with its summary.json, or of one report.json. A report that a summary names and
// that is not there, or cannot be read, is an error: a set is whole or it is none.
func Open(name string) (*Set, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	if !info.IsDir() {
		r, err := readFile(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return &Set{Reports: []*Report{r}}, nil
	}
	r, err := Read(name)
	if err == nil {
		return &Set{Reports: []*Report{r}}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	s, err := readSummary(filepath.Join(name, "summary.json"))
	switch {
	case errors.Is(err, fs.ErrNotExist) && holds(name, "drill.json"):
		return nil, fmt.Errorf("%s holds no report.json: its drill was cut short; write its reports with: restore-drill judge %s", name, name)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s holds neither a report.json nor a summary.json: it is no directory of drills", name)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	set := &Set{}
	var errs []error
	for _, o := range s.Drills {
		if o.Report == "" {
			set.Reports = append(set.Reports, &Report{Reason: o.Reason, Drill: Drill{Scenario: o.Scenario, Provider: o.Provider, Method: o.Method, Faults: o.Faults}})
			continue
		}
		dir := path.Dir(o.Report)
		if !filepath.IsLocal(dir) {
			errs = append(errs, fmt.Errorf("summary.json: the report of drill %s is said to be at %q, outside of %s", o.Scenario, o.Report, name))
			continue
		}
		r, err := Read(filepath.Join(name, filepath.FromSlash(dir)))
		if err != nil {
			errs = append(errs, fmt.Errorf("drill %s of summary.json: %w", o.Scenario, err))
			continue
		}
		set.Reports = append(set.Reports, r)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	// A drill of the set may have been judged again: what its own report says holds.
	set.Summary = Summarize(set.Reports...)
	set.Summary.Started, set.Summary.Seconds, set.Summary.Parallel, set.Summary.RunBy = s.Started, s.Seconds, s.Parallel, s.RunBy
	return set, nil
}

func holds(dir, file string) bool {
	_, err := os.Stat(filepath.Join(dir, file))
	return err == nil
}

func readSummary(name string) (*Summary, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read summary: %w", err)
	}
	var head struct {
		Schema string `json:"schema"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, fmt.Errorf("read summary: %w", position(b, err))
	}
	if head.Schema != SummarySchemaVersion {
		return nil, fmt.Errorf("read summary: it is written as %q, and this restore-drill reads %q: use the version that wrote it", head.Schema, SummarySchemaVersion)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var s Summary
	if err := d.Decode(&s); err != nil {
		return nil, fmt.Errorf("read summary: %w", position(b, err))
	}
	return &s, nil
}

// Formats that a Set is rendered in, by name.
var Formats = []string{"text", "json", "junit", "html", "markdown", "comment", "oscal"}

// Render writes a set in one of the Formats. JUnit is one file, however long; see JUnitFiles.
func Render(w io.Writer, format string, s *Set) error {
	if s.Summary != nil {
		switch format {
		case "text":
			return WriteSummaryTerminal(w, s.Summary, false)
		case "json":
			return WriteSummaryJSON(w, s.Summary)
		case "junit":
			return WriteJUnit(w, s.Reports...)
		case "html":
			return WriteSummaryHTML(w, s.Summary)
		case "markdown":
			return WriteSummaryMarkdown(w, s.Summary, s.Reports)
		case "comment":
			return WriteSummaryComment(w, s.Summary, s.Reports)
		case "oscal":
			return errors.New("write OSCAL: assessment results are of one drill: name its own directory")
		}
	}
	switch format {
	case "text":
		return WriteTerminal(w, s.Reports[0], false)
	case "json":
		return WriteJSON(w, s.Reports[0])
	case "junit":
		return WriteJUnit(w, s.Reports...)
	case "html":
		return WriteHTML(w, s.Reports[0])
	case "markdown":
		return WriteMarkdown(w, s.Reports[0])
	case "comment":
		return WriteComment(w, s.Reports[0])
	case "oscal":
		return WriteOSCAL(w, s.Reports[0])
	}
	return fmt.Errorf("unknown format %q (want %s)", format, strings.Join(Formats, ", "))
}

// trendHead begins a trend as text.
var trendHead = regexp.MustCompile(`^.*  .* on .*\n  [0-9,]+ drills? from `)

// Ours tells whether a file was written by this package, and so may be written anew.
func Ours(b []byte) bool {
	head := b[:min(len(b), 4<<10)]
	for _, mark := range []string{`"schema": "restoredrill.io/`, `<testsuites name="restore-drill"`, `"title": "Restore drill `, "· restore-drill</title>", strings.TrimSpace(markdownMark)} {
		if bytes.Contains(head, []byte(mark)) {
			return true
		}
	}
	first, _, _ := strings.Cut(string(head), "\n")
	for v, name := range verdictNames {
		if strings.HasPrefix(first, icon(Verdict(v))+" "+strings.ToUpper(name)+" ") {
			return true
		}
	}
	for _, outcome := range []string{Same, Better, Worse} {
		if strings.HasPrefix(first, icon(outcomeVerdict(outcome))+" "+strings.ToUpper(outcome)+" ") {
			return true
		}
	}
	return strings.HasPrefix(first, summaryHead) || trendHead.Match(head)
}

// Replace writes a file whole or not at all. One that is there and is not Ours is left alone: that is an error.
func Replace(name string, write func(io.Writer) error) error {
	old, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("write %s: %w", name, err)
	case len(old) > 0 && !Ours(old):
		return fmt.Errorf("write %s: it is there and is no report of restore-drill's: name another file, or remove it", name)
	}
	return writeFile(name, write)
}
