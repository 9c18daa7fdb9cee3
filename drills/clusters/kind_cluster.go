package clusters

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing/fstest"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"

	"github.com/restore-drill/restore-drill/internal/engine"
	"github.com/restore-drill/restore-drill/internal/pki"
	"github.com/restore-drill/restore-drill/internal/place"
)

// A kindCluster is a cluster of machines that kind made.
type kindCluster struct {
	spec Spec
	// name of kind's, and the label that its containers carry; empty before any was to be made.
	name, labelled string
	place          *place.Place
	engine         *engine.Engine
	versions       map[string]string
	// machines, that of the control plane first.
	machines []*kindMachine
	// server and endpoint are where this machine reaches the API server and etcd: ports on loopback.
	server, endpoint string
	static           []*staticPod
	kubelet          *kubelet
	// watching ends when the cluster is deleted.
	watching context.Context
	unwatch  context.CancelFunc
	// logs are the goroutines that write logs.
	logs sync.WaitGroup

	// looking is held while it is found out whose a container is; logging has a channel for each of the control plane's that is known, which is
	// closed when its log was read to the end.
	looking sync.Mutex
	logging map[string]chan struct{}

	// brought is closed when the spec's images are on every machine, or cannot be brought there, which notBrought says.
	brought    chan struct{}
	notBrought error

	// setup is held while the control plane is set up, or what it is set up with is replaced.
	setup sync.Mutex
	// laidOut says that kubeadm has written certificates and manifests, and begun that a component was started with them.
	laidOut, begun bool
	// settling is held while the cluster's own objects are made; settled says that they are there.
	settling sync.Mutex
	settled  bool

	mu      sync.Mutex
	admin   *rest.Config
	store   *tls.Config
	deleted bool
}

// Where things are in a control-plane machine.
const (
	nodePKI       = "/etc/kubernetes/pki"
	nodeManifests = "/etc/kubernetes/manifests"
	nodeParked    = "/etc/kubernetes/restore-drill"
	nodeData      = "/var/lib/etcd"
	nodeAudit     = "/var/log/kubernetes"
	kubeadmConfig = "/kind/kubeadm.conf"
)

func (c *kindCluster) Name() string                { return c.spec.Name }
func (c *kindCluster) Spec() Spec                  { return c.spec }
func (c *kindCluster) Versions() map[string]string { return maps.Clone(c.versions) }
func (c *kindCluster) StateDir() string            { return c.place.Dir(workDir) }
func (c *kindCluster) Kubeconfig() string          { return c.place.Dir("admin.conf") }
func (c *kindCluster) Died() <-chan error          { return c.place.Died() }
func (c *kindCluster) control() *kindMachine       { return c.machines[0] }
func (c *kindCluster) logFile(name string) string  { return filepath.Join(c.spec.LogDir, name+".log") }

// Members of the store: kubeadm's one, on the control-plane machine.
func (c *kindCluster) Members() []Member {
	return []Member{{Name: etcdMember, PeerURL: "https://" + c.control().address + ":2380", DataDir: nodeData}}
}

const etcdMember = "etcd-0"

// Machines that are there.
func (c *kindCluster) Machines() []Machine {
	var all []Machine
	for _, m := range c.machines {
		if !m.gone.Load() {
			all = append(all, m)
		}
	}
	return all
}

func (c *kindCluster) Config() *rest.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	return rest.CopyConfig(c.admin)
}

func (c *kindCluster) Store() Store {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Store{Endpoints: []string{c.endpoint}, TLS: c.store.Clone()}
}

func (c *kindCluster) Components() []Component {
	var all []Component
	for _, p := range c.static {
		all = append(all, p)
	}
	return append(all, c.kubelet)
}

func (c *kindCluster) Component(name string) Component {
	for _, component := range c.Components() {
		if component.Name() == name {
			return component
		}
	}
	return nil
}

// furnish puts the material onto the control-plane machine, where it replaces what is there, and makes this drill's own access under it.
func (c *kindCluster) furnish(ctx context.Context, m *pki.Material, encryption []byte) error {
	files := m.Files()
	if encryption != nil {
		files[encryptionCfg] = encryption
	}
	if c.spec.AuditLog {
		files[auditPolicy] = []byte(auditMetadata)
	}
	cert, key, err := m.Cluster.Issue(logins()["admin.conf"])
	if err != nil {
		return err
	}
	admin := &rest.Config{Host: c.server, QPS: -1}
	admin.CAData, admin.CertData, admin.KeyData = m.Cluster.CertPEM(), cert, key
	login := pki.Login{User: logins()["admin.conf"].CommonName, Server: c.server, Authority: m.Cluster.CertPEM(), CertPEM: cert, KeyPEM: key}
	if err := pki.WriteKubeconfig(c.Kubeconfig(), login); err != nil {
		return err
	}
	cert, key, err = m.Etcd.Issue(pki.Leaf{CommonName: "restore-drill"})
	if err != nil {
		return err
	}
	store, err := clientTLS(m.Etcd.CertPEM(), cert, key)
	if err != nil {
		return err
	}
	archive, err := archive(files)
	if err != nil {
		return err
	}
	lay := fmt.Sprintf("rm -rf %[1]s /etc/kubernetes/*.conf /var/lib/kubelet/pki && mkdir -p %[1]s && tar -x --no-same-owner -C %[1]s", nodePKI)
	if _, err := c.control().run(ctx, archive, "bash", "-c", lay); err != nil {
		return err
	}
	c.mu.Lock()
	c.admin, c.store = admin, store
	c.mu.Unlock()
	c.encrypt(encryption != nil)
	c.laidOut = false
	return nil
}

// archive holds files that their owner alone may read.
func archive(files map[string][]byte) (io.Reader, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o600, Size: int64(len(files[name]))}); err != nil {
			return nil, err
		}
		if _, err := w.Write(files[name]); err != nil {
			return nil, err
		}
	}
	return &b, w.Close()
}

// Material reads what has to travel from the control-plane machine's disk, which it does of a machine that is stopped, too.
func (c *kindCluster) Material(ctx context.Context) (fs.FS, error) {
	files, err := c.material(ctx)
	if err != nil {
		return nil, fmt.Errorf("read key material of cluster %s: %w", c.spec.Name, err)
	}
	return files, nil
}

func (c *kindCluster) material(ctx context.Context) (fstest.MapFS, error) {
	copied, err := c.engine.Pipe(ctx, nil, "cp", c.control().id+":"+nodePKI, "-")
	if err != nil {
		return nil, err
	}
	there, err := unpack(copied)
	if err != nil {
		return nil, err
	}
	material, err := pki.Read(there)
	if err != nil {
		return nil, err
	}
	out := fstest.MapFS{}
	for name, content := range material.Files() {
		out[name] = &fstest.MapFile{Data: content, Mode: 0o600}
	}
	if f, ok := there[encryptionCfg]; ok {
		out[encryptionCfg] = f
	}
	return out, nil
}

// unpack reads an archive of one directory, whose own name is left away.
func unpack(b []byte) (fstest.MapFS, error) {
	files := fstest.MapFS{}
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		_, name, ok := strings.Cut(path.Clean(h.Name), "/")
		if !ok || h.Typeflag != tar.TypeReg {
			continue
		}
		content, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		files[name] = &fstest.MapFile{Data: content, Mode: 0o600}
	}
}

// LayIn takes authorities and keys, and has kubeadm issue the rest under them.
func (c *kindCluster) LayIn(ctx context.Context, from fs.FS) error {
	c.setup.Lock()
	defer c.setup.Unlock()
	if err := c.layIn(ctx, from); err != nil {
		return fmt.Errorf("lay key material into cluster %s: %w", c.spec.Name, err)
	}
	return nil
}

func (c *kindCluster) layIn(ctx context.Context, from fs.FS) error {
	if c.begun {
		return errors.New("it has been started: its components hold the old material")
	}
	material, encryption, err := readMaterial(from)
	if err != nil {
		return err
	}
	if err := c.furnish(ctx, material, encryption); err != nil {
		return err
	}
	return c.layOut(ctx)
}

// SeedStore copies a restored data directory onto the control-plane machine, and into its place in one rename.
func (c *kindCluster) SeedStore(ctx context.Context, member string, dir string) error {
	if member != etcdMember {
		return fmt.Errorf("seed the store of cluster %s: no member %q", c.spec.Name, member)
	}
	if err := c.static[0].whileDown(func() error { return c.seed(ctx, dir) }); err != nil {
		return fmt.Errorf("seed the store of cluster %s: %w", c.spec.Name, err)
	}
	return nil
}

func (c *kindCluster) seed(ctx context.Context, dir string) error {
	if info, err := os.Stat(dir); err != nil {
		return err
	} else if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	// kubeadm makes the directory before anything is in it.
	there, err := c.control().Exec(ctx, nil, "bash", "-c", "ls -A "+nodeData+" 2>/dev/null || true")
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(there)) > 0 {
		return fmt.Errorf("%s on machine %s is there already", nodeData, c.control().name)
	}
	r, w := io.Pipe()
	var g errgroup.Group
	g.Go(func() error {
		t := tar.NewWriter(w)
		err := errors.Join(t.AddFS(os.DirFS(dir)), t.Close())
		return errors.Join(err, w.CloseWithError(err))
	})
	g.Go(func() error {
		const fresh = nodeData + ".new"
		// The rename has to be on disk before a member trusts it.
		script := fmt.Sprintf("rm -rf %[1]s && mkdir -m 700 %[1]s && tar -x --no-same-owner -C %[1]s && rm -rf %[2]s && mv %[1]s %[2]s && sync -f %[2]s", fresh, nodeData)
		_, err := c.control().run(ctx, r, "bash", "-c", script)
		return errors.Join(err, r.CloseWithError(err))
	})
	if err := g.Wait(); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

// Delete removes the machines at once: nothing on them is needed any more.
func (c *kindCluster) Delete(ctx context.Context) error {
	c.mu.Lock()
	c.deleted = true
	c.mu.Unlock()
	for _, m := range c.machines {
		m.gone.Store(true)
	}
	if c.unwatch != nil {
		c.unwatch()
	}
	if err := c.removeMachines(ctx); err != nil {
		return fmt.Errorf("delete cluster %s: %w", c.spec.Name, err)
	}
	for _, m := range c.machines {
		c.lostMachine(m)
	}
	c.logs.Wait()
	if err := c.place.Close(ctx); err != nil {
		return fmt.Errorf("delete cluster %s: %w", c.spec.Name, err)
	}
	return nil
}

// removeMachines removes what carries the cluster's label, whether kind got to say so or not.
func (c *kindCluster) removeMachines(ctx context.Context) error {
	if c.labelled == "" {
		return nil
	}
	names, err := c.engine.Labelled(ctx, engine.Containers, c.labelled)
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	for _, name := range names {
		g.Go(func() error { return c.engine.Remove(gctx, engine.Containers, name) })
	}
	return g.Wait()
}

// lostMachine takes note that nothing on a machine runs any more.
func (c *kindCluster) lostMachine(m *kindMachine) {
	if m.controlPlane {
		for _, p := range c.static {
			p.lost()
		}
		c.kubelet.lost()
	}
}
