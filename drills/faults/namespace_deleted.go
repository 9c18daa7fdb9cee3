package faults

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// NamespaceDeleted is somebody's `kubectl delete namespace`, in the wrong context. What holds the deletion up, finalizers whose controllers go with
// the namespace, is removed as well, as people do when a namespace hangs in Terminating.
type NamespaceDeleted struct {
	// Namespace to delete; default shop.
	Namespace string `json:"namespace,omitempty"`
	// Volumes goes on to delete the PersistentVolumes that its claims were bound to, as their provisioner would under the reclaim policy Delete;
	// default false, which leaves them Released.
	Volumes bool `json:"volumes,omitempty"`
}

// Name in the catalogue.
func (*NamespaceDeleted) Name() string { return "namespace-deleted" }

// Strikes the source cluster, or the restored one after a layer.
func (*NamespaceDeleted) Strikes() Target { return Source }

// Destroys in one sentence.
func (f *NamespaceDeleted) Destroys() string {
	return "Namespace " + f.Namespace + " is deleted with everything in it."
}

// Inject deletes it, and then takes the finalizers off what is left in it, until it is gone.
func (f *NamespaceDeleted) Inject(ctx context.Context, s *Scene) error {
	if s.Source == nil {
		return errNoSource
	}
	client, err := kubernetes.NewForConfig(s.Source.Config())
	if err != nil {
		return err
	}
	if err := client.CoreV1().Namespaces().Delete(ctx, f.Namespace, metav1.DeleteOptions{}); err != nil {
		return err
	}
	quiet := s.Source.Config()
	quiet.WarningHandler = rest.NoWarnings{}
	everything, err := dynamic.NewForConfig(quiet)
	if err != nil {
		return err
	}
	for {
		gone, err := f.gone(ctx, client)
		if err != nil {
			return err
		}
		if gone {
			return f.deleteVolumes(ctx, client)
		}
		if err := f.release(ctx, client.Discovery(), everything); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// deleteVolumes deletes what claims of the namespace were bound to.
func (f *NamespaceDeleted) deleteVolumes(ctx context.Context, client kubernetes.Interface) error {
	if !f.Volumes {
		return nil
	}
	all, err := client.CoreV1().PersistentVolumes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, v := range all.Items {
		if v.Spec.ClaimRef == nil || v.Spec.ClaimRef.Namespace != f.Namespace {
			continue
		}
		if err := client.CoreV1().PersistentVolumes().Delete(ctx, v.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}

// release takes the finalizers off what is in the namespace and being deleted.
func (f *NamespaceDeleted) release(ctx context.Context, served discovery.DiscoveryInterface, everything dynamic.Interface) error {
	lists, err := discovery.ServerPreferredNamespacedResources(served)
	if err != nil {
		return err
	}
	can := discovery.SupportsAllVerbs{Verbs: []string{"list", "patch"}}
	for _, list := range discovery.FilteredBy(can, lists) {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return err
		}
		for _, resource := range list.APIResources {
			objects := everything.Resource(version.WithResource(resource.Name)).Namespace(f.Namespace)
			found, err := objects.List(ctx, metav1.ListOptions{})
			if err != nil {
				return fmt.Errorf("list %s: %w", resource.Name, err)
			}
			for _, o := range found.Items {
				if len(o.GetFinalizers()) == 0 || o.GetDeletionTimestamp() == nil {
					continue
				}
				_, err := objects.Patch(ctx, o.GetName(), types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
				if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
					return fmt.Errorf("release %s %s: %w", resource.Name, o.GetName(), err)
				}
			}
		}
	}
	return nil
}

func (f *NamespaceDeleted) gone(ctx context.Context, client kubernetes.Interface) (bool, error) {
	_, err := client.CoreV1().Namespaces().Get(ctx, f.Namespace, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	return false, err
}

// Visible when there is no such namespace.
func (f *NamespaceDeleted) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	if s.Source == nil {
		return Sighting{}, errNoSource
	}
	client, err := kubernetes.NewForConfig(s.Source.Config())
	if err != nil {
		return Sighting{}, err
	}
	gone, err := f.gone(ctx, client)
	if err != nil {
		return Sighting{}, errors.Join(fmt.Errorf("look for namespace %s", f.Namespace), err)
	}
	if gone {
		return Sighting{Visible: true, Detail: "there is no namespace " + f.Namespace}, nil
	}
	return Sighting{Detail: "namespace " + f.Namespace + " is there"}, nil
}
