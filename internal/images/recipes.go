package images

import (
	"embed"
	"io/fs"

	"github.com/restore-drill/restore-drill/internal/toolchain"
)

// A recipe says what an image is made of, in one layer. Its exported fields decide what is in it.
type recipe struct {
	ref, purpose string
	// node is the image of a node, with other images in it.
	node bool

	// Programs of the toolchain, and where they go.
	Programs []program
	// Debian are files out of the node's root file system, and where they go.
	Debian []debianFile
	// Packages of the node's root file system whose files it holds, with all that they depend on.
	Packages []string
	// Paths are further files of the node's root file system, as patterns of package path.
	Paths []string
	// Applets makes the links by which busybox is called.
	Applets bool
	// Certificates adds the authorities that Debian trusts.
	Certificates bool
	// Home is a directory that User owns; empty for none.
	Home string
	User string

	Entrypoint, Cmd, Env []string
}

// A program of the toolchain in an image.
type program struct{ Component, Path string }

// A debianFile is one file of the root file system in an image.
type debianFile struct{ From, Path string }

// nonroot is the user of distroless images.
const nonroot = "65532"

// table of the images that the engine is to have.
func table() []recipe {
	const kubernetes = toolchain.DefaultKubernetes
	velero, plugin, gateway := toolchain.Pinned("velero"), toolchain.Pinned("velero-plugin-for-aws"), toolchain.Pinned("versitygw")
	return []recipe{
		{
			ref: NodeRef(kubernetes), purpose: "a node of a cluster, with everything that the control plane runs", node: true,
			Programs: []program{
				{"containerd", "usr/local/bin/containerd"},
				{"containerd-shim-runc-v2", "usr/local/bin/containerd-shim-runc-v2"},
				{"ctr", "usr/local/bin/ctr"},
				{"crictl", "usr/local/bin/crictl"},
				{"etcdctl", "usr/local/bin/etcdctl"},
				{"etcdutl", "usr/local/bin/etcdutl"},
				{"kubeadm", "usr/bin/kubeadm"},
				{"kubectl", "usr/bin/kubectl"},
				{"kubelet", "usr/bin/kubelet"},
				{"cni-host-local", "opt/cni/bin/host-local"},
				{"cni-loopback", "opt/cni/bin/loopback"},
				{"cni-portmap", "opt/cni/bin/portmap"},
				{"cni-ptp", "opt/cni/bin/ptp"},
			},
			Entrypoint: []string{"/usr/local/bin/entrypoint", "/sbin/init"},
			Env:        []string{"container=docker"}, // systemd asks for it
		},
		{
			ref: "velero/velero:" + velero, purpose: "Velero, its node agent and its restore helper",
			Programs:     []program{{"velero", "velero"}, {"velero-restore-helper", "velero-restore-helper"}},
			Certificates: true, Home: "home/cnb", User: nonroot, Env: []string{"HOME=/home/cnb"}, Entrypoint: []string{"/velero"},
		},
		{
			ref: "velero/velero-plugin-for-aws:" + plugin, purpose: "Velero's plugin for object stores",
			Programs: []program{{"velero-plugin-for-aws", "plugins/velero-plugin-for-aws"}},
			// As upstream's, it copies the plugin into the volume that Velero's pod has for it.
			Debian: []debianFile{{"usr/bin/busybox", "bin/cp"}}, User: nonroot,
			Entrypoint: []string{"/bin/cp", "/plugins/velero-plugin-for-aws", "/target/."},
		},
		{
			// Debian's is 1.35, and crashes on wget -T.
			ref: "busybox:1.37", purpose: "the pods of drills' workloads",
			Debian: []debianFile{{"usr/bin/busybox", "bin/busybox"}}, Applets: true, Cmd: []string{"sh"},
		},
		{
			ref: "versity/versitygw:" + gateway, purpose: "the object store",
			Programs:     []program{{"versitygw", "usr/local/bin/versitygw"}},
			Certificates: true, Entrypoint: []string{"/usr/local/bin/versitygw"},
		},
	}
}

// nodeImages are those inside a node. Kubeadm and kind's storage manifest say by which tags they are called.
func nodeImages() []recipe {
	all := []recipe{
		{
			// The command line is in the manifests of kubeadm, which name each program without a directory.
			ref: "registry.k8s.io/etcd", Programs: []program{{"etcd", "usr/local/bin/etcd"}, {"etcdctl", "usr/local/bin/etcdctl"}, {"etcdutl", "usr/local/bin/etcdutl"}},
		},
		{
			ref: "registry.k8s.io/coredns/coredns", Programs: []program{{"coredns", "usr/local/bin/coredns"}},
			Entrypoint: []string{"/usr/local/bin/coredns"},
		},
		{
			ref: "registry.k8s.io/kube-proxy", Programs: []program{{"kube-proxy", "usr/local/bin/kube-proxy"}},
			Packages: []string{"conntrack", "iptables", "kmod", "nftables"},
			Paths:    []string{"usr/sbin/ip*tables*", "etc/alternatives/ip*tables*"},
		},
		{
			// What keeps a pod's namespaces and reaps its orphans.
			ref: "registry.k8s.io/pause", Debian: []debianFile{{"usr/bin/catatonit", "pause"}}, Entrypoint: []string{"/pause", "-P"},
		},
		{
			ref: "docker.io/kindest/local-path-provisioner", Programs: []program{{"local-path-provisioner", "usr/local/bin/local-path-provisioner"}},
			Certificates: true, Entrypoint: []string{"/usr/local/bin/local-path-provisioner"},
		},
		{
			ref:    "docker.io/kindest/local-path-helper",
			Debian: []debianFile{{"usr/bin/busybox", "bin/busybox"}}, Applets: true, Cmd: []string{"sh"},
		},
	}
	for _, name := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
		all = append(all, recipe{ref: "registry.k8s.io/" + name, Programs: []program{{name, "usr/local/bin/" + name}}})
	}
	return all
}

// The root file system of a node: a release of Debian, and packages of it. Those up to procps are what kind's base image has; fuse-overlayfs and the
// clients of network storage are left out.
const suite = "bookworm"

var packages = []string{
	"systemd", "systemd-sysv", "dbus", "conntrack", "iptables", "nftables", "iproute2", "ethtool", "util-linux", "mount", "kmod", "libseccomp2",
	"pigz", "e2fsprogs", "bash", "ca-certificates", "curl", "jq", "procps",
	"runc",
	// For the images inside.
	"busybox-static", "catatonit",
}

// disabled units of a node: a container has no hardware, and no console to log in at.
var disabled = []string{
	"usr/lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service",
	"usr/lib/systemd/system/multi-user.target.wants/*",
	"usr/lib/systemd/system/local-fs.target.wants/*",
	"usr/lib/systemd/system/sockets.target.wants/*udev*",
	"usr/lib/systemd/system/sockets.target.wants/*initctl*",
	"usr/lib/systemd/system/basic.target.wants/*",
	"etc/systemd/system/*.wants/*",
}

// enabled units of a node.
var enabled = []string{"containerd.service", "kubelet.service", "node-network.service", "undo-mount-hacks.service"}

// ours are the files of a node that are neither Debian's nor kind's.
var ours = []struct {
	name, path string
	mode       fs.FileMode
}{
	{"node-network", "usr/local/bin/node-network", 0o755},
	{"node-network.service", "etc/systemd/system/node-network.service", 0o644},
	{"runc-capped", "usr/local/sbin/runc", 0o755},
	{"default-cni.yaml", "kind/manifests/default-cni.yaml", 0o644},
}

//go:embed files
var files embed.FS

// embedded is the content of ours.
func embedded() (contents []string, err error) {
	for _, f := range ours {
		b, err := files.ReadFile("files/" + f.name)
		if err != nil {
			return nil, err
		}
		contents = append(contents, f.path, f.mode.String(), string(b))
	}
	return contents, nil
}
