// Package apis knows which of the APIs that a cluster serves are gone in another version of Kubernetes.
package apis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/restore-drill/restore-drill/internal/evidence"
)

// Removed lists the resources that a cluster serves in a version that the release `to` of Kubernetes does not, by what Kubernetes says of its
// own types (APILifecycleRemoved, in k8s.io/api). APIs of others, custom resources among them, do not depend on the release.
func Removed(ctx context.Context, served discovery.DiscoveryInterface, to string) ([]evidence.RemovedAPI, error) {
	release, err := version.ParseGeneric(to)
	if err != nil {
		return nil, fmt.Errorf("list APIs that are gone in %s: %w", to, err)
	}
	_, lists, err := served.ServerGroupsAndResources()
	if err := errors.Join(context.Cause(ctx), err); err != nil {
		return nil, fmt.Errorf("list APIs that are gone in %s: %w", to, err)
	}
	removed := []evidence.RemovedAPI{}
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, fmt.Errorf("list APIs that are gone in %s: %w", to, err)
		}
		for _, resource := range list.APIResources {
			if strings.Contains(resource.Name, "/") {
				continue // goes with what it is part of
			}
			if api, gone := removedIn(gv.WithKind(resource.Kind), release); gone {
				api.Resource = resource.Name
				removed = append(removed, api)
			}
		}
	}
	slices.SortFunc(removed, func(a, b evidence.RemovedAPI) int {
		return strings.Compare(a.GroupVersion+"/"+a.Resource, b.GroupVersion+"/"+b.Resource)
	})
	return removed, nil
}

// removedIn tells whether a release has done without the kind.
func removedIn(gvk schema.GroupVersionKind, release *version.Version) (evidence.RemovedAPI, bool) {
	o, err := scheme.Scheme.New(gvk)
	if err != nil {
		return evidence.RemovedAPI{}, false
	}
	mortal, ok := o.(interface{ APILifecycleRemoved() (major, minor int) })
	if !ok {
		return evidence.RemovedAPI{}, false
	}
	major, minor := mortal.APILifecycleRemoved()
	if release.LessThan(version.MajorMinor(uint(major), uint(minor))) {
		return evidence.RemovedAPI{}, false
	}
	api := evidence.RemovedAPI{GroupVersion: gvk.GroupVersion().String(), Kind: gvk.Kind, Removed: fmt.Sprintf("v%d.%d", major, minor)}
	if replaced, ok := o.(interface {
		APILifecycleReplacement() schema.GroupVersionKind
	}); ok {
		api.Replacement = replaced.APILifecycleReplacement().GroupVersion().String()
	}
	return api, true
}
