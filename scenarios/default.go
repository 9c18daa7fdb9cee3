package scenarios

import (
	"slices"
	"time"
)

// DefaultKubernetesVersion of a cluster whose scenario names none.
const DefaultKubernetesVersion = "v1.36.3"

// Where a restore goes.
const (
	IntoFresh  = "fresh"
	IntoSource = "source"
)

// methodProfiles are the fidelity profiles of the methods.
var methodProfiles = map[string]string{"etcd": "etcd", "velero": "velero", "manifests": "gitops"}

// Default fills in what a scenario leaves out, but for the objectives: a target that is not set is not judged.
func Default(s *Scenario) {
	spec := &s.Spec
	if profile, ok := methodProfiles[spec.Backup.Method]; ok {
		fill(&spec.Objectives.Fidelity, profile)
	}
	fill(&spec.Cluster.Version, DefaultKubernetesVersion)
	fill(&spec.Cluster.EtcdMembers, 1)
	fill(&spec.Cluster.Nodes, 3)
	point(&spec.Cluster.StartTimeout, Duration{5 * time.Minute})
	if spec.Seed.Workloads == nil {
		spec.Seed.Workloads = []string{"standard"}
	}
	point(&spec.Seed.Objects, 500)
	if spec.Seed.Kinds == nil {
		spec.Seed.Kinds = []string{"ConfigMap", "Secret", "ServiceAccount", "Widget"}
	}
	fill(&spec.Seed.Size, "1Ki")
	point(&spec.Seed.RandomSeed, 1)
	if v := spec.Seed.Volumes; v != nil {
		fill(&v.Claims, 2)
		fill(&v.Size, "64Mi")
		fill(&v.Files, 12)
		spec.Require(Machines)
	}
	point(&spec.Ledger.Rate, 20)
	point(&spec.Ledger.Before, Duration{time.Second})
	point(&spec.Ledger.After, Duration{time.Second})
	spec.Backup.fill()
	for i := range spec.Layers {
		spec.Layers[i].Backup.fill()
	}
	fill(&spec.Restore.Into, IntoFresh)
	fill(&spec.Restore.Version, spec.Cluster.Version)
	fill(&spec.Restore.EtcdMembers, spec.Cluster.EtcdMembers)
	point(&spec.Restore.Timeout, Duration{5 * time.Minute})
	fill(&spec.Expect.Backup, "completed")
	fill(&spec.Expect.Tool, "completed")
	fill(&spec.Expect.Verdict, "passed")
}

// Machines are nodes with an operating system of their own, as a scenario requires them.
const Machines = "machines"

// Require names what the scenario uses without saying so.
func (s *Spec) Require(what string) {
	if !slices.Contains(s.Requires, what) {
		s.Requires = append(s.Requires, what)
	}
}

func (b *Backup) fill() {
	fill(&b.Count, 1)
	point(&b.Timeout, Duration{5 * time.Minute})
}

// fill a value that is not set.
func fill[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// point to a value where there is none.
func point[T any](v **T, value T) {
	if *v == nil {
		*v = &value
	}
}

// PayloadBytes of each generated object.
func (s Seed) PayloadBytes() int { return s.Size.Bytes() }
