package drills

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/reports"
	"github.com/restore-drill/restore-drill/scenarios"
)

// TestOptionsAreInTheText shows that what an option sets is in the scenario that is kept as evidence, so that judging it again gives the same report.
func TestOptionsAreInTheText(t *testing.T) {
	manifest := filepath.Join(t.TempDir(), "own.yaml")
	require.NoError(t, os.WriteFile(manifest, []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: own}\n"), 0o600))
	t.Chdir(filepath.Dir(manifest))
	run, err := prepareTest("etcd-data-lost", []TestOption{
		WithRTO(7 * time.Second), WithRPO(90 * time.Second), WithLostWrites(3), WithObjects(11), WithWorkloads(), WithManifests("own.yaml"),
		WithRandomSeed(5), WithKubernetesVersion("v1.37.0"), WithProvider("kind"),
	})
	require.NoError(t, err)
	require.Equal(t, "kind", run.providerName)
	again, err := scenarios.Parse("scenario.yaml", run.Text, Vocabulary())
	require.NoError(t, err)
	for _, s := range []*scenarios.Scenario{run.Scenario, again} {
		require.Equal(t, 7*time.Second, s.Spec.Objectives.RTO.Duration)
		require.Equal(t, 90*time.Second, s.Spec.Objectives.RPO.Duration)
		require.Equal(t, 3, *s.Spec.Objectives.LostWrites)
		require.Equal(t, "etcd", s.Spec.Objectives.Fidelity)
		require.Equal(t, 11, *s.Spec.Seed.Objects)
		require.Empty(t, s.Spec.Seed.Workloads)
		require.Equal(t, []string{manifest}, s.Spec.Seed.Manifests)
		require.EqualValues(t, 5, *s.Spec.Seed.RandomSeed)
		require.Equal(t, "v1.37.0", s.Spec.Cluster.Version)
	}
	one := 1
	run, err = prepareTest("etcd-data-lost", []TestOption{WithRTO(time.Second), WithObjectives(scenarios.Objectives{LostWrites: &one})})
	require.NoError(t, err)
	require.Nil(t, run.Scenario.Spec.Objectives.RTO)
	require.Equal(t, 1, *run.Scenario.Spec.Objectives.LostWrites)
}

// TestOptionsThatAreWrong are found before anything runs, as a mistake in a file is.
func TestOptionsThatAreWrong(t *testing.T) {
	for want, option := range map[string]TestOption{
		"spec.seed.objects: ":      WithObjects(-1),
		"spec.cluster.version: ":   WithKubernetesVersion("v9"),
		"spec.seed.workloads[0]: ": WithWorkloads("standart"),
		"no such file":             WithManifests("nowhere.yaml"),
	} {
		_, err := prepareTest("etcd-data-lost", []TestOption{option})
		require.ErrorContains(t, err, want)
	}
}

func TestAttributes(t *testing.T) {
	require.Equal(t, []attribute{{"scenario", "x"}, {"provider", "process"}, {"method", "etcd"}, {"verdict", "unknown"}, {"as-declared", "false"}},
		attributes(&reports.Report{Drill: reports.Drill{Scenario: "x", Provider: "process", Method: "etcd"}}), "what was not measured has no figure")
	rpo := 1.5
	r := &reports.Report{Verdict: reports.Passed, RTO: &reports.RTO{Seconds: 2}, Ledger: &reports.Ledger{RPO: &rpo}}
	r.Ledger.Total.Lost = 9
	r.Declared.AsDeclared = true
	require.Equal(t, []attribute{{"scenario", ""}, {"provider", ""}, {"method", ""}, {"verdict", "passed"}, {"as-declared", "true"},
		{"rto-seconds", "2.000"}, {"rpo-seconds", "1.500"}, {"lost-writes", "9"}}, attributes(r))
}
