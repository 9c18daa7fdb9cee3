package faults_test

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/restore-drill/restore-drill/drills/backups"
	"github.com/restore-drill/restore-drill/drills/faults"
	"github.com/restore-drill/restore-drill/drills/faults/faulttest"
	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/scenarios"
)

// declared are the types of this package's source that have a method Strikes, with the doc comments of their fields.
func declared(t *testing.T) map[string]*ast.GenDecl {
	types, is := map[string]*ast.GenDecl{}, map[string]bool{}
	for _, source := range faults.Sources() {
		file, err := parser.ParseFile(token.NewFileSet(), "", source, parser.ParseComments)
		require.NoError(t, err)
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.Name == "Strikes" && d.Recv != nil {
					is[d.Recv.List[0].Type.(*ast.StarExpr).X.(*ast.Ident).Name] = true
				}
			case *ast.GenDecl:
				if d.Tok == token.TYPE {
					types[d.Specs[0].(*ast.TypeSpec).Name.Name] = d
				}
			}
		}
	}
	for name := range types {
		if !is[name] {
			delete(types, name)
		}
	}
	return types
}

func TestEveryFaultIsInTheCatalogue(t *testing.T) {
	used := map[string]bool{}
	for _, s := range scenarios.Embedded() {
		var scenario struct {
			Spec struct{ Faults []struct{ Name string } }
		}
		require.NoError(t, yaml.Unmarshal(s.Data, &scenario), s.Name)
		for _, f := range scenario.Spec.Faults {
			used[f.Name] = true
		}
	}
	listed := map[string]bool{}
	types := declared(t)
	require.Len(t, types, len(faults.Catalogue()))
	for name, create := range faults.Catalogue() {
		f := create()
		require.Equal(t, name, f.Name())
		typ := reflect.TypeOf(f).Elem().Name()
		listed[typ] = true
		require.True(t, used[name], "no scenario uses %s", name)
		require.Contains(t, types, typ)
		doc := types[typ].Doc
		require.NotNil(t, doc, "%s has no doc comment", typ)
		require.True(t, strings.HasPrefix(doc.Text(), typ+" "), "%s: %s", typ, doc.Text())
		for _, field := range types[typ].Specs[0].(*ast.TypeSpec).Type.(*ast.StructType).Fields.List {
			require.NotNil(t, field.Doc, "%s.%s has no doc comment", typ, field.Names[0])
			require.Contains(t, field.Tag.Value, ",omitempty", "%s.%s has no default", typ, field.Names[0])
		}
		t.Run(name, func(t *testing.T) { faulttest.Describes(t, f) })
	}
	for typ := range types {
		require.True(t, listed[typ], "%s is not in the catalogue", typ)
	}
}

func named(t *testing.T, name, parameters string) scenarios.Fault {
	t.Helper()
	f := scenarios.Fault{Name: name}
	if parameters != "" {
		var node yaml.Node
		require.NoError(t, yaml.Unmarshal([]byte(parameters), &node))
		f.Parameters = node.Content[0]
	}
	return f
}

func TestNew(t *testing.T) {
	f, err := faults.New(named(t, "etcd-corrupted", ""))
	require.NoError(t, err)
	require.Equal(t, &faults.EtcdCorrupted{Pages: 8}, f)
	f, err = faults.New(named(t, "etcd-corrupted", "pages: 3"))
	require.NoError(t, err)
	require.Equal(t, &faults.EtcdCorrupted{Pages: 3}, f)
	f, err = faults.New(named(t, "field-changed", "{apiVersion: apps/v1, kind: Deployment, name: web, path: /spec/replicas, value: 7}"))
	require.NoError(t, err)
	require.Equal(t, "Field /spec/replicas of Deployment shop/web in the restored cluster is set to 7.", f.Destroys())

	for parameters, says := range map[string]string{
		"etcd-lost":                               `unknown fault "etcd-lost" (known: authority-expired, `,
		"etcd-corrupted|pages: -1":                "fault etcd-corrupted: pages is -1, want at least 1",
		"etcd-corrupted|pags: 1":                  "pags",
		"snapshot-bitrot|bits: -1":                "fault snapshot-bitrot: bits is -1, want at least 1",
		"snapshot-truncated|percent: 100":         "fault snapshot-truncated: percent is 100, want 0 to 99",
		"field-changed|path: data":                `fault field-changed: path "data" is no JSON pointer: it begins with a slash`,
		"etcd-data-lost|pages: 1":                 "pages",
		"rolebinding-added|{subject: [a, b]}":     "subject",
		"object-deleted|{name: x, namespace: {}}": "namespace",
	} {
		name, parameters, _ := strings.Cut(parameters, "|")
		_, err := faults.New(named(t, name, parameters))
		require.ErrorContains(t, err, says)
	}
}

func TestSources(t *testing.T) {
	var all strings.Builder
	for _, source := range faults.Sources() {
		all.Write(source)
	}
	require.Contains(t, all.String(), "// Pages of each database to overwrite")
	require.NotContains(t, all.String(), "func Test"+"Sources")
}

// keep is an artifact with a snapshot file of noise, as it would have been recorded.
func keep(t *testing.T, revision int64) *backups.Artifact {
	t.Helper()
	dir := filepath.Join(t.TempDir(), fmt.Sprintf("etcd-%d", revision))
	content := make([]byte, 20_000)
	random := rand.New(rand.NewPCG(uint64(revision), 0))
	for i := range content {
		content[i] = byte(random.Uint32())
	}
	a := &backups.Artifact{Dir: dir, Name: filepath.Base(dir), Method: "etcd", Revision: revision}
	require.NoError(t, a.Keep("snapshot.db", content))
	require.NoError(t, a.Finish())
	return a
}

func TestArtifactFaults(t *testing.T) {
	scene := func(n int) *faults.Scene {
		s := &faults.Scene{Rand: rand.New(rand.NewPCG(7, 7)), Chosen: n - 1}
		for i := range n {
			s.Artifacts = append(s.Artifacts, keep(t, int64(100+i)))
		}
		return s
	}
	strike := func(name, parameters string, s *faults.Scene) faults.Sighting {
		f, err := faults.New(named(t, name, parameters))
		require.NoError(t, err)
		return faulttest.Strike(t, f, s)
	}

	s := scene(2)
	require.Contains(t, strike("snapshot-truncated", "", s).Detail, "snapshot.db: it has 10000 bytes, and had 20000")
	require.NoError(t, s.Artifacts[0].Verify(t.Context()), "the other artifact is untouched")

	s = scene(1)
	require.Contains(t, strike("snapshot-bitrot", "bits: 3", s).Detail, "snapshot.db: its SHA-256 is ")
	rotten, err := os.ReadFile(s.Artifacts[0].Snapshot())
	require.NoError(t, err)
	sound, err := os.ReadFile(keep(t, 100).Snapshot())
	require.NoError(t, err)
	differ := 0
	for i := range sound {
		if sound[i] != rotten[i] {
			differ++
		}
	}
	require.Equal(t, 3, differ)
	again := scene(1)
	strike("snapshot-bitrot", "bits: 3", again)
	same, err := os.ReadFile(again.Artifacts[0].Snapshot())
	require.NoError(t, err)
	require.Equal(t, rotten, same, "the same seed rots the same bits")

	s = scene(3)
	require.Equal(t, "etcd-100, of revision 100, is to be restored; etcd-102 has revision 102", strike("snapshot-stale", "", s).Detail)
	require.Zero(t, s.Chosen)
	require.EqualError(t, (&faults.SnapshotStale{}).Inject(t.Context(), scene(1)), "one backup was taken: an older one needs at least two (backup.count)")
	require.EqualError(t, (&faults.SnapshotStale{}).Inject(t.Context(), &faults.Scene{}), "no backup was taken")
}

func TestEvidenceFaults(t *testing.T) {
	s := &faults.Scene{RunDir: t.TempDir()}
	for _, name := range []string{evidence.CensusBeforeFile, evidence.CensusAfterFile} {
		require.NoError(t, os.WriteFile(filepath.Join(s.RunDir, name), []byte("x"), 0o600))
	}
	require.Equal(t, evidence.CensusBeforeFile+" is not there", faulttest.Strike(t, &faults.CensusRemoved{}, s).Detail)
	require.Equal(t, evidence.CensusAfterFile+" is not there", faulttest.Strike(t, &faults.CensusRemoved{After: true}, s).Detail)
}

func TestNothingIsNeverSeen(t *testing.T) {
	f := &faults.Nothing{}
	require.NoError(t, f.Inject(t.Context(), &faults.Scene{}))
	seen, err := f.Visible(context.Background(), &faults.Scene{})
	require.NoError(t, err)
	require.Equal(t, faults.Sighting{Detail: "nothing is broken"}, seen)
}
