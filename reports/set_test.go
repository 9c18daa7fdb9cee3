package reports

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// set writes several drills as a run of them leaves them.
func set(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	all := several()
	for _, r := range all {
		if !r.missing() {
			sub := filepath.Join(dir, r.Drill.Scenario)
			require.NoError(t, os.Mkdir(sub, 0o700))
			_, err := WriteAll(sub, r)
			require.NoError(t, err)
		}
	}
	_, err := WriteSummary(dir, summarized(), all)
	require.NoError(t, err)
	return dir
}

// Every format of a saved run is what the run itself wrote.
func TestOpenRendersWhatWasWritten(t *testing.T) {
	dir := set(t)
	s, err := Open(dir)
	require.NoError(t, err)
	require.Equal(t, Failed, s.Verdict())
	for file, format := range map[string]string{"summary.json": "json", "junit.xml": "junit", "index.html": "html"} {
		requireSame(t, filepath.Join(dir, file), format, s)
	}
	for _, name := range []string{"etcd-data-lost", "etcd-data-lost/report.json"} {
		s, err = Open(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Nil(t, s.Summary)
		require.Equal(t, Passed, s.Verdict())
		for file, format := range map[string]string{"report.json": "json", "junit.xml": "junit", "report.html": "html"} {
			requireSame(t, filepath.Join(dir, "etcd-data-lost", file), format, s)
		}
	}
}

func requireSame(t *testing.T, file, format string, s *Set) {
	t.Helper()
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	var b bytes.Buffer
	require.NoError(t, Render(&b, format, s))
	require.True(t, bytes.Equal(want, b.Bytes()), "%s is not what is rendered as %s", file, format)
}

func TestDigestsAreThoseOfSha256sum(t *testing.T) {
	cmd := exec.Command("sha256sum", "--check", "--strict", digestsFile)
	cmd.Dir = filepath.Join(set(t), "etcd-data-lost")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Equal(t, "report.html: OK\nreport.json: OK\njunit.xml: OK\n", string(out))
}

func TestOpenTrouble(t *testing.T) {
	edit := func(name, old, new string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			b, err := os.ReadFile(filepath.Join(dir, name))
			require.NoError(t, err)
			require.Contains(t, string(b), old)
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(strings.Replace(string(b), old, new, 1)), 0o600))
		}
	}
	for name, row := range map[string]struct {
		do   func(t *testing.T, dir string)
		want string
	}{
		"edited report":  {edit("etcd-data-lost/report.json", `"measured": 5.912`, `"measured": 4.912`), "report.json was changed after it was written"},
		"newer summary":  {edit("summary.json", SummarySchemaVersion, "restoredrill.io/summary/v2"), `it is written as "restoredrill.io/summary/v2", and this restore-drill reads`},
		"newer report":   {edit("etcd-data-lost/report.json", SchemaVersion, "restoredrill.io/report/v2"), `it is written as "restoredrill.io/report/v2", and this restore-drill reads`},
		"unknown field":  {edit("summary.json", `"parallel"`, `"sideways"`), `unknown field "sideways"`},
		"climbing path":  {edit("summary.json", "etcd-data-lost/report.html", "../../etc/report.html"), `the report of drill etcd-data-lost is said to be at "../../etc/report.html", outside of`},
		"no JSON":        {edit("summary.json", "{", "<"), "line 1, column 1"},
		"missing report": {func(t *testing.T, dir string) { require.NoError(t, os.Remove(dir+"/field-changed/report.json")) }, "drill field-changed of summary.json: read report: open "},
		"torn report": {func(t *testing.T, dir string) {
			require.NoError(t, os.Truncate(dir+"/field-changed/report.json", 1000))
		},
			"drill field-changed of summary.json: read report: line 36"},
		"no summary": {func(t *testing.T, dir string) { require.NoError(t, os.Remove(dir+"/summary.json")) }, "holds neither a report.json nor a summary.json"},
		"killed drill": {func(t *testing.T, dir string) {
			require.NoError(t, os.Remove(dir+"/summary.json"))
			require.NoError(t, os.WriteFile(dir+"/drill.json", nil, 0o600))
		}, "write its reports with: restore-drill judge "},
	} {
		t.Run(name, func(t *testing.T) {
			dir := set(t)
			row.do(t, dir)
			_, err := Open(dir)
			require.ErrorContains(t, err, row.want)
		})
	}
	_, err := Open(filepath.Join(t.TempDir(), "nowhere"))
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, Render(io.Discard, "pdf", &Set{Reports: []*Report{passedReport()}}), `unknown format "pdf" (want text, json, junit, html, markdown, comment, oscal)`)
}

// What is not ours stays; what is, in whatever format, may be written anew.
func TestReplace(t *testing.T) {
	one, err := Open(filepath.Join(set(t), "etcd-data-lost"))
	require.NoError(t, err)
	several, err := Open(set(t))
	require.NoError(t, err)
	one.Reports[0].Controls = MapControls(one.Reports[0], []string{"cis:11.5"})
	for _, s := range []*Set{one, several} {
		for _, format := range Formats {
			if format == "oscal" && s == several {
				require.ErrorContains(t, Render(io.Discard, format, s), "assessment results are of one drill")
				continue
			}
			file := filepath.Join(t.TempDir(), "out")
			for range 2 {
				require.NoError(t, Replace(file, func(w io.Writer) error { return Render(w, format, s) }), format)
			}
			b, err := os.ReadFile(file)
			require.NoError(t, err)
			require.True(t, Ours(b))
		}
	}
	file := filepath.Join(t.TempDir(), "notes.md")
	require.NoError(t, os.WriteFile(file, []byte("# FAILED exams\n"), 0o600))
	err = Replace(file, func(w io.Writer) error { return Render(w, "markdown", one) })
	require.ErrorContains(t, err, "it is there and is no report of restore-drill's")
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "# FAILED exams\n", string(b))
}
