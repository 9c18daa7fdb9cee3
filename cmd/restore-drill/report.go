package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/restore-drill/restore-drill/reports"
)

func (a *app) reportCommand() *cobra.Command {
	var format, file string
	cmd := &cobra.Command{
		Use:   "report DIR|report.json",
		Short: "Print the report of a finished drill, or of several that ran together, in another format",
		Long: `Render what a drill's report.json says, or that of each drill of a directory with a summary.json, in another format. Nothing is judged again.

  text      what "run" prints
  json      report.json itself; of several drills their summary.json
  junit     for Jenkins, GitLab, GitHub and Azure; with -o FILE, what is over 25 MB goes on in FILE-2
  html      one page that needs no network
  markdown  for the summary of a CI step, up to 1 MiB
  comment   for a pull request, up to 65,536 characters
  oscal     assessment results of NIST's OSCAL, of one drill whose scenario names controls

A report that was changed after it was written, or is of another schema version, is refused. A file is only written anew if it is a report of ours.

Exit code: 0 the report was written, whatever its verdict; 64 it cannot be read; 3 it cannot be written.`,
		Example: "  restore-drill report drills-of-today --format markdown >> \"$GITHUB_STEP_SUMMARY\"\n  restore-drill report drills-of-today/etcd-data-lost --format comment -o comment.md",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			set, err := reports.Open(args[0])
			if err != nil {
				return err
			}
			if format == "junit" && file != "" {
				if _, err := reports.WriteJUnitFiles(file, set.Reports...); err != nil {
					return exitError{err, exitReporting}
				}
				return nil
			}
			return a.deliver(file, func(w io.Writer) error {
				if format == "text" && file == "" {
					return a.show(set)
				}
				return reports.Render(w, format, set)
			})
		},
	}
	oneOf(cmd.Flags(), &format, "format", "", "what to render", reports.Formats...)
	cmd.Flags().StringVarP(&file, "output", "o", "", "file to write; without it, stdout")
	return cmd
}

// deliver a document to a file, or to stdout.
func (a *app) deliver(file string, write func(io.Writer) error) error {
	var err error
	if file == "" {
		err = write(a.stdout)
	} else {
		err = reports.Replace(file, write)
	}
	if err != nil {
		return exitError{err, exitReporting}
	}
	return nil
}

// show a set on the terminal, in colour where that shows any.
func (a *app) show(s *reports.Set) error {
	if s.Summary != nil {
		return reports.WriteSummaryTerminal(a.stdout, s.Summary, a.color())
	}
	return reports.WriteTerminal(a.stdout, s.Reports[0], a.color())
}
