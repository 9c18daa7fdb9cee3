package checks_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/drills/checks"
	"github.com/restore-drill/restore-drill/reports"
)

// TestControlsRestOnChecks that there are: a statement about a control must not hang on a name that no check has.
func TestControlsRestOnChecks(t *testing.T) {
	known := map[string]bool{}
	for _, c := range checks.All() {
		known[c.Name] = true
	}
	for _, control := range reports.MapControls(&reports.Report{}, reports.ControlNames()) {
		for _, s := range control.NotSupported {
			for _, name := range s.Checks {
				require.True(t, known[name], "%s: there is no check %s", s.ID, name)
			}
		}
	}
}

// TestControls judges a drill whose scenario names one.
func TestControls(t *testing.T) {
	dir, _ := unpack(t, "")
	require.Empty(t, judge(t, dir).Controls)
	file := filepath.Join(dir, "scenario.yaml")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, append(text, "  controls: [nist800-53:CP-9]\n"...), 0o600))
	r := judge(t, dir)
	require.Equal(t, reports.Passed, r.Verdict)
	require.Len(t, r.Controls, 1)
	require.NotEmpty(t, r.Controls[0].Supports)
	require.NoError(t, os.Remove(filepath.Join(dir, "ledger.jsonl")))
	r = judge(t, dir)
	require.Equal(t, reports.Unknown, r.Verdict)
	require.Empty(t, r.Controls[0].Supports)
}
