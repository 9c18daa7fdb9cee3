package toolchain

import (
	"cmp"
	"encoding/json"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func allSets() (all []*set) {
	all = append(slices.Clone(common), beside...)
	for _, version := range KubernetesVersions {
		all = append(all, kubernetes[version])
	}
	for _, version := range NodeVersions {
		all = append(all, nodes[version])
	}
	return append(all, onNodes...)
}

// modFile is what go mod edit -json prints, as far as a set uses it.
type modFile struct {
	Module  struct{ Path string }
	Go      string
	Require []struct{ Path, Version string }
	Replace []struct {
		Old, New struct{ Path, Version string }
	}
	Tool []struct{ Path string }
}

func parse(t *testing.T, s *set) (f modFile) {
	file := write(t, string(s.mod), t.TempDir(), "go.mod")
	out, err := exec.Command("go", "mod", "edit", "-json", file).Output()
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(out, &f))
	return f
}

// Every module that a set requires is pinned by digest, in the version that it is replaced by if it is.
func TestPinsHaveSums(t *testing.T) {
	for _, s := range allSets() {
		t.Run(s.name, func(t *testing.T) {
			f := parse(t, s)
			require.Equal(t, "github.com/restore-drill/restore-drill/internal/toolchain/"+s.name, f.Module.Path)
			require.Regexp(t, `^1\.26\.\d+$`, f.Go)
			require.Greater(t, len(f.Require), 10)

			sums := map[string]bool{}
			for line := range strings.Lines(string(s.sum)) {
				fields := strings.Fields(line)
				require.Len(t, fields, 3, line)
				require.True(t, strings.HasPrefix(fields[2], "h1:"), line)
				sums[fields[0]+" "+fields[1]] = true
			}
			instead := map[string]string{}
			for _, r := range f.Replace {
				instead[r.Old.Path] = r.New.Path + " " + r.New.Version
			}
			for _, r := range f.Require {
				pinned := cmp.Or(instead[r.Path], r.Path+" "+r.Version)
				require.True(t, sums[pinned+"/go.mod"], "%s has no sum", pinned)
			}
			for _, c := range s.components {
				require.True(t, sums[c.origin()+" "+c.version()], "the source of %s has no sum", c.name)
			}

			var tools, packages []string
			for _, tool := range f.Tool {
				tools = append(tools, tool.Path)
			}
			for _, c := range s.components {
				packages = append(packages, c.pkg)
			}
			require.ElementsMatch(t, packages, tools, "what a set is pinned for is what it builds")
		})
	}
}

// All modules of Kubernetes' staging area are of the release of the components.
func TestKubernetesIsOfOneRelease(t *testing.T) {
	require.Contains(t, KubernetesVersions, DefaultKubernetes)
	of := maps.Clone(kubernetes)
	for _, version := range NodeVersions {
		require.Contains(t, KubernetesVersions, version)
		of["node of "+version] = nodes[version]
	}
	for name, s := range of {
		version := strings.TrimPrefix(name, "node of ")
		require.Equal(t, version, s.version())
		f := parse(t, s)
		require.Greater(t, len(f.Replace), 25)
		for _, r := range f.Replace {
			require.Equal(t, strings.Replace(version, "v1.", "v0.", 1), r.New.Version, r.Old.Path)
		}
	}
}

func TestEveryModuleFileIsUsed(t *testing.T) {
	entries, err := modules.ReadDir("modules")
	require.NoError(t, err)
	var stored, used []string
	for _, e := range entries {
		stored = append(stored, e.Name())
	}
	for _, s := range allSets() {
		used = append(used, s.name+".mod", s.name+".sum")
	}
	require.ElementsMatch(t, used, stored)
}

// What is built from other pins, or otherwise, has another place in the cache.
func TestDirectoryFollowsThePins(t *testing.T) {
	original := *common[0]
	seen := map[string]bool{original.directory(): true}
	for _, edit := range []func(s *set){
		func(s *set) { s.mod = append([]byte("// edited\n"), s.mod...) },
		func(s *set) { s.sum = append([]byte("\n"), s.sum...) },
		func(s *set) { s.stamp = func(string) []string { return []string{"a.b=c"} } },
	} {
		s := original
		edit(&s)
		require.False(t, seen[s.directory()])
		seen[s.directory()] = true
		require.True(t, strings.HasPrefix(s.directory(), "etcd-"))
	}
	require.Equal(t, original.directory(), common[0].directory())
}

func TestExecutableNames(t *testing.T) {
	for _, s := range allSets() {
		for _, c := range s.components {
			want := strings.TrimPrefix(c.name, "cni-")
			if want == "etcd" {
				want = "server"
			}
			require.Equal(t, want, c.executable())
		}
	}
}

// The pinned etcd is the one whose client and restore library this program itself is linked with.
func TestEtcdIsTheOneOfThisModule(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", "go.etcd.io/etcd/etcdutl/v3").Output()
	require.NoError(t, err)
	require.Equal(t, common[0].version(), strings.TrimSpace(string(out)))
	for _, r := range parse(t, common[0]).Require {
		if strings.HasPrefix(r.Path, "go.etcd.io/etcd/") {
			require.Equal(t, common[0].version(), r.Version, filepath.Base(r.Path))
		}
	}
}
