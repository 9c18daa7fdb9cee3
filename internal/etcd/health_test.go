package etcd

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func TestHealth(t *testing.T) {
	servers, endpoints := startMembers(t, 1)
	require.NoError(t, Fragment(t.Context(), endpoints, nil, 8))
	const nobody = "http://127.0.0.1:1"
	h, err := Health(t.Context(), append(endpoints, nobody), nil)
	require.NoError(t, err)
	require.Equal(t, servers[0].Server.Cluster().ID().String(), h.ClusterID)
	require.Empty(t, h.Alarms)
	require.Equal(t, servers[0].Server.MemberID().String(), h.Members[0].ID)
	require.Empty(t, h.Members[0].Error)
	require.GreaterOrEqual(t, h.Members[0].Bytes, int64(8<<20), "the ballast's pages stay in the file")
	require.ErrorContains(t, ExhaustQuota(t.Context(), endpoints, nil), "the store still takes writes: its quota is not used up")
	require.Contains(t, h.Members[1].Error, "connection refused")
	left, err := connect(t, endpoints).Get(t.Context(), ballast, clientv3.WithPrefix(), clientv3.WithCountOnly())
	require.NoError(t, err)
	require.Zero(t, left.Count)
}

// TestDifferentMembers are told from like ones, however they came to differ.
func TestDifferentMembers(t *testing.T) {
	_, endpoints := startMembers(t, 1)
	client := connect(t, endpoints)
	older, newer := filepath.Join(t.TempDir(), "older.db"), filepath.Join(t.TempDir(), "newer.db")
	require.NoError(t, PutProbe(t.Context(), endpoints, nil))
	_, err := Snapshot(t.Context(), endpoints[0], nil, older)
	require.NoError(t, err)
	put(t, client, "a", "1")
	_, err = Snapshot(t.Context(), endpoints[0], nil, newer)
	require.NoError(t, err)

	for name, test := range map[string]struct {
		last string
		then func(dir string) error
		is   error
	}{
		"like each other":      {then: func(string) error { return nil }},
		"the last was changed": {then: Diverge, is: ErrDivergent},
		"the last is older":    {last: older, then: func(string) error { return nil }, is: ErrDivergent},
	} {
		t.Run(name, func(t *testing.T) {
			var members []Member
			for i := range 3 {
				members = append(members, Member{Name: fmt.Sprintf("etcd-%d", i), PeerURL: fmt.Sprintf("http://127.0.0.1:%d", freePort(t)), Dir: filepath.Join(t.TempDir(), "data")})
			}
			members[2].File = test.last
			require.NoError(t, Restore(t.Context(), newer, members, "token", RevisionBump))
			require.NoError(t, test.then(members[2].Dir))
			endpoints := runRestored(t, members)
			revision, err := Revision(t.Context(), endpoints[0], nil)
			require.NoError(t, err)
			_, err = Agree(t.Context(), endpoints, nil, revision)
			require.ErrorIs(t, err, test.is)
			_, err = Agree(t.Context(), endpoints, nil, 1)
			require.ErrorIs(t, err, test.is, "at a revision that is compacted")
		})
	}
	require.ErrorContains(t, Diverge(filepath.Join(t.TempDir(), "nowhere")), "change database")
}

// TestHistoriesThatBeginElsewhere are no store: members restored from different snapshots, each with its own revision raised and compacted.
func TestHistoriesThatBeginElsewhere(t *testing.T) {
	answers := []answer{{endpoint: "a", hash: 1, compacted: 7}, {endpoint: "b", hash: 1, compacted: 8}}
	_, settled, err := compare(9, answers, false)
	require.NoError(t, err)
	require.False(t, settled, "a compaction may have come between")
	_, settled, err = compare(9, answers, true)
	require.True(t, settled)
	require.EqualError(t, err, "etcd members hold different data at revision 9: a has 00000001 since revision 7, b has 00000001 since revision 8")
}

func TestOrphanAPIServers(t *testing.T) {
	_, endpoints := startMembers(t, 1)
	client := connect(t, endpoints)
	lease, err := client.Grant(t.Context(), 600)
	require.NoError(t, err)
	_, err = client.Put(t.Context(), masterLeases+"198.18.0.1", "registered", clientv3.WithLease(lease.ID))
	require.NoError(t, err)
	put(t, client, "/registry/leases/kube-system/kube-scheduler", "leads")
	servers, err := APIServers(t.Context(), endpoints, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"198.18.0.1"}, servers)

	dropped, err := OrphanAPIServers(t.Context(), endpoints, nil)
	require.NoError(t, err)
	require.Equal(t, Dropped{Leases: 1}, dropped, "the leader's alone")
	_, err = client.Revoke(t.Context(), lease.ID)
	require.NoError(t, err)
	kept, err := client.Get(t.Context(), masterLeases+"198.18.0.1")
	require.NoError(t, err)
	require.Len(t, kept.Kvs, 1, "its lease is gone, and nothing removes it")
	require.Equal(t, "registered", string(kept.Kvs[0].Value))
}
