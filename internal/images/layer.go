package images

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"time"

	"github.com/google/go-containerregistry/pkg/compression"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// A layer is a tar archive in the making, with the paths of its entries relative to the root. The first error is kept until close.
type layer struct {
	file *os.File
	tar  *tar.Writer
	made map[string]bool
	err  error
}

func newLayer(file string) (*layer, error) {
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	return &layer{file: f, tar: tar.NewWriter(f), made: map[string]bool{".": true}}, nil
}

// close ends the archive, and returns what went wrong with it.
func (l *layer) close() error {
	if err := errors.Join(l.err, l.tar.Close(), l.file.Close()); err != nil {
		return fmt.Errorf("write %s: %w", l.file.Name(), err)
	}
	return nil
}

// header writes an entry without content, unless there is one of that name; its directories are made where they are not there.
func (l *layer) header(h tar.Header) {
	if l.err != nil || l.made[h.Name] {
		return
	}
	l.parents(h.Name)
	l.made[h.Name] = true
	if h.ModTime.IsZero() {
		h.ModTime = time.Unix(0, 0)
	}
	if l.err == nil {
		l.err = l.tar.WriteHeader(&h)
	}
}

func (l *layer) parents(name string) {
	if dir := path.Dir(name); !l.made[dir] {
		l.directory(dir, 0o755, 0)
	}
}

// directory makes one that belongs to a user and the group of the same number.
func (l *layer) directory(name string, mode int64, owner int) {
	l.header(tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: mode, Uid: owner, Gid: owner})
}

func (l *layer) link(name, target string) {
	l.header(tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target, Mode: 0o777})
}

func (l *layer) bytes(name string, mode fs.FileMode, content []byte) {
	l.content(tar.Header{Name: name, Mode: int64(mode.Perm()), Size: int64(len(content))}, bytes.NewReader(content))
}

func (l *layer) content(h tar.Header, from io.Reader) {
	if l.made[h.Name] {
		return
	}
	l.header(h)
	if l.err == nil {
		_, l.err = io.Copy(l.tar, from)
	}
}

// disk copies a file of this machine.
func (l *layer) disk(name string, mode fs.FileMode, file string) {
	if l.err != nil {
		return
	}
	f, err := os.Open(file)
	if err != nil {
		l.err = err
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		l.err = err
		return
	}
	l.content(tar.Header{Name: name, Mode: int64(mode.Perm()), Size: info.Size()}, f)
}

// imageOf layers, uncompressed archives, with the configuration of the recipe.
func imageOf(r recipe, arch string, how compression.Compression, labels map[string]string, layers ...string) (v1.Image, error) {
	image, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{
		OS: "linux", Architecture: arch, Created: v1.Time{Time: time.Now().UTC()}, RootFS: v1.RootFS{Type: "layers"},
		Config: v1.Config{
			Entrypoint: r.Entrypoint, Cmd: r.Cmd, User: r.User, Labels: labels, StopSignal: r.stopSignal(),
			Env: append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/"}, r.Env...),
		},
	})
	if err != nil {
		return nil, err
	}
	for _, file := range layers {
		l, err := tarball.LayerFromFile(file, tarball.WithCompression(how), tarball.WithCompressionLevel(1))
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		if image, err = mutate.AppendLayers(image, l); err != nil {
			return nil, err
		}
	}
	return image, nil
}

// archive writes an image under its names, in the layout of docker save.
func archive(file string, image v1.Image, refs ...string) error {
	named := map[name.Reference]v1.Image{}
	for _, ref := range refs {
		tag, err := name.NewTag(ref)
		if err != nil {
			return err
		}
		named[tag] = image
	}
	return tarball.MultiRefWriteToFile(file, named)
}
