// Package watchcache compares what an API server lists with what its store holds.
//
// An API server answers lists from its watch cache, consistent ones too: it asks the store how far it has got, and answers as soon as
// its cache has got as far. A cache of a store that was replaced by an older one is further than that, and is never asked for more.
//
// To look at more resources, add them to Resources.
package watchcache

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/restore-drill/restore-drill/internal/etcd"
	"github.com/restore-drill/restore-drill/internal/evidence"
)

// Resources that are compared: some that every API server makes itself, and some that users and controllers write.
var Resources = []schema.GroupVersionResource{
	{Version: "v1", Resource: "namespaces"},
	{Version: "v1", Resource: "configmaps"},
	{Version: "v1", Resource: "secrets"},
	{Version: "v1", Resource: "serviceaccounts"},
	{Group: "apps", Version: "v1", Resource: "deployments"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"},
}

// Compare each resource, by the revision at which each object was last written. Nothing may be wrong for long: what is listed is at least as new as
// what the store held when the list was asked for.
func Compare(ctx context.Context, cfg *rest.Config, endpoints []string, tlsConfig *tls.Config) ([]evidence.StoreList, error) {
	client, err := metadata.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	store, err := etcd.Connect(endpoints, tlsConfig)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	var all []evidence.StoreList
	for _, resource := range Resources {
		before, err := stored(ctx, store, resource)
		if err != nil {
			return nil, err
		}
		list, err := client.Resource(resource).List(ctx, v1.ListOptions{})
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", resource.Resource, err)
		}
		after, err := stored(ctx, store, resource)
		if err != nil {
			return nil, err
		}
		listed := map[string]int64{}
		for _, o := range list.Items {
			revision, err := strconv.ParseInt(o.ResourceVersion, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("list %s: %s has resourceVersion %q", resource.Resource, o.Name, o.ResourceVersion)
			}
			listed[strings.TrimPrefix(o.Namespace+"/"+o.Name, "/")] = revision
		}
		all = append(all, compare(resource.Resource, before, after, listed))
	}
	return all, nil
}

// keys of one resource at a revision of the store, each with the one at which it was last written.
type keys struct {
	revision int64
	written  map[string]int64
}

func stored(ctx context.Context, store *clientv3.Client, resource schema.GroupVersionResource) (keys, error) {
	prefix := "/registry/" + resource.Resource + "/"
	response, err := store.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return keys{}, fmt.Errorf("read the keys of %s: %w", resource.Resource, err)
	}
	k := keys{response.Header.Revision, map[string]int64{}}
	for _, kv := range response.Kvs {
		k.written[strings.TrimPrefix(string(kv.Key), prefix)] = kv.ModRevision
	}
	return k, nil
}

func compare(resource string, before, after keys, listed map[string]int64) evidence.StoreList {
	l := evidence.StoreList{Resource: resource, Listed: len(listed), Stored: len(after.written), Phantom: []string{}, Missing: []string{}, Stale: []string{}}
	between := func(revision int64) bool { return revision > before.revision && revision <= after.revision }
	for _, name := range slices.Sorted(maps.Keys(listed)) {
		was, wasThere := before.written[name]
		is, isThere := after.written[name]
		switch revision := listed[name]; {
		case wasThere && was == revision, isThere && is == revision, between(revision):
		case wasThere || isThere:
			l.Stale = append(l.Stale, fmt.Sprintf("%s/%s at revision %d, is at %d", resource, name, revision, max(was, is)))
		default:
			l.Phantom = append(l.Phantom, fmt.Sprintf("%s/%s at revision %d", resource, name, revision))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(after.written)) {
		if _, there := listed[name]; !there && before.written[name] == after.written[name] {
			l.Missing = append(l.Missing, fmt.Sprintf("%s/%s, at revision %d", resource, name, after.written[name]))
		}
	}
	return l
}
