package drills

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/internal/etcd"
	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/internal/watchcache"
)

// readStoreHealth asks the restored store how it is, and the API server above it what it makes of it.
func (d *drill) readStoreHealth(ctx context.Context) error {
	store := d.restored.Store()
	condition, err := etcd.Health(ctx, store.Endpoints, store.TLS)
	if err != nil {
		return err
	}
	h := evidence.StoreHealth{ClusterID: condition.ClusterID, Alarms: []evidence.StoreAlarm{}, LostAPIServers: strings.Fields(d.chosen().Facts["apiServers"]), Machines: machineAddresses(d.restored.Members())}
	for _, m := range condition.Members {
		h.Members = append(h.Members, evidence.StoreMember{ID: m.ID, Error: m.Error, Bytes: m.Bytes, BytesInUse: m.BytesInUse, Complaints: m.Complaints})
	}
	for _, a := range condition.Alarms {
		h.Alarms = append(h.Alarms, evidence.StoreAlarm{Type: a.Type, Member: a.Member})
	}
	if h.HashedAt, err = etcd.Revision(ctx, store.Endpoints[0], store.TLS); err != nil {
		return err
	}
	agreement, err := etcd.Agree(ctx, store.Endpoints, store.TLS, h.HashedAt)
	switch {
	case errors.Is(err, etcd.ErrDivergent):
		h.Divergence = err.Error()
	case err != nil:
		h.Undecided = err.Error()
	case len(agreement.Silent) > 0:
		h.Undecided = fmt.Sprintf("%d of %d members gave no hash", len(agreement.Silent), len(store.Endpoints))
	}
	if h.Lists, err = watchcache.Compare(ctx, d.restored.Config(), store.Endpoints, store.TLS); err != nil {
		return err
	}
	if h.APIServers, err = d.servers(ctx); err != nil {
		return err
	}
	return d.rec.Put(evidence.StoreHealthFile, h)
}

// machineAddresses are those of the machines that members of the store run on.
func machineAddresses(members []clusters.Member) (all []string) {
	for _, m := range members {
		if u, err := url.Parse(m.PeerURL); err == nil {
			all = append(all, u.Hostname())
		}
	}
	return all
}

// servers are the addresses that default/kubernetes sends clients to.
func (d *drill) servers(ctx context.Context) ([]string, error) {
	client, err := kubernetes.NewForConfig(d.restored.Config())
	if err != nil {
		return nil, err
	}
	slice, err := client.DiscoveryV1().EndpointSlices(metav1.NamespaceDefault).Get(ctx, "kubernetes", metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read default/kubernetes: %w", err)
	}
	addresses := []string{}
	for _, e := range slice.Endpoints {
		addresses = append(addresses, e.Addresses...)
	}
	return addresses, nil
}
