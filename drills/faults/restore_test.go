package faults_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/drills/backups"
	"github.com/restore-drill/restore-drill/drills/faults"
	"github.com/restore-drill/restore-drill/drills/faults/faulttest"
)

func TestProcedureFaults(t *testing.T) {
	for name, wrong := range map[string]backups.Procedure{
		"restore-without-bump":    {KeepRevision: true},
		"restore-under-apiserver": {LiveAPIServer: true},
		"restore-elsewhere":       {OtherDirectory: true},
		"restore-stale-endpoints": {KeepAPIServers: true},
	} {
		s := &faults.Scene{Procedure: &backups.Procedure{}}
		faulttest.Strike(t, faults.Catalogue()[name](), s)
		require.Equal(t, wrong, *s.Procedure, name)
	}

	oldest, newest := keep(t, 100), keep(t, 101)
	s := &faults.Scene{Procedure: &backups.Procedure{}, Artifacts: []*backups.Artifact{oldest, newest}, Chosen: 1}
	require.EqualError(t, (&faults.RestoreMixed{}).Inject(t.Context(), s), "there is one etcd member: members differ where there are several (cluster.etcdMembers: 3)")
	oldest.EtcdMembers = 3
	require.Equal(t, "the last member will be restored from etcd-100, of revision 100, and the others from etcd-101, of revision 101",
		faulttest.Strike(t, &faults.RestoreMixed{}, s).Detail)
	require.Equal(t, backups.Procedure{LastMember: oldest}, *s.Procedure)
	s.Artifacts = s.Artifacts[:1]
	require.EqualError(t, (&faults.RestoreMixed{}).Inject(t.Context(), s), "1 backups were taken: another one than the newest needs at least two (backup.count)")
}

func TestEtcdFaultParameters(t *testing.T) {
	for parameters, says := range map[string]string{
		"etcd-fragmented|mib: 1":           "fault etcd-fragmented: mib is 1, want 8 to 1024",
		"etcd-member-divergent|at: source": `fault etcd-member-divergent: at is "source", want seeded or restored`,
	} {
		name, parameters, _ := strings.Cut(parameters, "|")
		_, err := faults.New(named(t, name, parameters))
		require.EqualError(t, err, says)
	}
}

func TestStrainedStore(t *testing.T) {
	c := start(t, 1)
	require.ErrorContains(t, (&faults.EtcdMemberDivergent{At: "seeded"}).Inject(t.Context(), source(c)), "cluster source has 1 etcd members")
	require.Contains(t, faulttest.Strike(t, &faults.EtcdFragmented{MiB: 8}, source(c)).Detail, "MiB are in use")
	require.Contains(t, faulttest.Strike(t, &faults.EtcdQuotaExhausted{}, source(c)).Detail, "has the alarm NOSPACE")
	require.True(t, c.Component("kube-apiserver").Running())
	require.False(t, c.Component("kube-scheduler").Running(), "it would end by itself, and that late")
}

func TestEtcdMemberDivergent(t *testing.T) {
	seen := faulttest.Strike(t, &faults.EtcdMemberDivergent{At: "restored"}, &faults.Scene{Restored: start(t, 3)})
	require.Contains(t, seen.Detail, "etcd members hold different data at revision ")
}
