package clusters

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing/fstest"
	"time"

	"k8s.io/client-go/rest"

	"github.com/restore-drill/restore-drill/internal/pki"
	"github.com/restore-drill/restore-drill/internal/place"
	"github.com/restore-drill/restore-drill/internal/proc"
	"github.com/restore-drill/restore-drill/internal/toolchain"
)

// ProcessOptions of the process provider.
type ProcessOptions struct {
	Toolchain *toolchain.Toolchain
	// StateRoot holds the clusters' places; empty for StateRoot().
	StateRoot string
}

// NewProcess makes the provider whose clusters are child processes of this one: real etcd, kube-apiserver, kube-controller-manager and
// kube-scheduler, and kwok, which plays the nodes. Everything listens on loopback alone and asks for client certificates.
func NewProcess(o ProcessOptions) Provider {
	if o.StateRoot == "" {
		o.StateRoot = StateRoot()
	}
	if o.Toolchain == nil {
		o.Toolchain = toolchain.New(toolchain.Options{})
	}
	return &processProvider{o}
}

type processProvider struct {
	ProcessOptions
}

func (p *processProvider) Name() string { return "process" }

func (p *processProvider) Limits() []string {
	return []string{
		"Nodes are simulated: no kubelet runs, so nothing is said about nodes that re-register, static pods, or pods that outlive their objects.",
		"Pods have no processes: a workload that is ready here has its objects in order; that its program starts and serves is not shown.",
		"Volumes hold no data: PersistentVolumes and claims are restored as objects; their contents are not.",
		"There is no pod network, kube-proxy or cluster DNS: Services and NetworkPolicies are objects, and admission webhooks or aggregated APIs with a backend in the cluster cannot be reached.",
		"One machine: all members of the store share its disk, power and clock, and the network between them is loopback, so the times are those of this machine, and there is one API server.",
	}
}

// Components that are found in the toolchain.
const (
	etcdName              = "etcd"
	apiServerName         = "kube-apiserver"
	controllerManagerName = "kube-controller-manager"
	schedulerName         = "kube-scheduler"
	kwokName              = "kwok"
)

var binaries = []string{etcdName, apiServerName, controllerManagerName, schedulerName, kwokName}

func (p *processProvider) Tools() Tools { return Tools{Toolchain: p.Toolchain, StateRoot: p.StateRoot} }

func (p *processProvider) Check(ctx context.Context, spec Spec) error {
	errs := []error{spec.check()}
	if err := os.MkdirAll(p.StateRoot, 0o700); err != nil {
		errs = append(errs, fmt.Errorf("%w: set RESTORE_DRILL_STATE_DIR to a directory that can be written to", err))
	}
	_, err := p.Toolchain.FindAll(ctx, spec.Version, binaries...)
	return errors.Join(append(errs, err)...)
}

func (p *processProvider) Create(ctx context.Context, spec Spec) (Cluster, error) {
	spec, err := spec.complete(spec.check(), 2*time.Minute)
	if err != nil {
		return nil, fmt.Errorf("create cluster %s: %w", spec.Name, err)
	}
	c, err := p.create(ctx, spec)
	if err != nil {
		return nil, fmt.Errorf("create cluster %s: %w", spec.Name, err)
	}
	return c, nil
}

// Names in a cluster's place.
const (
	pkiDir        = "pki"
	dataDir       = "data"
	workDir       = "work"
	encryptionCfg = "encryption-config.yaml"
	auditPolicy   = "audit-policy.yaml"
	stagesFile    = "stages.yaml"
)

//go:embed stages.yaml
var stages []byte

// auditMetadata logs who did what to which object, and no contents: a request may hold a Secret.
const auditMetadata = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n- level: Metadata\n"

func (p *processProvider) create(ctx context.Context, spec Spec) (_ *processCluster, err error) {
	found, err := p.Toolchain.FindAll(ctx, spec.Version, binaries...)
	if err != nil {
		return nil, err
	}
	c := &processCluster{spec: spec, versions: map[string]string{}}
	if c.place, err = place.Claim(ctx, p.StateRoot, spec.DrillID, spec.Name); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Delete(context.WithoutCancel(ctx)))
		}
	}()
	if err := os.MkdirAll(spec.LogDir, 0o700); err != nil {
		return nil, err
	}
	for _, dir := range []string{dataDir, workDir} {
		if err := os.Mkdir(c.place.Dir(dir), 0o700); err != nil {
			return nil, err
		}
	}
	for name, content := range map[string][]byte{stagesFile: stages, auditPolicy: []byte(auditMetadata)} {
		if err := os.WriteFile(c.place.Dir(name), content, 0o600); err != nil {
			return nil, err
		}
	}
	if err := c.layOut(found); err != nil {
		return nil, err
	}
	material, err := pki.Generate()
	if err != nil {
		return nil, err
	}
	var encryption []byte
	if spec.Encryption != "" {
		if encryption, err = newEncryption(spec.Encryption); err != nil {
			return nil, err
		}
	}
	return c, c.furnish(material, encryption)
}

// A processCluster is a cluster of child processes.
type processCluster struct {
	spec     Spec
	place    *place.Place
	versions map[string]string

	members    []Member
	endpoints  []string
	apiPort    *proc.Port
	components []*place.Process

	mu    sync.Mutex
	admin *rest.Config
	store *tls.Config
}

func (c *processCluster) Name() string                { return c.spec.Name }
func (c *processCluster) Spec() Spec                  { return c.spec }
func (c *processCluster) Versions() map[string]string { return maps.Clone(c.versions) }
func (c *processCluster) Members() []Member           { return slices.Clone(c.members) }
func (c *processCluster) StateDir() string            { return c.place.Dir(workDir) }
func (c *processCluster) Kubeconfig() string          { return c.pki("admin.conf") }
func (c *processCluster) Died() <-chan error          { return c.place.Died() }
func (c *processCluster) pki(name string) string {
	return c.place.Dir(pkiDir, filepath.FromSlash(name))
}
func (c *processCluster) server() string { return "https://" + c.apiPort.Address() }

func (c *processCluster) Config() *rest.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	return rest.CopyConfig(c.admin)
}

func (c *processCluster) Store() Store {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Store{Endpoints: slices.Clone(c.endpoints), TLS: c.store.Clone()}
}

func (c *processCluster) Components() []Component {
	all := make([]Component, len(c.components))
	for i, component := range c.components {
		all[i] = component
	}
	return all
}

func (c *processCluster) Component(name string) Component {
	for _, component := range c.components {
		if component.Name() == name {
			return component
		}
	}
	return nil
}

// advertised is the address that the API server writes into default/kubernetes, where loopback is not allowed. It lies in 198.18.0.0/15, which
// is set aside for benchmarks and leads nowhere, and differs between clusters that are there at the same time, as those of real ones do: what a
// lost API server left there can be told from what the restored one wrote.
func (c *processCluster) advertised() string {
	return net.IPv4(198, 18, byte(c.apiPort.Number>>8), byte(c.apiPort.Number)).String()
}

// Material reads what has to travel from the cluster's files. Certificates and kubeconfigs stay: they are issued anew for each cluster.
func (c *processCluster) Material(context.Context) (fs.FS, error) {
	files, err := c.material()
	if err != nil {
		return nil, fmt.Errorf("read key material of cluster %s: %w", c.spec.Name, err)
	}
	return files, nil
}

func (c *processCluster) material() (fstest.MapFS, error) {
	from := os.DirFS(c.place.Dir(pkiDir))
	material, err := pki.Read(from)
	if err != nil {
		return nil, err
	}
	files := material.Files()
	encryption, err := pki.ReadFile(from, encryptionCfg)
	if err == nil {
		files[encryptionCfg] = encryption
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	out := fstest.MapFS{}
	for name, content := range files {
		out[name] = &fstest.MapFile{Data: content, Mode: 0o600}
	}
	return out, nil
}

// LayIn takes authorities and keys, and with them the encryption configuration or its absence.
func (c *processCluster) LayIn(ctx context.Context, from fs.FS) error {
	if err := c.layIn(from); err != nil {
		return fmt.Errorf("lay key material into cluster %s: %w", c.spec.Name, err)
	}
	// What this does besides, which kubeadm does on a machine, is to issue the components' certificates.
	_ = fs.WalkDir(from, ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			c.spec.ran(ctx, ThisMachine, "install", "-m", "600", path.Join("material", name), c.pki(name))
		}
		return err
	})
	return nil
}

func (c *processCluster) layIn(from fs.FS) error {
	if slices.ContainsFunc(c.components, func(p *place.Process) bool { return p.Identity() != "" }) {
		return errors.New("it has been started: its components hold the old material")
	}
	material, encryption, err := readMaterial(from)
	if err != nil {
		return err
	}
	return c.furnish(material, encryption)
}

// SeedStore moves a restored data directory into its member's place.
func (c *processCluster) SeedStore(ctx context.Context, member string, dir string) error {
	i := slices.IndexFunc(c.members, func(m Member) bool { return m.Name == member })
	if i < 0 {
		return fmt.Errorf("seed the store of cluster %s: no member %q", c.spec.Name, member)
	}
	if err := c.components[i].WhileDown(func() error { return moveIn(dir, c.members[i].DataDir) }); err != nil {
		return fmt.Errorf("seed the store of cluster %s: %w", c.spec.Name, err)
	}
	c.spec.ran(ctx, ThisMachine, "mv", dir, c.members[i].DataDir)
	return nil
}

func moveIn(dir, to string) error {
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fmt.Errorf("%s is there already", to), err)
	}
	if info, err := os.Stat(dir); err != nil {
		return err
	} else if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	if err := os.Rename(dir, to); err != nil {
		return err
	}
	// The rename has to be on disk before a member trusts it.
	return syncDir(filepath.Dir(to))
}

// Delete ends everything at once: nothing here is needed any more.
func (c *processCluster) Delete(ctx context.Context) error {
	if err := c.place.Close(ctx); err != nil {
		return fmt.Errorf("delete cluster %s: %w", c.spec.Name, err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// clientTLS is how to reach a server of the cluster.
func clientTLS(authority, certPEM, keyPEM []byte) (*tls.Config, error) {
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return nil, errors.New("no certificate of an authority")
	}
	return &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
}

func nodeName(i int) string { return "node-" + strconv.Itoa(i) }
