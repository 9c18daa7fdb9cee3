package faults

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ObjectDeleted is an object that a restore did not bring back, or that somebody removed from the restored cluster before anyone had looked:
// nothing fails, and nothing restarts. In the source cluster it is a disaster of its own: a definition takes all its custom resources along.
type ObjectDeleted struct {
	// APIVersion of the object, for example apps/v1; default v1.
	APIVersion string `json:"apiVersion,omitempty"`
	// Kind of the object; default ConfigMap.
	Kind string `json:"kind,omitempty"`
	// Namespace of the object, without meaning for a kind that has none; default shop.
	Namespace string `json:"namespace,omitempty"`
	// Object is its name; default web-settings.
	Object string `json:"name,omitempty"`
	// At is the moment: in the restored cluster (the default), or at the source, or, seeded, there before it is backed up, or in the empty new one.
	At string `json:"at,omitempty"`
	// Held objects stay for as long as they have a finalizer, and go on being deleted; default false, which is an object that goes.
	Held bool `json:"held,omitempty"`
}

// Name in the catalogue.
func (*ObjectDeleted) Name() string { return "object-deleted" }

// Strikes at the moment that was asked for.
func (f *ObjectDeleted) Strikes() Target { return moments[f.At] }

// Validate the parameters.
func (f *ObjectDeleted) Validate() error { return checkMoment(f.At) }

// Destroys in one sentence.
func (f *ObjectDeleted) Destroys() string {
	s := place(f.Kind, f.Namespace, f.Object) + " is deleted from the " + f.Strikes().String()
	if f.Held {
		return s + ", and stays there, held by a finalizer."
	}
	return s + "."
}

// Inject deletes.
func (f *ObjectDeleted) Inject(ctx context.Context, s *Scene) error {
	objects, err := s.objectsAt(f.Strikes(), f.APIVersion, f.Kind, f.Namespace)
	if err != nil {
		return err
	}
	return objects.Delete(ctx, f.Object, metav1.DeleteOptions{})
}

// Visible when the object is not there.
func (f *ObjectDeleted) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	objects, err := s.objectsAt(f.Strikes(), f.APIVersion, f.Kind, f.Namespace)
	if err != nil {
		return Sighting{}, err
	}
	o, err := find(ctx, objects, f.Object)
	if err != nil {
		return Sighting{}, err
	}
	where := place(f.Kind, f.Namespace, f.Object)
	switch {
	case o == nil && f.Held:
		return Sighting{}, fmt.Errorf("%s is not there: no finalizer held it", where)
	case o == nil:
		return Sighting{Visible: true, Detail: where + " is not there"}, nil
	case f.Held && o.GetDeletionTimestamp() != nil:
		return Sighting{Visible: true, Detail: where + " is being deleted, and there"}, nil
	}
	return Sighting{Detail: where + " is there"}, nil
}
