// Package backuptest is the conformance suite for backup methods: what every backups.Method has to do, shown on real clusters.
package backuptest

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/restore-drill/restore-drill/drills/backups"
	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/internal/evidence"
)

// namespace of the suite's own objects.
const namespace = "backuptest"

// Run shows what method does on clusters of provider. Spec is what they are like; its names and directories are filled in here.
func Run(t *testing.T, method backups.Method, provider clusters.Provider, spec clusters.Spec) {
	s := &suite{Method: method, provider: provider, spec: spec}
	s.spec.DrillID, s.spec.LogDir = "backuptest-"+strconv.Itoa(os.Getpid()), t.TempDir()
	require.NoError(t, method.Check(t.Context()))
	source := s.create(t, "source")
	require.NoError(t, source.Start(t.Context(), nil))
	t.Cleanup(func() {
		require.NoError(t, method.Close(context.WithoutCancel(t.Context())))
		require.NoError(t, method.Close(context.WithoutCancel(t.Context())), "closed twice")
	})
	require.NoError(t, method.Prepare(t.Context(), source))
	artifact, acknowledged := s.backUpWhileWriting(t, source)
	// The cluster is lost; nothing of it may help from here on.
	require.NoError(t, source.Delete(t.Context()))

	t.Run("the artifact is complete and private", func(t *testing.T) { s.complete(t, artifact) })
	t.Run("a finished backup is not overwritten", func(t *testing.T) {
		_, err := method.Backup(t.Context(), source, artifact.Dir)
		require.ErrorContains(t, err, "is not empty")
		require.NoError(t, artifact.Verify(t.Context()))
	})
	t.Run("a backup of a dead cluster leaves no artifact", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "dead")
		_, err := method.Backup(t.Context(), source, dir)
		require.ErrorContains(t, err, "back up cluster source: ")
		require.NoDirExists(t, dir)
	})
	t.Run("every flipped byte is found", func(t *testing.T) { s.flipped(t, artifact) })
	if method.RestoresStore() {
		t.Run("a damaged artifact is refused", func(t *testing.T) { s.refused(t, artifact) })
	}
	t.Run("an interrupted restore leaves a cluster that can be deleted", func(t *testing.T) { s.interrupted(t, artifact) })
	var first map[string]string
	t.Run("a restore brings back the same objects", func(t *testing.T) {
		first = s.restore(t, artifact, "first")
		for name, revision := range acknowledged {
			_, there := first["ConfigMap "+name]
			from, to := artifact.Revision, artifact.Revision
			if artifact.Window != nil {
				from, to = artifact.Window.From, artifact.Window.To
			}
			if revision <= from || revision > to {
				require.Equal(t, revision <= from, there, "%s, written at revision %d; the artifact is of %d to %d", name, revision, from, to)
			}
		}
	})
	t.Run("restored twice it is the same again", func(t *testing.T) {
		second := s.restore(t, artifact, "second")
		if method.RestoresStore() {
			require.Equal(t, first, second)
		} else {
			require.ElementsMatch(t, slices.Collect(maps.Keys(first)), slices.Collect(maps.Keys(second)))
		}
	})
}

type suite struct {
	backups.Method
	provider clusters.Provider
	spec     clusters.Spec
}

// create a cluster that goes with the test.
func (s *suite) create(t *testing.T, name string) clusters.Cluster {
	t.Helper()
	spec := s.spec
	spec.Name = name
	c, err := s.provider.Create(t.Context(), spec)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Delete(context.WithoutCancel(t.Context()))) })
	return c
}

// backUpWhileWriting returns the artifact, and the revision of each ConfigMap that was acknowledged before, during and after the backup.
func (s *suite) backUpWhileWriting(t *testing.T, source clusters.Cluster) (*backups.Artifact, map[string]int64) {
	t.Helper()
	client := kubernetes.NewForConfigOrDie(source.Config())
	_, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = client.CoreV1().Secrets(namespace).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "credentials"}, StringData: map[string]string{"password": "correct horse"},
	}, metav1.CreateOptions{})
	require.NoError(t, err)

	acknowledged := map[string]int64{}
	progress, done, enough := make(chan int, 1), make(chan error, 1), make(chan struct{})
	go func() {
		for n := 0; ; n++ {
			name := fmt.Sprintf("written-%05d", n)
			written, err := client.CoreV1().ConfigMaps(namespace).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
			if err != nil {
				done <- err
				return
			}
			revision, err := strconv.ParseInt(written.ResourceVersion, 10, 64)
			if err != nil {
				done <- err
				return
			}
			acknowledged[name] = revision
			select {
			case progress <- n:
			case <-enough:
				done <- nil
				return
			default:
			}
		}
	}()
	<-progress
	artifact, err := s.Backup(t.Context(), source, filepath.Join(t.TempDir(), "artifact"))
	require.NoError(t, err)
	// At least one more write begins after the backup ended.
	for range 2 {
		select {
		case <-progress:
		case err := <-done:
			require.NoError(t, err, "a write failed while the backup was taken")
		}
	}
	close(enough)
	require.NoError(t, drain(progress, done))
	require.Equal(t, s.Name(), artifact.Method)
	return artifact, acknowledged
}

func drain(progress chan int, done chan error) error {
	for {
		select {
		case <-progress:
		case err := <-done:
			return err
		}
	}
}

func (s *suite) complete(t *testing.T, a *backups.Artifact) {
	require.NoError(t, a.Verify(t.Context()))
	loaded, err := backups.LoadArtifact(a.Dir)
	require.NoError(t, err)
	require.Equal(t, a, loaded)
	require.Equal(t, filepath.Base(a.Dir), a.Name)
	require.NotZero(t, len(a.Files)+len(a.Objects))
	require.WithinRange(t, a.Taken, time.Now().Add(-time.Hour), time.Now())
	require.NoError(t, filepath.WalkDir(a.Dir, func(path string, entry fs.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := entry.Info()
		require.NoError(t, err)
		require.Zero(t, info.Mode().Perm()&0o077, "%s has mode %s", path, info.Mode())
		return nil
	}))
}

// flipped changes single bytes, at both ends of each file and at seeded offsets.
func (s *suite) flipped(t *testing.T, a *backups.Artifact) {
	files := append(slices.Collect(maps.Keys(a.Files)), "artifact.json")
	slices.Sort(files)
	random := rand.New(rand.NewPCG(1, 2))
	for _, name := range files {
		file := filepath.Join(a.Dir, filepath.FromSlash(name))
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		offsets := []int{0, len(content) - 1}
		for range 4 {
			offsets = append(offsets, random.IntN(len(content)))
		}
		for _, offset := range offsets {
			damaged := bytes.Clone(content)
			damaged[offset] ^= 1 << random.IntN(8)
			require.NoError(t, os.WriteFile(file, damaged, 0o600))
			err := a.Verify(t.Context())
			require.ErrorIs(t, err, backups.ErrDamaged, "byte %d of %s", offset, name)
			require.ErrorContains(t, err, name)
		}
		require.NoError(t, os.WriteFile(file, content, 0o600))
		require.NoError(t, a.Verify(t.Context()))
	}
}

func (s *suite) refused(t *testing.T, a *backups.Artifact) {
	dir := filepath.Join(t.TempDir(), a.Name)
	require.NoError(t, os.CopyFS(dir, os.DirFS(a.Dir)))
	damaged, err := backups.LoadArtifact(dir)
	require.NoError(t, err)
	largest := slices.MaxFunc(slices.Collect(maps.Keys(a.Files)), func(x, y string) int { return int(a.Files[x].Bytes - a.Files[y].Bytes) })
	file := filepath.Join(dir, filepath.FromSlash(largest))
	require.NoError(t, os.Chmod(file, 0o600))
	require.NoError(t, os.Truncate(file, a.Files[largest].Bytes/2))
	target := s.create(t, "refused")
	_, err = s.Restore(t.Context(), damaged, target, backups.RestoreOptions{Reached: func(mark, _ string, _ time.Duration) {
		t.Errorf("mark %q was reached with a damaged artifact", mark)
	}})
	require.ErrorIs(t, err, backups.ErrRefused)
	require.ErrorContains(t, err, largest)
	for _, component := range target.Components() {
		require.Empty(t, component.Identity(), "%s was started", component.Name())
	}
	left, err := os.ReadDir(target.StateDir())
	require.NoError(t, err)
	require.Empty(t, left, "half a restore is left")
	require.NoError(t, target.Delete(t.Context()))
}

// marks that a restore reaches, in order.
func (s *suite) marks() []string {
	if s.RestoresStore() {
		return []string{evidence.MarkArtifactOK, evidence.MarkStoreRestored, evidence.MarkStoreServing, evidence.MarkAPIServing, evidence.MarkAPIReady}
	}
	return []string{evidence.MarkArtifactOK, evidence.MarkStoreServing, evidence.MarkToolReady, evidence.MarkAPIServing, evidence.MarkAPIReady, evidence.MarkBackupFound, evidence.MarkObjectsBack}
}

// interrupted cancels the restore at each of the first marks.
func (s *suite) interrupted(t *testing.T, a *backups.Artifact) {
	for n, at := range s.marks()[:3] {
		t.Run("at "+at, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			target := s.create(t, fmt.Sprintf("interrupted-%d", n))
			before := fingerprint(t, a.Dir)
			_, err := s.Restore(ctx, a, target, backups.RestoreOptions{Reached: func(mark, _ string, _ time.Duration) {
				if mark == at {
					cancel()
				}
			}})
			require.ErrorIs(t, err, context.Canceled)
			require.NotErrorIs(t, err, backups.ErrRefused)
			require.Equal(t, before, fingerprint(t, a.Dir))
			require.NoError(t, target.Delete(t.Context()))
		})
	}
}

// restore into a fresh cluster, and returns what is there: the UID of each object, by kind and name.
func (s *suite) restore(t *testing.T, a *backups.Artifact, name string) map[string]string {
	t.Helper()
	target := s.create(t, name)
	before := fingerprint(t, a.Dir)
	var mu sync.Mutex
	var marks []string
	var open atomic.Int32
	claim, err := s.Restore(t.Context(), a, target, backups.RestoreOptions{
		Reached: func(mark, how string, _ time.Duration) {
			require.NotEmpty(t, how)
			mu.Lock()
			defer mu.Unlock()
			marks = append(marks, mark)
		},
		Step: func(name, _ string) func(error) {
			began := time.Now()
			open.Add(1)
			return func(err error) {
				open.Add(-1)
				t.Logf("%s: %s (%v)", name, time.Since(began).Round(time.Millisecond), err)
			}
		},
	})
	require.NoError(t, err)
	require.Equal(t, evidence.Completed, claim)
	require.Zero(t, open.Load(), "steps that did not end")
	require.Equal(t, before, fingerprint(t, a.Dir), "the artifact was written to")
	for _, mark := range s.marks() {
		require.Contains(t, marks, mark)
	}

	client := kubernetes.NewForConfigOrDie(target.Config())
	secret, err := client.CoreV1().Secrets(namespace).Get(t.Context(), "credentials", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, "correct horse", string(secret.Data["password"]))
	seen := map[string]string{"Secret credentials": string(secret.UID)}
	system, err := client.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	for _, o := range system.Items {
		seen["Namespace "+o.Name] = string(o.UID)
	}
	written, err := client.CoreV1().ConfigMaps(namespace).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	for _, o := range written.Items {
		seen["ConfigMap "+o.Name] = string(o.UID)
	}
	_, err = client.CoreV1().ConfigMaps(namespace).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "after"}}, metav1.CreateOptions{})
	require.NoError(t, err, "the restored cluster takes writes")
	require.NoError(t, target.Delete(t.Context()))
	return seen
}

// fingerprint of every file below dir: content, mode and time of the last write.
func fingerprint(t *testing.T, dir string) map[string]string {
	t.Helper()
	prints := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		prints[path] = fmt.Sprint(info.Mode(), info.ModTime())
		if !entry.IsDir() {
			content, err := os.ReadFile(path)
			prints[path] += string(content)
			return err
		}
		return nil
	}))
	return prints
}
