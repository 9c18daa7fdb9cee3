package reports

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"
)

// walk calls visit for every element of a page.
func walk(t *testing.T, page []byte, visit func(n *html.Node, attr map[string]string)) {
	t.Helper()
	root, err := html.Parse(bytes.NewReader(page))
	require.NoError(t, err)
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		attr := map[string]string{}
		for _, a := range n.Attr {
			attr[a.Key] = a.Val
		}
		visit(n, attr)
	}
}

func pages() map[string]*Report {
	return map[string]*Report{
		"passed": passedReport(), "failed": failedReport(), "unknown": unknownReport(), "volumes": volumesReport(), "hostile": hostileReport(),
		"large": largeReport(50_000, 5_000), "empty": {}, "skipped": {Verdict: Skipped}, "invalid verdict": {Verdict: 9},
	}
}

// The page is one file: it loads nothing, and its policy allows no more than its own style sheet and script.
func TestHTMLIsSelfContained(t *testing.T) {
	for name, r := range pages() {
		t.Run(name, func(t *testing.T) {
			page := render(t, WriteHTML, r)
			count, away := selfContained(t, page)
			require.Empty(t, away, "the page leads away")
			for _, once := range []string{"h1", "main", "nav", "footer"} {
				require.Equal(t, 1, count[once], "<%s>", once)
			}
		})
	}
}

// selfContained counts the elements of a page, of which none may load, send or run anything but the page's own script, and returns the links that
// lead to other files.
func selfContained(t *testing.T, page []byte) (count map[string]int, away []string) {
	t.Helper()
	count = map[string]int{}
	ids, within := map[string]bool{}, []string{}
	policy, source := "", map[string]string{}
	walk(t, page, func(n *html.Node, attr map[string]string) {
		count[n.Data]++
		require.NotContains(t, []string{"iframe", "object", "embed", "img", "image", "form", "base", "video", "audio", "foreignobject", "animate", "set"}, strings.ToLower(n.Data))
		for key, value := range attr {
			require.False(t, strings.HasPrefix(key, "on"), "%s=%q in <%s>", key, value, n.Data)
			require.NotEqual(t, "style", key, "the policy forbids style attributes")
			require.NotEqual(t, "src", key)
			switch {
			case key != "href":
			case n.Data == "link":
				require.True(t, strings.HasPrefix(value, "data:image/svg+xml,"), value)
			case strings.HasPrefix(value, "#"):
				within = append(within, value[1:])
			default:
				require.Equal(t, "a", n.Data)
				away = append(away, value)
			}
		}
		if id, ok := attr["id"]; ok {
			require.False(t, ids[id], "two elements have the id %q", id)
			ids[id] = true
		}
		if attr["http-equiv"] == "Content-Security-Policy" {
			policy = attr["content"]
		}
		if n.Data == "style" || n.Data == "script" {
			source[n.Data] = n.FirstChild.Data
		}
	})
	for _, to := range within {
		require.True(t, ids[to], "a link to #%s leads nowhere", to)
	}
	require.Equal(t, 1, count["style"])
	require.Equal(t, 1, count["script"])
	require.Equal(t, pageScript, source["script"])
	hash := func(s string) string {
		sum := sha256.Sum256([]byte(s))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	require.Equal(t, "default-src 'none'; style-src "+hash(source["style"])+"; script-src "+hash(source["script"])+"; img-src data:; base-uri 'none'; form-action 'none'", policy)
	require.NotContains(t, source["style"], "url(")
	require.NotContains(t, source["style"], "@import")
	require.NotContains(t, string(page), "ZgotmplZ")
	require.NotContains(t, string(page), "\x1b")
	return count, away
}

// text of a page, as a reader without style sheets and scripts has it.
func text(t *testing.T, page []byte) string {
	t.Helper()
	root, err := html.Parse(bytes.NewReader(page))
	require.NoError(t, err)
	var b strings.Builder
	var read func(n *html.Node)
	read = func(n *html.Node) {
		unseen := n.Data == "style" || n.Data == "script" || n.Data == "dialog" || slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == "hidden" })
		switch {
		case n.Type == html.TextNode:
			b.WriteString(n.Data + " ")
		case n.Type != html.ElementNode || !unseen:
			for c := range n.ChildNodes() {
				read(c)
			}
		}
	}
	read(root)
	return strings.Join(strings.Fields(b.String()), " ")
}

func TestHTMLSaysWhatMatters(t *testing.T) {
	passed, failed, unknown := text(t, render(t, WriteHTML, passedReport())), text(t, render(t, WriteHTML, failedReport())), text(t, render(t, WriteHTML, unknownReport()))

	require.Contains(t, passed, "Passed : the backup held, within the objectives")
	require.Contains(t, passed, "It came out as the scenario declares: passed.")
	require.Contains(t, passed, "target ≤ 10 s margin 4.09 s left resolution to within 21 ms")
	require.Contains(t, passed, "RPO 1.2 s")
	require.Contains(t, passed, "RTO 5.91 s")
	require.Contains(t, passed, "A second, independent method agrees: 21 acknowledged writes lie above")
	require.Contains(t, passed, "a lease is renewed by whoever holds it now")
	require.Contains(t, passed, "Everybody may do what they could do before, and nothing more.")
	require.Contains(t, passed, strings.Repeat("90ce3d47", 8))
	require.Contains(t, passed, "the rule of three")
	require.Contains(t, passed, "No kubelet ran")
	require.Contains(t, passed, "expression: object.status.readyReplicas == object.spec.replicas")
	require.NotContains(t, passed, "What to do next")

	require.Contains(t, failed, "Failed : the backup did not hold")
	require.Contains(t, failed, "The scenario declares passed: it did not come out so.")
	require.Contains(t, failed, "810 ms over")
	require.Contains(t, failed, "What to do next")
	require.Contains(t, failed, "Rotate the credential")
	require.Contains(t, failed, "/data/currency EUR DEM")
	require.Contains(t, failed, "get,list,watch secrets")
	require.Contains(t, failed, "The scenario opened no informer before the failure.")

	require.Contains(t, unknown, "Unknown : this drill cannot tell whether the backup holds")
	require.Contains(t, unknown, "The service was not seen restored, so there is no recovery time.")
	require.Contains(t, unknown, "The ledger could not be read: nothing is known about lost writes.")
	require.Contains(t, unknown, "There is no comparison, because a census is missing: nothing is known about what came back.")
	require.Contains(t, unknown, "Not observed: access-after.jsonl is missing.")
	require.Contains(t, unknown, "not reached")
	require.Contains(t, unknown, "unable to initialize clusterroles")
	require.NotContains(t, unknown, "Everybody may do")
	require.NotContains(t, unknown, "Nothing is missing")

	volumes := text(t, render(t, WriteHTML, volumesReport()))
	require.Contains(t, volumes, "2 of 4 volumes restored, 1 empty (volumes/data-journal-1); 21 of 60 files lost, 1 changed; 1 of 4 acknowledged records lost.")
	require.Contains(t, volumes, "volumes/data-journal-1 20 0 20 0 0 failed the volume is empty, and held 20 files")
	require.Contains(t, volumes, "None is missing up to 1.31 s before the failure.")
	require.Contains(t, volumes, "Volume RPO passed 1.31 s of records")
	for _, page := range []string{passed, failed, unknown} {
		require.NotContains(t, page, "volume of claim", "a drill without volumes")
	}
	r := volumesReport()
	r.Volumes.Files, r.Volumes.Claims[2].Files, r.Volumes.Records = nil, nil, nil
	volumes = text(t, render(t, WriteHTML, r))
	require.Contains(t, volumes, "1 empty (volumes/data-journal-1); what the files lost is not known; what the volume ledger lost is not known.")
	require.Contains(t, volumes, "volumes/data-journal-2 no files compared failed")
}

// What was not observed never reads as if it were all right.
func TestHTMLOfNothingIsUnknown(t *testing.T) {
	page := text(t, render(t, WriteHTML, &Report{}))
	for _, want := range []string{"Unknown : this drill cannot tell", "Nothing was checked.", "Nothing of this drill has a time.", "nothing is known about lost writes",
		"nothing is known about what came back", "Access was not compared.", "No backup was finished."} {
		require.Contains(t, page, want)
	}
	require.NotContains(t, page, "passed")

	r := passedReport()
	r.Ledger.ByRevision = ptr(20)
	require.Contains(t, text(t, render(t, WriteHTML, r)), "method DISAGREES: 20 acknowledged writes lie above")
}

func TestHTMLKeepsHostileTextAsText(t *testing.T) {
	page := render(t, WriteHTML, hostileReport())
	require.Equal(t, 1, strings.Count(string(page), "<script"), "the page's own")
	require.NotContains(t, string(page), "<img")
	require.NotContains(t, string(page), "\x1b")
	require.NotContains(t, string(page), "\x00")
	require.NotContains(t, string(page), "\u202e")
	require.Contains(t, text(t, page), "</script></style><script>alert(1)</script>red ]]> ⟨U+202E⟩abc <img src=x onerror=alert(1)> & \" '")
}

func TestHTMLStaysSmall(t *testing.T) {
	require.Less(t, len(render(t, WriteHTML, passedReport())), 300<<10, "a default drill")

	const n = 20_000
	page := render(t, WriteHTML, largeReport(50_000, n))
	require.Less(t, len(page), 10<<20)
	shown := text(t, page)
	require.Contains(t, shown, fmt.Sprintf("thing-%06d /spec/template/field0, /spec/template/field1", n/2-1), "all that is unexpected has a name")
	require.Contains(t, shown, fmt.Sprintf("%d objects more in report.json.", n/2-maxAllowed-maxAlsoNamed))

	// However long names and values are.
	long := largeReport(50_000, 0)
	fields := slices.Repeat([]FieldChange{{Path: "/data/" + strings.Repeat("p", 3000), Before: strings.Repeat("b", 3000), After: strings.Repeat("a", 3000), Class: "changed"}}, 40)
	for i := range 60_000 {
		d := Difference{Class: "changed", Resource: "v1 configmaps", Namespace: strings.Repeat("n", 60), Name: fmt.Sprintf("%s-%d", strings.Repeat("x", 240), i), Fields: fields}
		if i >= 30_000 {
			d.Class, d.Rule = "expected", fmt.Sprintf("rule %d", i%20)
		}
		long.Fidelity.Differences = append(long.Fidelity.Differences, d)
	}
	page = render(t, WriteHTML, long)
	require.Less(t, len(page), 10<<20)
	require.Regexp(t, `\d+,\d+ differences more in report\.json`, text(t, page))

	r := failedReport()
	r.Fidelity.Omitted = 7
	for range 500 {
		r.Access = append(r.Access, r.Access[0])
		r.Checks[5].Findings = append(r.Checks[5].Findings, r.Checks[5].Findings[0])
		r.Fidelity.Differences[2].Fields = append(r.Fidelity.Differences[2].Fields, r.Fidelity.Differences[2].Fields[0])
		r.Steps = append(r.Steps, r.Steps[0])
	}
	r.Logs = []LogExcerpt{{Component: "etcd-0", Lines: make([]string, 100_000)}}
	r.Scenario = strings.Repeat("# a long comment\n", 100_000)
	r.Fidelity.Differences[2].Fields[0].Before = strings.Repeat("x", 1<<20)
	page = render(t, WriteHTML, r)
	require.Less(t, len(page), 1<<20)
	shown = text(t, page)
	for _, want := range []string{"7 differences more were counted above", "451 findings more.", "474 fields more in report.json.", "111 steps more in report.json.", "(1048576 bytes in all)"} {
		require.Contains(t, shown, want)
	}
	require.Len(t, r.Access, 502, "the report itself is left alone")
}

func TestHTMLTrouble(t *testing.T) {
	require.EqualError(t, WriteHTML(io.Discard, nil), "write html: there is no report")
	require.EqualError(t, WriteTerminal(io.Discard, nil, true), "write summary: there is no report")
}

func TestTimelineOfPartialDrills(t *testing.T) {
	require.Nil(t, newPicture(&Report{}, nil))

	// Interrupted: a phase without end, no failure.
	p := newPicture(&Report{Phases: []Phase{{Name: "provision", Start: ptr(0.0), End: ptr(2.0)}, {Name: "seed", Start: ptr(2.0)}, {Name: "backup"}},
		Steps: []Step{{Phase: "seed", Name: "apply", Start: 2.1}}}, nil)
	require.True(t, p.Lanes[1].Open)
	require.Equal(t, "did not end", p.Lanes[1].Text)
	require.False(t, p.Lanes[2].Drawn)
	require.Equal(t, "not reached", p.Lanes[2].Text)
	require.Nil(t, p.Struck)
	require.Equal(t, "The failure was not seen.", p.Summary)

	// Struck, and never restored: no bracket claims a recovery.
	r := passedReport()
	r.RTO = nil
	p = newPicture(r, nil)
	require.NotNil(t, p.Struck)
	require.Nil(t, p.RTO)
	require.Nil(t, p.Back)
	require.Equal(t, "The failure struck at 9.86 s. RPO 1.2 s: nothing is missing up to 8.66 s. The service was not seen restored.", p.Summary)

	r = passedReport()
	p = newPicture(r, nil)
	require.InDelta(t, p.Struck.X, p.RTO.X1, 0.01)
	require.InDelta(t, p.Struck.X, p.RPO.X2, 0.01)
	for _, b := range p.Bars {
		require.True(t, b.X >= p.Left && b.X+b.W <= p.Right, "a bar leaves the plot")
	}

	// A long drill with a fine ledger is drawn with no more bars than there is room for, and loses no write.
	r.Ledger.Series = nil
	for i := range 100_000 {
		r.Ledger.Series = append(r.Ledger.Series, LedgerBucket{Start: float64(i) / 10, Seconds: 0.1, Kept: 1})
	}
	r.Phases[5].End = ptr(10_000.0)
	p = newPicture(r, nil)
	require.LessOrEqual(t, len(p.Bars), 400)
	require.LessOrEqual(t, len(p.Ticks), 11)
	require.Equal(t, 256, p.LedgerMax)
}

// What a run with many objects and differences costs, in memory; BenchmarkRender has the time.
func TestHTMLCostsLittle(t *testing.T) {
	r := largeReport(50_000, 5_000)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	page := render(t, WriteHTML, r)
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(300<<20), "all that was ever allocated, and so its peak")
	require.Less(t, len(page), 4<<20)
}
