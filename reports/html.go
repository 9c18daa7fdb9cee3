package reports

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/fnv"
	"html/template"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bounds keep the page small and quick whatever a drill found. What is left off is counted, and is in report.json.
const (
	maxFindings = 50 // findings of one check
	maxNext     = 12 // things to do
	maxFrom     = 3  // findings that each of them names
	maxAccess   = 1_000
	maxSteps    = 400
	maxFiles    = 50  // files of one backup
	maxCommands = 100 // commands of one step of the runbook
	maxLogLines = 200
	maxValue    = 1 << 10 // bytes of a text within a table
	maxCommand  = 8 << 10
	maxScenario = 64 << 10 // bytes of the scenario
	maxKinds    = 16       // when there are more, kinds in which nothing is wrong are folded
)

//go:embed page
var pageFiles embed.FS

func pageFile(name string) string {
	b, err := pageFiles.ReadFile("page/" + name)
	if err != nil {
		panic(err)
	}
	return string(b)
}

var (
	pageStyle  = pageFile("page.css")
	pageScript = pageFile("page.js")
)

// A frame is what any page begins with. It holds its own style sheet and script, and its policy lets it use those and nothing else: the page asks
// nothing of any network, and reads the same without the script.
type frame struct {
	Title  string
	Icon   template.URL
	Style  template.CSS
	Script template.JS
	Policy string
}

func newFrame(title string, v Verdict, styles ...string) frame {
	style := strings.Join(styles, "")
	return frame{
		Title: title, Icon: favicon(v), Style: template.CSS(style), Script: template.JS(pageScript),
		Policy: fmt.Sprintf("default-src 'none'; style-src '%s'; script-src '%s'; img-src data:; base-uri 'none'; form-action 'none'", sourceHash(style), sourceHash(pageScript)),
	}
}

// sourceHash names an inline source in a Content-Security-Policy.
func sourceHash(source string) string {
	sum := sha256.Sum256([]byte(source))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

var pageTemplates = template.Must(template.New("").Funcs(template.FuncMap{
	"seconds": seconds,
	"figure":  figure,
	"margin": func(o Objective) string {
		text, _, _ := strings.Cut(marginText(o), " (") // the share is drawn
		return text
	},
	"resolution": resolutionText,
	"bytes":      bytesText,
	"plural":     plural,
	"tally":      tally,
	"declaration": func(p *page) string {
		return declaration(p.Report)
	},
	"percent": func(part, whole float64) string {
		if whole <= 0 {
			return ""
		}
		return fmt.Sprintf("%.0f %%", 100*part/whole)
	},
	"clock":       func(t time.Time) string { return t.UTC().Format("15:04:05.000") },
	"day":         func(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04:05 UTC") },
	"iso":         func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"join":        strings.Join,
	"inc":         func(i int) int { return i + 1 },
	"value":       func(s string) string { return cut(s, maxValue) },
	"brief":       func(s string) string { return short(line(s), 300) },
	"sentence":    sentence,
	"untold":      func(word, text string) bool { return word != "" && !strings.Contains(text, word) },
	"object":      objectName,
	"sinceStatus": sinceStatus,
}).ParseFS(pageFiles, "page/*.tmpl"))

// WriteHTML writes the report as one page that holds everything it needs, works without scripts and network, and prints.
func WriteHTML(w io.Writer, r *Report) error {
	if r == nil {
		return errors.New("write html: there is no report")
	}
	var b bytes.Buffer
	if err := pageTemplates.ExecuteTemplate(&b, "report.tmpl", newPage(r)); err != nil {
		return fmt.Errorf("write html: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// A page is a report as it is shown: bounded, cleaned, and with the pictures' geometry.
type page struct {
	frame
	*Report

	Word      string // the verdict, with a capital
	Meaning   string // and what it means for the backup
	Statuses  []string
	Nav       []navLink
	Next      []nextStep
	MoreNext  int
	Bullets   []bullet
	Timeline  *picture
	Network   *network
	Waterfall []fall
	Marks     []markRow
	Checks    []checkView
	Writes    accountView
	Layered   []layerView
	Kinds     []kindView // with something to see
	Usual     []kindView // with nothing but what is expected, where they are many
	Quiet     []kindView // without any difference, where there are others
	Sum       kindView
	differences
	Asked    []probeView
	StruckAt string // per cent of the drill; empty when the failure was not seen
	Recovery []recoveryView
	Kept     []artifactView
	Excerpts []excerptView
	// Judged are the checks by name: a section without data says what became of its check.
	Judged map[string]Check
	// Left off lists that are bounded.
	MoreAccess, MoreSteps, MoreRecovery int

	// anchors that are taken. They are made of what they lead to, so that a link to an entry holds as long as the entry is the same.
	anchors map[string]bool
}

// A navLink leads to a section. Mark is the verdict of the checks that it is about; empty for none.
type navLink struct{ ID, Text, Mark, Count string }

// A nextStep is one thing to do, and the findings that ask for it.
type nextStep struct {
	Verdict Verdict
	Do      string
	From    []subject
	More    int
}

type subject struct{ Anchor, Subject string }

type fall struct {
	Interval
	X, W string
}

type markRow struct {
	Mark
	Anchor string
	After  string // since the failure
	Key    bool   // it begins or ends a measurement
}

type checkView struct {
	Check
	Anchor   string
	Open     bool
	Findings []findingView
}

type findingView struct {
	Finding
	Anchor string
}

type accountView struct {
	Ledger  *Ledger
	Picture *writesPicture
}

type layerView struct {
	Layer
	Writes accountView
}

type artifactView struct {
	Artifact
	Anchor string
	More   int
}

func newPage(full *Report) *page {
	r := *full
	p := &page{Report: &r, Judged: map[string]Check{}, anchors: map[string]bool{}, Statuses: []string{"failed", "unknown", "passed", "skipped", "expected"}}

	// Bound first, then clean what is left: a page costs what it shows.
	var all []Difference
	if r.Fidelity != nil {
		f := *r.Fidelity
		all, f.Differences = f.Differences, nil
		r.Fidelity = &f
	}
	if r.Dependencies != nil {
		r.Dependencies = r.Dependencies.bound()
	}
	r.Runbook = slices.Clone(r.Runbook)
	for i := range r.Runbook {
		commands := slices.Clone(r.Runbook[i].Commands)
		for j := range commands {
			commands[j].Command = cut(commands[j].Command, maxCommand)
		}
		r.Runbook[i].Commands = commands
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

	p.Word, p.Meaning = capital(r.Verdict.String()), meaning(r.Verdict)
	p.frame = newFrame(fmt.Sprintf("%s: %s · restore-drill", p.Word, r.Drill.Scenario), r.Verdict, pageStyle)
	p.checks()
	for _, o := range r.Objectives {
		p.Bullets = append(p.Bullets, newBullet(o, p.anchor("objective", o.Name)))
	}
	if r.RTO != nil {
		at := 0.0
		for _, i := range r.RTO.Split {
			p.Waterfall = append(p.Waterfall, fall{i, percent(at, r.RTO.Seconds), percent(i.Seconds, r.RTO.Seconds)})
			at += i.Seconds
		}
	}
	p.marks()
	p.Timeline = newPicture(&r, p.Marks)
	p.Writes = accountView{r.Ledger, newWritesPicture(&r, r.Ledger)}
	for _, l := range r.Layers {
		p.Layered = append(p.Layered, layerView{l, accountView{l.Ledger, newWritesPicture(&r, l.Ledger)}})
	}
	if r.Fidelity != nil {
		p.kinds(r.Fidelity.Kinds)
	}
	p.differences = newDifferences(all, p.anchor)
	if r.Dependencies != nil {
		p.Network = newNetwork(r.Dependencies)
	}
	p.probes()
	p.recovery()
	for _, a := range r.Artifacts {
		v := artifactView{Artifact: a, Anchor: p.anchor("artifact", a.Name)}
		v.Files, v.More = bound(v.Files, maxFiles)
		p.Kept = append(p.Kept, v)
	}
	for _, l := range r.Logs {
		p.Excerpts = append(p.Excerpts, newExcerpt(l, p.anchor("log", l.Component)))
	}
	p.nav()
	return p
}

// anchor of an entry: what sort it is of, and its name.
func (p *page) anchor(sort, name string) string {
	return unique(p.anchors, sort+"-"+slug(name), "%s-%d")
}

// digestOf is short and made of all of a text, for an anchor.
func digestOf(parts ...string) string {
	h := fnv.New32a()
	for _, s := range parts {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	return fmt.Sprintf("%08x", h.Sum32())
}

// checks with the worst first, and what to do about them.
func (p *page) checks() {
	for _, v := range []Verdict{Failed, Unknown, Passed, Skipped} {
		for _, c := range p.Report.Checks {
			if c.Verdict != v {
				continue
			}
			view := checkView{Check: c, Anchor: p.anchor("check", c.Name), Open: v == Failed || v == Unknown}
			for _, f := range c.Findings {
				view.Findings = append(view.Findings, findingView{f, p.anchor(view.Anchor, digestOf(f.Subject, f.Message))})
			}
			p.Judged[c.Name] = c
			if v == Failed || v == Unknown {
				p.next(view)
			}
			p.Checks = append(p.Checks, view.brief())
		}
	}
}

// brief says once what all findings ask for.
func (c checkView) brief() checkView {
	var asked []string
	for _, f := range c.Findings {
		if f.Next != "" {
			asked = append(asked, f.Next)
		}
	}
	if len(asked) < 2 || c.Next != "" || len(slices.Compact(slices.Clone(asked))) > 1 {
		return c
	}
	c.Next = asked[0]
	c.Findings = slices.Clone(c.Findings)
	for i := range c.Findings {
		c.Findings[i].Next = ""
	}
	return c
}

// next gathers what to do about a check. Findings that ask for the same are one step.
func (p *page) next(c checkView) {
	add := func(v Verdict, do string, from subject) {
		if do == "" {
			return
		}
		i := slices.IndexFunc(p.Next, func(n nextStep) bool { return n.Do == do })
		switch {
		case i < 0 && len(p.Next) == maxNext:
			p.MoreNext++
		case i < 0:
			p.Next = append(p.Next, nextStep{Verdict: v, Do: do, From: []subject{from}})
		case len(p.Next[i].From) < maxFrom:
			p.Next[i].From = append(p.Next[i].From, from)
		default:
			p.Next[i].More++
		}
	}
	add(c.Verdict, c.Next, subject{c.Anchor, c.Name})
	for _, f := range c.Findings {
		if f.Verdict == Failed || f.Verdict == Unknown {
			name := f.Subject
			if name == "" {
				name = c.Name
			}
			add(f.Verdict, f.Next, subject{f.Anchor, short(name, 80)})
		}
	}
}

func (p *page) marks() {
	struck, seen := markAt(p.Report, markStruck)
	for _, m := range p.Report.Marks {
		row := markRow{Mark: m, Anchor: p.anchor("mark", m.Name), Key: m.Name == markStruck || m.Name == markServiceBack}
		if seen {
			row.After = signed(m.At - struck)
		}
		p.Marks = append(p.Marks, row)
	}
}

// nav leads to what there is, with the verdict of the checks that it is about.
func (p *page) nav() {
	add := func(id, text, count string, checks ...string) {
		link := navLink{ID: id, Text: text, Count: count}
		var verdicts []Verdict
		for _, name := range checks {
			if c, ok := p.Judged[name]; ok {
				verdicts = append(verdicts, c.Verdict)
			}
		}
		switch v := Worst(verdicts...); {
		case len(verdicts) == 0:
		case !slices.ContainsFunc(verdicts, func(v Verdict) bool { return v != Skipped }):
			link.Mark = Skipped.String()
		default:
			link.Mark = v.String()
		}
		p.Nav = append(p.Nav, link)
	}
	number := func(n int) string {
		if n == 0 {
			return ""
		}
		return fmt.Sprint(n)
	}
	if len(p.Next) > 0 {
		add("next", "Next steps", number(len(p.Next)+p.MoreNext))
	}
	add("objectives", "Objectives", "", "rto", "rpo", "volumes", "fidelity")
	add("timeline", "Timeline", "", "phases", "rto")
	add("checks", "Checks", number(len(p.Checks)))
	if n := len(p.Checks); n > 0 {
		p.Nav[len(p.Nav)-1].Mark = p.Verdict.String()
	}
	add("ledger", "Writes", "", "ledger", "rpo", "layers")
	if p.Volumes != nil {
		add("volumes", "Volumes", number(len(p.Volumes.Claims)), "volumes")
	}
	add("fidelity", "Fidelity", "", "fidelity", "store")
	add("dependencies", "Dependencies", "", "references")
	add("access", "Access", "", "access")
	if len(p.Asked) > 0 {
		add("probes", "Probes", number(len(p.Asked)), "probes")
	}
	if len(p.Recovery) > 0 {
		add("runbook", "Runbook", number(len(p.Recovery)+p.MoreRecovery))
	}
	add("artifacts", "Backups", number(len(p.Kept)), "artifact")
	if len(p.Controls) > 0 {
		add("controls", "Controls", number(len(p.Controls)))
	}
	add("environment", "Environment", "")
	add("limits", "Limits", "")
	if len(p.Excerpts) > 0 {
		add("logs", "Logs", number(len(p.Excerpts)))
	}
	add("scenario", "Scenario", "")
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

// sentence has a capital and a full stop: reasons and steps are written without, as errors are.
func sentence(s string) string {
	first, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return s
	}
	// A name at the beginning keeps its spelling: etcdctl alarm list, spec.replicas, rpo: nothing was observed.
	if word, _, _ := strings.Cut(s, " "); !strings.ContainsAny(word, "-./_:0123456789") && !strings.HasPrefix(word, "etcd") && !strings.HasPrefix(word, "kube") {
		s = string(unicode.ToUpper(first)) + s[n:]
	}
	if last, _ := utf8.DecodeLastRuneInString(s); unicode.IsLetter(last) || unicode.IsDigit(last) || last == ')' {
		s += "."
	}
	return s
}

// objectName of an object in its namespace.
func objectName(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
}

// sinceStatus of a missing object: what was missing before the failure as well is expected.
func sinceStatus(since string) string {
	switch since {
	case "before":
		return "expected"
	case "undetermined":
		return Unknown.String()
	}
	return Failed.String()
}
