package crd_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/fixtures"
	"github.com/restore-drill/restore-drill/internal/census"
	"github.com/restore-drill/restore-drill/internal/crd"
	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/internal/toolchain"
)

const machines = "machines.plant.example.com"

// TestDefinitionsAndTheirResources changes a definition of a real cluster again and again, and sees at once each time what it does to the
// custom resources that lived under the first one.
func TestDefinitionsAndTheirResources(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	provider := clusters.NewProcess(clusters.ProcessOptions{Toolchain: toolchain.New(toolchain.Options{}), StateRoot: t.TempDir()})
	cluster, err := provider.Create(ctx, clusters.Spec{Name: "source", DrillID: "crd", LogDir: filepath.Join(dir, "logs"), EtcdMembers: 1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cluster.Delete(t.Context())) })
	require.NoError(t, cluster.Start(ctx, nil))
	cfg := cluster.Config()
	objects, err := fixtures.Desired([]string{"crds", "crds-resources"}, nil)
	require.NoError(t, err)
	require.NoError(t, fixtures.Apply(ctx, cfg, objects))
	client := dynamic.NewForConfigOrDie(cfg)

	const many = 450
	lines := client.Resource(schema.GroupVersionResource{Group: "plant.example.com", Version: "v1", Resource: "lines"})
	var g errgroup.Group
	g.SetLimit(8)
	for i := range many {
		g.Go(func() error {
			_, err := lines.Create(ctx, &unstructured.Unstructured{Object: map[string]any{
				"apiVersion": "plant.example.com/v1", "kind": "Line", "metadata": map[string]any{"name": fmt.Sprintf("line-%d", i)},
			}}, metav1.CreateOptions{})
			return err
		})
	}
	require.NoError(t, g.Wait())
	file := filepath.Join(dir, "before.census")
	_, err = census.Live(ctx, cfg, file, census.LiveOptions{Key: []byte("key")})
	require.NoError(t, err)

	read := func() evidence.CRDs {
		all, err := crd.Read(ctx, cfg)
		require.NoError(t, err)
		require.Len(t, all.Definitions, 2)
		return all
	}
	before := read()
	require.Equal(t, machines, before.Definitions[1].Name)
	require.Equal(t, []string{"v1beta1"}, before.Definitions[1].StoredVersions)
	require.Empty(t, before.Definitions[1].Trouble)
	require.Equal(t, map[string]evidence.CRDReading{"v1": {Objects: 3}, "v1beta1": {Objects: 3}}, before.Definitions[1].Readings)
	try := func() []evidence.CRDTrial {
		trials, err := crd.Try(ctx, cfg, file, read())
		require.NoError(t, err)
		return trials.Definitions
	}
	trials := try()
	require.Equal(t, evidence.CRDTrial{Name: "lines.plant.example.com", Known: many + 1, Tried: 151, Troubled: []evidence.CRDTrouble{}}, trials[0], "one in three")
	require.Equal(t, evidence.CRDTrial{Name: machines, Known: 3, Tried: 3, Troubled: []evidence.CRDTrouble{}}, trials[1])

	definitions := client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	change := func(patch string) {
		_, err := definitions.Patch(ctx, machines, types.JSONPatchType, []byte(patch), metav1.PatchOptions{})
		require.NoError(t, err)
		require.NoError(t, crd.Settle(ctx, cfg, machines))
	}
	const properties = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/"
	// In no order that an eye could follow: each is in force when Settle returns.
	for range 3 {
		change(`[{"op": "replace", "path": "` + properties + `mode/enum", "value": ["eco", "normal"]}]`)
		trials = try()
		require.Equal(t, []evidence.CRDTrouble{{Namespace: "plant", Name: "press", Version: "v1", Refused: []string{"spec.mode: Unsupported value"}}}, trials[1].Troubled)
		change(`[{"op": "replace", "path": "` + properties + `mode/enum", "value": ["eco", "normal", "turbo"]}]`)
		require.Empty(t, try()[1].Troubled)
	}
	changes, err := crd.Compare(before.Definitions[1], read().Definitions[1])
	require.NoError(t, err)
	require.Empty(t, changes, "settling leaves nothing behind")

	change(`[{"op": "remove", "path": "` + properties + `note"}, {"op": "replace", "path": "` + properties + `speed/maximum", "value": 60}]`)
	require.Equal(t, []evidence.CRDTrouble{
		{Namespace: "plant", Name: "mill", Version: "v1", Refused: []string{"spec.speed: Invalid value"}, Dropped: []string{"spec.note"}},
		{Namespace: "plant", Name: "press", Version: "v1", Refused: []string{"spec.speed: Invalid value"}, Dropped: []string{"spec.note"}},
	}, try()[1].Troubled)
	kept, err := json.Marshal(try())
	require.NoError(t, err)
	require.NotContains(t, string(kept), "sticks", "no value is kept")

	change(`[{"op": "replace", "path": "/spec/versions/0/served", "value": false}]`)
	troubled := try()[1].Troubled
	require.Len(t, troubled, 3)
	require.Equal(t, []string{"version v1 is not served"}, troubled[0].Refused)
	require.NotContains(t, read().Definitions[1].Readings, "v1")

	change(`[{"op": "replace", "path": "/spec/versions/0/served", "value": true}, {"op": "replace", "path": "/spec/conversion", "value":
		{"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"service": {"namespace": "plant", "name": "converter"}}}}}]`)
	all := read()
	after := all.Definitions[1]
	require.Contains(t, after.Readings["v1"].Error, "conversion webhook for plant.example.com/v1beta1, Kind=Machine failed: Post")
	require.Equal(t, evidence.CRDReading{Objects: 3}, after.Readings["v1beta1"])
	unanswered, err := crd.Try(ctx, cfg, file, all)
	require.NoError(t, err)
	lathe := unanswered.Definitions[1].Troubled[0]
	require.Equal(t, "lathe", lathe.Name)
	require.Len(t, lathe.Refused, 1)
	require.True(t, strings.HasPrefix(lathe.Refused[0], "conversion webhook for "), lathe.Refused[0])

	require.ErrorContains(t, crd.Settle(ctx, cfg, "nothing.plant.example.com"), `settle definition nothing.plant.example.com: customresourcedefinitions.apiextensions.k8s.io "nothing.plant.example.com" not found`)
	_, err = crd.Try(ctx, cfg, filepath.Join(dir, "nowhere"), all)
	require.ErrorContains(t, err, "try custom resources: open census: ")
	require.NoError(t, cluster.Component("kube-apiserver").Kill(ctx))
	_, err = crd.Read(ctx, cfg)
	require.ErrorContains(t, err, "read definitions: ")
}
