package scenarios_test

import (
	"bytes"
	"flag"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/restore-drill/restore-drill/drills"
	"github.com/restore-drill/restore-drill/internal/toolchain"
	"github.com/restore-drill/restore-drill/scenarios"
)

// TestSchemaIsUpToDate, and holds for every scenario that ships.
func TestSchemaIsUpToDate(t *testing.T) {
	made, err := scenarios.Schema(drills.Vocabulary())
	require.NoError(t, err)
	if flag.Lookup("update").Value.String() == "true" {
		require.NoError(t, os.WriteFile("schema.json", made, 0o644))
	}
	shipped, err := os.ReadFile("schema.json")
	require.NoError(t, err)
	require.Equal(t, string(shipped), string(made), "run make generate")

	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(shipped))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	require.NoError(t, compiler.AddResource(scenarios.SchemaURL, doc))
	schema, err := compiler.Compile(scenarios.SchemaURL)
	require.NoError(t, err)
	for _, s := range append(scenarios.Embedded(), scenarios.Named{Name: "new", Data: scenarios.New("new")}) {
		var v any
		require.NoError(t, yaml.Unmarshal(s.Data, &v))
		require.NoError(t, schema.Validate(v), s.Name)
	}
}

// TestWhatShipsIsKnown parses every scenario against what is built in, and finds the fault that no scenario uses.
func TestWhatShipsIsKnown(t *testing.T) {
	v := drills.Vocabulary()
	unused := maps.Clone(v.Faults)
	for _, s := range append(scenarios.Embedded(), scenarios.Named{Path: "new.yaml", Data: scenarios.New("new")}) {
		parsed, err := scenarios.Parse(s.Path, s.Data, v)
		require.NoError(t, err)
		for _, fault := range parsed.Spec.Faults {
			delete(unused, fault.Name)
		}
	}
	require.Empty(t, slices.Sorted(maps.Keys(unused)), "a fault that no scenario uses")
	require.Equal(t, toolchain.DefaultKubernetes, scenarios.DefaultKubernetesVersion)
	require.Contains(t, v.KubernetesVersions, scenarios.DefaultKubernetesVersion)
	require.NotEmpty(t, v.Checks)
	require.NotEmpty(t, v.Methods)
	require.NotEmpty(t, v.Workloads)
}
