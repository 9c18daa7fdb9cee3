package checks

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/internal/census"
	"github.com/restore-drill/restore-drill/reports"
)

// A new version extends its roles and brings bindings; it takes nobody out of a binding, and touches no role of a user's.
func TestVersionRules(t *testing.T) {
	const before, after = `{"metadata": {"labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}}, "rules": [1], "subjects": [1, 2]}`,
		`{"metadata": {"labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}}, "rules": [1, 2], "subjects": [1, 2]}`
	const fewer = `{"metadata": {"labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}}, "rules": [1], "subjects": [1]}`
	for _, test := range []struct {
		what, resource, before, after, rule string
	}{
		{"role extended", "clusterroles", before, after, "version-roles"},
		{"role new", "clusterroles", "", after, "version-roles"},
		{"role lost", "clusterroles", before, "", ""},
		{"role of a user", "clusterroles", `{"rules": [1]}`, `{"rules": [1, 2]}`, ""},
		{"binding new", "clusterrolebindings", "", after, "version-roles"},
		{"binding lost", "clusterrolebindings", before, "", ""},
		{"subject lost", "clusterrolebindings", before, fewer, ""},
	} {
		t.Run(test.what, func(t *testing.T) {
			entry := func(object string) *census.Entry {
				if object == "" {
					return nil
				}
				return &census.Entry{Key: "rbac.authorization.k8s.io/" + test.resource + "//a", Version: "v1", Name: "a", Object: json.RawMessage(object)}
			}
			c := comparison{profile: etcdProfile.with(versionRules...), rows: map[string]*reports.KindRow{}, expectedBefore: map[string]int{}, losses: map[string]int{}}
			c.add(entry(test.before), entry(test.after))
			if test.rule == "" {
				require.Len(t, c.unexpected, 1, "%+v", c.expected)
				return
			}
			require.Empty(t, c.unexpected)
			require.Equal(t, test.rule, c.expected[0].Rule)
		})
	}
}
