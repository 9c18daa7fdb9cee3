package main

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/restore-drill/restore-drill/drills"
	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/internal/toolchain"
	"github.com/restore-drill/restore-drill/scenarios"
)

// completed gives every command the completion of its arguments, by what its usage line calls them, and that of its flags.
func completed(cmd *cobra.Command) error {
	if cmd.ValidArgsFunction == nil && cmd.ValidArgs == nil {
		cmd.ValidArgsFunction = argument(cmd.Use)
	}
	var err error
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		c, ok := f.Value.(choice)
		if _, known := cmd.GetFlagCompletionFunc(f.Name); ok && !known {
			err = cmp.Or(err, cmd.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(c.words, cobra.ShellCompDirectiveNoFileComp)))
		}
	})
	for _, sub := range cmd.Commands() {
		err = cmp.Or(err, completed(sub))
	}
	return err
}

// argument completes what a usage line asks for.
func argument(use string) cobra.CompletionFunc {
	_, arguments, _ := strings.Cut(use, " ")
	switch {
	case strings.Contains(arguments, "NAME|FILE"), strings.HasPrefix(use, "show "):
		return scenarioNames(strings.Contains(arguments, drills.All))
	case strings.HasPrefix(use, "man "):
		return func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		}
	case strings.Contains(arguments, "DIR"):
		return runDirectories
	case strings.Contains(arguments, "COMPONENT"):
		return components
	case arguments == "":
		return cobra.NoFileCompletions
	}
	return nil
}

// scenarioNames completes embedded scenarios, with what they rehearse; the shell adds files.
func scenarioNames(all bool) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, begun string) (found []cobra.Completion, _ cobra.ShellCompDirective) {
		if all && strings.HasPrefix(drills.All, begun) {
			found = append(found, cobra.CompletionWithDesc(drills.All, "every embedded scenario"))
		}
		for _, s := range scenarios.Embedded() {
			if !strings.HasPrefix(s.Name, begun) || slices.Contains(args, s.Name) {
				continue
			}
			if parsed, err := scenarios.Parse(s.Path, s.Data, drills.Vocabulary()); err == nil {
				found = append(found, cobra.CompletionWithDesc(s.Name, scenarios.FirstSentence(parsed.Spec.Description)))
			}
		}
		return found, cobra.ShellCompDirectiveDefault
	}
}

// runDirectories completes saved run directories, the newest of those under drill-runs first, and the directories that lead to others.
func runDirectories(_ *cobra.Command, _ []string, begun string) (found []cobra.Completion, _ cobra.ShellCompDirective) {
	directive := cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	_, last := filepath.Split(begun)
	add := func(pattern string) {
		dirs, err := filepath.Glob(pattern)
		if err != nil {
			return
		}
		slices.Reverse(dirs) // dated ones: the newest first
		for _, dir := range dirs {
			switch {
			case slices.Contains(found, dir), strings.HasPrefix(filepath.Base(dir), ".") && !strings.HasPrefix(last, "."):
			case isFile(dir, evidence.HeaderFile):
				found = append(found, dir)
			case isDir(dir):
				found = append(found, dir+string(filepath.Separator))
				directive |= cobra.ShellCompDirectiveNoSpace
			}
		}
	}
	if begun == "" {
		add(filepath.Join(defaultRuns, "*"))
	}
	add(begun + "*")
	return found, directive
}

func isFile(dir, name string) bool {
	info, err := os.Stat(filepath.Join(dir, name))
	return err == nil && info.Mode().IsRegular()
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// components completes what the toolchain can build.
func components(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	names := append(toolchain.Components(), toolchain.KubernetesVersions...)
	if cmd.Name() == "path" && len(args) > 0 {
		names = toolchain.KubernetesVersions
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
