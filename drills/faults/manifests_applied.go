package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/restore-drill/restore-drill/fixtures"
)

// ManifestsApplied is somebody else at work on the same cluster: GitOps, an installer or an operator that has put its own objects into the
// new cluster before the backup comes, or puts them over what came back.
type ManifestsApplied struct {
	// Workloads are embedded manifest sets; default none.
	Workloads []string `json:"workloads,omitempty"`
	// Manifests are objects as they stand in a manifest; default none.
	Manifests []json.RawMessage `json:"manifests,omitempty"`
	// At is the moment: empty, the new cluster before anything is restored into it (the default), or seeded, source or restored.
	At string `json:"at,omitempty"`
}

// Name in the catalogue.
func (*ManifestsApplied) Name() string { return "manifests-applied" }

// Strikes at the moment that was asked for.
func (f *ManifestsApplied) Strikes() Target { return moments[f.At] }

// Validate the parameters.
func (f *ManifestsApplied) Validate() error {
	objects, err := f.objects()
	if err == nil && len(objects) == 0 {
		err = errors.New("there is nothing to apply: name workloads, or write manifests")
	}
	return errors.Join(err, checkMoment(f.At))
}

// Destroys in one sentence.
func (f *ManifestsApplied) Destroys() string {
	objects, err := f.objects()
	if err != nil || len(objects) == 0 {
		return "Nothing."
	}
	var names []string
	for _, o := range objects {
		names = append(names, o.String())
	}
	return fmt.Sprintf("Whatever of these is in the %s becomes as the manifests say: %s.", f.Strikes(), strings.Join(names, ", "))
}

func (f *ManifestsApplied) objects() ([]fixtures.Object, error) {
	objects, err := fixtures.Desired(f.Workloads, nil)
	if err != nil {
		return nil, err
	}
	for i, raw := range f.Manifests {
		o := fixtures.Object{Unstructured: &unstructured.Unstructured{}, File: "parameters of manifests-applied", Document: i + 1, Line: 1}
		if err := o.UnmarshalJSON(raw); err != nil {
			return nil, fmt.Errorf("manifests[%d]: %w", i, err)
		}
		objects = append(objects, o)
	}
	return objects, nil
}

// Inject applies the objects by server-side apply, definitions first.
func (f *ManifestsApplied) Inject(ctx context.Context, s *Scene) error {
	cluster, err := s.at(f.Strikes())
	if err != nil {
		return err
	}
	objects, err := f.objects()
	if err != nil {
		return err
	}
	if err := fixtures.Apply(ctx, cluster.Config(), objects); err != nil {
		return err
	}
	for _, o := range objects {
		if o.GetKind() == "CustomResourceDefinition" {
			if err := s.settle(ctx, f.Strikes(), o.GetName()); err != nil {
				return err
			}
		}
	}
	return nil
}

// Visible when every object is there as its manifest says.
func (f *ManifestsApplied) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	cluster, err := s.at(f.Strikes())
	if err != nil {
		return Sighting{}, err
	}
	objects, err := f.objects()
	if err != nil {
		return Sighting{}, err
	}
	// No digest is kept, so any key will do. A kind that is not served yet is a sight too.
	drift, err := fixtures.Drift(ctx, cluster.Config(), objects, []byte(f.Name()))
	if err != nil {
		return Sighting{Detail: brief(err)}, ctx.Err()
	}
	return Sighting{
		Visible: drift.InSync == drift.Desired,
		Detail:  fmt.Sprintf("%d of %d objects are as their manifests say", drift.InSync, drift.Desired),
	}, nil
}
