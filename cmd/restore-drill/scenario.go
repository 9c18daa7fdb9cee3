package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/restore-drill/restore-drill/drills"
	"github.com/restore-drill/restore-drill/internal/toolchain"
	"github.com/restore-drill/restore-drill/scenarios"
)

func (a *app) scenarioCommand() *cobra.Command {
	return group("scenario", "List, show, make and check scenarios",
		a.scenarioListCommand(),
		&cobra.Command{
			Use: "show NAME", Short: "Print an embedded scenario", Args: cobra.ExactArgs(1),
			Example: "  restore-drill scenario show etcd-data-lost > my-drill.yaml",
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
			Example: "  restore-drill scenario validate my-drill.yaml\n  restore-drill scenario validate all",
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
			Example: "  restore-drill scenario schema > scenario.schema.json",
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

// An embedded scenario as it is listed.
type listed struct {
	Name        string   `json:"name"`
	Faults      []string `json:"faults"`
	Method      string   `json:"method"`
	Layers      []string `json:"layers,omitempty"`
	Tool        string   `json:"tool"`
	Verdict     string   `json:"verdict"`
	Sabotage    bool     `json:"sabotage,omitempty"`
	Path        string   `json:"path"`
	Description string   `json:"description"`
}

// methods of all layers, the lowest first.
func (l listed) methods() string { return strings.Join(append([]string{l.Method}, l.Layers...), "+") }

func (a *app) scenarioListCommand() *cobra.Command {
	l := &listing{app: a}
	cmd := &cobra.Command{
		Use: "list", Short: "List the embedded scenarios", Args: cobra.NoArgs,
		Example: "  restore-drill scenario list\n  restore-drill scenario list -o json | jq -r '.[] | select(.method == \"velero\").name'",
		RunE: func(*cobra.Command, []string) error {
			var rows []listed
			for _, s := range scenarios.Embedded() {
				parsed, err := scenarios.Parse(s.Path, s.Data, drills.Vocabulary())
				if err != nil {
					return err
				}
				spec := parsed.Spec
				row := listed{s.Name, drills.FaultNames(parsed), spec.Backup.Method, nil, spec.Expect.Tool, spec.Expect.Verdict, s.Sabotage, s.Path, strings.TrimSpace(spec.Description)}
				for _, layer := range spec.Layers {
					row.Layers = append(row.Layers, layer.Backup.Method)
				}
				rows = append(rows, row)
			}
			return list(l, rows,
				column[listed]{"NAME", false, func(s listed) string { return s.Name }},
				column[listed]{"METHOD", true, listed.methods},
				column[listed]{"FAULTS", false, func(s listed) string { return strings.Join(s.Faults, ",") }},
				column[listed]{"TOOL SAYS", true, func(s listed) string { return s.Tool }},
				column[listed]{"EXPECTS", false, func(s listed) string { return s.Verdict }},
				column[listed]{"PATH", true, func(s listed) string { return s.Path }},
				column[listed]{"WHAT IT REHEARSES", false, func(s listed) string { return scenarios.FirstSentence(s.Description) }},
			)
		},
	}
	l.flag(cmd.Flags())
	return cmd
}

func (a *app) planCommand() *cobra.Command {
	var provider string
	cmd := &cobra.Command{
		Use: "plan NAME|FILE", Short: "Say what a drill would do, on what, and what it would destroy; touch nothing",
		Example: "  restore-drill plan control-plane-lost\n  restore-drill plan ./night-shift.yaml",
		Args:    cobra.ExactArgs(1),
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
	providerFlag(cmd.Flags(), &provider, "where the clusters would run")
	return cmd
}

func (a *app) toolchainCommand() *cobra.Command {
	progress := func(line string) { fmt.Fprintln(a.stderr, line) }
	return group("toolchain", "The binaries that clusters are made of",
		a.toolchainListCommand(progress),
		a.buildCommand(progress),
		&cobra.Command{
			Use: "path COMPONENT [KUBERNETES-VERSION]", Short: "Print the path of a component's binary, built if need be", Args: cobra.RangeArgs(1, 2),
			Example: "  restore-drill toolchain path etcd\n  restore-drill toolchain path kube-apiserver v1.37.0",
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

// A binary as it is listed.
type binary struct {
	Component string `json:"component"`
	Version   string `json:"version"`
	Path      string `json:"path,omitempty"`
	Source    string `json:"source"`
}

func (a *app) toolchainListCommand(progress func(string)) *cobra.Command {
	l := &listing{app: a}
	cmd := &cobra.Command{
		Use: "list", Short: "List components, their versions, and where they are", Args: cobra.NoArgs,
		Example: "  restore-drill toolchain list\n  restore-drill toolchain list -o yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := a.toolchain(progress).List(cmd.Context())
			if err != nil {
				return exitError{err, exitFailed}
			}
			var rows []binary
			for _, b := range all {
				rows = append(rows, binary(b))
			}
			return list(l, rows,
				column[binary]{"COMPONENT", false, func(b binary) string { return b.Component }},
				column[binary]{"VERSION", false, func(b binary) string { return b.Version }},
				column[binary]{"SOURCE", false, func(b binary) string { return b.Source }},
				column[binary]{"PATH", false, func(b binary) string { return b.Path }},
			)
		},
	}
	l.flag(cmd.Flags())
	return cmd
}

func (a *app) buildCommand(progress func(string)) *cobra.Command {
	all := false
	cmd := &cobra.Command{
		Use: "build [COMPONENT|KUBERNETES-VERSION...]", Short: "Build what is missing into the cache",
		Long: "Build what is missing into the cache, in the order named. A version of Kubernetes stands for a control plane of that version.\n" +
			"Without names it is " + toolchain.DefaultKubernetes + "; Velero and the object store are built when a drill needs them,\n" +
			"and what only images are made of by \"images build\".",
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
	cmd.Flags().BoolVar(&all, "all", false, "build everything that any drill on the provider process may need")
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
