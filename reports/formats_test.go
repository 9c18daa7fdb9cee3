package reports

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	consumer "github.com/joshdk/go-junit"
	"github.com/stretchr/testify/require"
)

func TestGoldens(t *testing.T) {
	for name, fixture := range fixtures {
		t.Run(name, func(t *testing.T) {
			golden(t, "testdata/"+name+"/report.html", own.ReplaceAll(render(t, WriteHTML, fixture()), []byte("$1$3")))
			golden(t, "testdata/"+name+"/junit.xml", junit(t, fixture()))
			golden(t, "testdata/"+name+"/summary.txt", summary(t, fixture(), false, "drill-runs/20261120-093000/report.html", "drill-runs/20261120-093000/report.json"))
		})
	}
}

func render(t *testing.T, write func(io.Writer, *Report) error, r *Report) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, write(&b, r))
	return b.Bytes()
}

func junit(t *testing.T, rs ...*Report) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, WriteJUnit(&b, rs...))
	return b.Bytes()
}

func summary(t *testing.T, r *Report, color bool, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, WriteTerminal(&b, r, color, files...))
	return b.Bytes()
}

// verdictCases is a report whose phases and checks hold every verdict, and whose own is v.
func verdictCases(v Verdict) *Report {
	r := passedReport()
	r.Verdict = v
	r.Phases[1].Verdict, r.Phases[1].Error = Unknown, "disk full"
	r.Phases[4].Verdict = Failed
	r.Phases[5] = Phase{Name: "survey", Verdict: Skipped}
	r.Checks[0].Verdict, r.Checks[1].Verdict, r.Checks[2].Verdict = Failed, Unknown, Skipped
	r.Checks[2].Reason = ""
	return r
}

func readJUnit(t *testing.T, b []byte) junitFile {
	t.Helper()
	var f junitFile
	require.NoError(t, xml.Unmarshal(b, &f))
	return f
}

func TestJUnitVerdicts(t *testing.T) {
	f := readJUnit(t, junit(t, verdictCases(Unknown)))
	s := f.Suites[0]
	state := map[string]string{}
	for _, c := range s.Cases {
		key := strings.TrimPrefix(c.Class, "etcd-data-lost.process.etcd.") + "/" + c.Name
		switch {
		case c.Failure != nil:
			require.NotEmpty(t, c.Failure.Message, key)
			state[key] = "failure"
		case c.Error != nil:
			require.NotEmpty(t, c.Error.Message, key)
			state[key] = "error"
		case c.Skipped != nil:
			require.NotEmpty(t, c.Skipped.Message, key)
			state[key] = "skipped"
		default:
			state[key] = "passed"
		}
	}
	require.Equal(t, map[string]string{
		"phases/provision": "passed", "phases/seed": "error", "phases/backup": "passed", "phases/inject": "passed", "phases/restore": "failure", "phases/survey": "skipped",
		"checks/freshness": "failure", "checks/rto": "error", "checks/rpo": "skipped", "checks/fidelity": "passed", "checks/readiness": "passed", "checks/access": "passed",
		"checks/stale-clients": "passed", "checks/probes": "passed",
		"drill/verdict": "error",
	}, state)
	require.Equal(t, []int{15, 2, 3, 2}, []int{s.Tests, s.Failures, s.Errors, s.Skipped})
	require.Equal(t, []int{15, 2, 3}, []int{f.Tests, f.Failures, f.Errors})
	require.Equal(t, "2026-11-20T09:30:00", s.Timestamp)
	require.Equal(t, "17.840", s.Time)
}

// A drill that did not pass is never green, whatever its checks say.
func TestJUnitIsNeverSilentlyGreen(t *testing.T) {
	for verdict, want := range map[Verdict][]int{Passed: {0, 0, 0}, Failed: {1, 0, 0}, Unknown: {0, 1, 0}, Skipped: {0, 0, 1}, Verdict(9): {0, 1, 0}} {
		s := readJUnit(t, junit(t, &Report{Verdict: verdict})).Suites[0]
		require.Equal(t, want, []int{s.Failures, s.Errors, s.Skipped}, "%s", verdict)
		require.Equal(t, 1, s.Tests)
	}
}

func TestJUnitNamesAreUnique(t *testing.T) {
	twice := passedReport()
	twice.Checks = append(twice.Checks, twice.Checks[0], twice.Checks[0], Check{}, Check{})
	f := readJUnit(t, junit(t, twice, passedReport(), failedReport()))
	require.Len(t, f.Suites, 3)
	suites, cases := map[string]bool{}, map[string]bool{}
	for _, s := range f.Suites {
		require.False(t, suites[s.Name], s.Name)
		suites[s.Name] = true
		for _, c := range s.Cases {
			key := c.Class + " " + c.Name
			require.False(t, cases[key], key)
			cases[key] = true
			require.NotEmpty(t, c.Name)
			require.Equal(t, 3, strings.Count(c.Class, "."), c.Class)
		}
	}
	require.Contains(t, suites, "etcd-data-lost (etcd on process)")
	require.Contains(t, suites, "etcd-data-lost (etcd on process) 3")
}

func TestJUnitOfHostileText(t *testing.T) {
	b := junit(t, hostileReport())
	require.True(t, utf8.Valid(b))
	require.NotContains(t, string(b), "\x1b")
	require.NotContains(t, string(b), "[31m")
	for _, r := range string(b) {
		require.False(t, r < ' ' && r != '\n' && r != '\t' || r == 0xFFFE || r == 0x202E, "rune %U", r)
	}
	readJUnit(t, b)
}

func TestJUnitBodiesAreBounded(t *testing.T) {
	r := failedReport()
	for range 20_000 {
		r.Checks[2].Findings = append(r.Checks[2].Findings, Finding{Verdict: Failed, Subject: "v1 configmaps shop/ä", Message: strings.Repeat("ö", 40)})
	}
	r.Reason = strings.Repeat("ß", 100_000)
	r.Phases[0].Verdict, r.Phases[0].Error = Failed, strings.Repeat("long ", 100_000)
	for _, c := range readJUnit(t, junit(t, r)).Suites[0].Cases {
		for _, body := range []*junitBody{c.Failure, c.Error} {
			if body != nil {
				require.Less(t, len(body.Text), 64<<10, c.Name)
				require.Less(t, len(body.Message), 64<<10, c.Name)
				require.NotContains(t, body.Text, "\uFFFD")
			}
		}
		require.Less(t, len(c.Out), 64<<10)
	}
}

func TestJUnitTrouble(t *testing.T) {
	require.EqualError(t, WriteJUnit(io.Discard, passedReport(), nil), "write junit: there is no report")
	f := readJUnit(t, junit(t))
	require.Empty(t, f.Suites)
}

// A consumer that others wrote sees the same names, states and reasons.
func TestJUnitReadByAnother(t *testing.T) {
	for name, reports := range map[string][]*Report{"several": several(), "verdicts": {verdictCases(Failed)}, "hostile": {hostileReport()}, "large": {largeReport(50_000, 5_000)}} {
		t.Run(name, func(t *testing.T) {
			b := junit(t, reports...)
			suites, err := consumer.Ingest(b)
			require.NoError(t, err)
			ours := readJUnit(t, b)
			require.Len(t, suites, len(ours.Suites))
			for i, s := range suites {
				want := ours.Suites[i]
				require.Equal(t, want.Name, s.Name)
				require.Equal(t, []int{want.Tests, want.Failures, want.Errors, want.Skipped}, []int{s.Totals.Tests, s.Totals.Failed, s.Totals.Error, s.Totals.Skipped})
				require.Equal(t, reports[i].Verdict.String(), s.Properties["verdict"])
				for j, c := range s.Tests {
					w := want.Cases[j]
					require.Equal(t, w.Name, c.Name)
					require.Equal(t, w.Class, c.Classname)
					state, message := consumer.StatusPassed, ""
					switch {
					case w.Failure != nil:
						state, message = consumer.StatusFailed, w.Failure.Message
					case w.Error != nil:
						state, message = consumer.StatusError, w.Error.Message
					case w.Skipped != nil:
						state, message = consumer.StatusSkipped, w.Skipped.Message
					}
					require.Equal(t, state, c.Status, c.Name)
					require.Equal(t, message, c.Message, c.Name)
				}
			}
		})
	}
}

// What is larger than a consumer takes goes on in further files: no case is lost, none comes twice, and no name either.
func TestJUnitIsSplit(t *testing.T) {
	const limit = 600_000
	long := failedReport()
	for i := range 60 {
		long.Checks = append(long.Checks, Check{Name: fmt.Sprintf("check-%d", i), Verdict: Failed, Reason: strings.Repeat("<", 3000), Findings: []Finding{{Verdict: Failed, Message: strings.Repeat("&", 20_000)}}})
	}
	drills := []*Report{passedReport(), long, failedReport(), long, unknownReport()}
	dir := t.TempDir()
	path := filepath.Join(dir, "junit.xml")
	files, err := writeJUnitFiles(path, limit, drills)
	require.NoError(t, err)
	require.Greater(t, len(files), 10)
	require.Equal(t, filepath.Join(dir, "junit-2.xml"), files[1])
	whole := map[string]bool{}
	for _, s := range readJUnit(t, junit(t, drills...)).Suites {
		for _, c := range s.Cases {
			whole[c.Class+" "+c.Name] = true
		}
	}
	suites := map[string]bool{}
	seconds := 0.0
	for _, file := range files {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		require.LessOrEqual(t, len(b), limit, file)
		f := readJUnit(t, b)
		tests, failures := 0, 0
		for _, s := range f.Suites {
			require.False(t, suites[s.Name], s.Name)
			suites[s.Name] = true
			took, err := strconv.ParseFloat(s.Time, 64)
			require.NoError(t, err)
			seconds += took
			tests += s.Tests
			failures += s.Failures
			require.Len(t, s.Cases, s.Tests)
			require.Equal(t, "2026-11-20T09:30:00", s.Timestamp)
			for _, c := range s.Cases {
				key := c.Class + " " + c.Name
				require.True(t, whole[key], "%s comes twice, or is not in the whole", key)
				delete(whole, key)
			}
		}
		require.Equal(t, []int{tests, failures}, []int{f.Tests, f.Failures})
	}
	require.Empty(t, whole)
	require.InDelta(t, 4*17.84+12.63, seconds, 0.01)

	// A shorter report leaves nothing of the longer one behind, and nothing of anybody else's goes.
	foreign := filepath.Join(dir, fmt.Sprintf("junit-%d.xml", len(files)+1))
	require.NoError(t, os.WriteFile(foreign, []byte("<testsuites/>"), 0o600))
	files, err = WriteJUnitFiles(path, passedReport())
	require.NoError(t, err)
	require.Equal(t, []string{path}, files)
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	require.Equal(t, []string{foreign, path}, left)

	require.NoError(t, os.WriteFile(path, []byte("<testsuites/>"), 0o600))
	_, err = WriteJUnitFiles(path, passedReport())
	require.ErrorContains(t, err, "it is there and is no report of restore-drill's")
}

// What others read is validated with what others wrote: Jenkins' schema for the file, Surefire's for each suite.
func TestJUnitAgainstSchemas(t *testing.T) {
	schemas := os.Getenv("RESTORE_DRILL_SCHEMAS")
	if schemas == "" {
		t.Skip("RESTORE_DRILL_SCHEMAS is not set: no XSDs to validate against")
	}
	if _, err := exec.LookPath("xmllint"); err != nil {
		t.Skip("xmllint is missing (libxml2-utils): nothing to validate with")
	}
	valid := func(t *testing.T, schema string, b []byte) error {
		t.Helper()
		file := filepath.Join(t.TempDir(), "junit.xml")
		require.NoError(t, os.WriteFile(file, b, 0o600))
		out, err := exec.Command("xmllint", "--noout", "--nonet", "--schema", filepath.Join(schemas, schema), file).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	suites := regexp.MustCompile(`(?s)<testsuite .*?</testsuite>`)
	files := map[string][]byte{
		"several":  junit(t, passedReport(), failedReport(), unknownReport()),
		"verdicts": junit(t, verdictCases(Failed)),
		"hostile":  junit(t, hostileReport()),
		"large":    junit(t, largeReport(50_000, 5_000)),
		"empty":    junit(t, &Report{}),
		"none":     junit(t),
		"missing":  junit(t, several()...),
	}
	for name, b := range files {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, valid(t, "jenkins-junit-10.xsd", b))
			for _, suite := range suites.FindAll(b, -1) {
				require.NoError(t, valid(t, "surefire-test-report.xsd", suite))
			}
		})
	}
	// And the schemas do refuse.
	b := bytes.Replace(files["several"], []byte(`time="17.840"`), []byte(`time="17,84 s"`), -1)
	require.ErrorContains(t, valid(t, "jenkins-junit-10.xsd", b), "attribute 'time'")
	require.ErrorContains(t, valid(t, "surefire-test-report.xsd", suites.Find(b)), "attribute 'time'")
}

func TestTerminalFitsAScreen(t *testing.T) {
	sgr := regexp.MustCompile("\x1b\\[[0-9;]*m")
	for name, r := range pages() {
		for _, color := range []bool{false, true} {
			out := string(summary(t, r, color, "runs/1/report.html"))
			plain := sgr.ReplaceAllString(out, "")
			if !color {
				require.Equal(t, plain, out)
			}
			require.NotContains(t, plain, "\x1b", name)
			lines := strings.Split(strings.TrimRight(plain, "\n"), "\n")
			require.LessOrEqual(t, len(lines), 60, name)
			for _, l := range lines {
				require.LessOrEqual(t, utf8.RuneCountInString(l), 130, "%s: %s", name, l)
			}
			require.Contains(t, plain, "runs/1/report.html")
			require.Equal(t, plain, string(summary(t, r, false, "runs/1/report.html")), "colour adds nothing to the words")
		}
	}
	out := string(summary(t, failedReport(), true))
	require.True(t, strings.HasPrefix(out, "\x1b[1;31m✗ FAILED etcd-data-lost\x1b[0m\n"), out)
	require.Contains(t, string(summary(t, &Report{}, false)), "? UNKNOWN")
	require.Contains(t, string(summary(t, &Report{}, false)), "checks: nothing was checked")
}

func TestSeconds(t *testing.T) {
	for s, want := range map[float64]string{
		0: "0 s", 0.0004: "0.4 ms", 0.011: "11 ms", 0.0994: "99.4 ms", 0.25: "250 ms", 0.9996: "1 s", 1.204: "1.2 s", 5.912: "5.91 s", 9.996: "10 s", 17.84: "17.8 s",
		119.9: "119.9 s", 125: "2 min 05 s", 3599.7: "60 min 00 s", 7260: "2 h 01 min", -0.81: "-810 ms", -125: "-2 min 05 s",
	} {
		require.Equal(t, want, seconds(s), "%v", s)
	}
}

func TestFigures(t *testing.T) {
	require.Equal(t, "1 write", figure("writes", 1))
	require.Equal(t, "21 writes", figure("writes", 21))
	require.Equal(t, "0 differences", figure("profile", 0))
	require.Equal(t, "1.5 apples", figure("apples", 1.5))
	require.Equal(t, "not measured", marginText(Objective{Target: ptr(1.0)}))
	require.Equal(t, "no target set", marginText(Objective{Measured: ptr(1.0)}))
	require.Equal(t, "met exactly", marginText(Objective{Unit: "s", Target: ptr(1.0), Measured: ptr(1.0)}))
	require.Equal(t, "25.0 MiB", bytesText(25<<20))
	require.Equal(t, "512 B", bytesText(512))
	require.Equal(t, "2 entries", plural(2, "entry"))
	require.Equal(t, "9999 objects", plural(9_999, "object"))
	require.Equal(t, "1,234,567 objects", plural(1_234_567, "object"))
}

func TestCut(t *testing.T) {
	require.Equal(t, "short", cut("short", 100))
	long := cut(strings.Repeat("ä", 100), 80)
	require.LessOrEqual(t, len(long), 80)
	require.True(t, utf8.ValidString(long))
	require.True(t, strings.HasSuffix(long, " … (200 bytes in all)"), long)
}

func FuzzClean(f *testing.F) {
	f.Add("\x1b[31mred\x1b[0m")
	f.Add("\x1b]8;;http://evil\x07link\x1b]8;;\x07")
	f.Add("a\u202eb\x00\ufffe\xff\u0085")
	f.Fuzz(func(t *testing.T, s string) {
		c := clean(s)
		require.True(t, utf8.ValidString(c))
		require.NotContains(t, c, "\x1b")
		require.Equal(t, c, clean(c), "clean is clean")
		require.NotContains(t, line(s), "\n")
	})
}
