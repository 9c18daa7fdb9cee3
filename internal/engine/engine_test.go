package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fake puts a program named docker or podman on PATH that is a shell script, and finds it.
func fake(t *testing.T, name, script string) *Engine {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o755))
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	t.Setenv(ProviderVariable, name)
	e, err := Find()
	require.NoError(t, err)
	return e
}

// answering is the engine of this machine; a test that needs one is skipped without, and fails where RESTORE_DRILL_REQUIRE_ENGINE is set.
func answering(t *testing.T) *Engine {
	e, err := Find()
	if err == nil {
		_, err = e.Info(t.Context())
	}
	if err != nil {
		if os.Getenv("RESTORE_DRILL_REQUIRE_ENGINE") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return e
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	t.Setenv(ProviderVariable, "")
	_, err := Find()
	require.ErrorIs(t, err, ErrNoEngine)
	require.ErrorContains(t, err, "find docker or podman: no container engine on PATH: install Docker")

	for _, name := range []string{"podman", "docker"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o755))
		e, err := Find()
		require.NoError(t, err)
		require.Equal(t, name, e.Name, "docker comes before podman")
	}
	t.Setenv(ProviderVariable, "podman")
	e, err := Find()
	require.NoError(t, err)
	require.Equal(t, "podman", e.Name)

	t.Setenv(ProviderVariable, "nerdctl")
	_, err = Find()
	require.EqualError(t, err, "use KIND_EXPERIMENTAL_PROVIDER=nerdctl: unknown engine (want docker or podman)")
}

func TestInfoOfEngines(t *testing.T) {
	for name, test := range map[string]struct {
		engine, prints string
		want           Info
	}{
		"docker": {"docker", `{"ServerVersion":"28.1.1","CgroupVersion":"2","CgroupDriver":"systemd","DefaultRuntime":"runc","DockerRootDir":"/var/lib/docker",` +
			`"NCPU":4,"MemTotal":8000000000,"Architecture":"aarch64","SecurityOptions":["name=seccomp,profile=builtin","name=cgroupns"]}`,
			Info{"docker", "28.1.1", 2, "systemd", false, "runc", "/var/lib/docker", 4, 8000000000, "arm64"}},
		"docker, rootless, from before cgroup v2": {"docker", `{"ServerVersion":"19.03.8","CgroupDriver":"none","SecurityOptions":["name=rootless"],"Architecture":"x86_64"}`,
			Info{"docker", "19.03.8", 1, "none", true, "", "", 0, 0, "amd64"}},
		"podman": {"podman", `{"host":{"arch":"amd64","cgroupManager":"systemd","cgroupVersion":"v2","cpus":2,"memTotal":123,"ociRuntime":{"name":"crun"},` +
			`"security":{"rootless":true}},"store":{"graphRoot":"/home/u/.local/share/containers/storage"},"version":{"Version":"5.4.2"}}`,
			Info{"podman", "5.4.2", 2, "systemd", true, "crun", "/home/u/.local/share/containers/storage", 2, 123, "amd64"}},
	} {
		t.Run(name, func(t *testing.T) {
			e := fake(t, test.engine, "cat <<'X'\n"+test.prints+"\nX\n")
			got, err := e.Info(t.Context())
			require.NoError(t, err)
			require.Equal(t, test.want, got)
		})
	}
}

func TestEngineThatDoesNotServe(t *testing.T) {
	for name, test := range map[string]struct {
		script, want string
		is           error
	}{
		"not running": {"echo 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?' >&2; exit 1",
			"the engine does not run: start it (sudo systemctl start docker), or name another with DOCKER_HOST: docker info --format '{{json .}}': exit status 1", ErrNotRunning},
		"not running, and the client does not mind": {`echo '{"ServerErrors":["Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?"]}'`,
			"the engine does not run: start it", ErrNotRunning},
		"no rights": {"echo 'permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock' >&2; exit 1",
			"no rights on the engine's socket: add yourself to the group docker", ErrNoRights},
		"prints no JSON": {"echo hello", "read what docker info prints: invalid character 'h'", nil},
		"another trouble": {"echo 'context \"x\" does not exist' >&2; exit 1",
			"ask docker what it is: docker info --format '{{json .}}': exit status 1\ncontext \"x\" does not exist", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("DOCKER_HOST", "unix:///nowhere.sock")
			_, err := fake(t, "docker", test.script).Info(t.Context())
			require.ErrorContains(t, err, test.want)
			if test.is != nil {
				require.ErrorIs(t, err, test.is)
			}
		})
	}
}

func TestCommandEndsWithItsContext(t *testing.T) {
	e := fake(t, "docker", "exec sleep 600")
	gone := errors.New("the user went away")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(100*time.Millisecond, func() { cancel(gone) })
	_, err := e.Do(ctx, "pull", "it all")
	require.ErrorIs(t, err, gone)
	require.EqualError(t, err, "docker pull 'it all': the user went away")
}

func TestCapabilities(t *testing.T) {
	all, err := ParseCapabilities("Name:\tcat\nCapBnd:\t000001ffffffffff\n")
	require.NoError(t, err)
	require.Empty(t, all.Missing())
	few, err := ParseCapabilities("CapBnd:\t000001fffeffffff\n")
	require.NoError(t, err)
	require.Equal(t, []string{"SYS_RESOURCE"}, few.Missing())
	require.True(t, few.Has("SYS_ADMIN"))
	require.False(t, few.Has("SYS_RESOURCE"))
	require.False(t, few.Has("FLY"))
	_, err = ParseCapabilities("Name:\tcat\n")
	require.EqualError(t, err, "read capabilities: no line CapBnd")
}

// program is a file system with one static program in it: the engine's own tests need no image.
func program(t *testing.T) *bytes.Buffer {
	dir := t.TempDir()
	source := `package main
import ("fmt"; "io"; "os"; "os/signal"; "syscall")
func main() {
	switch os.Args[1] {
	case "wait":
		c := make(chan os.Signal, 1); signal.Notify(c, syscall.SIGTERM); <-c
	case "echo":
		io.Copy(os.Stdout, os.Stdin)
	case "fail":
		fmt.Fprintln(os.Stderr, "it broke"); os.Exit(3)
	default:
		b, err := os.ReadFile(os.Args[1]); if err != nil { panic(err) }; os.Stdout.Write(b)
	}
}`
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(source), 0o644))
	out := filepath.Join(dir, "cat")
	t.Setenv("CGO_ENABLED", "0")
	t.Setenv("GOARCH", runtime.GOARCH)
	require.NoError(t, (&Engine{Name: "go", path: goTool(t)}).Stream(t.Context(), nil, os.Stdout, os.Stderr, "build", "-o", out, filepath.Join(dir, "main.go")))
	b, err := os.ReadFile(out)
	require.NoError(t, err)
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "bin/", Typeflag: tar.TypeDir, Mode: 0o755}))
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "bin/cat", Mode: 0o755, Size: int64(len(b))}))
	_, err = w.Write(b)
	require.NoError(t, errors.Join(err, w.Close()))
	return &archive
}

func goTool(t *testing.T) string {
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if _, err := os.Stat(filepath.Join(dir, "go")); err == nil {
			return filepath.Join(dir, "go")
		}
	}
	t.Skip("no go on PATH")
	return ""
}

// What every caller relies on, against the engine of this machine.
func TestRealEngine(t *testing.T) {
	e := answering(t)
	ctx := t.Context()
	info, err := e.Info(ctx)
	require.NoError(t, err)
	require.NotEmpty(t, info.Version)
	require.Contains(t, []int{1, 2}, info.CgroupVersion)
	require.Positive(t, info.Memory)
	require.Equal(t, runtime.GOARCH, info.Architecture)

	const ref, copied, label = "restore-drill-test/engine:1", "restore-drill-test/engine:2", "restore-drill-test=engine"
	name, value, _ := strings.Cut(label, "=")
	clean := func(ctx context.Context) error {
		_, err := e.RemoveLabelled(ctx, label)
		return errors.Join(err, e.RemoveImage(ctx, copied), e.RemoveImage(ctx, ref))
	}
	require.NoError(t, clean(ctx))
	t.Cleanup(func() { require.NoError(t, clean(context.WithoutCancel(ctx))) })

	none, err := e.Image(ctx, ref)
	require.NoError(t, err)
	require.Nil(t, none)
	_, err = e.Run(ctx, Container{Image: ref})
	require.ErrorContains(t, err, "run container of "+ref+": "+e.Name+" run --detach --pull never "+ref)

	_, err = e.Import(ctx, program(t), ref, "LABEL made=here", `ENTRYPOINT ["/bin/cat"]`)
	require.NoError(t, err)
	image, err := e.Image(ctx, ref)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"made": "here"}, image.Labels)
	require.NotEmpty(t, image.ID)
	require.Positive(t, image.Size)

	// Out as an archive, and in again.
	file := filepath.Join(t.TempDir(), "image.tar")
	require.NoError(t, e.Save(ctx, file, ref))
	require.NoError(t, e.RemoveImage(ctx, ref))
	require.NoError(t, e.RemoveImage(ctx, ref), "what is not there is removed already")
	archive, err := os.Open(file)
	require.NoError(t, err)
	defer archive.Close()
	require.NoError(t, e.Load(ctx, archive))
	again, err := e.Image(ctx, ref)
	require.NoError(t, err)
	require.Equal(t, image.ID, again.ID)

	caps, err := e.Capabilities(ctx, ref)
	require.NoError(t, err)
	require.True(t, caps.Has("SYS_ADMIN"), "a privileged container")
	require.NoError(t, e.TryPrivileged(ctx))

	id, err := e.Run(ctx, Container{Name: "restore-drill-test-engine", Image: ref, Labels: map[string]string{name: value}, Command: []string{"wait"}})
	require.NoError(t, err)
	require.NotEmpty(t, id)
	out, err := e.Exec(ctx, id, strings.NewReader("through"), "/bin/cat", "echo")
	require.NoError(t, err)
	require.Equal(t, "through", string(out))
	_, err = e.Exec(ctx, id, nil, "/bin/cat", "fail")
	var failed *CommandError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, 3, failed.ExitCode())
	require.EqualError(t, err, e.Name+" exec "+id+" /bin/cat fail: exit status 3\nit broke")

	_, err = e.Commit(ctx, id, copied, "LABEL made=there")
	require.NoError(t, err)
	image, err = e.Image(ctx, copied)
	require.NoError(t, err)
	require.Equal(t, "there", image.Labels["made"])

	for _, kind := range []Kind{Networks, Volumes} {
		_, err = e.Do(ctx, string(kind), "create", "--label", label, "restore-drill-test-"+string(kind))
		require.NoError(t, err)
	}
	removed, err := e.RemoveLabelled(ctx, label)
	require.NoError(t, err)
	slices.Sort(removed)
	require.Equal(t, []string{"container restore-drill-test-engine", "network restore-drill-test-network", "volume restore-drill-test-volume"}, removed)
	removed, err = e.RemoveLabelled(ctx, label)
	require.NoError(t, err)
	require.Empty(t, removed)
}

// An engine whose runtime asks for capabilities that the machine lacks says so.
func TestNoPrivileges(t *testing.T) {
	const said = "OCI runtime create failed: container_linux.go:380: starting container process caused: process_linux.go:545: container init caused: " +
		"apply caps: operation not permitted: unknown"
	e := fake(t, "docker", `case "$1" in import) cat >/dev/null; echo sha256:1;; run) echo '`+said+`' >&2; exit 126;; esac`)
	err := e.TryPrivileged(t.Context())
	require.ErrorIs(t, err, ErrNoPrivileges)
	require.ErrorContains(t, err, "apply caps: operation not permitted")
}
