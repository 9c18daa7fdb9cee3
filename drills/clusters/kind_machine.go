package clusters

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/kind/pkg/cluster"
	"sigs.k8s.io/kind/pkg/log"

	"github.com/restore-drill/restore-drill/internal/engine"
	"github.com/restore-drill/restore-drill/internal/place"
)

// Labels that kind gives to the containers that it makes.
const (
	kindClusterLabel = "io.x-k8s.kind.cluster"
	kindRoleLabel    = "io.x-k8s.kind.role"
)

// A kindMachine is a node container.
type kindMachine struct {
	cluster *kindCluster
	name    string
	// id of the container, and address on the engine's network.
	id, address  string
	controlPlane bool
	// gone is set once it is to be removed, or was.
	gone atomic.Bool
}

func (m *kindMachine) Name() string       { return m.name }
func (m *kindMachine) ControlPlane() bool { return m.controlPlane }

// Exec asks the engine, and needs no network of the machine's.
func (m *kindMachine) Exec(ctx context.Context, stdin io.Reader, argv ...string) ([]byte, error) {
	out, err := m.cluster.engine.Exec(ctx, m.id, stdin, argv...)
	if err != nil {
		return out, fmt.Errorf("on machine %s: %w", m.name, err)
	}
	return out, nil
}

// run is Exec for what sets the cluster up: the spec's Ran is told.
func (m *kindMachine) run(ctx context.Context, stdin io.Reader, argv ...string) ([]byte, error) {
	out, err := m.Exec(ctx, stdin, argv...)
	if err == nil {
		m.cluster.spec.ran(ctx, m.name, argv...)
	}
	return out, err
}

func (m *kindMachine) Destroy(ctx context.Context) error {
	m.gone.Store(true)
	if err := m.cluster.engine.Remove(ctx, engine.Containers, m.id); err != nil {
		return fmt.Errorf("destroy machine %s: %w", m.name, err)
	}
	m.cluster.lostMachine(m)
	return nil
}

// The rules that keep every packet from and to the network away, those of pods too. Its own interface, addresses and routes stay as they are.
var cutOff = [][]string{
	{"-t", "raw", "PREROUTING", "-i", "eth0", "-j", "DROP"},
	{"-t", "mangle", "POSTROUTING", "-o", "eth0", "-j", "DROP"},
}

func (m *kindMachine) CutOff(ctx context.Context) error {
	return m.filter(ctx, "cut machine %s off its network: %w", "-I")
}

func (m *kindMachine) Reconnect(ctx context.Context) error {
	return m.filter(ctx, "put machine %s back on its network: %w", "-D")
}

func (m *kindMachine) filter(ctx context.Context, failed, do string) error {
	for _, rule := range cutOff {
		for _, program := range []string{"iptables", "ip6tables"} {
			argv := slices.Concat([]string{program, "-w", "-t", rule[1], do}, rule[2:])
			if _, err := m.Exec(ctx, nil, argv...); err != nil {
				// A machine without IPv6 has nothing there to be cut off from.
				if program == "ip6tables" && strings.Contains(err.Error(), "can't initialize") {
					continue
				}
				return fmt.Errorf(failed, m.name, err)
			}
		}
	}
	return nil
}

// makeMachines has kind make the node containers, and stops it before it sets Kubernetes up. What is about to be made is written down before.
func (c *kindCluster) makeMachines(ctx context.Context) error {
	label := kindClusterLabel + "=" + c.name
	there, err := c.engine.Labelled(ctx, engine.Containers, label)
	if err != nil {
		return err
	}
	if len(there) > 0 {
		return fmt.Errorf("containers of a cluster %s are there already, and are not this drill's: %s", c.name, strings.Join(there, ", "))
	}
	machine, err := readHost(ctx, c.engine)
	if err != nil {
		return err
	}
	config, err := c.spec.kindConfig(c.name, kindest(c.spec), "127.0.0.1", machine)
	if err != nil {
		return err
	}
	if err := c.place.Engine(c.engine.Name, label); err != nil {
		return err
	}
	c.labelled = label
	if err := context.Cause(ctx); err != nil {
		return err
	}
	err = c.kind().Create(c.name, cluster.CreateWithV1Alpha4Config(config), cluster.CreateWithRetain(true),
		cluster.CreateWithKubeconfigPath(c.place.Dir("kind.conf")), cluster.CreateWithStopBeforeSettingUpKubernetes(true))
	if cause := context.Cause(ctx); cause != nil {
		return cause // what kind says of it is of no interest any more
	}
	if err != nil {
		return fmt.Errorf("make machines: %w", kindError(err))
	}
	if err := c.inspect(ctx); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	for _, m := range c.machines {
		g.Go(func() error { return m.awaitRuntime(gctx) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	c.bringImages()
	return c.readVersions(ctx)
}

func (c *kindCluster) kind() *cluster.Provider {
	with := cluster.ProviderWithDocker()
	if c.engine.Name == "podman" {
		with = cluster.ProviderWithPodman()
	}
	return cluster.NewProvider(with, cluster.ProviderWithLogger(kindProgress{c.spec.Progress}))
}

// inspect reads what the engine knows of the machines.
func (c *kindCluster) inspect(ctx context.Context) error {
	names, err := c.engine.Labelled(ctx, engine.Containers, c.labelled)
	if err != nil {
		return err
	}
	out, err := c.engine.Do(ctx, append([]string{"container", "inspect"}, names...)...)
	if err != nil {
		return fmt.Errorf("inspect machines: %w", err)
	}
	var found []struct {
		ID, Name        string
		Config          struct{ Labels map[string]string }
		NetworkSettings struct {
			Networks map[string]struct{ IPAddress string }
			Ports    map[string][]struct{ HostIP, HostPort string }
		}
	}
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		return fmt.Errorf("inspect machines: %w", err)
	}
	published := func(i, port int) (string, error) {
		all := found[i].NetworkSettings.Ports[fmt.Sprintf("%d/tcp", port)]
		if len(all) == 0 {
			return "", fmt.Errorf("machine %s: port %d is not published", found[i].Name, port)
		}
		return "https://" + net.JoinHostPort(all[0].HostIP, all[0].HostPort), nil
	}
	for i, f := range found {
		m := &kindMachine{cluster: c, name: strings.TrimPrefix(f.Name, "/"), id: f.ID, controlPlane: f.Config.Labels[kindRoleLabel] == "control-plane"}
		for _, n := range f.NetworkSettings.Networks {
			m.address = n.IPAddress
		}
		if m.address == "" {
			return fmt.Errorf("machine %s has no address", m.name)
		}
		if m.controlPlane {
			var err1, err2 error
			c.server, err1 = published(i, apiServerPort)
			c.endpoint, err2 = published(i, etcdPort)
			if err := errors.Join(err1, err2); err != nil {
				return err
			}
		}
		c.machines = append(c.machines, m)
	}
	slices.SortFunc(c.machines, func(a, b *kindMachine) int {
		if a.controlPlane != b.controlPlane {
			if a.controlPlane {
				return -1
			}
			return 1
		}
		return strings.Compare(a.name, b.name)
	})
	if len(c.machines) == 0 || !c.machines[0].controlPlane {
		return errors.New("kind made no control-plane machine")
	}
	c.layOutComponents()
	for _, m := range c.machines {
		go c.watchMachine(m)
	}
	return nil
}

// bootTimeout bounds how long a machine may take from its start until its runtime answers, which is all that its init system is waited for.
const bootTimeout = 2 * time.Minute

// awaitRuntime returns when containerd answers on the machine.
func (m *kindMachine) awaitRuntime(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, bootTimeout, fmt.Errorf("not within %s", bootTimeout))
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := m.Exec(ctx, nil, "ctr", "--namespace", "k8s.io", "version")
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for containerd to answer: %w; last: %w", context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

// readVersions of what the machines' image holds, which has to be what was asked for.
func (c *kindCluster) readVersions(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	var kube, images []byte
	g.Go(func() (err error) { kube, err = c.control().Exec(gctx, nil, "cat", "/kind/version"); return err })
	g.Go(func() (err error) {
		images, err = c.control().Exec(gctx, nil, "ctr", "--namespace", "k8s.io", "images", "ls", "--quiet")
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	version := strings.TrimSpace(string(kube))
	if version != c.spec.Version {
		return fmt.Errorf("node image %s holds Kubernetes %s, and the scenario asks for %s: set cluster.version, or another cluster.kind.nodeImage", kindest(c.spec), version, c.spec.Version)
	}
	c.versions = imageVersions(strings.Fields(string(images)))
	c.versions["kubelet"], c.versions["node image"] = version, kindest(c.spec)
	return nil
}

// watchMachine tells of a machine that ends and was not asked to. The engine's command ends when the container has.
func (c *kindCluster) watchMachine(m *kindMachine) {
	status, err := c.engine.Do(c.watching, "wait", m.id)
	if c.watching.Err() != nil || m.gone.Load() {
		return
	}
	words := fmt.Sprintf("machine %s ended unasked: exit status %s", m.name, status)
	if err != nil {
		words = fmt.Sprintf("machine %s was lost: %v", m.name, err)
	}
	m.gone.Store(true)
	c.lostMachine(m)
	c.place.Lost(&place.Death{Component: m.name, Outside: true, Words: words})
}

// kindProgress tells kind's phases as ours.
type kindProgress struct{ say func(string) }

func (p kindProgress) Warn(line string)          { p.Info(line) }
func (p kindProgress) Warnf(f string, a ...any)  { p.Info(fmt.Sprintf(f, a...)) }
func (p kindProgress) Error(line string)         { p.Info(line) }
func (p kindProgress) Errorf(f string, a ...any) { p.Info(fmt.Sprintf(f, a...)) }
func (p kindProgress) Infof(f string, a ...any)  { p.Info(fmt.Sprintf(f, a...)) }
func (p kindProgress) Enabled() bool             { return true }
func (p kindProgress) V(l log.Level) log.InfoLogger {
	if l > 0 {
		return log.NoopInfoLogger{}
	}
	return p
}

func (p kindProgress) Info(line string) {
	// A phase is told twice, when it begins and when it has ended, the second time with a tick; its name has a bullet before it and a picture behind.
	if strings.Contains(line, "✓") {
		return
	}
	line = strings.TrimFunc(line, func(r rune) bool { return r > 127 || strings.ContainsRune(" .\n", r) })
	if line != "" {
		p.say("kind: " + line)
	}
}
