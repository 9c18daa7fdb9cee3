package reports

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// several drills: as declared, not as declared, sabotage that was seen, and one that left no report.
func several() []*Report {
	failed := failedReport()
	failed.Drill.ID, failed.Drill.Scenario = "20261120-093100-1111", "field-changed"
	failed.Declared = Declared{Tool: "completed", Verdict: Failed, AsDeclared: true}
	failed.Drill.Method = "manifests"
	failed.Claims = []Claim{{Operation: "backup", Says: "completed"}, {Operation: "restore", Layer: "etcd", Says: "completed"}}
	unknown := unknownReport()
	unknown.Drill.Scenario = "control-plane-lost"
	unknown.Declared.Mismatches = []string{"the verdict is unknown, declared: passed", "the tool said nothing of the restore, declared: completed"}
	missing := Missing(Drill{Scenario: "etcd-quorum-lost", Provider: "process", Method: "etcd", Faults: []string{"etcd-quorum-lost"}}, errors.New("the drill was not begun: interrupted"))
	return []*Report{passedReport(), failed, unknown, missing}
}

func summarized() *Summary {
	s := Summarize(several()...)
	s.Started, s.Seconds, s.Parallel, s.RunBy = began, 61.25, 2, "v0.1.0"
	return s
}

func TestSummary(t *testing.T) {
	s := summarized()
	require.Equal(t, Failed, s.Verdict)
	require.False(t, s.AsDeclared)
	require.Equal(t, "1 failed, 2 unknown, 1 passed", s.Tally())
	require.Equal(t, "2 drills of 4 did not come out as declared.", s.Declaration())
	require.Equal(t, "etcd-data-lost/report.html", s.Drills[0].Report)
	require.Equal(t, 5.912, *s.Drills[0].RTO)
	require.Equal(t, 1.204, *s.Drills[0].RPO)
	require.Equal(t, 21, *s.Drills[0].LostWrites)
	require.Equal(t, "restore completed", s.Drills[1].Tool)
	require.Equal(t, Outcome{
		Scenario: "etcd-quorum-lost", Provider: "process", Method: "etcd", Faults: []string{"etcd-quorum-lost"},
		Reason: "there is no report: the drill was not begun: interrupted",
	}, s.Drills[3], "what is not known is absent")
}

// Whatever is missing, a summary without it is never green.
func TestSummaryOfNothingIsUnknown(t *testing.T) {
	s := Summarize()
	require.Equal(t, Unknown, s.Verdict)
	require.False(t, s.AsDeclared)
	s = Summarize(passedReport(), passedReport())
	require.Equal(t, Passed, s.Verdict)
	require.True(t, s.AsDeclared)
	require.Equal(t, "Every drill came out as its scenario declares.", s.Declaration())
	s = Summarize(passedReport(), Missing(Drill{Scenario: "a"}, io.ErrUnexpectedEOF))
	require.Equal(t, Unknown, s.Verdict)
	require.False(t, s.AsDeclared)
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	_, err := Read(dir)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "report.json"), []byte(`{"schema": "restoredrill.io/report/v2", "verdict": "passed"}`), 0o600))
	_, err = Read(dir)
	require.ErrorContains(t, err, `read report: it is written as "restoredrill.io/report/v2"`)
	_, err = WriteAll(dir, passedReport())
	require.NoError(t, err)
	r, err := Read(dir)
	require.NoError(t, err)
	require.Equal(t, Passed, r.Verdict)
}

func TestWriteSummary(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "if need be")
	paths, err := WriteSummary(dir, summarized(), several())
	require.NoError(t, err)
	for i, name := range []string{"index.html", "summary.json", "junit.xml"} {
		require.Equal(t, filepath.Join(dir, name), paths[i])
		b, err := os.ReadFile(paths[i])
		require.NoError(t, err)
		golden(t, "testdata/summary/"+name, own.ReplaceAll(b, []byte("$1$3")))
	}
	var out bytes.Buffer
	require.NoError(t, WriteSummaryTerminal(&out, summarized(), false, "drill-runs/20261120-093000/index.html"))
	golden(t, "testdata/summary/summary.txt", out.Bytes())

	_, err = WriteSummary(os.DevNull, summarized(), nil)
	require.ErrorContains(t, err, "write summary: ")
	s := summarized()
	s.Verdict = 9
	_, err = WriteSummary(dir, s, nil)
	require.ErrorContains(t, err, "write invalid verdict 9")
}

func TestSummarySchemaIsUpToDate(t *testing.T) {
	schema, err := SummarySchema()
	require.NoError(t, err)
	golden(t, "summary.schema.json", schema)
	for name, s := range map[string]*Summary{"several": summarized(), "none": Summarize(), "hostile": Summarize(hostileReport())} {
		var b bytes.Buffer
		require.NoError(t, WriteSummaryJSON(&b, s))
		require.NoError(t, valid(t, SummarySchemaID, schema, b.Bytes()), name)
		require.NotContains(t, b.String(), "null")
	}
	require.ErrorContains(t, valid(t, SummarySchemaID, schema, []byte(`{"schema": "restoredrill.io/summary/v2"}`)), "value must be 'restoredrill.io/summary/v1alpha1'")
}

// The page is one file: it loads nothing, and leads nowhere but to the drills' own pages.
func TestSummaryPage(t *testing.T) {
	for name, s := range map[string]*Summary{"several": summarized(), "none": Summarize(), "hostile": Summarize(hostileReport())} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			require.NoError(t, WriteSummaryHTML(&b, s))
			_, reports := selfContained(t, b.Bytes())
			var want []string
			for _, o := range s.Drills {
				if o.Report != "" {
					want = append(want, o.Report)
				}
			}
			if name == "several" {
				require.Equal(t, []string{"control-plane-lost/report.html", "etcd-data-lost/report.html", "field-changed/report.html"},
					slices.Compact(slices.Sorted(slices.Values(reports))))
				require.Len(t, reports, 2*3+1, "in the matrix, in the table, and where it says what is not as declared")
				require.Len(t, want, 3)
			}
		})
	}
	var b bytes.Buffer
	require.NoError(t, WriteSummaryHTML(&b, summarized()))
	shown := text(t, b.Bytes())
	for _, want := range []string{
		"Failed : 1 failed, 2 unknown, 1 passed", "2 drills of 4 did not come out as declared.", "At a time 2 drills", "Took 61.2 s",
		"the verdict is unknown, declared: passed", "etcd-quorum-lost: there is no report: the drill was not begun: interrupted",
		"etcd-data-lost passed, 5.91 s not run", "field-changed not run failed, 5.91 s", "scenario etcd process manifests process",
		"etcd-data-lost passed yes etcd-data-lost nothing 5.91 s 1.2 s 21 17.8 s",
		"field-changed failed yes etcd-data-lost, snapshot-stale restore completed 5.91 s 2.81 s 45",
		"etcd-quorum-lost unknown no etcd-quorum-lost nothing unknown unknown unknown unknown",
	} {
		require.Contains(t, shown, want)
	}
	b.Reset()
	require.NoError(t, WriteSummaryHTML(&b, Summarize()))
	require.Contains(t, text(t, b.Bytes()), "No drill was run.")
}

func TestSummaryOnATerminal(t *testing.T) {
	var many []*Report
	for i := range 65 {
		r := passedReport()
		r.Drill.Scenario = fmt.Sprintf("scenario-%d", i)
		r.Drill.Started = began.Add(time.Duration(i) * time.Second)
		many = append(many, r)
	}
	var b bytes.Buffer
	require.NoError(t, WriteSummaryTerminal(&b, Summarize(many...), true, "index.html"))
	require.Contains(t, b.String(), "\x1b[1;32m✓ PASSED 65 drills: 65 passed")
	require.Less(t, strings.Count(b.String(), "\n"), 75, "a line a drill")
	b.Reset()
	require.NoError(t, WriteSummaryTerminal(&b, Summarize(hostileReport()), false))
	require.NotContains(t, b.String(), "\x1b")
}
