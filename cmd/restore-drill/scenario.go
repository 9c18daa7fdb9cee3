package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/restore-drill/restore-drill/drills"
	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/internal/toolchain"
	"github.com/restore-drill/restore-drill/scenarios"
)

func (a *app) scenarioCommand() *cobra.Command {
	return group("scenario", "List, show, make and check scenarios",
		&cobra.Command{
			Use: "list", Short: "List the embedded scenarios", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error {
				w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
				fmt.Fprintln(w, "NAME\tFAULTS\tEXPECTS\tWHAT IT REHEARSES")
				for _, s := range scenarios.Embedded() {
					parsed, err := scenarios.Parse(s.Path, s.Data, drills.Vocabulary())
					if err != nil {
						return err
					}
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", s.Name, strings.Join(drills.FaultNames(parsed), ","), parsed.Spec.Expect.Verdict, scenarios.FirstSentence(parsed.Spec.Description))
				}
				return w.Flush()
			},
		},
		&cobra.Command{
			Use: "show NAME", Short: "Print an embedded scenario", Args: cobra.ExactArgs(1),
			RunE: func(_ *cobra.Command, args []string) error {
				s, err := drills.Read(args[0])
				if err != nil {
					return err
				}
				_, err = a.stdout.Write(s.Text)
				return err
			},
		},
		&cobra.Command{
			Use: "new NAME", Short: "Print a scenario to start from", Args: cobra.ExactArgs(1),
			Example: "  restore-drill scenario new my-drill > my-drill.yaml",
			RunE: func(_ *cobra.Command, args []string) error {
				_, err := a.stdout.Write(scenarios.New(args[0]))
				return err
			},
		},
		&cobra.Command{
			Use: "validate all|NAME|FILE...", Short: "Check scenarios, and name every mistake", Args: cobra.MinimumNArgs(1),
			RunE: func(_ *cobra.Command, args []string) error {
				loaded, err := drills.LoadAll(args)
				for _, s := range loaded {
					fmt.Fprintf(a.stdout, "%s: valid\n", s.Path)
				}
				return err
			},
		},
		&cobra.Command{
			Use: "schema", Short: "Print the JSON Schema of a scenario", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error {
				schema, err := scenarios.Schema(drills.Vocabulary())
				if err != nil {
					return err
				}
				_, err = a.stdout.Write(schema)
				return err
			},
		},
	)
}

func (a *app) planCommand() *cobra.Command {
	var provider string
	cmd := &cobra.Command{
		Use: "plan NAME|FILE", Short: "Say what a drill would do, on what, and what it would destroy; touch nothing",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := drills.Load(args[0])
			if err != nil {
				return err
			}
			plan, err := drills.Plan(s.Scenario, provider)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(a.stdout, plan)
			return err
		},
	}
	cmd.Flags().StringVar(&provider, "provider", clusters.DefaultProvider, "where the clusters would run: "+strings.Join(clusters.Providers(), ", "))
	return cmd
}

func (a *app) toolchainCommand() *cobra.Command {
	progress := func(line string) { fmt.Fprintln(a.stderr, line) }
	return group("toolchain", "The binaries that clusters are made of",
		&cobra.Command{
			Use: "list", Short: "List components, their versions, and where they are", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				all, err := a.toolchain(progress).List(cmd.Context())
				if err != nil {
					return exitError{err, exitFailed}
				}
				w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
				fmt.Fprintln(w, "COMPONENT\tVERSION\tSOURCE\tPATH")
				for _, b := range all {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", b.Component, b.Version, b.Source, b.Path)
				}
				return w.Flush()
			},
		},
		a.buildCommand(progress),
		&cobra.Command{
			Use: "path COMPONENT [KUBERNETES-VERSION]", Short: "Print the path of a component's binary, built if need be", Args: cobra.RangeArgs(1, 2),
			RunE: func(cmd *cobra.Command, args []string) error {
				kubernetes := ""
				if len(args) == 2 {
					kubernetes = args[1]
				}
				b, err := a.toolchain(progress).Find(cmd.Context(), args[0], kubernetes)
				if err != nil {
					return toolchainError(err)
				}
				_, err = fmt.Fprintln(a.stdout, b.Path)
				return err
			},
		},
	)
}

func (a *app) buildCommand(progress func(string)) *cobra.Command {
	all := false
	cmd := &cobra.Command{
		Use: "build [COMPONENT|KUBERNETES-VERSION...]", Short: "Build what is missing into the cache",
		Long: "Build what is missing into the cache, in the order named. A version of Kubernetes stands for a control plane of that version.\n" +
			"Without names it is " + toolchain.DefaultKubernetes + "; Velero and the object store are built when a drill needs them.",
		Example: "  restore-drill toolchain build v1.37.0\n  restore-drill toolchain build velero velero-plugin-for-aws versitygw",
		RunE: func(cmd *cobra.Command, args []string) error {
			if all && len(args) > 0 {
				return fmt.Errorf("--all leaves nothing to name: drop it, or %s", strings.Join(args, " "))
			}
			if all {
				args = toolchain.Everything()
			}
			return toolchainError(a.toolchain(progress).Build(cmd.Context(), args...))
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "build everything that any drill may need")
	return cmd
}

// toolchainError is a mistake of usage where a name is unknown, else a failure; nil for nil.
func toolchainError(err error) error {
	if err == nil || errors.Is(err, toolchain.ErrUnknown) {
		return err
	}
	return exitError{err, exitFailed}
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
