package checks

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/internal/census"
)

// TestReadinessOfReplicaSets judges those that somebody made himself, and leaves a Deployment's to the Deployment: a roll-out has each have fewer pods than
// it had, and nothing is missing.
func TestReadinessOfReplicaSets(t *testing.T) {
	read := func(owners string) (workload, bool) {
		return readWorkload(&census.Entry{
			Key: "apps/replicasets/shop/web-1", Version: "v1", Namespace: "shop", Name: "web-1",
			Object: []byte(`{"metadata":{"name":"web-1","ownerReferences":[` + owners + `]},"spec":{"replicas":2},"status":{"readyReplicas":1}}`),
		})
	}
	alone, judged := read("")
	require.True(t, judged)
	require.Equal(t, "1 of 2 ready", alone.String())
	_, judged = read(`{"kind":"ConfigMap","name":"owner"}`)
	require.True(t, judged, "an owner that is no controller moves no pods")
	_, judged = read(`{"kind":"Deployment","name":"web","controller":true}`)
	require.False(t, judged)
	_, judged = read(`{"kind":"Rollout","name":"web","controller":true}`)
	require.True(t, judged, "nobody judges whatever else controls it")
	_, judged = readWorkload(&census.Entry{Key: "/pods/kube-system/etcd-a", Object: []byte(`{"metadata":{"annotations":{"kubernetes.io/config.mirror":"x"}}}`)})
	require.False(t, judged, "a static pod's mirror")
}
