package faults

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
)

// restored is a client of the restored cluster.
func (s *Scene) restored() (kubernetes.Interface, error) {
	if s.Restored == nil {
		return nil, errNoRestored
	}
	return kubernetes.NewForConfig(s.Restored.Config())
}

// objects of one kind in the restored cluster.
func (s *Scene) objects(apiVersion, kind, namespace string) (dynamic.ResourceInterface, error) {
	return s.objectsAt(Restored, apiVersion, kind, namespace)
}

// objectsAt is one kind of objects in the cluster that a fault with this target strikes.
func (s *Scene) objectsAt(target Target, apiVersion, kind, namespace string) (dynamic.ResourceInterface, error) {
	cluster, err := s.at(target)
	if err != nil {
		return nil, err
	}
	cfg := cluster.Config()
	discover, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		return nil, err
	}
	gv, err := schema.ParseGroupVersion(apiVersion)
	if err != nil {
		return nil, err
	}
	served, err := discover.ServerResourcesForGroupVersion(apiVersion)
	if err != nil {
		return nil, fmt.Errorf("look up %s %s: %w", apiVersion, kind, err)
	}
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	for _, r := range served.APIResources {
		// A name with a slash is a subresource.
		if r.Kind != kind || r.SingularName == "" {
			continue
		}
		resource := client.Resource(gv.WithResource(r.Name))
		if r.Namespaced {
			return resource.Namespace(namespace), nil
		}
		return resource, nil
	}
	return nil, fmt.Errorf("the cluster serves no %s %s", apiVersion, kind)
}

// find an object; nil when it is not there.
func find(ctx context.Context, objects dynamic.ResourceInterface, name string) (*unstructured.Unstructured, error) {
	o, err := objects.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return o, err
}

// place of an object in words.
func place(kind, namespace, name string) string {
	if namespace == "" {
		return kind + " " + name
	}
	return kind + " " + namespace + "/" + name
}
