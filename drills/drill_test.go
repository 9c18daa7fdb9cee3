package drills_test

import (
	"bytes"
	"cmp"
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/drills"
	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/fixtures"
	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/internal/toolchain"
	"github.com/restore-drill/restore-drill/reports"
	"github.com/restore-drill/restore-drill/scenarios"
)

// TestScenarios runs every embedded scenario that needs no machines, sabotage too, as many at a time as there are processors and as fit the memory: each
// must come out exactly as it declares.
func TestScenarios(t *testing.T) {
	for _, s := range scenarios.Embedded() {
		if slices.Contains(load(t, s.Name).Spec.Requires, scenarios.Machines) {
			continue // TestScenariosOnKind
		}
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			report := drills.TestAsDeclared(t, s.Name)
			if s.Sabotage {
				require.NotEqual(t, reports.Passed, report.Verdict, "sabotage went unnoticed")
			}
		})
	}
}

// scenarioVariable names another scenario to TestDrill, which TestTheTestFails runs in a process of its own.
const scenarioVariable = "RESTORE_DRILL_TEST_SCENARIO"

// TestDrill is how a user's own module runs one.
func TestDrill(t *testing.T) {
	report := drills.Test(t, cmp.Or(os.Getenv(scenarioVariable), "etcd-data-lost"))
	require.NotNil(t, report.RTO)
	require.NotNil(t, report.Ledger.RPO)
	require.Positive(t, report.Ledger.Total.Lost, "the exposure after the backup loses writes, and the ledger sees them")
}

// TestTheTestFails shows that drills.Test fails on failed and on unknown, and is skipped only where nothing can run.
func TestTheTestFails(t *testing.T) {
	for name, test := range map[string]struct {
		scenario string
		env      []string
		want     []string
	}{
		"failed":       {"rto-over-objective", nil, []string{"--- FAIL: TestDrill/rto", "--- FAIL: TestDrill (", "drill rto-over-objective: failed"}},
		"unknown":      {"fault-without-effect", nil, []string{"--- FAIL: TestDrill/phases", "--- FAIL: TestDrill (", "drill fault-without-effect: unknown"}},
		"no Go":        {"etcd-data-lost", []string{"PATH=", "XDG_CACHE_HOME=" + t.TempDir(), "RESTORE_DRILL_BIN_DIR="}, []string{"--- SKIP: TestDrill (", "no go on PATH"}},
		"wrong binary": {"etcd-data-lost", []string{"RESTORE_DRILL_BIN_DIR=/no/such/dir"}, []string{"--- FAIL: TestDrill (", "/no/such/dir"}},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestDrill$", "-test.v")
			cmd.Env = append(append(os.Environ(), scenarioVariable+"="+test.scenario), test.env...)
			out, err := cmd.CombinedOutput()
			require.Equal(t, name != "no Go", err != nil, "%s", out)
			for _, want := range test.want {
				require.Contains(t, string(out), want)
			}
		})
	}
}

// TestSecretsStayInTheArtifact looks for the seeds' Secret values, and for the credentials of Velero's store, in every byte of a run directory.
func TestSecretsStayInTheArtifact(t *testing.T) {
	t.Run("etcd", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "drill")
		runDrill(t, dir, "etcd-data-lost", nil)
		holders := filesWith(t, dir, fixtures.PlantedSecrets())
		require.NotEmpty(t, holders, "the values are not even in the artifact: this test looks for the wrong ones")
		for _, file := range holders {
			require.True(t, strings.HasPrefix(file, evidence.ArtifactsDir), "%s holds a Secret's value", file)
		}
	})
	t.Run("velero", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "drill")
		var credentials string
		report := runDrill(t, dir, "velero-cluster-lost", func(e evidence.Event) {
			if e.Kind == evidence.PhaseStarted && e.Name == evidence.PhaseRestore {
				credentials = veleroCredentials(t, dir)
			}
		})
		require.NotNil(t, report.RTO, report.Reason)
		keys := regexp.MustCompile(`=(\S+)`).FindAllStringSubmatch(credentials, -1)
		require.Len(t, keys, 2, "an access key and a secret one")
		// Its artifact lies in the bucket, which is gone.
		require.Empty(t, filesWith(t, dir, append(fixtures.PlantedSecrets(), keys[0][1], keys[1][1])))
	})
}

// veleroCredentials are what the Velero of a drill that runs reads its credentials from.
func veleroCredentials(t *testing.T, dir string) string {
	header, err := evidence.ReadJSON[evidence.Header](dir, evidence.HeaderFile)
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(clusters.StateRoot(), header.ID, "velero-source", "credentials"))
	require.NoError(t, err)
	return string(text)
}

// filesWith one of these values, of a run directory; what lies in it as an artifact is for its owner alone.
func filesWith(t *testing.T, dir string, values []string) (found []string) {
	require.NotEmpty(t, values)
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := entry.Info()
		require.NoError(t, err)
		relative, err := filepath.Rel(dir, path)
		require.NoError(t, err)
		if strings.HasPrefix(relative, evidence.ArtifactsDir) {
			require.Zero(t, info.Mode().Perm()&0o077, relative)
		}
		if entry.IsDir() {
			return nil
		}
		text := contents(t, path)
		if slices.ContainsFunc(values, func(v string) bool { return bytes.Contains(text, []byte(v)) }) {
			found = append(found, relative)
		}
		return nil
	}))
	return found
}

func contents(t *testing.T, path string) []byte {
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	if filepath.Ext(path) != ".zst" {
		return data
	}
	decoder, err := zstd.NewReader(nil)
	require.NoError(t, err)
	defer decoder.Close()
	plain, err := decoder.DecodeAll(data, nil)
	require.NoError(t, err)
	return plain
}

// TestJudgingAgainGivesTheSameReport judges a saved directory twice.
func TestJudgingAgainGivesTheSameReport(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "drill")
	report := runDrill(t, dir, "etcd-data-lost", nil)
	again, err := drills.Judge(dir, "go test")
	require.NoError(t, err)
	var first, second bytes.Buffer
	require.NoError(t, reports.WriteJSON(&first, report))
	require.NoError(t, reports.WriteJSON(&second, again))
	require.Equal(t, first.String(), second.String())
}

// TestAComponentKilledFromOutside kills a component in each phase: whatever else happens, nobody may call the drill passed or failed.
func TestAComponentKilledFromOutside(t *testing.T) {
	for phase, victim := range map[string]string{
		"provision": "etcd-0", "seed": "kube-controller-manager", "backup": "etcd-0", "inject": "kube-scheduler", "restore": "kube-apiserver", "survey": "etcd-0",
	} {
		t.Run(phase, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "drill")
			killer := newKiller(phase, victim)
			report := runDrill(t, dir, "etcd-data-lost", killer.event)
			require.True(t, killer.struck(), "nothing was killed")
			require.Equal(t, reports.Unknown, report.Verdict, report.Reason)
			require.Contains(t, report.Reason, victim)
		})
	}
}

// runDrill runs an embedded scenario with a small seed.
func runDrill(t *testing.T, dir, name string, event func(evidence.Event)) *reports.Report {
	t.Helper()
	loaded, err := drills.Load(name)
	require.NoError(t, err)
	few := 20
	loaded.Scenario.Spec.Seed.Objects = &few
	report, err := drills.Run(context.WithoutCancel(t.Context()), drills.Options{
		Scenario: loaded.Scenario, Text: loaded.Text, Path: loaded.Path, Dir: dir, Version: "go test", Progress: event,
		Provider: clusters.NewProcess(clusters.ProcessOptions{Toolchain: toolchain.New(toolchain.Options{}), StateRoot: clusters.StateRoot()}),
	})
	require.NotNil(t, report, "%v", err)
	return report
}
