package drills_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/drills"
	"github.com/restore-drill/restore-drill/drills/backups"
	"github.com/restore-drill/restore-drill/fixtures"
	"github.com/restore-drill/restore-drill/internal/engine/enginetest"
	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/reports"
	"github.com/restore-drill/restore-drill/scenarios"
)

// onKind are the scenarios that every run of the tests rehearses on real nodes: two restores of etcd, two by Velero with the bytes of volumes, and a
// sabotage that only bytes give away.
var onKind = []string{"control-plane-lost", "pki-deleted", "velero-volumes-deleted", "velero-volumes-empty", "volume-file-changed"}

// allOnKind, in RESTORE_DRILL_ON_KIND, stands for every scenario that needs machines, and onKind.
const allOnKind = "all"

// TestScenariosOnKind runs scenarios on clusters of kind, one at a time, as two clusters fill a small machine: each must come out exactly as it declares.
func TestScenariosOnKind(t *testing.T) {
	enginetest.Answering(t)
	for _, s := range scenarios.Embedded() {
		machines := slices.Contains(load(t, s.Name).Spec.Requires, scenarios.Machines)
		if !slices.Contains(onKind, s.Name) && (os.Getenv("RESTORE_DRILL_ON_KIND") != allOnKind || !machines) {
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			report := drills.TestAsDeclared(t, s.Name, drills.WithProvider("kind"))
			require.Equal(t, "kind", report.Drill.Provider)
			if s.Sabotage {
				require.NotEqual(t, reports.Passed, report.Verdict, "sabotage went unnoticed")
			}
			secretsStayInTheArtifact(t, filepath.Join(t.ArtifactDir(), "drill"))
		})
	}
}

// secretsStayInTheArtifact: neither a seeded Secret's value nor the password of the volumes' repository is in any other file of a run.
func secretsStayInTheArtifact(t *testing.T, dir string) {
	secrets := fixtures.PlantedSecrets()
	passwords, err := filepath.Glob(filepath.Join(dir, evidence.ArtifactsDir, "*", backups.PasswordFile))
	require.NoError(t, err)
	for _, file := range passwords {
		secrets = append(secrets, string(contents(t, file)))
	}
	for _, file := range filesWith(t, dir, secrets) {
		require.True(t, strings.HasPrefix(file, evidence.ArtifactsDir), "%s holds a Secret's value", file)
	}
}

// TestOnKindAreScenarios holds the list.
func TestOnKindAreScenarios(t *testing.T) {
	for _, name := range onKind {
		require.True(t, slices.ContainsFunc(scenarios.Embedded(), func(s scenarios.Named) bool { return s.Name == name }), name)
	}
}

func load(t *testing.T, name string) *scenarios.Scenario {
	loaded, err := drills.Load(name)
	require.NoError(t, err)
	return loaded.Scenario
}
