// Package layers holds the rule that imports point one way.
package layers

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/restore-drill/restore-drill/"

// mayImport says, for each package or tree of packages of this module, which others of this module it may import. Tests are free.
var mayImport = map[string][]string{
	"cmd":             {"drills", "drills/clusters", "scenarios", "reports", "reports/history", "internal/cadence", "internal/toolchain", "internal/engine", "internal/images", "internal/doctor", "internal/progress", "internal/evidence", "internal/graph", "internal/bundle", "internal/announce"},
	"drills":          {"drills/clusters", "drills/backups", "drills/faults", "drills/checks", "scenarios", "reports", "fixtures", "internal"},
	"drills/e2e":      {"drills", "drills/clusters", "scenarios", "reports", "internal"},
	"drills/checks":   {"scenarios", "reports", "internal"},
	"drills/faults":   {"drills/backups", "drills/clusters", "scenarios", "fixtures", "internal"},
	"drills/backups":  {"drills/clusters", "scenarios", "fixtures", "internal"},
	"drills/clusters": {"internal"},
	"fixtures":        {"internal"},
	"scenarios":       {"internal/jsonschema", "internal/cadence"},
	"reports":         {"internal/jsonschema", "internal/cadence"},
	"internal":        {"internal"},
	"internal/bundle": {"reports", "internal"},

	"internal/announce": {"reports", "internal"},
}

func TestLayers(t *testing.T) {
	out, err := exec.Command("go", "list", "-e", "-json=ImportPath,Imports", module+"...").Output()
	require.NoError(t, err)
	packages := 0
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		packages++
		for _, violation := range violations(p.ImportPath, p.Imports) {
			t.Error(violation)
		}
	}
	require.Greater(t, packages, 10, "go list saw too little")
}

// TestLayersCanFail shows that the rule is not empty.
func TestLayersCanFail(t *testing.T) {
	require.Equal(t, []string{"internal/census may not import drills/checks"},
		violations(module+"internal/census", []string{"fmt", module + "drills/checks", module + "internal/evidence"}))
	require.Equal(t, []string{"drills/checks may not import drills/clusters"},
		violations(module+"drills/checks", []string{module + "drills/clusters", module + "reports"}))
}

// TestWeight holds that who uses the program, or drills in Go tests, does not carry a framework that only drills/e2e is about.
func TestWeight(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", module+"cmd/restore-drill", module+"drills").Output()
	require.NoError(t, err)
	require.Contains(t, string(out), "k8s.io/client-go/rest\n", "go list saw too little")
	require.NotContains(t, string(out), "sigs.k8s.io/e2e-framework")
}

func violations(path string, imports []string) (all []string) {
	from := strings.TrimPrefix(path, module)
	allowed := mayImport[layer(from)]
	for _, imported := range imports {
		to, ours := strings.CutPrefix(imported, module)
		if !ours || layer(to) == layer(from) && layer(to) != "cmd" {
			continue
		}
		ok := false
		for _, a := range allowed {
			ok = ok || to == a || a == "internal" && strings.HasPrefix(to, "internal/")
		}
		if !ok {
			all = append(all, from+" may not import "+to)
		}
	}
	return all
}

// layer is the entry of mayImport that rules a package: the longest that is the package or a tree around it.
func layer(pkg string) string {
	best := ""
	for l := range mayImport {
		if (pkg == l || strings.HasPrefix(pkg, l+"/")) && len(l) > len(best) {
			best = l
		}
	}
	return best
}
