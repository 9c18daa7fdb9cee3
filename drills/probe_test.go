package drills

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
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

// apiServer answers as one would that knows the token of one key, and refuses every pod on the host's network.
func apiServer(t *testing.T, secret map[string][]byte, key string) *rest.Config {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		status := func(code int, reason metav1.StatusReason, message string) any {
			w.WriteHeader(code)
			return metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: "Failure", Reason: reason, Message: message, Code: int32(code)}
		}
		var answer any
		switch r.URL.Path {
		case "/api":
			answer = map[string]any{"kind": "APIVersions", "versions": []string{"v1"}}
		case "/apis":
			answer = map[string]any{"kind": "APIGroupList", "groups": []any{}}
		case "/api/v1":
			answer = map[string]any{"kind": "APIResourceList", "groupVersion": "v1", "resources": []any{map[string]any{"name": "pods", "kind": "Pod", "namespaced": true}}}
		case "/api/v1/namespaces/shop/secrets/db":
			answer = corev1.Secret{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}, Data: secret}
		case "/openid/v1/jwks":
			answer = map[string]any{"keys": []any{map[string]any{"kid": key}}}
		case "/apis/authentication.k8s.io/v1/selfsubjectreviews":
			if r.Header.Get("Authorization") == "Bearer "+token(key) {
				answer = authenticationv1.SelfSubjectReview{Status: authenticationv1.SelfSubjectReviewStatus{UserInfo: authenticationv1.UserInfo{Username: "build-server"}}}
			} else {
				answer = status(http.StatusUnauthorized, metav1.StatusReasonUnauthorized, "Unauthorized")
			}
		case "/api/v1/namespaces/shop/pods":
			require.Equal(t, "All", r.URL.Query().Get("dryRun"), "nothing is ever created")
			var pod corev1.Pod
			require.NoError(t, json.NewDecoder(r.Body).Decode(&pod))
			if answer = pod; pod.Spec.HostNetwork {
				answer = status(http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, "policy no-host-network denied request")
			}
		default:
			answer = status(http.StatusNotFound, metav1.StatusReasonNotFound, "not found")
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(server.Close)
	return &rest.Config{Host: server.URL, TLSClientConfig: rest.TLSClientConfig{Insecure: true}}
}

// token whose head names a key, as that of a service account does.
func token(key string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","kid":"`+key+`"}`)) + ".body.signature"
}

func TestCreateProbes(t *testing.T) {
	cfg := apiServer(t, nil, "key-a")
	ask := func(refusedBy, kind string, hostNetwork bool) (string, error) {
		p, err := compileProbe(scenarios.Probe{Name: "p", Create: &scenarios.CreateProbe{RefusedBy: refusedBy, Object: map[string]any{
			"apiVersion": "v1", "kind": kind, "metadata": map[string]any{"name": "x", "namespace": "shop"}, "spec": map[string]any{"hostNetwork": hostNetwork},
		}}})
		require.NoError(t, err)
		return p.askCreate(t.Context(), cfg)
	}
	seen, err := ask("no-host-network", "Pod", true)
	require.NoError(t, err)
	require.Equal(t, "Pod shop/x is refused: policy no-host-network denied request", seen)
	seen, err = ask("", "Pod", false)
	require.NoError(t, err)
	require.Equal(t, "Pod shop/x is admitted", seen)
	_, err = ask("no-host-network", "Pod", false)
	require.EqualError(t, err, "Pod shop/x is admitted, and has to be refused by no-host-network")
	_, err = ask("no-privilege", "Pod", true)
	require.EqualError(t, err, "Pod shop/x is refused, and not by no-privilege: policy no-host-network denied request")
	_, err = ask("", "Pod", true)
	require.EqualError(t, err, "Pod shop/x is refused: policy no-host-network denied request")
	_, err = ask("no-host-network", "Gadget", true)
	require.ErrorContains(t, err, `no matches for kind "Gadget"`, "what cannot be asked is not refused")
	cfg = &rest.Config{Host: "https://127.0.0.1:1"}
	_, err = ask("connect", "Pod", true)
	require.ErrorContains(t, err, "connection refused", "silence is no refusal, whatever its words")
}

func TestLoginProbes(t *testing.T) {
	p, err := compileProbe(scenarios.Probe{Name: "p", Login: &scenarios.LoginProbe{Namespace: "shop", Secret: "db", Key: "password"}})
	require.NoError(t, err)
	before, after := apiServer(t, map[string][]byte{"password": []byte("correct horse")}, ""), apiServer(t, map[string][]byte{"password": []byte("battery staple")}, "")
	for range 2 {
		seen, err := p.askLogin(t.Context(), before)
		require.NoError(t, err)
		require.Equal(t, "key password of Secret shop/db logs in", seen)
	}
	_, err = p.askLogin(t.Context(), after)
	require.EqualError(t, err, "the login is refused: key password of Secret shop/db is not what was in force when the cluster was lost")
	_, err = p.askLogin(t.Context(), apiServer(t, map[string][]byte{"user": []byte("x")}, ""))
	require.EqualError(t, err, "no key password in Secret shop/db")
	p.held = nil // as learn does
	_, err = p.askLogin(t.Context(), after)
	require.NoError(t, err)
}

func TestTokenProbes(t *testing.T) {
	p, err := compileProbe(scenarios.Probe{Name: "p", Token: &scenarios.TokenProbe{Namespace: "shop", Secret: "db"}})
	require.NoError(t, err)
	_, err = p.askToken(t.Context(), apiServer(t, nil, "key-a"))
	require.EqualError(t, err, "no key token in Secret shop/db")
	given := map[string][]byte{"token": []byte(token("key-a"))}
	seen, err := p.askToken(t.Context(), apiServer(t, given, "key-a"))
	require.NoError(t, err)
	require.Equal(t, "the token that Secret shop/db held before the failure lets build-server in", seen)
	_, err = p.askToken(t.Context(), apiServer(t, map[string][]byte{"token": []byte(token("key-b"))}, "key-b"))
	require.EqualError(t, err, "the token that Secret shop/db held before the failure is refused: the API server does not know the key that it was signed "+
		"with: service-account key key-a (it knows key-b)", "the client has the token that it was given, and not the new one")
	require.NotContains(t, err.Error(), token("key-a"))

	p.held = []byte(token("key-a") + "revoked")
	_, err = p.askToken(t.Context(), apiServer(t, given, "key-a"))
	require.EqualError(t, err, "the token that Secret shop/db held before the failure is refused: Unauthorized")
}

func TestSigners(t *testing.T) {
	client := kubernetes.NewForConfigOrDie(apiServer(t, nil, "key-a"))
	require.NoError(t, knowsSigner(t.Context(), client, token("key-a")))
	require.True(t, isFinal(knowsSigner(t.Context(), client, token("key-b"))))
	// What cannot be told is not final.
	for given, says := range map[string]string{
		"%":                            "read the head of a token: it is not base64url",
		token(""):                      "read the head of a token: it names no key",
		"bm8ganNvbg.rest.of-the-token": "read the head of a token: it names no key",
	} {
		err := knowsSigner(t.Context(), client, given)
		require.EqualError(t, err, says)
		require.False(t, isFinal(err))
	}
	nobody := kubernetes.NewForConfigOrDie(&rest.Config{Host: "https://127.0.0.1:1"})
	err := knowsSigner(t.Context(), nobody, token("key-b"))
	require.ErrorContains(t, err, "list the API server's service-account keys: ")
	require.False(t, isFinal(err))
}

func TestThePollTellsTheLastAnswerBeforeItsEnd(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	n := 0
	err := poll(ctx, func() error {
		if n++; n == 1 {
			return errors.New("no available replica")
		}
		cancel(errors.New("not restored in time"))
		return ctx.Err()
	})
	require.EqualError(t, err, "not restored in time: no available replica")
	err = poll(t.Context(), func() error { return fmt.Errorf("a token is refused: %w", finalError{errors.New("unknown key")}) })
	require.EqualError(t, err, "a token is refused: unknown key", "no waiting changes that")
}
