package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/internal/census"
	"github.com/restore-drill/restore-drill/internal/evidence"
)

// TestGraph prints a drill in which a ConfigMap did not come back, and an account is missing that never was there.
func TestGraph(t *testing.T) {
	dir := t.TempDir()
	header, err := json.Marshal(evidence.Header{Schema: evidence.HeaderSchema})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, evidence.HeaderFile), header, 0o600))
	objects := map[string]string{
		"/configmaps ConfigMap shop settings":   `{}`,
		"/namespaces Namespace  shop":           `{}`,
		"apps/deployments Deployment shop web":  `{"spec":{"template":{"spec":{"serviceAccountName":"nobody","containers":[{"envFrom":[{"configMapRef":{"name":"settings"}}]}]}}}}`,
		"apps/deployments Deployment shop \"\\": `{"spec":{"template":{"spec":{"containers":[{"envFrom":[{"configMapRef":{"name":"settings"}}]}]}}}}`,
	}
	write := func(file string, without string) {
		w, err := census.Create(filepath.Join(dir, file), census.Head{})
		require.NoError(t, err)
		var entries []census.Entry
		for what, object := range objects {
			var resource, kind, namespace, name string
			if n, _ := fmt.Sscanf(what, "%s %s %s %s", &resource, &kind, &namespace, &name); n == 3 {
				namespace, name = "", namespace
			}
			if name != without {
				entries = append(entries, census.Entry{Key: resource + "/" + namespace + "/" + name, Version: "v1", Kind: kind, Namespace: namespace, Name: name, Digest: "00", Object: json.RawMessage(object)})
			}
		}
		slices.SortFunc(entries, func(a, b census.Entry) int { return bytes.Compare([]byte(a.Key), []byte(b.Key)) })
		for _, e := range entries {
			require.NoError(t, w.Write(e))
		}
		_, err = w.Close(census.Tail{Resources: []string{"/configmaps", "/namespaces", "/serviceaccounts", "apps/deployments"}})
		require.NoError(t, err)
	}
	write(evidence.CensusBeforeFile, "")
	write(evidence.CensusAfterFile, "settings")

	graph := func(args ...string) string {
		var stdout, stderr bytes.Buffer
		require.Zero(t, run(append([]string{"restore-drill", "graph"}, args...), &stdout, &stderr), stderr.String())
		return stdout.String()
	}
	require.Equal(t, `3 objects, 5 references, 0 of them optional

missing: 2
  ConfigMap shop/settings  (was there before)
    by Deployment shop/"\, spec.template.spec.containers[].envFrom[].configMapRef
    by Deployment shop/web, spec.template.spec.containers[].envFrom[].configMapRef
  ServiceAccount shop/nobody  (missing before as well)
    by Deployment shop/web, spec.template.spec.serviceAccountName

restore order: 2 waves
   1  1 object
      Namespace 1
   2  2 objects
      Deployment 2
`, graph(dir))
	require.Contains(t, graph(dir, "--at", "before"), "\nmissing: 1\n  ServiceAccount shop/nobody\n")
	require.Contains(t, graph(filepath.Join(dir, evidence.CensusAfterFile)), "\n  ConfigMap shop/settings\n")
	require.Equal(t, `digraph references {
  rankdir=LR;
  node [shape=box, fontname="sans-serif"];
  edge [color=gray50];
  subgraph cluster_0 {
  label="shop";
  n0 [label="ConfigMap\nsettings", color=red, fontcolor=red, style=dashed];
  n1 [label="Deployment\n\"\\"];
  n2 [label="Deployment\nweb"];
  n3 [label="ServiceAccount\nnobody", color=red, fontcolor=red, style=dashed];
  }
  n1 -> n0 [color=red];
  n2 -> n0 [color=red];
  n2 -> n3 [color=red];
}
`, graph(dir, "-o", "dot"))
	var doc struct {
		Objects int
		Missing []struct{ Kind, Name, State, Since string }
		Order   struct {
			Waves [][]struct{ Kind, Name string }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(graph(dir, "-o", "json")), &doc))
	require.Equal(t, 3, doc.Objects)
	require.Equal(t, struct{ Kind, Name, State, Since string }{"ConfigMap", "settings", "absent", "lost"}, doc.Missing[0])
	require.Len(t, doc.Order.Waves, 2)
}
