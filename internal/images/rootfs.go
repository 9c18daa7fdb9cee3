package images

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A rootFS is a tar archive of Debian's root file system, as debootstrap leaves it, with the paths of its entries relative to the root.
type rootFS struct{ file string }

// The ways in which a machine cannot make a root file system.
var (
	ErrNoDebootstrap = errors.New("no debootstrap on PATH")
	ErrNotRoot       = errors.New("not root")
)

// rootName is the name of the root file system in the cache; it changes with what is in it.
func rootName(mirror string) string {
	sum := sha256.Sum256([]byte(suite + " " + mirror + " " + strings.Join(packages, " ")))
	return "rootfs-" + suite + "-" + hex.EncodeToString(sum[:])[:12] + ".tar"
}

// root makes the root file system, or takes it from the cache.
func (b *builder) root(ctx context.Context) (rootFS, error) {
	file := filepath.Join(b.cache, rootName(b.options.Mirror))
	if _, err := os.Stat(file); err == nil {
		return rootFS{file}, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return rootFS{}, err
	}
	if err := canBootstrap(); err != nil {
		return rootFS{}, err
	}
	b.say("installing Debian %s into the root file system of a node", suite)
	dir := filepath.Join(b.work, "root")
	args := []string{"--variant=minbase", "--include=" + strings.Join(packages, ","), suite, dir}
	if b.options.Mirror != "" {
		args = append(args, b.options.Mirror)
	}
	if err := b.command(ctx, "debootstrap", args...); err != nil {
		return rootFS{}, fmt.Errorf("make the root file system of a node: %w", err)
	}
	half := filepath.Join(b.work, "root.tar")
	if err := pack(half, dir); err != nil {
		return rootFS{}, err
	}
	return rootFS{file}, errors.Join(os.Rename(half, file), os.RemoveAll(dir))
}

// canBootstrap tells whether this machine can make a root file system.
func canBootstrap() error {
	var errs []error
	if _, err := exec.LookPath("debootstrap"); err != nil {
		errs = append(errs, fmt.Errorf("make the root file system of a node: %w: install the package debootstrap (sudo apt-get install debootstrap)", ErrNoDebootstrap))
	}
	if os.Geteuid() != 0 {
		errs = append(errs, fmt.Errorf("make the root file system of a node: %w: debootstrap has to change its root: run this command with sudo --preserve-env", ErrNotRoot))
	}
	return errors.Join(errs...)
}

// command runs a program of this machine; the error carries its argv and the end of what it said.
func (b *builder) command(ctx context.Context, name string, args ...string) error {
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = stopGrace
	err := cmd.Run()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		lines := strings.Split(strings.TrimSpace(said.String()), "\n")
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, strings.Join(lines[max(0, len(lines)-20):], "\n"))
	}
	return nil
}

// left out of the root file system: what apt and debootstrap need for themselves.
var leftOut = []string{"var/cache/apt", "var/lib/apt/lists", "debootstrap", "var/log", "usr/share/doc", "usr/share/man", "usr/share/locale"}

// pack writes the archive of a root file system, with owners, devices and hard links.
func pack(file, dir string) error {
	l, err := newLayer(file)
	if err != nil {
		return err
	}
	links := map[uint64]string{}
	err = filepath.WalkDir(dir, func(at string, entry fs.DirEntry, err error) error {
		if err != nil || at == dir {
			return err
		}
		name, err := filepath.Rel(dir, at)
		if err != nil {
			return err
		}
		for _, out := range leftOut {
			if strings.HasPrefix(name, out+"/") {
				if entry.IsDir() {
					return fs.SkipDir
				}
				return nil
			}
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		target := ""
		if info.Mode()&fs.ModeSymlink != 0 {
			if target, err = os.Readlink(at); err != nil {
				return err
			}
		}
		h, err := tar.FileInfoHeader(info, target)
		if err != nil {
			return err
		}
		// Names, which this machine may number otherwise, are those of the root file system.
		h.Name, h.Uname, h.Gname, h.Format = name, "", "", tar.FormatPAX
		if stat, ok := info.Sys().(*syscall.Stat_t); ok && info.Mode().IsRegular() && stat.Nlink > 1 {
			if first, ok := links[stat.Ino]; ok {
				h.Typeflag, h.Linkname, h.Size = tar.TypeLink, first, 0
			} else {
				links[stat.Ino] = name
			}
		}
		if h.Typeflag != tar.TypeReg {
			l.header(*h)
			return l.err
		}
		f, err := os.Open(at)
		if err != nil {
			return err
		}
		defer f.Close()
		l.content(*h, f)
		return l.err
	})
	if err != nil {
		return errors.Join(err, l.close())
	}
	return l.close()
}

// each calls visit for every entry; a reader of its content comes with it.
func (r rootFS) each(visit func(h *tar.Header, content io.Reader) error) error {
	f, err := os.Open(r.file)
	if err != nil {
		return err
	}
	defer f.Close()
	archive := tar.NewReader(bufio.NewReaderSize(f, 1<<20))
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", r.file, err)
		}
		if err := visit(h, archive); err != nil {
			return err
		}
	}
}

// read returns files of the root file system by their paths; one that is not there is an error.
func (r rootFS) read(names ...string) (map[string][]byte, error) {
	found := map[string][]byte{}
	err := r.each(func(h *tar.Header, content io.Reader) (err error) {
		for _, name := range names {
			if h.Name == name {
				found[name], err = io.ReadAll(content)
			}
		}
		return err
	})
	for _, name := range names {
		if err == nil && found[name] == nil {
			err = fmt.Errorf("%s holds no %s", r.file, name)
		}
	}
	return found, err
}

// dpkgStatus lists the packages that are installed, and fileLists, one a package, their files.
const (
	dpkgStatus = "var/lib/dpkg/status"
	fileLists  = "var/lib/dpkg/info/*.list"
)

// filesOf are the paths of all that packages, and what they depend on, brought into the root file system.
func (r rootFS) filesOf(wanted []string) (map[string]bool, error) {
	lists := map[string][]byte{}
	var status []byte
	err := r.each(func(h *tar.Header, content io.Reader) (err error) {
		if ok, _ := path.Match(fileLists, h.Name); ok {
			name, _, _ := strings.Cut(strings.TrimSuffix(path.Base(h.Name), ".list"), ":")
			lists[name], err = io.ReadAll(content)
		} else if h.Name == dpkgStatus {
			status, err = io.ReadAll(content)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, pkg := range closure(string(status), wanted) {
		list, ok := lists[pkg]
		if !ok {
			return nil, fmt.Errorf("%s holds no package %s", r.file, pkg)
		}
		for line := range strings.Lines(string(list)) {
			names[merged(strings.Trim(line, "/\n"))] = true
		}
	}
	return names, nil
}

// closure adds to packages all that they depend on, out of the text of dpkg's status file.
func closure(status string, wanted []string) []string {
	depends := map[string][]string{}
	provides := map[string]string{}
	for stanza := range strings.SplitSeq(status, "\n\n") {
		var pkg string
		for line := range strings.Lines(stanza) {
			field, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			switch field {
			case "Package":
				pkg = value
				depends[pkg] = nil
			case "Depends", "Pre-Depends":
				depends[pkg] = append(depends[pkg], strings.Split(value, ",")...)
			case "Provides":
				for virtual := range strings.SplitSeq(value, ",") {
					provides[packageName(virtual)] = pkg
				}
			}
		}
	}
	var all []string
	seen := map[string]bool{}
	var add func(pkg string)
	add = func(pkg string) {
		if seen[pkg] {
			return
		}
		seen[pkg] = true
		all = append(all, pkg)
		for _, alternatives := range depends[pkg] {
			// The first of the alternatives that is installed.
			for alternative := range strings.SplitSeq(alternatives, "|") {
				name := packageName(alternative)
				if _, ok := depends[name]; !ok {
					name = cmp.Or(provides[name], name)
				}
				if _, ok := depends[name]; ok {
					add(name)
					break
				}
			}
		}
	}
	for _, pkg := range wanted {
		add(pkg)
	}
	return all
}

// packageName is the name in a dependency such as "libc6:amd64 (>= 2.36)".
func packageName(dependency string) string {
	name, _, _ := strings.Cut(strings.TrimSpace(dependency), " ")
	name, _, _ = strings.Cut(name, ":")
	return name
}

// merged is a path with /bin, /lib and so on where they are: under /usr.
func merged(name string) string {
	for _, top := range []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32"} {
		if strings.HasPrefix(name, top+"/") {
			return "usr/" + name
		}
	}
	return name
}

// freeDisk is how many bytes are free where a directory is.
func freeDisk(dir string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, fmt.Errorf("see how much is free in %s: %w", dir, err)
	}
	return s.Bavail * uint64(s.Bsize), nil
}
