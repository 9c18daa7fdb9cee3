// Package backups holds the methods that back a cluster up and bring it back.
//
// To add a method, implement Method in one file, add it to Methods, and pass the suite in backuptest.
package backups

import (
	"context"
	"errors"
	"time"

	"github.com/restore-drill/restore-drill/drills/clusters"
)

// A Method backs a cluster up and restores the result.
type Method interface {
	// Name as in a scenario's backup.method.
	Name() string
	// Backup takes one backup of a running cluster into dir, a new directory of mode 0700 that it owns, and writes
	// artifact.json there last. It may be called again, each time with another dir.
	Backup(ctx context.Context, source clusters.Cluster, dir string) (*Artifact, error)
	// Restore brings the artifact back into target, a cluster that was created and never started, and starts it. It works
	// on a copy: the artifact is verified first, and never written to. Reached is called as in
	// clusters.Cluster.Start, and also with MarkArtifactOK and MarkStoreRestored.
	Restore(ctx context.Context, a *Artifact, target clusters.Cluster, opts RestoreOptions) error
}

// RestoreOptions of a restore.
type RestoreOptions struct {
	// NoRevisionBump leaves the store's revision as the snapshot has it, which misleads clients that saw a later one.
	NoRevisionBump bool
	Reached        func(mark, how string, resolution time.Duration)
	// Step is called when an operation begins; the function it returns, when it ends.
	Step func(name, detail string) (end func(error))
}

// ErrRefused is wrapped by an error of Restore that says the tool itself found the artifact unfit: a verdict on the
// backup, before anything was restored.
var ErrRefused = errors.New("restore refused")

// An Artifact is a finished backup. It outlives the cluster it was taken from.
type Artifact struct {
	// Dir holds its files.
	Dir string `json:"-"`
	// Name is the base name of Dir.
	Name   string `json:"name"`
	Method string `json:"method"`
	// Taken is when the backup began; Seconds how long it took.
	Taken   time.Time `json:"taken"`
	Seconds float64   `json:"seconds"`
	// Files with their digests, by path relative to Dir.
	Files map[string]File `json:"files"`
	// Source cluster's settings, which a like cluster needs.
	Version     string `json:"version"`
	EtcdMembers int    `json:"etcdMembers"`
	Encryption  string `json:"encryption,omitempty"`
	// Revision of the store in the artifact; 0 where the method has none.
	Revision int64 `json:"revision,omitempty"`
	// Facts for the report: cluster ID, keys, size.
	Facts map[string]string `json:"facts,omitempty"`
}

// A File of an artifact.
type File struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	// Parts are the SHA-256 of each 16 MiB of the file, so that damage can be located.
	Parts []string `json:"parts,omitempty"`
}
