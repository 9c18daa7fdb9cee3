package clusters

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/internal/toolchain"
)

// BenchmarkClusterReady takes a cluster of one member and one of three from nothing to ready, and away again.
func BenchmarkClusterReady(b *testing.B) {
	for _, members := range []int{1, 3} {
		b.Run(fmt.Sprintf("members=%d", members), func(b *testing.B) {
			p := NewProcess(ProcessOptions{StateRoot: b.TempDir()})
			require.NoError(b, p.Check(b.Context(), Spec{EtcdMembers: members}))
			var marks map[string]time.Duration
			sum := map[string]time.Duration{}
			for b.Loop() {
				marks = readyOnce(b, p, members)
				for name, d := range marks {
					sum[name] += d
				}
			}
			for name, d := range sum {
				b.ReportMetric(float64(d.Milliseconds())/float64(b.N), name+"-ms/op")
			}
		})
	}
}

// readyOnce returns when each mark was reached, since before the cluster was created.
func readyOnce(b *testing.B, p Provider, members int) map[string]time.Duration {
	spec := testSpec("bench", b.TempDir())
	spec.EtcdMembers, spec.Nodes = members, 3
	began := time.Now()
	at := map[string]time.Duration{}
	c, err := p.Create(b.Context(), spec)
	require.NoError(b, err)
	at["created"] = time.Since(began)
	defer func() {
		ended := time.Now()
		require.NoError(b, c.Delete(context.Background()))
		at["deleting"] = time.Since(ended)
	}()
	require.NoError(b, c.Start(b.Context(), func(mark, _ string, _ time.Duration) {
		at[map[string]string{"store serving": "store", "api serving": "api", "api ready": "ready"}[mark]] = time.Since(began)
	}))
	at["started"] = time.Since(began)
	return at
}

// BenchmarkAgainstKwokctl takes turns with `kwokctl create cluster --runtime binary --wait`, of the same binaries, in one run. It needs kwokctl on
// PATH or at RESTORE_DRILL_KWOKCTL: go build sigs.k8s.io/kwok/cmd/kwokctl, in the module that pins kwok, makes one.
func BenchmarkAgainstKwokctl(b *testing.B) {
	kwokctl := os.Getenv("RESTORE_DRILL_KWOKCTL")
	if kwokctl == "" {
		var err error
		if kwokctl, err = exec.LookPath("kwokctl"); err != nil {
			b.Skipf("%v: set RESTORE_DRILL_KWOKCTL to a kwokctl", err)
		}
	}
	p := NewProcess(ProcessOptions{StateRoot: b.TempDir()})
	args := []string{"create", "cluster", "--name=bench", "--runtime=binary", "--wait=1m", "--kubeconfig=" + filepath.Join(b.TempDir(), "kubeconfig")}
	found, err := toolchain.New(toolchain.Options{}).FindAll(b.Context(), "", binaries...)
	require.NoError(b, err)
	flag := map[string]string{etcdName: "etcd", apiServerName: "kube-apiserver", controllerManagerName: "kube-controller-manager", schedulerName: "kube-scheduler", kwokName: "kwok-controller"}
	for _, f := range found {
		args = append(args, "--"+flag[f.Component]+"-binary="+f.Path)
	}
	env := append(os.Environ(), "KWOK_WORKDIR="+b.TempDir())
	run := func(args ...string) {
		cmd := exec.Command(kwokctl, args...)
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		require.NoError(b, err, "%s %v\n%s", kwokctl, args, out)
	}
	var ours, theirs time.Duration
	for b.Loop() {
		ours += readyOnce(b, p, 1)["started"]
		began := time.Now()
		run(args...)
		theirs += time.Since(began)
		run("delete", "cluster", "--name=bench")
	}
	b.ReportMetric(ours.Seconds()/float64(b.N), "ours-s/op")
	b.ReportMetric(theirs.Seconds()/float64(b.N), "kwokctl-s/op")
	b.ReportMetric(ours.Seconds()/theirs.Seconds(), "ours/kwokctl")
}
