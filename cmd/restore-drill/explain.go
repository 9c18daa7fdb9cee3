package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/restore-drill/restore-drill/drills"
	"github.com/restore-drill/restore-drill/scenarios"
)

// pipeline is what explain calls the phases of a drill.
const pipeline = "pipeline"

func (a *app) explainCommand() *cobra.Command {
	var recursive bool
	var subjects []string
	for _, s := range drills.Subjects() {
		subjects = append(subjects, s.Singular)
	}
	cmd := &cobra.Command{
		Use:   "explain [FIELD|pipeline|" + strings.Join(subjects, "|") + " NAME]",
		Short: "Explain a field of a scenario, the pipeline, a fault, a check, a profile or a provider",
		Long: `Explain what a scenario file may hold at a path, such as spec.backup.velero: what the JSON Schema and its descriptions say. Without arguments it is the
whole file. Or explain the phases of a drill; or one fault, check, fidelity profile or provider by its name.`,
		Example: "  restore-drill explain spec.backup.velero\n  restore-drill explain spec --recursive\n  restore-drill explain pipeline\n" +
			"  restore-drill explain fault etcd-data-lost\n  restore-drill explain profile velero",
		Args: cobra.MaximumNArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			text, err := explain(args, subjects, recursive)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(a.stdout, text)
			return err
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) (found []cobra.Completion, _ cobra.ShellCompDirective) {
			for _, s := range drills.Subjects() {
				if len(args) == 1 && args[0] == s.Singular {
					return s.Names, cobra.ShellCompDirectiveNoFileComp
				}
			}
			if len(args) == 0 {
				found = append([]cobra.Completion{pipeline}, subjects...)
				found = append(found, scenarios.Fields(drills.Vocabulary())...)
			}
			return found, cobra.ShellCompDirectiveNoFileComp
		},
	}
	cmd.Flags().BoolVar(&recursive, "recursive", false, "name all fields below, without what they mean")
	return cmd
}

func explain(args, subjects []string, recursive bool) (string, error) {
	switch {
	case len(args) == 2:
		return drills.Explain(args[0], args[1])
	case len(args) == 0:
		return scenarios.Explain(drills.Vocabulary(), "", recursive)
	case args[0] == pipeline:
		return drills.ExplainPipeline(), nil
	case slices.Contains(subjects, args[0]):
		for _, s := range drills.Subjects() {
			if s.Singular == args[0] {
				return "", fmt.Errorf("explain which %s? known: %s", s.Singular, strings.Join(s.Names, ", "))
			}
		}
	}
	return scenarios.Explain(drills.Vocabulary(), args[0], recursive)
}
