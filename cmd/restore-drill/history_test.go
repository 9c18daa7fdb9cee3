package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/reports"
)

// TestHistoryExitCodes tells a history that cannot be appended to from a mistake, and from a history that does not hold.
func TestHistoryExitCodes(t *testing.T) {
	dir := t.TempDir()
	_, err := reports.WriteAll(dir, &reports.Report{Verdict: reports.Failed, Drill: reports.Drill{ID: "1", Scenario: "shop"}})
	require.NoError(t, err)
	where, file := filepath.Join(dir, "history"), filepath.Join(dir, "report.json")
	code := func(args ...string) int {
		var stdout, stderr bytes.Buffer
		return run(append([]string{"restore-drill", "history"}, args...), &stdout, &stderr)
	}
	require.Equal(t, exitPassed, code("append", dir, "--history", where), "whatever the verdict")
	require.Equal(t, exitReporting, code("append", dir, "--history", file), "a file is no history")
	require.Equal(t, exitUsage, code("append", filepath.Join(dir, "nowhere"), "--history", where))
	require.Equal(t, exitUsage, code("overdue", "--history", where), "nothing declares a cadence")
	require.Equal(t, exitPassed, code("verify", "--history", where))
	require.NoError(t, os.Truncate(filepath.Join(where, "00000001.json"), 7))
	require.Equal(t, exitFailed, code("verify", "--history", where))
	require.Equal(t, exitFailed, code("list", "--history", where))
	require.NoError(t, os.Truncate(file, 7))
	require.Equal(t, exitUsage, code("append", dir, "--history", where))
}
