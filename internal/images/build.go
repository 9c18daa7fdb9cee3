package images

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/go-containerregistry/pkg/compression"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/restore-drill/restore-drill/internal/engine"
	"github.com/restore-drill/restore-drill/internal/toolchain"
)

const (
	// stopGrace is what a program that is told to stop gets to do so.
	stopGrace = 10 * time.Second
	// DiskNeeded, in bytes, is what making all images needs at most, in the engine's store and in the cache.
	DiskNeeded = 10 << 30
	// lockRetry is how often a run looks whether the other run, which builds, is done.
	lockRetry = 200 * time.Millisecond
)

// ErrNoDisk is wrapped by the error of a machine with too little disk to make images.
var ErrNoDisk = errors.New("too little disk")

// Options of Build. The zero value is that of a user who has set nothing.
type Options struct {
	// Toolchain that the programs come from. Default: the user's own.
	Toolchain *toolchain.Toolchain
	// Cache is a directory for the root file system of nodes. Default: restore-drill/images in the user's cache directory.
	Cache string
	// Mirror of Debian, an URL; empty for debootstrap's own.
	Mirror string
	// Force makes images that are there and were not made by Build, or are current.
	Force bool
	// Progress receives a line for each thing that a user may have to wait for or should know; may be nil.
	Progress func(line string)
	// prefix of the names that images get, for tests.
	prefix string
}

// A builder is one run of Build.
type builder struct {
	options     Options
	engine      *engine.Engine
	arch        string
	toolchain   *toolchain.Toolchain
	cache, work string
	// programs of the toolchain by their components.
	programs map[string]string
}

// Build makes the images that are named, or all, unless they are current or were made by others. Each appears under its name when it is whole; a run
// that is killed leaves nothing that the next one does not remove. Of several runs at once, one builds and the others wait.
func Build(ctx context.Context, e *engine.Engine, o Options, refs ...string) (err error) {
	b := &builder{options: o, engine: e, toolchain: o.Toolchain, cache: o.Cache}
	var wanted []recipe
	var unknown []error
	for _, ref := range refs {
		r, err := find(ref)
		wanted, unknown = append(wanted, r), append(unknown, err)
	}
	if err := errors.Join(unknown...); err != nil {
		return err
	}
	if len(refs) == 0 {
		wanted = table()
	}
	if b.toolchain == nil {
		b.toolchain = toolchain.New(toolchain.Options{Progress: o.Progress})
	}
	if b.cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return fmt.Errorf("find a place to make images in: %w: set XDG_CACHE_HOME", err)
		}
		b.cache = filepath.Join(user, "restore-drill", "images")
	}
	if b.cache, err = filepath.Abs(b.cache); err != nil {
		return err
	}
	info, err := e.Info(ctx)
	if err != nil {
		return err
	}
	b.arch = info.Architecture
	if err := os.MkdirAll(b.cache, 0o755); err != nil {
		return fmt.Errorf("make images: %w", err)
	}
	unlock, err := b.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if wanted, err = b.missing(ctx, wanted); err != nil || len(wanted) == 0 {
		return err
	}
	if err := b.prepare(ctx, info, wanted); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.work)) }()
	for _, r := range wanted {
		if err := b.make(ctx, r); err != nil {
			return fmt.Errorf("build image %s: %w", r.ref, err)
		}
	}
	return nil
}

// lock waits until no other run makes images in this cache, and says so when it has to wait.
func (b *builder) lock(ctx context.Context) (unlock func(), err error) {
	l := flock.New(filepath.Join(b.cache, ".lock"))
	ok, err := l.TryLock()
	if err == nil && !ok {
		b.say("waiting for another run that makes images (%s)", l.Path())
		_, err = l.TryLockContext(ctx, lockRetry)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", l.Path(), err), l.Close())
	}
	// The file stays: whoever removed it would let two runs lock two files of one name.
	return func() { _ = l.Close() }, nil
}

// missing leaves of the recipes those whose images have to be made, and says why the others have not.
func (b *builder) missing(ctx context.Context, wanted []recipe) ([]recipe, error) {
	all, err := list(ctx, b.engine, b.options.prefix)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(wanted), func(r recipe) bool {
		i := all[slices.IndexFunc(all, func(i Image) bool { return i.Ref == b.options.prefix+r.ref })]
		if b.options.Force {
			return false
		}
		switch i.State {
		case Current:
			b.say("%s is there", i.Ref)
		case Foreign:
			b.say("%s is there, and was not made by this command: left as it is (--force replaces it)", i.Ref)
		case Missing, Outdated:
			return false
		}
		return true
	}), nil
}

// prepare finds everything that the recipes need, before anything is made.
func (b *builder) prepare(ctx context.Context, info engine.Info, wanted []recipe) (err error) {
	for _, dir := range []string{b.cache, info.Root} {
		free, err := freeDisk(dir)
		if errors.Is(err, os.ErrNotExist) {
			continue // the engine is on another machine
		}
		if err != nil {
			return err
		}
		if free < DiskNeeded {
			return fmt.Errorf("make images: %w: %s has %d MiB free, and %d MiB may be needed: remove what is not needed (%s system prune), or make room",
				ErrNoDisk, dir, free>>20, DiskNeeded>>20, b.engine.Name)
		}
	}
	if _, err := os.Stat(filepath.Join(b.cache, rootName(b.options.Mirror))); err != nil && slices.ContainsFunc(wanted, recipe.needsRoot) {
		if err := canBootstrap(); err != nil {
			return err
		}
	}
	// What runs before this one were killed over; the lock is ours.
	leftovers, err := filepath.Glob(filepath.Join(b.cache, "work-*"))
	if err != nil {
		return err
	}
	for _, dir := range leftovers {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	for _, r := range wanted {
		label := building + "=" + b.options.prefix + r.ref
		_, err := b.engine.RemoveLabelled(ctx, label)
		if err := errors.Join(err, b.engine.RemoveImagesLabelled(ctx, label)); err != nil {
			return err
		}
	}
	if b.work, err = os.MkdirTemp(b.cache, "work-"); err != nil {
		return err
	}
	var names []string
	for _, r := range wanted {
		names = append(names, r.components()...)
	}
	slices.Sort(names)
	// Kind's part is its source.
	names = slices.DeleteFunc(slices.Compact(names), func(name string) bool { return name == "kind" })
	found, err := b.toolchain.FindAll(ctx, "", names...)
	if err != nil {
		return err
	}
	b.programs = map[string]string{}
	for _, program := range found {
		b.programs[program.Component] = program.Path
	}
	return nil
}

// make makes one image and gives it its name.
func (b *builder) make(ctx context.Context, r recipe) error {
	started := time.Now()
	ref := b.options.prefix + r.ref
	digest, err := r.digest()
	if err != nil {
		return err
	}
	before, err := b.engine.Image(ctx, ref)
	if err != nil {
		return err
	}
	labels := map[string]string{MadeOf: digest}
	b.say("making %s", ref)
	if r.node {
		err = b.node(ctx, r, labels, ref)
	} else {
		err = b.plain(ctx, r, labels, ref)
	}
	if err != nil {
		return err
	}
	after, err := b.engine.Image(ctx, ref)
	if err != nil {
		return err
	}
	if after == nil || after.Labels[MadeOf] != digest {
		return errors.New("the engine does not have it after it was made")
	}
	b.say("made %s, %d MiB, in %s", ref, after.Size>>20, time.Since(started).Round(100*time.Millisecond))
	if before != nil && before.ID != after.ID {
		if err := b.engine.RemoveImage(ctx, before.ID); err != nil {
			// A container of a cluster that runs is made of it.
			b.say("the image that %s was before stays: %v", ref, err)
		}
	}
	return nil
}

// plain makes an image of one layer.
func (b *builder) plain(ctx context.Context, r recipe, labels map[string]string, ref string) error {
	file := filepath.Join(b.work, strings.NewReplacer("/", "_", ":", "_").Replace(ref)+".layer")
	if err := b.layer(ctx, r, file); err != nil {
		return err
	}
	image, err := imageOf(r, b.arch, compression.None, labels, file)
	if err != nil {
		return err
	}
	return b.load(ctx, image, ref)
}

// load gives an image to the engine, which names it when it has all of it.
func (b *builder) load(ctx context.Context, image v1.Image, ref string) error {
	file := filepath.Join(b.work, "image.tar")
	if err := archive(file, image, ref); err != nil {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	return errors.Join(b.engine.Load(ctx, f), os.Remove(file))
}

// needsRoot tells whether files of the root file system are in the image.
func (r recipe) needsRoot() bool {
	return r.node || r.Certificates || len(r.Debian)+len(r.Packages)+len(r.Paths) > 0
}

const (
	certificates = "etc/ssl/certs/ca-certificates.crt"
	shell        = "usr/bin/busybox"
)

// layer writes what a recipe says, as an archive.
func (b *builder) layer(ctx context.Context, r recipe, file string) (err error) {
	l, err := newLayer(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	l.directory("tmp", 0o1777, 0)
	if r.Home != "" {
		owner, err := strconv.Atoi(r.User)
		if err != nil {
			return err
		}
		l.directory(r.Home, 0o755, owner)
	}
	if err := b.addPrograms(l, r); err != nil || !r.needsRoot() {
		return err
	}
	root, err := b.root(ctx)
	if err != nil {
		return err
	}
	if err := root.copyTo(l, r); err != nil {
		return err
	}
	if r.Applets {
		l.bytes("etc/passwd", 0o644, []byte("root:x:0:0:root:/:/bin/sh\n"))
		l.bytes("etc/group", 0o644, []byte("root:x:0:\n"))
		return b.applets(ctx, l, root)
	}
	return nil
}

func (b *builder) addPrograms(l *layer, r recipe) error {
	for _, p := range r.Programs {
		l.disk(p.Path, 0o755, b.programs[p.Component])
	}
	return l.err
}

// copyTo copies the files of the root file system that a recipe names.
func (r rootFS) copyTo(l *layer, wanted recipe) error {
	names := map[string]bool{}
	if len(wanted.Packages) > 0 {
		var err error
		if names, err = r.filesOf(wanted.Packages); err != nil {
			return err
		}
	}
	moved := map[string]string{}
	for _, f := range wanted.Debian {
		moved[f.From] = f.Path
	}
	if wanted.Certificates {
		moved[certificates] = certificates
	}
	err := r.each(func(h *tar.Header, content io.Reader) error {
		in := names[h.Name] || len(wanted.Packages) > 0 && h.Typeflag == tar.TypeSymlink && !strings.Contains(h.Name, "/")
		for _, pattern := range wanted.Paths {
			ok, err := path.Match(pattern, h.Name)
			if err != nil {
				return err
			}
			in = in || ok
		}
		if to, ok := moved[h.Name]; ok {
			delete(moved, h.Name)
			in, h.Name = true, to
		}
		switch {
		case !in:
		case h.Typeflag == tar.TypeReg:
			l.content(*h, content)
		default:
			l.header(*h)
		}
		return l.err
	})
	for name := range moved {
		err = errors.Join(err, fmt.Errorf("%s holds no %s", r.file, name))
	}
	return err
}

// applets makes a link for each name by which busybox can be called.
func (b *builder) applets(ctx context.Context, l *layer, root rootFS) error {
	found, err := root.read(shell)
	if err != nil {
		return err
	}
	file := filepath.Join(b.work, "busybox")
	if err := os.WriteFile(file, found[shell], 0o755); err != nil {
		return err
	}
	list := exec.CommandContext(ctx, file, "--list")
	out, err := list.Output()
	if err != nil {
		return fmt.Errorf("%s: %w", list, err)
	}
	for _, name := range strings.Fields(string(out)) {
		if name != "busybox" {
			l.link("bin/"+name, "busybox")
		}
	}
	return l.err
}

// temporary is a name under which something of this run is kept in the engine until it is whole.
func (b *builder) temporary(name string) string {
	return b.options.prefix + "restore-drill/building-" + name + ":" + strings.ToLower(filepath.Base(b.work))
}

func (b *builder) say(format string, args ...any) {
	if b.options.Progress != nil {
		b.options.Progress(fmt.Sprintf(format, args...))
	}
}
