package reports

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Bounds keep the page small and quick whatever a drill found. What is left off is counted, and is in report.json.
const (
	maxDetailed = 300   // unexpected differences with their fields
	maxNamed    = 3_000 // unexpected differences by name only
	maxAllowed  = 30    // expected differences of one rule
	maxFields   = 30    // fields of one difference
	maxOpen     = 6     // differences that are unfolded
	maxFindings = 50    // findings of one check
	maxAccess   = 300   // access differences
	maxSteps    = 400
	maxLogLines = 200
	maxValue    = 1 << 10  // bytes of a text within a table
	maxScenario = 64 << 10 // bytes of the scenario
	quietKinds  = 12       // kinds without differences are folded when there are more
)

//go:embed report.html.tmpl
var pageSource string

//go:embed report.css
var pageStyle string

// policy of a page: it may use its own style sheet and inline icons, and nothing else. It runs no script and asks nothing of any network.
func policy(style string) string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; img-src data:; base-uri 'none'; form-action 'none'"
}

var pageTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"seconds": seconds,
	"figure":  figure,
	"margin":  marginText,
	"bytes":   bytesText,
	"plural":  plural,
	"tally":   tally,
	"declaration": func(p *page) string {
		return declaration(p.Report)
	},
	"percent": func(part, whole float64) string {
		if whole <= 0 {
			return ""
		}
		return fmt.Sprintf("%.0f %%", 100*part/whole)
	},
	"clock": func(t time.Time) string { return t.UTC().Format("15:04:05.000") },
	"day":   func(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04:05 UTC") },
	"iso":   func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"join":  strings.Join,
	"inc":   func(i int) int { return i + 1 },
	"value": func(s string) string { return cut(s, maxValue) },
	"object": func(namespace, name string) string {
		if namespace == "" {
			return name
		}
		return namespace + "/" + name
	},
}).Parse(pageSource))

// WriteHTML writes the report as one page that holds everything it needs, works without scripts and network, and prints.
func WriteHTML(w io.Writer, r *Report) error {
	if r == nil {
		return errors.New("write html: there is no report")
	}
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, newPage(r)); err != nil {
		return fmt.Errorf("write html: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// A page is a report as it is shown: bounded, cleaned, and with the pictures' geometry.
type page struct {
	*Report
	Style  template.CSS
	Policy string
	Icon   template.URL

	Word      string // the verdict, with a capital
	Meaning   string // and what it means for the backup
	Next      []nextStep
	Bullets   []bullet
	Timeline  *picture
	Network   *network
	Waterfall []fall
	Marks     []markRow
	Checks    []checkView
	Kinds     []KindRow // with something to see
	Quiet     []KindRow // without
	Sum       KindRow
	Detailed  []differenceView
	Named     []namedGroup
	Unnamed   int
	Allowed   []allowedGroup
	// Judged are the checks by name: a section without data says what became of its check.
	Judged map[string]Check
	// Left off lists that are bounded.
	MoreAccess, MoreSteps int
}

type nextStep struct{ Anchor, Subject, Next string }

type bullet struct {
	Objective
	Bar, Tick string // per cent of the width; empty when there is none
}

type fall struct {
	Interval
	X, W string
}

type markRow struct {
	Mark
	After string // since the failure
	Key   bool   // it begins or ends a measurement
}

type checkView struct {
	Check
	Anchor string
	Open   bool
}

type differenceView struct {
	Difference
	Open bool
	More int
}

type namedGroup struct {
	Resource string
	Names    []string
}

type allowedGroup struct {
	Rule, Because string
	Count, More   int
	Differences   []differenceView
}

func newPage(full *Report) *page {
	p := &page{Style: template.CSS(pageStyle), Policy: policy(pageStyle), Judged: map[string]Check{}}
	r := *full
	p.Report = &r

	// Bound first, then clean what is left: a page costs what it shows.
	var unexpected, expected []Difference
	if r.Fidelity != nil {
		f := *r.Fidelity
		for _, d := range f.Differences {
			if d.Class == "expected" {
				expected = append(expected, d)
			} else {
				unexpected = append(unexpected, d)
			}
		}
		f.Differences = nil
		r.Fidelity = &f
	}
	detailed := unexpected[:min(len(unexpected), maxDetailed)]
	named := unexpected[len(detailed):min(len(unexpected), maxDetailed+maxNamed)]
	p.Unnamed = len(unexpected) - len(detailed) - len(named)
	if r.Dependencies != nil {
		r.Dependencies = r.Dependencies.bound()
	}
	r.Access, p.MoreAccess = bound(r.Access, maxAccess)
	r.Steps, p.MoreSteps = bound(r.Steps, maxSteps)
	r.Checks = slices.Clone(r.Checks)
	for i := range r.Checks {
		c := &r.Checks[i]
		var more int
		c.Findings, more = bound(c.Findings, maxFindings)
		c.Omitted += more
	}
	r.Logs = slices.Clone(r.Logs)
	for i := range r.Logs {
		if lines := r.Logs[i].Lines; len(lines) > maxLogLines {
			r.Logs[i].Lines = lines[len(lines)-maxLogLines:]
		}
	}
	r.Scenario = cut(r.Scenario, maxScenario)
	r = readable(r)

	p.Icon, p.Word, p.Meaning = favicon(r.Verdict), capital(r.Verdict.String()), meaning(r.Verdict)
	anchors := map[string]bool{}
	for _, c := range r.Checks {
		v := checkView{c, unique(anchors, "check-"+slug(c.Name), "%s-%d"), c.Verdict == Failed || c.Verdict == Unknown}
		p.Checks = append(p.Checks, v)
		p.Judged[c.Name] = c
		for _, f := range c.Findings {
			if f.Next != "" && f.Verdict != Passed && len(p.Next) < 12 {
				p.Next = append(p.Next, nextStep{v.Anchor, f.Subject, f.Next})
			}
		}
	}
	for _, o := range r.Objectives {
		p.Bullets = append(p.Bullets, newBullet(o))
	}
	p.Timeline = newPicture(&r)
	if r.Dependencies != nil {
		p.Network = newNetwork(r.Dependencies)
	}
	if r.RTO != nil {
		at := 0.0
		for _, i := range r.RTO.Split {
			p.Waterfall = append(p.Waterfall, fall{i, percent(at, r.RTO.Seconds), percent(i.Seconds, r.RTO.Seconds)})
			at += i.Seconds
		}
	}
	struck, seen := markAt(&r, markStruck)
	for _, m := range r.Marks {
		row := markRow{Mark: m, Key: m.Name == markStruck || m.Name == markServiceBack}
		if seen {
			row.After = signed(m.At - struck)
		}
		p.Marks = append(p.Marks, row)
	}
	if r.Fidelity != nil {
		p.kinds(r.Fidelity.Kinds)
	}
	for i, d := range detailed {
		p.Detailed = append(p.Detailed, newDifference(d, i < maxOpen))
	}
	for _, d := range named {
		resource := line(d.Resource)
		i := slices.IndexFunc(p.Named, func(g namedGroup) bool { return g.Resource == resource })
		if i < 0 {
			i = len(p.Named)
			p.Named = append(p.Named, namedGroup{Resource: resource})
		}
		name := d.Class + " " + d.Name
		if d.Namespace != "" {
			name = d.Class + " " + d.Namespace + "/" + d.Name
		}
		p.Named[i].Names = append(p.Named[i].Names, line(name))
	}
	p.allow(expected)
	return p
}

func bound[T any](s []T, n int) (kept []T, more int) {
	if len(s) <= n {
		return s, 0
	}
	return s[:n], len(s) - n
}

// readable is a copy in which every string is clean, and what is no verdict is unknown.
func readable[T any](v T) T { return readableValue(reflect.ValueOf(v)).Interface().(T) }

func readableValue(v reflect.Value) reflect.Value {
	switch v.Kind() {
	case reflect.String:
		if s := v.String(); !plain(s) {
			return reflect.ValueOf(clean(s)).Convert(v.Type())
		}
	case reflect.Int:
		if verdict, ok := v.Interface().(Verdict); ok && !verdict.Valid() {
			return reflect.ValueOf(Unknown)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			c := reflect.New(v.Type().Elem())
			c.Elem().Set(readableValue(v.Elem()))
			return c
		}
	case reflect.Slice:
		if !v.IsNil() {
			c := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
			for i := range v.Len() {
				c.Index(i).Set(readableValue(v.Index(i)))
			}
			return c
		}
	case reflect.Map:
		if !v.IsNil() {
			c := reflect.MakeMapWithSize(v.Type(), v.Len())
			for _, k := range v.MapKeys() {
				c.SetMapIndex(readableValue(k), readableValue(v.MapIndex(k)))
			}
			return c
		}
	case reflect.Struct:
		if v.Type() != reflect.TypeFor[time.Time]() {
			c := reflect.New(v.Type()).Elem()
			for i := range v.NumField() {
				c.Field(i).Set(readableValue(v.Field(i)))
			}
			return c
		}
	}
	return v
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// meaning of a verdict, for who reads nothing else.
func meaning(v Verdict) string {
	switch v {
	case Passed:
		return "the backup held, within the objectives"
	case Failed:
		return "the backup did not hold"
	case Skipped:
		return "nothing was tried"
	}
	return "this drill cannot tell whether the backup holds"
}

// favicon shows the verdict in a browser's tab.
func favicon(v Verdict) template.URL {
	color, path := "%238a5a00", "M6.2 6a1.9 1.9 0 1 1 2.7 1.9C8.2 8.3 8 8.6 8 9.4M8 11.8v.1"
	switch v {
	case Passed:
		color, path = "%23147342", "M4.5 8.3 7 10.8l4.5-5"
	case Failed:
		color, path = "%23b3212a", "M5.3 5.3l5.4 5.4M10.7 5.3l-5.4 5.4"
	}
	return template.URL("data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect width='16' height='16' rx='4' fill='" + color +
		"'/%3E%3Cpath d='" + path + "' fill='none' stroke='white' stroke-width='1.8' stroke-linecap='round' stroke-linejoin='round'/%3E%3C/svg%3E")
}

// slug of a name, for an anchor.
func slug(s string) string {
	s = strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, cut(s, 60)), "-")
	if s == "" {
		return "unnamed"
	}
	return s
}

func percent(part, whole float64) string {
	if whole <= 0 {
		return "0%"
	}
	return fmt.Sprintf("%.2f%%", min(max(100*part/whole, 0), 100))
}

func signed(s float64) string {
	switch {
	case s > 0:
		return "+" + seconds(s)
	case s < 0:
		return "−" + seconds(-s)
	}
	return "0 s"
}

// newBullet scales measured and target to one width, with some room to the right.
func newBullet(o Objective) bullet {
	b := bullet{Objective: o}
	whole := 0.0
	for _, v := range []*float64{o.Target, o.Measured} {
		if v != nil {
			whole = max(whole, *v*1.12)
		}
	}
	if o.Measured != nil {
		b.Bar = percent(*o.Measured, whole)
	}
	if o.Target != nil {
		b.Tick = percent(*o.Target, whole)
	}
	return b
}

// kinds puts those with something to see first, the worst on top.
func (p *page) kinds(all []KindRow) {
	p.Sum.Resource = "all"
	for _, k := range all {
		p.Sum.Before += k.Before
		p.Sum.After += k.After
		p.Sum.Equal += k.Equal
		p.Sum.Lost += k.Lost
		p.Sum.Extra += k.Extra
		p.Sum.Changed += k.Changed
		p.Sum.Expected += k.Expected
		if k.Lost+k.Extra+k.Changed+k.Expected > 0 {
			p.Kinds = append(p.Kinds, k)
		} else {
			p.Quiet = append(p.Quiet, k)
		}
	}
	slices.SortStableFunc(p.Kinds, func(a, b KindRow) int {
		return (b.Lost + b.Extra + b.Changed) - (a.Lost + a.Extra + a.Changed)
	})
	if len(p.Quiet) <= quietKinds {
		p.Kinds, p.Quiet = append(p.Kinds, p.Quiet...), nil
	}
}

func newDifference(d Difference, open bool) differenceView {
	v := differenceView{Open: open}
	d.Fields, v.More = bound(d.Fields, maxFields)
	v.Difference = readable(d)
	return v
}

// allow groups expected differences by the rule that allows them.
func (p *page) allow(expected []Difference) {
	for _, d := range expected {
		rule, because := line(d.Rule), line(d.Because)
		i := slices.IndexFunc(p.Allowed, func(g allowedGroup) bool { return g.Rule == rule && g.Because == because })
		if i < 0 {
			i = len(p.Allowed)
			p.Allowed = append(p.Allowed, allowedGroup{Rule: rule, Because: because})
		}
		g := &p.Allowed[i]
		g.Count++
		if len(g.Differences) < maxAllowed {
			g.Differences = append(g.Differences, newDifference(d, false))
		} else {
			g.More++
		}
	}
}
