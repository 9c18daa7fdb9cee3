package scenarios

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// catalogueLabel holds the rows of a catalogue of failures that a scenario stands for.
const catalogueLabel = "catalogue"

// TestTableIsUpToDate holds README.md to what the scenarios say.
func TestTableIsUpToDate(t *testing.T) {
	var all, sabotage []*Scenario
	for _, named := range Embedded() {
		s, err := Parse(named.Path, named.Data, Vocabulary{})
		require.NoError(t, err)
		if label, ok := s.Metadata.Labels[catalogueLabel]; ok {
			require.Regexp(t, `^[A-Z][0-9]{2}(\.[A-Z][0-9]{2})*$`, label, named.Path)
		}
		if named.Sabotage {
			sabotage = append(sabotage, s)
		} else {
			all = append(all, s)
		}
	}
	made := `# Scenarios

What ships with restore-drill, and what each scenario expects: of the tool, of the verdict, and which checks come out other than passed. A row names
its number in a catalogue of failures where it has one. A test writes this page (` + "`make generate`" + `) and fails when it is out of date.

` + table(all) + `
## Sabotage

Drills that must not pass: each shows that a check can be red.

` + table(sabotage)
	if *update {
		require.NoError(t, os.WriteFile("README.md", []byte(made), 0o644))
	}
	page, err := os.ReadFile("README.md")
	require.NoError(t, err)
	require.True(t, string(page) == made, "README.md is out of date: run make generate")
}

// table of scenarios, in which one that is named after a method stands beside the one that is not.
func table(all []*Scenario) string {
	family := func(s *Scenario) string { return strings.TrimPrefix(s.Metadata.Name, "velero-") }
	slices.SortStableFunc(all, func(a, b *Scenario) int { return cmp.Compare(family(a), family(b)) })
	var b strings.Builder
	b.WriteString("| scenario | what it rehearses | method | faults | the tool says | verdict | checks | row |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, s := range all {
		methods := []string{s.Spec.Backup.Method}
		for _, l := range s.Spec.Layers {
			methods = append(methods, l.Backup.Method)
		}
		var faults, checks []string
		for _, f := range s.Spec.Faults {
			faults = append(faults, f.Name)
		}
		expect := s.Spec.Expect
		for _, check := range slices.Sorted(maps.Keys(expect.Checks)) {
			if outcome := expect.Checks[check]; outcome != "passed" {
				checks = append(checks, check+" "+outcome)
			}
		}
		says := expect.Tool
		switch {
		case expect.Backup == "completed":
		case s.Spec.Backup.Count == 1: // there is nothing to restore
			says = "backup " + expect.Backup
		default:
			says = fmt.Sprintf("newest backup %s, restore %s", expect.Backup, expect.Tool)
		}
		row := strings.ReplaceAll(s.Metadata.Labels[catalogueLabel], ".", ", ")
		fmt.Fprintf(&b, "| [%s](%s) | %s | %s | %s | %s | %s | %s | %s |\n", s.Metadata.Name, file(s), FirstSentence(s.Spec.Description),
			strings.Join(methods, ", then "), strings.Join(slices.Compact(faults), ", "), says, expect.Verdict, strings.Join(checks, ", "), row)
	}
	return b.String()
}

// file of a scenario that is built in, beside README.md.
func file(s *Scenario) string {
	named, _ := Find(s.Metadata.Name)
	return strings.TrimPrefix(named.Path, "scenarios/")
}
