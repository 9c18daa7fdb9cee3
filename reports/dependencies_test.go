package reports

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every box lies in its lane and in the picture, and covers no other.
func requireTidy(t *testing.T, n *network) {
	t.Helper()
	for i, a := range n.Boxes {
		require.True(t, a.X >= netLabel && a.X+a.W <= n.Width, "%s is beside the picture", a.Text)
		require.NotEmpty(t, a.Text)
		in := 0
		for _, l := range n.Lanes {
			if a.Y >= l.Y && a.Y+netBox <= l.Y+l.H {
				in++
			}
		}
		require.Equal(t, 1, in, "%s is in no lane", a.Text)
		for _, b := range n.Boxes[:i] {
			require.False(t, a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+netBox && b.Y < a.Y+netBox, "%s covers %s", a.Text, b.Text)
		}
	}
	last := n.Lanes[len(n.Lanes)-1]
	require.InDelta(t, n.Height, last.Y+last.H, 0.01)
}

func TestNetwork(t *testing.T) {
	require.Nil(t, newNetwork(&Dependencies{}))

	n := newNetwork(failedReport().Dependencies)
	requireTidy(t, n)
	require.Equal(t, []string{"cluster", "kube-system", "shop"}, []string{n.Lanes[0].Name, n.Lanes[1].Name, n.Lanes[2].Name})
	require.Equal(t, []tick{{netLabel, "missing"}, {netLabel + netMissing, "wave 1"}, {netLabel + netMissing + netColumn, "wave 2"}, {netLabel + netMissing + 2*netColumn, "wave 3"}}, n.Columns)
	classes := map[string]int{}
	for _, l := range n.Links {
		classes[l.Class]++
	}
	require.Equal(t, map[string]int{"": 4, "missing": 1, "before": 1}, classes)

	// Nothing is missing: there is no column for it.
	d := passedReport().Dependencies
	d.Missing = nil
	require.Equal(t, tick{netLabel, "wave 1"}, newNetwork(d).Columns[0])

	// Only missing objects, in more namespaces and with more names than there is room for.
	d = &Dependencies{}
	for i := range 100 {
		for j := range 1 + i%30 {
			d.Missing = append(d.Missing, MissingObject{Object: Object{"ConfigMap", fmt.Sprintf("n%02d", i), fmt.Sprint(j)}, State: "absent", Since: "lost", Referrers: 1})
		}
	}
	n = newNetwork(d)
	requireTidy(t, n)
	require.Len(t, n.Lanes, maxLanes)
	require.Equal(t, 100-maxLanes, n.MoreLanes)

	// Large, and hostile.
	n = newNetwork(largeReport(50_000, 0).Dependencies.bound())
	requireTidy(t, n)
	require.LessOrEqual(t, len(n.Columns), maxColumns+1)
	requireTidy(t, newNetwork(hostileReport().Dependencies))
}

func TestDependenciesAreBounded(t *testing.T) {
	r := largeReport(50_000, 0)
	whole := *r.Dependencies
	shown := text(t, render(t, WriteHTML, r))
	require.Contains(t, shown, fmt.Sprintf("%d objects more were counted above and not listed.", len(whole.Missing)-maxMissing))
	require.Contains(t, shown, "settings-0")
	require.Contains(t, shown, "namespaces more are not drawn.")
	require.Contains(t, shown, fmt.Sprintf("%d waves more.", len(whole.Waves)-maxWaves))
	require.Contains(t, shown, fmt.Sprintf("%d cycles more.", len(whole.Cycles)-maxCycles))
	require.Len(t, r.Dependencies.Missing, len(whole.Missing), "the report itself is left alone")
}

func TestDependenciesInWords(t *testing.T) {
	failed := text(t, render(t, WriteHTML, failedReport()))
	require.Contains(t, failed, "1 object that others refer to is missing since the restore. 1 object was missing before the failure as well.")
	require.Contains(t, failed, "lost ConfigMap shop/feature-flags Deployment shop/checkout spec.template.spec.containers[].envFrom[].configMapRef")
	require.Contains(t, failed, "These need one another, and one has to go first: PersistentVolumeClaim shop/data-orders-0 , StatefulSet shop/orders")
	require.Contains(t, text(t, render(t, WriteHTML, passedReport())), "Nothing that others refer to is missing since the restore.")
	require.Contains(t, text(t, render(t, WriteHTML, unknownReport())), "A census is missing: nothing is known about what the restored objects refer to.")
	require.Contains(t, string(summary(t, failedReport(), false)), "\n  dependencies: 912 references, 1 object missing since the restore, 1 before; restorable in 3 waves\n")
	require.NotContains(t, string(summary(t, unknownReport(), false)), "dependencies")
	require.Equal(t, "Pod 30, Deployment 4, Service 4", RestoreWave{Kinds: map[string]int{"Service": 4, "Deployment": 4, "Pod": 30}}.Content())
	require.False(t, strings.Contains(failed, "ZgotmplZ"))
}
