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
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing/fstest"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"

	"github.com/restore-drill/restore-drill/internal/pki"
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

func (p *processProvider) Tools() Tools { return Tools{p.Toolchain, p.StateRoot} }

func (p *processProvider) Check(ctx context.Context, spec Spec) error {
	errs := []error{spec.check()}
	if err := os.MkdirAll(p.StateRoot, 0o700); err != nil {
		errs = append(errs, fmt.Errorf("%w: set RESTORE_DRILL_STATE_DIR to a directory that can be written to", err))
	}
	_, err := p.Toolchain.FindAll(ctx, spec.Version, binaries...)
	return errors.Join(append(errs, err)...)
}

// check finds what no provider could make.
func (s Spec) check() error {
	var errs []error
	if s.EtcdMembers != 1 && s.EtcdMembers != 3 {
		errs = append(errs, fmt.Errorf("%d etcd members (want 1 or 3)", s.EtcdMembers))
	}
	if s.Nodes < 0 {
		errs = append(errs, fmt.Errorf("%d nodes", s.Nodes))
	}
	if s.Encryption != "" && !slices.Contains(ciphers, s.Encryption) {
		errs = append(errs, fmt.Errorf("unknown encryption %q (want %s, or none)", s.Encryption, strings.Join(ciphers, " or ")))
	}
	return errors.Join(errs...)
}

func (p *processProvider) Create(ctx context.Context, spec Spec) (Cluster, error) {
	var errs []error
	for what, name := range map[string]string{"name": spec.Name, "drill ID": spec.DrillID} {
		if name == "" || name != filepath.Base(name) || strings.HasPrefix(name, ".") {
			errs = append(errs, fmt.Errorf("%s %q is not the name of a directory", what, name))
		}
	}
	if spec.LogDir == "" {
		errs = append(errs, errors.New("no directory for logs"))
	}
	if err := errors.Join(append(errs, spec.check())...); err != nil {
		return nil, fmt.Errorf("create cluster %s: %w", spec.Name, err)
	}
	if spec.StartTimeout <= 0 {
		spec.StartTimeout = time.Minute
	}
	if spec.Progress == nil {
		spec.Progress = func(string) {}
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
	tmpDir        = "tmp"
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
	root, err := filepath.Abs(p.StateRoot)
	if err != nil {
		return nil, err
	}
	if spec.LogDir, err = filepath.Abs(spec.LogDir); err != nil {
		return nil, err
	}
	c := &processCluster{spec: spec, root: root, dir: filepath.Join(root, spec.DrillID, spec.Name), died: make(chan error, 64), versions: map[string]string{}}
	if c.owner, err = claim(ctx, root, c.dir); err != nil {
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
	for _, dir := range []string{dataDir, workDir, tmpDir} {
		if err := os.Mkdir(c.place(dir), 0o700); err != nil {
			return nil, err
		}
	}
	for name, content := range map[string][]byte{stagesFile: stages, auditPolicy: []byte(auditMetadata)} {
		if err := os.WriteFile(c.place(name), content, 0o600); err != nil {
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
	root     string
	dir      string
	owner    *owner
	versions map[string]string
	died     chan error

	members    []Member
	endpoints  []string
	apiPort    *proc.Port
	ports      []*proc.Port
	components []*processComponent

	// deleting is held by Delete.
	deleting sync.Mutex

	mu      sync.Mutex
	admin   *rest.Config
	store   *tls.Config
	started bool
	deleted bool
	// onLoss is told of deaths too, while Start waits.
	onLoss func(error)
}

func (c *processCluster) Name() string                { return c.spec.Name }
func (c *processCluster) Spec() Spec                  { return c.spec }
func (c *processCluster) Versions() map[string]string { return maps.Clone(c.versions) }
func (c *processCluster) Members() []Member           { return slices.Clone(c.members) }
func (c *processCluster) StateDir() string            { return c.place(workDir) }
func (c *processCluster) Kubeconfig() string          { return c.pki("admin.conf") }
func (c *processCluster) Died() <-chan error          { return c.died }
func (c *processCluster) place(elem ...string) string {
	return filepath.Join(append([]string{c.dir}, elem...)...)
}
func (c *processCluster) pki(name string) string { return c.place(pkiDir, filepath.FromSlash(name)) }
func (c *processCluster) server() string         { return "https://" + c.apiPort.Address() }

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
		if component.name == name {
			return component
		}
	}
	return nil
}

// lost passes on the news of a death.
func (c *processCluster) lost(err error) {
	c.mu.Lock()
	tell := c.onLoss
	c.mu.Unlock()
	if tell != nil {
		tell(err)
	}
	select {
	case c.died <- err:
	default: // whoever listens has had 64 to read
	}
}

// reserve keeps a port for as long as the cluster is there.
func (c *processCluster) reserve() (*proc.Port, error) {
	p, err := proc.ReservePort(proc.ReusePort)
	if err == nil {
		c.ports = append(c.ports, p)
	}
	return p, err
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
	from := os.DirFS(c.place(pkiDir))
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
func (c *processCluster) LayIn(_ context.Context, from fs.FS) error {
	if err := c.layIn(from); err != nil {
		return fmt.Errorf("lay key material into cluster %s: %w", c.spec.Name, err)
	}
	return nil
}

func (c *processCluster) layIn(from fs.FS) error {
	c.mu.Lock()
	started := c.started
	c.mu.Unlock()
	if started {
		return errors.New("it has been started: its components hold the old material")
	}
	material, errKeys := pki.Read(from)
	encryption, err := pki.ReadFile(from, encryptionCfg)
	if errors.Is(err, fs.ErrNotExist) {
		encryption, err = nil, nil
	}
	if err == nil && encryption != nil {
		err = checkEncryption(encryption)
	}
	if err := errors.Join(errKeys, err); err != nil {
		return err
	}
	return c.furnish(material, encryption)
}

// SeedStore moves a restored data directory into its member's place.
func (c *processCluster) SeedStore(_ context.Context, member string, dir string) error {
	i := slices.IndexFunc(c.members, func(m Member) bool { return m.Name == member })
	if i < 0 {
		return fmt.Errorf("seed the store of cluster %s: no member %q", c.spec.Name, member)
	}
	component := c.components[i]
	component.turn.Lock()
	defer component.turn.Unlock()
	if component.Running() {
		return fmt.Errorf("seed the store of cluster %s: %s runs", c.spec.Name, member)
	}
	to := c.members[i].DataDir
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fmt.Errorf("seed the store of cluster %s: %s is there already", c.spec.Name, to), err)
	}
	if info, err := os.Stat(dir); err != nil {
		return fmt.Errorf("seed the store of cluster %s: %w", c.spec.Name, err)
	} else if !info.IsDir() {
		return fmt.Errorf("seed the store of cluster %s: %s is not a directory", c.spec.Name, dir)
	}
	if err := os.Rename(dir, to); err != nil {
		return fmt.Errorf("seed the store of cluster %s: %w", c.spec.Name, err)
	}
	// The rename has to be on disk before a member trusts it.
	return syncDir(filepath.Dir(to))
}

// Delete ends everything at once: nothing here is needed any more.
func (c *processCluster) Delete(ctx context.Context) error {
	c.deleting.Lock()
	defer c.deleting.Unlock()
	c.mu.Lock()
	c.deleted = true
	c.mu.Unlock()
	var g errgroup.Group
	for _, component := range c.components {
		g.Go(func() error { return component.Kill(ctx) })
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("delete cluster %s: %w", c.spec.Name, err)
	}
	errs := []error{c.owner.close(), os.RemoveAll(c.dir)}
	for _, p := range c.ports {
		errs = append(errs, p.Release())
	}
	// Fails while the drill has another cluster there.
	_ = os.Remove(filepath.Dir(c.dir))
	if err := errors.Join(errs...); err != nil {
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
