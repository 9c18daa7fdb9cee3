package faults

import (
	"context"
	"fmt"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RoleBindingAdded is a privilege that was not there before: a binding that had been revoked comes back with an old backup, or somebody makes one
// while everybody looks at the restore.
type RoleBindingAdded struct {
	// Namespace in which the privilege appears; default shop.
	Namespace string `json:"namespace,omitempty"`
	// Role that is granted, a ClusterRole; default admin.
	Role string `json:"role,omitempty"`
	// Subject that gets it, a user; default intruder.
	Subject string `json:"subject,omitempty"`
}

// Name in the catalogue.
func (*RoleBindingAdded) Name() string { return "rolebinding-added" }

// Strikes the restored cluster.
func (*RoleBindingAdded) Strikes() Target { return Restored }

// Destroys in one sentence.
func (f *RoleBindingAdded) Destroys() string {
	return fmt.Sprintf("Nothing; user %s is granted ClusterRole %s in namespace %s of the restored cluster.", f.Subject, f.Role, f.Namespace)
}

// Inject creates the binding.
func (f *RoleBindingAdded) Inject(ctx context.Context, s *Scene) error {
	client, err := s.restored()
	if err != nil {
		return err
	}
	_, err = client.RbacV1().RoleBindings(f.Namespace).Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "added-"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: f.Subject}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: f.Role},
	}, metav1.CreateOptions{})
	return err
}

// Visible when a binding grants the role.
func (f *RoleBindingAdded) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	client, err := s.restored()
	if err != nil {
		return Sighting{}, err
	}
	bindings, err := client.RbacV1().RoleBindings(f.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return Sighting{}, err
	}
	for _, b := range bindings.Items {
		if b.RoleRef.Kind != "ClusterRole" || b.RoleRef.Name != f.Role {
			continue
		}
		for _, subject := range b.Subjects {
			if subject.Kind == rbacv1.UserKind && subject.Name == f.Subject {
				return Sighting{Visible: true, Detail: fmt.Sprintf("RoleBinding %s/%s grants %s to user %s", f.Namespace, b.Name, f.Role, f.Subject)}, nil
			}
		}
	}
	return Sighting{Detail: fmt.Sprintf("no RoleBinding in %s grants %s to user %s", f.Namespace, f.Role, f.Subject)}, nil
}
