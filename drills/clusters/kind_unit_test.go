package clusters

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
)

func TestKindConfig(t *testing.T) {
	c, err := Spec{Nodes: 2, Version: "v1.36.3"}.kindConfig("drill-1-source", "kindest/node:v1.36.3", "127.0.0.1", host{})
	require.NoError(t, err)
	require.Equal(t, "drill-1-source", c.Name)
	require.Equal(t, []v1alpha4.Node{
		{Role: v1alpha4.ControlPlaneRole, Image: "kindest/node:v1.36.3", ExtraPortMappings: []v1alpha4.PortMapping{{ContainerPort: 2379, ListenAddress: "127.0.0.1", Protocol: "TCP"}}},
		{Role: v1alpha4.WorkerRole, Image: "kindest/node:v1.36.3"},
	}, c.Nodes)
	require.Equal(t, "127.0.0.1", c.Networking.APIServerAddress)
	require.Equal(t, []string{"kind: InitConfiguration\nnodeRegistration:\n  taints: []\n"}, c.KubeadmConfigPatches)
	require.Empty(t, c.FeatureGates, "a machine that lacks nothing is not patched")
}

func TestKindConfigOnAMachineThatLacksSomething(t *testing.T) {
	lacking := host{cgroupV1: true, bounded: true}
	c, err := Spec{Version: "v1.36.3"}.kindConfig("a", "b", "127.0.0.1", lacking)
	require.NoError(t, err)
	require.Len(t, c.Nodes, 1)
	require.Contains(t, strings.Join(c.KubeadmConfigPatches, "---\n"), "failCgroupV1: false\nkind: KubeletConfiguration\n")
	require.Equal(t, map[string]bool{"KubeletInUserNamespace": true}, c.FeatureGates)
	c, err = Spec{Version: "v1.30.1"}.kindConfig("a", "b", "127.0.0.1", lacking)
	require.NoError(t, err)
	require.NotContains(t, strings.Join(c.KubeadmConfigPatches, ""), "failCgroupV1", "a kubelet that does not know it would not start")
}

func TestKindConfigOfTheUser(t *testing.T) {
	parse := func(yaml string) (*v1alpha4.Cluster, error) {
		config, err := ParseKindConfig([]byte(yaml))
		if err != nil {
			return nil, err
		}
		return Spec{Kind: config}.kindConfig("drill", "image", "127.0.0.1", host{bounded: true})
	}
	c, err := parse(`{
		nodes: [{role: worker, extraMounts: [{hostPath: /a, containerPath: /b}]}, {role: control-plane, extraPortMappings: [{containerPort: 80}]}],
		featureGates: {SomeGate: true}, kubeadmConfigPatches: ["kind: ClusterConfiguration"]}`)
	require.NoError(t, err)
	require.Equal(t, "/b", c.Nodes[0].ExtraMounts[0].ContainerPath)
	require.Len(t, c.Nodes[1].ExtraPortMappings, 2)
	require.Equal(t, map[string]bool{"SomeGate": true, "KubeletInUserNamespace": true}, c.FeatureGates)
	require.Equal(t, "kind: ClusterConfiguration", c.KubeadmConfigPatches[len(c.KubeadmConfigPatches)-1], "the user's come last")

	_, err = parse(`{nodez: []}`)
	require.ErrorContains(t, err, `cluster.kind.config: `)
	require.ErrorContains(t, err, `unknown field "nodez"`)
	_, err = parse(`{name: mine, networking: {apiServerAddress: 0.0.0.0, disableDefaultCNI: true}, nodes: [{role: worker}]}`)
	require.ErrorContains(t, err, `cluster.kind.config.name "mine": a drill names its clusters itself`)
	require.ErrorContains(t, err, `cluster.kind.config.networking.apiServerAddress "0.0.0.0": a drill's API servers listen on loopback alone`)
	require.ErrorContains(t, err, "cluster.kind.config.networking.disableDefaultCNI: ")
	require.ErrorContains(t, err, "cluster.kind.config.nodes: none has the role control-plane")
	_, err = parse(`{nodes: [{role: control-plane}, {role: control-plane}]}`)
	require.ErrorIs(t, err, ErrUnsupported)
	require.ErrorContains(t, err, "cluster.kind.config.nodes[1]: a second control-plane node")
}

func TestKindNames(t *testing.T) {
	name := kindName("/state/drill/source", "source")
	require.Regexp(t, `^drill-[0-9a-f]{8}-source$`, name)
	require.NotEqual(t, name, kindName("/elsewhere/drill/source", "source"))
	require.LessOrEqual(t, len(kindName("/state", "restored")+"-control-plane"), 50)
}

func TestKindMachinesVersions(t *testing.T) {
	require.Equal(t, map[string]string{"etcd": "3.6.6-0", "kube-apiserver": "v1.36.3"}, imageVersions([]string{
		"registry.k8s.io/etcd:3.6.6-0", "registry.k8s.io/kube-apiserver:v1.36.3", "registry.k8s.io/pause:3.10", "sha256:0123",
		"registry.k8s.io/kube-apiserver@sha256:0123",
	}))
}

func TestContainerEvents(t *testing.T) {
	const at = "2026-11-28 19:31:12.123456789 +0000 UTC k8s.io "
	e, ok := parseEvent(at + `/tasks/start {"container_id":"abc","pid":123}`)
	require.True(t, ok)
	require.Equal(t, containerEvent{Topic: "/tasks/start", Container: "abc", PID: 123}, e)
	e, ok = parseEvent(at + `/tasks/exit {"container_id":"abc","id":"exec-1","pid":124,"exit_status":137,"exited_at":{"seconds":1}}`)
	require.True(t, ok)
	require.Equal(t, containerEvent{Topic: "/tasks/exit", Container: "abc", ID: "exec-1", PID: 124, ExitStatus: 137}, e)
	_, ok = parseEvent(at + `/images/create {"name":"/tasks/start"}`)
	require.False(t, ok)
	_, ok = parseEvent(at + `/tasks/exit {`)
	require.False(t, ok)
}

func TestContainerLogs(t *testing.T) {
	require.Equal(t, `unknown flag: --no-such-flag`, message(`2026-11-28T19:31:12.123456789Z stderr F unknown flag: --no-such-flag`))
	require.Equal(t, `a line of the journal`, message(`a line of the journal`))
	var lines []string
	w := &lineWriter{line: func(l string) { lines = append(lines, l) }}
	for _, part := range []string{"a", "b\nc", "\n\nd"} {
		n, err := w.Write([]byte(part))
		require.NoError(t, err)
		require.Len(t, part, n)
	}
	require.Equal(t, []string{"ab", "c", ""}, lines)
}

func TestManifestFlags(t *testing.T) {
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Command: []string{"etcd", "--name=a", "--name-server=b"}}}}}
	setFlags(pod, map[string]string{"name": "etcd-0", "v": "1"})
	require.Equal(t, []string{"etcd", "--name=etcd-0", "--name-server=b", "--v=1"}, pod.Spec.Containers[0].Command)
}

func TestNodeManifests(t *testing.T) {
	c := &kindCluster{machines: []*kindMachine{{name: "drill-control-plane"}}}
	plain := "kind: ClusterRole\n---\nkind: Group\n"
	b, err := c.fillIn([]byte(plain))
	require.NoError(t, err)
	require.Equal(t, plain, string(b), "a manifest that asks for nothing stays as it is")
	b, err = c.fillIn([]byte(`# would you kindly template this file
# would you kindly patch this file
---
kind: ServiceAccount
---
kind: DaemonSet
spec:
  template:
    spec:
      containers:
      - name: kindnet
        env: [{name: POD_SUBNET, value: "{{ .PodSubnet }}"}]
---
`))
	require.NoError(t, err)
	require.Equal(t, `kind: ServiceAccount
---
kind: DaemonSet
spec:
  template:
    spec:
      containers:
      - env:
        - name: POD_SUBNET
          value: 10.244.0.0/16
        - name: CONTROL_PLANE_ENDPOINT
          value: drill-control-plane:6443
        name: kindnet
`, string(b))
	_, err = addEnvironment([]byte("kind: DaemonSet"), "a", "b")
	require.EqualError(t, err, "a DaemonSet without containers")
}

func TestClusterInfoSignature(t *testing.T) {
	const content = "apiVersion: v1\nkind: Config\n"
	head := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","kid":"abcdef"}`))
	mac := hmac.New(sha256.New, []byte(bootstrapSecret))
	mac.Write([]byte(head + "." + base64.RawURLEncoding.EncodeToString([]byte(content))))
	jws := head + ".." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	require.True(t, signed(content, jws))
	require.False(t, signed(content+" ", jws), "signed before it was changed")
	require.False(t, signed(content, ""))
	require.False(t, signed(content, head+"..%"))
}
