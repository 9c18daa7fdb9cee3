package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/restore-drill/restore-drill/reports"
)

func (a *app) compareCommand() *cobra.Command {
	var format, file string
	cmd := &cobra.Command{
		Use:   "compare DIR|report.json DIR|report.json",
		Short: "Say what changed from one drill to another: verdict, figures, checks and findings",
		Long: `Compare the reports of two drills, the older one first. It is worse when the verdict, a check or an objective came out worse, or an objective that both missed is missed by
more than the figures can be told apart. A figure that meets its objective is told with its ratio, and not judged: no two runs take the same time. What else
differs, the host, a version, the scenario's file, is listed.

Exit code: 0 the same or better, 1 worse, 64 a report cannot be read.`,
		Example: "  restore-drill compare drills-of-yesterday/etcd-data-lost drills-of-today/etcd-data-lost\n  restore-drill compare main/report.json branch/report.json --format markdown",
		Args:    cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			var sides []*reports.Report
			for _, arg := range args {
				set, err := reports.Open(arg)
				if err != nil {
					return err
				}
				if set.Summary != nil {
					return fmt.Errorf("%s holds several drills: compare one of them, %s/NAME", arg, arg)
				}
				sides = append(sides, set.Reports[0])
			}
			c := reports.Compare(sides[0], sides[1])
			if err := a.deliver(file, func(w io.Writer) error {
				switch format {
				case "json":
					return reports.WriteComparisonJSON(w, c)
				case "markdown":
					return reports.WriteComparisonMarkdown(w, c)
				}
				return reports.WriteComparison(w, c, file == "" && a.color())
			}); err != nil {
				return err
			}
			if c.Outcome == reports.Worse {
				return exitError{nil, exitFailed}
			}
			return nil
		},
	}
	oneOf(cmd.Flags(), &format, "format", "", "what to render", "text", "json", "markdown")
	cmd.Flags().StringVarP(&file, "output", "o", "", "file to write; without it, stdout")
	return cmd
}
