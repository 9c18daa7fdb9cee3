package faults

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ObjectDeleted is an object that a restore did not bring back, or that somebody removed from the restored cluster before anyone had looked:
// nothing fails, and nothing restarts.
type ObjectDeleted struct {
	// APIVersion of the object, for example apps/v1; default v1.
	APIVersion string `json:"apiVersion,omitempty"`
	// Kind of the object; default ConfigMap.
	Kind string `json:"kind,omitempty"`
	// Namespace of the object, without meaning for a kind that has none; default shop.
	Namespace string `json:"namespace,omitempty"`
	// Object is its name; default web-settings.
	Object string `json:"name,omitempty"`
}

// Name in the catalogue.
func (*ObjectDeleted) Name() string { return "object-deleted" }

// Strikes the restored cluster.
func (*ObjectDeleted) Strikes() Target { return Restored }

// Destroys in one sentence.
func (f *ObjectDeleted) Destroys() string {
	return place(f.Kind, f.Namespace, f.Object) + " is deleted from the restored cluster."
}

// Inject deletes.
func (f *ObjectDeleted) Inject(ctx context.Context, s *Scene) error {
	objects, err := s.objects(f.APIVersion, f.Kind, f.Namespace)
	if err != nil {
		return err
	}
	return objects.Delete(ctx, f.Object, metav1.DeleteOptions{})
}

// Visible when the object is not there.
func (f *ObjectDeleted) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	objects, err := s.objects(f.APIVersion, f.Kind, f.Namespace)
	if err != nil {
		return Sighting{}, err
	}
	o, err := find(ctx, objects, f.Object)
	if err != nil {
		return Sighting{}, err
	}
	if o != nil {
		return Sighting{Detail: place(f.Kind, f.Namespace, f.Object) + " is there"}, nil
	}
	return Sighting{Visible: true, Detail: place(f.Kind, f.Namespace, f.Object) + " is not there"}, nil
}
