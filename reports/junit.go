package reports

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// bodyLimit keeps the text of a case readable where it is shown, and below what CI servers cut off.
const bodyLimit = 60 << 10

// WriteJUnit writes one file with one testsuite a drill: a case for each phase, one for each check, and one for the verdict
// itself, so that a drill that did not pass is never green. It keeps to what Jenkins, GitLab, GitHub's actions and Azure all read.
//
// Failed is a failure; unknown is an error; a skipped case says why.
func WriteJUnit(w io.Writer, reports ...*Report) error {
	doc := junitFile{Name: "restore-drill"}
	given := map[string]bool{}
	total := 0.0
	for _, r := range reports {
		if r == nil {
			return errors.New("write junit: there is no report")
		}
		s := suite(r, given)
		doc.Suites = append(doc.Suites, s)
		doc.Tests += s.Tests
		doc.Failures += s.Failures
		doc.Errors += s.Errors
		total += r.Drill.Seconds
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
		s.Tests++
		switch v {
		case Passed:
			c.Out = body
		case Failed:
			s.Failures++
			c.Failure = &junitBody{reason, "failed", body}
		case Skipped:
			s.Skipped++
			if reason == "" {
				reason = "skipped without a reason"
			}
			c.Skipped = &junitSkip{reason}
			c.Out = body
		default:
			s.Errors++
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
