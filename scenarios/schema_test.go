package scenarios

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// validator is not of this project: it shows that the schema means to others what it means to the parser.
func validator(t *testing.T, v Vocabulary) *jsonschema.Schema {
	text, err := Schema(v)
	require.NoError(t, err)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	require.NoError(t, c.AddResource(SchemaURL, doc))
	s, err := c.Compile(SchemaURL)
	require.NoError(t, err)
	return s
}

func load(t *testing.T, text []byte) any {
	var v any
	require.NoError(t, yaml.Unmarshal(text, &v))
	return v
}

// TestSchemaAgrees shows the validator what the parser takes and what it does not.
func TestSchemaAgrees(t *testing.T) {
	s := validator(t, example())
	require.NoError(t, s.Validate(load(t, []byte(least))))
	require.NoError(t, s.Validate(load(t, New("x"))))

	// What a schema does not see, or no YAML library reads into values.
	blind := []string{"contradiction", "duplicate", "several-documents", "syntax", "tab", "not-utf8", "unknown-alias", "tags"}
	files, err := filepath.Glob("testdata/wrong/*.yaml")
	require.NoError(t, err)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		if strings.Contains(strings.Join(blind, " "), name) {
			continue
		}
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Error(t, s.Validate(load(t, data)), file)
	}

	// One change a row, each of which both must refuse, or both must take.
	for _, c := range []struct {
		from, to string
		valid    bool
	}{
		{"objectives: {}", "objectives: {rto: 30}", false},
		{"objectives: {}", "objectives: {rto: 30s}", true},
		{"objectives: {}", "objectives: {rto: 1m30.5s}", true},
		{"objectives: {}", "objectives: {rto: 1d}", false},
		{"objectives: {}", "objectives: {rto: }", false},
		{"objectives: {}", "objectives: {fidelity: exact}", false},
		{"objectives: {}", "objectives: {lostWrites: -1}", false},
		{"objectives: {}", "objectives: {}\n  ledger: {rate: 0}", false},
		{"objectives: {}", "objectives: {}\n  ledger: {rate: 0.1}", true},
		{"objectives: {}", "objectives: {}\n  cluster: {etcdMembers: 2}", false},
		{"objectives: {}", "objectives: {}\n  cluster: {etcdMembers: 3}", true},
		{"objectives: {}", "objectives: {}\n  cluster: {version: v1.2.3}", false},
		{"objectives: {}", "objectives: {}\n  seed: {size: 1024}", false},
		{"objectives: {}", "objectives: {}\n  seed: {size: 4Ki}", true},
		{"objectives: {}", "objectives: {}\n  seed: {kinds: []}", false},
		{"objectives: {}", "objectives: {}\n  seed: {workloads: []}", true},
		{"objectives: {}", "objectives: {}\n  seed: {workloads: [other]}", false},
		{"objectives: {}", "objectives: {}\n  expect: {verdict: failed, checks: {rot: failed}}", false},
		{"objectives: {}", "objectives: {}\n  expect: {verdict: failed, checks: {rto: bad}}", false},
		{"objectives: {}", "objectives: {}\n  expect: {verdict: failed, checks: {rto: failed}}", true},
		{"objectives: {}", "objectives: {}\n  expect: {verdict: skipped}", false},
		{"objectives: {}", "objectives: {}\n  probes: [{name: a}]", false},
		{"objectives: {}", "objectives: {}\n  probes: [{name: a, get: {path: /a}, command: {argv: [a]}}]", false},
		{"objectives: {}", "objectives: {}\n  probes: [{name: a, command: {argv: []}}]", false},
		{"objectives: {}", "objectives: {}\n  probes: [{name: a, command: {argv: [a]}}]", true},
		{"method: etcd", "method: etcd, count: 2", false},
		{"method: etcd", "method: etcd, count: 2, every: 1s", true},
		{"[{name: etcd-data-lost}]", "[]", false},
		{"[{name: etcd-data-lost}]", "[{name: other}]", false},
		{"[{name: etcd-data-lost}]", "[{name: etcd-data-lost, parameters: {}}]", true},
		{"[{name: etcd-data-lost}]", "[{name: etcd-data-lost, parameters: {pages: 1}}]", false},
		{"[{name: etcd-data-lost}]", "[{name: object-deleted}]", false},
		{"[{name: etcd-data-lost}]", "[{name: object-deleted, parameters: {pages: 1}}]", false},
		{"[{name: etcd-data-lost}]", "[{name: object-deleted, parameters: {name: x, pages: y}}]", false},
		{"[{name: etcd-data-lost}]", "[{name: object-deleted, parameters: {name: x, pages: 1, every: 1s, value: {a: [1]}, raw: 3}}]", true},
		{"name: least", "name: Least", false},
		{"v1alpha1", "v1alpha2", false},
		{"kind: Scenario", "kind: Drill", false},
		{"kind: Scenario", "kind: Scenario\nother: 1", false},
	} {
		text := []byte(strings.Replace(least, c.from, c.to, 1))
		_, err := Parse("x", text, example())
		invalid := s.Validate(load(t, text))
		require.Equal(t, c.valid, err == nil, "parser: %s: %v", c.to, err)
		require.Equal(t, c.valid, invalid == nil, "schema: %s: %v", c.to, invalid)
	}
}

func TestSchemaText(t *testing.T) {
	v := example()
	v.Sources = [][]byte{[]byte("package scenarios\n\n// An exampleFault is described elsewhere.\ntype exampleFault struct {\n\t// Pages to damage.\n\tPages int\n}\n")}
	text, err := Schema(v)
	require.NoError(t, err)
	golden := "testdata/schema.golden.json"
	if *update {
		require.NoError(t, os.WriteFile(golden, text, 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), string(text))
}
