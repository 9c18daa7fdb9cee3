package access_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"

	"github.com/restore-drill/restore-drill/internal/access"
	"github.com/restore-drill/restore-drill/internal/evidence"
)

// An authorizer that cannot list every rule (a webhook, say) gives no evidence: two incomplete lists may well be the same.
func TestAnIncompleteAnswerIsNone(t *testing.T) {
	for _, tc := range []struct{ status, want string }{
		{`{"resourceRules":[],"nonResourceRules":[],"incomplete":true,"evaluationError":"webhook authorizer does not support user rule resolution"}`,
			"the authorizer lists only a part of the rules: webhook authorizer does not support user rule resolution"},
		{`{"incomplete":true}`, "the authorizer lists only a part of the rules: it gives no reason"},
		{`{"resourceRules":[{"verbs":["get"],"apiGroups":[""],"resources":["pods"]}],"evaluationError":"[role \"b\" not found, role \"a\" not found]"}`, ""},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			switch {
			case strings.HasSuffix(r.URL.Path, "/clusterrolebindings"):
				_, _ = io.WriteString(w, `{"kind":"ClusterRoleBindingList","apiVersion":"rbac.authorization.k8s.io/v1","items":[]}`)
			case strings.HasSuffix(r.URL.Path, "/rolebindings"):
				_, _ = io.WriteString(w, `{"kind":"RoleBindingList","apiVersion":"rbac.authorization.k8s.io/v1","items":[]}`)
			default:
				w.WriteHeader(http.StatusCreated)
				_, _ = fmt.Fprintf(w, `{"kind":"SelfSubjectRulesReview","apiVersion":"authorization.k8s.io/v1","status":%s}`, tc.status)
			}
		}))
		t.Cleanup(server.Close)
		dir := t.TempDir()
		err := access.Read(t.Context(), &rest.Config{Host: server.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json"}}, filepath.Join(dir, "access"))
		if tc.want != "" {
			require.ErrorContains(t, err, tc.want)
			require.NoFileExists(t, filepath.Join(dir, "access"))
			continue
		}
		require.NoError(t, err)
		lines, err := evidence.ReadLines[evidence.AccessRule](dir, "access")
		require.NoError(t, err)
		for i, rule := range []string{"get pods", `unresolved: role "a" not found`, `unresolved: role "b" not found`} {
			require.Equal(t, evidence.AccessRule{Subject: "Group:system:authenticated", Namespace: "default", Rule: rule}, lines[i])
		}
	}
}
