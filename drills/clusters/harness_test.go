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
	if root := os.Getenv(harnessVar); root != "" {
		if err := harness(root); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
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
	fmt.Println(place(c))
	for _, component := range c.Components() {
		fmt.Println(component.Identity())
	}
	fmt.Println("started")
	select {}
}

func testSpec(drill, logs string) Spec {
	return Spec{Name: "source", DrillID: drill, LogDir: filepath.Join(logs, "logs", drill), EtcdMembers: 1, StartTimeout: time.Minute}
}

func place(c Cluster) string { return c.(*processCluster).dir }

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
		var id proc.Identity
		_, err := fmt.Sscanf(text, "pid %d started %s", &id.PID, &id.Start)
		require.NoError(t, err, text)
		left = append(left, id)
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
	require.DirExists(t, living.dir)

	removed, err = Cleanup(t.Context(), root, nil)
	require.NoError(t, err)
	require.Empty(t, removed)
}

// abandon writes an owner file as a harness would have that is gone.
func abandon(t *testing.T, root string, lines ...ownerLine) string {
	t.Helper()
	gone := exec.Command("true")
	require.NoError(t, gone.Start())
	self, err := proc.Self()
	require.NoError(t, err)
	boot, err := proc.Boot()
	require.NoError(t, err)
	harness := proc.Identity{PID: gone.Process.Pid, Start: self.Start}
	require.NoError(t, gone.Wait())
	dir := filepath.Join(root, "drill", "source")
	o, err := claim(t.Context(), root, dir)
	require.NoError(t, err)
	require.NoError(t, o.file.Truncate(0))
	require.NoError(t, o.write(ownerLine{Harness: &harness, Boot: boot}))
	for _, l := range lines {
		require.NoError(t, o.write(l))
	}
	require.NoError(t, o.close())
	return dir
}

// sleeper runs for a minute unless it is killed; its command line is argv.
func sleeper(t *testing.T, argv ...string) *proc.Process {
	t.Helper()
	shell, err := exec.LookPath("sh")
	require.NoError(t, err)
	p, err := proc.Start(proc.Command{
		Path: shell, Args: append([]string{"-c", "exec 3<>$0; read line <&3"}, argv...), Log: filepath.Join(t.TempDir(), "log"),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Kill()) })
	return p
}

func fifo(t *testing.T, file string) string {
	t.Helper()
	require.NoError(t, exec.Command("mkfifo", file).Run())
	return file
}

func running(p *proc.Process) bool {
	select {
	case <-p.Done():
		return false
	default:
		return true
	}
}

func TestCleanupNeverKillsAStranger(t *testing.T) {
	root := t.TempDir()
	// A process that has the pid of a component that is long gone.
	stranger := sleeper(t, fifo(t, filepath.Join(t.TempDir(), "fifo")))
	then := proc.Identity{PID: stranger.Identity().PID, Start: "1"}
	dir := abandon(t, root, ownerLine{Component: "etcd-0", Argv: []string{"etcd"}}, ownerLine{Component: "etcd-0", Process: &then})
	removed, err := Cleanup(t.Context(), root, nil)
	require.NoError(t, err)
	require.Equal(t, []string{dir}, removed)
	require.True(t, running(stranger))
}

func TestCleanupFindsWhatWasNotWrittenDown(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "drill", "source")
	pipe := fifo(t, filepath.Join(t.TempDir(), "fifo"))
	shell, err := exec.LookPath("sh")
	require.NoError(t, err)
	begun := sleeper(t, pipe, dir+"/data")
	other := sleeper(t, pipe, dir+"/data", "more")
	abandon(t, root, ownerLine{Component: "etcd-0", Argv: []string{shell, "-c", "exec 3<>$0; read line <&3", pipe, dir + "/data"}})
	_, err = Cleanup(t.Context(), root, nil)
	require.NoError(t, err)
	require.False(t, running(begun), "started, and the harness was killed before it could write that down")
	require.True(t, running(other), "its command line is not the one that was begun")
	require.NoDirExists(t, dir)
}

func TestCleanupKillsNothingByACommandLineThatAnyoneMayHave(t *testing.T) {
	root := t.TempDir()
	pipe := fifo(t, filepath.Join(t.TempDir(), "fifo"))
	shell, err := exec.LookPath("sh")
	require.NoError(t, err)
	stranger := sleeper(t, pipe)
	dir := abandon(t, root, ownerLine{Component: "etcd-0", Argv: []string{shell, "-c", "exec 3<>$0; read line <&3", pipe}})
	_, err = Cleanup(t.Context(), root, nil)
	require.ErrorContains(t, err, "clean up "+dir+": etcd-0 was about to be started, and its command line names nothing of this place")
	require.True(t, running(stranger))
	require.DirExists(t, dir, "what is not understood is not removed")
}

func TestCleanupOfWhatNoHarnessCouldFinish(t *testing.T) {
	root := filepath.Join(t.TempDir(), "state")
	removed, err := Cleanup(t.Context(), root, nil)
	require.NoError(t, err)
	require.Empty(t, removed)
	require.NoDirExists(t, root, "cleanup makes nothing")

	empty, torn, rebooted := filepath.Join(root, "a", "source"), filepath.Join(root, "b", "source"), filepath.Join(root, "c", "source")
	for _, dir := range []string{empty, torn, rebooted} {
		require.NoError(t, os.MkdirAll(dir, 0o700))
	}
	require.NoError(t, os.WriteFile(filepath.Join(torn, ownerFile), []byte(`{"harness":{"pi`), 0o600))
	self, err := proc.Self()
	require.NoError(t, err)
	before := fmt.Sprintf("{\"harness\":{\"pid\":%d,\"start\":%q},\"boot\":\"another\"}\n{\"component\":\"etcd-0\",\"process\":{\"pid\":%d,\"start\":%q}}\n", self.PID, self.Start, self.PID, self.Start)
	require.NoError(t, os.WriteFile(filepath.Join(rebooted, ownerFile), []byte(before), 0o600))
	strange := filepath.Join(root, "d", "source")
	require.NoError(t, os.MkdirAll(strange, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(strange, ownerFile), []byte("not ours\n"), 0o600))

	removed, err = Cleanup(t.Context(), root, nil)
	require.ErrorContains(t, err, "clean up "+strange+": read owner.jsonl line 1: invalid character")
	require.Equal(t, []string{empty, torn, rebooted}, removed)
	require.DirExists(t, strange)
}

func TestComponentKilledFromOutside(t *testing.T) {
	c := created(t, t.TempDir())
	member := c.Component("etcd-0").(*processComponent)
	require.NoError(t, member.Start(t.Context(), nil))
	killed, err := member.current().Identity().Kill(t.Context())
	require.NoError(t, err)
	require.True(t, killed)
	select {
	case err := <-c.Died():
		require.ErrorContains(t, err, "etcd-0 ended unasked: signal: killed; from "+member.logFile())
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
	err := lame(t, func(c *processCluster) { c.components[0].flags["no-such-flag"] = "1" })
	require.ErrorContains(t, err, "start cluster source: etcd-0 ended unasked: exit status 2; from ")
	require.ErrorContains(t, err, "flag provided but not defined: -no-such-flag")
	var death *Death
	require.ErrorAs(t, err, &death)
	require.False(t, death.Outside, "it ended by itself")

	err = lame(t, func(c *processCluster) { c.components[1].flags["no-such-flag"] = "1" })
	require.ErrorContains(t, err, "kube-apiserver ended unasked: exit status 1")
	require.ErrorContains(t, err, "unknown flag: --no-such-flag")

	err = lame(t, func(c *processCluster) { c.components[1].path = filepath.Join(c.dir, "nothing") })
	require.ErrorContains(t, err, "start kube-apiserver: run "+filepath.Join("/"))
	require.ErrorContains(t, err, "no such file or directory")
}

func TestStartNamesAPortThatIsTaken(t *testing.T) {
	for i, name := range []string{"etcd-0", apiServerName} {
		var address string
		err := lame(t, func(c *processCluster) {
			port := c.components[i].ports[0]
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
	c.spec.StartTimeout = 300 * time.Millisecond
	// A member of three cannot be elected alone.
	c.components[0].flags["initial-cluster"] += ",etcd-1=https://127.0.0.1:1"
	err := c.Start(t.Context(), nil)
	require.ErrorContains(t, err, "start cluster source: waited 300ms for ")
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

func TestStateRoot(t *testing.T) {
	t.Setenv("RESTORE_DRILL_STATE_DIR", "/set")
	require.Equal(t, "/set", StateRoot())
	t.Setenv("RESTORE_DRILL_STATE_DIR", "")
	t.Setenv("XDG_STATE_HOME", "/xdg")
	require.Equal(t, "/xdg/restore-drill", StateRoot())
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("HOME", "/home/x")
	require.Equal(t, "/home/x/.local/state/restore-drill", StateRoot())
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
