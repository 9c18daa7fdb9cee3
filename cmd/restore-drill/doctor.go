package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/internal/doctor"
)

func (a *app) doctorCommand() *cobra.Command {
	l := &listing{app: a}
	provider := ""
	cmd := &cobra.Command{
		Use: "doctor", Short: "Say what this machine lacks for drills, and what mends it", Args: cobra.NoArgs,
		Long: "Look at what this machine has of what clusters need, and name for each thing that is missing the command that mends it. Nothing is changed or\n" +
			"built. What is scarce may be too little. It exits with 1 when something is missing or could not be told.",
		Example: "  restore-drill doctor\n  restore-drill doctor --provider kind -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var findings []doctor.Finding
			switch provider {
			case "kind":
				findings = doctor.Kind(cmd.Context())
			default:
				findings = doctor.Process(cmd.Context(), a.toolchain(nil))
			}
			if err := list(l, findings,
				column[doctor.Finding]{"STATE", false, func(f doctor.Finding) string { return f.State.String() }},
				column[doctor.Finding]{"WHAT", false, func(f doctor.Finding) string { return f.Name }},
				column[doctor.Finding]{"SEEN", false, func(f doctor.Finding) string { return f.Seen }},
				column[doctor.Finding]{"MEND IT WITH", false, func(f doctor.Finding) string { return f.Mend }},
			); err != nil {
				return err
			}
			if doctor.Error(findings) == nil {
				return nil
			}
			if l.output == "table" || l.output == "wide" {
				// The whole of what failed, which is too long for a table.
				for _, f := range findings {
					if f.Err != nil {
						fmt.Fprintf(a.stderr, "%s: %v\n", f.Name, f.Err)
					}
				}
			}
			return exitError{nil, exitFailed}
		},
	}
	oneOf(cmd.Flags(), &provider, "provider", "", "for clusters of which provider", clusters.DefaultProvider, "kind")
	l.flag(cmd.Flags())
	return cmd
}
