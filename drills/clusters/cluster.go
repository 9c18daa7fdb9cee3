// Package clusters provides the clusters that a drill creates, breaks and restores into. It only ever touches clusters
// that it created itself.
//
// To add a provider, implement Provider and Cluster, add it to providers, and pass the suite in clustertest.
package clusters

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/internal/place"
	"github.com/restore-drill/restore-drill/internal/shell"
	"github.com/restore-drill/restore-drill/internal/toolchain"
)

// A Provider makes clusters of one sort.
type Provider interface {
	// Name as given to --provider.
	Name() string
	// Limits are sentences that say what a drill on this provider cannot show.
	Limits() []string
	// Check tells whether this machine can run the provider, with an error that names what to install or set. It may build what is missing.
	Check(ctx context.Context, spec Spec) error
	// Tools are lent to backup methods whose servers run beside the clusters.
	Tools() Tools
	// Create makes a cluster that is ready to be started: its place, addresses and key material exist, and nothing runs that a
	// restore would have to undo. It reports what it makes to an owner file before it makes it, so that cleanup finds it
	// after a SIGKILL. When it fails it leaves nothing.
	Create(ctx context.Context, spec Spec) (Cluster, error)
}

// Tools of a provider.
type Tools struct {
	Toolchain *toolchain.Toolchain
	// StateRoot holds the places of what runs for a drill, under its ID.
	StateRoot string
	// Network is the container engine's network that the clusters' machines are on: what runs for a drill in a container joins it. Empty where
	// clusters have no machines.
	Network string
	// NodeImage is what machines are made of, whatever a scenario says; empty for what it says.
	NodeImage string
}

// Machines tells whether the clusters' nodes are machines, which run what their pods say.
func (t Tools) Machines() bool { return t.Network != "" }

// ThisMachine is where a command was run that was not run on a node: the machine that the drill runs on.
const ThisMachine = "this machine"

// ran tells of a command, where anybody asks.
func (s Spec) ran(ctx context.Context, where string, argv ...string) {
	if s.Ran != nil {
		s.Ran(ctx, where, shell.Join(argv...))
	}
}

// ErrUnsupported is wrapped by the error of a provider that cannot make such a cluster, wherever it runs.
var ErrUnsupported = errors.New("this provider does not make such a cluster")

// Spec says what cluster to make.
type Spec struct {
	// Name is unique among the clusters of a drill: source or restored.
	Name string
	// DrillID names the owner.
	DrillID string
	// LogDir receives the components' logs, which outlive the cluster.
	LogDir string
	// Version of Kubernetes, v1.36.3.
	Version string
	// EtcdMembers is 1 or 3.
	EtcdMembers int
	// Nodes is the number of (simulated) nodes.
	Nodes int
	// Encryption at rest: secretbox, aescbc or empty.
	Encryption string
	AuditLog   bool
	// NodeImage and Kind are for the provider kind: the image that the machines are made of, by default kindest/node:VERSION, and further
	// configuration of the cluster in kind's own terms; nil for none.
	NodeImage string
	Kind      *v1alpha4.Cluster
	// Images that the drill's pods run. A provider with machines brings them there from the local engine, so that nothing is pulled; its Check names
	// the one that is not there, and the command that brings it.
	Images []string
	// StartTimeout bounds Start.
	StartTimeout time.Duration
	// Ran is told each command that changed the cluster, once it was run: the runbook of a restore is made of them. Where is the machine, or
	// ThisMachine; the command can be pasted there, and holds no secret. The context is that of the call that it was run for, and tells its step
	// (evidence.WithStep). May be nil.
	Ran func(ctx context.Context, where, command string)
	// Step is called when an operation of a cluster's start begins that has a name of its own in a timeline; the function it returns, when it ends. May
	// be nil.
	Step func(name, detail string) (end func(error))
	// Progress receives one short line for each thing that is done; may be nil.
	Progress func(line string)
}

// complete fills in what the spec leaves open. Wrong is what the provider finds wrong with it, beside what is wrong for every provider.
func (s Spec) complete(wrong error, startTimeout time.Duration) (Spec, error) {
	errs := []error{place.CheckNames(s.DrillID, s.Name), wrong}
	if s.LogDir == "" {
		errs = append(errs, errors.New("no directory for logs"))
	}
	dir, err := filepath.Abs(s.LogDir)
	s.LogDir = dir
	if s.StartTimeout <= 0 {
		s.StartTimeout = startTimeout
	}
	if s.Progress == nil {
		s.Progress = func(string) {}
	}
	return s, errors.Join(append(errs, err)...)
}

// check finds what no provider could make.
func (s Spec) check() error {
	var errs []error
	if s.EtcdMembers != 1 && s.EtcdMembers != 3 {
		errs = append(errs, fmt.Errorf("%d etcd members (want 1 or 3)", s.EtcdMembers))
	}
	if s.Nodes < 0 {
		errs = append(errs, fmt.Errorf("%d nodes", s.Nodes))
	}
	if s.Encryption != "" && !slices.Contains(ciphers, s.Encryption) {
		errs = append(errs, fmt.Errorf("unknown encryption %q (want %s, or none)", s.Encryption, strings.Join(ciphers, " or ")))
	}
	return errors.Join(errs...)
}

// starting bounds a start: by the time that it may take, and by the first component of the place that dies. Mark tells of what was reached on the way.
func (s Spec) starting(ctx context.Context, at *place.Place, reached func(mark, how string, resolution time.Duration)) (_ context.Context, mark func(name, how string, resolution time.Duration), release func()) {
	ctx, cancel := context.WithTimeout(ctx, s.StartTimeout)
	ctx, unguard := at.Guard(ctx)
	mark = func(name, how string, resolution time.Duration) {
		if reached != nil {
			reached(name, how, resolution)
		}
		s.Progress(fmt.Sprintf("%s cluster: %s", s.Name, name))
	}
	return ctx, mark, func() { unguard(nil); cancel() }
}

// step tells of an operation, where anybody asks.
func (s Spec) step(ctx context.Context, name, detail string, do func(ctx context.Context) error) error {
	if s.Step == nil {
		return do(ctx)
	}
	end := s.Step(name, detail)
	err := do(evidence.WithStep(ctx, name))
	end(err)
	return err
}

// A Cluster was created by this drill. Its methods may be called from several goroutines.
type Cluster interface {
	// Name as in the Spec.
	Name() string
	// Spec it was made from.
	Spec() Spec
	// Versions of the components, each as its binary says.
	Versions() map[string]string

	// Material is what has to travel with a snapshot of the store: certificate authorities, service-account keys,
	// encryption configuration, in kubeadm's layout (ca.crt, ca.key, sa.pub, sa.key, front-proxy-ca.*, etcd/ca.*,
	// encryption-config.yaml). It reads the cluster's own files, so it works while the cluster is down.
	Material(ctx context.Context) (fs.FS, error)
	// LayIn replaces that material before Start, and issues every leaf certificate and kubeconfig anew under it, for
	// this cluster's own addresses. It is refused once the cluster has been started.
	LayIn(ctx context.Context, material fs.FS) error
	// Members of the store, with where their data goes.
	Members() []Member
	// SeedStore moves dir (a restored data directory, on the same file system) into the member's place, in one rename.
	// It is refused when something is there already, and once the member runs.
	SeedStore(ctx context.Context, member string, dir string) error
	// StateDir is a directory on the file system of the members' data, for work in progress; it goes with the cluster.
	StateDir() string

	// Start starts everything that does not run yet, makes the nodes that are not there, and returns when the API server is ready
	// (readyz). A component that dies meanwhile ends it at once. A member of the store may be started before, through Component, to be
	// had alone first. Reached is called once for each mark of package evidence on the way: MarkStoreServing, MarkAPIServing,
	// MarkAPIReady, with the way it was seen and the resolution of that; calls may overlap. Controllers do not start before the call
	// for MarkStoreServing has returned: it is the moment to tidy a restored store.
	Start(ctx context.Context, reached func(mark, how string, resolution time.Duration)) error
	// Config for an administrator of this cluster, without limits on its rate. The caller owns the copy.
	Config() *rest.Config
	// Kubeconfig is the path of a kubeconfig file for the same administrator, for commands.
	Kubeconfig() string
	// Store is how to reach etcd itself.
	Store() Store
	// Components that run or ran, etcd members first.
	Components() []Component
	// Component by name, for example etcd-0 or kube-apiserver; nil when there is none.
	Component(name string) Component
	// Died delivers an error when a component ends that nobody stopped through Component. The error holds its last log lines.
	Died() <-chan error

	// Delete ends everything and removes everything but the logs. It may be called twice, and on a half-made cluster.
	Delete(ctx context.Context) error
}

// A Member of the etcd cluster.
type Member struct {
	Name    string // etcd-0
	PeerURL string
	// DataDir is where its data is; on a provider with nodes, the path inside the node.
	DataDir string
}

// Store says how to reach etcd.
type Store struct {
	// Endpoints are https URLs, one a member, in the order of Members.
	Endpoints []string
	// TLS with a client certificate.
	TLS *tls.Config
}

// A Component is one process (or container) of a cluster. What is done through it is not reported by Died.
type Component interface {
	Name() string
	// Running tells whether it runs now.
	Running() bool
	// Identity is pid and start time, or a container ID; empty when it never ran.
	Identity() string
	// Stop asks it to end, and kills it when ctx ends first. Kill ends it at once (SIGKILL). Both return when it has ended.
	Stop(ctx context.Context) error
	Kill(ctx context.Context) error
	// Start starts it again with the same flags and files, plus flags that replace or extend them (name -> value) for this one
	// start. It returns when the process runs, which is before it is ready.
	Start(ctx context.Context, flags map[string]string) error
	// DataDir of a component that keeps data (etcd), else empty.
	DataDir() string
	// LogTail returns the last n lines of its log.
	LogTail(n int) []string
}

// A Death is the end of a component that nobody stopped through Component.
type Death = place.Death
