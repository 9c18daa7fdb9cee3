package e2e

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/e2e-framework/pkg/types"
	"sigs.k8s.io/e2e-framework/support"

	"github.com/restore-drill/restore-drill/drills"
	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/reports"
)

// A fake provider makes clusters of which nothing runs.
type fakeProvider struct {
	clusters.Provider
	machines    []clusters.Machine
	start       error
	checked     clusters.Spec
	deleted     int
	died        chan error
	deleteError error
}

func (p *fakeProvider) Name() string { return "fake" }
func (p *fakeProvider) Check(_ context.Context, spec clusters.Spec) error {
	p.checked = spec
	return nil
}

func (p *fakeProvider) Create(_ context.Context, spec clusters.Spec) (clusters.Cluster, error) {
	c := &fakeCluster{provider: p, spec: spec}
	if p.machines != nil {
		return &fakeMachined{c}, nil
	}
	return c, nil
}

type fakeCluster struct {
	clusters.Cluster
	provider *fakeProvider
	spec     clusters.Spec
}

func (c *fakeCluster) Start(context.Context, func(string, string, time.Duration)) error {
	return errors.Join(c.provider.start, os.WriteFile(filepath.Join(c.spec.LogDir, "etcd-0.log"), []byte("ready\n"), 0o600))
}
func (c *fakeCluster) Kubeconfig() string   { return "/state/admin.conf" }
func (c *fakeCluster) Config() *rest.Config { return &rest.Config{Host: "https://127.0.0.1:1"} }
func (c *fakeCluster) Died() <-chan error   { return c.provider.died }
func (c *fakeCluster) Delete(context.Context) error {
	c.provider.deleted++
	return c.provider.deleteError
}

type fakeMachined struct{ *fakeCluster }

func (c *fakeMachined) Machines() []clusters.Machine { return c.provider.machines }

// A fakeMachine keeps what it was told.
type fakeMachine struct {
	clusters.Machine
	name string
	mu   sync.Mutex
	said []string
	fail error
}

func (m *fakeMachine) Name() string { return m.name }
func (m *fakeMachine) note(what string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.said = append(m.said, what)
	return m.fail
}
func (m *fakeMachine) CutOff(context.Context) error    { return m.note("cut off") }
func (m *fakeMachine) Reconnect(context.Context) error { return m.note("reconnect") }
func (m *fakeMachine) Exec(_ context.Context, stdin io.Reader, argv ...string) ([]byte, error) {
	b, err := io.ReadAll(stdin)
	return nil, errors.Join(err, m.note(strings.Join(argv, " ")+" < "+string(b)))
}

func created(t *testing.T, fake *fakeProvider, opts ...support.ClusterOpts) *Provider {
	p := NewProviderOn(fake)
	kubeconfig, err := p.SetDefaults().WithName("shop").WithOpts(opts...).Create(t.Context())
	require.NoError(t, err)
	require.Equal(t, "/state/admin.conf", kubeconfig)
	return p
}

func TestLifeCycle(t *testing.T) {
	fake := &fakeProvider{died: make(chan error, 1)}
	p := created(t, fake, WithEtcdMembers(3), WithNodes(5), WithEncryption("secretbox"), WithImages("busybox"))
	require.Equal(t, []any{"shop", "v1.36.3", 3, 5, "secretbox", []string{"busybox"}},
		[]any{fake.checked.Name, fake.checked.Version, fake.checked.EtcdMembers, fake.checked.Nodes, fake.checked.Encryption, fake.checked.Images})
	require.Equal(t, "/state/admin.conf", p.GetKubeconfig())
	_, err := p.GenerateKubeconfig("--internal")
	require.ErrorIs(t, err, errors.ErrUnsupported)
	_, err = p.Create(t.Context())
	require.EqualError(t, err, "create cluster shop on provider fake: it is there already")

	logs := t.TempDir()
	require.NoError(t, p.ExportLogs(t.Context(), logs))
	text, err := os.ReadFile(filepath.Join(logs, "shop", "etcd-0.log"))
	require.NoError(t, err)
	require.Equal(t, "ready\n", string(text))
	require.ErrorIs(t, p.ExportLogs(t.Context(), logs), os.ErrExist, "nothing is overwritten")

	fake.died <- errors.New("kube-scheduler ended")
	require.EqualError(t, p.Destroy(t.Context()), "destroy cluster shop: kube-scheduler ended")
	require.NoError(t, p.Destroy(t.Context()), "twice")
	require.Equal(t, 1, fake.deleted)
	require.Nil(t, p.Cluster())
	require.Empty(t, p.GetKubeconfig())
	require.Nil(t, p.KubernetesRestConfig())
	require.EqualError(t, p.ExportLogs(t.Context(), logs), "cluster shop was not created")
}

func TestWhatWasSetIsKept(t *testing.T) {
	fake := &fakeProvider{}
	_, err := NewProviderOn(fake).WithVersion("v1.37.0").SetDefaults().Create(t.Context())
	require.NoError(t, err)
	require.Equal(t, "v1.37.0", fake.checked.Version)

	_, err = NewProviderOn(fake).WithName("big").CreateWithConfig(t.Context(), "etcd-quorum-lost")
	require.NoError(t, err)
	require.Equal(t, []any{"big", 3}, []any{fake.checked.Name, fake.checked.EtcdMembers}, "as the scenario describes its cluster")
	_, err = NewProviderOn(fake).CreateWithConfig(t.Context(), "no-such-scenario")
	require.ErrorIs(t, err, drills.ErrUnknownScenario)
	_, err = NewProviderOn(fake).Create(t.Context(), "--wait")
	require.ErrorContains(t, err, `unknown arguments ["--wait"]`)
	_, err = NewProvider("cloud").Create(t.Context())
	require.ErrorContains(t, err, `create cluster e2e on provider cloud: unknown provider "cloud"`)
}

// TestFailedStart shows that a cluster whose start failed is removed, and that what stands in the way of that is told too.
func TestFailedStart(t *testing.T) {
	fake := &fakeProvider{start: errors.New("etcd-0 ended"), deleteError: errors.New("no space left")}
	_, err := NewProviderOn(fake).Create(t.Context())
	require.ErrorContains(t, err, "etcd-0 ended")
	require.ErrorContains(t, err, "no space left")
	require.Equal(t, 1, fake.deleted)
}

// TestSimulatedNodes shows that what nodes without machines cannot do is an error, and not a success of nothing.
func TestSimulatedNodes(t *testing.T) {
	p := created(t, &fakeProvider{})
	node := &support.Node{Name: "node-0", Cluster: "shop"}
	for what, err := range map[string]error{
		"load busybox into cluster shop: ":   p.LoadImage(t.Context(), "busybox"),
		"load all.tar into cluster shop: ":   p.LoadImageArchive(t.Context(), "all.tar"),
		"stop node node-0 of cluster shop: ": p.StopNode(t.Context(), node),
	} {
		require.ErrorIs(t, err, errors.ErrUnsupported, what)
		require.EqualError(t, err, what+"unsupported operation: nodes of provider fake are simulated: no machine, and no container, runs")
	}
	require.EqualError(t, NewProvider("process").LoadImage(t.Context(), "busybox"), "load busybox into cluster e2e: cluster e2e was not created")
}

func TestMachines(t *testing.T) {
	one, two := &fakeMachine{name: "shop-control-plane"}, &fakeMachine{name: "shop-worker"}
	p := created(t, &fakeProvider{machines: []clusters.Machine{one, two}})
	archive := filepath.Join(t.TempDir(), "all.tar")
	require.NoError(t, os.WriteFile(archive, []byte("layers"), 0o600))
	require.NoError(t, p.LoadImageArchive(t.Context(), archive))
	const imported = "ctr --namespace k8s.io images import --all-platforms --digests - < layers"
	require.Equal(t, []string{imported}, one.said)
	require.Equal(t, []string{imported}, two.said)

	require.NoError(t, p.StopNode(t.Context(), &support.Node{Name: "shop-worker"}))
	require.NoError(t, p.StartNode(t.Context(), &support.Node{Name: "shop-worker"}))
	require.Equal(t, []string{imported, "cut off", "reconnect"}, two.said)
	require.EqualError(t, p.StopNode(t.Context(), &support.Node{Name: "worker"}),
		"stop node worker of cluster shop: no machine of that name; known: shop-control-plane, shop-worker")
	require.ErrorIs(t, p.AddNode(t.Context(), &support.Node{Name: "more"}), errors.ErrUnsupported)

	two.fail = errors.New("ctr: no space left on device")
	require.ErrorContains(t, p.LoadImageArchive(t.Context(), archive), "into cluster shop: ctr: no space left on device")
	require.ErrorIs(t, p.LoadImageArchive(t.Context(), "nowhere.tar"), os.ErrNotExist)
}

// TestFeature shows that a drill as a feature assesses every check there is, and the verdict.
func TestFeature(t *testing.T) {
	f := Feature("etcd-data-lost")
	require.True(t, f.Labels().Contains(Label, "etcd-data-lost"))
	var assessed []string
	for _, s := range f.Steps() {
		if s.Level() == types.LevelAssess {
			assessed = append(assessed, s.Name())
		}
	}
	require.Equal(t, append(drills.Vocabulary().Checks, "verdict"), assessed)
	require.Nil(t, Report(t.Context()))
}

// inProcess names the assessment that a process of its own makes, to show that it fails.
const inProcess = "RESTORE_DRILL_TEST_ASSESS"

func TestAssess(t *testing.T) {
	report := &reports.Report{Checks: []reports.Check{
		{Name: "rto", Verdict: reports.Failed, Reason: "too late"}, {Name: "rpo", Verdict: reports.Unknown, Reason: "not seen"},
		{Name: "tool", Verdict: reports.Passed}, {Name: "drift", Verdict: reports.Skipped, Reason: "does not apply"},
	}}
	if name := os.Getenv(inProcess); name != "" {
		assess(t, report, name)
		return
	}
	for name, want := range map[string]string{
		"rto": "failed: too late", "rpo": "unknown: not seen", "ledger": "unknown: the report has no check ledger", "tool": "--- PASS", "drift": "--- SKIP",
	} {
		out, err := command(t, name)
		require.Contains(t, out, want)
		require.Equal(t, strings.HasPrefix(want, "---"), err == nil, out)
	}
}

func command(t *testing.T, name string) (string, error) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestAssess$", "-test.v")
	cmd.Env = append(os.Environ(), inProcess+"="+name)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
