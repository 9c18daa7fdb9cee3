package watchcache

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/internal/evidence"
)

func TestCompare(t *testing.T) {
	before := keys{100, map[string]int64{"shop/same": 10, "shop/written": 20, "shop/deleted": 30, "shop/unlisted": 40, "shop/stale": 50}}
	after := keys{110, map[string]int64{"shop/same": 10, "shop/written": 105, "shop/unlisted": 40, "shop/stale": 50, "shop/made": 108, "shop/unseen": 109}}
	listed := map[string]int64{
		"shop/same": 10, "shop/written": 103, "shop/deleted": 30, "shop/made": 108,
		"shop/brief":  107, // made and deleted in between
		"shop/stale":  45,
		"shop/ghost":  60,
		"shop/future": 300, // of a store that was further
	}
	require.Equal(t, evidence.StoreList{
		Resource: "configmaps", Listed: 8, Stored: 6,
		Phantom: []string{"configmaps/shop/future at revision 300", "configmaps/shop/ghost at revision 60"},
		Missing: []string{"configmaps/shop/unlisted, at revision 40"},
		Stale:   []string{"configmaps/shop/stale at revision 45, is at 50"},
	}, compare("configmaps", before, after, listed))

	healthy := map[string]int64{"same": 10}
	require.Equal(t, evidence.StoreList{Resource: "secrets", Listed: 1, Stored: 1, Phantom: []string{}, Missing: []string{}, Stale: []string{}},
		compare("secrets", keys{5, healthy}, keys{5, healthy}, healthy))
}
