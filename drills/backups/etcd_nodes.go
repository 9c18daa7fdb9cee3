package backups

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"

	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/internal/shell"
)

// A restored store tells of the machines that were lost as if they were there: their Nodes, and pods that are "Running" on them. Kubernetes finds out by
// itself, and takes minutes for it: a Node is given up after 40 s, its pods after five minutes more, and their volumes after another six.

// retireNodes deletes the Nodes of machines that the target does not have, and all pods bound to them: those of a controller are made anew, where there are
// machines.
func (r *etcdRestore) retireNodes(ctx context.Context) error {
	machined, ok := r.target.(clusters.Machined)
	if !ok {
		return nil
	}
	var there []string
	for _, m := range machined.Machines() {
		there = append(there, m.Name())
	}
	client, err := kubernetes.NewForConfig(r.target.Config())
	if err != nil {
		return err
	}
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	err = r.step(ctx, "retire nodes", "those of machines that are gone, and the pods on them", func(ctx context.Context) error {
		var g errgroup.Group
		for _, n := range nodes.Items {
			if !slices.Contains(there, n.Name) {
				g.Go(func() error { return r.retire(ctx, client, n) })
			}
		}
		return g.Wait()
	})
	if err != nil {
		return err
	}
	if r.Running {
		return nil // nobody makes others there
	}
	return r.step(ctx, "delete bootstrap tokens", "whoever has one from before could join a node", func(ctx context.Context) error { return r.deleteTokens(ctx, client) })
}

// deleteTokens that nodes joined the lost cluster with. The target makes its own.
func (r *etcdRestore) deleteTokens(ctx context.Context, client kubernetes.Interface) error {
	ofType := fields.OneTermEqualSelector("type", string(corev1.SecretTypeBootstrapToken)).String()
	if err := client.CoreV1().Secrets(metav1.NamespaceSystem).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{FieldSelector: ofType}); err != nil {
		return err
	}
	r.Ran(ctx, clusters.ThisMachine, shell.Join("kubectl", "--namespace", metav1.NamespaceSystem, "delete", "secrets", "--field-selector", ofType))
	return nil
}

// retire one Node. Whatever the kubelet of it would have to confirm is not waited for: it is gone, which is for whoever restores to have seen to.
func (r *etcdRestore) retire(ctx context.Context, client kubernetes.Interface, n corev1.Node) error {
	own := metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(n.UID))}
	if err := client.CoreV1().Nodes().Delete(ctx, n.Name, own); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete node %s: %w", n.Name, err)
	}
	r.Ran(ctx, clusters.ThisMachine, shell.Join("kubectl", "delete", "node", n.Name))
	onIt := fields.OneTermEqualSelector("spec.nodeName", n.Name).String()
	pods, err := client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: onIt})
	if err != nil {
		return fmt.Errorf("list the pods on node %s: %w", n.Name, err)
	}
	var g errgroup.Group
	g.SetLimit(16)
	for _, p := range pods.Items {
		if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
			continue // it has ended, wherever that was
		}
		g.Go(func() error {
			force := metav1.DeleteOptions{GracePeriodSeconds: new(int64(0)), Preconditions: metav1.NewUIDPreconditions(string(p.UID))}
			if err := client.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, force); err != nil && !apierrors.IsNotFound(err) {
				return fmt.Errorf("delete pod %s/%s on node %s: %w", p.Namespace, p.Name, n.Name, err)
			}
			r.Ran(ctx, clusters.ThisMachine, shell.Join("kubectl", "delete", "pod", p.Name, "--namespace", p.Namespace, "--grace-period=0", "--force"))
			return nil
		})
	}
	return g.Wait()
}
