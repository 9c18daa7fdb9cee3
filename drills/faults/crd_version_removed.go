package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensionsclient "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset/typed/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/util/retry"
)

// CRDVersionRemoved is a release that drops an old version of a definition while resources are still stored in it. The API server refuses that for
// as long as status.storedVersions names the version; so somebody strikes it from there, as the documentation says, and forgets
// what the documentation says to do before. From then on the API server cannot read those resources, and not one of them can be listed.
type CRDVersionRemoved struct {
	// Definition is its name; default machines.plant.example.com.
	Definition string `json:"definition,omitempty"`
	// Version that goes; default v1beta1.
	Version string `json:"version,omitempty"`
}

// Name in the catalogue.
func (*CRDVersionRemoved) Name() string { return "crd-version-removed" }

// Strikes the source cluster.
func (*CRDVersionRemoved) Strikes() Target { return Source }

// Destroys in one sentence.
func (f *CRDVersionRemoved) Destroys() string {
	return fmt.Sprintf("Version %s of definition %s is removed, and with it the way to whatever is stored in it.", f.Version, f.Definition)
}

func (f *CRDVersionRemoved) client(s *Scene) (apiextensionsclient.CustomResourceDefinitionInterface, dynamic.Interface, error) {
	if s.Source == nil {
		return nil, nil, errNoSource
	}
	client, err := apiextensionsclient.NewForConfig(s.Source.Config())
	if err != nil {
		return nil, nil, err
	}
	resources, err := dynamic.NewForConfig(s.Source.Config())
	return client.CustomResourceDefinitions(), resources, err
}

// Inject stores in another version, says that nothing is stored in this one, and removes it.
func (f *CRDVersionRemoved) Inject(ctx context.Context, s *Scene) error {
	client, _, err := f.client(s)
	if err != nil {
		return err
	}
	is := func(v apiextensionsv1.CustomResourceDefinitionVersion) bool { return v.Name == f.Version }
	for _, step := range []struct {
		update func(context.Context, *apiextensionsv1.CustomResourceDefinition, metav1.UpdateOptions) (*apiextensionsv1.CustomResourceDefinition, error)
		change func(d *apiextensionsv1.CustomResourceDefinition) error
	}{
		{client.Update, func(d *apiextensionsv1.CustomResourceDefinition) error {
			other := slices.IndexFunc(d.Spec.Versions, func(v apiextensionsv1.CustomResourceDefinitionVersion) bool { return !is(v) && v.Served })
			if other < 0 {
				return errors.New("it has no other version that is served")
			}
			for i := range d.Spec.Versions {
				d.Spec.Versions[i].Storage = i == other
			}
			return nil
		}},
		{client.UpdateStatus, func(d *apiextensionsv1.CustomResourceDefinition) error {
			d.Status.StoredVersions = slices.DeleteFunc(d.Status.StoredVersions, func(v string) bool { return v == f.Version })
			return nil
		}},
		{client.Update, func(d *apiextensionsv1.CustomResourceDefinition) error {
			d.Spec.Versions = slices.DeleteFunc(d.Spec.Versions, is)
			return nil
		}},
	} {
		// The API server's own controllers write to the status.
		err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
			d, err := client.Get(ctx, f.Definition, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if err := step.change(d); err != nil {
				return err
			}
			_, err = step.update(ctx, d, metav1.UpdateOptions{})
			return err
		})
		if err != nil {
			return fmt.Errorf("remove version %s of definition %s: %w", f.Version, f.Definition, err)
		}
	}
	return nil
}

// Visible when the definition lacks the version, and its resources, where there are any, cannot be listed.
func (f *CRDVersionRemoved) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	client, resources, err := f.client(s)
	if err != nil {
		return Sighting{}, err
	}
	d, err := client.Get(ctx, f.Definition, metav1.GetOptions{})
	if err != nil {
		return Sighting{}, err
	}
	if slices.ContainsFunc(d.Spec.Versions, func(v apiextensionsv1.CustomResourceDefinitionVersion) bool { return v.Name == f.Version }) {
		return Sighting{Detail: fmt.Sprintf("definition %s has version %s", f.Definition, f.Version)}, nil
	}
	left := d.Spec.Versions[slices.IndexFunc(d.Spec.Versions, func(v apiextensionsv1.CustomResourceDefinitionVersion) bool { return v.Storage })].Name
	list, err := resources.Resource(schema.GroupVersionResource{Group: d.Spec.Group, Version: left, Resource: d.Spec.Names.Plural}).List(ctx, metav1.ListOptions{})
	if err != nil {
		return Sighting{Visible: true, Detail: fmt.Sprintf("the %s cannot be listed in version %s: %s", d.Spec.Names.Plural, left, brief(err))}, nil
	}
	return Sighting{
		Visible: len(list.Items) == 0,
		Detail:  fmt.Sprintf("definition %s lacks version %s; %d %s can be listed in version %s", f.Definition, f.Version, len(list.Items), d.Spec.Names.Plural, left),
	}, nil
}
