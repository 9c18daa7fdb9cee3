package clusters

import (
	"crypto/rand"
	"fmt"
	"maps"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/restore-drill/restore-drill/internal/place"
	"github.com/restore-drill/restore-drill/internal/proc"
	"github.com/restore-drill/restore-drill/internal/toolchain"
)

// layOut gives every component its ports and flags. Flags are kubeadm's where they bear on how a cluster works; those that are not say why.
func (c *processCluster) layOut(found []toolchain.Binary) error {
	path := map[string]string{}
	for _, b := range found {
		path[b.Component] = b.Path
		c.versions[b.Component] = b.Version
	}
	if err := c.layOutStore(path[etcdName]); err != nil {
		return err
	}
	var err error
	if c.apiPort, err = c.reserve(); err != nil {
		return err
	}
	controllersPort, err := c.reserve()
	if err != nil {
		return err
	}
	schedulerPort, err := c.reserve()
	if err != nil {
		return err
	}
	c.add(place.Command{Name: apiServerName, Path: path[apiServerName], Ports: []*proc.Port{c.apiPort}, Flags: c.apiServerFlags()})
	c.add(place.Command{Name: controllerManagerName, Path: path[controllerManagerName], Ports: []*proc.Port{controllersPort}, Flags: c.controllerManagerFlags(controllersPort)})
	c.add(place.Command{Name: schedulerName, Path: path[schedulerName], Ports: []*proc.Port{schedulerPort}, Flags: c.schedulerFlags(schedulerPort)})
	c.add(place.Command{Name: kwokName, Path: path[kwokName], Flags: c.kwokFlags()})
	return nil
}

func (c *processCluster) add(command place.Command) {
	command.LogFile = filepath.Join(c.spec.LogDir, command.Name+".log")
	c.components = append(c.components, c.place.Process(command))
}

// reserve keeps a port for a component for as long as the cluster is there.
func (c *processCluster) reserve() (*proc.Port, error) { return c.place.ReservePort(proc.ReusePort) }

func (c *processCluster) layOutStore(path string) error {
	// No member of another cluster can join by mistake, though it may know the address.
	token := strings.ToLower(rand.Text())
	var (
		initial []string
		peers   []*proc.Port
		clients []*proc.Port
	)
	for i := range c.spec.EtcdMembers {
		client, err := c.reserve()
		if err != nil {
			return err
		}
		peer, err := c.reserve()
		if err != nil {
			return err
		}
		name := "etcd-" + strconv.Itoa(i)
		m := Member{Name: name, PeerURL: "https://" + peer.Address(), DataDir: c.place.Dir(dataDir, name)}
		c.members = append(c.members, m)
		c.endpoints = append(c.endpoints, "https://"+client.Address())
		initial = append(initial, name+"="+m.PeerURL)
		clients, peers = append(clients, client), append(peers, peer)
	}
	for i, m := range c.members {
		flags := map[string]string{
			"name":                           m.Name,
			"data-dir":                       m.DataDir,
			"listen-client-urls":             c.endpoints[i],
			"advertise-client-urls":          c.endpoints[i],
			"listen-peer-urls":               m.PeerURL,
			"initial-advertise-peer-urls":    m.PeerURL,
			"initial-cluster":                strings.Join(initial, ","),
			"initial-cluster-token":          token,
			"socket-reuse-port":              "true",
			"client-cert-auth":               "true",
			"cert-file":                      c.pki("etcd/server.crt"),
			"key-file":                       c.pki("etcd/server.key"),
			"trusted-ca-file":                c.pki("etcd/ca.crt"),
			"peer-client-cert-auth":          "true",
			"peer-cert-file":                 c.pki("etcd/peer.crt"),
			"peer-key-file":                  c.pki("etcd/peer.key"),
			"peer-trusted-ca-file":           c.pki("etcd/ca.crt"),
			"feature-gates":                  "InitialCorruptCheck=true",
			"watch-progress-notify-interval": "5s",
		}
		maps.Copy(flags, ticks(len(c.members)))
		c.add(place.Command{Name: m.Name, Path: path, DataDir: m.DataDir, Ports: []*proc.Port{clients[i], peers[i]}, Flags: flags})
	}
	return nil
}

// ticks of raft: etcd's own are for networks. A member alone elects itself one election timeout after it starts; among three, the
// timeout has to outlast the pauses of a busy machine.
func ticks(members int) map[string]string {
	if members == 1 {
		return map[string]string{"heartbeat-interval": "10", "election-timeout": "100"}
	}
	return map[string]string{"heartbeat-interval": "50", "election-timeout": "500"}
}

func (c *processCluster) apiServerFlags() map[string]string {
	flags := map[string]string{
		"advertise-address":                  c.advertised(),
		"bind-address":                       "127.0.0.1",
		"secure-port":                        strconv.Itoa(c.apiPort.Number),
		"permit-port-sharing":                "true",
		"tls-cert-file":                      c.pki("apiserver.crt"),
		"tls-private-key-file":               c.pki("apiserver.key"),
		"client-ca-file":                     c.pki("ca.crt"),
		"anonymous-auth":                     "false",
		"authorization-mode":                 "Node,RBAC",
		"enable-admission-plugins":           "NodeRestriction",
		"enable-bootstrap-token-auth":        "true",
		"allow-privileged":                   "true",
		"etcd-servers":                       strings.Join(c.endpoints, ","),
		"etcd-cafile":                        c.pki("etcd/ca.crt"),
		"etcd-certfile":                      c.pki("apiserver-etcd-client.crt"),
		"etcd-keyfile":                       c.pki("apiserver-etcd-client.key"),
		"kubelet-client-certificate":         c.pki("apiserver-kubelet-client.crt"),
		"kubelet-client-key":                 c.pki("apiserver-kubelet-client.key"),
		"proxy-client-cert-file":             c.pki("front-proxy-client.crt"),
		"proxy-client-key-file":              c.pki("front-proxy-client.key"),
		"requestheader-client-ca-file":       c.pki("front-proxy-ca.crt"),
		"requestheader-allowed-names":        "front-proxy-client",
		"requestheader-username-headers":     "X-Remote-User",
		"requestheader-group-headers":        "X-Remote-Group",
		"requestheader-extra-headers-prefix": "X-Remote-Extra-",
		"service-account-issuer":             issuer,
		"service-account-key-file":           c.pki("sa.pub"),
		"service-account-signing-key-file":   c.pki("sa.key"),
		"service-cluster-ip-range":           serviceRange,
	}
	if c.spec.AuditLog {
		flags["audit-policy-file"] = c.place.Dir(auditPolicy)
		flags["audit-log-path"] = fmt.Sprintf("%s/audit.log", c.spec.LogDir)
	}
	return flags
}

// elected are flags of a component that ends itself when it cannot renew its lease in time: not for a machine that stalls, or an API server that
// is away for a moment. They also lift its client's own limits, which are set for large clusters with many components beside one another.
func elected(flags map[string]string) map[string]string {
	flags["kube-api-qps"], flags["kube-api-burst"] = "1000", "1000"
	return patient(flags)
}

// patient are the flags of such a component that give it time to renew its lease.
func patient(flags map[string]string) map[string]string {
	flags["leader-elect"], flags["leader-elect-lease-duration"], flags["leader-elect-renew-deadline"] = "true", "40s", "30s"
	return flags
}

func (c *processCluster) controllerManagerFlags(port *proc.Port) map[string]string {
	return elected(map[string]string{
		"kubeconfig":                       c.pki("controller-manager.conf"),
		"authentication-kubeconfig":        c.pki("controller-manager.conf"),
		"authorization-kubeconfig":         c.pki("controller-manager.conf"),
		"bind-address":                     "127.0.0.1",
		"secure-port":                      strconv.Itoa(port.Number),
		"permit-port-sharing":              "true",
		"tls-cert-file":                    c.pki("controller-manager.crt"),
		"tls-private-key-file":             c.pki("controller-manager.key"),
		"client-ca-file":                   c.pki("ca.crt"),
		"requestheader-client-ca-file":     c.pki("front-proxy-ca.crt"),
		"root-ca-file":                     c.pki("ca.crt"),
		"cluster-signing-cert-file":        c.pki("ca.crt"),
		"cluster-signing-key-file":         c.pki("ca.key"),
		"service-account-private-key-file": c.pki("sa.key"),
		"use-service-account-credentials":  "true",
		"controllers":                      "*,bootstrap-signer-controller,token-cleaner-controller",
		"service-cluster-ip-range":         serviceRange,
	})
}

func (c *processCluster) schedulerFlags(port *proc.Port) map[string]string {
	return elected(map[string]string{
		"kubeconfig":                   c.pki("scheduler.conf"),
		"authentication-kubeconfig":    c.pki("scheduler.conf"),
		"authorization-kubeconfig":     c.pki("scheduler.conf"),
		"bind-address":                 "127.0.0.1",
		"secure-port":                  strconv.Itoa(port.Number),
		"permit-port-sharing":          "true",
		"tls-cert-file":                c.pki("scheduler.crt"),
		"tls-private-key-file":         c.pki("scheduler.key"),
		"client-ca-file":               c.pki("ca.crt"),
		"requestheader-client-ca-file": c.pki("front-proxy-ca.crt"),
	})
}

// kwok serves nothing: it has no port. It looks after the pods of a node while it holds the node's lease, and another kwok waits for a lease that is
// held to run out, which no kubelet does: a quarter of a kubelet's 40 s keeps that short.
func (c *processCluster) kwokFlags() map[string]string {
	return map[string]string{
		"kubeconfig":                  c.pki("kwok.conf"),
		"config":                      c.place.Dir(stagesFile),
		"manage-all-nodes":            "true",
		"cidr":                        "10.244.0.0/16",
		"node-lease-duration-seconds": "10",
	}
}
