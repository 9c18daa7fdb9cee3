package e2e

import (
	"context"
	"slices"
	"testing"

	"sigs.k8s.io/e2e-framework/pkg/envconf"
	"sigs.k8s.io/e2e-framework/pkg/features"
	"sigs.k8s.io/e2e-framework/pkg/types"

	"github.com/restore-drill/restore-drill/drills"
	"github.com/restore-drill/restore-drill/reports"
)

// Label of the features of this package, so that a suite can be run with drills alone, or without them. Its value is what Feature was called with.
const Label = "restore-drill"

type reportKey struct{}

// Report of the last drill of a feature, for its later steps; nil when there was none.
func Report(ctx context.Context) *reports.Report {
	report, _ := ctx.Value(reportKey{}).(*reports.Report)
	return report
}

// Feature is a drill as a feature of a suite: an embedded scenario by name, a file by path. Its setup runs the drill; each check is an assessment, and
// so is the verdict. Options are those of drills.Test.
func Feature(nameOrPath string, options ...drills.TestOption) types.Feature {
	f := features.NewWithDescription("drill "+nameOrPath, "back a cluster up, break it, restore it, and measure what comes back").
		WithLabel(Label, nameOrPath).
		WithSetup("rehearse", func(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
			return rehearse(ctx, t, nameOrPath, options)
		})
	for _, name := range drills.Vocabulary().Checks {
		f.Assess(name, func(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
			assess(t, Report(ctx), name)
			return ctx
		})
	}
	return f.Assess("verdict", func(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
		drills.TestVerdict(t, Report(ctx))
		return ctx
	}).Feature()
}

// Step is a drill as one step of a feature of your own. It fails the test unless the drill passes, and leaves its report to later steps: see Report.
func Step(nameOrPath string, options ...drills.TestOption) types.StepFunc {
	return func(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
		t.Helper()
		return context.WithValue(ctx, reportKey{}, drills.Test(t, nameOrPath, options...))
	}
}

func rehearse(ctx context.Context, t *testing.T, nameOrPath string, options []drills.TestOption) context.Context {
	t.Helper()
	return context.WithValue(ctx, reportKey{}, drills.Rehearse(t, nameOrPath, options...))
}

// assess one check of a report. One that is not in it was not judged, and has not passed.
func assess(t *testing.T, report *reports.Report, name string) {
	t.Helper()
	i := slices.IndexFunc(report.Checks, func(c reports.Check) bool { return c.Name == name })
	if i < 0 {
		t.Errorf("unknown: the report has no check %s", name)
		return
	}
	drills.TestCheck(t, report.Checks[i])
}
