package drills_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/restore-drill/restore-drill/drills"
	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/internal/toolchain"
	"github.com/restore-drill/restore-drill/reports"
)

// BenchmarkDrill runs the default drill: 500 objects, 20 writes a second. It reports the RTO beside the wall time.
func BenchmarkDrill(b *testing.B) {
	loaded, err := drills.Load("etcd-data-lost")
	if err != nil {
		b.Fatal(err)
	}
	provider := clusters.NewProcess(clusters.ProcessOptions{Toolchain: toolchain.New(toolchain.Options{}), StateRoot: clusters.StateRoot()})
	var rto float64
	for b.Loop() {
		dir, err := os.MkdirTemp(b.TempDir(), "drill-")
		if err != nil {
			b.Fatal(err)
		}
		report, err := drills.Run(b.Context(), drills.Options{
			Scenario: loaded.Scenario, Text: loaded.Text, Path: loaded.Path, Provider: provider, Dir: filepath.Join(dir, "run"), Version: "bench",
		})
		if report == nil || report.Verdict != reports.Passed {
			b.Fatalf("the drill did not pass: %v\n%+v", err, report)
		}
		rto += report.RTO.Seconds
	}
	b.ReportMetric(rto/float64(b.N), "rto-s/op")
}
