package images

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/compression"
	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/internal/engine"
	"github.com/restore-drill/restore-drill/internal/engine/enginetest"
)

// One image for real, under a name of the test's own: made once, left alone, made anew when it is not what it would be made of, and what a run that was
// killed has left is gone. The image of a node is made and used by CI itself.
func TestBuildForReal(t *testing.T) {
	e := enginetest.Answering(t)
	user, err := os.UserCacheDir()
	require.NoError(t, err)
	cached := filepath.Join(user, "restore-drill", "images", rootName(""))
	if _, err := os.Stat(cached); err != nil {
		if err := canBootstrap(); err != nil {
			t.Skip(err)
		}
	}
	const prefix, ref = "restore-drill-test/", "busybox:1.37"
	ctx := t.Context()
	remove := func() error { return e.RemoveImage(context.WithoutCancel(ctx), prefix+ref) }
	require.NoError(t, remove())
	t.Cleanup(func() { require.NoError(t, remove()) })
	cache := t.TempDir()
	if err := os.Link(cached, filepath.Join(cache, rootName(""))); err != nil && !errors.Is(err, os.ErrNotExist) {
		require.NoError(t, os.Symlink(cached, filepath.Join(cache, rootName(""))))
	}

	// What a killed run leaves.
	half := filepath.Join(cache, "work-1")
	require.NoError(t, os.Mkdir(half, 0o755))
	image, err := imageOf(recipe{}, "amd64", compression.None, map[string]string{building: prefix + ref})
	require.NoError(t, err)
	file := filepath.Join(half, "image.tar")
	require.NoError(t, archive(file, image, prefix+"half:1"))
	f, err := os.Open(file)
	require.NoError(t, err)
	require.NoError(t, errors.Join(e.Load(ctx, f), f.Close()))

	var said []string
	build := func() {
		said = nil
		require.NoError(t, Build(ctx, e, Options{Cache: cache, prefix: prefix, Progress: func(line string) { said = append(said, line) }}, ref))
	}
	build()
	require.NoDirExists(t, half)
	left, err := e.Image(ctx, prefix+"half:1")
	require.NoError(t, err)
	require.Nil(t, left)
	out, err := e.Output(ctx, engine.Container{Image: prefix + ref, Options: []string{"--network", "none"}, Command: []string{"sh", "-c", "echo $((6*7)) | cat; id -un"}})
	require.NoError(t, err)
	require.Equal(t, "42\nroot", out)
	first, err := e.Image(ctx, prefix+ref)
	require.NoError(t, err)

	build()
	require.Equal(t, []string{prefix + ref + " is there"}, said)

	// The same name for something else: whoever made it, it is no longer what it was.
	image, err = imageOf(recipe{}, "amd64", compression.None, map[string]string{MadeOf: "something else"})
	require.NoError(t, err)
	require.NoError(t, archive(filepath.Join(cache, "other.tar"), image, prefix+ref))
	f, err = os.Open(filepath.Join(cache, "other.tar"))
	require.NoError(t, err)
	require.NoError(t, errors.Join(e.Load(ctx, f), f.Close()))
	build()
	again, err := e.Image(ctx, prefix+ref)
	require.NoError(t, err)
	require.Equal(t, first.Labels, again.Labels)
	entries, err := filepath.Glob(filepath.Join(cache, "work-*"))
	require.NoError(t, err)
	require.Empty(t, entries)
}
