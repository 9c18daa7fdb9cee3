package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"
)

// built is when the sources of this build were committed, so that the pages of a version are always the same; nil where nobody knows.
func built() *time.Time {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	for _, s := range info.Settings {
		if at, err := time.Parse(time.RFC3339, s.Value); s.Key == "vcs.time" && err == nil {
			return &at
		}
	}
	return nil
}

// spell out what the flags of a tree take: the help text has it in another place, which a manual page has not.
func spell(cmd *cobra.Command) {
	cmd.LocalNonPersistentFlags().VisitAll(spellFlag)
	cmd.PersistentFlags().VisitAll(spellFlag)
	for _, sub := range cmd.Commands() {
		spell(sub)
	}
}

func spellFlag(f *pflag.Flag) {
	if c, ok := f.Value.(choice); ok {
		f.Usage += " (" + or(c.words) + ")"
	}
}

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
			root.DisableAutoGenTag = true
			spell(root)
			header := doc.GenManHeader{Title: "RESTORE-DRILL", Section: "1", Source: "restore-drill " + version(), Manual: "restore-drill", Date: built()}
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
