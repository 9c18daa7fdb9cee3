// Package example is a suite of sigs.k8s.io/e2e-framework that runs on a cluster of restore-drill, and rehearses a restore beside its other features.
package example

import (
	"context"
	"log"
	"os"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/e2e-framework/pkg/env"
	"sigs.k8s.io/e2e-framework/pkg/envconf"
	"sigs.k8s.io/e2e-framework/pkg/envfuncs"
	"sigs.k8s.io/e2e-framework/pkg/features"
	"sigs.k8s.io/e2e-framework/pkg/stepfuncs"
	"sigs.k8s.io/e2e-framework/pkg/types"
	"sigs.k8s.io/e2e-framework/support"

	"github.com/restore-drill/restore-drill/drills"
	"github.com/restore-drill/restore-drill/drills/e2e"
)

var (
	suite   env.Environment
	cluster = envconf.RandomName("shop", 12)
)

func TestMain(m *testing.M) {
	config, err := envconf.NewFromFlags()
	if err != nil {
		log.Fatal(err)
	}
	suite = env.NewWithConfig(config)
	namespace := envconf.RandomName("orders", 12)
	suite.Setup(
		envfuncs.CreateClusterWithOpts(e2e.NewProvider("process"), cluster, e2e.WithNodes(2)),
		envfuncs.CreateNamespace(namespace),
	)
	suite.Finish(
		envfuncs.DeleteNamespace(namespace),
		envfuncs.DestroyCluster(cluster),
	)
	os.Exit(suite.Run(m))
}

// TestOrders is a feature of the suite's own, on the suite's cluster.
func TestOrders(t *testing.T) {
	suite.Test(t, features.New("orders").
		Assess("settings are kept", func(ctx context.Context, t *testing.T, config *envconf.Config) context.Context {
			settings := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "settings", Namespace: config.Namespace()}, Data: map[string]string{"currency": "EUR"}}
			if err := config.Client().Resources().Create(ctx, settings); err != nil {
				t.Fatal(err)
			}
			var kept corev1.ConfigMap
			if err := config.Client().Resources().Get(ctx, "settings", config.Namespace(), &kept); err != nil {
				t.Fatal(err)
			}
			if kept.Data["currency"] != "EUR" {
				t.Errorf("settings hold %v", kept.Data)
			}
			return ctx
		}).Feature())
}

// TestNodes adds a node to the suite's cluster, and takes it away again.
func TestNodes(t *testing.T) {
	node := &support.Node{Name: "node-more", Cluster: cluster}
	lists := func(want bool) types.StepFunc {
		return func(ctx context.Context, t *testing.T, config *envconf.Config) context.Context {
			provider, _ := envfuncs.GetClusterFromContext(ctx, cluster)
			if err := provider.WaitForControlPlane(ctx, config.Client()); err != nil {
				t.Fatal(err)
			}
			nodes, err := provider.(support.E2EClusterProviderWithLifeCycle).ListNode(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if found := slices.ContainsFunc(nodes, func(n support.Node) bool { return n.Name == node.Name && n.State == "Ready" }); found != want {
				t.Errorf("nodes are %v", nodes)
			}
			return ctx
		}
	}
	suite.Test(t, features.New("nodes").
		Assess("is added", stepfuncs.PerformNodeOperation(support.AddNode, node)).
		Assess("is ready", lists(true)).
		Assess("is removed", stepfuncs.PerformNodeOperation(support.RemoveNode, node)).
		Assess("is gone", lists(false)).Feature())
}

// TestBackup is a drill: its clusters are its own, and the suite's is left alone.
func TestBackup(t *testing.T) {
	suite.Test(t, e2e.Feature("etcd-data-lost", drills.WithObjects(50), drills.WithRTO(2*time.Minute)))
}

// TestRunbook uses a drill as a step of a longer feature.
func TestRunbook(t *testing.T) {
	suite.Test(t, features.New("runbook").
		WithLabel(e2e.Label, "namespace").
		Assess("the control plane comes back", e2e.Step("control-plane-lost", drills.WithObjects(50))).
		Assess("and few writes are lost", func(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
			if lost := e2e.Report(ctx).Ledger.Total.Lost; lost > 1000 {
				t.Errorf("%d acknowledged writes are lost", lost)
			}
			return ctx
		}).Feature())
}
