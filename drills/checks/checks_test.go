package checks_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"github.com/restore-drill/restore-drill/drills/checks"
	"github.com/restore-drill/restore-drill/internal/census"
	"github.com/restore-drill/restore-drill/reports"
)

// A variation is an archive beside base.txtar. Its name is CHECK.VERDICT.WHAT.txtar. Its comment says what happened, and then, a line each:
//
//	want: text that the check's reason holds
//	drill: the verdict of the drill
//	also: CHECK VERDICT
//	volumes: fields of the report's volumes, as JSON; null for one that is absent
//	replace FILE "old" "new"
//	append FILE "text"
//	remove FILE
//	truncate FILE BYTES
//
// Its files are put in place of those of base.txtar.
type variation struct {
	check   string
	verdict reports.Verdict
	want    string
	drill   string
	also    map[string]string
	volumes string
}

func variations(t *testing.T) (names []string) {
	files, err := filepath.Glob("testdata/*.*.*.txtar")
	require.NoError(t, err)
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".txtar"))
	}
	return names
}

// unpack makes a run directory of base.txtar with the variation of that name; "" for none.
func unpack(t *testing.T, name string) (dir string, v variation) {
	base, err := txtar.ParseFile("testdata/base.txtar")
	require.NoError(t, err)
	files := map[string]string{}
	for _, f := range base.Files {
		files[f.Name] = string(f.Data)
	}
	truncate := map[string]int{}
	var remove []string
	if name != "" {
		parts := strings.SplitN(name, ".", 3)
		v = variation{check: parts[0], also: map[string]string{}}
		require.NoError(t, v.verdict.UnmarshalText([]byte(parts[1])))
		archive, err := txtar.ParseFile(filepath.Join("testdata", name+".txtar"))
		require.NoError(t, err)
		for _, f := range archive.Files {
			files[f.Name] = string(f.Data)
		}
		for line := range strings.Lines(string(archive.Comment)) {
			word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
			fields := strings.Fields(rest)
			switch word {
			case "want:":
				v.want = rest
			case "drill:":
				v.drill = rest
			case "also:":
				v.also[fields[0]] = fields[1]
			case "volumes:":
				v.volumes = rest
			case "remove":
				remove = append(remove, fields[0])
			case "truncate":
				truncate[fields[0]], err = strconv.Atoi(fields[1])
				require.NoError(t, err)
			case "replace":
				old, tail := quoted(t, rest[len(fields[0]):])
				replacement, _ := quoted(t, tail)
				require.Contains(t, files[fields[0]], old, "%s: nothing to replace", name)
				files[fields[0]] = strings.ReplaceAll(files[fields[0]], old, replacement)
			case "append":
				text, _ := quoted(t, rest[len(fields[0]):])
				files[fields[0]] += text
			}
		}
	}
	dir = t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		if strings.HasPrefix(name, "census-") && strings.HasSuffix(name, ".jsonl") {
			writeCensus(t, path+".zst", content)
			continue
		}
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	}
	for _, name := range remove {
		require.NoError(t, os.RemoveAll(filepath.Join(dir, name)))
	}
	for name, n := range truncate {
		info, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		require.NoError(t, os.Truncate(filepath.Join(dir, name), max(0, info.Size()-int64(n))))
	}
	return dir, v
}

func quoted(t *testing.T, s string) (text, rest string) {
	s = strings.TrimSpace(s)
	prefix, err := strconv.QuotedPrefix(s)
	require.NoError(t, err, s)
	text, err = strconv.Unquote(prefix)
	require.NoError(t, err)
	return text, s[len(prefix):]
}

func writeCensus(t *testing.T, path, content string) {
	var (
		w    *census.Writer
		tail census.Tail
	)
	for lines := bufio.NewScanner(strings.NewReader(content)); lines.Scan(); {
		line := lines.Bytes()
		switch {
		case w == nil:
			var head census.Head
			require.NoError(t, json.Unmarshal(line, &head))
			var err error
			w, err = census.Create(path, head)
			require.NoError(t, err)
		case bytes.HasPrefix(line, []byte(`{"end"`)):
			require.NoError(t, json.Unmarshal(line, &tail))
		default:
			var e census.Entry
			require.NoError(t, json.Unmarshal(line, &e))
			sum := sha256.Sum256(e.Object)
			e.Digest = hex.EncodeToString(sum[:16])
			require.NoError(t, w.Write(e))
		}
	}
	_, err := w.Close(tail)
	require.NoError(t, err)
}

func judge(t *testing.T, dir string) *reports.Report {
	r, err := checks.Judge(dir, "v0.2.0")
	require.NoError(t, err)
	var first, second bytes.Buffer
	require.NoError(t, reports.WriteJSON(&first, r))
	again, err := checks.Judge(dir, "v0.2.0")
	require.NoError(t, err)
	require.NoError(t, reports.WriteJSON(&second, again))
	require.Equal(t, first.String(), second.String(), "judging again gives another report")
	_, err = reports.ReadJSON(&first)
	require.NoError(t, err, "the report is not one that can be read")
	return r
}

func find(t *testing.T, r *reports.Report, name string) reports.Check {
	for _, c := range r.Checks {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("there is no check %s", name)
	return reports.Check{}
}

func TestVariations(t *testing.T) {
	for _, name := range variations(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, v := unpack(t, name)
			r := judge(t, dir)
			c := find(t, r, v.check)
			require.Equal(t, v.verdict.String(), c.Verdict.String(), c.Reason)
			require.NotEmpty(t, v.want, "the archive says no reason")
			require.Contains(t, c.Reason, v.want)
			require.NotContains(t, c.Reason, dir)
			for check, verdict := range v.also {
				require.Equal(t, verdict, find(t, r, check).Verdict.String(), "%s: %s", check, find(t, r, check).Reason)
			}
			requireVolumes(t, v.volumes, r)
			want := v.drill
			if want == "" {
				want = v.verdict.String()
			}
			require.Equal(t, want, r.Verdict.String(), r.Reason)
			require.NotEmpty(t, r.Reason)
			if r.Verdict != reports.Passed && v.drill == "" {
				require.False(t, r.Declared.AsDeclared, "the scenario expects a drill that passes")
			}
		})
	}
}

// requireVolumes compares fields of the account of the volumes; without any there must be none.
func requireVolumes(t *testing.T, want string, r *reports.Report) {
	if want == "" {
		require.Nil(t, r.Volumes)
		return
	}
	var fields, got map[string]any
	require.NoError(t, json.Unmarshal([]byte(want), &fields), want)
	b, err := json.Marshal(r.Volumes)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &got))
	for name := range fields {
		require.Equal(t, fields[name], got[name], "%s: %s", name, b)
	}
}

// neverFails are checks whose red is unknown: what they find says nothing about the backup.
var neverFails = []string{"freshness"}

func TestEveryCheckIsShownInEveryVerdict(t *testing.T) {
	names := variations(t)
	for _, check := range checks.All() {
		require.NotEmpty(t, check.Title, check.Name)
		for _, verdict := range []string{"failed", "unknown", "passed"} {
			if verdict == "failed" && slices.Contains(neverFails, check.Name) {
				continue
			}
			shown := slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, check.Name+"."+verdict+".") })
			require.True(t, shown || verdict == "passed", "no archive shows check %s as %s", check.Name, verdict)
		}
	}
	known := map[string]bool{}
	for _, check := range checks.All() {
		require.False(t, known[check.Name], "two checks are called %s", check.Name)
		known[check.Name] = true
	}
	for _, n := range names {
		require.True(t, known[strings.Split(n, ".")[0]], "%s shows a check that there is not", n)
	}
	// All of them pass in the base, but for those that do not apply to it, which pass in an archive of their own.
	for _, check := range checks.All() {
		dir, _ := unpack(t, applies(t, check))
		c := find(t, judge(t, dir), check.Name)
		require.Equal(t, reports.Passed, c.Verdict, "%s: %s", c.Name, c.Reason)
		require.NotEmpty(t, c.Reason, c.Name)
	}
}

// TestEveryNeededFileIsMissed takes one file after the other away, empties it, and tears it: no check that needs it may pass.
// applies is the archive of a drill to which a check applies, and in which it passes; "" for the base.
func applies(t *testing.T, check checks.Check) string {
	dir, _ := unpack(t, "")
	if c := find(t, judge(t, dir), check.Name); c.Verdict != reports.Skipped {
		return ""
	}
	for _, n := range variations(t) {
		if strings.HasPrefix(n, check.Name+".passed.") {
			return n
		}
	}
	t.Fatalf("no archive shows check %s as passed, and it does not apply to the base", check.Name)
	return ""
}

func TestEveryNeededFileIsMissed(t *testing.T) {
	for _, check := range checks.All() {
		for _, file := range check.Needs {
			for damage, do := range map[string]func(path string) error{
				"missing": os.Remove,
				"empty":   func(path string) error { return os.Truncate(path, 0) },
				"torn": func(path string) error {
					info, err := os.Stat(path)
					if err != nil {
						return err
					}
					return os.Truncate(path, info.Size()-5)
				},
			} {
				t.Run(check.Name+"/"+file+"/"+damage, func(t *testing.T) {
					t.Parallel()
					dir, _ := unpack(t, applies(t, check))
					require.NoError(t, do(filepath.Join(dir, file)))
					r := judge(t, dir)
					c := find(t, r, check.Name)
					if file != "timeline.jsonl" || damage != "torn" || check.Name == "phases" {
						require.Equal(t, reports.Unknown.String(), c.Verdict.String(), c.Reason)
					}
					require.Equal(t, reports.Unknown, r.Verdict, r.Reason)
				})
			}
		}
	}
}

func TestTheWholeReport(t *testing.T) {
	dir, _ := unpack(t, "")
	logs := filepath.Join(dir, "logs", "restored")
	require.NoError(t, os.MkdirAll(logs, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(logs, "etcd-0.log"), []byte("line\n"), 0o600))
	r := judge(t, dir)
	var got bytes.Buffer
	require.NoError(t, reports.WriteJSON(&got, r))
	golden := filepath.Join("testdata", "base.report.json")
	if os.Getenv("UPDATE") != "" {
		require.NoError(t, os.WriteFile(golden, got.Bytes(), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err, "run with UPDATE=1 to write it")
	require.Equal(t, string(want), got.String())
	require.True(t, r.Declared.AsDeclared)
	require.Empty(t, r.Logs, "no error names a component")

	sum := 0.0
	for _, i := range r.RTO.Split {
		sum += i.Seconds
	}
	require.InDelta(t, r.RTO.Seconds, sum, 1e-9, "the split adds up")
	require.InDelta(t, 5.02, r.RTO.Seconds, 1e-9)
	require.Equal(t, r.Ledger.Total.Lost+r.Ledger.Total.Resurrected, *r.Ledger.ByRevision)
	buckets := 0
	for _, b := range r.Ledger.Series {
		buckets += b.Kept + b.Lost + b.Resurrected + b.InDoubt
	}
	require.Equal(t, r.Ledger.Total.Attempted-r.Ledger.Total.Refused, buckets, "every write is in the picture")
}

func TestADirectoryThatIsNoRun(t *testing.T) {
	dir := t.TempDir()
	_, err := checks.Judge(dir, "")
	require.ErrorContains(t, err, "open run directory "+dir+": read drill.json: ")
	_, err = checks.Open(filepath.Join(dir, "nowhere"))
	require.ErrorContains(t, err, "no such file or directory")

	whole, _ := unpack(t, "")
	require.NoError(t, os.WriteFile(filepath.Join(whole, "scenario.yaml"), []byte("kind: Recipe\n"), 0o600))
	_, err = checks.Judge(whole, "")
	require.ErrorContains(t, err, "scenario.yaml:1:")
}

func TestTheOutcomeIsComparedWithWhatWasDeclared(t *testing.T) {
	declare := func(t *testing.T, archive, expect string) reports.Declared {
		dir, _ := unpack(t, archive)
		path := filepath.Join(dir, "scenario.yaml")
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		scenario, _, found := strings.Cut(string(text), "  expect:\n")
		require.True(t, found)
		require.NoError(t, os.WriteFile(path, []byte(scenario+"  expect: "+expect+"\n"), 0o600))
		return judge(t, dir).Declared
	}
	for name, test := range map[string]struct {
		archive, expect string
		mismatches      []string
	}{
		"a refusal": {"phases.failed.tool-refuses", "{tool: refused, verdict: failed, checks: {phases: failed}}", nil},
		"a refusal that nobody expects": {"phases.failed.tool-refuses", "{}", []string{
			"the tool said of the restore: refused, declared: completed", "the verdict is failed, declared: passed",
			"check phases is failed, which is not declared: phase restore failed: etcd-000: sha256 does not match",
			"check tool is failed, which is not declared: the tool said of the restore: refused; the scenario expects: completed",
		}},
		"sabotage": {"fidelity.failed.field", "{verdict: failed, checks: {fidelity: failed}}", nil},
		"sabotage that another check sees": {"fidelity.failed.field", "{verdict: failed, checks: {access: failed}}", []string{
			`check fidelity is failed, which is not declared: 1 object not as at the time of the backup, first v1 configmaps shop/settings: /data/mode was "production" and is "sabotaged"`,
			"check access is passed, declared: failed",
		}},
		"sabotage that nobody sees": {"", "{verdict: failed, checks: {fidelity: failed, weather: failed}}", []string{
			"the verdict is passed, declared: failed", "check fidelity is passed, declared: failed",
			"check weather is declared, and there is no such check",
		}},
		"unknown, and for more than one check": {"fidelity.unknown.missing", "{verdict: unknown, checks: {fidelity: unknown}}", nil},
		"unknown where a failure is declared": {"fidelity.unknown.missing", "{verdict: failed, checks: {fidelity: failed}}", []string{
			"the verdict is unknown, declared: failed", "check fidelity is unknown, declared: failed",
			"check references is unknown, which is not declared: census-before.jsonl.zst is missing: nothing was observed",
			"check readiness is unknown, which is not declared: census-before.jsonl.zst is missing: nothing was observed",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			d := declare(t, test.archive, test.expect)
			require.Equal(t, test.mismatches, d.Mismatches)
			require.Equal(t, len(test.mismatches) == 0, d.AsDeclared)
		})
	}
}

func TestLogsOfTheComponentsThatAnErrorNames(t *testing.T) {
	dir, _ := unpack(t, "tool.unknown.killed") // restored cluster: kube-apiserver was killed
	for _, log := range []string{"source/kube-apiserver", "restored/kube-apiserver", "restored/etcd-0"} {
		path := filepath.Join(dir, "logs", log+".log")
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("before\n", 30000)+"signal: "+log+"\n"), 0o600))
	}
	logs := judge(t, dir).Logs
	require.Len(t, logs, 1)
	require.Equal(t, "restored/kube-apiserver", logs[0].Component)
	require.Len(t, logs[0].Lines, 20)
	require.Equal(t, "signal: restored/kube-apiserver", logs[0].Lines[19])
}

func TestABackupInAStoreHasItsDigestsToo(t *testing.T) {
	dir, _ := unpack(t, "")
	file := filepath.Join(dir, "artifacts", "etcd-000", "artifact.json")
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	b = bytes.Replace(b, []byte(`"files": {`), []byte(`"objects": {"backups/a.tar.gz": {"bytes": 5000, "sha256": "aaaa"}}, "files": {`), 1)
	require.NoError(t, os.WriteFile(file, b, 0o600))
	a := judge(t, dir).Artifacts[0]
	require.EqualValues(t, 4096+100+5000, a.Bytes)
	require.Equal(t, "aaaa", a.SHA256)
	require.Equal(t, reports.ArtifactFile{Name: "backups/a.tar.gz", Bytes: 5000, SHA256: "aaaa"}, a.Files[0])
}

// What the tool itself wrote of a restore that it did not complete is shown, and nothing of one that it did.
func TestTheToolsOwnErrors(t *testing.T) {
	dir, _ := unpack(t, "")
	logs := filepath.Join(dir, "logs", "etcd")
	require.NoError(t, os.MkdirAll(logs, 0o700))
	wrote := "level=info msg=\"restoring\"\nlevel=error msg=\"quota exceeded\"\nlevel=warning msg=\"it is there\"\n"
	require.NoError(t, os.WriteFile(filepath.Join(logs, "restore-000.log"), []byte(wrote), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(logs, "backup-000.log"), []byte(wrote), 0o600))
	require.Empty(t, judge(t, dir).Logs)

	timeline := filepath.Join(dir, "timeline.jsonl")
	b, err := os.ReadFile(timeline)
	require.NoError(t, err)
	claim := regexp.MustCompile(`("kind":"claim","name":"restore".*"detail":")completed"`)
	require.Regexp(t, claim, string(b))
	require.NoError(t, os.WriteFile(timeline, claim.ReplaceAll(b, []byte(`${1}partially failed"`)), 0o600))
	require.Equal(t, []reports.LogExcerpt{{Component: "etcd/restore-000", Lines: []string{`level=error msg="quota exceeded"`}}}, judge(t, dir).Logs)
}

// TestNoVerdictButUnknownWithoutTheEnd takes lines off the end of a timeline, one after the other: no interrupted drill is passed or failed.
func TestNoVerdictButUnknownWithoutTheEnd(t *testing.T) {
	dir, _ := unpack(t, "fidelity.failed.field")
	path := filepath.Join(dir, "timeline.jsonl")
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	lines := bytes.SplitAfter(whole, []byte("\n"))
	for n := len(lines) - 2; n >= 0; n-- {
		require.NoError(t, os.WriteFile(path, bytes.Join(lines[:n], nil), 0o600))
		r, err := checks.Judge(dir, "")
		require.NoError(t, err)
		require.Equal(t, reports.Unknown, r.Verdict, "after %d lines: %s", n, r.Reason)
		require.NotEmpty(t, r.Reason)
	}
}

// Nobody is left alone with a red or an unknown: each finding says what to do, or its check does.
func TestWhatIsNotPassedSaysWhatToDo(t *testing.T) {
	for _, name := range variations(t) {
		dir, _ := unpack(t, name)
		for _, c := range judge(t, dir).Checks {
			said := c.Next != ""
			for _, f := range c.Findings {
				if f.Verdict == reports.Failed || f.Verdict == reports.Unknown {
					require.NotEmpty(t, f.Next, "%s: %s: %s", name, c.Name, f.Message)
				}
				said = said || f.Verdict == c.Verdict && f.Next != ""
			}
			require.Equal(t, c.Verdict == reports.Failed || c.Verdict == reports.Unknown, said && c.Verdict != reports.Passed, "%s: %s: %s", name, c.Name, c.Reason)
		}
	}
}

func TestAProbesHistory(t *testing.T) {
	dir, _ := unpack(t, "")
	require.Equal(t, []reports.ProbeAnswer{
		{Cluster: "source", Passed: true, Detail: "HTTP 200", From: 4, To: 4, Attempts: 1},
		{Cluster: "restored", Detail: "HTTP 500", From: 12.1, To: 12.1, Attempts: 1},
		{Cluster: "restored", Passed: true, Detail: "HTTP 200", From: 12.51, To: 12.51, Attempts: 1},
	}, judge(t, dir).Probes[0].History)

	// A probe that flaps for hours: answers alike are one entry, and what is left off is counted.
	var b strings.Builder
	for i := range 1000 {
		b.WriteString(`{"name":"shop-is-up","cluster":"restored","at":` + strconv.Itoa(13+i/2) + `000000000,"passed":` + strconv.FormatBool(i/2%2 == 1) + ",\"detail\":\"HTTP\"}\n")
	}
	f, err := os.OpenFile(filepath.Join(dir, "probes.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString(b.String())
	require.NoError(t, err)
	require.NoError(t, f.Close())
	p := judge(t, dir).Probes[0]
	require.Len(t, p.History, 200)
	require.Equal(t, reports.ProbeAnswer{Cluster: "restored", Detail: "HTTP", From: 13, To: 13, Attempts: 2}, p.History[3])
	require.Equal(t, 1003, p.Attempts+1, "of the restored cluster")
	require.Equal(t, 1003-3-2*197, p.HistoryOmitted)
}

// What the volume ledger lost is judged by itself, whatever became of the other volumes.
func TestVolumeObjectives(t *testing.T) {
	for name, want := range map[string][]string{
		"":                            nil,
		"volumes.passed.within":       {`["volume rpo","s",3,0.9,0.82,"passed"]`, `["lost records","records",null,1,0,"skipped"]`},
		"volumes.failed.empty":        {`["volume rpo","s",3,0.9,0.82,"passed"]`, `["lost records","records",null,1,0,"skipped"]`},
		"volumes.failed.ledger-empty": {`["volume rpo","s",3,null,null,"failed"]`, `["lost records","records",null,5,0,"skipped"]`},
		"volumes.failed.rpo":          {`["volume rpo","s",3,3.9,1.02,"failed"]`, `["lost records","records",null,4,0,"skipped"]`},
		"volumes.unknown.no-ledger":   {`["volume rpo","s",3,null,null,"unknown"]`, `["lost records","records",null,null,null,"skipped"]`},
		"volumes.unknown.torn-ledger": {`["volume rpo","s",3,null,null,"unknown"]`, `["lost records","records",null,null,null,"skipped"]`},
	} {
		dir, _ := unpack(t, name)
		var got []string
		for _, o := range judge(t, dir).Objectives[4:] {
			b, err := json.Marshal([]any{o.Name, o.Unit, o.Target, o.Measured, o.Resolution, o.Verdict})
			require.NoError(t, err)
			got = append(got, string(b))
		}
		require.Equal(t, want, got, name)
	}
}
