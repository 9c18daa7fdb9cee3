// Package faults is the catalogue of what can go wrong.
//
// To add a fault, write one file with one struct, whose fields are its YAML parameters and whose doc comment says what
// breaks in the real world; add one line to Catalogue; and write a scenario that uses it.
package faults

import (
	"context"
	"math/rand/v2"

	"github.com/restore-drill/restore-drill/drills/backups"
	"github.com/restore-drill/restore-drill/drills/clusters"
)

// A Fault is one failure. Its exported fields are its parameters in a scenario.
type Fault interface {
	// Name in the catalogue.
	Name() string
	// Strikes says what it damages, and so when in the drill it happens.
	Strikes() Target
	// Destroys says in one sentence what is gone afterwards, for `restore-drill plan`.
	Destroys() string
	// Inject causes the failure, and returns when that is done.
	Inject(ctx context.Context, s *Scene) error
	// Visible tells whether the failure can be seen, by looking at what failed and not at what Inject did. It must be
	// false before Inject and true after, or the drill proves nothing.
	Visible(ctx context.Context, s *Scene) (Sighting, error)
}

// NeedsMachines tells whether a fault damages what only a cluster has whose nodes are machines (clusters.Machined). Such a fault has a method
// OnMachine, which does nothing.
func NeedsMachines(f Fault) bool {
	_, on := f.(interface{ OnMachine() })
	return on
}

// A Passing fault, which strikes while the tool backs up, is over when that backup has ended: Pass ends it then.
type Passing interface {
	Pass(ctx context.Context, s *Scene) error
}

// A Sighting is what Visible saw.
type Sighting struct {
	Visible bool
	// Detail is the observation, in words: "3 of 3 endpoints refuse connections".
	Detail string
}

// Target of a fault.
type Target int

const (
	// Source faults break the running source cluster.
	Source Target = iota
	// Seeded faults alter the source cluster before it is backed up: drift that has crept in unseen, and that every backup takes with it.
	Seeded
	// Change faults alter the running source cluster after its backups and before it is lost, as its operators do every day: nothing breaks by it,
	// and the backup does not know.
	Change
	// Artifact faults damage the backup before it is restored, or the store that it lies in.
	Artifact
	// DuringBackup faults strike while the tool takes the newest backup.
	DuringBackup
	// Procedure faults have the restore carried out wrongly.
	Procedure
	// Empty faults strike the new cluster before anything is restored into it.
	Empty
	// DuringRestore faults strike while the tool restores.
	DuringRestore
	// Restored faults change the restored cluster behind the drill's back, before the survey (sabotage).
	Restored
	// Evidence faults damage the run directory before it is judged (sabotage).
	Evidence
)

func (t Target) String() string {
	return [...]string{"source cluster", "seeded source cluster before its backup", "source cluster after its backup", "artifact", "tool while it backs up", "way of restoring", "empty new cluster", "tool while it restores",
		"restored cluster", "evidence"}[t]
}

// A Scene is all that a fault may touch.
type Scene struct {
	// Source is the cluster that is to be lost; for a fault that strikes after a layer, the restored one.
	Source clusters.Cluster
	// Restored is nil until the restore has made it; only faults that strike it come after it is done.
	Restored clusters.Cluster
	// Artifacts taken, oldest first. The drill restores the one at index Chosen, the newest unless a fault changes that.
	Artifacts []*backups.Artifact
	Chosen    int
	// Procedure of the restore, which Procedure faults change.
	Procedure *backups.Procedure
	// Method is that of the first layer.
	Method backups.Method
	// RunDir is the run directory.
	RunDir string
	// Rand is seeded by the scenario.
	Rand *rand.Rand
	// LedgerNamespace holds the ledger's objects.
	LedgerNamespace string
}
