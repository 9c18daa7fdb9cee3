package faults

import (
	"context"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RoleBindingRevoked is a privilege that is taken away after the backup: a contractor leaves, a token leaks. A restore is a way back in time, and
// gives it back.
type RoleBindingRevoked struct {
	// Namespace of the binding; default vault.
	Namespace string `json:"namespace,omitempty"`
	// Binding is the name of the RoleBinding; default contractor.
	Binding string `json:"name,omitempty"`
	// User whom it grants the privilege; default contractor.
	User string `json:"user,omitempty"`
	// Verb of the privilege; default get.
	Verb string `json:"verb,omitempty"`
	// Resource of the privilege, in the core group; default secrets.
	Resource string `json:"resource,omitempty"`
}

// Name in the catalogue.
func (*RoleBindingRevoked) Name() string { return "rolebinding-revoked" }

// Strikes the source cluster, and breaks nothing there.
func (*RoleBindingRevoked) Strikes() Target { return Change }

// Destroys in one sentence.
func (f *RoleBindingRevoked) Destroys() string {
	return fmt.Sprintf("RoleBinding %s/%s is deleted after the backup: user %s may no longer %s %s there.", f.Namespace, f.Binding, f.User, f.Verb, f.Resource)
}

// Inject deletes the binding.
func (f *RoleBindingRevoked) Inject(ctx context.Context, s *Scene) error {
	client, err := s.source()
	if err != nil {
		return err
	}
	return client.RbacV1().RoleBindings(f.Namespace).Delete(ctx, f.Binding, metav1.DeleteOptions{})
}

// Visible when the binding is gone and the authorizer, which learns of that a little later, says no.
func (f *RoleBindingRevoked) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	client, err := s.source()
	if err != nil {
		return Sighting{}, err
	}
	review, err := client.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:               f.User,
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: f.Namespace, Verb: f.Verb, Resource: f.Resource},
	}}, metav1.CreateOptions{})
	if err != nil {
		return Sighting{}, err
	}
	_, err = client.RbacV1().RoleBindings(f.Namespace).Get(ctx, f.Binding, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return Sighting{}, err
	}
	may := map[bool]string{true: "may", false: "may not"}[review.Status.Allowed]
	return Sighting{
		Visible: err != nil && !review.Status.Allowed,
		Detail:  fmt.Sprintf("user %s %s %s %s in %s", f.User, may, f.Verb, f.Resource, f.Namespace),
	}, nil
}
