package census_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/internal/census"
	"github.com/restore-drill/restore-drill/internal/toolchain"
)

// notObjects are keys of the API server that no API shows: bookkeeping of its own.
var notObjects = []string{"/registry/ranges/", "/registry/masterleases/", "/registry/peerserverleases/"}

// A census of a real cluster holds one entry for every object in the store, at the revision that was asked for, and says
// nothing of a Secret's values.
func TestLiveHoldsWhatTheStoreHolds(t *testing.T) {
	ctx, dir, key := t.Context(), t.TempDir(), []byte("key")
	provider := clusters.NewProcess(clusters.ProcessOptions{Toolchain: toolchain.New(toolchain.Options{}), StateRoot: t.TempDir()})
	cluster, err := provider.Create(ctx, clusters.Spec{Name: "source", DrillID: "census", LogDir: filepath.Join(dir, "logs"), EtcdMembers: 1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cluster.Delete(context.WithoutCancel(ctx))) })
	require.NoError(t, cluster.Start(ctx, nil))
	client, err := kubernetes.NewForConfig(cluster.Config())
	require.NoError(t, err)

	const planted = "planted-7f3a"
	_, err = client.CoreV1().Secrets("default").Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "s", Annotations: map[string]string{"kubectl.kubernetes.io/last-applied-configuration": `{"stringData":{"k":"` + planted + `"}}`}},
		StringData: map[string]string{"k": planted},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	shops := createShops(t, client.Discovery(), dynamic.NewForConfigOrDie(cluster.Config()))

	store, err := clientv3.New(clientv3.Config{Endpoints: cluster.Store().Endpoints, TLS: cluster.Store().TLS, DialTimeout: 10 * time.Second})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	snapshot := func(name string) string {
		body, err := store.Snapshot(ctx)
		require.NoError(t, err)
		defer body.Close()
		f, err := os.Create(filepath.Join(dir, name))
		require.NoError(t, err)
		_, err = io.Copy(f, body)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		return f.Name()
	}
	before := snapshot("before.db")
	file := func(name string) string { return filepath.Join(dir, name+".census") }
	_, err = census.Snapshot(ctx, before, file("store"), key)
	require.NoError(t, err)
	head, stored := read(t, file("store"))

	// Something happens after the snapshot, which a census at its revision does not see.
	require.NoError(t, client.CoreV1().Secrets("default").Delete(ctx, "s", metav1.DeleteOptions{}))
	_, err = shops.Patch(ctx, "x", "application/merge-patch+json", []byte(`{"spec":{"size":2.5}}`), metav1.PatchOptions{})
	require.NoError(t, err)

	for _, name := range []string{"at", "again"} {
		tail, err := census.Live(ctx, cluster.Config(), file(name), census.LiveOptions{Key: key, Revision: head.Revision})
		require.NoError(t, err)
		require.Empty(t, tail.Unreadable)
		require.Contains(t, tail.Resources, "example.com/shops")
		require.NotContains(t, tail.Resources, "events.k8s.io/events")
	}
	equal, differences := compare(t, file("at"), file("again"))
	require.Empty(t, differences)
	_, objects := read(t, file("at"))
	require.Equal(t, len(objects), equal)

	// Every object has its key in the store, and the other way round.
	names := map[string]int{}
	for _, e := range objects {
		names[e.ResourceVersion+" "+e.Name]++
	}
	for _, e := range stored {
		if !strings.HasPrefix(e.Key, "/registry/") || hasAnyPrefix(e.Key, notObjects) {
			continue
		}
		at := e.ResourceVersion + " " + e.Key[strings.LastIndexByte(e.Key, '/')+1:]
		require.Positive(t, names[at], "%s of the store is in no census", e.Key)
		if names[at]--; names[at] == 0 {
			delete(names, at)
		}
	}
	for at := range names {
		// API services that are built in are stored nowhere else than in the store, so nothing may be left.
		require.Fail(t, "an object of the census is not in the store", at)
	}

	tail, err := census.Live(ctx, cluster.Config(), file("now"), census.LiveOptions{Key: key})
	require.NoError(t, err)
	require.Empty(t, tail.Unreadable)
	_, differences = compare(t, file("at"), file("now"))
	require.Equal(t, []census.Change{}, differences["/secrets/default/s"])
	require.Contains(t, differences["example.com/shops//x"], census.Change{Path: "/spec/size", Before: "1", After: "2.5", Class: census.Changed})

	comparison, err := census.CompareSnapshots(ctx, before, snapshot("after.db"), dir)
	require.NoError(t, err)
	var lost []string
	for _, k := range comparison.Lost {
		lost = append(lost, k.Key)
	}
	require.Equal(t, []string{"/registry/secrets/default/s"}, lost)
	require.Greater(t, comparison.Equal, 100)

	for _, name := range []string{"store", "at", "now"} {
		for _, e := range entries(t, file(name)) {
			require.NotContains(t, string(e.Object), planted)
			require.NotContains(t, string(e.Object), "cGxhbnRlZC03ZjNh")
		}
	}
}

func hasAnyPrefix(s string, prefixes []string) bool {
	for _, prefix := range prefixes {
		if strings.HasPrefix(s, prefix) {
			return true
		}
	}
	return false
}

// createShops makes a custom resource of two versions, and one object of it.
func createShops(t *testing.T, known discovery.DiscoveryInterface, client dynamic.Interface) dynamic.ResourceInterface {
	version := func(name string, storage bool) any {
		return map[string]any{"name": name, "served": true, "storage": storage, "schema": map[string]any{"openAPIV3Schema": map[string]any{
			"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}
	}
	definition := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": "shops.example.com"}, "spec": map[string]any{"group": "example.com", "scope": "Cluster",
			"names":    map[string]any{"plural": "shops", "singular": "shop", "kind": "Shop", "listKind": "ShopList"},
			"versions": []any{version("v1", true), version("v1beta1", false)}}}}
	definitions := client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	_, err := definitions.Create(t.Context(), definition, metav1.CreateOptions{})
	require.NoError(t, err)
	shops := client.Resource(schema.GroupVersionResource{Group: "example.com", Version: "v1", Resource: "shops"})
	shop := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "example.com/v1", "kind": "Shop",
		"metadata": map[string]any{"name": "x"}, "spec": map[string]any{"size": int64(1)}}}
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		_, err := known.ServerResourcesForGroupVersion("example.com/v1")
		require.NoError(c, err)
		_, err = shops.Create(t.Context(), shop, metav1.CreateOptions{})
		require.NoError(c, err)
	}, 2*time.Minute, 50*time.Millisecond)
	return shops
}

func read(t *testing.T, file string) (census.Head, []census.Entry) {
	t.Helper()
	r, err := census.Open(file)
	require.NoError(t, err)
	defer r.Close()
	var all []census.Entry
	for {
		e, err := r.Next()
		if err == io.EOF {
			return r.Head(), all
		}
		require.NoError(t, err)
		all = append(all, e)
	}
}

func entries(t *testing.T, file string) []census.Entry {
	_, all := read(t, file)
	return all
}

// compare returns the changes of what is in both, by key, and no changes for what is in one alone.
func compare(t *testing.T, before, after string) (int, map[string][]census.Change) {
	t.Helper()
	b, err := census.Open(before)
	require.NoError(t, err)
	defer b.Close()
	a, err := census.Open(after)
	require.NoError(t, err)
	defer a.Close()
	differences := map[string][]census.Change{}
	equal, err := census.Compare(b, a, func(before, after *census.Entry) error {
		switch {
		case before == nil:
			differences[after.Key] = []census.Change{}
		case after == nil:
			differences[before.Key] = []census.Change{}
		default:
			differences[before.Key] = census.FieldChanges(before.Object, after.Object)
			require.NotEmpty(t, differences[before.Key])
		}
		return nil
	})
	require.NoError(t, err)
	return equal, differences
}
