package clusters

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/internal/proc"
	"github.com/restore-drill/restore-drill/internal/toolchain"
)

// harnessVar makes this test's binary a harness of its own, which starts a cluster below the directory it names, says so and waits to be killed.
const harnessVar = "RESTORE_DRILL_TEST_HARNESS"

func TestMain(m *testing.M) {
	var err error
	if root := os.Getenv(harnessVar); root != "" {
		err = harness(root)
	} else if root := os.Getenv(KindHarnessVar); root != "" {
		err = kindHarness(root, os.Getenv("RESTORE_DRILL_TEST_NODE_IMAGE"))
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func harness(root string) error {
	c, err := NewProcess(ProcessOptions{StateRoot: root}).Create(context.Background(), testSpec("killed", filepath.Dir(root)))
	if err != nil {
		return err
	}
	// Components that wait for another are enough here.
	for _, component := range c.Components() {
		if err := component.Start(context.Background(), nil); err != nil {
			return err
		}
	}
	fmt.Println(placeOf(c))
	for _, component := range c.Components() {
		fmt.Println(component.Identity())
	}
	fmt.Println("started")
	select {}
}

func testSpec(drill, logs string) Spec {
	return Spec{Name: "source", DrillID: drill, LogDir: filepath.Join(logs, "logs", drill), EtcdMembers: 1, StartTimeout: time.Minute}
}

func placeOf(c Cluster) string { return c.(*processCluster).place.Dir() }

// created is a cluster that has not been started.
func created(t *testing.T, root string) *processCluster {
	t.Helper()
	p := NewProcess(ProcessOptions{StateRoot: root, Toolchain: toolchain.New(toolchain.Options{Progress: func(line string) { t.Log(line) }})})
	c, err := p.Create(t.Context(), testSpec("living", t.TempDir()))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Delete(context.WithoutCancel(t.Context()))) })
	return c.(*processCluster)
}

func TestCleanupAfterSIGKILL(t *testing.T) {
	root := filepath.Join(t.TempDir(), "state")
	living := created(t, root)
	require.NoError(t, living.Component("etcd-0").Start(t.Context(), nil))

	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), harnessVar+"="+root)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var said []string
	for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "started"; {
		said = append(said, lines.Text())
	}
	require.NoError(t, cmd.Process.Kill())
	require.EqualError(t, cmd.Wait(), "signal: killed")
	require.Len(t, said, 6, "%s", said)
	dir := said[0]
	require.DirExists(t, dir)
	var left []proc.Identity
	for _, text := range said[1:] {
		left = append(left, identity(t, text))
	}
	alive, err := left[0].Alive()
	require.NoError(t, err)
	require.True(t, alive, "etcd outlives a harness that is killed")

	var progress []string
	removed, err := Cleanup(t.Context(), root, func(line string) { progress = append(progress, line) })
	require.NoError(t, err)
	require.Equal(t, []string{dir}, removed)
	require.Contains(t, strings.Join(progress, "\n"), "killed etcd-0 of "+dir)
	require.NoDirExists(t, filepath.Dir(dir), "neither the cluster's place nor the drill's is left")
	for _, id := range left {
		alive, err := id.Alive()
		require.NoError(t, err)
		require.False(t, alive, id)
	}
	require.True(t, living.Component("etcd-0").Running(), "a drill that lives is left alone")
	require.DirExists(t, living.place.Dir())

	removed, err = Cleanup(t.Context(), root, nil)
	require.NoError(t, err)
	require.Empty(t, removed)
}

// identity of a component, from what it says of itself.
func identity(t *testing.T, text string) (id proc.Identity) {
	t.Helper()
	_, err := fmt.Sscanf(text, "pid %d started %s", &id.PID, &id.Start)
	require.NoError(t, err, text)
	return id
}

func TestComponentKilledFromOutside(t *testing.T) {
	c := created(t, t.TempDir())
	member := c.components[0]
	require.NoError(t, member.Start(t.Context(), nil))
	killed, err := identity(t, member.Identity()).Kill(t.Context())
	require.NoError(t, err)
	require.True(t, killed)
	select {
	case err := <-c.Died():
		require.ErrorContains(t, err, "etcd-0 ended unasked: signal: killed; from "+member.Command.LogFile)
		var death *Death
		require.ErrorAs(t, err, &death)
		require.True(t, death.Outside)
	case <-t.Context().Done():
	}
	require.False(t, member.Running())
}

// lame makes a cluster one of whose components cannot start, and what Start says of it.
func lame(t *testing.T, change func(c *processCluster)) error {
	t.Helper()
	c := created(t, t.TempDir())
	change(c)
	return c.Start(t.Context(), nil)
}

func TestStartReportsADeathAtOnce(t *testing.T) {
	err := lame(t, func(c *processCluster) { c.components[0].Command.Flags["no-such-flag"] = "1" })
	require.ErrorContains(t, err, "start cluster source: etcd-0 ended unasked: exit status 2; from ")
	require.ErrorContains(t, err, "flag provided but not defined: -no-such-flag")
	var death *Death
	require.ErrorAs(t, err, &death)
	require.False(t, death.Outside, "it ended by itself")

	err = lame(t, func(c *processCluster) { c.components[1].Command.Flags["no-such-flag"] = "1" })
	require.ErrorContains(t, err, "kube-apiserver ended unasked: exit status 1")
	require.ErrorContains(t, err, "unknown flag: --no-such-flag")

	err = lame(t, func(c *processCluster) { c.components[1].Command.Path = c.place.Dir("nothing") })
	require.ErrorContains(t, err, "start kube-apiserver: run "+filepath.Join("/"))
	require.ErrorContains(t, err, "no such file or directory")
}

func TestStartNamesAPortThatIsTaken(t *testing.T) {
	for i, name := range []string{"etcd-0", apiServerName} {
		var address string
		err := lame(t, func(c *processCluster) {
			port := c.components[i].Command.Ports[0]
			address = port.Address()
			require.NoError(t, port.Release())
			l, err := net.Listen("tcp", address)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, l.Close()) })
		})
		require.ErrorContains(t, err, name+" ended unasked: port "+address+" is taken by another process: exit status 1")
	}
}

func TestStartSaysWhatItWaitedFor(t *testing.T) {
	c := created(t, t.TempDir())
	c.spec.StartTimeout = 2 * time.Second
	// A member of three cannot be elected alone.
	c.components[0].Command.Flags["initial-cluster"] += ",etcd-1=https://127.0.0.1:1"
	err := c.Start(t.Context(), nil)
	require.ErrorContains(t, err, "start cluster source: waited 2s for ")
	require.ErrorContains(t, err, "deadline exceeded; last: ")
}

func TestCreateFailsCleanly(t *testing.T) {
	root := t.TempDir()
	spec := testSpec("drill", t.TempDir())
	spec.LogDir = filepath.Join(root, "file", "logs")
	require.NoError(t, os.WriteFile(filepath.Join(root, "file"), nil, 0o600))
	_, err := NewProcess(ProcessOptions{StateRoot: root}).Create(t.Context(), spec)
	require.ErrorContains(t, err, "create cluster source: ")
	require.ErrorContains(t, err, "not a directory")
	require.NoDirExists(t, filepath.Join(root, "drill"))
}

func TestCheckNamesWhatToSet(t *testing.T) {
	bin := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(bin, "file"), nil, 0o600))
	p := NewProcess(ProcessOptions{StateRoot: filepath.Join(bin, "file", "state")})
	err := p.Check(t.Context(), Spec{EtcdMembers: 1, Version: "v1.2.3"})
	require.ErrorContains(t, err, "set RESTORE_DRILL_STATE_DIR to a directory that can be written to")
	require.ErrorContains(t, err, "v1.2.3")
}

func TestEncryptionConfiguration(t *testing.T) {
	for _, cipher := range ciphers {
		b, err := newEncryption(cipher)
		require.NoError(t, err)
		require.NoError(t, checkEncryption(b))
		require.Contains(t, string(b), cipher+":")
		again, err := newEncryption(cipher)
		require.NoError(t, err)
		require.NotEqual(t, b, again)
	}
	require.EqualError(t, checkEncryption([]byte("kind: [")), "encryption-config.yaml is not YAML of an EncryptionConfiguration")
	require.EqualError(t, checkEncryption([]byte("kind: Secret")), `encryption-config.yaml is a "Secret", want an EncryptionConfiguration`)
	require.EqualError(t, checkEncryption([]byte("kind: EncryptionConfiguration\nresources: [{resources: [secrets], providers: [{kms: {name: vault}}]}]")),
		"encryption-config.yaml: [secrets] are encrypted by the KMS plugin vault, which does not run here")
}

func TestAdvertisedAddressIsOneThatEndpointsMayHave(t *testing.T) {
	a, b := created(t, t.TempDir()), created(t, t.TempDir())
	require.NotEqual(t, a.advertised(), b.advertised())
	_, benchmarks, err := net.ParseCIDR("198.18.0.0/15")
	require.NoError(t, err)
	require.True(t, benchmarks.Contains(net.ParseIP(a.advertised())))
}
