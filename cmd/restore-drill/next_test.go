package main

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/drills"
	"github.com/restore-drill/restore-drill/internal/toolchain"
	"github.com/restore-drill/restore-drill/scenarios"
)

// TestNext holds that each error leads on to a command that this program takes.
func TestNext(t *testing.T) {
	_, unknown := drills.Load("no-such-drill")
	for _, c := range []struct {
		err  error
		code int
		want string
	}{
		{errors.New("anything"), exitUsage, "restore-drill run --help"},
		{errors.New("a component ended"), exitUnknown, "restore-drill doctor"},
		{unknown, exitUsage, "restore-drill scenario list"},
		{fmt.Errorf("x: %w", toolchain.ErrUnknown), exitUsage, "restore-drill toolchain list"},
		{fmt.Errorf("x: %w", toolchain.ErrNoGo), exitFailed, "restore-drill doctor"},
		{fmt.Errorf("x: %w", drills.ErrLacking), exitUsage, "restore-drill doctor --provider kind"},
		{scenarios.Mistakes{{Path: "spec.faults[0].name"}, {Path: "spec"}}, exitUsage, "restore-drill explain spec.faults.name"},
		{errors.Join(scenarios.Mistakes{{Path: "spec.faults[1].parameters.pages"}}), exitUsage, "restore-drill explain spec.faults"},
		{scenarios.Mistakes{{Path: `metadata.labels["a b"]`}}, exitUsage, "restore-drill explain metadata.labels"},
		{scenarios.Mistakes{{Text: "it is empty"}}, exitUsage, "restore-drill scenario new my-drill"},
		{advise(errors.New("x"), "cleanup"), exitFailed, "restore-drill cleanup"},
	} {
		run, _, err := tree().Find([]string{"run"})
		require.NoError(t, err)
		got := next(run, c.err, c.code)
		require.Equal(t, c.want, got)
		require.NoError(t, takes(got))
	}
	require.NoError(t, advise(nil, "cleanup"))
}

// TestWhatNextExplains shows that explain knows the paths that mistakes have.
func TestWhatNextExplains(t *testing.T) {
	for _, path := range []string{"spec.faults[0].name", "spec.faults[1].parameters.pages", `metadata.labels["a b"]`, "spec.backup.velero.labelSelector"} {
		_, err := scenarios.Explain(drills.Vocabulary(), explained(path), false)
		require.NoError(t, err, path)
	}
}
