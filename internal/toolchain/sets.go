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
	// tags of the build; empty in most.
	tags string
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
			{name: "velero-restore-helper", pkg: "github.com/vmware-tanzu/velero/cmd/velero-restore-helper"},
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

// NodeVersions are the versions of Kubernetes of which the programs of a node are pinned.
var NodeVersions = []string{"v1.36.3"}

// nodes holds the set of Kubernetes' programs on a node, for each of NodeVersions.
var nodes = func() map[string]*set {
	all := map[string]*set{}
	for _, version := range NodeVersions {
		all[version] = load(&set{
			name: "node-" + version, module: "k8s.io/kubernetes", stamp: stampKubernetes,
			components: []component{
				{name: "kubeadm", pkg: "k8s.io/kubernetes/cmd/kubeadm", ask: []string{"version", "--output", "yaml"}},
				{name: "kubelet", pkg: "k8s.io/kubernetes/cmd/kubelet", ask: []string{"--version"}},
				{name: "kubectl", pkg: "k8s.io/kubernetes/cmd/kubectl", ask: []string{"version", "--client"}},
				{name: "kube-proxy", pkg: "k8s.io/kubernetes/cmd/kube-proxy", ask: []string{"--version"}},
			},
		})
	}
	return all
}()

// onNodes are the sets of what else is on a node. Only images are made of them.
var onNodes = []*set{
	load(&set{
		name:       "etcdctl",
		module:     "go.etcd.io/etcd/etcdctl/v3",
		components: []component{{name: "etcdctl", pkg: "go.etcd.io/etcd/etcdctl/v3", ask: []string{"version"}}},
		stamp: func(version string) []string {
			return []string{"go.etcd.io/etcd/api/v3/version.Version=" + strings.TrimPrefix(version, "v")}
		},
	}),
	load(&set{
		name:   "containerd",
		module: "github.com/containerd/containerd/v2",
		components: []component{
			{name: "containerd", pkg: "github.com/containerd/containerd/v2/cmd/containerd"},
			{name: "containerd-shim-runc-v2", pkg: "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"},
			{name: "ctr", pkg: "github.com/containerd/containerd/v2/cmd/ctr"},
		},
		// Snapshotters that no node of kind's uses, as upstream's build of kind's nodes leaves them out.
		tags: "no_aufs,no_btrfs,no_devmapper,no_zfs",
		stamp: func(version string) []string {
			return []string{"github.com/containerd/containerd/v2/version.Version=" + version}
		},
	}),
	load(&set{
		name:       "cri-tools",
		module:     "sigs.k8s.io/cri-tools",
		components: []component{{name: "crictl", pkg: "sigs.k8s.io/cri-tools/cmd/crictl"}},
		stamp:      func(version string) []string { return []string{"sigs.k8s.io/cri-tools/pkg/version.Version=" + version} },
	}),
	load(&set{
		name:   "cni",
		module: "github.com/containernetworking/plugins",
		components: []component{
			{name: "cni-host-local", pkg: "github.com/containernetworking/plugins/plugins/ipam/host-local"},
			{name: "cni-loopback", pkg: "github.com/containernetworking/plugins/plugins/main/loopback"},
			{name: "cni-portmap", pkg: "github.com/containernetworking/plugins/plugins/meta/portmap"},
			{name: "cni-ptp", pkg: "github.com/containernetworking/plugins/plugins/main/ptp"},
		},
		stamp: func(version string) []string {
			return []string{"github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion=" + version}
		},
	}),
	load(&set{
		name:       "coredns",
		module:     "github.com/coredns/coredns",
		components: []component{{name: "coredns", pkg: "github.com/coredns/coredns"}},
		stamp:      noStamp,
	}),
	load(&set{
		name:       "local-path-provisioner",
		module:     "github.com/rancher/local-path-provisioner",
		components: []component{{name: "local-path-provisioner", pkg: "github.com/rancher/local-path-provisioner"}},
		stamp:      func(version string) []string { return []string{"main.VERSION=" + version} },
	}),
	// Of kind it is the sources that make a node image: the files of its base image, and its storage manifest.
	load(&set{
		name:       "kind",
		module:     "sigs.k8s.io/kind",
		components: []component{{name: "kind", pkg: "sigs.k8s.io/kind"}},
		stamp:      noStamp,
	}),
}

func noStamp(string) []string { return nil }

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
		"build", "-v", "-mod=readonly", "-trimpath", "-buildvcs=false", "-tags=" + s.tags, "-ldflags=" + ldflags, "-o", out,
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
	version := cmp.Or(kubernetesVersion, DefaultKubernetes)
	all, err := controlPlane(version)
	if err != nil {
		return nil, err
	}
	all = append(all, componentsIn(beside)...)
	if node, ok := nodes[version]; ok {
		all = append(all, node.components...)
	}
	return append(all, componentsIn(onNodes)...), nil
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

// OfControlPlane tells whether a listed binary belongs to a control plane of the default version of Kubernetes.
func OfControlPlane(b Binary) bool {
	plane, err := controlPlane(DefaultKubernetes)
	return err == nil && slices.ContainsFunc(plane, func(c component) bool { return c.name == b.Component && c.version() == b.Version })
}
