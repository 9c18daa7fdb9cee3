package toolchain

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// says is a program that prints one line and exits.
func says(line string) string { return "#!/bin/sh\necho '" + line + "'\n" }

func write(t *testing.T, content string, path ...string) string {
	t.Helper()
	file := filepath.Join(path...)
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(file, []byte(content), 0o755))
	return file
}

// fakeGo stands for the go command: it notes that it was called, waits at a gate if there is one and it is the first, and leaves programs that
// tell the pinned versions, or $FAKE_VERSION.
const fakeGo = `#!/bin/sh
echo "$*" >>"$FAKE_CALLS"
while [ "$1" != -o ]; do shift; done
out=$2; shift 2
if [ -n "$FAKE_FAILURE" ]; then
  echo "go: downloading example.com/m v1.0.0" >&2
  echo "example.com/m/pkg" >&2
  echo "$FAKE_FAILURE" >&2
  exit 1
fi
if [ -n "$FAKE_GATE" ] && [ $(wc -l <"$FAKE_CALLS") -eq 1 ]; then
  echo half >"$out/server"
  exec 3>"$FAKE_GATE.reached"
  echo reached >&3
  read -r _ <"$FAKE_GATE.open"
fi
program() { { echo '#!/bin/sh'; echo "echo '$2 ${FAKE_VERSION:-$3}'"; } >"$out/$1"; chmod +x "$out/$1"; }
for pkg; do
  case $pkg in
  */etcd/server/v3) program server "etcd Version:" 3.6.16 ;;
  */etcdutl/v3) program etcdutl "etcdutl version:" 3.6.16 ;;
  */kwok) program kwok "kwok version" v0.8.0 ;;
  */cmd/velero) program velero "Client:\\n\\tVersion:" v1.18.3 ;;
  */versitygw) program versitygw "Version  :" 1.8.0 ;;
  k8s.io/*) program "${pkg##*/}" Kubernetes v1.36.3 ;;
  esac
done
`

// A rig is a toolchain with nothing of the machine's own: empty places, and a fake go.
type rig struct {
	*Toolchain
	bin, assets, cache, calls string

	mu    sync.Mutex
	lines []string
}

func newRig(t *testing.T) *rig {
	dir := t.TempDir()
	r := &rig{
		bin: filepath.Join(dir, "bin"), assets: filepath.Join(dir, "assets"), cache: filepath.Join(dir, "cache"),
		calls: filepath.Join(dir, "calls"),
	}
	require.NoError(t, os.Mkdir(r.bin, 0o755))
	write(t, fakeGo, dir, "path", "go")
	tools, err := exec.LookPath("chmod")
	require.NoError(t, err)
	t.Setenv("PATH", filepath.Join(dir, "path")+":"+filepath.Dir(tools))
	t.Setenv("FAKE_CALLS", r.calls)
	t.Setenv("RESTORE_DRILL_BIN_DIR", r.bin)
	t.Setenv("KUBEBUILDER_ASSETS", r.assets)
	r.Toolchain = r.another()
	return r
}

// another toolchain on the same places, as a second run of the program has.
func (r *rig) another() *Toolchain {
	return New(Options{CacheDir: r.cache, Progress: func(line string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.lines = append(r.lines, line)
	}})
}

func (r *rig) goCalls(t *testing.T) []string {
	out, err := os.ReadFile(r.calls)
	if os.IsNotExist(err) {
		return nil
	}
	require.NoError(t, err)
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

func (r *rig) said() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lines)
}

// etcdDir is etcd's place in the cache.
func (r *rig) etcdDir() string { return r.setDir(common[0]) }

// files of a directory, the hidden ones too.
func files(t *testing.T, dir string) (names []string) {
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestOrderOfPlaces(t *testing.T) {
	r := newRig(t)
	ours, other := says("etcd Version: 3.6.16"), says("etcd Version: 3.6.16")
	inBin, inAssets := write(t, ours, r.bin, "etcd"), write(t, other, r.assets, "etcd")
	inCache := write(t, other, r.etcdDir(), "etcd")

	for _, place := range []Binary{
		{Component: "etcd", Version: "v3.6.16", Path: inBin, Source: "--bin-dir"},
		{Component: "etcd", Version: "v3.6.16", Path: inAssets, Source: "KUBEBUILDER_ASSETS"},
		{Component: "etcd", Version: "v3.6.16", Path: inCache, Source: "cache"},
	} {
		found, err := r.Find(t.Context(), "etcd", "")
		require.NoError(t, err)
		require.Equal(t, place, found)
		require.NoError(t, os.Remove(place.Path))
	}
	require.Empty(t, r.goCalls(t))

	found, err := r.Find(t.Context(), "etcd", "")
	require.NoError(t, err)
	require.Equal(t, Binary{Component: "etcd", Version: "v3.6.16", Path: inCache, Source: "cache"}, found)
	require.Len(t, r.goCalls(t), 1)
}

func TestBinDirOptionBeatsEnvironment(t *testing.T) {
	r := newRig(t)
	write(t, says("etcd Version: 3.6.16"), r.bin, "etcd")
	mine := write(t, says("etcd Version: 3.6.16"), t.TempDir(), "etcd")
	found, err := New(Options{BinDir: filepath.Dir(mine)}).Find(t.Context(), "etcd", "")
	require.NoError(t, err)
	require.Equal(t, mine, found.Path)
}

// controlPlaneNames are the components that every drill needs.
var controlPlaneNames = []string{"etcd", "etcdutl", "kwok", "kube-apiserver", "kube-controller-manager", "kube-scheduler"}

func TestEachComponentTellsItsVersion(t *testing.T) {
	r := newRig(t)
	all, err := r.FindAll(t.Context(), "", append(controlPlaneNames, "velero", "versitygw")...)
	require.NoError(t, err)
	versions := map[string]string{}
	for _, b := range all {
		versions[b.Component] = b.Version
		require.FileExists(t, b.Path)
	}
	require.Equal(t, map[string]string{
		"etcd": "v3.6.16", "etcdutl": "v3.6.16", "kwok": "v0.8.0",
		"kube-apiserver": "v1.36.3", "kube-controller-manager": "v1.36.3", "kube-scheduler": "v1.36.3",
		"velero": "v1.18.3", "versitygw": "v1.8.0",
	}, versions)
}

func TestWrongVersionInBinDirIsRefused(t *testing.T) {
	r := newRig(t)
	apiserver := write(t, says("Kubernetes v1.36.1"), r.bin, "kube-apiserver")
	etcd := write(t, says("etcd Version: 3.5.21"), r.bin, "etcd")
	kwok := write(t, "#!/bin/sh\necho no such flag >&2\nexit 3\n", r.bin, "kwok")
	velero := write(t, "#!/bin/sh\n[ \"$*\" = 'version --client-only' ] && printf 'Client:\\n\\tVersion: v1.17.0\\n'\n", r.bin, "velero")
	plugin := write(t, says("Version: v1.14.3"), r.bin, "velero-plugin-for-aws")
	_, err := r.FindAll(t.Context(), "", append(controlPlaneNames, "velero", "velero-plugin-for-aws")...)
	require.EqualError(t, err, ""+
		"use "+etcd+": it is v3.5.21, wanted v3.6.16: put etcd v3.6.16 there, or unset --bin-dir (RESTORE_DRILL_BIN_DIR) to have it built\n"+
		"use "+kwok+": it does not tell its version ("+kwok+" --version: exit status 3: no such flag), wanted v0.8.0: put kwok v0.8.0 there, or unset --bin-dir (RESTORE_DRILL_BIN_DIR) to have it built\n"+
		"use "+apiserver+": it is v1.36.1, wanted v1.36.3: put kube-apiserver v1.36.3 there, or unset --bin-dir (RESTORE_DRILL_BIN_DIR) to have it built\n"+
		"use "+velero+": it is v1.17.0, wanted v1.18.3: put velero v1.18.3 there, or unset --bin-dir (RESTORE_DRILL_BIN_DIR) to have it built\n"+
		"use "+plugin+": it does not tell its version (could not read Go build info from "+plugin+": unrecognized file format), wanted v1.14.3: put velero-plugin-for-aws v1.14.3 there, or unset --bin-dir (RESTORE_DRILL_BIN_DIR) to have it built")
	require.Empty(t, r.goCalls(t), "nothing is built while something is refused")
}

// A binary that was put right, or replaced by a wrong one, is asked again.
func TestReplacedBinaryIsAskedAgain(t *testing.T) {
	r := newRig(t)
	file := write(t, says("etcd Version: 3.6.16"), r.bin, "etcd")
	_, err := r.Find(t.Context(), "etcd", "")
	require.NoError(t, err)
	write(t, says("etcd Version: 3.6.1"), r.bin, "etcd")
	_, err = r.Find(t.Context(), "etcd", "")
	require.ErrorContains(t, err, "use "+file+": it is v3.6.1, wanted v3.6.16")
}

func TestMissingBinDirIsRefused(t *testing.T) {
	r := newRig(t)
	require.NoError(t, os.Remove(r.bin))
	_, err := r.Find(t.Context(), "etcd", "")
	require.EqualError(t, err, "use --bin-dir (RESTORE_DRILL_BIN_DIR): stat "+r.bin+": no such file or directory")
	file := write(t, "", t.TempDir(), "bin")
	_, err = New(Options{BinDir: file}).Find(t.Context(), "etcd", "")
	require.EqualError(t, err, "use --bin-dir (RESTORE_DRILL_BIN_DIR): "+file+" is not a directory")
}

// What is not in the bin directory is found elsewhere: an envtest user's has no scheduler.
func TestWrongVersionInAssetsIsPassedOver(t *testing.T) {
	r := newRig(t)
	file := write(t, says("etcd Version: 3.5.21"), r.assets, "etcd")
	cached := write(t, says("etcd Version: 3.6.16"), r.etcdDir(), "etcd")
	for range 2 {
		found, err := r.Find(t.Context(), "etcd", "")
		require.NoError(t, err)
		require.Equal(t, cached, found.Path)
	}
	require.Equal(t, []string{"passing over " + file + " of KUBEBUILDER_ASSETS: it is v3.5.21, wanted v3.6.16"}, r.said()[:1], "said once")
	require.Len(t, r.said(), 2, "beside the empty --bin-dir")
}

func TestDamagedCacheIsBuiltAnew(t *testing.T) {
	r := newRig(t)
	file := write(t, "#!/bin/sh\nexit 2\n", r.etcdDir(), "etcd")
	found, err := r.Find(t.Context(), "etcd", "")
	require.NoError(t, err)
	require.Equal(t, file, found.Path)
	require.Equal(t, "building "+file+" anew: it does not tell its version ("+file+" --version: exit status 2:), wanted v3.6.16", r.said()[0])
	require.Len(t, r.goCalls(t), 1)
}

func TestUnknownNames(t *testing.T) {
	r := newRig(t)
	_, err := r.FindAll(t.Context(), "", "etcd", "cubelet", "etcd-ctl")
	const known = "want etcd, etcdutl, kwok, kube-apiserver, kube-controller-manager, kube-scheduler, versitygw, velero, velero-restore-helper, velero-plugin-for-aws, " +
		"kubeadm, kubelet, kubectl, kube-proxy, etcdctl, containerd, containerd-shim-runc-v2, ctr, crictl, cni-host-local, cni-loopback, cni-portmap, cni-ptp, " +
		"coredns, local-path-provisioner, kind"
	require.EqualError(t, err, `unknown component "cubelet", "etcd-ctl" (`+known+`)`)
	require.ErrorIs(t, err, ErrUnknown)
	_, err = r.Find(t.Context(), "etcd", "1.36")
	require.EqualError(t, err, `unknown version of Kubernetes "1.36" (want v1.35.4, v1.36.3, v1.37.0)`)
	require.ErrorIs(t, err, ErrUnknown)
	err = r.Build(t.Context(), "v1.36.3", "v1", "velero", "cubelet")
	require.EqualError(t, err, ""+
		"unknown component \"v1\" ("+known+"), or a version of Kubernetes: v1.35.4, v1.36.3, v1.37.0\n"+
		"unknown component \"cubelet\" ("+known+"), or a version of Kubernetes: v1.35.4, v1.36.3, v1.37.0")
	require.ErrorIs(t, err, ErrUnknown)
	require.Empty(t, r.goCalls(t))
}

func TestNoCacheDirectory(t *testing.T) {
	newRig(t)
	t.Setenv("HOME", "")
	t.Setenv("XDG_CACHE_HOME", "")
	_, err := New(Options{}).Find(t.Context(), "etcd", "")
	require.EqualError(t, err, "find a place for the toolchain: neither $XDG_CACHE_HOME nor $HOME are defined: set XDG_CACHE_HOME, or --bin-dir to a directory with the binaries")
}

func TestNoGo(t *testing.T) {
	r := newRig(t)
	t.Setenv("PATH", t.TempDir())
	_, err := r.FindAll(t.Context(), "", "etcd", "etcdutl")
	require.EqualError(t, err, "build etcd, etcdutl v3.6.16: no go on PATH: install Go (https://go.dev/dl), or set --bin-dir (RESTORE_DRILL_BIN_DIR) to a directory that holds etcd, etcdutl")
	require.NoDirExists(t, r.cache)
}

func TestBuild(t *testing.T) {
	r := newRig(t)
	require.NoError(t, r.Build(t.Context()))
	const ldflags = " -mod=readonly -trimpath -buildvcs=false -tags= -ldflags=-s -w -X "
	calls := r.goCalls(t)
	require.Len(t, calls, 3, "one go build a module set")
	require.Contains(t, calls[0], ldflags+"go.etcd.io/etcd/api/v3/version.Version=3.6.16 -X go.etcd.io/etcd/api/v3/version.GitSHA=go.etcd.io/etcd/server/v3@v3.6.16 -o "+r.etcdDir()+"/.build-")
	require.Contains(t, calls[0], "/ go.etcd.io/etcd/server/v3 go.etcd.io/etcd/etcdutl/v3")
	require.Contains(t, calls[2], "-X k8s.io/component-base/version.gitVersion=v1.36.3 -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36 ")
	require.Contains(t, calls[2], "-X k8s.io/client-go/pkg/version.gitVersion=v1.36.3 ")

	require.Equal(t, []string{".lock", "etcd", "etcdutl", "go.mod", "go.sum"}, files(t, r.etcdDir()))
	require.Equal(t, "--bin-dir "+r.bin+" holds none of the toolchain's programs: they come from the cache", r.said()[0])
	require.Equal(t, "building etcd, etcdutl v3.6.16 in "+r.etcdDir(), r.said()[1])
	require.Regexp(t, `^built etcd v3\.6\.16 in \S+s$`, r.said()[2])
	require.Len(t, r.said(), 10, "and a line for each set and each component")

	t.Setenv("RESTORE_DRILL_BIN_DIR", "")
	require.NoError(t, r.another().Build(t.Context()))
	require.Len(t, r.goCalls(t), 3, "built once")
	require.Len(t, r.said(), 10, "and silent when there is nothing to do")
}

// What runs beside clusters is built when it is named, and not before.
func TestBuildOfOneComponent(t *testing.T) {
	r := newRig(t)
	require.NoError(t, r.Build(t.Context(), "velero", "kwok"))
	calls := r.goCalls(t)
	require.Len(t, calls, 2)
	const pkg = "-X github.com/vmware-tanzu/velero/pkg/buildinfo."
	require.Contains(t, calls[0], pkg+"Version=v1.18.3 "+pkg+"ImageRegistry=velero "+pkg+"GitSHA=github.com/vmware-tanzu/velero@v1.18.3 "+pkg+"GitTreeState=clean -X ")
	require.True(t, strings.HasSuffix(calls[0], "/ github.com/vmware-tanzu/velero/cmd/velero"), calls[0])
	require.Contains(t, calls[1], "sigs.k8s.io/kwok/cmd/kwok")
}

// What is wanted twice, as etcd is by two versions of Kubernetes, is built once.
func TestBuildOfWhatIsWantedTwice(t *testing.T) {
	r := newRig(t)
	require.NoError(t, r.Build(t.Context(), "v1.36.3", "etcd", "v1.36.3"))
	calls := r.goCalls(t)
	require.Len(t, calls, 3, "etcd, kwok and Kubernetes")
	require.True(t, strings.HasSuffix(calls[0], "/ go.etcd.io/etcd/server/v3 go.etcd.io/etcd/etcdutl/v3"), calls[0])
	require.Equal(t, []string{".lock", "etcd", "etcdutl", "go.mod", "go.sum"}, files(t, r.etcdDir()))
}

func TestEverythingBeginsWithWhatMostDrillsNeed(t *testing.T) {
	require.Equal(t, []string{"v1.36.3", "versitygw", "velero", "velero-restore-helper", "velero-plugin-for-aws", "v1.35.4", "v1.37.0"}, Everything())
}

func TestEmptyBinDirIsMentioned(t *testing.T) {
	r := newRig(t)
	write(t, says("etcd Version: 3.6.16"), r.etcdDir(), "etcd")
	for range 2 {
		_, err := r.Find(t.Context(), "etcd", "")
		require.NoError(t, err)
	}
	require.Equal(t, []string{"--bin-dir " + r.bin + " holds none of the toolchain's programs: they come from the cache"}, r.said(), "said once")
}

func TestVersionList(t *testing.T) {
	require.Equal(t, "velero, velero-restore-helper v1.18.3, velero-plugin-for-aws v1.14.3", versionList(beside[1].components))
	require.Equal(t, "etcd, etcdutl v3.6.16", versionList(common[0].components))
}

func TestBuildFailure(t *testing.T) {
	r := newRig(t)
	t.Setenv("FAKE_FAILURE", "go: example.com/m@v1.0.0: dial tcp: no route to host")
	_, err := r.Find(t.Context(), "kwok", "")
	require.ErrorContains(t, err, "build kwok v0.8.0: cd "+r.setDir(common[1])+" && CGO_ENABLED=0 GOWORK=off GOOS="+runtime.GOOS+" ")
	require.ErrorContains(t, err, "/go build -v -mod=readonly -trimpath -buildvcs=false -tags= '-ldflags=-s -w -X sigs.k8s.io/kwok/pkg/consts.Version=0.8.0' -o ")
	require.ErrorContains(t, err, "/ sigs.k8s.io/kwok/cmd/kwok: exit status 1\ngo: example.com/m@v1.0.0: dial tcp: no route to host")
	require.NotContains(t, err.Error(), "downloading")
	require.Equal(t, []string{".lock", "go.mod", "go.sum"}, files(t, r.setDir(common[1])))
}

func TestBuildOfAnotherVersionThanPinned(t *testing.T) {
	r := newRig(t)
	t.Setenv("FAKE_VERSION", "3.6.17")
	_, err := r.Find(t.Context(), "etcd", "")
	require.EqualError(t, err, "build etcd v3.6.16: check etcd: it is v3.6.17, and v3.6.16 is pinned")
	require.Equal(t, []string{".lock", "go.mod", "go.sum"}, files(t, r.etcdDir()))
}

// A gate is where a fake go waits with half a file written.
type gate struct{ path string }

func newGate(t *testing.T) gate {
	g := gate{filepath.Join(t.TempDir(), "gate")}
	require.NoError(t, syscall.Mkfifo(g.path+".reached", 0o600))
	require.NoError(t, syscall.Mkfifo(g.path+".open", 0o600))
	t.Setenv("FAKE_GATE", g.path)
	return g
}

// reached waits until a fake go is at the gate. The function it returns waits until that process is gone.
func (g gate) reached(t *testing.T) (gone func()) {
	pipe, err := os.Open(g.path + ".reached")
	require.NoError(t, err)
	line := make([]byte, 8)
	_, err = pipe.Read(line)
	require.NoError(t, err)
	require.Equal(t, "reached\n", string(line))
	return func() {
		_, err := pipe.Read(line)
		require.EqualError(t, err, "EOF")
		require.NoError(t, pipe.Close())
	}
}

// open lets the process through.
func (g gate) open(t *testing.T) {
	require.NoError(t, os.WriteFile(g.path+".open", []byte("\n"), 0))
}

func TestTwoRunsBuildOnce(t *testing.T) {
	r := newRig(t)
	g := newGate(t)
	waiting := make(chan string, 9)
	second := New(Options{CacheDir: r.cache, Progress: func(line string) { waiting <- line }})

	results := make(chan error, 2)
	find := func(tc *Toolchain) {
		_, err := tc.Find(t.Context(), "etcd", "")
		results <- err
	}
	go find(r.Toolchain)
	gone := g.reached(t)
	go find(second)
	require.Equal(t, "waiting for another run that builds etcd ("+r.etcdDir()+"/.lock)", <-waiting)
	g.open(t)
	gone()
	require.NoError(t, <-results)
	require.NoError(t, <-results)
	require.Len(t, r.goCalls(t), 1)
	require.Empty(t, waiting)
}

func TestCancelledBuild(t *testing.T) {
	r := newRig(t)
	g := newGate(t)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		_, err := r.Find(ctx, "etcd", "")
		result <- err
	}()
	gone := g.reached(t)
	cancel()
	require.EqualError(t, <-result, "build etcd v3.6.16: context canceled")
	gone()
	require.Equal(t, []string{".lock", "go.mod", "go.sum"}, files(t, r.etcdDir()))
}

// A run that was killed leaves neither half a file under a component's name nor the lock, even while its go build lives on.
func TestKilledBuild(t *testing.T) {
	r := newRig(t)
	g := newGate(t)
	victim := exec.Command(os.Args[0], "-test.run=^$")
	victim.Env = append(os.Environ(), "TOOLCHAIN_TEST_CACHE="+r.cache)
	require.NoError(t, victim.Start())
	gone := g.reached(t)
	require.NoError(t, victim.Process.Kill())
	require.EqualError(t, victim.Wait(), "signal: killed")

	left := files(t, r.etcdDir())
	require.Len(t, left, 4)
	require.Contains(t, left[0], ".build-")
	require.Equal(t, []string{".lock", "go.mod", "go.sum"}, left[1:])

	found, err := r.Find(t.Context(), "etcd", "")
	require.NoError(t, err)
	require.Equal(t, filepath.Join(r.etcdDir(), "etcd"), found.Path)
	require.Equal(t, []string{".lock", "etcd", "go.mod", "go.sum"}, files(t, r.etcdDir()))

	g.open(t)
	gone()
}

// TestMain is the run that TestKilledBuild kills.
func TestMain(m *testing.M) {
	if cache := os.Getenv("TOOLCHAIN_TEST_CACHE"); cache != "" {
		_, err := New(Options{CacheDir: cache}).Find(context.Background(), "etcd", "")
		panic(err)
	}
	os.Exit(m.Run())
}

func TestList(t *testing.T) {
	r := newRig(t)
	apiserver := write(t, says("Kubernetes v1.37.0"), r.bin, "kube-apiserver")
	etcd := write(t, says("etcd Version: 3.6.16"), r.etcdDir(), "etcd")
	all, err := r.List(t.Context())
	require.NoError(t, err)
	require.Equal(t, []Binary{
		{"etcd", "v3.6.16", etcd, "cache"},
		{"etcdutl", "v3.6.16", "", "not built"},
		{"kwok", "v0.8.0", "", "not built"},
		{"kube-apiserver", "v1.35.4", apiserver, "--bin-dir, refused: it is v1.37.0"},
		{"kube-controller-manager", "v1.35.4", "", "not built"},
		{"kube-scheduler", "v1.35.4", "", "not built"},
		{"kube-apiserver", "v1.36.3", apiserver, "--bin-dir, refused: it is v1.37.0"},
		{"kube-controller-manager", "v1.36.3", "", "not built"},
		{"kube-scheduler", "v1.36.3", "", "not built"},
		{"kube-apiserver", "v1.37.0", apiserver, "--bin-dir"},
		{"kube-controller-manager", "v1.37.0", "", "not built"},
		{"kube-scheduler", "v1.37.0", "", "not built"},
		{"versitygw", "v1.8.0", "", "not built"},
		{"velero", "v1.18.3", "", "not built"},
		{"velero-restore-helper", "v1.18.3", "", "not built"},
		{"velero-plugin-for-aws", "v1.14.3", "", "not built"},
		{"kubeadm", "v1.36.3", "", "not built"},
		{"kubelet", "v1.36.3", "", "not built"},
		{"kubectl", "v1.36.3", "", "not built"},
		{"kube-proxy", "v1.36.3", "", "not built"},
		{"etcdctl", "v3.6.16", "", "not built"},
		{"containerd", "v2.3.7", "", "not built"},
		{"containerd-shim-runc-v2", "v2.3.7", "", "not built"},
		{"ctr", "v2.3.7", "", "not built"},
		{"crictl", "v1.36.0", "", "not built"},
		{"cni-host-local", "v1.9.1", "", "not built"},
		{"cni-loopback", "v1.9.1", "", "not built"},
		{"cni-portmap", "v1.9.1", "", "not built"},
		{"cni-ptp", "v1.9.1", "", "not built"},
		{"coredns", "v1.14.7", "", "not built"},
		{"local-path-provisioner", "v0.0.30", "", "not built"},
		{"kind", "v0.33.0", "", "not built"},
	}, all)
	require.Empty(t, r.goCalls(t))
	require.Empty(t, r.said())
}

func TestSource(t *testing.T) {
	tc := New(Options{CacheDir: t.TempDir()})
	dir, err := tc.Source(t.Context(), "kind")
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(dir, "images/base/Dockerfile"))

	t.Setenv("GOFLAGS", "-modcacherw")
	t.Setenv("GOMODCACHE", t.TempDir())
	t.Setenv("GOPROXY", "off")
	_, err = tc.Source(t.Context(), "kind")
	require.ErrorContains(t, err, "get the source of kind v0.33.0: cd "+tc.cacheDir)
	require.ErrorContains(t, err, "module lookup disabled by GOPROXY=off")
	_, err = tc.Source(t.Context(), "kindred")
	require.ErrorIs(t, err, ErrUnknown)
}

func TestPinsFollowTheSets(t *testing.T) {
	pins, err := Pins("", "etcd", "kubelet")
	require.NoError(t, err)
	require.Equal(t, []string{"etcd@" + common[0].directory(), "kubelet@" + nodes[DefaultKubernetes].directory()}, pins)
	_, err = Pins("v1.35.4", "kubelet")
	require.ErrorContains(t, err, `unknown component "kubelet" (want etcd,`)
}

// Real programs, through the whole path into the user's own cache: quick from the second time on.
func TestRealPrograms(t *testing.T) {
	t.Setenv("RESTORE_DRILL_BIN_DIR", "")
	t.Setenv("KUBEBUILDER_ASSETS", "")
	found, err := New(Options{Progress: func(line string) { t.Log(line) }}).FindAll(t.Context(), "", "etcd", "etcdutl", "velero", "velero-plugin-for-aws", "versitygw")
	require.NoError(t, err)
	asked := map[string][]string{"etcd": {"--version"}, "etcdutl": {"version"}, "velero": {"version", "--client-only"}, "versitygw": {"--version"}}
	for _, b := range found {
		require.Equal(t, SourceCache, b.Source)
		if asked[b.Component] == nil {
			version, err := read("sigs.k8s.io/controller-runtime", b.Path)
			require.NoError(t, err)
			require.Equal(t, beside[1].pinned("sigs.k8s.io/controller-runtime"), version)
			_, err = read("k8s.io/kubernetes", b.Path)
			require.EqualError(t, err, b.Path+" was not built from k8s.io/kubernetes")
			continue
		}
		out, err := exec.Command(b.Path, asked[b.Component]...).CombinedOutput()
		require.NoError(t, err, string(out))
		require.Regexp(t, `ersion *: v?`+strings.TrimPrefix(b.Version, "v")+"\n", string(out))
	}
}

func TestPasteable(t *testing.T) {
	argv := []string{"printf", `%s|`, "-ldflags=-s -w -X a=b", "it's", "$HOME", "", "plain/word"}
	out, err := exec.Command("sh", "-c", pasteable("/", []string{"A=b c"}, argv)).Output()
	require.NoError(t, err)
	require.Equal(t, "-ldflags=-s -w -X a=b|it's|$HOME||plain/word|", string(out))
}

func TestOutputOfGoBuild(t *testing.T) {
	var o output
	for _, chunk := range []string{"go: downloading example.com/a v1", ".0.0\nruntime/internal\nk8s.io/api/core/v1\n# k8s.io/x\nx.go:1:2: undef", "ined\nlast"} {
		_, err := o.Write([]byte(chunk))
		require.NoError(t, err)
	}
	require.Equal(t, "1 modules downloaded, 2 packages compiled", o.progress())
	require.Equal(t, "# k8s.io/x\nx.go:1:2: undefined\nlast", o.end())
	for range 50 {
		o.take("more: text")
	}
	require.Len(t, strings.Split(o.end(), "\n"), tailLines+1)
}
