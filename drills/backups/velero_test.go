package backups_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shirou/gopsutil/v4/process"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/restore-drill/restore-drill/drills/backups"
	"github.com/restore-drill/restore-drill/drills/backups/backuptest"
	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/internal/place"
	"github.com/restore-drill/restore-drill/internal/toolchain"
	"github.com/restore-drill/restore-drill/scenarios"
)

// newVelero makes the method beside a provider, with a run directory of its own.
func newVelero(t *testing.T, p clusters.Provider, layer backups.Layer, during func(context.Context, string) error) (*backups.Velero, string) {
	t.Helper()
	run := t.TempDir()
	layer.Backup.Method = "velero"
	m, err := backups.New(layer, backups.Env{
		DrillID: "velero", StateRoot: p.Tools().StateRoot, RunDir: run, Toolchain: p.Tools().Toolchain, During: during,
	})
	require.NoError(t, err)
	return m.(*backups.Velero), run
}

func TestVelero(t *testing.T) {
	p := provider(t)
	m, _ := newVelero(t, p, backups.Layer{}, nil)
	backuptest.Run(t, m, p, clusters.Spec{EtcdMembers: 1})
}

// A veleroFixture is a source cluster with Velero beside it, and a namespace with one Secret.
type veleroFixture struct {
	*backups.Velero
	provider clusters.Provider
	source   clusters.Cluster
	run      string
}

const planted = "correct horse battery staple"

func startVelero(t *testing.T, layer backups.Layer, during func(context.Context, string) error) *veleroFixture {
	t.Helper()
	f := &veleroFixture{provider: provider(t)}
	f.Velero, f.run = newVelero(t, f.provider, layer, during)
	f.source = f.cluster(t, "source")
	require.NoError(t, f.source.Start(t.Context(), nil))
	t.Cleanup(func() { require.NoError(t, f.Close(context.WithoutCancel(t.Context()))) })
	require.NoError(t, f.Prepare(t.Context(), f.source))
	client := kubernetes.NewForConfigOrDie(f.source.Config()).CoreV1()
	_, err := client.Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = client.Secrets("shop").Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "database"}, StringData: map[string]string{"password": planted},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	return f
}

func (f *veleroFixture) cluster(t *testing.T, name string) clusters.Cluster {
	t.Helper()
	c, err := f.provider.Create(t.Context(), clusters.Spec{Name: name, DrillID: "velero", LogDir: filepath.Join(f.run, "logs", name), EtcdMembers: 1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Delete(context.WithoutCancel(t.Context()))) })
	return c
}

func (f *veleroFixture) result(t *testing.T, operation string, n int) (r evidence.ToolResult) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(f.run, evidence.ToolFile("velero", operation, n)))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &r))
	return r
}

// childrenArguments are the words of the command lines of all child processes.
func childrenArguments(t *testing.T) (words []string) {
	self, err := process.NewProcess(int32(os.Getpid()))
	require.NoError(t, err)
	children, err := self.Children()
	require.NoError(t, err)
	for _, p := range children {
		if argv, err := p.CmdlineSlice(); err == nil {
			words = append(words, argv...)
		}
	}
	return words
}

// TestVeleroInPlace restores a namespace that was deleted into the cluster that has survived, from a backup that Velero's Schedule took, and then
// says what it says of damage and of loss in the bucket.
func TestVeleroInPlace(t *testing.T) {
	during := map[string]int{}
	f := startVelero(t, backups.Layer{
		Backup: scenarios.Backup{Velero: &scenarios.VeleroBackup{Schedule: "0 3 * * *", IncludedNamespaces: []string{"shop"}}},
		Velero: &scenarios.VeleroRestore{
			NamespaceMapping: map[string]string{"shop": "shop-copy"},
			ResourceModifiers: []scenarios.VeleroModifier{{
				Conditions:   scenarios.VeleroConditions{GroupResource: "secrets"},
				MergePatches: []scenarios.VeleroMergePatch{{PatchData: `{"metadata":{"annotations":{"example.com/seen":"yes"}}}`}},
			}},
			Server: &scenarios.VeleroServer{ClientQPS: new(200.0)},
		},
	}, func(_ context.Context, operation string) error {
		during[operation]++
		return nil
	})
	a, err := f.Backup(t.Context(), f.source, filepath.Join(f.run, "nightly"))
	require.NoError(t, err)
	require.Equal(t, evidence.Completed, a.Claim)
	require.True(t, strings.HasPrefix(a.Facts["backup"], "nightly-"), "the Schedule names its backups: %s", a.Facts["backup"])
	require.LessOrEqual(t, a.Window.From, a.Window.To)
	require.Positive(t, a.Window.From)
	taken := f.result(t, "backup", 0)
	require.Equal(t, "Completed", taken.Phase)
	require.Contains(t, taken.Objects, evidence.ToolObject{Resource: "v1/Secret", Namespace: "shop", Name: "database", Action: "backed up"})

	backedUp := f.Server("source").Component().Identity()
	said, err := f.Restore(t.Context(), a, f.source, backups.RestoreOptions{Running: true})
	require.NoError(t, err)
	require.Equal(t, evidence.Completed, said)
	require.NotEqual(t, backedUp, f.Server("source").Component().Identity(), "the server is started anew with its flags")
	require.Contains(t, childrenArguments(t), "--client-qps=200")
	client := kubernetes.NewForConfigOrDie(f.source.Config()).CoreV1()
	back, err := client.Secrets("shop-copy").Get(t.Context(), "database", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, planted, string(back.Data["password"]))
	require.Equal(t, "yes", back.Annotations["example.com/seen"])
	restored := f.result(t, "restore", 0)
	require.Equal(t, restored.Items, restored.Handled)
	require.False(t, restored.Started.After(restored.Completed))
	require.Equal(t, map[string]int{"backup": 1, "restore": 1}, during)

	t.Run("a damaged tarball is for Velero to judge", func(t *testing.T) {
		tarball := f.Store().Path("backups/" + a.Facts["backup"] + "/" + a.Facts["backup"] + ".tar.gz")
		content, err := os.ReadFile(tarball)
		require.NoError(t, err)
		require.NoError(t, os.Truncate(tarball, int64(len(content)/2)))
		var steps []error
		said, err := f.Restore(t.Context(), a, f.source, backups.RestoreOptions{Running: true, Step: func(string, string) func(error) {
			return func(err error) { steps = append(steps, err) }
		}, Reached: func(mark, _ string, _ time.Duration) { require.NotEqual(t, evidence.MarkArtifactOK, mark) }})
		require.NoError(t, err)
		require.Equal(t, evidence.PartiallyFailed, said)
		require.ErrorIs(t, steps[0], backups.ErrDamaged)
		require.ErrorContains(t, steps[0], filepath.Base(tarball))
		r := f.result(t, "restore", 1)
		require.Equal(t, "PartiallyFailed", r.Phase)
		require.Equal(t, []evidence.ToolMessage{{Scope: "velero", Message: "unexpected EOF"}}, r.Errors)
	})
	t.Run("a bucket without the backup", func(t *testing.T) {
		require.NoError(t, os.RemoveAll(filepath.Dir(f.Store().Path("backups/"+a.Facts["backup"]+"/velero-backup.json"))))
		target := f.cluster(t, "missing")
		_, err := f.Restore(t.Context(), a, target, backups.RestoreOptions{})
		var claim *backups.ClaimError
		require.ErrorAs(t, err, &claim)
		require.Equal(t, evidence.Missing, claim.Claim)
		require.ErrorContains(t, err, "velero has listed its store, and knows no backup "+a.Facts["backup"])
	})
	t.Run("no secret value in the evidence", func(t *testing.T) {
		_, secret := f.Store().Credentials()
		require.NoError(t, filepath.WalkDir(f.run, func(file string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			content, err := os.ReadFile(file)
			require.NoError(t, err)
			for _, value := range []string{planted, "Y29ycmVjdCBob3JzZSBiYXR0ZXJ5IHN0YXBsZQ", secret} {
				require.False(t, bytes.Contains(content, []byte(value)), "%s holds a secret value", file)
			}
			info, err := entry.Info()
			require.NoError(t, err)
			require.Zero(t, info.Mode().Perm()&0o077, "%s has mode %s", file, info.Mode())
			return nil
		}))
	})
}

// TestVeleroTrouble is what goes wrong beside the objects.
func TestVeleroTrouble(t *testing.T) {
	f := startVelero(t, backups.Layer{Backup: scenarios.Backup{Velero: &scenarios.VeleroBackup{
		LabelSelector: &scenarios.LabelSelector{MatchLabels: map[string]string{"a": "b"}}, OrLabelSelectors: []scenarios.LabelSelector{{MatchLabels: map[string]string{"c": "d"}}},
	}}}, nil)
	t.Run("failed validation", func(t *testing.T) {
		dir := filepath.Join(f.run, "invalid")
		_, err := f.Backup(t.Context(), f.source, dir)
		var claim *backups.ClaimError
		require.ErrorAs(t, err, &claim)
		require.Equal(t, evidence.FailedValidation, claim.Claim)
		require.ErrorContains(t, err, "only one can be specified")
		require.NoDirExists(t, dir)
		require.Equal(t, "FailedValidation", f.result(t, "backup", 0).Phase)
	})
	t.Run("a server that dies ends the wait", func(t *testing.T) {
		require.NoError(t, f.Server("source").Component().Kill(t.Context()))
		require.NoError(t, os.Remove(f.source.Kubeconfig()))
		_, err := f.Backup(t.Context(), f.source, filepath.Join(f.run, "dead"))
		var death *place.Death
		require.ErrorAs(t, err, &death)
		require.ErrorContains(t, err, "velero ended unasked: exit status 1; from ")
		require.ErrorContains(t, err, f.source.Kubeconfig())
	})
	t.Run("another version", func(t *testing.T) {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "velero"), []byte("#!/bin/sh\necho 'Client:\n\tVersion: v1.9.0'\n"), 0o700))
		m, err := backups.New(backups.Layer{Backup: scenarios.Backup{Method: "velero"}}, backups.Env{Toolchain: toolchain.New(toolchain.Options{BinDir: dir})})
		require.NoError(t, err)
		require.ErrorContains(t, m.Check(t.Context()), "velero: it is v1.9.0, wanted v1.18.3")
	})
}

// TestVeleroWithoutBucket is a store that serves and has no bucket: neither a backup nor a restore waits for one.
func TestVeleroWithoutBucket(t *testing.T) {
	f := startVelero(t, backups.Layer{}, nil)
	bucket := f.Store().Path("")
	require.NoError(t, os.Rename(bucket, bucket+"-elsewhere"))
	dir := filepath.Join(f.run, "nowhere")
	_, err := f.Backup(t.Context(), f.source, dir)
	require.ErrorContains(t, err, "back up cluster source: start velero: BackupStorageLocation is unavailable: ")
	require.ErrorContains(t, err, "NoSuchBucket")
	require.NoDirExists(t, dir)

	a := &backups.Artifact{Name: "before", Method: "velero", Facts: map[string]string{"backup": "before"}}
	_, err = f.Restore(t.Context(), a, f.source, backups.RestoreOptions{Running: true})
	require.ErrorContains(t, err, "restore artifact before into cluster source: list the objects of bucket restore-drill: ")
}

// TestVeleroDeadline is a restore that does not end: it says in what phase it was, and keeps what is known.
func TestVeleroDeadline(t *testing.T) {
	given := errors.New("not within a moment")
	var cancel context.CancelCauseFunc
	f := startVelero(t, backups.Layer{}, func(_ context.Context, operation string) error {
		if operation == "restore" {
			cancel(given)
		}
		return nil
	})
	a, err := f.Backup(t.Context(), f.source, filepath.Join(f.run, "whole"))
	require.NoError(t, err)
	ctx, stop := context.WithCancelCause(t.Context())
	defer stop(nil)
	cancel = stop
	_, err = f.Restore(ctx, a, f.source, backups.RestoreOptions{Running: true})
	require.ErrorIs(t, err, given)
	require.ErrorContains(t, err, "velero's restore whole-0 is InProgress, with ")
	require.Equal(t, "InProgress", f.result(t, "restore", 0).Phase)
	require.Empty(t, f.result(t, "restore", 0).Claim)
}
