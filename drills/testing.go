package drills

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/internal/toolchain"
	"github.com/restore-drill/restore-drill/reports"
	"github.com/restore-drill/restore-drill/scenarios"
)

// A TestOption changes the scenario of a test, or where it runs. What it changes of a scenario is changed in its text, so that the evidence holds the
// scenario that was run.
type TestOption func(*test) error

// A test is what is to be run.
type test struct {
	*Loaded
	provider     clusters.Provider
	providerName string
}

// WithObjectives holds the drill to these promises alone: none of the scenario's own are left.
func WithObjectives(o scenarios.Objectives) TestOption { return edit("spec.objectives", o) }

// WithRTO bounds the time from the visible failure to the service restored.
func WithRTO(most time.Duration) TestOption {
	return edit("spec.objectives.rto", scenarios.Duration{Duration: most})
}

// WithRPO bounds the age of the newest write up to which nothing is missing.
func WithRPO(most time.Duration) TestOption {
	return edit("spec.objectives.rpo", scenarios.Duration{Duration: most})
}

// WithLostWrites bounds the number of acknowledged writes that are missing after the restore.
func WithLostWrites(most int) TestOption { return edit("spec.objectives.lostWrites", most) }

// WithObjects sets how many generated objects the drill has to bring back.
func WithObjects(n int) TestOption { return edit("spec.seed.objects", n) }

// WithWorkloads names the embedded manifest sets that are seeded; with no name, none is.
func WithWorkloads(names ...string) TestOption {
	return edit("spec.seed.workloads", append([]string{}, names...))
}

// WithManifests seeds manifests of the caller's own, files or directories, relative to the directory that the test runs in.
func WithManifests(paths ...string) TestOption {
	return func(t *test) error {
		var all []string
		for _, path := range paths {
			absolute, err := filepath.Abs(path)
			if err != nil {
				return err
			}
			all = append(all, absolute)
		}
		return edit("spec.seed.manifests", all)(t)
	}
}

// WithRandomSeed makes other generated objects, and other offsets of what is damaged at random.
func WithRandomSeed(seed int64) TestOption { return edit("spec.seed.randomSeed", seed) }

// WithKubernetesVersion of the cluster that is lost, such as v1.36.3.
func WithKubernetesVersion(version string) TestOption { return edit("spec.cluster.version", version) }

// WithProvider names where the clusters run: process, which is the default, or another of clusters.Providers.
func WithProvider(name string) TestOption {
	return func(t *test) error { t.providerName = name; return nil }
}

// WithClusters runs the drill on clusters of a provider of the caller's own.
func WithClusters(p clusters.Provider) TestOption {
	return func(t *test) error { t.provider = p; return nil }
}

func edit(path string, value any) TestOption {
	return func(t *test) (err error) {
		t.Text, err = scenarios.Edit(t.Text, path, value)
		return err
	}
}

// Test runs a drill as a Go test: an embedded scenario by name, a file by path. Each check is a subtest. A failed and an
// unknown check fail their subtest. Evidence and reports are left in t.ArtifactDir(), and verdict and figures in the test's attributes. Where there are
// no binaries for the process provider, and no Go to build them with, or the scenario requires machines and the provider has none, the test is
// skipped with the reason. Tests that call t.Parallel share the memory of this machine: a drill begins when there is room for it.
func Test(t *testing.T, nameOrPath string, options ...TestOption) *reports.Report {
	t.Helper()
	report := Rehearse(t, nameOrPath, options...)
	for _, c := range report.Checks {
		t.Run(c.Name, func(t *testing.T) { TestCheck(t, c) })
	}
	TestVerdict(t, report)
	return report
}

// TestAsDeclared runs a drill that need not pass: it fails unless the drill comes out exactly as its scenario's expect says.
func TestAsDeclared(t *testing.T, nameOrPath string, options ...TestOption) *reports.Report {
	t.Helper()
	report := Rehearse(t, nameOrPath, options...)
	if !report.Declared.AsDeclared {
		t.Errorf("drill %s came out %s (%s), not as declared:", report.Drill.Scenario, report.Verdict, report.Reason)
		for _, m := range report.Declared.Mismatches {
			t.Errorf("  %s", m)
		}
	}
	return report
}

// TestCheck fails, or is skipped, as a check came out: all but passed and skipped fails.
func TestCheck(t *testing.T, c reports.Check) {
	t.Helper()
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
}

// TestVerdict fails unless the drill passed.
func TestVerdict(t *testing.T, report *reports.Report) {
	t.Helper()
	if report.Verdict != reports.Passed {
		t.Errorf("drill %s: %s: %s", report.Drill.Scenario, report.Verdict, report.Reason)
	}
}

// Rehearse runs a drill for a test that judges its report itself: it fails only where there is no report. It is skipped where Test is.
func Rehearse(t *testing.T, nameOrPath string, options ...TestOption) *reports.Report {
	t.Helper()
	test, err := prepareTest(nameOrPath, options)
	if err != nil {
		t.Fatal(err)
	}
	provider := test.provider
	if provider == nil {
		provider, err = clusters.NewProvider(test.providerName, clusters.Tools{
			Toolchain: toolchain.New(toolchain.Options{Progress: func(line string) { t.Log(line) }}),
			StateRoot: clusters.StateRoot(),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(t.ArtifactDir(), "drill")
	o := Options{
		Scenario: test.Scenario, Text: test.Text, Path: test.Path, Provider: provider, Dir: dir, Version: "go test",
		Progress: func(e evidence.Event) {
			if e.Kind == evidence.PhaseStarted || e.Kind == evidence.MarkReached {
				t.Logf("%8.3fs %s %s", e.At.Seconds(), e.Name, e.Detail)
			}
		},
	}
	if err := Check(t.Context(), provider, test.Loaded); err != nil {
		if errors.Is(err, toolchain.ErrNoGo) || errors.Is(err, ErrLacking) {
			t.Skipf("provider %s cannot run here: %v", provider.Name(), err)
		}
		t.Fatal(err)
	}
	// Tests may be parallel: their drills share this machine's memory.
	release, err := machine().take(t.Context(), weight(test.Scenario))
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
	for _, a := range attributes(report) {
		t.Attr("restore-drill."+a.key, a.value)
	}
	t.Logf("evidence and reports: %s", dir)
	return report
}

func prepareTest(nameOrPath string, options []TestOption) (*test, error) {
	loaded, err := Read(nameOrPath)
	if err != nil {
		return nil, err
	}
	t := &test{Loaded: loaded, providerName: clusters.DefaultProvider}
	for _, option := range options {
		if err := option(t); err != nil {
			return nil, fmt.Errorf("scenario %s: %w", nameOrPath, err)
		}
	}
	return t, t.parse()
}

type attribute struct{ key, value string }

// attributes of a drill, for programs that read a test's output: times in seconds. What was not measured has none.
func attributes(r *reports.Report) []attribute {
	all := []attribute{
		{"scenario", r.Drill.Scenario}, {"provider", r.Drill.Provider}, {"method", r.Drill.Method}, {"verdict", r.Verdict.String()},
		{"as-declared", strconv.FormatBool(r.Declared.AsDeclared)},
	}
	seconds := func(key string, s float64) {
		all = append(all, attribute{key, strconv.FormatFloat(s, 'f', 3, 64)})
	}
	if r.RTO != nil {
		seconds("rto-seconds", r.RTO.Seconds)
	}
	if r.Ledger != nil {
		if r.Ledger.RPO != nil {
			seconds("rpo-seconds", *r.Ledger.RPO)
		}
		all = append(all, attribute{"lost-writes", strconv.Itoa(r.Ledger.Total.Lost)})
	}
	return all
}
