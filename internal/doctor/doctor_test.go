package doctor

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/internal/engine"
	"github.com/restore-drill/restore-drill/internal/toolchain"
)

// fake puts a shell script named docker on PATH, and nothing else of engines.
func fake(t *testing.T, script string) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "docker"), []byte("#!/bin/sh\n"+script), 0o755))
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	t.Setenv(engine.ProviderVariable, "docker")
}

const (
	answers = `info) echo '{"ServerVersion":"24.0.7","CgroupVersion":"2","CgroupDriver":"systemd","DockerRootDir":"/","NCPU":2}';;`
	starts  = `import) cat >/dev/null; echo sha256:1;;
run) echo 'exec: "/restore-drill-probe": stat /restore-drill-probe: no such file or directory' >&2; exit 127;;`
)

func of(t *testing.T, findings []Finding, name string) Finding {
	for _, f := range findings {
		if f.Name == name {
			return f
		}
	}
	t.Fatalf("no finding %s in %v", name, findings)
	return Finding{}
}

func TestMachineThatHasAll(t *testing.T) {
	fake(t, `case "$1" in `+answers+starts+` esac`)
	findings := Machine(t.Context())
	require.Equal(t, Finding{Name: "engine", State: OK, Seen: "docker 24.0.7 answers, with 2 CPUs"}, findings[0])
	for _, name := range []string{"engine version", "cgroups", "privileges"} {
		require.Equal(t, OK, of(t, findings, name).State, name)
		require.Empty(t, of(t, findings, name).Mend, name)
	}
}

func TestMachineThatLacksSomething(t *testing.T) {
	for name, test := range map[string]struct {
		script, finding string
		state           State
		seen, mend      string
	}{
		"not running": {`echo 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock' >&2; exit 1`,
			"engine", Missing, "docker is installed and does not run", "sudo systemctl start docker"},
		"no rights": {`echo 'permission denied while trying to connect to the Docker daemon socket' >&2; exit 1`,
			"engine", Missing, "no rights on the socket of docker", `sudo usermod -aG docker "$USER" (and log in anew)`},
		"too old": {`case "$1" in info) echo '{"ServerVersion":"19.03.15"}';; ` + starts + ` esac`,
			"engine version", Missing, "docker 19.03.15", "install docker 20.10 or newer (https://docs.docker.com/engine/install)"},
		"nobody knows how old": {`case "$1" in info) echo '{"ServerVersion":"dev"}';; ` + starts + ` esac`,
			"engine version", Unknown, "docker dev", ""},
		"cgroups of version 1": {`case "$1" in info) echo '{"ServerVersion":"20.10.24","CgroupVersion":"1","CgroupDriver":"cgroupfs"}';; ` + starts + ` esac`,
			"cgroups", OK, "version 1, driver cgroupfs: kubelets are told to accept it (failCgroupV1: false)", ""},
		"rootless with cgroups of version 1": {`case "$1" in info) echo '{"ServerVersion":"20.10.24","CgroupVersion":"1","SecurityOptions":["name=rootless"]}';; ` + starts + ` esac`,
			"cgroups", Missing, "version 1, driver : kubelets are told to accept it (failCgroupV1: false)",
			"boot with systemd.unified_cgroup_hierarchy=1: a rootless engine needs cgroup version 2"},
		"an engine whose store cannot be seen": {`case "$1" in info) echo '{"ServerVersion":"20.10.24","DockerRootDir":"/dev/null/docker"}';; ` + starts + ` esac`,
			"engine disk", Unknown, "could not be told of /dev/null/docker", ""},
	} {
		t.Run(name, func(t *testing.T) {
			fake(t, test.script)
			f := of(t, Machine(t.Context()), test.finding)
			f.Err = nil
			require.Equal(t, Finding{Name: test.finding, State: test.state, Seen: test.seen, Mend: test.mend}, f)
		})
	}
}

func TestNoEngine(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv(engine.ProviderVariable, "")
	findings := Kind(t.Context())
	require.Len(t, findings, 2)
	require.Equal(t, "sudo apt-get install docker.io", findings[0].Mend)
	require.Equal(t, Unknown, findings[1].State, "images that nobody looked at are not there, nor missing")
	require.EqualError(t, Error(findings), ""+
		"engine: find docker or podman: no container engine on PATH: install Docker (https://docs.docker.com/engine/install, on Debian the package docker.io): "+
		"mend it with: sudo apt-get install docker.io\n"+
		"images: not looked at: no engine answers: mend it with: restore-drill images build")
}

func TestNoPrivileges(t *testing.T) {
	fake(t, `case "$1" in `+answers+` import) cat >/dev/null; echo sha256:1;; run) echo 'unable to apply caps: operation not permitted' >&2; exit 126;; esac`)
	f := of(t, Machine(t.Context()), "privileges")
	require.Equal(t, Missing, f.State)
	require.Contains(t, f.Seen, "no privileged container starts")
	require.ErrorIs(t, f.Err, engine.ErrNoPrivileges)
	require.ErrorContains(t, Error([]Finding{f}), "privileges: the engine cannot start privileged containers: run container of sha256:1: docker run --rm")
}

func TestLimits(t *testing.T) {
	require.Equal(t, OK, inotify("fs.inotify.max_user_watches", 1).State)
	f := inotify("fs.inotify.max_user_watches", 1<<40)
	require.Equal(t, Scarce, f.State)
	require.Equal(t, "sudo sysctl fs.inotify.max_user_watches=1099511627776", f.Mend)
	require.Equal(t, Unknown, inotify("fs.inotify.max_user_clocks", 1).State)

	require.Equal(t, OK, memory(1).State)
	require.Equal(t, Scarce, memory(1<<60).State)
	require.Equal(t, OK, disk("disk", filepath.Join(t.TempDir(), "not", "there", "yet"), 1).State)
	full := disk("disk", t.TempDir(), 1<<60)
	require.Equal(t, Missing, full.State)
	require.Contains(t, full.Mend, "make room: df -h /")
	require.NoError(t, Error([]Finding{f, memory(1 << 60)}), "what is scarce keeps no cluster from being made")
	require.ErrorContains(t, Error([]Finding{full}), "GiB are needed: mend it with: make room")
}

func TestImagesAndProgramsThatAreMissing(t *testing.T) {
	fake(t, `case "$1 $2" in "info --format") echo '{"ServerVersion":"24.0.7","DockerRootDir":"/"}';;
"image inspect") case "$3" in busybox*) echo '[{"Id":"sha256:2"}]';; *) echo "Error: No such image: $3" >&2; exit 1;; esac;;
import*) cat >/dev/null; echo sha256:1;; run*) echo '/restore-drill-probe: no such file or directory' >&2; exit 127;; esac`)
	f := of(t, Kind(t.Context()), "images")
	require.Equal(t, Finding{
		Name: "images", State: Missing, Mend: "restore-drill images build",
		Seen: "kindest/node:v1.36.3, velero/velero:v1.18.3, velero/velero-plugin-for-aws:v1.14.3, versity/versitygw:v1.8.0",
	}, f)

	f = of(t, Process(context.Background(), toolchain.New(toolchain.Options{CacheDir: t.TempDir()})), "toolchain")
	require.Equal(t, Missing, f.State)
	require.Equal(t, "restore-drill toolchain build", f.Mend)
	require.Equal(t, "etcd v3.6.16 (not built), etcdutl v3.6.16 (not built), kwok v0.8.0 (not built), kube-apiserver v1.36.3 (not built), "+
		"kube-controller-manager v1.36.3 (not built), kube-scheduler v1.36.3 (not built)", f.Seen)
}

func TestUnknownIsWrittenOut(t *testing.T) {
	text, err := json.Marshal(Finding{Name: "x", Seen: "y"})
	require.NoError(t, err)
	require.JSONEq(t, `{"name":"x","state":"unknown","seen":"y"}`, string(text))
}
