package images

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/compression"

	"github.com/restore-drill/restore-drill/internal/engine"
	"github.com/restore-drill/restore-drill/internal/toolchain"
)

// stopSignal makes systemd, which a node runs, shut down.
func (r recipe) stopSignal() string {
	if r.node {
		return "SIGRTMIN+3"
	}
	return ""
}

// tags are the full names of the images inside a node, without the tag, as those who start them call them.
func (b *builder) tags(ctx context.Context, kind string, storage []byte) (map[string][]string, error) {
	tags := map[string][]string{}
	list := exec.CommandContext(ctx, b.programs["kubeadm"], "config", "images", "list", "--kubernetes-version", toolchain.DefaultKubernetes)
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", list, err)
	}
	// What kind's containerd takes to make a pod of is not what kubeadm names.
	containerd, err := os.ReadFile(filepath.Join(kind, "images/base/files/etc/containerd/config.toml"))
	if err != nil {
		return nil, err
	}
	pause := sandbox.FindSubmatch(containerd)
	if pause == nil {
		return nil, fmt.Errorf("%s/images/base/files/etc/containerd/config.toml names no sandbox_image", kind)
	}
	for _, text := range [][]byte{out, pause[1], storage} {
		for _, match := range imageRef.FindAllSubmatch(text, -1) {
			tags[string(match[1])] = append(tags[string(match[1])], string(match[1])+":"+string(match[2]))
		}
	}
	return tags, nil
}

var (
	sandbox  = regexp.MustCompile(`sandbox_image = "(.*)"`)
	imageRef = regexp.MustCompile(`((?:registry\.k8s\.io|docker\.io)/[\w./-]+):([\w.-]+)`)
)

// storageManifest is the one that kind bakes into its node images, out of its source.
func storageManifest(kind string) ([]byte, error) {
	file := filepath.Join(kind, "pkg/build/nodeimage/const_storage.go")
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	var text func(e ast.Expr) string
	text = func(e ast.Expr) string {
		switch e := e.(type) {
		case *ast.BasicLit:
			return constant.StringVal(constant.MakeFromLiteral(e.Value, e.Kind, 0))
		case *ast.Ident:
			return values[e.Name]
		case *ast.BinaryExpr:
			return text(e.X) + text(e.Y)
		case *ast.ParenExpr:
			return text(e.X)
		}
		return ""
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok {
			for i, name := range spec.Names {
				if i < len(spec.Values) {
					values[name.Name] = text(spec.Values[i])
				}
			}
		}
		return true
	})
	const manifest = "defaultStorageManifest"
	if !strings.Contains(values[manifest], "kind: StorageClass") {
		return nil, fmt.Errorf("%s holds no %s", file, manifest)
	}
	return []byte(values[manifest]), nil
}

// node makes the image of a node, under the name ref.
func (b *builder) node(ctx context.Context, r recipe, labels map[string]string, ref string) (err error) {
	kind, err := b.toolchain.Source(ctx, "kind")
	if err != nil {
		return err
	}
	storage, err := storageManifest(kind)
	if err != nil {
		return err
	}
	archives, err := b.insides(ctx, kind, storage)
	if err != nil {
		return err
	}
	base := b.temporary("node-base")
	if err := b.nodeBase(ctx, r, kind, storage, base); err != nil {
		return err
	}
	undo := context.WithoutCancel(ctx)
	defer func() { err = errors.Join(err, b.engine.RemoveImage(undo, base)) }()

	b.say("baking %d images into the image of a node", len(archives))
	// What runs in it is no node: it has neither network nor init.
	id, err := b.engine.Run(ctx, engine.Container{
		Image: base, Labels: map[string]string{building: ref},
		Options: []string{"--privileged", "--network", "none", "--entrypoint", "sleep"}, Command: []string{"infinity"},
	})
	defer func() {
		_, removed := b.engine.RemoveLabelled(undo, building+"="+ref)
		err = errors.Join(err, removed)
	}()
	if err != nil {
		return err
	}
	stop, err := b.containerd(ctx, id)
	if err != nil {
		return err
	}
	for _, file := range archives {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		_, err = b.engine.Exec(ctx, id, f, "ctr", "--namespace=k8s.io", "images", "import", "--all-platforms", "--no-unpack", "--digests", "-")
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("bake %s: %w", filepath.Base(file), err)
		}
	}
	if err := stop(); err != nil {
		return err
	}
	changes := []string{"ENTRYPOINT " + jsonList(r.Entrypoint), "CMD []", "LABEL " + building + "="}
	for name, value := range labels {
		changes = append(changes, fmt.Sprintf("LABEL %s=%s", name, value))
	}
	whole := b.temporary("node")
	defer func() { err = errors.Join(err, b.engine.RemoveImage(undo, whole)) }()
	if _, err := b.engine.Commit(ctx, id, whole, changes...); err != nil {
		return err
	}
	return b.engine.Tag(ctx, whole, ref)
}

// containerd starts it in a container, waits until it answers, and returns how to end it.
func (b *builder) containerd(ctx context.Context, id string) (stop func() error, err error) {
	const pid = "/run/bake.pid"
	ended := make(chan error, 1)
	go func() {
		ended <- b.engine.Stream(ctx, nil, io.Discard, io.Discard, "exec", id, "sh", "-c", "echo $$ >"+pid+" && exec containerd")
	}()
	answered, cancel := context.WithTimeoutCause(ctx, answerTimeout, fmt.Errorf("no answer within %s", answerTimeout))
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err = b.engine.Exec(answered, id, nil, "ctr", "version"); err == nil {
			break
		}
		select {
		case <-tick.C:
		case died := <-ended:
			return nil, fmt.Errorf("start containerd in the image of a node: it ended: %w", died)
		case <-answered.Done():
			return nil, fmt.Errorf("start containerd in the image of a node: %w: %w", context.Cause(answered), err)
		}
	}
	return func() error {
		_, err := b.engine.Exec(ctx, id, nil, "sh", "-c", "kill $(cat "+pid+")")
		if err == nil {
			err = <-ended
		}
		if err == nil {
			_, err = b.engine.Exec(ctx, id, nil, "sh", "-c", "rm -rf /run/containerd "+pid)
		}
		if err != nil {
			return fmt.Errorf("stop containerd in the image of a node: %w", err)
		}
		return nil
	}, nil
}

// answerTimeout bounds how long containerd may take to start.
const answerTimeout = 2 * time.Minute

// insides writes the archives of the images inside a node.
func (b *builder) insides(ctx context.Context, kind string, storage []byte) (archives []string, err error) {
	tags, err := b.tags(ctx, kind, storage)
	if err != nil {
		return nil, err
	}
	for i, r := range nodeImages() {
		refs := tags[r.ref]
		if len(refs) == 0 {
			return nil, fmt.Errorf("name %s: neither kubeadm nor kind tells its tag", r.ref)
		}
		tarball := filepath.Join(b.work, fmt.Sprintf("inside-%d.layer", i))
		if err := b.layer(ctx, r, tarball); err != nil {
			return nil, fmt.Errorf("make %s: %w", refs[0], err)
		}
		image, err := imageOf(r, b.arch, compression.GZip, nil, tarball)
		if err != nil {
			return nil, err
		}
		file := filepath.Join(b.work, path.Base(r.ref)+".tar")
		if err := archive(file, image, refs...); err != nil {
			return nil, err
		}
		archives = append(archives, file)
		delete(tags, r.ref)
	}
	for ref, refs := range tags {
		err = errors.Join(err, fmt.Errorf("make %s: no recipe for %s", strings.Join(refs, ", "), ref))
	}
	return archives, err
}

// nodeBase loads the image that is a node but for the images inside: Debian's root file system, and on it the files of kind's base image, the
// programs, and ours.
func (b *builder) nodeBase(ctx context.Context, r recipe, kind string, storage []byte, ref string) error {
	root, err := b.root(ctx)
	if err != nil {
		return err
	}
	debian := filepath.Join(b.work, "debian.layer")
	if err := root.withoutUnits(debian); err != nil {
		return err
	}
	top := filepath.Join(b.work, "node.layer")
	l, err := newLayer(top)
	if err != nil {
		return err
	}
	if err := errors.Join(b.nodeFiles(ctx, l, root, kind, storage), b.addPrograms(l, r), l.close()); err != nil {
		return err
	}
	image, err := imageOf(r, b.arch, compression.None, map[string]string{building: b.options.prefix + r.ref}, debian, top)
	if err != nil {
		return err
	}
	return b.load(ctx, image, ref)
}

// withoutUnits writes the archive of the root file system without the units that a node does not run.
func (r rootFS) withoutUnits(file string) error {
	l, err := newLayer(file)
	if err != nil {
		return err
	}
	err = r.each(func(h *tar.Header, content io.Reader) error {
		for _, pattern := range disabled {
			if ok, _ := path.Match(pattern, h.Name); ok {
				return nil
			}
		}
		if h.Typeflag == tar.TypeReg {
			l.content(*h, content)
		} else {
			l.header(*h)
		}
		return l.err
	})
	return errors.Join(err, l.close())
}

func (b *builder) nodeFiles(ctx context.Context, l *layer, root rootFS, kind string, storage []byte) error {
	journald, err := root.read("etc/systemd/journald.conf")
	if err != nil {
		return err
	}
	for _, dir := range []string{"kind/manifests", "etc/kubernetes/manifests", "opt/cni/bin"} {
		l.directory(dir, 0o755, 0)
	}
	// A container must not read the log of the machine's kernel as its own.
	l.bytes("etc/systemd/journald.conf", 0o644, append(journald["etc/systemd/journald.conf"], "ReadKMsg=no\n"...))
	base := filepath.Join(kind, "images/base/files")
	err = filepath.WalkDir(base, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(base, file)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if bytes.HasPrefix(content, []byte("#!")) {
			mode = 0o755
		}
		if name == "etc/containerd/config.toml" {
			// A node's containerd may lack SYS_RESOURCE: then it cannot give a pod a better score with the OOM killer than its own.
			if content, err = replaceOnce(content, "restrict_oom_score_adj = false", "restrict_oom_score_adj = true"); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
		}
		l.bytes(name, mode, content)
		return l.err
	})
	if err != nil {
		return err
	}
	for _, f := range ours {
		content, err := files.ReadFile("files/" + f.name)
		if err != nil {
			return err
		}
		l.bytes(f.path, f.mode, content)
	}
	l.bytes("kind/version", 0o644, []byte(toolchain.DefaultKubernetes))
	l.bytes("kind/manifests/default-storage.yaml", 0o644, storage)
	for _, unit := range enabled {
		l.link("etc/systemd/system/multi-user.target.wants/"+unit, "/etc/systemd/system/"+unit)
	}
	// It registers with the kernel, which is the machine's.
	l.link("etc/systemd/system/systemd-binfmt.service", "/dev/null")
	spec, err := b.podSpec(ctx)
	if err != nil {
		return err
	}
	l.bytes("etc/containerd/cri-base.json", 0o644, spec)
	return nil
}

// podSpec is what containerd begins the specification of a container with: its own default, with kind's hook, and without limits on resources.
func (b *builder) podSpec(ctx context.Context) ([]byte, error) {
	cmd := exec.CommandContext(ctx, b.programs["ctr"], "oci", "spec")
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cmd, err)
	}
	var spec map[string]any
	if err := json.Unmarshal(out, &spec); err != nil {
		return nil, fmt.Errorf("read what %s prints: %w", cmd, err)
	}
	process, ok := spec["process"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("read what %s prints: no process", cmd)
	}
	delete(process, "rlimits")
	hooks, _ := spec["hooks"].(map[string]any)
	if hooks == nil {
		hooks = map[string]any{}
		spec["hooks"] = hooks
	}
	created, _ := hooks["createContainer"].([]any)
	hooks["createContainer"] = append(created, map[string]any{"path": "/kind/bin/mount-product-files.sh"})
	return json.MarshalIndent(spec, "", "  ")
}

func replaceOnce(text []byte, old, new string) ([]byte, error) {
	if n := bytes.Count(text, []byte(old)); n != 1 {
		return nil, fmt.Errorf("%q is there %d times, and wanted once", old, n)
	}
	return bytes.Replace(text, []byte(old), []byte(new), 1), nil
}

func jsonList(words []string) string {
	b, err := json.Marshal(words)
	if err != nil {
		panic(err) // strings can always be written
	}
	return string(b)
}
