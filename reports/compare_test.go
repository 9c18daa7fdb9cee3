package reports

import (
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestComparisonGoldens(t *testing.T) {
	c := Compare(passedReport(), failedReport())
	var text, markdown, json bytes.Buffer
	require.NoError(t, WriteComparison(&text, c, false))
	require.NoError(t, WriteComparisonMarkdown(&markdown, c))
	require.NoError(t, WriteComparisonJSON(&json, c))
	golden(t, "testdata/comparison/worse.txt", text.Bytes())
	golden(t, "testdata/comparison/worse.md", markdown.Bytes())
	golden(t, "testdata/comparison/worse.json", json.Bytes())
}

func TestCompareOutcomes(t *testing.T) {
	slower := passedReport()
	slower.Objectives[0].Measured = ptr(9.9)
	more := failedReport()
	more.Objectives[2].Measured = ptr(44.0)
	within := failedReport()
	within.Objectives[1].Measured = ptr(2.85) // of 2.81, and each is known to 0.05 s
	less := failedReport()
	less.Objectives[3].Measured = ptr(2.0)
	skipped := passedReport()
	skipped.Checks[6].Verdict = Skipped
	without := passedReport()
	without.Checks = without.Checks[:7]
	unmeasured := passedReport()
	unmeasured.Objectives[0].Measured, unmeasured.Objectives[0].Verdict = nil, Unknown
	failedToo := failedReport()
	failedToo.Checks[0].Verdict = Failed
	both := failedReport() // one check better, another worse
	both.Checks[0].Verdict, both.Checks[2].Verdict = Failed, Passed
	for name, row := range map[string]struct {
		before, after *Report
		want          string
	}{
		"the same":                        {passedReport(), passedReport(), Same},
		"slower, and in time":             {passedReport(), slower, Same},
		"failed":                          {passedReport(), failedReport(), Worse},
		"mended":                          {failedReport(), passedReport(), Better},
		"unknown is worse than passed":    {passedReport(), unknownReport(), Worse},
		"unknown is better than failed":   {failedReport(), &Report{Verdict: Unknown}, Worse}, // checks that passed are gone
		"missed by more":                  {failedReport(), more, Worse},
		"missed by what cannot be told":   {failedReport(), within, Same},
		"missed by less":                  {failedReport(), less, Better},
		"a check does not apply any more": {passedReport(), skipped, Worse},
		"a check applies now":             {skipped, passedReport(), Better},
		"a check is gone":                 {passedReport(), without, Worse},
		"a check is new, and passed":      {without, passedReport(), Better},
		"a figure is not measured":        {passedReport(), unmeasured, Worse},
		"another check failed":            {failedReport(), failedToo, Worse},
		"one better, one worse":           {failedReport(), both, Worse},
		"nothing and nothing":             {&Report{}, &Report{}, Same},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, row.want, Compare(row.before, row.after).Outcome) })
	}
}

func TestCompareFindings(t *testing.T) {
	before, after := failedReport(), failedReport()
	after.Checks[3].Findings[0].Message = "is lost, said otherwise"    // the same finding
	after.Checks[3].Findings[1].Subject = "v1 secrets shop/other"      // one new, one gone
	after.Checks[2].Findings[2].Subject = "a passed one is no finding" //
	after.Checks[3].Omitted = 4
	c := Compare(before, after)
	require.Equal(t, []FoundBy{{"fidelity", after.Checks[3].Findings[1]}}, c.New)
	require.Equal(t, []FoundBy{{"fidelity", before.Checks[3].Findings[1]}}, c.Gone)
	require.Equal(t, 4, c.Unlisted)
	require.Empty(t, c.Checks)
	require.Equal(t, 1.0, *c.Figures[0].Ratio)
	require.Nil(t, Compare(passedReport(), failedReport()).Figures[3].Ratio, "nothing is a multiple of zero")
}

func TestCompareTellsWhatElseDiffers(t *testing.T) {
	require.Empty(t, Compare(passedReport(), failedReport()).Caveats)
	other := passedReport()
	other.Environment.CPUs, other.Environment.Versions = 64, map[string]string{"etcd": "3.6.16", "velero": "v1.18.3"}
	other.Drill.Provider, other.Scenario = "kind", other.Scenario+"#"
	require.Equal(t, []string{
		"the scenario's file was changed in between", "provider: process before, kind after", "CPUs: 2 before, 64 after",
		"kube-apiserver: v1.36.3 before, none after", "kube-controller-manager: v1.36.3 before, none after", "kube-scheduler: v1.36.3 before, none after",
		"kwok: v0.8.0 before, none after", "velero: none before, v1.18.3 after",
	}, Compare(passedReport(), other).Caveats)
}

// What the volume ledger lost is a figure like the others, in a comparison as in a history.
func TestVolumesCompare(t *testing.T) {
	worse := volumesReport()
	worse.Objectives[4].Measured, worse.Objectives[4].Verdict = ptr(2.62), Failed
	f := Compare(volumesReport(), worse).Figures[4]
	require.Equal(t, "volume rpo", f.Name)
	require.Equal(t, Worse, f.Outcome)
	require.Equal(t, 2.0, *f.Ratio)
	require.Equal(t, 1.0, *NewRecord(worse, "").Figure("lost records").Measured)
}

func TestComparisonOfHostileText(t *testing.T) {
	c := Compare(passedReport(), hostileReport())
	for _, write := range []func(io.Writer, *Comparison) error{WriteComparisonMarkdown, func(w io.Writer, c *Comparison) error { return WriteComparison(w, c, false) }} {
		var b bytes.Buffer
		require.NoError(t, write(&b, c))
		require.NotContains(t, b.String(), "\x1b")
		require.True(t, Ours(b.Bytes()))
	}
	var b bytes.Buffer
	require.NoError(t, WriteComparisonMarkdown(&b, c))
	require.NotContains(t, string(rendered(t, b.Bytes())), "<script")
	require.NotContains(t, string(rendered(t, b.Bytes())), "<img")
}
