package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/restore-drill/restore-drill/drills"
	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/internal/progress"
	"github.com/restore-drill/restore-drill/internal/toolchain"
	"github.com/restore-drill/restore-drill/reports"
	"github.com/restore-drill/restore-drill/reports/history"
)

func (a *app) runCommand() *cobra.Command {
	var (
		provider, nodeImage, out, where string
		asDeclared                      bool
	)
	b := batch{app: a}
	cmd := &cobra.Command{
		Use:   "run all|NAME|FILE...",
		Short: "Run drills, and leave evidence and reports in a directory",
		Long: `Run one or more drills, embedded ones by name and files by path; all stands for every embedded one. Several drills each have a
directory of their own in the run directory, and one report of them all lies beside: index.html, summary.json and junit.xml.

With --history each drill is appended to a history, whatever came out of it; a history that cannot be appended to leaves the verdict as it is.
OpenTelemetry's own variables (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_EXPORTER, ...) name a receiver of the drills as traces; TRACEPARENT names one to join.

Exit code: 0 all passed, 1 one failed, 2 one is unknown (the drill could not tell), 3 all passed and the history could not be appended to or somebody
could not be told, 64 usage or an invalid scenario, 130 interrupted.`,
		Example: "  restore-drill run etcd-data-lost\n  restore-drill run ./my-scenario.yaml --out ./drill-of-today\n  restore-drill run all --parallel 2 --as-declared",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if b.parallel < 1 {
				return fmt.Errorf("--parallel %d (want 1 or more)", b.parallel)
			}
			args, err := a.fitting(args, provider)
			if err != nil {
				return err
			}
			if b.drills, err = drills.LoadAll(args); err != nil {
				return err
			}
			if err := errors.Join(b.place(out), b.announced.settle()); err != nil {
				return err
			}
			if where != "" {
				if err := history.Check(where); err != nil {
					return err
				}
			}
			if b.display, err = progress.New(a.stderr, a.progress, a.coloured(a.stderr)); err != nil {
				return err
			}
			defer b.display.Close()
			if b.provider, err = clusters.NewProvider(provider, clusters.Tools{Toolchain: a.toolchain(b.display.Line), StateRoot: clusters.StateRoot(), NodeImage: nodeImage}); err != nil {
				return err
			}
			summary, err := b.run(cmd.Context())
			unreported := b.announced.err()
			if where != "" {
				unreported = errors.Join(b.record(cmd.Context(), where), unreported)
			}
			switch {
			case asDeclared && !summary.AsDeclared:
				return exitError{errors.Join(err, unreported, errors.New("not every drill came out as its scenario declares")), exitFailed}
			case err != nil && (asDeclared || summary.Verdict == reports.Passed):
				return exitError{errors.Join(err, unreported), exitUnknown}
			case unreported != nil && (asDeclared || summary.Verdict == reports.Passed):
				return exitError{unreported, exitReporting}
			case asDeclared:
				return nil
			}
			return exitWith(errors.Join(err, unreported), summary.Verdict)
		},
	}
	b.announced.flags(cmd.Flags())
	providerFlag(cmd.Flags(), &provider, "where the clusters run")
	cmd.Flags().StringVar(&nodeImage, "node-image", "", "image of every node on provider kind, whatever a scenario says (default kindest/node:VERSION)")
	cmd.Flags().StringVar(&out, "out", "", "run directory, new or empty (default a dated one under ./drill-runs)")
	historyFlag(cmd.Flags(), &where)
	oneOf(cmd.Flags(), &b.output, "output", "o", "what to print on stdout", "text", "json")
	cmd.Flags().IntVar(&b.parallel, "parallel", 1, "how many drills to run at a time, at most, and no more than fit the memory that is available")
	cmd.Flags().BoolVar(&asDeclared, "as-declared", false, "exit 0 when every drill comes out as its scenario's expect says, whatever the verdict")
	return cmd
}

// fitting puts in the place of all the scenarios that the provider can run, and says which it leaves out.
func (a *app) fitting(args []string, provider string) (fitting []string, err error) {
	for _, arg := range args {
		if arg != drills.All {
			fitting = append(fitting, arg)
			continue
		}
		p, err := clusters.NewProvider(provider, clusters.Tools{})
		if err != nil {
			return nil, err
		}
		fit, unfit, err := drills.Fitting(p)
		if err != nil {
			return nil, err
		}
		if len(unfit) > 0 {
			fmt.Fprintf(a.stderr, "left out, for they need nodes that are machines, which provider %s has not: %s\n", provider, strings.Join(unfit, ", "))
		}
		fitting = append(fitting, fit...)
	}
	return fitting, nil
}

func (a *app) judgeCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "judge DIR",
		Short: "Judge a saved run directory again, and write its reports anew",
		Long: `Judge a saved run directory by its evidence alone, with the checks of this program, and write its reports anew. It is no drill: no cluster is made.

Exit code: that of the verdict, as of run.`,
		Example: "  restore-drill judge drills-of-today/night-shift",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			report, err := drills.Judge(args[0], version())
			if err != nil {
				return exitError{err, exitUsage}
			}
			if err := a.leave(args[0], report, output); err != nil {
				return exitError{err, exitUnknown}
			}
			return exitWith(nil, report.Verdict)
		},
	}
	oneOf(cmd.Flags(), &output, "output", "o", "what to print on stdout", "text", "json")
	return cmd
}

func (a *app) cleanupCommand() *cobra.Command {
	l := &listing{app: a}
	cmd := &cobra.Command{
		Use:     "cleanup",
		Short:   "Remove what interrupted drills left running or lying about",
		Long:    "cleanup ends the processes and removes the directories of drills whose own process is gone. Drills that still run are left alone, and so is every process that no drill started. Run directories and reports are kept.",
		Example: "  restore-drill cleanup",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			removed, err := clusters.Cleanup(cmd.Context(), clusters.StateRoot(), func(line string) { fmt.Fprintln(a.stderr, line) })
			if err := errors.Join(list(l, removed, column[string]{"REMOVED", false, func(r string) string { return r }}), err); err != nil {
				return exitError{err, exitFailed}
			}
			return nil
		},
	}
	l.flag(cmd.Flags())
	return cmd
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
	return reports.WriteTerminal(a.stdout, r, a.color(), files...)
}

// color tells whether stdout is to show any.
func (a *app) color() bool { return a.coloured(a.stdout) }

// coloured tells whether a stream is to show colors, as --color says. What the environment says (https://no-color.org) is its default.
func (a *app) coloured(w io.Writer) bool {
	if a.colors != "auto" {
		return a.colors == "always"
	}
	f, ok := w.(*os.File)
	return ok && isTerminal(f) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// providerFlag names the provider of a drill, the default one first.
func providerFlag(flags *pflag.FlagSet, value *string, usage string) {
	names := slices.DeleteFunc(clusters.Providers(), func(name string) bool { return name == clusters.DefaultProvider })
	oneOf(flags, value, "provider", "", usage, append([]string{clusters.DefaultProvider}, names...)...)
}

func (a *app) toolchain(progress func(string)) *toolchain.Toolchain {
	return toolchain.New(toolchain.Options{BinDir: a.binDir, Progress: progress})
}
