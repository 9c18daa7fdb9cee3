package images

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/internal/engine"
	"github.com/restore-drill/restore-drill/internal/toolchain"
)

func TestNamesFollowThePins(t *testing.T) {
	require.Equal(t, []string{
		"kindest/node:v1.36.3", "velero/velero:v1.18.3", "velero/velero-plugin-for-aws:v1.14.3", "busybox:1.37", "versity/versitygw:v1.8.0",
	}, Refs())
}

// Every program of an image is one of the toolchain's, pinned, and goes to a place of its own.
func TestProgramsAreOfTheToolchain(t *testing.T) {
	for _, r := range append(table(), nodeImages()...) {
		places := map[string]bool{}
		for _, p := range r.Programs {
			require.NotEmpty(t, toolchain.Pinned(p.Component), "%s of %s", p.Component, r.ref)
			require.False(t, places[p.Path], "%s of %s", p.Path, r.ref)
			require.False(t, filepath.IsAbs(p.Path), p.Path)
			places[p.Path] = true
		}
		for _, f := range r.Debian {
			require.False(t, places[f.Path], "%s of %s", f.Path, r.ref)
		}
		_, err := toolchain.Pins("", r.components()...)
		require.NoError(t, err, r.ref)
		// What kubeadm's manifests name without a directory is found on PATH.
		if len(r.Entrypoint) > 0 && !r.node {
			at := strings.TrimPrefix(r.Entrypoint[0], "/")
			there := places[at] || slices.ContainsFunc(r.Debian, func(f debianFile) bool { return f.Path == at })
			require.True(t, there, "%s starts with %s, which it has not", r.ref, r.Entrypoint[0])
		}
	}
}

func TestDigestFollowsWhatAnImageIsMadeOf(t *testing.T) {
	seen := map[string]string{}
	add := func(what string, r recipe) {
		digest, err := r.digest()
		require.NoError(t, err)
		require.Empty(t, seen[digest], "%s is as %s", what, seen[digest])
		seen[digest] = what
	}
	for _, r := range append(table(), nodeImages()...) {
		add(r.ref, r)
		again, err := r.digest()
		require.NoError(t, err)
		require.Equal(t, r.ref, seen[again])
	}
	node := table()[0]
	node.Env = append(slices.Clone(node.Env), "A=b")
	add("another environment", node)
	node = table()[0]
	node.Programs = node.Programs[1:]
	add("without containerd", node)
}

func TestState(t *testing.T) {
	r := table()[1]
	digest, err := r.digest()
	require.NoError(t, err)
	for madeOf, want := range map[string]State{digest: Current, "other": Outdated, "": Foreign} {
		state, err := r.state(madeOf)
		require.NoError(t, err)
		require.Equal(t, want, state)
	}
}

func TestClosureOfPackages(t *testing.T) {
	const status = `Package: iptables
Status: install ok installed
Depends: libc6 (>= 2.34), netbase | netbase-lite, libfoo:any
Pre-Depends: dpkg (>= 1.15)

Package: libc6
Depends: libgcc-s1

Package: libgcc-s1

Package: netbase-lite

Package: dpkg
Depends: tar-or-so

Package: tar
Provides: tar-or-so, pax (= 1)

Package: libfoo-ng
Provides: libfoo (= 3)

Package: vim
`
	got := closure(status, []string{"iptables"})
	slices.Sort(got)
	require.Equal(t, []string{"dpkg", "iptables", "libc6", "libfoo-ng", "libgcc-s1", "netbase-lite", "tar"}, got)
}

// archived is a small root file system.
func archived(t *testing.T) rootFS {
	file := filepath.Join(t.TempDir(), "root.tar")
	l, err := newLayer(file)
	require.NoError(t, err)
	l.link("lib", "usr/lib")
	l.bytes(dpkgStatus, 0o644, []byte("Package: a\nDepends: b\n\nPackage: b\n\nPackage: c\n"))
	l.bytes("var/lib/dpkg/info/a.list", 0o644, []byte("/.\n/usr/bin/a\n"))
	l.bytes("var/lib/dpkg/info/b:amd64.list", 0o644, []byte("/lib/b.so\n"))
	l.bytes("var/lib/dpkg/info/c.list", 0o644, []byte("/usr/bin/c\n"))
	l.bytes("usr/bin/a", 0o755, []byte("a"))
	l.bytes("usr/lib/b.so", 0o644, []byte("b"))
	l.bytes("usr/bin/c", 0o755, []byte("c"))
	l.bytes("etc/alternatives/x-tables", 0o755, []byte("x"))
	l.bytes(certificates, 0o644, []byte("pem"))
	l.link("etc/systemd/system/getty.target.wants/getty@tty1.service", "/usr/lib/systemd/system/getty@.service")
	require.NoError(t, l.close())
	return rootFS{file}
}

func contents(t *testing.T, file string) map[string]string {
	all := map[string]string{}
	require.NoError(t, rootFS{file}.each(func(h *tar.Header, content io.Reader) error {
		b, err := io.ReadAll(content)
		if h.Typeflag != tar.TypeDir {
			all[h.Name] = h.Linkname + string(b)
		}
		return err
	}))
	return all
}

func TestFilesOutOfTheRootFileSystem(t *testing.T) {
	root := archived(t)
	file := filepath.Join(t.TempDir(), "layer.tar")
	l, err := newLayer(file)
	require.NoError(t, err)
	require.NoError(t, root.copyTo(l, recipe{
		Packages: []string{"a"}, Paths: []string{"etc/alternatives/*tables"}, Debian: []debianFile{{"usr/bin/c", "bin/cp"}}, Certificates: true,
	}))
	require.NoError(t, l.close())
	require.Equal(t, map[string]string{
		"lib": "usr/lib", "usr/bin/a": "a", "usr/lib/b.so": "b", "bin/cp": "c", "etc/alternatives/x-tables": "x", certificates: "pem",
	}, contents(t, file))

	l, err = newLayer(file)
	require.NoError(t, err)
	require.EqualError(t, root.copyTo(l, recipe{Debian: []debianFile{{"usr/bin/z", "z"}}}), root.file+" holds no usr/bin/z")
	require.EqualError(t, root.copyTo(l, recipe{Packages: []string{"zsh"}}), root.file+" holds no package zsh")
	require.NoError(t, l.close())

	require.NoError(t, root.withoutUnits(file))
	require.NotContains(t, contents(t, file), "etc/systemd/system/getty.target.wants/getty@tty1.service")
	require.Contains(t, contents(t, file), "usr/bin/a")
}

func TestPackKeepsLinks(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "usr/share/doc/a"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "usr/share/doc/a/copyright"), nil, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "perl"), []byte("perl"), 0o755))
	require.NoError(t, os.Link(filepath.Join(dir, "perl"), filepath.Join(dir, "perl5")))
	require.NoError(t, os.Symlink("perl", filepath.Join(dir, "pearl")))
	file := filepath.Join(t.TempDir(), "root.tar")
	require.NoError(t, pack(file, dir))
	require.Equal(t, map[string]string{"pearl": "perl", "perl": "perl", "perl5": "perl"}, contents(t, file))
}

func TestStorageManifestOfKind(t *testing.T) {
	dir, err := toolchain.New(toolchain.Options{CacheDir: t.TempDir()}).Source(t.Context(), "kind")
	require.NoError(t, err)
	manifest, err := storageManifest(dir)
	require.NoError(t, err)
	require.Contains(t, string(manifest), "provisioner: rancher.io/local-path")
	require.Regexp(t, imageRef, string(manifest))
	_, err = storageManifest(t.TempDir())
	require.ErrorContains(t, err, "const_storage.go: no such file")
}

// fake is an engine that is a shell script.
func fake(t *testing.T, script string) *engine.Engine {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "docker"), []byte("#!/bin/sh\n"+script), 0o755))
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	t.Setenv(engine.ProviderVariable, "docker")
	e, err := engine.Find()
	require.NoError(t, err)
	return e
}

const nothingThere = `case "$1" in
info) echo '{"ServerVersion":"24.0.7","Architecture":"x86_64","DockerRootDir":"/"}';;
image) case "$2" in inspect) echo "Error: No such image: $3" >&2; exit 1;; esac;;
*) exit 64;;
esac`

func TestTroubleBeforeAnythingIsMade(t *testing.T) {
	e := fake(t, nothingThere)
	err := Build(t.Context(), e, Options{Cache: t.TempDir()}, "busybox:1.37", "debian:12", "alpine:3")
	require.ErrorIs(t, err, toolchain.ErrUnknown)
	require.ErrorContains(t, err, `unknown image "debian:12" (want kindest/node:v1.36.3, velero/velero:v1.18.3`)
	require.ErrorContains(t, err, `unknown image "alpine:3"`)

	// No debootstrap.
	t.Setenv("PATH", filepath.Dir(e.Path()))
	err = Build(t.Context(), e, Options{Cache: t.TempDir()}, "busybox:1.37")
	require.ErrorIs(t, err, ErrNoDebootstrap)
	require.ErrorContains(t, err, "no debootstrap on PATH: install the package debootstrap (sudo apt-get install debootstrap)")

	// No engine that answers.
	broken := fake(t, "echo 'permission denied while trying to connect' >&2; exit 1")
	require.ErrorIs(t, Build(t.Context(), broken, Options{Cache: t.TempDir()}), engine.ErrNoRights)

	// Interrupted while it waits for another run.
	dir := t.TempDir()
	b := &builder{cache: dir}
	unlock, err := b.lock(t.Context())
	require.NoError(t, err)
	defer unlock()
	gone := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	var said []string
	e = fake(t, nothingThere)
	err = Build(ctx, e, Options{Cache: dir, Progress: func(line string) { said = append(said, line); cancel(gone) }}, "busybox:1.37")
	require.ErrorContains(t, err, "lock "+filepath.Join(dir, ".lock"))
	require.Equal(t, []string{"waiting for another run that makes images (" + filepath.Join(dir, ".lock") + ")"}, said)
}

func TestWhatIsThereIsLeft(t *testing.T) {
	digest, err := table()[3].digest()
	require.NoError(t, err)
	e := fake(t, `case "$1 $3" in
info*) echo '{"ServerVersion":"24.0.7","Architecture":"x86_64","DockerRootDir":"/"}';;
"image busybox:1.37") echo '[{"Id":"sha256:1","Size":5000000,"Config":{"Labels":{"`+MadeOf+`":"`+digest+`"}}}]';;
"image kindest/node:v1.36.3") echo '[{"Id":"sha256:2","Size":7000000,"Config":{}}]';;
"image versity/versitygw:v1.8.0") echo '[{"Id":"sha256:2","Size":7000000,"Config":{"Labels":{"`+MadeOf+`":"older"}}}]';;
*) echo "Error: No such image: $3" >&2; exit 1;;
esac`)
	all, err := List(t.Context(), e)
	require.NoError(t, err)
	states := map[string]State{}
	for _, i := range all {
		require.NotEmpty(t, i.For)
		states[i.Ref] = i.State
	}
	require.Equal(t, map[string]State{
		"kindest/node:v1.36.3": Foreign, "velero/velero:v1.18.3": Missing, "velero/velero-plugin-for-aws:v1.14.3": Missing,
		"busybox:1.37": Current, "versity/versitygw:v1.8.0": Outdated,
	}, states)
	var said []string
	require.NoError(t, Build(t.Context(), e, Options{Cache: t.TempDir(), Progress: func(line string) { said = append(said, line) }}, "busybox:1.37", "kindest/node:v1.36.3"))
	require.Equal(t, []string{
		"busybox:1.37 is there",
		"kindest/node:v1.36.3 is there, and was not made by this command: left as it is (--force replaces it)",
	}, said)
}
