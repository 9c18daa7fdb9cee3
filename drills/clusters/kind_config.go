package clusters

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"
	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
	"sigs.k8s.io/yaml"

	"github.com/restore-drill/restore-drill/internal/engine"
	"github.com/restore-drill/restore-drill/internal/toolchain"
)

const defaultKubernetes = toolchain.DefaultKubernetes

// kindest is the image that a cluster's machines are made of.
func kindest(s Spec) string {
	return cmp.Or(s.NodeImage, "kindest/node:"+cmp.Or(s.Version, defaultKubernetes))
}

// A host is what the machine that containers run on lacks for a kubelet.
type host struct {
	// cgroupV1, which kubelets refuse unless they are told not to.
	cgroupV1 bool
	// bounded says that it cannot give the capability to lift resource limits, which a kubelet wants for itself.
	bounded bool
}

func readHost(ctx context.Context, e *engine.Engine) (h host, err error) {
	info, err := e.Info(ctx)
	if err != nil {
		return h, err
	}
	h.cgroupV1 = info.CgroupVersion == 1
	status, err := os.ReadFile("/proc/self/status")
	if errors.Is(err, os.ErrNotExist) {
		return h, nil // the engine's machine is not this one
	}
	if err != nil {
		return h, err
	}
	capabilities, err := engine.ParseCapabilities(string(status))
	h.bounded = err == nil && !capabilities.Has("SYS_RESOURCE")
	return h, err
}

// ParseKindConfig reads further configuration of a kind cluster, JSON in the terms of kind.x-k8s.io/v1alpha4; of nothing it makes nil.
func ParseKindConfig(raw []byte) (*v1alpha4.Cluster, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	c := &v1alpha4.Cluster{}
	if err := yaml.UnmarshalStrict(raw, c); err != nil {
		return nil, fmt.Errorf("cluster.kind.config: %w (want the fields of kind.x-k8s.io/v1alpha4: https://kind.sigs.k8s.io/docs/user/configuration)", err)
	}
	return c, nil
}

// failCgroupV1Since is the first version whose kubelets know the setting that lets them run on cgroup v1.
var failCgroupV1Since = version.MustParseSemantic("v1.31.0")

// Ports in a control-plane machine.
const (
	apiServerPort = 6443
	etcdPort      = 2379
)

// kindConfig is the cluster in kind's terms: the spec's own configuration, with what the drill and this machine need beside it.
func (s Spec) kindConfig(name, image, listen string, h host) (*v1alpha4.Cluster, error) {
	c := &v1alpha4.Cluster{}
	if s.Kind != nil {
		c = s.Kind.DeepCopy()
	}
	var errs []error
	if c.Name != "" {
		errs = append(errs, fmt.Errorf("cluster.kind.config.name %q: a drill names its clusters itself: leave it out", c.Name))
	}
	if c.Networking.APIServerAddress != "" && c.Networking.APIServerAddress != listen {
		errs = append(errs, fmt.Errorf("cluster.kind.config.networking.apiServerAddress %q: a drill's API servers listen on loopback alone: leave it out", c.Networking.APIServerAddress))
	}
	if c.Networking.DisableDefaultCNI {
		errs = append(errs, errors.New("cluster.kind.config.networking.disableDefaultCNI: nobody would bring another network, and no node would become ready: leave it out"))
	}
	if len(c.Nodes) == 0 {
		c.Nodes = make([]v1alpha4.Node, max(1, s.Nodes))
		for i := range c.Nodes {
			c.Nodes[i].Role = v1alpha4.WorkerRole
		}
		c.Nodes[0].Role = v1alpha4.ControlPlaneRole
	}
	control := -1
	for i, n := range c.Nodes {
		if n.Image == "" {
			c.Nodes[i].Image = image
		}
		if n.Role == v1alpha4.ControlPlaneRole || n.Role == "" {
			if control >= 0 {
				errs = append(errs, fmt.Errorf("cluster.kind.config.nodes[%d]: a second control-plane node: %w", i, ErrUnsupported))
			}
			control = i
		}
	}
	if control < 0 {
		errs = append(errs, errors.New("cluster.kind.config.nodes: none has the role control-plane"))
	}
	if len(c.Nodes) > maxMachines {
		errs = append(errs, fmt.Errorf("cluster.kind.config.nodes: %d nodes, want %d or less: %w", len(c.Nodes), maxMachines, ErrUnsupported))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	c.Kind, c.APIVersion, c.Name = "Cluster", "kind.x-k8s.io/v1alpha4", name
	c.Networking.APIServerAddress = listen
	c.Nodes[control].ExtraPortMappings = append(c.Nodes[control].ExtraPortMappings,
		v1alpha4.PortMapping{ContainerPort: etcdPort, ListenAddress: listen, Protocol: v1alpha4.PortMappingProtocolTCP})
	patches, err := s.kubeadmPatches(h)
	if err != nil {
		return nil, err
	}
	// The user's come last: they win.
	c.KubeadmConfigPatches = append(patches, c.KubeadmConfigPatches...)
	if h.bounded {
		if c.FeatureGates == nil {
			c.FeatureGates = map[string]bool{}
		}
		c.FeatureGates["KubeletInUserNamespace"] = true
	}
	return c, nil
}

// kubeadmPatches let workloads run on the control-plane node, which may be the only one, and a kubelet on this machine.
func (s Spec) kubeadmPatches(h host) ([]string, error) {
	documents := []map[string]any{{"kind": "InitConfiguration", "nodeRegistration": map[string]any{"taints": []any{}}}}
	if h.cgroupV1 {
		v, err := version.ParseSemantic(cmp.Or(s.Version, defaultKubernetes))
		if err != nil {
			return nil, fmt.Errorf("cluster.version %q: %w", s.Version, err)
		}
		if v.AtLeast(failCgroupV1Since) {
			documents = append(documents, map[string]any{"kind": "KubeletConfiguration", "failCgroupV1": false})
		}
	}
	patches := make([]string, len(documents))
	for i, d := range documents {
		b, err := yaml.Marshal(d)
		if err != nil {
			return nil, err
		}
		patches[i] = string(b)
	}
	return patches, nil
}

// imageVersions are the versions of components, by the images that a machine has of them.
func imageVersions(refs []string) map[string]string {
	versions := map[string]string{}
	for _, ref := range refs {
		name, tag, ok := strings.Cut(ref[strings.LastIndexByte(ref, '/')+1:], ":")
		if ok && slices.Contains([]string{etcdName, apiServerName, controllerManagerName, schedulerName, "kube-proxy", "coredns"}, name) && !strings.Contains(name, "@") {
			versions[name] = tag
		}
	}
	return versions
}
