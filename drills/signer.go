package drills

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/client-go/kubernetes"
)

// knowsSigner tells whether the API server knows the service-account key that a token was signed with, by the key IDs that stand in the token
// and in the API server's own list. A nil error says that it does, and a final one that it does not: its keys do not change while it runs.
func knowsSigner(ctx context.Context, client kubernetes.Interface, token string) error {
	head, _, _ := strings.Cut(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		return errors.New("read the head of a token: it is not base64url")
	}
	var signed, known struct {
		ID   string `json:"kid"`
		Keys []struct {
			ID string `json:"kid"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(raw, &signed); err != nil || signed.ID == "" {
		return errors.New("read the head of a token: it names no key")
	}
	list, err := client.Discovery().RESTClient().Get().AbsPath("/openid/v1/jwks").DoRaw(ctx)
	if err != nil {
		return fmt.Errorf("list the API server's service-account keys: %w", err)
	}
	if err := json.Unmarshal(list, &known); err != nil {
		return fmt.Errorf("list the API server's service-account keys: %w", err)
	}
	var ids []string
	for _, key := range known.Keys {
		ids = append(ids, key.ID)
	}
	if len(ids) == 0 {
		return errors.New("list the API server's service-account keys: it names none")
	}
	if !slices.Contains(ids, signed.ID) {
		return finalError{fmt.Errorf("the API server does not know the key that it was signed with: service-account key %s (it knows %s)",
			signed.ID, strings.Join(ids, ", "))}
	}
	return nil
}
