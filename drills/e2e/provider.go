// Package e2e lends restore-drill's clusters and drills to suites of sigs.k8s.io/e2e-framework: a Provider makes the clusters that a suite runs on,
// and Feature and Step run a drill within one. A drill makes clusters of its own and leaves the suite's alone.
//
// It is a package of its own, so that nobody else's program carries the framework.
package e2e

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"sigs.k8s.io/e2e-framework/klient"
	"sigs.k8s.io/e2e-framework/klient/wait"
	"sigs.k8s.io/e2e-framework/support"

	"github.com/restore-drill/restore-drill/drills"
	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/internal/toolchain"
	"github.com/restore-drill/restore-drill/scenarios"
)

// readyTimeout bounds how long WaitForControlPlane waits for the nodes. Those of a machine that is busy take a minute.
const readyTimeout = 5 * time.Minute

// deleteTimeout bounds the removal of a cluster whose start was not finished.
const deleteTimeout = 2 * time.Minute

// A Provider makes one cluster for a suite, on a provider of restore-drill. It is what envfuncs.CreateCluster and its like take, and has the life cycle
// of nodes and the loading of images where its clusters have them. What it is asked for and has not is an error that wraps errors.ErrUnsupported.
//
// A suite that is killed leaves its cluster to `restore-drill cleanup`.
type Provider struct {
	name   string
	own    clusters.Provider
	binDir string
	spec   clusters.Spec

	cluster clusters.Cluster
	// logs of the components, until Destroy.
	logs string
}

var (
	_ support.E2EClusterProvider                = &Provider{}
	_ support.E2EClusterProviderWithImageLoader = &Provider{}
	_ support.E2EClusterProviderWithLifeCycle   = &Provider{}
)

// NewProvider makes clusters where a provider of this name does: process, or another of clusters.Providers.
func NewProvider(name string) *Provider {
	p := &Provider{name: name}
	p.SetDefaults()
	return p
}

// NewProviderOn makes clusters of a provider of the caller's own.
func NewProviderOn(own clusters.Provider) *Provider {
	p := NewProvider(own.Name())
	p.own = own
	return p
}

// SetDefaults gives what was not set the value that a scenario has which does not set it.
func (p *Provider) SetDefaults() support.E2EClusterProvider {
	var s scenarios.Scenario
	scenarios.Default(&s)
	d := specOf(s.Spec.Cluster)
	if p.spec.Version == "" {
		p.spec.Version = d.Version
	}
	if p.spec.EtcdMembers == 0 {
		p.spec.EtcdMembers = d.EtcdMembers
	}
	if p.spec.Nodes == 0 {
		p.spec.Nodes = d.Nodes
	}
	if p.spec.StartTimeout == 0 {
		p.spec.StartTimeout = d.StartTimeout
	}
	if p.spec.Name == "" {
		p.spec.Name = "e2e"
	}
	return p
}

func specOf(c scenarios.Cluster) clusters.Spec {
	return clusters.Spec{Version: c.Version, EtcdMembers: c.EtcdMembers, Nodes: c.Nodes, Encryption: c.Encryption, AuditLog: c.AuditLog, StartTimeout: c.StartTimeout.Duration}
}

// WithName names the cluster.
func (p *Provider) WithName(name string) support.E2EClusterProvider { p.spec.Name = name; return p }

// WithVersion of Kubernetes, such as v1.36.3: one that the toolchain builds.
func (p *Provider) WithVersion(version string) support.E2EClusterProvider {
	p.spec.Version = version
	return p
}

// WithPath is a directory that holds the binaries of a control plane, in place of the toolchain's.
func (p *Provider) WithPath(dir string) support.E2EClusterProvider { p.binDir = dir; return p }

// WithOpts takes those of this package. One of another provider's does nothing here, as theirs do.
func (p *Provider) WithOpts(opts ...support.ClusterOpts) support.E2EClusterProvider {
	for _, o := range opts {
		o(p)
	}
	return p
}

// WithEtcdMembers is how many members the store has: 1 or 3.
func WithEtcdMembers(n int) support.ClusterOpts {
	return option(func(s *clusters.Spec) { s.EtcdMembers = n })
}

// WithNodes is how many nodes the cluster has.
func WithNodes(n int) support.ClusterOpts { return option(func(s *clusters.Spec) { s.Nodes = n }) }

// WithEncryption encrypts Secrets at rest: secretbox or aescbc.
func WithEncryption(cipher string) support.ClusterOpts {
	return option(func(s *clusters.Spec) { s.Encryption = cipher })
}

// WithImages brings images of the local engine to the nodes, before they are needed, where nodes are machines.
func WithImages(refs ...string) support.ClusterOpts {
	return option(func(s *clusters.Spec) { s.Images = append(s.Images, refs...) })
}

func option(set func(*clusters.Spec)) support.ClusterOpts {
	return func(c support.E2EClusterProvider) {
		if p, ok := c.(*Provider); ok {
			set(&p.spec)
		}
	}
}

// Create makes and starts the cluster, and returns the path of its kubeconfig file when its API server is ready. What is missing of its binaries is
// built, which can take minutes. It takes no arguments.
func (p *Provider) Create(ctx context.Context, args ...string) (string, error) {
	if err := p.create(ctx, args); err != nil {
		return "", fmt.Errorf("create cluster %s on provider %s: %w", p.spec.Name, p.name, err)
	}
	return p.cluster.Kubeconfig(), nil
}

func (p *Provider) create(ctx context.Context, args []string) (err error) {
	switch {
	case len(args) > 0:
		return fmt.Errorf("unknown arguments %q: it takes none; set what you want with WithOpts", args)
	case p.cluster != nil:
		return errors.New("it is there already")
	}
	provider := p.own
	if provider == nil {
		tools := clusters.Tools{Toolchain: toolchain.New(toolchain.Options{BinDir: p.binDir, Progress: func(line string) { klog.Info(line) }}), StateRoot: clusters.StateRoot()}
		if provider, err = clusters.NewProvider(p.name, tools); err != nil {
			return err
		}
	}
	if err := provider.Check(ctx, p.spec); err != nil {
		return err
	}
	if p.logs, err = os.MkdirTemp("", "restore-drill-e2e-"); err != nil {
		return err
	}
	spec := p.spec
	spec.DrillID = "e2e-" + strings.ToLower(rand.Text()[:10])
	spec.LogDir = p.logs
	spec.Progress = func(line string) { klog.V(2).Info(line) }
	if p.cluster, err = provider.Create(ctx, spec); err == nil {
		err = p.cluster.Start(ctx, func(string, string, time.Duration) {})
	}
	if err != nil {
		// The framework destroys no cluster whose creation failed.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteTimeout)
		defer cancel()
		return errors.Join(err, p.Destroy(ctx))
	}
	return nil
}

// CreateWithConfig makes a cluster as a scenario describes one, a file or an embedded scenario by its name: spec.cluster is read of it, and nothing else.
func (p *Provider) CreateWithConfig(ctx context.Context, scenario string) (string, error) {
	loaded, err := drills.Load(scenario)
	if err != nil {
		return "", err
	}
	name := p.spec.Name
	p.spec = specOf(loaded.Scenario.Spec.Cluster)
	p.spec.Name = name
	return p.Create(ctx)
}

// WaitForControlPlane waits until every node is ready. The API server is, since Create returned.
func (p *Provider) WaitForControlPlane(ctx context.Context, client klient.Client) error {
	if err := p.there(); err != nil {
		return err
	}
	var waiting []string
	ready := func(ctx context.Context) (bool, error) {
		var nodes corev1.NodeList
		if err := client.Resources().List(ctx, &nodes); err != nil {
			return false, err
		}
		waiting = nil
		for _, n := range nodes.Items {
			if !isReady(&n) {
				waiting = append(waiting, n.Name)
			}
		}
		return len(waiting) == 0 && (len(nodes.Items) > 0 || p.spec.Nodes == 0), nil
	}
	if err := wait.For(ready, wait.WithContext(ctx), wait.WithTimeout(readyTimeout), wait.WithInterval(100*time.Millisecond), wait.WithImmediate()); err != nil {
		return fmt.Errorf("wait for the nodes of cluster %s to be ready, %s are not: %w", p.spec.Name, strings.Join(waiting, ", "), errors.Join(err, p.deaths()))
	}
	return nil
}

func isReady(node *corev1.Node) bool {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// there tells whether the cluster is.
func (p *Provider) there() error {
	if p.cluster == nil {
		return fmt.Errorf("cluster %s was not created", p.spec.Name)
	}
	return nil
}

// Cluster is the one that was created, with all that a drill does with one; nil before Create and after Destroy.
func (p *Provider) Cluster() clusters.Cluster { return p.cluster }

// GetKubeconfig is the path of an administrator's kubeconfig file, which goes with the cluster; empty before Create.
func (p *Provider) GetKubeconfig() string {
	if p.cluster == nil {
		return ""
	}
	return p.cluster.Kubeconfig()
}

// GenerateKubeconfig gives the same file: there is no other. It takes no arguments.
func (p *Provider) GenerateKubeconfig(args ...string) (string, error) {
	if len(args) > 0 {
		return "", fmt.Errorf("generate a kubeconfig with %q: %w: it takes no arguments", args, errors.ErrUnsupported)
	}
	return p.GetKubeconfig(), p.there()
}

// GetKubectlContext is the current context of the kubeconfig file; empty before Create.
func (p *Provider) GetKubectlContext() string {
	if p.cluster == nil {
		return ""
	}
	config, err := clientcmd.LoadFromFile(p.cluster.Kubeconfig())
	if err != nil {
		return ""
	}
	return config.CurrentContext
}

// KubernetesRestConfig is an administrator's, without limits on its rate; nil before Create.
func (p *Provider) KubernetesRestConfig() *rest.Config {
	if p.cluster == nil {
		return nil
	}
	return p.cluster.Config()
}

// ExportLogs copies the logs of the components into a directory of the cluster's name below dest. Nothing there is overwritten.
func (p *Provider) ExportLogs(_ context.Context, dest string) error {
	if err := p.there(); err != nil {
		return err
	}
	to := filepath.Join(dest, p.spec.Name)
	if err := os.CopyFS(to, os.DirFS(p.logs)); err != nil {
		return fmt.Errorf("export logs of cluster %s to %s: %w", p.spec.Name, to, err)
	}
	return nil
}

// Destroy removes the cluster, with its logs. It may be called twice. Its error tells, too, of components that ended by themselves while the cluster
// was there: what was tested on it meanwhile may not have been what it seemed.
func (p *Provider) Destroy(ctx context.Context) error {
	var errs []error
	if p.cluster != nil {
		errs = append(errs, p.deaths(), p.cluster.Delete(ctx))
		if errors.Join(errs[1:]...) == nil {
			p.cluster = nil
		}
	}
	if p.logs != "" {
		errs = append(errs, os.RemoveAll(p.logs))
		p.logs = ""
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("destroy cluster %s: %w", p.spec.Name, err)
	}
	return nil
}

// deaths of components that nobody stopped.
func (p *Provider) deaths() error {
	var errs []error
	for {
		select {
		case err := <-p.cluster.Died():
			errs = append(errs, err)
		default:
			return errors.Join(errs...)
		}
	}
}
