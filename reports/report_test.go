package reports

import (
	"bytes"
	"encoding/json"
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	validator "github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/internal/evidence"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares got with a file, or writes the file with -update.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, got, 0o644))
		return
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err, "write it with: go test ./reports -update")
	require.Equal(t, string(want), string(got), "%s: if the change is meant, write it with: go test ./reports -update", file)
}

var fixtures = map[string]func() *Report{"passed": passedReport, "failed": failedReport, "unknown": unknownReport, "volumes": volumesReport}

func TestWorst(t *testing.T) {
	rows := []struct {
		of   []Verdict
		want Verdict
	}{
		{nil, Unknown},
		{[]Verdict{Skipped}, Unknown},
		{[]Verdict{Skipped, Skipped}, Unknown},
		{[]Verdict{Passed}, Passed},
		{[]Verdict{Passed, Skipped}, Passed},
		{[]Verdict{Skipped, Passed}, Passed},
		{[]Verdict{Passed, Unknown}, Unknown},
		{[]Verdict{Unknown, Passed}, Unknown},
		{[]Verdict{Unknown, Failed}, Failed},
		{[]Verdict{Failed, Unknown, Passed}, Failed},
		{[]Verdict{Passed, Failed, Passed}, Failed},
		{[]Verdict{Passed, Verdict(17)}, Unknown},
		{[]Verdict{Verdict(-1)}, Unknown},
	}
	for _, row := range rows {
		require.Equal(t, row.want, Worst(row.of...), "worst of %v", row.of)
	}
}

// Whatever the verdicts: order does not matter, grouping does not matter once something was judged, and only a
// collection with a pass and without anything worse passes.
func TestWorstProperties(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		vs := make([]Verdict, random.IntN(7))
		count := map[Verdict]int{}
		for i := range vs {
			vs[i] = Verdict(random.IntN(4))
			count[vs[i]]++
		}
		worst := Worst(vs...)
		require.Equal(t, count[Failed] > 0, worst == Failed, "%v", vs)
		require.Equal(t, count[Passed] > 0 && count[Failed]+count[Unknown] == 0, worst == Passed, "%v", vs)
		require.NotEqual(t, Skipped, worst)

		shuffled := append([]Verdict(nil), vs...)
		random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		require.Equal(t, worst, Worst(shuffled...), "%v and %v", vs, shuffled)
		require.Equal(t, worst, Worst(worst, worst))
		require.NotEqual(t, Passed, Worst(append(shuffled, Unknown)...))
		require.Equal(t, Failed, Worst(append(shuffled, Failed)...))
	}
}

func TestVerdictText(t *testing.T) {
	var zero Verdict
	require.Equal(t, Unknown, zero, "what nobody judged is unknown")
	for _, v := range []Verdict{Unknown, Passed, Failed, Skipped} {
		b, err := v.MarshalText()
		require.NoError(t, err)
		var back Verdict
		require.NoError(t, back.UnmarshalText(b))
		require.Equal(t, v, back)
	}
	v := Failed
	require.EqualError(t, v.UnmarshalText([]byte("Passed")), `unknown verdict "Passed" (want passed, failed, unknown or skipped)`)
	require.Equal(t, Failed, v)
	require.Equal(t, "invalid verdict 9", Verdict(9).String())
	_, err := Verdict(9).MarshalText()
	require.EqualError(t, err, "write invalid verdict 9")
}

func TestMargin(t *testing.T) {
	margin, known := Objective{Target: ptr(10.0), Measured: ptr(12.5)}.Margin()
	require.True(t, known)
	require.Equal(t, -2.5, margin)
	_, known = Objective{Target: ptr(10.0)}.Margin()
	require.False(t, known)
	_, known = Objective{Measured: ptr(10.0)}.Margin()
	require.False(t, known)
}

func TestJSONGoldens(t *testing.T) {
	for name, fixture := range fixtures {
		t.Run(name, func(t *testing.T) {
			var first, second bytes.Buffer
			require.NoError(t, WriteJSON(&first, fixture()))
			golden(t, "testdata/"+name+"/report.json", first.Bytes())
			r, err := ReadJSON(bytes.NewReader(first.Bytes()))
			require.NoError(t, err)
			require.NoError(t, WriteJSON(&second, r))
			require.Equal(t, first.String(), second.String())
			require.True(t, strings.HasSuffix(first.String(), "}\n"))
		})
	}
}

func TestWriteJSONLeavesNoNull(t *testing.T) {
	r := &Report{RTO: &RTO{}, Ledger: &Ledger{}, Volumes: &Volumes{}, Fidelity: &Fidelity{}, Logs: []LogExcerpt{{Component: "etcd-0"}}}
	var b bytes.Buffer
	require.NoError(t, WriteJSON(&b, r))
	require.NotContains(t, b.String(), "null")
	require.Contains(t, b.String(), `"verdict": "unknown"`)
	require.Nil(t, r.Checks, "the report itself is left alone")
	require.Nil(t, r.Logs[0].Lines)
	require.Empty(t, r.Schema)
	validate(t, b.Bytes())
}

func TestWriteJSONTrouble(t *testing.T) {
	require.EqualError(t, WriteJSON(&bytes.Buffer{}, nil), "write report: there is none")

	r := passedReport()
	r.Objectives[0].Measured = ptr(math.NaN())
	var b bytes.Buffer
	require.ErrorContains(t, WriteJSON(&b, r), "write report: json: unsupported value: NaN")
	require.Zero(t, b.Len(), "nothing is written of a report that cannot be")

	r = passedReport()
	r.Checks[0].Verdict = 9
	require.ErrorContains(t, WriteJSON(&b, r), "write invalid verdict 9")
}

func TestReadJSONTrouble(t *testing.T) {
	const head = `{"schema": "restoredrill.io/report/v1alpha1", "verdict": "passed"`
	rows := map[string]struct{ text, want string }{
		"empty":            {"", "read report: line 1, column 1: unexpected end of JSON input"},
		"not JSON":         {"<html>", "read report: line 1, column 1: invalid character '<' looking for beginning of value"},
		"truncated":        {head + ",\n \"reas", "read report: line 2, column 6: unexpected end of JSON input"},
		"another document": {`{"kind": "Scenario"}`, "read report: no schema field: this is not a report.json (want restoredrill.io/report/v1alpha1)"},
		"newer":            {`{"schema": "restoredrill.io/report/v2", "verdict": "passed"}`, `read report: it is written as "restoredrill.io/report/v2", and this restore-drill reads "restoredrill.io/report/v1alpha1": use the version that wrote it, or judge its run directory again`},
		"no verdict":       {`{"schema": "restoredrill.io/report/v1alpha1"}`, "read report: no verdict field"},
		"unknown field":    {head + `, "verdictOverride": "passed"}`, `read report: json: unknown field "verdictOverride"`},
		"unknown verdict":  {`{"schema": "restoredrill.io/report/v1alpha1", "verdict": "green"}`, `unknown verdict "green" (want passed, failed, unknown or skipped)`},
		"wrong type":       {head + ",\n\"reason\": 3}", "read report: line 2, column 11: json: cannot unmarshal number into Go struct field Report.reason of type string"},
		"more behind it":   {head + "} {}", "read report: line 1, column 68: invalid character '{' after top-level value"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			r, err := ReadJSON(strings.NewReader(row.text))
			require.ErrorContains(t, err, row.want)
			require.Nil(t, r)
		})
	}
}

func TestSchemaIsUpToDate(t *testing.T) {
	b, err := Schema()
	require.NoError(t, err)
	golden(t, "report.schema.json", b)
	require.NotContains(t, string(b), "TODO")
}

func validate(t *testing.T, doc []byte) {
	t.Helper()
	require.NoError(t, validation(t, doc))
}

func validation(t *testing.T, doc []byte) error {
	t.Helper()
	b, err := Schema()
	require.NoError(t, err)
	return valid(t, SchemaID, b, doc)
}

// valid tells what is wrong with a document by a schema.
func valid(t *testing.T, id string, b, doc []byte) error {
	t.Helper()
	schema, err := validator.UnmarshalJSON(bytes.NewReader(b))
	require.NoError(t, err)
	c := validator.NewCompiler()
	c.AssertFormat()
	require.NoError(t, c.AddResource(id, schema))
	compiled, err := c.Compile(id)
	require.NoError(t, err)
	v, err := validator.UnmarshalJSON(bytes.NewReader(doc))
	require.NoError(t, err)
	return compiled.Validate(v)
}

func TestReportsAreValid(t *testing.T) {
	reports := map[string]*Report{"hostile": hostileReport(), "large": largeReport(50_000, 500), "empty": {}}
	for name, fixture := range fixtures {
		reports[name] = fixture()
	}
	for name, r := range reports {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			require.NoError(t, WriteJSON(&b, r))
			validate(t, b.Bytes())
		})
	}
}

func TestSchemaRefuses(t *testing.T) {
	rows := map[string]struct {
		change func(map[string]any)
		want   string
	}{
		"a verdict in other words": {func(m map[string]any) { m["verdict"] = "green" }, "value must be one of 'unknown', 'passed', 'failed', 'skipped'"},
		"an unknown field":         {func(m map[string]any) { m["override"] = true }, "additional properties 'override' not allowed"},
		"a missing verdict":        {func(m map[string]any) { delete(m, "verdict") }, "missing property 'verdict'"},
		"another version":          {func(m map[string]any) { m["schema"] = "restoredrill.io/report/v2" }, "value must be 'restoredrill.io/report/v1alpha1'"},
		"an unknown unit": {func(m map[string]any) { m["objectives"].([]any)[0].(map[string]any)["unit"] = "ms" },
			"value must be one of 's', 'writes', 'records', 'profile'"},
		"a time that is none": {func(m map[string]any) { m["drill"].(map[string]any)["started"] = "yesterday" }, "is not valid date-time"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			require.NoError(t, WriteJSON(&b, passedReport()))
			var m map[string]any
			require.NoError(t, json.Unmarshal(b.Bytes(), &m))
			row.change(m)
			doc, err := json.Marshal(m)
			require.NoError(t, err)
			require.ErrorContains(t, validation(t, doc), row.want)
		})
	}
}

// Every field that a reader meets in report.json is described.
func TestEverythingIsDescribed(t *testing.T) {
	var doc struct {
		Definitions map[string]struct{ Description string }
	}
	b, err := Schema()
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &doc))
	for name, d := range doc.Definitions {
		require.NotEmpty(t, d.Description, name)
	}
}

// The renderings find the failure and the recovery by the names that the drill gives them.
func TestMarkNames(t *testing.T) {
	require.Equal(t, evidence.MarkStruck, markStruck)
	require.Equal(t, evidence.MarkServiceBack, markServiceBack)
}
