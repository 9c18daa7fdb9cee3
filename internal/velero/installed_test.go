package velero_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/internal/toolchain"
	"github.com/restore-drill/restore-drill/internal/velero"
)

// TestInCluster installs Velero into a real API server whose nodes are simulated: what is made there, and which pods are waited for, is real; that they
// do their work is shown by the drills on machines.
func TestInCluster(t *testing.T) {
	p := clusters.NewProcess(clusters.ProcessOptions{Toolchain: toolchain.New(toolchain.Options{}), StateRoot: filepath.Join(t.TempDir(), "state")})
	spec := clusters.Spec{Name: "source", DrillID: "velero", LogDir: filepath.Join(t.TempDir(), "logs"), EtcdMembers: 1, Nodes: 2}
	require.NoError(t, p.Check(t.Context(), spec))
	c, err := p.Create(t.Context(), spec)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Delete(context.WithoutCancel(t.Context()))) })
	require.NoError(t, c.Start(t.Context(), func(string, string, time.Duration) {}))

	install := func(password []byte) *velero.Server {
		s, err := velero.Install(t.Context(), velero.Options{
			Name: "velero-source", InCluster: true, Config: c.Config(), Kubeconfig: c.Kubeconfig(), RepositoryPassword: password,
			Store:   velero.Store{Endpoint: "https://object-store-0:7070", Bucket: "b", Region: "r", CA: []byte("CA"), AccessKey: "access", SecretKey: "secret"},
			Flags:   map[string]string{"client-qps": "50"},
			LogFile: filepath.Join(t.TempDir(), "server-source.log"),
		})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close(context.WithoutCancel(t.Context()))) })
		return s
	}
	s := install([]byte("a password"))
	client := kubernetes.NewForConfigOrDie(c.Config())
	server := func() (replicas int32, args []string) {
		d, err := client.AppsV1().Deployments(velero.Namespace).Get(t.Context(), "velero", metav1.GetOptions{})
		require.NoError(t, err)
		require.Equal(t, "true", d.Labels["velero.io/exclude-from-backup"])
		require.Equal(t, "true", d.Spec.Template.Labels["velero.io/exclude-from-backup"])
		require.Equal(t, velero.ServerImage, d.Spec.Template.Spec.Containers[0].Image)
		require.Equal(t, velero.PluginImage, d.Spec.Template.Spec.InitContainers[0].Image)
		return *d.Spec.Replicas, d.Spec.Template.Spec.Containers[0].Args
	}
	replicas, args := server()
	require.Zero(t, replicas, "it runs from the first backup on")
	require.Contains(t, args, "--uploader-type=kopia")
	require.False(t, s.Component().Running())
	secret, err := client.CoreV1().Secrets(velero.Namespace).Get(t.Context(), "velero-repo-credentials", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, "a password", string(secret.Data["repository-password"]))
	namespace, err := client.CoreV1().Namespaces().Get(t.Context(), velero.Namespace, metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, "privileged", namespace.Labels["pod-security.kubernetes.io/enforce"])
	require.NotContains(t, namespace.Labels, "velero.io/exclude-from-backup", "a backup that excludes a namespace leaves cluster-scoped objects out")

	require.NoError(t, s.Component().Start(t.Context(), map[string]string{"uploader-type": "kopia", "fs-backup-timeout": "1m"}))
	replicas, args = server()
	require.EqualValues(t, 1, replicas)
	require.Equal(t, []string{"server", "--client-qps=50", "--fs-backup-timeout=1m", "--uploader-type=kopia"}, args)
	agents, err := client.AppsV1().DaemonSets(velero.Namespace).Get(t.Context(), "node-agent", metav1.GetOptions{})
	require.NoError(t, err)
	require.EqualValues(t, 2, agents.Status.DesiredNumberScheduled)
	require.True(t, s.Component().Running())
	first := s.Component().Identity()

	require.NoError(t, s.Component().Kill(t.Context()))
	require.NoError(t, s.Component().Start(t.Context(), nil))
	require.NotEqual(t, first, s.Component().Identity())
	require.NoError(t, s.Component().Stop(t.Context()))
	replicas, _ = server()
	require.Zero(t, replicas)
	require.False(t, s.Component().Running())

	// It may be installed where it is already, as in a cluster that was restored with it.
	install([]byte("another"))
	secret, err = client.CoreV1().Secrets(velero.Namespace).Get(t.Context(), "velero-repo-credentials", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, "another", string(secret.Data["repository-password"]))
}
