package faults_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"

	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/drills/faults"
	"github.com/restore-drill/restore-drill/drills/faults/faulttest"
)

// A machinedCluster has one machine, which is a directory, and an API server that listens and does nothing.
type machinedCluster struct {
	clusters.Cluster
	machine  *machine
	listener net.Listener
}

func (c *machinedCluster) Config() *rest.Config {
	return &rest.Config{Host: "https://" + c.listener.Addr().String()}
}

func (c *machinedCluster) Machines() []clusters.Machine {
	if c.machine.gone {
		return nil
	}
	return []clusters.Machine{c.machine}
}

// A machine runs commands with its directories in place of the real ones. The API server ends with pkill, and when its manifest is gone.
type machine struct {
	t       *testing.T
	cluster *machinedCluster
	root    string
	gone    bool
	// broken is the error of every command.
	broken error
	// lingers tells that its API server goes on listening, whatever is gone.
	lingers bool
}

func newMachined(t *testing.T) *machinedCluster {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	c := &machinedCluster{listener: listener}
	c.machine = &machine{t: t, cluster: c, root: t.TempDir()}
	for _, file := range []string{"pki/ca.key", "pki/ca.crt", "pki/etcd/ca.key", "manifests/etcd.yaml", "manifests/kube-apiserver.yaml"} {
		path := filepath.Join(c.machine.root, "etc/kubernetes", file)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte("x"), 0o600))
	}
	return c
}

// Store has no member, or one that ended before the API server did.
func (c *machinedCluster) Store() clusters.Store {
	if c.machine.lingers {
		return clusters.Store{Endpoints: []string{"https://127.0.0.1:2379"}}
	}
	return clusters.Store{}
}

func (m *machine) Name() string       { return "source-control-plane" }
func (m *machine) ControlPlane() bool { return true }

func (m *machine) Exec(ctx context.Context, stdin io.Reader, argv ...string) ([]byte, error) {
	if m.broken != nil {
		return nil, m.broken
	}
	for i := range argv {
		argv[i] = strings.ReplaceAll(argv[i], "/etc/kubernetes", filepath.Join(m.root, "etc/kubernetes"))
		argv[i] = strings.ReplaceAll(argv[i], "127.0.0.1/6443", "127.0.0.1/"+strconv.Itoa(m.cluster.listener.Addr().(*net.TCPAddr).Port))
		argv[i] = strings.ReplaceAll(argv[i], `echo > "/dev/udp/$gateway/9"`, "test ! -e "+m.root+"/cut || { echo Operation not permitted >&2; false; }")
		argv[i] = strings.ReplaceAll(argv[i], "pkill ", "touch "+m.root+"/killed; true ")
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin = stdin
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	_, survived := os.Stat(filepath.Join(m.root, "etc/kubernetes/manifests/kube-apiserver.yaml"))
	_, killed := os.Stat(filepath.Join(m.root, "killed"))
	if (survived != nil || killed == nil) && !m.lingers {
		_ = m.cluster.listener.Close()
	}
	if err != nil {
		return out, fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, said.String())
	}
	return out, nil
}

func (m *machine) Destroy(context.Context) error {
	m.gone = true
	return m.cluster.listener.Close()
}

func (m *machine) CutOff(context.Context) error {
	return os.WriteFile(filepath.Join(m.root, "cut"), nil, 0o600)
}
func (m *machine) Reconnect(context.Context) error { return os.Remove(filepath.Join(m.root, "cut")) }

// An API server that is asked to end takes connections for a while, and answers nothing without its store.
func TestAnAPIServerWithoutItsStoreServesNothing(t *testing.T) {
	c := newMachined(t)
	c.machine.lingers = true
	f, scene := &faults.ManifestsDeleted{}, &faults.Scene{Source: c}
	before, err := f.Visible(t.Context(), scene)
	require.NoError(t, err)
	require.Equal(t, faults.Sighting{Detail: "2 files are in /etc/kubernetes/manifests, and every member of etcd refuses connections"}, before)
	require.NoError(t, f.Inject(t.Context(), scene))
	after, err := f.Visible(t.Context(), scene)
	require.NoError(t, err)
	require.Equal(t, faults.Sighting{Visible: true, Detail: "no file is in /etc/kubernetes/manifests, and every member of etcd refuses connections"}, after)
}

func TestFaultsOfMachines(t *testing.T) {
	for _, test := range []struct {
		fault faults.Fault
		seen  string
	}{
		{&faults.MachineDeleted{}, "no control-plane machine is there, and the API server refuses connections"},
		{&faults.PKIDeleted{}, "no file is in /etc/kubernetes/pki, and the API server refuses connections"},
		{&faults.ManifestsDeleted{}, "no file is in /etc/kubernetes/manifests, and the API server refuses connections"},
		{&faults.CutOff{}, "machine source-control-plane reaches nobody, and its API server takes connections there"},
	} {
		t.Run(test.fault.Name(), func(t *testing.T) {
			require.True(t, faults.NeedsMachines(test.fault))
			require.Equal(t, test.seen, faulttest.Strike(t, test.fault, &faults.Scene{Source: newMachined(t)}).Detail)

			// A machine that gives no answer was not seen to be damaged.
			c := newMachined(t)
			c.machine.broken = errors.New("no such engine")
			if test.fault.Name() != "machine-deleted" {
				seen, err := test.fault.Visible(t.Context(), &faults.Scene{Source: c})
				require.ErrorContains(t, err, "no such engine")
				require.False(t, seen.Visible)
				require.ErrorContains(t, cmpInject(t, test.fault, c), "no such engine")
			}

			simulated := &faults.Scene{Source: struct{ clusters.Cluster }{}}
			require.EqualError(t, test.fault.Inject(t.Context(), simulated), "the source cluster has no machines: its nodes are simulated")
		})
	}
	names := []string{}
	for name, create := range faults.Catalogue() {
		if faults.NeedsMachines(create()) {
			names = append(names, name)
		}
	}
	require.Subset(t, names, []string{"machine-deleted", "pki-deleted", "manifests-deleted", "cut-off"})
	require.False(t, slices.Contains(names, "control-plane-lost"), "it strikes wherever there is a control plane")
}

func cmpInject(t *testing.T, f faults.Fault, c *machinedCluster) error {
	if f.Name() == "cut-off" {
		return c.machine.broken // it runs no command
	}
	return f.Inject(t.Context(), &faults.Scene{Source: c})
}
