package toolchain

import (
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"path"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// DefaultKubernetes is the version of Kubernetes where none is asked for.
const DefaultKubernetes = "v1.36.3"

// KubernetesVersions that are pinned, oldest first.
var KubernetesVersions = []string{"v1.35.4", "v1.36.3", "v1.37.0"}

// Module sets are stored as NAME.mod and NAME.sum: a directory with a go.mod of its own could be neither embedded nor
// reached by go install.
//
//go:embed modules/*.mod modules/*.sum
var modules embed.FS

// A set is a go.mod with its go.sum, from which components of one version are built.
type set struct {
	// name of its files, and of its directory in the cache.
	name     string
	mod, sum []byte
	// module whose pinned version is that of the set, and of its components where they do not name their own.
	module     string
	components []component
	// stamp gives the linker's -X settings for a version: upstream's build sets them, and a plain go build does not.
	stamp func(version string) []string
}

// A component is one program of a set.
type component struct {
	name string
	// pkg is the Go package of its main function.
	pkg string
	// ask are the arguments that make it print its version and exit. A program without such has the version of its module in the
	// build information that Go puts into every binary.
	ask []string
	// module that it comes from, where that is not its set's.
	module string
	set    *set
}

// common sets make a control plane, together with that of its version of Kubernetes.
var common = []*set{
	load(&set{
		name:   "etcd",
		module: "go.etcd.io/etcd/server/v3",
		components: []component{
			{name: "etcd", pkg: "go.etcd.io/etcd/server/v3", ask: []string{"--version"}},
			{name: "etcdutl", pkg: "go.etcd.io/etcd/etcdutl/v3", ask: []string{"version"}},
		},
		stamp: func(version string) []string {
			const pkg = "go.etcd.io/etcd/api/v3/version."
			return []string{
				pkg + "Version=" + strings.TrimPrefix(version, "v"),
				// The module proxy does not tell the commit, so the source is named by its module.
				pkg + "GitSHA=go.etcd.io/etcd/server/v3@" + version,
			}
		},
	}),
	load(&set{
		name:       "kwok",
		module:     "sigs.k8s.io/kwok",
		components: []component{{name: "kwok", pkg: "sigs.k8s.io/kwok/cmd/kwok", ask: []string{"--version"}}},
		stamp: func(version string) []string {
			return []string{"sigs.k8s.io/kwok/pkg/consts.Version=" + strings.TrimPrefix(version, "v")}
		},
	}),
}

// beside are the sets of what runs beside clusters. An etcd drill needs none of it.
var beside = []*set{
	load(&set{
		name:   "versitygw",
		module: "github.com/versity/versitygw",
		components: []component{
			{name: "versitygw", pkg: "github.com/versity/versitygw/cmd/versitygw", ask: []string{"--version"}},
		},
		stamp: func(version string) []string {
			return []string{"main.Version=" + strings.TrimPrefix(version, "v"), "main.Build=github.com/versity/versitygw@" + version}
		},
	}),
	load(&set{
		name:   "velero",
		module: "github.com/vmware-tanzu/velero",
		components: []component{
			{name: "velero", pkg: "github.com/vmware-tanzu/velero/cmd/velero", ask: []string{"version", "--client-only"}},
			{
				name: "velero-plugin-for-aws", pkg: "github.com/vmware-tanzu/velero-plugin-for-aws/velero-plugin-for-aws",
				module: "github.com/vmware-tanzu/velero-plugin-for-aws",
			},
		},
		stamp: func(version string) []string {
			const pkg = "github.com/vmware-tanzu/velero/pkg/buildinfo."
			return []string{
				pkg + "Version=" + version, pkg + "ImageRegistry=velero",
				pkg + "GitSHA=github.com/vmware-tanzu/velero@" + version, pkg + "GitTreeState=clean",
				// Its second server of metrics has no flag, and would listen on port 8080 of every interface: two could not run on a machine.
				"sigs.k8s.io/controller-runtime/pkg/metrics/server.DefaultBindAddress=0",
			}
		},
	}),
}

// kubernetes holds the set of each of KubernetesVersions.
var kubernetes = func() map[string]*set {
	all := map[string]*set{}
	for _, version := range KubernetesVersions {
		s := &set{name: "kubernetes-" + version, module: "k8s.io/kubernetes", stamp: stampKubernetes}
		for _, name := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
			s.components = append(s.components, component{name: name, pkg: "k8s.io/kubernetes/cmd/" + name, ask: []string{"--version"}})
		}
		all[version] = load(s)
	}
	return all
}()

// stampKubernetes settles what the components and their clients' user agents call themselves. The commit is left empty,
// which they show as unknown: a module does not tell it.
func stampKubernetes(version string) (stamps []string) {
	numbers := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	for _, pkg := range []string{"k8s.io/component-base/version.", "k8s.io/client-go/pkg/version."} {
		stamps = append(stamps,
			pkg+"gitVersion="+version, pkg+"gitMajor="+numbers[0], pkg+"gitMinor="+numbers[1],
			pkg+"gitCommit=", pkg+"gitTreeState=archive")
	}
	return stamps
}

// load reads the files of a set out of the program itself.
func load(s *set) *set {
	var err error
	if s.mod, err = modules.ReadFile("modules/" + s.name + ".mod"); err != nil {
		panic(err)
	}
	if s.sum, err = modules.ReadFile("modules/" + s.name + ".sum"); err != nil {
		panic(err)
	}
	for i := range s.components {
		c := &s.components[i]
		c.set = s
		if c.version() == "" {
			panic("modules/" + s.name + ".mod does not require " + c.origin())
		}
	}
	return s
}

// version that the set pins, as v3.6.16.
func (s *set) version() string { return s.pinned(s.module) }

// version that is pinned of the component.
func (c component) version() string { return c.set.pinned(c.origin()) }

// origin is the module that the component comes from.
func (c component) origin() string { return cmp.Or(c.module, c.set.module) }

// pinned is the version that the set requires of a module; empty where it does not.
func (s *set) pinned(module string) string {
	for line := range strings.Lines(string(s.mod)) {
		fields := strings.Fields(strings.TrimPrefix(line, "require "))
		if len(fields) >= 2 && fields[0] == module && strings.HasPrefix(fields[1], "v") {
			return fields[1]
		}
	}
	return ""
}

// arguments of go build for packages of the set, their executables to be left in the directory out.
func (s *set) arguments(out string, packages ...string) []string {
	ldflags := "-s -w"
	for _, stamp := range s.stamp(s.version()) {
		ldflags += " -X " + stamp
	}
	return append([]string{
		"build", "-v", "-mod=readonly", "-trimpath", "-buildvcs=false", "-tags=", "-ldflags=" + ldflags, "-o", out,
	}, packages...)
}

// environment that a build adds to that of the process.
func (s *set) environment() []string {
	return []string{"CGO_ENABLED=0", "GOWORK=off", "GOOS=" + runtime.GOOS, "GOARCH=" + runtime.GOARCH}
}

// directory is the set's name in the cache. It changes with the pins and with the way of building, so that what was built
// from others is never taken for it.
func (s *set) directory() string {
	digest := sha256.New()
	for _, part := range []string{
		string(s.mod), string(s.sum), strings.Join(s.arguments(""), " "), strings.Join(s.environment(), " "),
	} {
		fmt.Fprintf(digest, "%d:%s", len(part), part)
	}
	return s.name + "-" + hex.EncodeToString(digest.Sum(nil))[:12]
}

var majorVersion = regexp.MustCompile(`^v\d+$`)

// executable is the name that go build gives a package's program.
func (c component) executable() string {
	if base := path.Base(c.pkg); !majorVersion.MatchString(base) {
		return base
	}
	return path.Base(path.Dir(c.pkg))
}

// componentsOf lists every component for a version of Kubernetes, those of its control plane first; "" is the default one.
func componentsOf(kubernetesVersion string) ([]component, error) {
	plane, err := controlPlane(cmp.Or(kubernetesVersion, DefaultKubernetes))
	if err != nil {
		return nil, err
	}
	return append(plane, componentsIn(beside)...), nil
}

// controlPlane lists what a control plane of a version of Kubernetes consists of.
func controlPlane(version string) ([]component, error) {
	k, ok := kubernetes[version]
	if !ok {
		return nil, fmt.Errorf("%w version of Kubernetes %q (want %s)", ErrUnknown, version, strings.Join(KubernetesVersions, ", "))
	}
	return componentsIn(append(slices.Clone(common), k)), nil
}

func componentsIn(sets []*set) (all []component) {
	for _, s := range sets {
		all = append(all, s.components...)
	}
	return all
}
