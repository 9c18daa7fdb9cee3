package backups_test

import (
	"testing"

	"github.com/restore-drill/restore-drill/drills/backups"
	"github.com/restore-drill/restore-drill/drills/backups/backuptest"
	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/internal/toolchain"
)

func provider(t testing.TB) clusters.Provider {
	return clusters.NewProcess(clusters.ProcessOptions{
		Toolchain: toolchain.New(toolchain.Options{Progress: func(line string) { t.Log(line) }}),
		StateRoot: t.TempDir(),
	})
}

func TestEtcd(t *testing.T) {
	for name, spec := range map[string]clusters.Spec{
		"one member":                           {EtcdMembers: 1},
		"three members and an encrypted store": {EtcdMembers: 3, Encryption: "secretbox"},
	} {
		t.Run(name, func(t *testing.T) { backuptest.Run(t, backups.NewEtcd(), provider(t), spec) })
	}
}
