package reports

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// bodyLimit keeps the text of a case readable where it is shown, and below what CI servers cut off.
const bodyLimit = 60 << 10

// junitLimit of one file, in bytes. Consumers refuse larger ones, GitLab at 30 MB.
const junitLimit = 25_000_000

// WriteJUnit writes one document with one testsuite a drill: a case for each phase, one for each check, and one for the verdict
// itself, so that a drill that did not pass is never green. It keeps to what Jenkins, GitLab, GitHub's actions and Azure all read.
//
// Failed is a failure; unknown is an error; a skipped case says why.
func WriteJUnit(w io.Writer, reports ...*Report) error {
	suites, err := junitSuites(reports, math.MaxInt)
	if err != nil {
		return err
	}
	return writeJUnit(w, suites)
}

// WriteJUnitFiles writes the document to path. What is larger than consumers take goes on in files beside it: junit.xml, junit-2.xml and so on. Those of an
// earlier, longer report are removed. It returns the files' paths.
func WriteJUnitFiles(path string, reports ...*Report) ([]string, error) {
	return writeJUnitFiles(path, junitLimit, reports)
}

func writeJUnitFiles(path string, limit int, reports []*Report) (paths []string, err error) {
	suites, err := junitSuites(reports, limit)
	if err != nil {
		return nil, err
	}
	ext := filepath.Ext(path)
	numbered := func(n int) string {
		if n == 1 {
			return path
		}
		return fmt.Sprintf("%s-%d%s", strings.TrimSuffix(path, ext), n, ext)
	}
	for first := true; first || len(suites) > 0; first = false {
		n, size := 0, 0
		for n < len(suites) && (n == 0 || size+suites[n].size <= limit-junitSlack) {
			size += suites[n].size
			n++
		}
		name := numbered(len(paths) + 1)
		if err := Replace(name, func(w io.Writer) error { return writeJUnit(w, suites[:n]) }); err != nil {
			return paths, err
		}
		paths, suites = append(paths, name), suites[n:]
	}
	for n := len(paths) + 1; ; n++ {
		old, err := os.ReadFile(numbered(n))
		if err != nil || !Ours(old) {
			return paths, nil // nothing of an earlier report, or nothing of ours
		}
		if err := os.Remove(numbered(n)); err != nil {
			return paths, fmt.Errorf("remove the older %s: %w", numbered(n), err)
		}
	}
}

// junitSuites of all drills. One that is longer than a file may be is several, with numbered names.
func junitSuites(reports []*Report, limit int) (all []junitSuite, err error) {
	given := map[string]bool{}
	for _, r := range reports {
		if r == nil {
			return nil, errors.New("write junit: there is no report")
		}
		s := suite(r, given)
		part := s
		part.Cases = nil
		head, err := xml.Marshal(part)
		if err != nil {
			return nil, fmt.Errorf("write junit: %w", err)
		}
		part.size = len(head) + junitSlack
		for _, c := range s.Cases {
			b, err := xml.Marshal(c)
			if err != nil {
				return nil, fmt.Errorf("write junit: %w", err)
			}
			if part.size+len(b)+junitSlack > limit-junitSlack && len(part.Cases) > 0 {
				all = append(all, part.counted())
				part.Name, part.Time = unique(given, s.Name+" (continued)", "%s %d"), junitSeconds(0)
				part.Cases, part.size = nil, len(head)+junitSlack
			}
			part.Cases, part.size = append(part.Cases, c), part.size+len(b)+junitSlack
		}
		all = append(all, part.counted())
	}
	return all, nil
}

// junitSlack is more than the indentation of an element and of those in it.
const junitSlack = 1 << 10

// counted is the suite with the counts of its cases.
func (s junitSuite) counted() junitSuite {
	s.Tests, s.Failures, s.Errors, s.Skipped = len(s.Cases), 0, 0, 0
	for _, c := range s.Cases {
		switch {
		case c.Failure != nil:
			s.Failures++
		case c.Error != nil:
			s.Errors++
		case c.Skipped != nil:
			s.Skipped++
		}
	}
	return s
}

func writeJUnit(w io.Writer, suites []junitSuite) error {
	doc := junitFile{Name: "restore-drill", Suites: suites}
	total := 0.0
	for _, s := range suites {
		doc.Tests += s.Tests
		doc.Failures += s.Failures
		doc.Errors += s.Errors
		took, err := strconv.ParseFloat(s.Time, 64)
		if err != nil {
			return fmt.Errorf("write junit: %w", err)
		}
		total += took
	}
	doc.Time = junitSeconds(total)
	var b bytes.Buffer
	b.WriteString(xml.Header)
	e := xml.NewEncoder(&b)
	e.Indent("", "  ")
	if err := e.Encode(doc); err != nil {
		return fmt.Errorf("write junit: %w", err)
	}
	b.WriteByte('\n')
	_, err := w.Write(b.Bytes())
	return err
}

type junitFile struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Errors   int          `xml:"errors,attr"`
	Time     string       `xml:"time,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name       string          `xml:"name,attr"`
	Tests      int             `xml:"tests,attr"`
	Failures   int             `xml:"failures,attr"`
	Errors     int             `xml:"errors,attr"`
	Skipped    int             `xml:"skipped,attr"`
	Time       string          `xml:"time,attr"`
	Timestamp  string          `xml:"timestamp,attr"`
	Properties []junitProperty `xml:"properties>property"`
	Cases      []junitCase     `xml:"testcase"`

	// size as it is written, at most, in bytes.
	size int
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitCase struct {
	Class   string     `xml:"classname,attr"`
	Name    string     `xml:"name,attr"`
	Time    string     `xml:"time,attr"`
	Failure *junitBody `xml:"failure"`
	Skipped *junitSkip `xml:"skipped"`
	Error   *junitBody `xml:"error"`
	Out     string     `xml:"system-out,omitempty"`
}

type junitBody struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

type junitSkip struct {
	Message string `xml:"message,attr"`
}

// suite of one drill. Given holds the names given out so far: a consumer tells cases apart by class name and name.
func suite(r *Report, given map[string]bool) junitSuite {
	d := r.Drill
	class := unique(given, junitClass(d.Scenario)+"."+junitClass(d.Provider)+"."+junitClass(d.Method), "%s-%d")
	name := unique(given, fmt.Sprintf("%s (%s on %s)", line(d.Scenario), line(d.Method), line(d.Provider)), "%s %d")
	s := junitSuite{
		Name: name,
		Time: junitSeconds(d.Seconds),
		// Without a zone, as the format has it; it is UTC.
		Timestamp: d.Started.UTC().Format("2006-01-02T15:04:05"),
	}
	property := func(name, value string) {
		if value != "" {
			s.Properties = append(s.Properties, junitProperty{line(name), cut(line(value), 4<<10)})
		}
	}
	property("drill", d.ID)
	property("verdict", r.Verdict.String())
	property("reason", r.Reason)
	property("declared", declaration(r))
	property("provider", d.Provider)
	property("method", d.Method)
	property("faults", strings.Join(d.Faults, ", "))
	property("run-by", d.RunBy)
	property("judged-by", d.JudgedBy)
	if r.Volumes != nil {
		property("volumes", r.Volumes.Words())
	}
	for _, o := range r.Objectives {
		if o.Measured != nil {
			property("measured "+o.Name, figure(o.Unit, *o.Measured))
		}
		if o.Target != nil {
			property("target "+o.Name, figure(o.Unit, *o.Target))
		}
	}

	cases := map[string]bool{}
	add := func(group, name string, v Verdict, seconds float64, reason, body string) {
		c := junitCase{Class: class + "." + group, Name: unique(cases, group+"."+line(name), "%s (%d)")[len(group)+1:], Time: junitSeconds(seconds)}
		if c.Name == "" {
			c.Name = "unnamed"
		}
		reason = cut(line(reason), 4<<10)
		body = cut(clean(body), bodyLimit)
		switch v {
		case Passed:
			c.Out = body
		case Failed:
			c.Failure = &junitBody{reason, "failed", body}
		case Skipped:
			if reason == "" {
				reason = "skipped without a reason"
			}
			c.Skipped = &junitSkip{reason}
			c.Out = body
		default:
			c.Error = &junitBody{reason, "unknown", body}
		}
		s.Cases = append(s.Cases, c)
	}
	for _, p := range r.Phases {
		reason := p.Error
		if reason == "" {
			switch p.Verdict {
			case Skipped:
				reason = "not reached: an earlier phase did not pass"
			case Failed:
				reason = "the backup tool's own work failed"
			case Unknown:
				reason = "not seen to its end"
			}
		}
		took := 0.0
		if p.Start != nil && p.End != nil {
			took = *p.End - *p.Start
		}
		add("phases", p.Name, p.Verdict, took, reason, p.Error)
	}
	for _, c := range r.Checks {
		add("checks", c.Name, c.Verdict, 0, c.Reason, checkBody(c))
	}
	add("drill", "verdict", r.Verdict, 0, r.Reason, verdictBody(r))
	return s
}

func checkBody(c Check) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n", c.Title, c.Reason)
	for _, f := range c.Findings {
		fmt.Fprintf(&b, "\n%s: ", f.Verdict)
		if f.Subject != "" {
			fmt.Fprintf(&b, "%s: ", f.Subject)
		}
		b.WriteString(f.Message)
		if f.Next != "" {
			fmt.Fprintf(&b, "\n  next: %s", f.Next)
		}
		if b.Len() > bodyLimit {
			break
		}
	}
	if c.Omitted > 0 {
		fmt.Fprintf(&b, "\nand %s more", plural(c.Omitted, "finding"))
	}
	return b.String()
}

func verdictBody(r *Report) string {
	lines := []string{r.Reason, declaration(r)}
	lines = append(lines, r.Declared.Mismatches...)
	lines = append(lines, tally(r.Checks))
	return strings.Join(lines, "\n")
}

// unique is s, or s with the first number that makes it new.
func unique(given map[string]bool, s, numbered string) string {
	name := s
	for n := 2; given[name]; n++ {
		name = fmt.Sprintf(numbered, s, n)
	}
	given[name] = true
	return name
}

// junitSeconds has a dot and no thousands separators, whatever the locale.
func junitSeconds(s float64) string { return fmt.Sprintf("%.3f", max(s, 0)) }

// junitClass is one part of a class name: consumers split at dots.
func junitClass(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == '.' || r == ' ' || r == '/' {
			return '-'
		}
		return r
	}, line(s))
	if s == "" {
		return "unnamed"
	}
	return s
}
