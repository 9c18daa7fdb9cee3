// Package backups holds the methods that back a cluster up and bring it back.
//
// To add a method, implement Method in one file, add it to Methods, and pass the suite in backuptest.
package backups

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/internal/toolchain"
	"github.com/restore-drill/restore-drill/scenarios"
)

// A Method backs a cluster up and restores the result. One serves one drill.
type Method interface {
	// Name as in a scenario's backup.method.
	Name() string
	// RestoresStore tells whether the store itself comes back, with UIDs, revisions and keys. Only then do old tokens stay good, and can
	// clients that were connected before the failure go on. Any other method makes the objects anew.
	RestoresStore() bool
	// Check tells, before anything is made, what the method lacks on this machine: binaries above all. It may build what is missing.
	Check(ctx context.Context) error
	// Prepare makes a running cluster ready to be backed up, as it is long before anybody needs the backup: Velero's server is installed and
	// sees its store.
	Prepare(ctx context.Context, source clusters.Cluster) error
	// Backup takes one backup of a running cluster into dir, a new directory of mode 0700 that it owns, and writes
	// artifact.json there last. It may be called again, each time with another dir. What the tool says of it is in the artifact's Claim; an
	// error means that there is no artifact, and is a ClaimError when that is what the tool says.
	Backup(ctx context.Context, source clusters.Cluster, dir string) (*Artifact, error)
	// Restore brings the artifact back into target. Unless opts.Running, that is a cluster that was created and never started, and Restore
	// starts it. The artifact is verified and never written to. Reached is called as in clusters.Cluster.Start, and for the marks of the
	// method's own way. What the tool says is returned; an error means that the restore did not come to its end, and is a ClaimError when
	// that is what the tool says.
	Restore(ctx context.Context, a *Artifact, target clusters.Cluster, opts RestoreOptions) (claim string, err error)
	// Close ends what Prepare and Restore left running, and removes what the method keeps outside the run directory. It may be called twice.
	Close(ctx context.Context) error
}

// methods by name: each makes one for a layer of a drill.
var methods = map[string]func(Layer, Env) (Method, error){
	"etcd":      func(Layer, Env) (Method, error) { return NewEtcd(), nil },
	"manifests": newManifests,
	"velero":    NewVelero,
}

// Methods are the names of all methods, sorted.
func Methods() []string { return slices.Sorted(maps.Keys(methods)) }

// New makes the method of a layer.
func New(layer Layer, env Env) (Method, error) {
	create, ok := methods[layer.Backup.Method]
	if !ok {
		return nil, fmt.Errorf("unknown backup method %q (known: %s)", layer.Backup.Method, strings.Join(Methods(), ", "))
	}
	return create(layer, env)
}

// An Env is what a drill lends its methods.
type Env struct {
	// DrillID and StateRoot: a method keeps what runs for it in places under StateRoot/DrillID, where cleanup finds them.
	DrillID, StateRoot string
	// RunDir is the run directory, which outlives the drill: logs go into logs/NAME/, the tool's own words into evidence.ToolFile.
	RunDir    string
	Toolchain *toolchain.Toolchain
	// Network is the container engine's network that the clusters' machines are on: there, what would run beside a cluster runs in it, and the store
	// in a container. Empty where clusters have no machines.
	Network string
	// Key digests secret values in the evidence.
	Key []byte
	// Manifests that the scenario seeds, and ScenarioDir to which the paths in it are relative.
	Workloads   []string
	Manifests   []string
	ScenarioDir string
	// Put writes a file of evidence.
	Put func(name string, content any) error
	// Progress receives one short line for each thing that is done; may be nil.
	Progress func(line string)
	// During is called once while the tool backs up ("backup") or restores ("restore"), as soon as it has begun to handle objects: a
	// fault strikes there. The tool's work goes on meanwhile. May be nil.
	During func(ctx context.Context, operation string) error
}

// A Layer is what a scenario says of one backup.
type Layer struct {
	Backup scenarios.Backup
	Velero *scenarios.VeleroRestore
}

// RestoreOptions of a restore.
type RestoreOptions struct {
	// Running says that target runs already: it is the source itself, or another layer was restored into it.
	Running bool
	// Procedure is how the restore is carried out, where a fault has somebody carry it out wrongly.
	Procedure Procedure
	// Empty is called when target is up and nothing was restored into it yet: a fault strikes there. It is not called by a method that restores
	// the store, or when Running. May be nil.
	Empty   func(ctx context.Context) error
	Reached func(mark, how string, resolution time.Duration)
	// Step is called when an operation begins; the function it returns, when it ends.
	Step func(name, detail string) (end func(error))
	// Ran is told what the method itself does to the target, as clusters.Spec.Ran is told what the target's provider does.
	Ran func(ctx context.Context, where, command string)
}

// withDefaults lets every callback be called.
func (o RestoreOptions) withDefaults() RestoreOptions {
	if o.Reached == nil {
		o.Reached = func(string, string, time.Duration) {}
	}
	if o.Step == nil {
		o.Step = func(string, string) func(error) { return func(error) {} }
	}
	if o.Ran == nil {
		o.Ran = func(context.Context, string, string) {}
	}
	if o.Empty == nil {
		o.Empty = func(context.Context) error { return nil }
	}
	return o
}

func (o RestoreOptions) step(name, detail string, do func() error) error {
	end := o.Step(name, detail)
	err := do()
	end(err)
	return err
}

// A Procedure says what is done wrongly in a restore of a store; the zero value is the right way.
type Procedure struct {
	// KeepRevision leaves the store's revision as the snapshot has it, which misleads clients that saw a later one.
	KeepRevision bool
	// KeepAPIServers leaves the lost control plane's API servers registered, and nothing that would end that: default/kubernetes goes on naming them.
	KeepAPIServers bool
	// LiveAPIServer has an API server serve the new, empty store, which is then replaced under it.
	LiveAPIServer bool
	// KeepKubelet leaves the kubelet running while the store is put back in place.
	KeepKubelet bool
	// OtherDirectory restores into a directory that etcd does not use: it goes on with the data that it has.
	OtherDirectory bool
	// LastMember is the artifact that the last member is restored from, where that is another one than the others'.
	LastMember *Artifact
}

// ErrRefused is wrapped by an error of Restore that says the tool itself found the artifact unfit: a verdict on the
// backup, before anything was restored.
var ErrRefused = errors.New("restore refused")

// A ClaimError is what a tool says of an operation that it did not do.
type ClaimError struct {
	// Claim is one of evidence's: failed, failed validation, missing, refused.
	Claim string
	// Err holds the tool's words.
	Err error
}

func (e *ClaimError) Error() string { return e.Err.Error() }
func (e *ClaimError) Unwrap() error { return e.Err }

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
	// Objects of the backup in the method's own store, by key, as they were when it was taken. Verify does not look at them, for the artifact
	// outlives the store: the method does before it restores.
	Objects map[string]File `json:"objects,omitempty"`
	// Source cluster's settings, which a like cluster needs.
	Version     string `json:"version"`
	EtcdMembers int    `json:"etcdMembers"`
	Encryption  string `json:"encryption,omitempty"`
	// Revision of the store in the artifact; 0 where the method does not read at one.
	Revision int64 `json:"revision,omitempty"`
	// Window holds the source store's revisions before and after the backup, for a method that does not read at one: each object is as it was
	// at some time between.
	Window *Window `json:"window,omitempty"`
	// Claim is what the tool says of the backup: completed, or partially failed.
	Claim string `json:"claim"`
	// Facts for the report: cluster ID, keys, size.
	Facts map[string]string `json:"facts,omitempty"`
}

// A Window of revisions.
type Window struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// A File of an artifact.
type File struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	// Parts are the SHA-256 of each 16 MiB of the file, so that damage can be located.
	Parts []string `json:"parts,omitempty"`
}
