package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// masterLeases hold an entry for each API server, by its address.
const masterLeases = "/registry/masterleases/"

// staleLeases are where a Kubernetes store says who is at work, which nobody of those is after a restore; masterLeases are too. Keys that end in
// a slash or a dash are prefixes.
var staleLeases = []string{
	"/registry/peerserverleases/",                          // where API servers reach each other
	"/registry/leases/kube-system/apiserver-",              // identities of API servers
	"/registry/leases/kube-system/kube-controller-manager", // leaders: their successors would wait for the leases to run out
	"/registry/leases/kube-system/kube-scheduler",
	"/registry/leases/kube-system/cloud-controller-manager",
	"/registry/leases/kube-node-lease/", // heartbeats of nodes, which the nodes write anew
}

// StaleKeys are the keys that DropStaleLeases removes, as prefixes.
func StaleKeys() []string { return append([]string{masterLeases}, staleLeases...) }

// Dropped tells what DropStaleLeases removed.
type Dropped struct {
	Leases int64
	// APIServers are the addresses that the lost control plane's API servers were known by.
	APIServers []string
}

// DropStaleLeases removes, in one transaction, the leases that the lost control plane held in a restored Kubernetes store, as an operator
// would with `kubectl delete lease` before anyone waits for one. Done again it does nothing, as long as no new control plane has begun
// work.
func DropStaleLeases(ctx context.Context, endpoints []string, tlsConfig *tls.Config) (d Dropped, err error) {
	return dropLeases(ctx, endpoints, tlsConfig, StaleKeys())
}

// OrphanAPIServers leaves the lost control plane's API servers in the store, and detaches their entries from the etcd leases that would have them
// removed: so they come out of a restore that copies keys alone. The other leases are dropped.
func OrphanAPIServers(ctx context.Context, endpoints []string, tlsConfig *tls.Config) (d Dropped, err error) {
	client, err := Connect(endpoints, tlsConfig)
	if err != nil {
		return d, err
	}
	defer client.Close()
	lost, err := client.Get(ctx, masterLeases, clientv3.WithPrefix())
	if err != nil {
		return d, fmt.Errorf("read who served the API: %w", err)
	}
	for _, kv := range lost.Kvs {
		if _, err := client.Put(ctx, string(kv.Key), string(kv.Value)); err != nil {
			return d, fmt.Errorf("keep %s: %w", kv.Key, err)
		}
	}
	return dropLeases(ctx, endpoints, tlsConfig, staleLeases)
}

func dropLeases(ctx context.Context, endpoints []string, tlsConfig *tls.Config, keys []string) (d Dropped, err error) {
	client, err := Connect(endpoints, tlsConfig)
	if err != nil {
		return d, err
	}
	defer client.Close()
	var drop []clientv3.Op
	for _, key := range keys {
		opts := []clientv3.OpOption{clientv3.WithPrevKV()}
		if strings.HasSuffix(key, "/") || strings.HasSuffix(key, "-") {
			opts = append(opts, clientv3.WithPrefix())
		}
		drop = append(drop, clientv3.OpDelete(key, opts...))
	}
	response, err := client.Txn(ctx).Then(drop...).Commit()
	if err != nil {
		return d, fmt.Errorf("drop leases of the lost control plane: %w", err)
	}
	for _, r := range response.Responses {
		deleted := r.GetResponseDeleteRange()
		d.Leases += deleted.Deleted
		for _, kv := range deleted.PrevKvs {
			if address, ok := strings.CutPrefix(string(kv.Key), masterLeases); ok {
				d.APIServers = append(d.APIServers, address)
			}
		}
	}
	return d, nil
}

// APIServers are the addresses of the API servers that have registered in a Kubernetes store.
func APIServers(ctx context.Context, endpoints []string, tlsConfig *tls.Config) ([]string, error) {
	client, err := Connect(endpoints, tlsConfig)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	addresses, _, err := registered(ctx, client)
	return addresses, err
}

func registered(ctx context.Context, client *clientv3.Client) (addresses []string, revision int64, err error) {
	entries, err := client.Get(ctx, masterLeases, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return nil, 0, fmt.Errorf("read who serves the API: %w", err)
	}
	for _, kv := range entries.Kvs {
		addresses = append(addresses, strings.TrimPrefix(string(kv.Key), masterLeases))
	}
	return addresses, entries.Header.Revision, nil
}

// AwaitAPIServers returns the addresses of the API servers that are at work on a Kubernetes store, as soon as there is one.
func AwaitAPIServers(ctx context.Context, endpoints []string, tlsConfig *tls.Config) ([]string, error) {
	client, err := Connect(endpoints, tlsConfig)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for {
		addresses, revision, err := registered(ctx, client)
		if err != nil || len(addresses) > 0 {
			return addresses, err
		}
		news := <-client.Watch(ctx, masterLeases, clientv3.WithPrefix(), clientv3.WithRev(revision+1))
		if err := errors.Join(news.Err(), ctx.Err()); err != nil {
			return nil, fmt.Errorf("wait for an API server to register: %w", err)
		}
	}
}
