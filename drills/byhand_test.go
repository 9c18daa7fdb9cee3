package drills_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/drills"
	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/fixtures"
	"github.com/restore-drill/restore-drill/internal/engine"
	"github.com/restore-drill/restore-drill/internal/engine/enginetest"
	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/internal/images"
	"github.com/restore-drill/restore-drill/internal/objectstore"
	"github.com/restore-drill/restore-drill/internal/toolchain"
	"github.com/restore-drill/restore-drill/internal/velero"
	"github.com/restore-drill/restore-drill/reports"
)

// These benchmarks take turns: a drill on clusters of kind, and a shell script that restores the same by hand, with the programs that people have for it.
// Compared are the parts that both do: the making of the cluster and of what backs it up, the backup, and the restore from its first step until every
// workload is ready and the service answers. The drill's parts are in its timeline, with what it does in them beside: it checks the machine, its ledger
// writes, it verifies the artifact, it watches for what is ready. What nobody does by hand, the censuses and the survey, is in whole-drill-s/op alone.
func BenchmarkByHandEtcdOnKind(b *testing.B)   { byHand(b, "etcd") }
func BenchmarkByHandVeleroOnKind(b *testing.B) { byHand(b, "velero") }

// parts that a drill and a script have in common, and their sum.
var parts = []string{"provision", "backup", "restore", "all"}

func byHand(b *testing.B, method string) {
	enginetest.Answering(b)
	loaded, err := drills.Load("testdata/byhand/" + method + ".yaml")
	require.NoError(b, err)
	tools := toolchain.New(toolchain.Options{})
	veleroCLI, err := tools.Find(b.Context(), "velero", "")
	require.NoError(b, err)
	kind := filepath.Join(b.TempDir(), "kind")
	out, err := exec.Command("go", "build", "-o", kind, "sigs.k8s.io/kind").CombinedOutput()
	require.NoError(b, err, "%s", out)
	provider, err := clusters.NewProvider("kind", clusters.Tools{Toolchain: tools, StateRoot: clusters.StateRoot()})
	require.NoError(b, err)

	drill, hand := map[string]time.Duration{}, map[string]time.Duration{}
	var whole time.Duration
	for b.Loop() {
		dir := filepath.Join(b.TempDir(), "run")
		began := time.Now()
		report, err := drills.Run(b.Context(), drills.Options{
			Scenario: loaded.Scenario, Text: loaded.Text, Path: loaded.Path, Provider: provider, Dir: dir, Version: "bench",
		})
		require.NoError(b, err)
		require.Equal(b, reports.Passed, report.Verdict, report.Reason)
		whole += time.Since(began)
		timeline, err := evidence.ReadTimeline(dir)
		require.NoError(b, err)
		add(drill, partsOfDrill(b, timeline))
		add(hand, runScript(b, method, kind, veleroCLI.Path))
	}
	for _, part := range parts {
		b.ReportMetric(drill[part].Seconds()/float64(b.N), "drill-"+part+"-s/op")
		b.ReportMetric(hand[part].Seconds()/float64(b.N), "by-hand-"+part+"-s/op")
		b.ReportMetric(drill[part].Seconds()/hand[part].Seconds(), part+"-drill/by-hand")
	}
	b.ReportMetric(whole.Seconds()/float64(b.N), "whole-drill-s/op")
}

func add(sums, took map[string]time.Duration) {
	for part, d := range took {
		sums[part] += d
		sums["all"] += d
	}
}

func partsOfDrill(b *testing.B, timeline []evidence.Event) map[string]time.Duration {
	at := func(kind, name string) time.Duration {
		for _, e := range timeline {
			if e.Kind == kind && e.Name == name {
				return e.At
			}
		}
		b.Fatalf("the timeline has no %s %s", kind, name)
		return 0
	}
	return map[string]time.Duration{
		"provision": at(evidence.PhaseEnded, evidence.PhaseProvision) - at(evidence.PhaseStarted, evidence.PhaseProvision),
		"backup":    at(evidence.StepEnded, "back up") - at(evidence.StepStarted, "back up"),
		"restore":   at(evidence.MarkReached, evidence.MarkServiceBack) - at(evidence.MarkReached, evidence.MarkRestoreStarted),
	}
}

// runScript returns how long each of its parts took, which is all that it writes to standard output.
func runScript(b *testing.B, method, kind, veleroCLI string) map[string]time.Duration {
	e, err := engine.Find()
	require.NoError(b, err)
	workload, err := filepath.Abs("../fixtures/volumes.yaml")
	require.NoError(b, err)
	cmd := exec.Command("testdata/byhand/" + method + ".sh")
	cmd.Env = append(os.Environ(),
		fmt.Sprintf("NAME=by-hand-%d", os.Getpid()), "WORK="+b.TempDir(), "ENGINE="+e.Path(), "KIND="+kind, "VELERO="+veleroCLI, "WORKLOAD="+workload,
		"NODE_IMAGE="+images.NodeRef(toolchain.DefaultKubernetes), "IMAGE="+fixtures.Image,
		"VELERO_IMAGE="+velero.ServerImage, "PLUGIN_IMAGE="+velero.PluginImage, "STORE_IMAGE="+objectstore.Image)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	require.NoError(b, err, "%s", said.String())
	took := map[string]time.Duration{}
	for line := range bytes.Lines(out) {
		var (
			part         string
			microseconds int64
		)
		_, err := fmt.Sscan(string(line), &part, &microseconds)
		require.NoError(b, err, "%s", line)
		took[part] = time.Duration(microseconds) * time.Microsecond
	}
	require.Len(b, took, len(parts)-1)
	return took
}
