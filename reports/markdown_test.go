package reports

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	markdownhtml "github.com/yuin/goldmark/renderer/html"
	"golang.org/x/net/html"
)

func TestMarkdownGoldens(t *testing.T) {
	for name, fixture := range fixtures {
		golden(t, "testdata/"+name+"/report.md", render(t, WriteMarkdown, fixture()))
	}
	var b bytes.Buffer
	require.NoError(t, WriteSummaryMarkdown(&b, summarized(), several()))
	golden(t, "testdata/summary/summary.md", b.Bytes())
}

// rendered is what a reader of GitHub's Markdown makes of a document, HTML within it included.
func rendered(t *testing.T, document []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, goldmark.New(goldmark.WithExtensions(extension.GFM), goldmark.WithRendererOptions(markdownhtml.WithUnsafe())).Convert(document, &b))
	return b.Bytes()
}

// documents in both forms, of all kinds of reports.
func documents(t *testing.T) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for name, r := range pages() {
		all[name] = render(t, WriteMarkdown, r)
		all[name+", comment"] = render(t, WriteComment, r)
	}
	s, drills := summarized(), several()
	drills = append(drills, hostileReport())
	for name, write := range map[string]func(io.Writer, *Summary, []*Report) error{"set": WriteSummaryMarkdown, "set, comment": WriteSummaryComment} {
		var b bytes.Buffer
		require.NoError(t, write(&b, s, drills))
		all[name] = b.Bytes()
	}
	return all
}

// The only markup is ours: no script, no link, no image, and every table has as many cells in each row.
func TestMarkdownHoldsNoMarkupButOurs(t *testing.T) {
	ours := []string{"html", "head", "body", "h2", "h3", "h4", "p", "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "code", "strong", "details", "summary", "blockquote", "span"}
	for name, document := range documents(t) {
		t.Run(name, func(t *testing.T) {
			require.True(t, bytes.HasPrefix(document, []byte(markdownMark)))
			require.True(t, utf8.Valid(document))
			cells := 0
			walk(t, rendered(t, document), func(n *html.Node, attr map[string]string) {
				require.Contains(t, ours, n.Data)
				for key := range attr {
					require.Contains(t, []string{"style"}, key, "of <%s>", n.Data) // of aligned cells
				}
				if n.Data == "tr" {
					row := 0
					for c := range n.ChildNodes() {
						if c.Type == html.ElementNode {
							row++
						}
					}
					if n.Parent.Data == "thead" {
						cells = row
					}
					require.Equal(t, cells, row)
				}
			})
		})
	}
}

// A name that a tenant chose reads as it is, and calls nobody.
func TestMarkdownOfHostileNames(t *testing.T) {
	for _, name := range []string{
		"</details></summary><script>alert(1)</script>", "[click](https://evil.example)", "![x](https://evil.example/pixel.png)", "| a | b |", "`code` ``more``", "`", "a`|`b",
		"**bold** _it_ ~~gone~~ # head", "&lt;b&gt; &amp;", "back\\slash \\| \\`", "<!-- hidden -->", "- item", "1. item", "---", "> quote", "https://evil.example", "www.evil.example", "$x^2$", ":+1:",
		"mail@evil.example", "```", "<https://evil.example>", "[^1]", "- [ ] task",
	} {
		r := failedReport()
		r.Reason, r.Drill.Scenario = name, name
		r.Checks[2].Findings[0].Subject, r.Checks[2].Findings[0].Message, r.Checks[0].Reason = name, name, name
		r.Fidelity.Differences[0].Name, r.Fidelity.Kinds[0].Resource = name, name
		r.Fidelity.Differences[2].Fields[0].Before = name
		r.Limits[0], r.Phases[0].Error, r.Declared.Mismatches[0] = name, name, name
		document := render(t, WriteMarkdown, r)
		shown := text(t, rendered(t, document))
		want := strings.Join(strings.Fields(name), " ")
		count := strings.Count(strings.ReplaceAll(strings.Join(strings.Fields(strings.ReplaceAll(shown, " $ ", "$")), " "), wordJoiner, ""), want)
		require.GreaterOrEqual(t, count, 10, "%s\n%s", name, shown)
		walk(t, rendered(t, document), func(n *html.Node, attr map[string]string) {
			require.NotContains(t, []string{"a", "img", "script", "del", "input", "sup", "h1", "ol", "pre", "hr"}, n.Data, name)
		})
	}
	// What GitHub and GitLab make of text that is no markup: it is kept apart with a sign that is not seen.
	require.Equal(t, "@"+wordJoiner+"everyone see #"+wordJoiner+"12, group!"+wordJoiner+"3, GH-"+wordJoiner+"4; a-5 is a name", prose("@everyone see #12, group!3, GH-4; a-5 is a name"))
	require.Equal(t, "`@everyone #12`", code("@everyone #12"))
}

func TestMarkdownFitsWhereItGoes(t *testing.T) {
	many := largeReport(50_000, 20_000)
	for i := range 20_000 {
		many.Checks[2].Findings = append(many.Checks[2].Findings, Finding{Verdict: Failed, Subject: fmt.Sprintf("thing-%d", i), Message: strings.Repeat("ä", 400), Next: strings.Repeat("|", 2000)})
		many.Limits = append(many.Limits, strings.Repeat("<", 3000))
	}
	for i := range 500 {
		many.Checks = append(many.Checks, Check{Name: fmt.Sprintf("check-%d", i), Verdict: Failed, Reason: strings.Repeat("_", 2000), Findings: many.Checks[2].Findings[:200]})
	}
	many.Reason = strings.Repeat("`", 1<<20)
	var s []*Report
	for i := range 3_000 {
		r := failedReport()
		r.Drill.Scenario = fmt.Sprintf("drill-%d", i)
		s = append(s, r)
	}
	for form, limit := range map[*markdownForm]int{&summaryForm: 1 << 20, &commentForm: 65_536} {
		var one, set bytes.Buffer
		require.NoError(t, writeMarkdown(&one, *form, many))
		require.NoError(t, writeSummaryMarkdown(&set, *form, Summarize(s...), s))
		for _, b := range [][]byte{one.Bytes(), set.Bytes()} {
			require.Less(t, len(b), limit)
			require.Greater(t, len(b), limit/2, "the room is used")
			require.True(t, utf8.Valid(b))
			require.True(t, bytes.Contains(b, fmt.Appendf(nil, "This text ends at the %d bytes that its place allows", limit)))
			require.Equal(t, bytes.Count(b, []byte("<details>")), bytes.Count(b, []byte("</details>")))
		}
	}
	// A list is cut where its form says, and tells how many more there are.
	shown := text(t, rendered(t, render(t, WriteComment, largeReport(50_000, 5_000))))
	require.Contains(t, shown, fmt.Sprintf("… and %d differences more, in report.json.", 2_500-commentForm.differences))
	r := failedReport()
	r.Fidelity.Omitted, r.Checks[2].Omitted = 7, 9
	shown = text(t, rendered(t, render(t, WriteComment, r)))
	require.Contains(t, shown, "7 differences more were counted, and are not in report.json.")
	require.Contains(t, shown, "9 findings more were counted, and are not in report.json.")
	require.NotContains(t, shown, "This text ends")
}

// What was not observed never reads as if it were all right.
func TestMarkdownOfNothingIsUnknown(t *testing.T) {
	for _, write := range []func(io.Writer, *Report) error{WriteMarkdown, WriteComment} {
		shown := text(t, rendered(t, render(t, write, &Report{})))
		require.Contains(t, shown, "? Unknown:")
		require.Contains(t, shown, "nothing was checked")
		require.NotContains(t, strings.ToLower(shown), "passed")
		require.EqualError(t, write(io.Discard, nil), "write markdown: there is no report")
	}
	var b bytes.Buffer
	require.NoError(t, WriteSummaryMarkdown(&b, Summarize(), nil))
	require.Contains(t, b.String(), "? Unknown: 0 drills")
}
