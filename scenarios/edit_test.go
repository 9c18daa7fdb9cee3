package scenarios

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestEdit(t *testing.T) {
	const text = `# yaml-language-server: $schema=x
apiVersion: restoredrill.io/v1alpha1
kind: Scenario
metadata: {name: x}
spec:
  # what must hold
  objectives:
    rto: 30s # soon
  backup: {method: etcd}
  faults:
    - name: nothing
`
	zero := 0
	for path, c := range map[string]struct {
		value any
		want  func(*Scenario) bool
		text  string
	}{
		"spec.objectives.rto":       {Duration{time.Minute}, func(s *Scenario) bool { return s.Spec.Objectives.RTO.Duration == time.Minute }, "  # what must hold\n  objectives:\n    rto: 1m # soon\n"},
		"spec.objectives":           {Objectives{LostWrites: &zero}, func(s *Scenario) bool { return s.Spec.Objectives.RTO == nil && *s.Spec.Objectives.LostWrites == 0 }, "    lostWrites: 0\n"},
		"spec.seed.objects":         {7, func(s *Scenario) bool { return *s.Spec.Seed.Objects == 7 }, "  seed:\n    objects: 7\n"},
		"spec.seed.workloads":       {[]string{}, func(s *Scenario) bool { return len(s.Spec.Seed.Workloads) == 0 && s.Spec.Seed.Workloads != nil }, "workloads: []"},
		"spec.backup.velero.x.y":    {1, nil, "velero: {x: {y: 1}}"},
		"metadata.labels.team":      {"shop: a", func(s *Scenario) bool { return s.Metadata.Labels["team"] == "shop: a" }, "team: 'shop: a'"},
		"spec.objectives.lostWrite": {3, nil, ""},
	} {
		out, err := Edit([]byte(text), path, c.value)
		require.NoError(t, err, path)
		require.Contains(t, string(out), "# yaml-language-server: $schema=x\n", path)
		require.Contains(t, string(out), c.text, path)
		parsed, err := Parse("x", out, Vocabulary{})
		if c.want == nil {
			require.Error(t, err, "%s: a mistake in what was set is found as one in a file is", path)
			continue
		}
		require.NoError(t, err, "%s\n%s", path, out)
		require.True(t, c.want(parsed), "%s\n%s", path, out)
	}
	_, err := Edit([]byte(text), "spec.faults.name", "x")
	require.EqualError(t, err, "set spec.faults.name: line 11 is no map that could hold name")
	_, err = Edit(nil, "spec", 1)
	require.EqualError(t, err, "set spec: the scenario is empty")
	_, err = Edit([]byte("a: b: c"), "spec", 1)
	require.ErrorContains(t, err, "set spec: yaml: ")
}
