package scenarios

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write the golden files anew")

// An exampleFault has a parameter of every sort.
type exampleFault struct {
	// Name of what is struck.
	Name string `json:"name"`
	// Pages to damage.
	Pages  int             `json:"pages,omitempty"`
	Share  float64         `json:"share,omitempty"`
	Gently bool            `json:"gently,omitempty"`
	Value  any             `json:"value,omitempty"`
	Raw    json.RawMessage `json:"raw,omitempty"`
	Every  *Duration       `json:"every,omitempty"`
	Names  []string        `json:"names,omitempty"`
	Count  uint8           `json:"count,omitempty"`
}

func (f *exampleFault) Validate() error {
	if f.Share > 1 {
		return fmt.Errorf("share %v is out of range: want at most 1", f.Share)
	}
	return nil
}

type plainFault struct{}

// example is a vocabulary that does not depend on what is built in.
func example() Vocabulary {
	return Vocabulary{
		Faults:             map[string]any{"etcd-data-lost": &plainFault{}, "object-deleted": &exampleFault{Pages: 8}, "control-plane-lost": &plainFault{}},
		Checks:             []string{"rpo", "rto", "fidelity", "access"},
		Methods:            []string{"etcd"},
		Workloads:          []string{"standard", "none"},
		Kinds:              []string{"ConfigMap", "Secret", "ServiceAccount", "Widget"},
		KubernetesVersions: []string{"v1.35.4", "v1.36.3", "v1.37.0"},
		Controls:           []string{"soc2:A1.2", "soc2:A1.3", "dora:11"},
		CEL: func(expression string) error {
			if strings.Contains(expression, "==") {
				return nil
			}
			return fmt.Errorf("ERROR: <input>:1:1:\n | %s\n | ^ not a comparison", expression)
		},
	}
}

// TestWrong holds the text of every mistake in testdata/wrong.
func TestWrong(t *testing.T) {
	files, err := filepath.Glob("testdata/wrong/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			_, err = Parse(filepath.Base(file), data, example())
			require.Error(t, err)
			golden := strings.TrimSuffix(file, ".yaml") + ".txt"
			if *update {
				require.NoError(t, os.WriteFile(golden, []byte(err.Error()+"\n"), 0o644))
			}
			want, err2 := os.ReadFile(golden)
			require.NoError(t, err2)
			require.Equal(t, string(want), err.Error()+"\n")
		})
	}
}

const least = `apiVersion: restoredrill.io/v1alpha1
kind: Scenario
metadata: {name: least}
spec:
  objectives: {}
  backup: {method: etcd}
  faults: [{name: etcd-data-lost}]
`

func TestDefaults(t *testing.T) {
	s, err := Parse("least.yaml", []byte(least), example())
	require.NoError(t, err)
	five, second, objects, seed, rate := Duration{5 * time.Minute}, Duration{time.Second}, 500, int64(1), 20.0
	require.Equal(t, Spec{
		Objectives: Objectives{Fidelity: "etcd"},
		Cluster:    Cluster{Version: "v1.36.3", EtcdMembers: 1, Nodes: 3, StartTimeout: &five},
		Seed: Seed{Workloads: []string{"standard"}, Objects: &objects, Kinds: []string{"ConfigMap", "Secret", "ServiceAccount", "Widget"},
			Size: "1Ki", RandomSeed: &seed},
		Ledger:  Ledger{Rate: &rate, Before: &second, After: &second},
		Backup:  Backup{Method: "etcd", Count: 1, Timeout: &five},
		Faults:  []Fault{{Name: "etcd-data-lost"}},
		Restore: Restore{Into: IntoFresh, Version: "v1.36.3", EtcdMembers: 1, Timeout: &five},
		Expect:  Expect{Tool: "completed", Backup: "completed", Verdict: "passed"},
	}, s.Spec)
	require.Equal(t, 1024, s.Spec.Seed.PayloadBytes())

	again := *s
	Default(&again)
	require.Equal(t, *s, again, "filling in twice changes nothing")
}

// TestDefaultsLeaveAlone what is given, zero values too.
func TestDefaultsLeaveAlone(t *testing.T) {
	text := strings.Replace(least, "objectives: {}", `objectives: {rpo: 0s, lostWrites: 0}
  cluster: {version: v1.37.0, etcdMembers: 3, nodes: 1, encryption: aescbc, auditLog: true, startTimeout: 1m30s}
  seed: {workloads: [], objects: 0, kinds: [Secret], size: 512B, randomSeed: 0, manifests: [a.yaml]}
  ledger: {rate: 0.5, before: 250ms, after: 0s}
  restore: {etcdMembers: 1, timeout: 1h}
  expect: {tool: refused, verdict: failed, checks: {rpo: failed, access: skipped}}`, 1)
	s, err := Parse("all.yaml", []byte(text), example())
	require.NoError(t, err)
	zero, half, seed := 0, 0.5, int64(0)
	d := func(d time.Duration) *Duration { return &Duration{d} }
	require.Equal(t, Objectives{RPO: d(0), LostWrites: &zero, Fidelity: "etcd"}, s.Spec.Objectives)
	require.Equal(t, Cluster{"v1.37.0", 3, 1, "aescbc", true, d(90 * time.Second), nil}, s.Spec.Cluster)
	require.Equal(t, Seed{Workloads: []string{}, Objects: &zero, Kinds: []string{"Secret"}, Size: "512B", RandomSeed: &seed, Manifests: []string{"a.yaml"}}, s.Spec.Seed)
	require.Equal(t, Ledger{&half, d(250 * time.Millisecond), d(0)}, s.Spec.Ledger)
	require.Equal(t, Restore{Into: IntoFresh, Version: "v1.37.0", EtcdMembers: 1, Timeout: d(time.Hour)}, s.Spec.Restore)
	require.Equal(t, Expect{Tool: "refused", Backup: "completed", Verdict: "failed", Checks: map[string]string{"rpo": "failed", "access": "skipped"}}, s.Spec.Expect)
}

func TestNothingKnownIsNothingLookedUp(t *testing.T) {
	text := strings.NewReplacer("etcd-data-lost", "moon-fell-down", "method: etcd", "method: prayer").Replace(least)
	s, err := Parse("x", []byte(text), Vocabulary{})
	require.NoError(t, err)
	require.Equal(t, "moon-fell-down", s.Spec.Faults[0].Name)
	require.Empty(t, s.Spec.Objectives.Fidelity)
}

func TestBounds(t *testing.T) {
	parse := func(text string) error {
		began := time.Now()
		_, err := Parse("big.yaml", []byte(text), example())
		t.Log(time.Since(began))
		return err
	}
	laughs := "a0: &a0 [ha]\n"
	for i := 1; i < 60; i++ {
		laughs += fmt.Sprintf("a%d: &a%d [*a%d, *a%[3]d]\n", i, i, i-1)
	}
	for name, c := range map[string]struct{ text, want string }{
		"10 MiB":           {strings.Repeat("# ha ha ha ha ha\n", 10<<20/17+1), "big.yaml:1:1: the file is larger than 1 MiB: a scenario is not"},
		"10 MiB, laughing": {laughs + strings.Repeat("z: *a20\n", 10<<20/8), "big.yaml:1:1: the file is larger than 1 MiB: a scenario is not"},
		"laughs":           {laughs, "big.yaml:4:15: more than 20000 values up to here, each alias counted as what it stands for"},
		"wide":             {"a: [" + strings.Repeat("1,", 100_000) + "]", "big.yaml:1:39999: more than 20000 values up to here, each alias counted as what it stands for"},
		"itself":           {"a: &a {b: *a}", "big.yaml:1:4: nested deeper than 32 levels, or an alias within what it stands for"},
		"deep":             {strings.Repeat("[", 100) + strings.Repeat("]", 100), "big.yaml:1:34: nested deeper than 32 levels, or an alias within what it stands for"},
		"very deep":        {strings.Repeat("[", 1<<20), "big.yaml:1:1: not YAML: exceeded max depth of 10000"},
		"comments":         {strings.Repeat("#\n", 1<<19-100) + least, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := parse(c.text)
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, c.want)
		})
	}
	err := parse(strings.Repeat("x: [\n", 1) + "]\n" + "spec: {" + strings.Repeat("y: 1, ", 500) + "}")
	require.ErrorContains(t, err, "\nand 407 more mistakes")
	require.Len(t, strings.Split(err.Error(), "\n"), mistakesShown+1)
}

func TestReadFile(t *testing.T) {
	_, err := ReadFile(filepath.Join(t.TempDir(), "none.yaml"))
	require.ErrorIs(t, err, os.ErrNotExist)
	big := filepath.Join(t.TempDir(), "big.yaml")
	require.NoError(t, os.WriteFile(big, make([]byte, 10<<20), 0o600))
	data, err := ReadFile(big)
	require.NoError(t, err)
	_, err = Parse(big, data, example())
	require.EqualError(t, err, big+":1:1: the file is larger than 1 MiB: a scenario is not")
}

func TestAliases(t *testing.T) {
	text := strings.Replace(least, "objectives: {}", "objectives: {rto: &long 1m, rpo: *long}\n  restore: {timeout: *long}\n  cluster: {nodes: *long}", 1)
	_, err := Parse("a.yaml", []byte(text), example())
	require.EqualError(t, err, `a.yaml:7:20: spec.cluster.nodes: want a whole number, got the string "1m"`)
	s, err := Parse("a.yaml", []byte(strings.Replace(text, "nodes: *long", "nodes: 2", 1)), example())
	require.NoError(t, err)
	require.Equal(t, time.Minute, s.Spec.Objectives.RPO.Duration)
	require.Equal(t, time.Minute, s.Spec.Restore.Timeout.Duration)
}

func TestDecodeParameters(t *testing.T) {
	node := func(text string) *yaml.Node {
		var n yaml.Node
		require.NoError(t, yaml.Unmarshal([]byte(text), &n))
		return n.Content[0]
	}
	f := exampleFault{Pages: 8}
	require.EqualError(t, DecodeParameters(nil, &f), "1:1: parameters.name: is required")
	require.Equal(t, exampleFault{Pages: 8}, f)

	require.NoError(t, DecodeParameters(node(`{name: x, share: 1, gently: True, value: {a: [1, 2.5, yes, null, true]}, raw: {"b": [1]}, every: 1s, names: [], count: 255}`), &f))
	require.Equal(t, exampleFault{Name: "x", Pages: 8, Share: 1, Gently: true, Value: map[string]any{"a": []any{int64(1), 2.5, "yes", nil, true}},
		Raw: json.RawMessage(`{"b":[1]}`), Every: &Duration{time.Second}, Names: []string{}, Count: 255}, f)

	require.EqualError(t, DecodeParameters(node("nmae: x\npages: 1.5\ncount: 256\nname: a\nvalue: {a: 1, a: 2}"), &f),
		"1:1: parameters.nmae: unknown key (did you mean name?)\n"+
			"2:8: parameters.pages: want a whole number, got the number 1.5\n"+
			"3:8: parameters.count: 256 is out of range\n"+
			"5:15: parameters.value.a: duplicate key, first given in line 5")
	require.EqualError(t, DecodeParameters(node("x: 1"), &plainFault{}), "1:1: parameters.x: unknown key: nothing can be set here")
	require.EqualError(t, DecodeParameters(node("a: &a {b: *a}"), &f), "1:4: nested deeper than 32 levels, or an alias within what it stands for")
}

func TestCheckFiles(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "mine.yaml")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "app.yaml"), nil, 0o600))
	parse := func(manifests string) *Scenario {
		s, err := Parse(file, []byte(strings.Replace(least, "objectives: {}", "objectives: {}\n  seed:\n    manifests:\n"+manifests, 1)), example())
		require.NoError(t, err)
		return s
	}
	require.NoError(t, CheckFiles(parse("      - app.yaml\n      - ."), file))
	require.NoError(t, CheckFiles(parse("      - "+filepath.Join(dir, "app.yaml")), "elsewhere.yaml"))
	require.EqualError(t, CheckFiles(parse("      - ap.yaml\n      - no/such"), file),
		file+":8:9: spec.seed.manifests[0]: no such file or directory: "+dir+"/ap.yaml (did you mean app.yaml?)\n"+
			file+":9:9: spec.seed.manifests[1]: no such file or directory: "+dir+"/no/such")
}

func TestNearest(t *testing.T) {
	known := []string{"etcd-data-lost", "etcd-quorum-lost", "control-plane-lost", "rto", "rpo", "v1.36.3", "etcdMembers"}
	for word, want := range map[string]string{
		"etcd-data-list": "etcd-data-lost", "EtcdDataLost": "etcd-data-lost", "etcd-lost": "etcd-data-lost", "quorum-lost": "etcd-quorum-lost",
		"rpoo": "rpo", "rot": "rto", "1.36.3": "v1.36.3", "v1.36": "v1.36.3", "members": "etcdMembers", "": "", "xyz": "", "banana": "",
		strings.Repeat("a", 1<<20): "",
	} {
		require.Equal(t, want, nearest(word, known), shorten(word))
	}
}

func TestUnits(t *testing.T) {
	for text, want := range map[string]string{
		"30": `"30" has no unit (write 30s for seconds, 30m for minutes)`, "1d": `"1d" has a wrong unit (did you mean 24h?)`,
		"5 min": `"5 min" has a wrong unit (did you mean 5m?)`, "1.5 Hours": `"1.5 Hours" has a wrong unit (did you mean 1.5h?)`,
		"5 s": `"5 s" has a wrong unit (did you mean 5s?)`, "-1s": `"-1s" is out of range: a duration is not negative`,
		"3 fortnights": `"3 fortnights" has a wrong unit "fortnights"; known: ms, s, m, h`, "soon": `"soon" is not a duration (write for example 90s, 1m30s or 250ms)`,
		"999999999999h": `"999999999999h" is out of range`, "": `"" is not a duration (write for example 90s, 1m30s or 250ms)`,
	} {
		require.EqualError(t, new(Duration).UnmarshalText([]byte(text)), want)
	}
	for text, want := range map[string]string{
		"1024": `"1024" has no unit (write 1024B for bytes, 1024Ki for kibibytes)`, "1k": `"1k" has a wrong unit (did you mean 1Ki?)`, "1 MB": `"1 MB" has a wrong unit (did you mean 1Mi?)`,
		"9 bytes": `"9 bytes" has a wrong unit (did you mean 9B?)`, "1Gi": `"1Gi" has a wrong unit "Gi"; known: B, Ki, Mi`, "big": `"big" is not a size (write for example 512B, 4Ki or 1Mi)`,
		"0B": "0B is out of range: want at least 1B and at most 1000Ki", "1Mi": "1Mi is out of range: want at least 1B and at most 1000Ki",
		"99999999999999999999B": "99999999999999999999B is out of range: want at least 1B and at most 1000Ki", "1.5Ki": `"1.5Ki" is not a size (write for example 512B, 4Ki or 1Mi)`,
	} {
		require.EqualError(t, new(Size).UnmarshalText([]byte(text)), want)
	}
	require.Equal(t, 0, Size("").Bytes())
	require.Equal(t, 4096, Size("4Ki").Bytes())
	for text, want := range map[string]string{"300s": "5m", "2h0m": "2h", "90s": "1m30s", "0s": "0s", "10m10s": "10m10s", "20h20m": "20h20m", "1.5ms": "1.5ms"} {
		var d Duration
		require.NoError(t, d.UnmarshalText([]byte(text)))
		require.Equal(t, want, d.String())
	}
	b, err := json.Marshal(Objectives{RTO: &Duration{90 * time.Second}})
	require.NoError(t, err)
	var o Objectives
	require.NoError(t, json.Unmarshal(b, &o))
	require.Equal(t, 90*time.Second, o.RTO.Duration)
}

// TestConstraintsAreUsed finds a constraint whose field was renamed.
func TestConstraintsAreUsed(t *testing.T) {
	left := constraints(example())
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || typ == nodeType.Elem() {
			return
		}
		for _, f := range fieldsOf(typ) {
			delete(left, typ.Name()+"."+f.name)
			walk(f.typ)
		}
	}
	walk(reflect.TypeFor[Scenario]())
	require.Empty(t, left)
}

// FuzzParse holds what must be true of any file: no panic, and mistakes that lie within the file, in order.
func FuzzParse(f *testing.F) {
	f.Add([]byte(least))
	for _, pattern := range []string{"*.yaml", "sabotage/*.yaml", "testdata/wrong/*.yaml"} {
		files, err := filepath.Glob(pattern)
		require.NoError(f, err)
		for _, file := range files {
			data, err := os.ReadFile(file)
			require.NoError(f, err)
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse("f.yaml", data, example())
		if err == nil {
			require.NotEmpty(t, s.Metadata.Name)
			require.NotEmpty(t, s.Spec.Faults)
			return
		}
		require.Nil(t, s)
		var mistakes Mistakes
		require.ErrorAs(t, err, &mistakes)
		lines := strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n").Replace(string(data)), "\n")
		last := Mistake{}
		for _, m := range mistakes {
			require.True(t, m.Line > last.Line || m.Line == last.Line && m.Column >= last.Column, "%v stands before %v", m, last)
			last = m
			require.LessOrEqual(t, m.Line, len(lines), "%v", m)
			require.LessOrEqual(t, m.Column, len([]rune(lines[m.Line-1]))+1, "%v", m)
			require.NotContains(t, m.String(), "\n")
		}
	})
}
