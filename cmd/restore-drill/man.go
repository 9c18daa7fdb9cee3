package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func (a *app) manCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write the manual pages of all commands into a directory",
		Long: `Write one manual page for each command into a directory, which is made where it is not there: restore-drill.1, restore-drill-run.1 and so on.
They say what --help says.`,
		Example: "  restore-drill man ~/.local/share/man/man1 && man restore-drill-run",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return exitError{fmt.Errorf("make the directory of the manual pages: %w", err), exitFailed}
			}
			root := cmd.Root()
			root.DisableAutoGenTag = true // no date: the pages of a version are always the same
			header := doc.GenManHeader{Title: "RESTORE-DRILL", Section: "1", Source: "restore-drill " + version(), Manual: "restore-drill", Date: &time.Time{}}
			if err := doc.GenManTree(root, &header, args[0]); err != nil {
				return exitError{fmt.Errorf("write the manual pages: %w", err), exitFailed}
			}
			pages, err := filepath.Glob(filepath.Join(args[0], "*.1"))
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.stdout, "%d pages in %s\n", len(pages), args[0])
			return err
		},
	}
}
