//go:build linux

package backups_test

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/restore-drill/restore-drill/drills/backups"
	"github.com/restore-drill/restore-drill/drills/clusters"
)

func TestBackupOnAFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting a small disk needs root")
	}
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("mount a small disk: %v", err)
	}
	defer func() { require.NoError(t, syscall.Unmount(disk, 0)) }()

	source, err := provider(t).Create(t.Context(), clusters.Spec{Name: "source", DrillID: "full", LogDir: t.TempDir(), EtcdMembers: 1})
	require.NoError(t, err)
	defer func() { require.NoError(t, source.Delete(context.WithoutCancel(t.Context()))) }()
	require.NoError(t, source.Start(t.Context(), nil))
	// More than the disk holds.
	for range 2 {
		_, err = kubernetes.NewForConfigOrDie(source.Config()).CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "large-"}, BinaryData: map[string][]byte{"x": make([]byte, 500_000)},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
	}

	dir := filepath.Join(disk, "artifact")
	_, err = backups.NewEtcd().Backup(t.Context(), source, dir)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.ErrorContains(t, err, "back up cluster source: write snapshot after ")
	require.ErrorContains(t, err, "no space left on device")
	require.NoDirExists(t, dir)
	_, err = backups.LoadArtifact(dir)
	require.ErrorIs(t, err, os.ErrNotExist)
}
