package faults

import (
	"embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/restore-drill/restore-drill/scenarios"
)

// Catalogue of all faults: each makes a new one, with the defaults of its parameters.
func Catalogue() map[string]func() Fault {
	all := map[string]func() Fault{}
	for _, create := range []func() Fault{
		func() Fault { return &ControlPlaneLost{} },
		func() Fault { return &EtcdDataLost{} },
		func() Fault { return &EtcdQuorumLost{} },
		func() Fault { return &EtcdCorrupted{Pages: 8} },
		func() Fault { return &CRDVersionRemoved{"machines.plant.example.com", "v1beta1"} },
		func() Fault { return &Nothing{} },
		func() Fault { return &NamespaceDeleted{Namespace: "shop"} },

		func() Fault { return &MachineDeleted{} },
		func() Fault { return &PKIDeleted{} },
		func() Fault { return &ManifestsDeleted{} },
		func() Fault { return &CutOff{} },
		func() Fault { return &KubeletStopped{} },
		func() Fault { return &NodeDeregistered{} },

		func() Fault { return &StoreObjectRemoved{"velero-backup.json"} },
		func() Fault { return &StoreObjectDamaged{"NAME.tar.gz", 50} },
		func() Fault { return &StoreStopped{"restore"} },
		func() Fault { return &StoreCredentialsRotated{} },
		func() Fault { return &BackupExpired{} },
		func() Fault { return &RepositoryPasswordMissing{} },
		func() Fault { return &VeleroKilled{"restore"} },

		func() Fault { return &EtcdQuotaExhausted{} },
		func() Fault { return &EtcdFragmented{64} },
		func() Fault { return &EtcdMemberDivergent{"seeded"} },

		func() Fault { return &RestoreWithoutBump{} },
		func() Fault { return &RestoreUnderAPIServer{} },
		func() Fault { return &RestoreUnderKubelet{} },
		func() Fault { return &RestoreElsewhere{} },
		func() Fault { return &RestoreMixed{} },
		func() Fault { return &RestoreStaleEndpoints{} },

		func() Fault { return &SnapshotTruncated{Percent: 50} },
		func() Fault { return &SnapshotBitrot{Bits: 1} },
		func() Fault { return &SnapshotStale{} },
		func() Fault { return &MaterialMissing{"encryption-config.yaml"} },
		func() Fault { return &EncryptionKeyChanged{} },
		func() Fault { return &SigningKeyChanged{} },
		func() Fault { return &AuthorityExpired{"ca"} },

		func() Fault { return &PodStarted{"shop", "late"} },
		func() Fault { return &SecretRotated{"shop", "orders-db", "password"} },
		func() Fault { return &RoleBindingRevoked{"vault", "contractor", "contractor", "get", "secrets"} },

		func() Fault { return &ManifestsApplied{At: "empty"} },
		func() Fault { return &ObjectDeleted{"v1", "ConfigMap", "shop", "web-settings", "restored", false} },
		func() Fault {
			return &FieldChanged{"v1", "ConfigMap", "shop", "web-settings", "/data/LOG_LEVEL", []byte(`"sabotaged"`), false, "restored"}
		},
		func() Fault { return &SecretChanged{"shop", "orders-db", "password"} },
		func() Fault { return &RoleBindingAdded{"shop", "admin", "intruder"} },
		func() Fault { return &LedgerHole{} },
		func() Fault { return &VolumeFileChanged{"data-journal-0", "file-000"} },
		func() Fault { return &VolumeEmptied{"data-journal-0"} },
		func() Fault { return &PolicyUnbound{"no-host-network", onHostNetwork()} },

		func() Fault { return &CensusRemoved{} },
	} {
		all[create().Name()] = create
	}
	return all
}

// New makes the fault that a scenario names, with its parameters.
func New(named scenarios.Fault) (Fault, error) {
	create, ok := Catalogue()[named.Name]
	if !ok {
		return nil, fmt.Errorf("unknown fault %q (known: %s)", named.Name, strings.Join(slices.Sorted(maps.Keys(Catalogue())), ", "))
	}
	f := create()
	if err := scenarios.DecodeParameters(named.Parameters, f); err != nil {
		return nil, fmt.Errorf("fault %s: %w", named.Name, err)
	}
	if v, ok := f.(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			return nil, fmt.Errorf("fault %s: %w", named.Name, err)
		}
	}
	return f, nil
}

//go:embed *.go
var files embed.FS

// Sources are the Go files of this package, whose doc comments describe the parameters.
func Sources() [][]byte {
	entries, err := files.ReadDir(".")
	if err != nil {
		panic(err) // the files are part of the program
	}
	var all [][]byte
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		source, err := files.ReadFile(e.Name())
		if err != nil {
			panic(err)
		}
		all = append(all, source)
	}
	return all
}

// What a Scene may lack.
var (
	errNoSource    = errors.New("there is no source cluster")
	errNoRestored  = errors.New("there is no restored cluster")
	errNoArtifact  = errors.New("no backup was taken")
	errNoProcedure = errors.New("nothing is to be restored")
)
