package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/e2e-framework/support"

	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/internal/engine"
)

const controlPlaneLabel = "node-role.kubernetes.io/control-plane"

// ListNode lists the nodes that the API has. Their state is Ready or NotReady.
func (p *Provider) ListNode(ctx context.Context, args ...string) ([]support.Node, error) {
	client, err := p.client(args)
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	list, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list nodes of cluster %s: %w", p.spec.Name, err)
	}
	var all []support.Node
	for _, n := range list.Items {
		node := support.Node{Name: n.Name, Role: "worker", Cluster: p.spec.Name, State: "NotReady"}
		if _, ok := n.Labels[controlPlaneLabel]; ok {
			node.Role = "control-plane"
		}
		if isReady(&n) {
			node.State = "Ready"
		}
		for _, a := range n.Status.Addresses {
			if a.Type == corev1.NodeInternalIP {
				node.IP = net.ParseIP(a.Address)
			}
		}
		all = append(all, node)
	}
	return all, nil
}

// AddNode adds a simulated node that is like those that are there. Machines are not added.
func (p *Provider) AddNode(ctx context.Context, node *support.Node, args ...string) error {
	return p.nodeOperation("add", node, args, func(client kubernetes.Interface) error {
		if _, ok := p.cluster.(clusters.Machined); ok {
			return fmt.Errorf("%w: provider %s makes its machines with the cluster; ask for more with WithNodes", errors.ErrUnsupported, p.name)
		}
		list, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{Limit: 1})
		if err != nil {
			return err
		}
		if len(list.Items) == 0 {
			return errors.New("there is no node that it could be like")
		}
		like := list.Items[0]
		added := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node.Name, Labels: like.Labels, Annotations: like.Annotations}, Status: like.Status}
		added.Labels[corev1.LabelHostname] = node.Name
		added.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: node.Name}}
		if node.IP != nil {
			added.Status.Addresses = append(added.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: node.IP.String()})
		}
		_, err = client.CoreV1().Nodes().Create(ctx, added, metav1.CreateOptions{})
		return err
	})
}

// RemoveNode removes a node from the API, and its machine, if it is one, with its disks.
func (p *Provider) RemoveNode(ctx context.Context, node *support.Node, args ...string) error {
	return p.nodeOperation("remove", node, args, func(client kubernetes.Interface) error {
		if _, ok := p.cluster.(clusters.Machined); ok {
			m, err := p.machine(node.Name)
			if err != nil {
				return err
			}
			if err := m.Destroy(ctx); err != nil {
				return err
			}
		}
		err := client.CoreV1().Nodes().Delete(ctx, node.Name, metav1.DeleteOptions{})
		if _, ok := p.cluster.(clusters.Machined); ok && apierrors.IsNotFound(err) {
			return nil
		}
		return err
	})
}

// StopNode takes a machine off its network: to the cluster it is as one that is off. A simulated node has no machine that could be stopped.
func (p *Provider) StopNode(ctx context.Context, node *support.Node, args ...string) error {
	return p.nodeOperation("stop", node, args, func(kubernetes.Interface) error {
		m, err := p.machine(node.Name)
		if err != nil {
			return err
		}
		return m.CutOff(ctx)
	})
}

// StartNode puts a machine that was stopped back on its network.
func (p *Provider) StartNode(ctx context.Context, node *support.Node, args ...string) error {
	return p.nodeOperation("start", node, args, func(kubernetes.Interface) error {
		m, err := p.machine(node.Name)
		if err != nil {
			return err
		}
		return m.Reconnect(ctx)
	})
}

func (p *Provider) nodeOperation(what string, node *support.Node, args []string, do func(kubernetes.Interface) error) error {
	client, err := p.client(args)
	if err == nil {
		err = do(client)
	}
	if err != nil {
		return fmt.Errorf("%s node %s of cluster %s: %w", what, node.Name, p.spec.Name, err)
	}
	return nil
}

// client of the cluster, for operations that take no arguments.
func (p *Provider) client(args []string) (kubernetes.Interface, error) {
	if len(args) > 0 {
		return nil, fmt.Errorf("%w: arguments %q", errors.ErrUnsupported, args)
	}
	if err := p.there(); err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(p.cluster.Config())
}

// machines of the cluster, or why it has none.
func (p *Provider) machines() ([]clusters.Machine, error) {
	if err := p.there(); err != nil {
		return nil, err
	}
	m, ok := p.cluster.(clusters.Machined)
	if !ok {
		return nil, fmt.Errorf("%w: nodes of provider %s are simulated: no machine, and no container, runs", errors.ErrUnsupported, p.name)
	}
	return m.Machines(), nil
}

func (p *Provider) machine(name string) (clusters.Machine, error) {
	all, err := p.machines()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, m := range all {
		names = append(names, m.Name())
	}
	if i := slices.Index(names, name); i >= 0 {
		return all[i], nil
	}
	return nil, fmt.Errorf("no machine of that name; known: %s", strings.Join(names, ", "))
}

// LoadImage brings an image of the local engine to every machine. Where nodes are simulated nothing runs that it could be for, and its error says so.
func (p *Provider) LoadImage(ctx context.Context, image string, args ...string) error {
	return p.load(image, args, func(machines []clusters.Machine) (err error) {
		local, err := engine.Find()
		if err != nil {
			return err
		}
		dir, err := os.MkdirTemp("", "restore-drill-image-")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		file := filepath.Join(dir, "image.tar")
		if err := local.Save(ctx, file, image); err != nil {
			return err
		}
		return importArchive(ctx, machines, file)
	})
}

// LoadImageArchive brings the images of an archive, as docker save writes it, to every machine.
func (p *Provider) LoadImageArchive(ctx context.Context, archive string, args ...string) error {
	return p.load(archive, args, func(machines []clusters.Machine) error { return importArchive(ctx, machines, archive) })
}

func (p *Provider) load(what string, args []string, do func([]clusters.Machine) error) error {
	machines, err := p.machines()
	if err == nil && len(args) > 0 {
		err = fmt.Errorf("%w: arguments %q", errors.ErrUnsupported, args)
	}
	if err == nil {
		err = do(machines)
	}
	if err != nil {
		return fmt.Errorf("load %s into cluster %s: %w", what, p.spec.Name, err)
	}
	return nil
}

func importArchive(ctx context.Context, machines []clusters.Machine, file string) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, m := range machines {
		g.Go(func() (err error) {
			f, err := os.Open(file)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, f.Close()) }()
			_, err = m.Exec(ctx, f, "ctr", "--namespace", "k8s.io", "images", "import", "--all-platforms", "--digests", "-")
			return err
		})
	}
	return g.Wait()
}
