package apis

import (
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/restore-drill/restore-drill/internal/evidence"
)

func TestRemoved(t *testing.T) {
	served := &fake.FakeDiscovery{Fake: &clienttesting.Fake{}}
	served.Resources = []*metav1.APIResourceList{
		{GroupVersion: "v1", APIResources: []metav1.APIResource{{Name: "pods", Kind: "Pod"}, {Name: "pods/status", Kind: "Pod"}}},
		{GroupVersion: "flowcontrol.apiserver.k8s.io/v1", APIResources: []metav1.APIResource{{Name: "flowschemas", Kind: "FlowSchema"}}},
		{GroupVersion: "flowcontrol.apiserver.k8s.io/v1beta3", APIResources: []metav1.APIResource{
			{Name: "flowschemas", Kind: "FlowSchema"}, {Name: "flowschemas/status", Kind: "FlowSchema"},
		}},
		{GroupVersion: "shop.example.com/v1beta1", APIResources: []metav1.APIResource{{Name: "widgets", Kind: "Widget"}}},
	}
	removed, err := Removed(t.Context(), served, "v1.31.9")
	require.NoError(t, err)
	require.Empty(t, removed)
	removed, err = Removed(t.Context(), served, "v1.32.0")
	require.NoError(t, err)
	require.Equal(t, []evidence.RemovedAPI{{
		GroupVersion: "flowcontrol.apiserver.k8s.io/v1beta3", Kind: "FlowSchema", Resource: "flowschemas", Removed: "v1.32",
		Replacement: "flowcontrol.apiserver.k8s.io/v1",
	}}, removed)
	_, err = Removed(t.Context(), served, "latest")
	require.ErrorContains(t, err, "list APIs that are gone in latest")
}
