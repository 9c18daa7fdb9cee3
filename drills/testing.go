package drills

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/internal/toolchain"
	"github.com/restore-drill/restore-drill/reports"
)

// Test runs a drill as a Go test: an embedded scenario by name, a file by path. Each check is a subtest. A failed and an
// unknown check fail their subtest. Evidence and reports are left in t.ArtifactDir(). Where there are no binaries for the process
// provider, and no Go to build them with, or the scenario requires machines, the test is skipped with the reason. Tests that call t.Parallel share the memory of this machine: a drill
// begins when there is room for it.
func Test(t *testing.T, nameOrPath string) *reports.Report {
	t.Helper()
	report := run(t, nameOrPath)
	for _, c := range report.Checks {
		t.Run(c.Name, func(t *testing.T) {
			switch c.Verdict {
			case reports.Passed:
			case reports.Skipped:
				t.Skip(c.Reason)
			default:
				t.Errorf("%s: %s", c.Verdict, c.Reason)
				for _, f := range c.Findings {
					t.Logf("%s: %s %s", f.Verdict, f.Subject, f.Message)
				}
			}
		})
	}
	if report.Verdict != reports.Passed {
		t.Errorf("drill %s: %s: %s", report.Drill.Scenario, report.Verdict, report.Reason)
	}
	return report
}

// TestAsDeclared runs a drill that need not pass: it fails unless the drill comes out exactly as its scenario's expect says.
func TestAsDeclared(t *testing.T, nameOrPath string) *reports.Report {
	t.Helper()
	report := run(t, nameOrPath)
	if !report.Declared.AsDeclared {
		t.Errorf("drill %s came out %s (%s), not as declared:", report.Drill.Scenario, report.Verdict, report.Reason)
		for _, m := range report.Declared.Mismatches {
			t.Errorf("  %s", m)
		}
	}
	return report
}

func run(t *testing.T, nameOrPath string) *reports.Report {
	t.Helper()
	loaded, err := Load(nameOrPath)
	if err != nil {
		t.Fatal(err)
	}
	provider, err := clusters.NewProvider(clusters.DefaultProvider, clusters.Tools{
		Toolchain: toolchain.New(toolchain.Options{Progress: func(line string) { t.Log(line) }}),
		StateRoot: clusters.StateRoot(),
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.ArtifactDir(), "drill")
	o := Options{
		Scenario: loaded.Scenario, Text: loaded.Text, Path: loaded.Path, Provider: provider, Dir: dir, Version: "go test",
		Progress: func(e evidence.Event) {
			if e.Kind == evidence.PhaseStarted || e.Kind == evidence.MarkReached {
				t.Logf("%8.3fs %s %s", e.At.Seconds(), e.Name, e.Detail)
			}
		},
	}
	if err := Check(t.Context(), provider, loaded); err != nil {
		if errors.Is(err, toolchain.ErrNoGo) || errors.Is(err, ErrLacking) {
			t.Skipf("provider %s cannot run here: %v", provider.Name(), err)
		}
		t.Fatal(err)
	}
	// Tests may be parallel: their drills share this machine's memory.
	release, err := machine().take(t.Context(), weight(loaded.Scenario))
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	// The test's own context ends before its cleanups run; a drill tears itself down.
	report, err := Run(context.WithoutCancel(t.Context()), o)
	if report == nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Log(fmt.Errorf("the drill did not come to its end: %w", err))
	}
	if _, err := reports.WriteAll(dir, report); err != nil {
		t.Fatal(err)
	}
	t.Attr("restore-drill.verdict", report.Verdict.String())
	t.Logf("evidence and reports: %s", dir)
	return report
}
