package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/restore-drill/restore-drill/drills"
	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/internal/progress"
	"github.com/restore-drill/restore-drill/internal/toolchain"
	"github.com/restore-drill/restore-drill/reports"
)

func (a *app) runCommand() *cobra.Command {
	var (
		provider, out, output string
		asDeclared            bool
	)
	cmd := &cobra.Command{
		Use:   "run NAME|FILE...",
		Short: "Run drills, and leave evidence and reports in a directory",
		Long: `Run one or more drills, embedded ones by name and files by path, one after the other.

Exit code: 0 all passed, 1 one failed, 2 one is unknown (the drill could not tell), 64 usage or an invalid scenario, 130 interrupted.`,
		Example: "  restore-drill run etcd-data-lost\n  restore-drill run ./my-scenario.yaml --out ./drill-of-today",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			loaded, err := drills.LoadAll(args)
			if err != nil {
				return err
			}
			dirs, err := runDirs(out, loaded)
			if err != nil {
				return err
			}
			display, err := progress.New(a.stderr, a.progress)
			if err != nil {
				return err
			}
			defer display.Close()
			p, err := a.provider(provider, display)
			if err != nil {
				return err
			}
			var verdicts []reports.Verdict
			mismatched := false
			for i, s := range loaded {
				dir := dirs[i]
				report, err := drills.Run(cmd.Context(), drills.Options{
					Scenario: s.Scenario, Text: s.Text, Path: s.Path, Provider: p, Dir: dir, Version: version(), Progress: display.Drill("").Event,
				})
				if report == nil {
					// Nothing is known of this drill; what is known of those before it counts on.
					return exitError{err, exitCode(reports.Worst(append(verdicts, reports.Unknown)...))}
				}
				if err := a.leave(dir, report, output); err != nil {
					return exitError{err, exitUnknown}
				}
				verdicts = append(verdicts, report.Verdict)
				mismatched = mismatched || !report.Declared.AsDeclared
				if context.Cause(cmd.Context()) != nil {
					return context.Cause(cmd.Context())
				}
			}
			if asDeclared {
				if mismatched {
					return exitError{errors.New("not every drill came out as its scenario declares"), exitFailed}
				}
				return nil
			}
			return exitWith(reports.Worst(verdicts...))
		},
	}
	cmd.Flags().StringVar(&provider, "provider", "process", "where the clusters run: process")
	cmd.Flags().StringVar(&out, "out", "", "run directory, new or empty (default a dated one under ./drill-runs)")
	cmd.Flags().StringVarP(&output, "output", "o", "text", "what to print on stdout: text or json")
	cmd.Flags().BoolVar(&asDeclared, "as-declared", false, "exit 0 when every drill comes out as its scenario's expect says, whatever the verdict")
	return cmd
}

func (a *app) judgeCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "judge DIR",
		Short: "Judge a saved run directory again, and write its reports anew",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			report, err := drills.Judge(args[0], version())
			if err != nil {
				return exitError{err, exitUsage}
			}
			if err := a.leave(args[0], report, output); err != nil {
				return exitError{err, exitUnknown}
			}
			return exitWith(report.Verdict)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "what to print on stdout: text or json")
	return cmd
}

func (a *app) cleanupCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "cleanup",
		Short: "Remove what interrupted drills left running or lying about",
		Long:  "cleanup ends the processes and removes the directories of drills whose own process is gone. Drills that still run are left alone, and so is every process that no drill started. Run directories and reports are kept.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			removed, err := clusters.Cleanup(cmd.Context(), clusters.StateRoot(), func(line string) { fmt.Fprintln(a.stderr, line) })
			for _, r := range removed {
				fmt.Fprintln(a.stdout, r)
			}
			if err != nil {
				return exitError{err, exitFailed}
			}
			return nil
		},
	}
}

// leave writes the reports into dir and prints one of them.
func (a *app) leave(dir string, r *reports.Report, output string) error {
	files, err := reports.WriteAll(dir, r)
	if err != nil {
		return err
	}
	if output == "json" {
		return reports.WriteJSON(a.stdout, r)
	}
	f, ok := a.stdout.(*os.File)
	return reports.WriteTerminal(a.stdout, r, ok && isTerminal(f) && os.Getenv("NO_COLOR") == "", files...)
}

func (a *app) provider(name string, display *progress.Display) (clusters.Provider, error) {
	for _, p := range a.providers(display) {
		if p.Name() == name {
			return p, nil
		}
	}
	return nil, fmt.Errorf("unknown provider %q (want process)", name)
}

func (a *app) providers(display *progress.Display) []clusters.Provider {
	return []clusters.Provider{
		clusters.NewProcess(clusters.ProcessOptions{Toolchain: a.toolchain(display.Line), StateRoot: clusters.StateRoot()}),
	}
}

func (a *app) toolchain(progress func(string)) *toolchain.Toolchain {
	return toolchain.New(toolchain.Options{BinDir: a.binDir, Progress: progress})
}

// runDirs gives each drill its run directory: out itself for one drill, a directory under it for each of several, and dated ones by
// default. It tells all that is wrong with them before the first drill runs.
func runDirs(out string, loaded []*drills.Loaded) ([]string, error) {
	var (
		dirs []string
		errs []error
	)
	for _, l := range loaded {
		name := l.Scenario.Metadata.Name
		dir := out
		switch {
		case out == "":
			dir = filepath.Join("drill-runs", time.Now().Format("20060102-150405")+"-"+name)
		case len(loaded) > 1:
			dir = filepath.Join(out, name)
		}
		if slices.Contains(dirs, dir) {
			errs = append(errs, fmt.Errorf("two drills are named %s: their reports would meet in %s", name, dir))
		}
		errs = append(errs, evidence.Free(dir))
		dirs = append(dirs, dir)
	}
	return dirs, errors.Join(errs...)
}

func checkOutput(output string) error {
	if output != "text" && output != "json" {
		return fmt.Errorf("unknown --output %q (want text or json)", output)
	}
	return nil
}
