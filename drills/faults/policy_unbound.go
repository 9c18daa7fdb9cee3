package faults

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// PolicyUnbound is an admission policy without its binding: the rule is there for everyone to see, and refuses nothing. A restore that brings one
// and not the other looks complete.
type PolicyUnbound struct {
	// Binding is the name of the ValidatingAdmissionPolicyBinding; default no-host-network.
	Binding string `json:"binding,omitempty"`
	// Forbidden is an object, as in a manifest, that the policy refuses while it is bound; default a Pod on the host's network, in namespace guarded.
	Forbidden map[string]any `json:"forbidden,omitempty"`
}

// onHostNetwork is what the policy of the workload set admission forbids.
func onHostNetwork() map[string]any {
	return map[string]any{
		"apiVersion": "v1", "kind": "Pod",
		"metadata": map[string]any{"name": "on-the-host", "namespace": "guarded"},
		"spec": map[string]any{
			"hostNetwork": true,
			"containers":  []any{map[string]any{"name": "main", "image": "pause:3.10"}},
		},
	}
}

// Name in the catalogue.
func (*PolicyUnbound) Name() string { return "policy-unbound" }

// Strikes the restored cluster.
func (*PolicyUnbound) Strikes() Target { return Restored }

// Destroys in one sentence.
func (f *PolicyUnbound) Destroys() string {
	return fmt.Sprintf("ValidatingAdmissionPolicyBinding %s is deleted from the restored cluster.", f.Binding)
}

// Inject deletes the binding.
func (f *PolicyUnbound) Inject(ctx context.Context, s *Scene) error {
	client, err := s.restored()
	if err != nil {
		return err
	}
	return client.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Delete(ctx, f.Binding, metav1.DeleteOptions{})
}

// Visible when the forbidden object is admitted, which the API server learns a little later than that the binding is gone.
func (f *PolicyUnbound) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	object := &unstructured.Unstructured{Object: f.Forbidden}
	objects, err := s.objects(object.GetAPIVersion(), object.GetKind(), object.GetNamespace())
	if err != nil {
		return Sighting{}, err
	}
	what := place(object.GetKind(), object.GetNamespace(), object.GetName())
	_, err = objects.Create(ctx, object.DeepCopy(), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err == nil {
		return Sighting{Visible: true, Detail: what + " is admitted"}, nil
	}
	return Sighting{Detail: what + " is not admitted: " + brief(err)}, nil
}
