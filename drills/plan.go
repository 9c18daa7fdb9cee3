package drills

import (
	"fmt"
	"slices"
	"strings"

	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/drills/faults"
	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/scenarios"
)

// Plan says in words what a drill would do, on what, and what it would destroy. It touches nothing.
func Plan(s *scenarios.Scenario, provider string) (string, error) {
	p, err := clusters.NewProvider(provider, clusters.Tools{})
	if err != nil {
		return "", err
	}
	if err := (&Loaded{Scenario: s}).lacks(p); err != nil {
		return "", err
	}
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	spec := s.Spec
	say("%s: %s", s.Metadata.Name, strings.TrimSpace(spec.Description))
	say("")
	say("Clusters, made by this drill and removed by it; no other cluster is read or changed:")
	say("  source    %s on provider %s, %d etcd member(s), %d node(s)%s", spec.Cluster.Version, provider, spec.Cluster.EtcdMembers, spec.Cluster.Nodes, encryption(spec))
	if spec.Restore.Into == scenarios.IntoSource {
		say("  restored  the source itself, in place")
	} else {
		say("  restored  its like, %s, %d etcd member(s)", spec.Restore.Version, spec.Restore.EtcdMembers)
	}
	say("")
	say("Phases (* on trial: a failure is the backup's, any other means that the drill could not tell):")
	details, err := planDetails(spec)
	if err != nil {
		return "", err
	}
	for _, p := range (&drill{}).pipeline() {
		star := " "
		if evidence.OnTrial(p.name) {
			star = "*"
		}
		say("  %-10s%s %s", p.name, star, p.does)
		for _, line := range details[p.name] {
			say("               %s", line)
		}
	}
	say("")
	say("Objectives: %s", objectives(spec.Objectives))
	say("Expected: the tool says %s, the verdict is %s", spec.Expect.Tool, spec.Expect.Verdict)
	return b.String(), nil
}

// strikesIn is the phase in which the faults of a target strike.
var strikesIn = map[faults.Target]string{
	faults.Seeded: evidence.PhaseSeed, faults.DuringBackup: evidence.PhaseBackup,
	faults.Change: evidence.PhaseInject, faults.Artifact: evidence.PhaseInject, faults.Procedure: evidence.PhaseInject, faults.Source: evidence.PhaseInject,
	faults.Empty: evidence.PhaseRestore, faults.DuringRestore: evidence.PhaseRestore,
	faults.Restored: evidence.PhaseSurvey, faults.Evidence: evidence.PhaseSurvey,
}

func planDetails(spec scenarios.Spec) (map[string][]string, error) {
	d := map[string][]string{}
	d["seed"] = []string{fmt.Sprintf("workloads %s, %d generated objects of %s, %g ledger writes/s",
		strings.Join(slices.Concat(spec.Seed.Workloads, spec.Seed.Manifests), ", "), *spec.Seed.Objects, spec.Seed.Size, *spec.Ledger.Rate)}
	for _, l := range layers(&spec) {
		d["backup"] = append(d["backup"], fmt.Sprintf("method %s, %d time(s)", l.Backup.Method, l.Backup.Count))
	}
	for _, named := range spec.Faults {
		f, err := faults.New(named)
		if err != nil {
			return nil, err
		}
		when, target := strikesIn[f.Strikes()], f.Strikes().String()
		if named.After != "" {
			when, target = evidence.PhaseRestore, "cluster that "+named.After+" brought back"
		}
		d[when] = append(d[when], fmt.Sprintf("%s strikes the %s. Destroys: %s", f.Name(), target, f.Destroys()))
	}
	return d, nil
}

func encryption(spec scenarios.Spec) string {
	if spec.Cluster.Encryption == "" {
		return ""
	}
	return ", Secrets encrypted at rest (" + spec.Cluster.Encryption + ")"
}

func objectives(o scenarios.Objectives) string {
	var all []string
	if o.RTO != nil {
		all = append(all, "RTO "+o.RTO.String())
	}
	if o.RPO != nil {
		all = append(all, "RPO "+o.RPO.String())
	}
	if o.LostWrites != nil {
		all = append(all, fmt.Sprintf("at most %d lost writes", *o.LostWrites))
	}
	if o.PointInTime {
		all = append(all, "a point in time")
	}
	if o.Fidelity != "" {
		all = append(all, "fidelity by profile "+o.Fidelity)
	}
	return strings.Join(all, ", ")
}
