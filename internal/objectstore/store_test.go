package objectstore

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shirou/gopsutil/v4/process"
	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/internal/place"
	"github.com/restore-drill/restore-drill/internal/proc"
	"github.com/restore-drill/restore-drill/internal/toolchain"
)

// harnessVar makes this test's binary a harness of its own, which starts a store below the directory it names, says so and waits to be killed.
const harnessVar = "RESTORE_DRILL_TEST_HARNESS"

func TestMain(m *testing.M) {
	if root := os.Getenv(harnessVar); root != "" {
		s, err := Start(context.Background(), options("killed", root, filepath.Dir(root)))
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(s.Component().Identity())
		select {}
	}
	os.Exit(m.Run())
}

func options(drill, root, logs string) Options {
	return Options{Toolchain: toolchain.New(toolchain.Options{}), StateRoot: root, DrillID: drill, LogDir: filepath.Join(logs, "logs")}
}

func started(t *testing.T) (*Store, Options) {
	t.Helper()
	o := options("drill", filepath.Join(t.TempDir(), "state"), t.TempDir())
	s, err := Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close(context.WithoutCancel(t.Context()))) })
	return s, o
}

func identity(t *testing.T, text string) (id proc.Identity) {
	t.Helper()
	_, err := fmt.Sscanf(text, "pid %d started %s", &id.PID, &id.Start)
	require.NoError(t, err, text)
	return id
}

// ask sends a request signed as S3 wants it (signature version 4), and returns the status and the body.
func ask(t *testing.T, s *Store, method, path, query, body, secret string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, s.Endpoint()+path+"?"+query, strings.NewReader(body))
	require.NoError(t, err)
	access, _ := s.Credentials()
	sign(request, body, access, secret, time.Now())
	response, err := s.client.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(b)
}

// rightly asks with the store's own credentials, and wants 200.
func rightly(t *testing.T, s *Store, method, path, query, body string) string {
	t.Helper()
	_, secret := s.Credentials()
	status, answer := ask(t, s, method, path, query, body, secret)
	require.Equal(t, http.StatusOK, status, answer)
	return answer
}

func TestStoreKeepsObjectsAcrossRestarts(t *testing.T) {
	s, _ := started(t)
	object := "/" + s.Bucket() + "/backups/daily/velero-backup.json"
	rightly(t, s, "PUT", object, "", "{}")
	rightly(t, s, "PUT", "/"+s.Bucket()+"/backups/daily-2", "", "two")
	want := []Object{
		{Key: "backups/daily-2", Size: 3, SHA256: "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3"},
		{Key: "backups/daily/velero-backup.json", Size: 2, SHA256: "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},
	}
	list := func() {
		t.Helper()
		all, err := s.Objects(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, all)
	}
	list()

	endpoint, first := s.Endpoint(), s.Component().Identity()
	require.NoError(t, s.Component().Stop(t.Context()))
	_, err := s.client.Get(endpoint)
	require.ErrorContains(t, err, "connection refused")
	list()
	require.NoError(t, s.Component().Start(t.Context(), nil))
	require.NoError(t, s.Ready(t.Context()))
	require.NotEqual(t, first, s.Component().Identity())
	require.NoError(t, s.Component().Kill(t.Context()))
	require.NoError(t, s.Component().Start(t.Context(), nil))
	require.NoError(t, s.Ready(t.Context()))
	require.Equal(t, endpoint, s.Endpoint())
	require.Equal(t, "{}", rightly(t, s, "GET", object, "", ""))
	require.Contains(t, rightly(t, s, "GET", "/"+s.Bucket(), "list-type=2&prefix=backups", ""), "<Key>backups/daily/velero-backup.json</Key>")
	list()
	select {
	case err := <-s.Died():
		require.NoError(t, err, "what is stopped through its component has not died")
	default:
	}

	// What a fault does to the file is what a client gets.
	require.NoError(t, os.WriteFile(s.Path("backups/daily/velero-backup.json"), []byte("{"), 0o600))
	require.Equal(t, "{", rightly(t, s, "GET", object, "", ""))
	require.NoError(t, os.Remove(s.Path("backups/daily/velero-backup.json")))
	want = want[:1]
	list()
}

func TestStoreTrustsNobodyElse(t *testing.T) {
	s, _ := started(t)
	status, answer := ask(t, s, "GET", "/"+s.Bucket(), "list-type=2", "", "wrong")
	require.Equal(t, http.StatusForbidden, status)
	require.Contains(t, answer, "<Code>SignatureDoesNotMatch</Code>")

	response, err := s.client.Get(s.Endpoint() + "/" + s.Bucket())
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusForbidden, response.StatusCode, "without credentials")

	_, err = http.Get(s.Endpoint() + healthPath)
	require.ErrorContains(t, err, "certificate signed by unknown authority")
	_, err = tls.Dial("tcp", s.Address(), &tls.Config{RootCAs: s.client.Transport.(*http.Transport).TLSClientConfig.RootCAs, ServerName: "elsewhere"})
	require.ErrorContains(t, err, "not elsewhere")
	response, err = http.Get(strings.Replace(s.Endpoint(), "https", "http", 1) + healthPath)
	if err == nil {
		require.NoError(t, response.Body.Close())
		require.NotEqual(t, http.StatusOK, response.StatusCode, "without TLS")
	}
}

// Two drills have nothing in common: neither the port nor the keys.
func TestStoresDiffer(t *testing.T) {
	a, _ := started(t)
	b, _ := started(t)
	require.NotEqual(t, a.Endpoint(), b.Endpoint())
	_, secret := a.Credentials()
	status, _ := ask(t, b, "GET", "/"+b.Bucket(), "list-type=2", "", secret)
	require.Equal(t, http.StatusForbidden, status)
	_, err := tls.Dial("tcp", b.Address(), a.client.Transport.(*http.Transport).TLSClientConfig)
	require.ErrorContains(t, err, "certificate signed by unknown authority")
}

func TestMissingBucket(t *testing.T) {
	s, _ := started(t)
	require.NoError(t, os.RemoveAll(s.Path("")))
	_, secret := s.Credentials()
	status, answer := ask(t, s, "GET", "/"+s.Bucket(), "list-type=2", "", secret)
	require.Equal(t, http.StatusNotFound, status)
	require.Contains(t, answer, "<Code>NoSuchBucket</Code>")
	_, err := s.Objects(t.Context())
	require.ErrorContains(t, err, "list the objects of bucket restore-drill: ")
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestPathStaysInTheBucket(t *testing.T) {
	s, _ := started(t)
	for _, key := range []string{"", "a/b", "../../x", "/etc/passwd"} {
		require.True(t, strings.HasPrefix(s.Path(key), s.place.Dir(dataDir, bucket)), s.Path(key))
	}
}

// The secret is in nothing that others can see, or that is kept.
func TestSecretStaysSecret(t *testing.T) {
	s, o := started(t)
	rightly(t, s, "PUT", "/"+s.Bucket()+"/object", "", "content")
	ask(t, s, "GET", "/"+s.Bucket()+"/object", "", "", "wrong")
	access, secret := s.Credentials()
	require.GreaterOrEqual(t, len(secret), 40)
	clean := func(what, text string) {
		t.Helper()
		require.NotContains(t, text, secret, what)
		require.NotContains(t, text, access, what)
	}
	running, err := process.NewProcess(int32(identity(t, s.Component().Identity()).PID))
	require.NoError(t, err)
	argv, err := running.Cmdline()
	require.NoError(t, err)
	require.Contains(t, argv, s.place.Dir(dataDir))
	clean("command line", argv)
	require.NoError(t, s.Component().Kill(t.Context()))

	files := 0
	for _, top := range []string{o.LogDir, s.place.Dir()} {
		require.NoError(t, filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			require.NoError(t, err)
			if d.IsDir() {
				return nil
			}
			info, err := d.Info()
			require.NoError(t, err)
			require.Equal(t, fs.FileMode(0o600), info.Mode(), path)
			files++
			b, err := os.ReadFile(path)
			clean(path, string(b))
			return err
		}))
	}
	require.Greater(t, files, 4)
	info, err := os.Stat(s.place.Dir())
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o700), info.Mode().Perm())
}

func TestPortTaken(t *testing.T) {
	s, _ := started(t)
	require.NoError(t, s.Component().Stop(t.Context()))
	stranger, err := net.Listen("tcp", s.Address())
	require.NoError(t, err)
	defer stranger.Close()
	require.NoError(t, s.Component().Start(t.Context(), nil))
	err = s.Ready(t.Context())
	require.ErrorContains(t, err, "versitygw ended unasked: port "+s.Address()+" is taken by another process: exit status 1; from ")
	var death *place.Death
	require.ErrorAs(t, err, &death)
	require.True(t, death.Outside)
	_, secret := s.Credentials()
	require.NotContains(t, err.Error(), secret)
}

func TestStartFailsCleanly(t *testing.T) {
	o := options("drill", filepath.Join(t.TempDir(), "state"), t.TempDir())
	bin := t.TempDir()
	script := filepath.Join(bin, name)
	require.NoError(t, os.WriteFile(script, []byte("#!/bin/sh\n[ \"$1\" = --version ] && echo 'Version  : 1.8.0' && exit\necho no space left >&2\nexit 3\n"), 0o700))
	o.Toolchain = toolchain.New(toolchain.Options{BinDir: bin})
	_, err := Start(t.Context(), o)
	require.ErrorContains(t, err, "start object store: versitygw ended unasked: exit status 3; from "+filepath.Join(o.LogDir, "versitygw.log")+":\nno space left")
	require.NoDirExists(t, filepath.Join(o.StateRoot, "drill"))

	require.NoError(t, os.WriteFile(script, []byte("#!/bin/sh\necho 'Version  : 1.7.9'\n"), 0o700))
	_, err = Start(t.Context(), o)
	require.EqualError(t, err, "start object store: use "+script+": it is v1.7.9, wanted v1.8.0: put versitygw v1.8.0 there, or unset --bin-dir (RESTORE_DRILL_BIN_DIR) to have it built")

	o = options("../drill", t.TempDir(), t.TempDir())
	_, err = Start(t.Context(), o)
	require.EqualError(t, err, `start object store: drill ID "../drill" is not the name of a directory`)
}

func TestCleanupAfterSIGKILL(t *testing.T) {
	root := filepath.Join(t.TempDir(), "state")
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), harnessVar+"="+root)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.NoError(t, cmd.Process.Kill())
	require.EqualError(t, cmd.Wait(), "signal: killed")
	id := identity(t, line)
	alive, err := id.Alive()
	require.NoError(t, err)
	require.True(t, alive, "versitygw outlives a harness that is killed")

	var progress bytes.Buffer
	removed, err := place.Cleanup(t.Context(), root, func(line string) { progress.WriteString(line + "\n") })
	require.NoError(t, err)
	require.Equal(t, []string{filepath.Join(root, "killed", "object-store")}, removed)
	require.Contains(t, progress.String(), "killed versitygw of "+removed[0])
	alive, err = id.Alive()
	require.NoError(t, err)
	require.False(t, alive)
	require.NoDirExists(t, filepath.Join(root, "killed"))
}

func TestCloseTwice(t *testing.T) {
	s, o := started(t)
	require.NoError(t, s.Close(t.Context()))
	require.NoError(t, s.Close(t.Context()))
	require.NoDirExists(t, filepath.Join(o.StateRoot, o.DrillID))
	require.FileExists(t, filepath.Join(o.LogDir, "versitygw.log"), "the log outlives the store")
	require.EqualError(t, s.Component().Start(t.Context(), nil), "start versitygw: "+s.place.Dir()+" was removed")
}

func TestRotate(t *testing.T) {
	s, _ := started(t)
	taken, err := s.Accepts(t.Context())
	require.NoError(t, err)
	require.True(t, taken)
	rightly(t, s, http.MethodPut, "/"+s.Bucket()+"/kept", "", "still there")
	require.NoError(t, s.Rotate(t.Context()))
	taken, err = s.Accepts(t.Context())
	require.NoError(t, err)
	require.False(t, taken, "the old credentials are still good")
	objects, err := s.Objects(t.Context())
	require.NoError(t, err)
	require.Len(t, objects, 1)
	require.NoError(t, s.Component().Kill(t.Context()))
	_, err = s.Accepts(t.Context())
	require.ErrorContains(t, err, "connection refused")
}
