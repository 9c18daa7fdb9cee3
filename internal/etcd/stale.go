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

// staleLeases are where a Kubernetes store says who is at work, which nobody of those is after a restore. Keys that end in a slash or a dash
// are prefixes.
var staleLeases = []string{
	masterLeases,                                           // addresses of API servers: default/kubernetes would go on naming them
	"/registry/peerserverleases/",                          // where API servers reach each other
	"/registry/leases/kube-system/apiserver-",              // identities of API servers
	"/registry/leases/kube-system/kube-controller-manager", // leaders: their successors would wait for the leases to run out
	"/registry/leases/kube-system/kube-scheduler",
	"/registry/leases/kube-system/cloud-controller-manager",
	"/registry/leases/kube-node-lease/", // heartbeats of nodes, which the nodes write anew
}

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
	client, err := Connect(endpoints, tlsConfig)
	if err != nil {
		return d, err
	}
	defer client.Close()
	var drop []clientv3.Op
	for _, key := range staleLeases {
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
		registered, err := client.Get(ctx, masterLeases, clientv3.WithPrefix(), clientv3.WithKeysOnly())
		if err != nil {
			return nil, fmt.Errorf("read who serves the API: %w", err)
		}
		var addresses []string
		for _, kv := range registered.Kvs {
			addresses = append(addresses, strings.TrimPrefix(string(kv.Key), masterLeases))
		}
		if len(addresses) > 0 {
			return addresses, nil
		}
		news := <-client.Watch(ctx, masterLeases, clientv3.WithPrefix(), clientv3.WithRev(registered.Header.Revision+1))
		if err := errors.Join(news.Err(), ctx.Err()); err != nil {
			return nil, fmt.Errorf("wait for an API server to register: %w", err)
		}
	}
}
