// Package toolchain provides the programs that clusters are made of: etcd and etcdutl, Kubernetes' control plane, and
// kwok, which plays the nodes; and those that run beside them: Velero with its AWS plugin, and versitygw, which is the object
// store; and those that images are made of: a node's kubelet and containerd, CoreDNS ... Every one is of a pinned version, looked up in the places a user may have it in, or built from source into the user's cache.
//
// To pin another version of Kubernetes, run modules/pin with it and add it to KubernetesVersions. To move another set,
// edit its pair of files under modules, with go get and go mod tidy in a copy that has the names go.mod and go.sum. To add a
// component, add it to its set's tools (or make a set) and to the tables in sets.go.
package toolchain

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// The sources of a Binary: who put it where it is.
const (
	SourceBinDir = "--bin-dir"
	SourceAssets = "KUBEBUILDER_ASSETS"
	SourceCache  = "cache"
	// NotBuilt is in a list only: nothing has it yet, and Find would build it.
	NotBuilt = "not built"
)

// ErrUnknown is wrapped by an error about a name that no component or pinned version has.
var ErrUnknown = errors.New("unknown")

// Options of a toolchain. The zero value is that of a user who has set nothing.
type Options struct {
	// BinDir holds the user's own binaries, under the components' names. One that is there must be of the right version.
	// Default: RESTORE_DRILL_BIN_DIR.
	BinDir string
	// CacheDir is where binaries are built. Default: restore-drill/toolchain in the user's cache directory.
	CacheDir string
	// Progress receives a line for each thing that a user may have to wait for or should know; may be nil.
	Progress func(line string)
}

// A Toolchain finds binaries. It may be used by several goroutines, and many may share one cache.
type Toolchain struct {
	binDir, assets, cacheDir string
	cacheErr                 error

	mu       sync.Mutex
	progress func(string)
	asked    map[identity]string
	// passed holds what was said about binaries passed over: a drill looks them up for each of its clusters.
	passed map[string]bool
}

// A Binary is a component that can be run.
type Binary struct {
	Component string
	// Version as v1.36.3, and as the binary itself says.
	Version string
	// Path is empty where nothing is built yet.
	Path   string
	Source string
}

// New makes a toolchain. It touches nothing.
func New(o Options) *Toolchain {
	t := &Toolchain{
		binDir: o.BinDir, assets: os.Getenv("KUBEBUILDER_ASSETS"), cacheDir: o.CacheDir,
		progress: o.Progress, asked: map[identity]string{}, passed: map[string]bool{},
	}
	if t.binDir == "" {
		t.binDir = os.Getenv("RESTORE_DRILL_BIN_DIR")
	}
	if t.cacheDir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			t.cacheErr = fmt.Errorf("find a place for the toolchain: %w: set XDG_CACHE_HOME, or --bin-dir to a directory with the binaries", err)
		}
		t.cacheDir = filepath.Join(user, "restore-drill", "toolchain")
	}
	return t
}

// Find looks a component up, and builds it if need be, which can take minutes. An empty version of Kubernetes is the default
// one. What it returns has answered with the right version.
func (t *Toolchain) Find(ctx context.Context, component, kubernetesVersion string) (Binary, error) {
	found, err := t.FindAll(ctx, kubernetesVersion, component)
	if err != nil {
		return Binary{}, err
	}
	return found[0], nil
}

// FindAll finds several components, in the order named. What is missing is built together, which takes less time than one by one.
func (t *Toolchain) FindAll(ctx context.Context, kubernetesVersion string, names ...string) ([]Binary, error) {
	wanted, err := choose(kubernetesVersion, names)
	if err != nil {
		return nil, err
	}
	return t.find(ctx, wanted)
}

func (t *Toolchain) find(ctx context.Context, wanted []component) ([]Binary, error) {
	found := make([]Binary, len(wanted))
	missing := map[*set][]component{}
	var order []*set
	var problems []error
	for i, c := range wanted {
		var err error
		if found[i], err = t.lookUp(ctx, c); err != nil {
			problems = append(problems, err)
		}
		if err == nil && found[i].Path == "" {
			if missing[c.set] == nil {
				order = append(order, c.set)
			}
			// Several versions of Kubernetes want the same etcd.
			if !slices.ContainsFunc(missing[c.set], func(other component) bool { return other.name == c.name }) {
				missing[c.set] = append(missing[c.set], c)
			}
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	for _, s := range order {
		if err := t.build(ctx, s, missing[s]); err != nil {
			return nil, err
		}
	}
	for i, c := range wanted {
		if found[i].Path == "" {
			found[i] = t.built(c)
		}
	}
	return found, nil
}

// Build looks up what is named and builds what is missing, in that order: a component, those of Kubernetes in the default version, or a version
// of Kubernetes, which stands for all that its control plane consists of. Without names it is the default version.
func (t *Toolchain) Build(ctx context.Context, names ...string) error {
	if len(names) == 0 {
		names = []string{DefaultKubernetes}
	}
	var wanted []component
	var unknown []error
	for _, name := range names {
		chosen, err := controlPlane(name)
		if err != nil {
			chosen, err = choose("", []string{name})
		}
		if err != nil {
			err = fmt.Errorf("%w, or a version of Kubernetes: %s", err, strings.Join(KubernetesVersions, ", "))
		}
		wanted, unknown = append(wanted, chosen...), append(unknown, err)
	}
	if err := errors.Join(unknown...); err != nil {
		return err
	}
	_, err := t.find(ctx, wanted)
	return err
}

// Everything names all that drills on the provider process need, what most of them need first. What images are made of is built with them.
func Everything() []string {
	names := []string{DefaultKubernetes}
	for _, c := range componentsIn(beside) {
		names = append(names, c.name)
	}
	for _, version := range KubernetesVersions {
		if version != DefaultKubernetes {
			names = append(names, version)
		}
	}
	return names
}

// List tells for every component of every version where Find would take it from, and builds nothing. A binary that Find would
// refuse has the reason as its source.
func (t *Toolchain) List(ctx context.Context) ([]Binary, error) {
	quiet := &Toolchain{
		binDir: t.binDir, assets: t.assets, cacheDir: t.cacheDir, cacheErr: t.cacheErr,
		asked: map[identity]string{}, passed: map[string]bool{},
	}
	components := componentsIn(common)
	for _, version := range KubernetesVersions {
		components = append(components, kubernetes[version].components...)
	}
	var all []Binary
	components = append(components, componentsIn(beside)...)
	for _, version := range NodeVersions {
		components = append(components, nodes[version].components...)
	}
	for _, c := range append(components, componentsIn(onNodes)...) {
		b, err := quiet.lookUp(ctx, c)
		var refused *refusal
		switch {
		case errors.As(err, &refused):
			b = Binary{Component: c.name, Version: c.version(), Path: refused.path, Source: SourceBinDir + ", refused: " + refused.reason}
		case err != nil:
			return nil, err
		case b.Path == "":
			b = Binary{Component: c.name, Version: c.version(), Source: NotBuilt}
		}
		all = append(all, b)
	}
	return all, nil
}

// Components names all that Find finds, in the order in which List lists them.
func Components() (names []string) {
	all, err := componentsOf(DefaultKubernetes)
	if err != nil {
		panic(err) // the pins are part of the program
	}
	for _, c := range all {
		names = append(names, c.name)
	}
	return names
}

// choose resolves names, with all mistakes at once.
func choose(kubernetesVersion string, names []string) ([]component, error) {
	all, err := componentsOf(kubernetesVersion)
	if err != nil {
		return nil, err
	}
	var chosen []component
	var unknown, known []string
	for _, c := range all {
		known = append(known, c.name)
	}
	for _, name := range names {
		i := slices.Index(known, name)
		if i < 0 {
			unknown = append(unknown, fmt.Sprintf("%q", name))
			continue
		}
		chosen = append(chosen, all[i])
	}
	if len(unknown) > 0 {
		return nil, fmt.Errorf("%w component %s (want %s)", ErrUnknown, strings.Join(unknown, ", "), strings.Join(known, ", "))
	}
	return chosen, nil
}

// A refusal says why a binary that the user pointed at is not used.
type refusal struct{ component, path, reason, wanted string }

func (r *refusal) Error() string {
	return fmt.Sprintf("use %s: %s, wanted %s: put %s %s there, or unset --bin-dir (RESTORE_DRILL_BIN_DIR) to have it built",
		r.path, r.reason, r.wanted, r.component, r.wanted)
}

// lookUp finds a component that is there already; a Binary without a path means that it has to be built.
// What the user named must be right. Other places belong to other programs as well, so what does not fit there is passed over.
func (t *Toolchain) lookUp(ctx context.Context, c component) (Binary, error) {
	wanted := c.version()
	if t.binDir != "" {
		if err := isDirectory(t.binDir); err != nil {
			return Binary{}, fmt.Errorf("use --bin-dir (RESTORE_DRILL_BIN_DIR): %w", err)
		}
	}
	for _, place := range []Binary{
		{Path: t.binDir, Source: SourceBinDir},
		{Path: t.assets, Source: SourceAssets},
		{Path: t.setDir(c.set), Source: SourceCache},
	} {
		if place.Path == "" {
			continue
		}
		file, err := filepath.Abs(filepath.Join(place.Path, c.name))
		if err != nil {
			return Binary{}, fmt.Errorf("use %s: %w", place.Source, err)
		}
		reason, err := t.misfit(ctx, c, file)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case ctx.Err() != nil:
			return Binary{}, fmt.Errorf("ask %s for its version: %w", file, context.Cause(ctx))
		case err == nil && reason == "":
			if place.Source == SourceCache {
				t.mentionEmptyBinDir()
			}
			return Binary{Component: c.name, Version: wanted, Path: file, Source: place.Source}, nil
		case err != nil:
			reason = "it does not tell its version (" + err.Error() + ")"
		}
		switch place.Source {
		case SourceBinDir:
			return Binary{}, &refusal{c.name, file, reason, wanted}
		case SourceAssets:
			t.sayOnce("passing over %s of KUBEBUILDER_ASSETS: %s, wanted %s", file, reason, wanted)
		case SourceCache:
			t.say("building %s anew: %s, wanted %s", file, reason, wanted)
		}
	}
	return Binary{}, nil
}

// misfit says what is wrong with a file as the binary of a component; nothing is when both results are empty.
func (t *Toolchain) misfit(ctx context.Context, c component, file string) (string, error) {
	version, err := t.ask(ctx, c, file)
	if err != nil || version == c.version() {
		return "", err
	}
	return "it is " + version, nil
}

func (t *Toolchain) setDir(s *set) string {
	if t.cacheErr != nil {
		return ""
	}
	return filepath.Join(t.cacheDir, s.directory())
}

// built is a component that the cache holds.
func (t *Toolchain) built(c component) Binary {
	return Binary{Component: c.name, Version: c.version(), Path: filepath.Join(t.setDir(c.set), c.name), Source: SourceCache}
}

// say tells the user, one line at a time.
func (t *Toolchain) say(format string, args ...any) {
	if t.progress == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.progress(fmt.Sprintf(format, args...))
}

func (t *Toolchain) sayOnce(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	t.mu.Lock()
	said := t.passed[line]
	t.passed[line] = true
	t.mu.Unlock()
	if !said {
		t.say("%s", line)
	}
}

// mentionEmptyBinDir tells, once, who named a directory with binaries that there are none in it. That a few are missing is as it should be.
func (t *Toolchain) mentionEmptyBinDir() {
	if t.binDir == "" {
		return
	}
	for _, c := range componentsIn(slices.Concat(common, beside, []*set{kubernetes[DefaultKubernetes]})) {
		if _, err := os.Lstat(filepath.Join(t.binDir, c.name)); err == nil {
			return
		}
	}
	t.sayOnce("--bin-dir %s holds none of the toolchain's programs: they come from the cache", t.binDir)
}

func isDirectory(path string) error {
	info, err := os.Stat(path)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a directory", path)
	}
	return err
}

// elapsed is a duration as people say it.
func elapsed(d time.Duration) time.Duration {
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Second)
}
