package staleclient_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/restore-drill/restore-drill/drills/backups"
	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/internal/ledger"
	"github.com/restore-drill/restore-drill/internal/staleclient"
	"github.com/restore-drill/restore-drill/internal/toolchain"
)

// The reason for revision bumps, for real: the same snapshot restored with one and without, under a client that lived through the failure.
func TestRestoreUnderALiveInformer(t *testing.T) {
	provider := clusters.NewProcess(clusters.ProcessOptions{
		Toolchain: toolchain.New(toolchain.Options{Progress: func(line string) { t.Log(line) }}),
		StateRoot: t.TempDir(),
	})
	create := func(name string) clusters.Cluster {
		c, err := provider.Create(t.Context(), clusters.Spec{Name: name, DrillID: "stale", LogDir: filepath.Join(t.TempDir(), name), EtcdMembers: 1})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, c.Delete(context.WithoutCancel(t.Context()))) })
		return c
	}
	source := create("source")
	require.NoError(t, source.Start(t.Context(), nil))
	client := kubernetes.NewForConfigOrDie(source.Config())
	_, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ledger.Namespace}}, metav1.CreateOptions{})
	require.NoError(t, err)
	write := func(name string) {
		_, err := client.CoreV1().ConfigMaps(ledger.Namespace).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	write("kept")
	write("deleted-later")
	labels := map[string]string{"app": "web"}
	_, err = client.AppsV1().Deployments("default").Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "web"}}},
			},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)

	open := func() *staleclient.Client {
		c, err := staleclient.Open(t.Context(), source.Config())
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, c.Close()) })
		return c
	}
	under := map[bool]*staleclient.Client{true: open(), false: open()}
	healthy := open().Observe(t.Context(), source.Config())
	require.Empty(t, healthy.Error)
	require.True(t, healthy.Converged)

	artifact, err := backups.NewEtcd().Backup(t.Context(), source, filepath.Join(t.TempDir(), "artifact"))
	require.NoError(t, err)
	// What the clients see from here on is lost.
	require.NoError(t, client.CoreV1().ConfigMaps(ledger.Namespace).Delete(t.Context(), "deleted-later", metav1.DeleteOptions{}))
	for i := range 100 {
		write(fmt.Sprintf("lost-%d", i))
	}
	require.NoError(t, source.Delete(t.Context()))
	for _, c := range under {
		c.Struck()
	}

	restoreUnder := func(bump bool) evidence.Informer {
		target := create(fmt.Sprintf("bump-%t", bump))
		_, err := backups.NewEtcd().Restore(t.Context(), artifact, target, backups.RestoreOptions{
			Procedure: backups.Procedure{KeepRevision: !bump},
			Reached: func(mark, _ string, _ time.Duration) {
				if mark == evidence.MarkAPIServing {
					require.NoError(t, under[bump].Redirect(target.Config().Host))
				}
			},
		})
		require.NoError(t, err)
		defer target.Delete(context.WithoutCancel(t.Context()))
		seen := under[bump].Observe(t.Context(), target.Config())
		if bump {
			// A client that cannot get to the server tells nothing of what the restore did to it.
			under[bump].Struck()
			require.Contains(t, under[bump].Observe(t.Context(), target.Config()).Error, "its front door is shut")
		}
		return seen
	}

	t.Run("with a bump it converges", func(t *testing.T) {
		seen := restoreUnder(true)
		require.Empty(t, seen.Error)
		require.True(t, seen.Converged, "%+v", seen)
		require.True(t, seen.CanarySeen)
		require.Equal(t, seen.Listed, seen.Held)
		require.NotZero(t, seen.OpenedAt)
		require.Equal(t, []string{"configmaps in " + ledger.Namespace, "deployments"}, seen.Resources)
		t.Logf("%+v", seen)
	})
	t.Run("without one it does not", func(t *testing.T) {
		seen := restoreUnder(false)
		require.Empty(t, seen.Error)
		require.False(t, seen.Converged, "%+v", seen)
		require.Contains(t, seen.Phantom, "configmaps/"+ledger.Namespace+"/lost-0")
		require.Contains(t, seen.Missing, "configmaps/"+ledger.Namespace+"/deleted-later")
		require.GreaterOrEqual(t, seen.Waited, staleclient.Deadline)
		t.Logf("%+v", seen)
	})
}

func TestOpenOfNobody(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("interrupted"))
	_, err := staleclient.Open(ctx, &rest.Config{Host: "https://127.0.0.1:1"})
	require.EqualError(t, err, "open a client before the failure: list configmaps in "+ledger.Namespace+": interrupted")
	_, err = staleclient.Open(t.Context(), &rest.Config{Host: "http://127.0.0.1:1"})
	require.ErrorContains(t, err, `"http://127.0.0.1:1" is no https address`)
	require.False(t, strings.Contains(err.Error(), "\n"))
}
