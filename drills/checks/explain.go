package checks

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/restore-drill/restore-drill/scenarios"
)

// Profiles of allowed differences, by name.
func Profiles() []string { return slices.Sorted(maps.Keys(profiles)) }

// ExplainProfile says in words what a profile allows to differ, with the reason and the source of each rule.
func ExplainProfile(name string) (string, error) {
	p, ok := profiles[name]
	if !ok {
		return "", errors.New(scenarios.Unknown("profile", name, Profiles()))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "PROFILE: %s\n\nALLOWS, and nothing else:\n", name)
	for _, r := range append(slices.Clip(p.rules), definitionRule, ledgerRule) {
		fmt.Fprintf(&b, "\n  %s\n    may be %s%s\n    because %s\n", r.name, strings.Join(r.classes, " or "), r.of(), r.because)
		if r.loss {
			b.WriteString("    A user loses something by it: each time it is told as a finding.\n")
		}
		fmt.Fprintf(&b, "    source: %s\n", r.source)
	}
	return b.String(), nil
}

// of what the rule speaks: the resources and fields that it names.
func (r *rule) of() string {
	var b strings.Builder
	list := func(what string, words []string) {
		if len(words) > 0 {
			fmt.Fprintf(&b, ", %s %s", what, strings.Join(words, " "))
		}
	}
	list("of", r.resources)
	list("except", r.except)
	if r.namespace != "" {
		list("in namespace", []string{r.namespace})
	}
	list("named", r.names)
	if r.label != "" {
		list("labelled", []string{r.label})
	}
	list("in", r.fields)
	return b.String()
}
