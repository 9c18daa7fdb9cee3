package drills_test

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/drills"
	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/internal/toolchain"
	"github.com/restore-drill/restore-drill/scenarios"
)

// A fault that could never strike would leave a drill that shows nothing, and looks well.
func TestWhereThereIsNoEmptyCluster(t *testing.T) {
	named, ok := scenarios.Find("velero-crd-newer")
	require.True(t, ok)
	for says, change := range map[string][2]string{
		"fault manifests-applied strikes the empty new cluster: with method etcd into fresh there is none": {
			"    method: velero\n    velero:\n      includeClusterResources: true\n", "    method: etcd\n"},
		"fault field-changed strikes the empty new cluster: with method velero into source there is none": {
			"  expect:\n", "  restore: {into: source}\n  expect:\n"},
	} {
		text := bytes.Replace(named.Data, []byte(change[0]), []byte(change[1]), 1)
		require.NotEqual(t, named.Data, text)
		scenario, err := scenarios.Parse(named.Path, text, drills.Vocabulary())
		require.NoError(t, err)
		_, err = drills.Run(t.Context(), drills.Options{
			Scenario: scenario, Text: text, Path: named.Path, Dir: filepath.Join(t.TempDir(), "run"),
			Provider: clusters.NewProcess(clusters.ProcessOptions{Toolchain: toolchain.New(toolchain.Options{}), StateRoot: t.TempDir()}),
		})
		require.ErrorContains(t, err, says)
	}
}
