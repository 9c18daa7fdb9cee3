package faults_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/restore-drill/restore-drill/drills/faults"
	"github.com/restore-drill/restore-drill/drills/faults/faulttest"
	"github.com/restore-drill/restore-drill/fixtures"
)

func TestMomentsOfAFault(t *testing.T) {
	for parameters, target := range map[string]faults.Target{
		"{at: seeded}": faults.Seeded, "{at: source}": faults.Source, "{at: empty}": faults.Empty, "{at: restored}": faults.Restored, "{}": faults.Restored,
	} {
		for _, name := range []string{"object-deleted", "field-changed"} {
			f, err := faults.New(named(t, name, parameters))
			require.NoError(t, err)
			require.Equal(t, target, f.Strikes(), parameters)
			require.Contains(t, f.Destroys(), target.String())
			require.Contains(t, []string{"there is no source cluster", "there is no restored cluster"}, f.Inject(t.Context(), &faults.Scene{}).Error())
		}
	}
	for name, says := range map[string]string{
		"object-deleted|at: later":                           `fault object-deleted: at: unknown moment "later"; known: seeded, source, empty, restored`,
		"manifests-applied|at: empty":                        "fault manifests-applied: there is nothing to apply: name workloads, or write manifests",
		"manifests-applied|workloads: [crd]":                 `fault manifests-applied: unknown workload "crd"`,
		"manifests-applied|manifests: [{apiVersion: v1}]":    "fault manifests-applied: manifests[0]: Object 'Kind' is missing",
		"manifests-applied|{workloads: [crds], at: eternal}": `unknown moment "eternal"`,
	} {
		name, parameters, _ := strings.Cut(name, "|")
		_, err := faults.New(named(t, name, parameters))
		require.ErrorContains(t, err, says)
	}
}

// TestDefinitionFaults on one cluster, which stands for the source and for the restored one.
func TestDefinitionFaults(t *testing.T) {
	c := start(t, 1)
	source, target := source(c), &faults.Scene{Restored: c}
	create := func(name, parameters string) faults.Fault {
		f, err := faults.New(named(t, name, parameters))
		require.NoError(t, err)
		return f
	}
	applied := create("manifests-applied", `{workloads: [crds], manifests: [{apiVersion: v1, kind: ConfigMap, metadata: {name: theirs, namespace: default}, data: {a: "1"}}]}`)
	require.Equal(t, "Whatever of these is in the empty new cluster becomes as the manifests say: CustomResourceDefinition machines.plant.example.com, "+
		"CustomResourceDefinition lines.plant.example.com, ConfigMap default/theirs.", applied.Destroys())
	require.Equal(t, "3 of 3 objects are as their manifests say", faulttest.Strike(t, applied, target).Detail)

	objects, err := fixtures.Desired([]string{"crds-resources"}, nil)
	require.NoError(t, err)
	require.NoError(t, fixtures.Apply(t.Context(), c.Config(), objects))

	const definition = `apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, namespace: "", name: machines.plant.example.com`
	const enum = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/mode/enum"
	tightened := create("field-changed", "{at: seeded, "+definition+", path: "+enum+", value: [eco, normal]}")
	require.Equal(t, "Field "+enum+` of CustomResourceDefinition machines.plant.example.com in the seeded source cluster before its backup is set to ["eco","normal"].`, tightened.Destroys())
	faulttest.Strike(t, tightened, source)
	turbo := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "plant.example.com/v1", "kind": "Machine", "metadata": map[string]any{"name": "saw"}, "spec": map[string]any{"mode": "turbo", "speed": int64(1)},
	}}
	machines := dynamic.NewForConfigOrDie(c.Config()).Resource(schema.GroupVersionResource{Group: "plant.example.com", Version: "v1", Resource: "machines"}).Namespace("plant")
	_, err = machines.Create(t.Context(), turbo, metav1.CreateOptions{})
	require.ErrorContains(t, err, `spec.mode: Unsupported value: "turbo"`, "the change is in force when it is seen")
	removed := create("field-changed", "{at: restored, "+definition+", path: "+enum+", remove: true}")
	require.Equal(t, "field "+enum+" of CustomResourceDefinition machines.plant.example.com is not there", faulttest.Strike(t, removed, target).Detail)
	_, err = machines.Create(t.Context(), turbo, metav1.CreateOptions{})
	require.NoError(t, err)

	gone := create("crd-version-removed", "")
	require.Contains(t, faulttest.Strike(t, gone, source).Detail, "the machines cannot be listed in version v1: ")
	require.ErrorContains(t, create("crd-version-removed", "{definition: lines.plant.example.com, version: v1}").Inject(t.Context(), source),
		"remove version v1 of definition lines.plant.example.com: it has no other version that is served")
	deleted := create("object-deleted", `{at: source, apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, namespace: "", name: lines.plant.example.com}`)
	require.Equal(t, "CustomResourceDefinition lines.plant.example.com is not there", faulttest.Strike(t, deleted, source).Detail)

	_, err = create("manifests-applied", "{at: restored, manifests: [{apiVersion: odd.example.com/v1, kind: Odd, metadata: {name: x}}]}").Visible(t.Context(), target)
	require.NoError(t, err, "what is not served is not there")
}
