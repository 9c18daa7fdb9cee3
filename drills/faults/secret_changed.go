package faults

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// SecretChanged is a Secret with another value than before, as after a rotation that the backup missed: logins fail, and the report must say so
// without saying what the value is.
type SecretChanged struct {
	// Namespace of the Secret; default shop.
	Namespace string `json:"namespace,omitempty"`
	// Secret is its name; default orders-db.
	Secret string `json:"name,omitempty"`
	// Key within the Secret; default password.
	Key string `json:"key,omitempty"`
}

// substitute is the new value. It is no secret.
const substitute = "substituted-by-restore-drill"

// Name in the catalogue.
func (*SecretChanged) Name() string { return "secret-changed" }

// Strikes the restored cluster.
func (*SecretChanged) Strikes() Target { return Restored }

// Destroys in one sentence.
func (f *SecretChanged) Destroys() string {
	return fmt.Sprintf("The value of key %s of Secret %s/%s in the restored cluster is replaced.", f.Key, f.Namespace, f.Secret)
}

// Inject patches the Secret.
func (f *SecretChanged) Inject(ctx context.Context, s *Scene) error {
	client, err := s.restored()
	if err != nil {
		return err
	}
	return substituteValue(ctx, client, f.Namespace, f.Secret, f.Key)
}

// Visible when the Secret has the new value.
func (f *SecretChanged) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	client, err := s.restored()
	if err != nil {
		return Sighting{}, err
	}
	return substituted(ctx, client, f.Namespace, f.Secret, f.Key)
}

func substituteValue(ctx context.Context, client kubernetes.Interface, namespace, name, key string) error {
	patch, err := json.Marshal(map[string]any{"stringData": map[string]string{key: substitute}})
	if err != nil {
		return err
	}
	_, err = client.CoreV1().Secrets(namespace).Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

func substituted(ctx context.Context, client kubernetes.Interface, namespace, name, key string) (Sighting, error) {
	where := fmt.Sprintf("key %s of Secret %s/%s", key, namespace, name)
	secret, err := client.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && secret.Data[key] == nil {
		return Sighting{}, fmt.Errorf("%s is not there: it has no value to change", where)
	}
	if err != nil {
		return Sighting{}, err
	}
	if string(secret.Data[key]) != substitute {
		return Sighting{Detail: where + " has a value of its own"}, nil
	}
	return Sighting{Visible: true, Detail: where + " has the substituted value"}, nil
}
