// Package etcd reads, snapshots, inspects and restores etcd stores. It knows where Kubernetes keeps things in a store, and nothing of
// drills.
//
// To extend it, add a file for the new operation. What works on a snapshot file opens it read-only: a snapshot may be the only copy of
// a backup.
package etcd

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// dialTimeout bounds the connection to one endpoint; the members are on this machine or near it, and it may be busy.
const dialTimeout = 30 * time.Second

// Connect returns a client of the store at endpoints, which are https URLs. It does not wait for a connection. The caller closes it.
func Connect(endpoints []string, tlsConfig *tls.Config) (*clientv3.Client, error) {
	client, err := clientv3.New(clientv3.Config{
		Endpoints:   endpoints,
		TLS:         tlsConfig,
		DialTimeout: dialTimeout,
		Logger:      zap.NewNop(),
	})
	if err != nil {
		return nil, fmt.Errorf("connect to etcd at %v: %w", endpoints, err)
	}
	return client, nil
}

// IDs are etcd's own names for a cluster and its members, the members sorted.
func IDs(ctx context.Context, endpoints []string, tlsConfig *tls.Config) (cluster uint64, members []uint64, err error) {
	client, err := Connect(endpoints, tlsConfig)
	if err != nil {
		return 0, nil, err
	}
	defer client.Close()
	list, err := client.MemberList(ctx)
	if err != nil {
		return 0, nil, fmt.Errorf("list etcd members at %v: %w", endpoints, err)
	}
	for _, m := range list.Members {
		members = append(members, m.ID)
	}
	slices.Sort(members)
	return list.Header.ClusterId, members, nil
}

// Revision of the store, as a linearizable read through the member at endpoint finds it: a member that is cut off from the others does
// not answer.
func Revision(ctx context.Context, endpoint string, tlsConfig *tls.Config) (int64, error) {
	if err := reach(ctx, endpoint); err != nil {
		return 0, fmt.Errorf("read from etcd: %w", err)
	}
	client, err := Connect([]string{endpoint}, tlsConfig)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	response, err := client.Get(ctx, "restore-drill", clientv3.WithCountOnly())
	if err != nil {
		return 0, fmt.Errorf("read from etcd at %s: %w", endpoint, err)
	}
	return response.Header.Revision, nil
}

// reach tells at once when nothing listens at an endpoint, where etcd's client would go on trying.
func reach(ctx context.Context, endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil {
		return err
	}
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return err
	}
	return conn.Close()
}
