// Package crd reads the definitions of custom resources, says in what two readings of one differ, and finds out what a definition does to
// custom resources that lived under another.
package crd

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/restore-drill/restore-drill/internal/evidence"
)

// workers ask at the same time.
const workers = 16

var definitions = apiextensionsv1.SchemeGroupVersion.WithResource("customresourcedefinitions")

// Read reads every definition of a cluster, and its custom resources in each version that is served: a definition whose resources cannot be read is
// not worth much. A definition that cannot be read is an error, resources that cannot are part of the answer.
func Read(ctx context.Context, cfg *rest.Config) (evidence.CRDs, error) {
	all, err := read(ctx, quiet(cfg))
	if err != nil {
		return evidence.CRDs{}, fmt.Errorf("read definitions: %w", err)
	}
	return all, nil
}

func read(ctx context.Context, cfg *rest.Config) (evidence.CRDs, error) {
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return evidence.CRDs{}, err
	}
	// Only names and counts are wanted of the resources, which the server finds by reading the whole of them.
	resources, err := metadata.NewForConfig(cfg)
	if err != nil {
		return evidence.CRDs{}, err
	}
	list, err := client.Resource(definitions).List(ctx, metav1.ListOptions{})
	if err != nil {
		return evidence.CRDs{}, err
	}
	all := evidence.CRDs{Definitions: make([]evidence.CRD, len(list.Items))}
	var g errgroup.Group
	g.SetLimit(workers)
	for i, item := range list.Items {
		d, err := reduce(&item)
		if err != nil {
			return evidence.CRDs{}, fmt.Errorf("%s: %w", item.GetName(), err)
		}
		all.Definitions[i] = d
		s, err := Parse(d)
		if err != nil {
			return evidence.CRDs{}, err
		}
		var mu sync.Mutex
		for version := range s.served() {
			g.Go(func() error {
				reading := evidence.CRDReading{}
				found, err := resources.Resource(s.resource(version)).List(ctx, metav1.ListOptions{})
				if err != nil {
					reading.Error, reading.Undecided = cmp.Or(conversion(err), brief(err)), passing(err)
				} else {
					reading.Objects = len(found.Items)
				}
				mu.Lock()
				defer mu.Unlock()
				d.Readings[version] = reading
				return nil
			})
		}
	}
	g.Wait()
	if ctx.Err() != nil {
		return evidence.CRDs{}, context.Cause(ctx) // what was not read then says nothing
	}
	slices.SortFunc(all.Definitions, func(a, b evidence.CRD) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// reduce a definition to what says how its resources are served.
func reduce(o *unstructured.Unstructured) (evidence.CRD, error) {
	spec, err := json.Marshal(o.Object["spec"])
	if err != nil {
		return evidence.CRD{}, err
	}
	var status apiextensionsv1.CustomResourceDefinitionStatus
	raw, err := json.Marshal(o.Object["status"])
	if err == nil {
		err = json.Unmarshal(raw, &status)
	}
	if err != nil {
		return evidence.CRD{}, err
	}
	d := evidence.CRD{Name: o.GetName(), Spec: spec, StoredVersions: status.StoredVersions, Readings: map[string]evidence.CRDReading{}}
	for _, wanted := range []apiextensionsv1.CustomResourceDefinitionConditionType{apiextensionsv1.NamesAccepted, apiextensionsv1.Established} {
		i := slices.IndexFunc(status.Conditions, func(c apiextensionsv1.CustomResourceDefinitionCondition) bool { return c.Type == wanted })
		switch {
		case i < 0:
			d.Trouble = append(d.Trouble, fmt.Sprintf("%s is not said", wanted))
		case status.Conditions[i].Status != apiextensionsv1.ConditionTrue:
			d.Trouble = append(d.Trouble, fmt.Sprintf("%s is %s (%s)", wanted, status.Conditions[i].Status, status.Conditions[i].Reason))
		}
	}
	return d, nil
}

// A Definition is what a definition says of the versions of its resources.
type Definition struct {
	Group string `json:"group"`
	Scope string `json:"scope"`
	Names struct {
		Kind   string `json:"kind"`
		Plural string `json:"plural"`
	} `json:"names"`
	Versions []struct {
		Name    string `json:"name"`
		Served  bool   `json:"served"`
		Storage bool   `json:"storage"`
		Schema  struct {
			OpenAPIV3Schema map[string]any `json:"openAPIV3Schema"`
		} `json:"schema"`
	} `json:"versions"`
}

// Parse the spec of a definition.
func Parse(d evidence.CRD) (Definition, error) {
	var s Definition
	if err := json.Unmarshal(d.Spec, &s); err != nil {
		return s, fmt.Errorf("parse definition %s: %w", d.Name, err)
	}
	return s, nil
}

// Lists tells whether the definition has the version, served or not.
func (d Definition) Lists(version string) bool {
	for _, v := range d.Versions {
		if v.Name == version {
			return true
		}
	}
	return false
}

// served versions.
func (d Definition) served() map[string]bool {
	names := map[string]bool{}
	for _, v := range d.Versions {
		if v.Served {
			names[v.Name] = true
		}
	}
	return names
}

func (d Definition) resource(version string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: d.Group, Version: version, Resource: d.Names.Plural}
}

// passing tells an error that may be over the next time, of a server that is busy, or did not answer, from one that says that objects cannot be read.
// While the API server fails to read them from the store, it calls itself busy, too, and says why.
func passing(err error) bool {
	var status apierrors.APIStatus
	busy := apierrors.IsTooManyRequests(err) || apierrors.IsServiceUnavailable(err) || apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err)
	return !errors.As(err, &status) || busy && !strings.Contains(err.Error(), "failed to list")
}

// maxBrief bounds an error that is kept as evidence, in bytes.
const maxBrief = 300

// brief is the first line of an error.
func brief(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	if len(line) > maxBrief {
		line = strings.ToValidUTF8(line[:maxBrief], "") + "..."
	}
	return line
}
