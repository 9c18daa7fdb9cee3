package drills

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/restore-drill/restore-drill/drills/checks"
	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/drills/faults"
	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/scenarios"
)

// A Subject is a part of the catalogue that Explain knows by name, beside the fields of a scenario.
type Subject struct {
	// Singular as it is typed before a name.
	Singular string
	// Names of what there is of it.
	Names   []string
	explain func(name string) (string, error)
}

// Subjects of Explain.
func Subjects() []Subject {
	var names []string
	for _, c := range checks.All() {
		names = append(names, c.Name)
	}
	return []Subject{
		{"fault", slices.Sorted(maps.Keys(faults.Catalogue())), explainFault},
		{"check", names, explainCheck},
		{"profile", checks.Profiles(), checks.ExplainProfile},
		{"provider", clusters.Providers(), explainProvider},
	}
}

// Explain says in words what something of the catalogue is: a subject, in the singular, and its name.
func Explain(subject, name string) (string, error) {
	var known []string
	for _, s := range Subjects() {
		known = append(known, s.Singular)
		if s.Singular != subject {
			continue
		}
		if !slices.Contains(s.Names, name) {
			return "", errors.New(scenarios.Unknown(subject, name, s.Names))
		}
		return s.explain(name)
	}
	return "", errors.New(scenarios.Unknown("subject", subject, known))
}

// ExplainPipeline says in words what the phases of a drill are, and what it means when one fails.
func ExplainPipeline() string {
	var b strings.Builder
	b.WriteString("A drill is a function from a scenario to a report. Its phases, in order (* on trial):\n\n")
	for _, p := range (&drill{}).pipeline() {
		star := " "
		if evidence.OnTrial(p.name) {
			star = "*"
		}
		fmt.Fprintf(&b, "  %-10s%s %s\n", p.name, star, p.does)
	}
	fmt.Fprintf(&b, "  %-10s  %s\n", evidence.PhaseTeardown, "remove what the drill made")
	b.WriteString("\nWhen a phase on trial fails by the backup tool's own work, the backup failed: the verdict is failed.\n" +
		"When anything else goes wrong, the drill could not tell: the verdict is unknown, never passed.\n" +
		"\nThe checks then judge what the phases left in the run directory, and nothing else:\n\n")
	for _, c := range checks.All() {
		fmt.Fprintf(&b, "  %-14s %s\n", c.Name, c.Title)
	}
	return b.String()
}

func explainFault(name string) (string, error) {
	text, err := scenarios.ExplainParameters(Vocabulary(), name)
	if err != nil {
		return "", err
	}
	f := faults.Catalogue()[name]()
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nSTRIKES: the %s, in the phase %s\nDESTROYS: %s\n", text, f.Strikes(), strikesIn[f.Strikes()], f.Destroys())
	if used := scenariosWith(name); len(used) > 0 {
		fmt.Fprintf(&b, "REHEARSED BY: %s\n", strings.Join(used, ", "))
	}
	return b.String(), nil
}

// scenariosWith a fault, of the embedded ones.
func scenariosWith(fault string) (names []string) {
	for _, s := range scenarios.Embedded() {
		parsed, err := scenarios.Parse(s.Path, s.Data, Vocabulary())
		if err == nil && slices.Contains(FaultNames(parsed), fault) {
			names = append(names, s.Name)
		}
	}
	return names
}

func explainCheck(name string) (string, error) {
	all := checks.All()
	c := all[slices.IndexFunc(all, func(c checks.Check) bool { return c.Name == name })]
	var b strings.Builder
	fmt.Fprintf(&b, "CHECK: %s\n\n    %s\n\n", c.Name, c.Title)
	if len(c.Needs) > 0 {
		fmt.Fprintf(&b, "EVIDENCE: %s\n    Where one of these is missing, empty or torn, the check is unknown.\n", strings.Join(c.Needs, ", "))
	}
	if c.OfRestored {
		b.WriteString("    It judges the restored cluster: where the tool brought none back, it is skipped, and the drill has failed already.\n")
	}
	return b.String(), nil
}

func explainProvider(name string) (string, error) {
	p, err := clusters.NewProvider(name, clusters.Tools{})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("PROVIDER: %s\n\nWHAT A DRILL ON IT CANNOT SHOW:\n  - %s\n", name, strings.Join(p.Limits(), "\n  - ")), nil
}
