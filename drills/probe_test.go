package drills

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"

	"github.com/restore-drill/restore-drill/scenarios"
)

func TestCommandProbes(t *testing.T) {
	ask := func(ctx context.Context, script string) (string, error) {
		p := &probe{Probe: scenarios.Probe{Name: "p", Command: &scenarios.CommandProbe{Argv: []string{"sh", "-c", script}}}}
		return p.askCommand(ctx, "/some/kubeconfig")
	}
	seen, err := ask(t.Context(), `test "$KUBECONFIG" = /some/kubeconfig && echo secret`)
	require.NoError(t, err)
	require.Contains(t, seen, "exit code 0 (7 bytes of output)")
	require.NotContains(t, seen, "\n", "the output itself is not kept")
	_, err = ask(t.Context(), "exit 3")
	require.ErrorContains(t, err, `["sh","-c","exit 3"]: exit status 3`)

	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(50*time.Millisecond, func() { cancel(errors.New("interrupted")) })
	_, err = ask(ctx, "sleep 600 & sleep 600")
	require.ErrorContains(t, err, "interrupted", "neither the command nor its child is waited for")
}

func TestCELProbes(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		deployment := map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "web", "namespace": "shop"}, "spec": map[string]any{"replicas": 3}}
		answer := map[string]any{
			"/api":          map[string]any{"kind": "APIVersions", "versions": []string{"v1"}},
			"/apis":         map[string]any{"kind": "APIGroupList", "groups": []any{map[string]any{"name": "apps", "versions": []any{map[string]any{"groupVersion": "apps/v1", "version": "v1"}}}}},
			"/api/v1":       map[string]any{"kind": "APIResourceList", "groupVersion": "v1"},
			"/apis/apps/v1": map[string]any{"kind": "APIResourceList", "groupVersion": "apps/v1", "resources": []any{map[string]any{"name": "deployments", "kind": "Deployment", "namespaced": true}}},
			"/apis/apps/v1/namespaces/shop/deployments/web": deployment,
			"/apis/apps/v1/namespaces/shop/deployments":     map[string]any{"apiVersion": "apps/v1", "kind": "DeploymentList", "items": []any{deployment}},
		}[r.URL.Path]
		w.Header().Set("Content-Type", "application/json")
		if answer == nil {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	defer server.Close()
	ask := func(name, expression string) (string, error) {
		p, err := compileProbe(scenarios.Probe{Name: "p", CEL: &scenarios.CELProbe{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: name, Expression: expression}})
		require.NoError(t, err)
		return p.askCEL(t.Context(), &rest.Config{Host: server.URL})
	}
	_, err := ask("web", "object.spec.replicas == 3")
	require.NoError(t, err)
	_, err = ask("", "items.size() == 1 && items.all(d, d.spec.replicas == 3)")
	require.NoError(t, err)
	_, err = ask("web", "object.spec.replicas == 4")
	require.EqualError(t, err, "object.spec.replicas == 4 gives false")
	_, err = ask("web", "object.status.readyReplicas == 3")
	require.ErrorContains(t, err, "no such key: status")
	_, err = ask("web", "object.metadata.name")
	require.EqualError(t, err, "object.metadata.name gives a string, want a bool", "a value is never repeated: it may be a Secret's")
	_, err = ask("gone", "object.spec.replicas == 3")
	require.ErrorContains(t, err, "could not find")
	require.EqualError(t, CheckCEL("object.spec.replicas + 1"), "expression gives int, want bool")
	require.ErrorContains(t, CheckCEL("objekt.spec"), "undeclared reference to 'objekt'")
}
