package access_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/internal/access"
	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/internal/toolchain"
)

// TestTheAuthorizerIsAsked reads a real cluster before and after bindings change.
func TestTheAuthorizerIsAsked(t *testing.T) {
	dir := t.TempDir()
	provider := clusters.NewProcess(clusters.ProcessOptions{Toolchain: toolchain.New(toolchain.Options{}), StateRoot: t.TempDir()})
	cluster, err := provider.Create(t.Context(), clusters.Spec{Name: "source", DrillID: "access", LogDir: filepath.Join(dir, "logs"), EtcdMembers: 1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cluster.Delete(t.Context())) })
	require.NoError(t, cluster.Start(t.Context(), nil))
	client, err := kubernetes.NewForConfig(cluster.Config())
	require.NoError(t, err)
	ctx := t.Context()

	rules := func(name string) map[evidence.AccessRule]bool {
		require.NoError(t, access.Read(ctx, cluster.Config(), filepath.Join(dir, name)))
		lines, err := evidence.ReadLines[evidence.AccessRule](dir, name)
		require.NoError(t, err)
		end := lines[len(lines)-1]
		require.True(t, end.End)
		set := map[evidence.AccessRule]bool{}
		for _, line := range lines[:len(lines)-1] {
			set[line] = true
		}
		require.Len(t, set, len(lines)-1, "a line is there twice")
		return set
	}
	before := rules("before")
	require.True(t, before[evidence.AccessRule{Subject: "Group:system:masters", Namespace: "default", Rule: "* *.*"}])
	require.True(t, before[evidence.AccessRule{Subject: "Group:system:authenticated", Namespace: "default", Rule: "create selfsubjectreviews.authentication.k8s.io"}])
	require.Equal(t, before, rules("again"), "nothing changed, so nothing may differ")

	_, err = client.RbacV1().Roles("kube-system").Create(ctx, &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: "scaler"},
		Rules:      []rbacv1.PolicyRule{{Verbs: []string{"get", "update"}, APIGroups: []string{"apps"}, Resources: []string{"deployments/scale"}, ResourceNames: []string{"web"}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	for name, role := range map[string]string{"scalers": "scaler", "dangling": "not-there"} {
		_, err = client.RbacV1().RoleBindings("kube-system").Create(ctx, &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: name}},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	want := evidence.AccessRule{Subject: "ServiceAccount:kube-system/scalers", Namespace: "kube-system", Rule: "update deployments.apps/scale named web"}
	require.False(t, before[want])
	after := rules("after")
	require.True(t, after[want])
	require.True(t, after[evidence.AccessRule{Subject: "ServiceAccount:kube-system/dangling", Namespace: "kube-system",
		Rule: `unresolved: role.rbac.authorization.k8s.io "not-there" not found`}], "what cannot be resolved is told")
	for rule := range before {
		require.True(t, after[rule], "%v was lost", rule)
	}
}

func TestNoFileIsLeftOfAFailure(t *testing.T) {
	provider := clusters.NewProcess(clusters.ProcessOptions{Toolchain: toolchain.New(toolchain.Options{}), StateRoot: t.TempDir()})
	cluster, err := provider.Create(t.Context(), clusters.Spec{Name: "source", DrillID: "access", LogDir: t.TempDir(), EtcdMembers: 1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cluster.Delete(t.Context())) })
	file := filepath.Join(t.TempDir(), "access.jsonl")
	require.ErrorContains(t, access.Read(t.Context(), cluster.Config(), file), "list cluster role bindings")
	require.NoFileExists(t, file)
}
