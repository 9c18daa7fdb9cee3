// Command restore-drill rehearses a Kubernetes disaster: it backs a cluster up, breaks it, restores it and measures what came back.
//
// It also runs as a kubectl plugin, under the name kubectl-restore_drill.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"github.com/restore-drill/restore-drill/internal/progress"
	"github.com/restore-drill/restore-drill/reports"
	"github.com/restore-drill/restore-drill/scenarios"
)

// Exit codes.
const (
	exitPassed  = 0
	exitFailed  = 1
	exitUnknown = 2
	// exitReporting is for a drill that passed and whose outcome could not be delivered: to a history, a webhook, a Pushgateway. A verdict that is not
	// passed keeps its own code.
	exitReporting   = 3
	exitUsage       = 64
	exitInterrupted = 130
)

func main() {
	os.Exit(run(os.Args, os.Stdout, os.Stderr))
}

// errInterrupted is the cause of a cancellation by SIGINT, SIGTERM or SIGHUP.
var errInterrupted = errors.New("interrupted")

// run is main without the process: testscript runs it too.
func run(args []string, stdout, stderr io.Writer) int {
	// Kubernetes' client logs to stderr what its callers are told as well, and each connection that ends with a cluster.
	klog.SetLogger(logr.Discard())
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// A reader that goes away (head, a closed terminal) must not take the drill with it, and leave its clusters behind.
	signal.Ignore(syscall.SIGPIPE)
	go func() {
		<-signals
		fmt.Fprintln(stderr, "interrupted: stopping; a drill tears itself down and keeps its evidence (once more to stop at once, then run cleanup)")
		cancel(errInterrupted)
		// The next signal has its default effect.
		signal.Stop(signals)
	}()

	a := &app{stdout: stdout, stderr: stderr}
	program, arguments := called(args)
	root := a.root(program)
	root.SetArgs(arguments)
	cmd, err := root.ExecuteContextC(ctx)
	var code exitError
	switch {
	case errors.Is(context.Cause(ctx), errInterrupted):
		return exitInterrupted
	case err == nil:
		return exitPassed
	case errors.As(err, &code):
		if code.error != nil {
			fmt.Fprintf(stderr, "error: %s\nnext: %s\n", code.error, next(cmd, code.error, code.code))
		}
		return code.code
	default:
		fmt.Fprintf(stderr, "error: %s\nnext: %s\n", err, next(cmd, err, exitUsage))
		return exitUsage
	}
}

// Names under which kubectl finds its plugins, and what completes their arguments.
const (
	pluginName         = "kubectl-restore_drill"
	pluginCompleteName = "kubectl_complete-restore_drill"
)

// called is the name of the program and its arguments. kubectl asks for completions under a name of its own.
func called(args []string) (program string, arguments []string) {
	program = strings.TrimSuffix(filepath.Base(args[0]), ".exe")
	if program == pluginCompleteName {
		return pluginName, append([]string{cobra.ShellCompRequestCmd}, args[1:]...)
	}
	return program, args[1:]
}

// An exitError ends the program with a code of its own; error may be nil when all has been said.
type exitError struct {
	error
	code int
}

func (e exitError) Unwrap() error { return e.error }

// exitCode of a verdict.
func exitCode(v reports.Verdict) int {
	switch v {
	case reports.Passed:
		return exitPassed
	case reports.Failed:
		return exitFailed
	default:
		return exitUnknown
	}
}

// exitWith is the error for a verdict, nil for passed; err is said beside it.
func exitWith(err error, v reports.Verdict) error {
	if v == reports.Passed && err == nil {
		return nil
	}
	return exitError{err, exitCode(v)}
}

// app holds what the commands share.
type app struct {
	stdout, stderr io.Writer
	binDir         string
	progress       string
	colors         string
}

// root is the command tree of the program of this name.
func (a *app) root(name string) *cobra.Command {
	root := &cobra.Command{
		Use:           name,
		Short:         "Rehearse a Kubernetes disaster and measure what comes back",
		Long:          "restore-drill backs a cluster up, breaks it, restores it into a fresh cluster, and measures RTO, RPO and state fidelity.\nIt only ever changes clusters that it created itself.",
		SilenceErrors: true, SilenceUsage: true,
		Example: "  restore-drill scenario list\n  restore-drill plan etcd-data-lost\n  restore-drill run etcd-data-lost",
		Version: version(),
	}
	root.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownCommand(cmd, args[0])
		}
		return cmd.Help()
	}
	root.Args = cobra.ArbitraryArgs
	if name == pluginName {
		root.Use = "restore-drill"
		root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl restore-drill"}
		// The shell completes kubectl, which asks for a plugin's completions itself.
		root.CompletionOptions.DisableDefaultCmd = true
	}
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(flagError)
	// A command that only holds others is not called without one of them.
	root.SetUsageTemplate(strings.Replace(root.UsageTemplate(), "{{if .Runnable}}", "{{if and .Runnable (not .HasAvailableSubCommands)}}", 1))
	flags := root.PersistentFlags()
	flags.StringVar(&a.binDir, "bin-dir", os.Getenv("RESTORE_DRILL_BIN_DIR"), "directory with the control plane's binaries (RESTORE_DRILL_BIN_DIR)")
	oneOf(flags, &a.progress, "progress", "", "progress on stderr", progress.Styles...)
	oneOf(flags, &a.colors, "color", "", "colors: auto is on a terminal, unless NO_COLOR is set", "auto", "always", "never")
	root.AddCommand(a.runCommand(), a.judgeCommand(), a.graphCommand(), a.evidenceCommand(), a.planCommand(), a.explainCommand(), a.scenarioCommand(), a.toolchainCommand(), a.imagesCommand(), a.doctorCommand(), a.cleanupCommand(), a.manCommand(), a.versionCommand())
	root.AddCommand(a.reportCommand(), a.historyCommand(), a.compareCommand(), a.metricsCommand())
	sorted(root)
	rename(root, root.DisplayName())
	if err := errors.Join(root.MarkPersistentFlagDirname("bin-dir"), completed(root)); err != nil {
		panic(err) // the tree is part of the program
	}
	return root
}

// groups of commands in the help text, and what is in each.
var groups = []struct {
	title    string
	commands []string
}{
	{"Drills:", []string{"run", "plan", "judge", "scenario", "explain", "cleanup"}},
	{"What came out of them:", []string{"report", "compare", "history", "graph", "evidence", "metrics"}},
	{"This machine:", []string{"doctor", "images", "toolchain", "completion", "man", "version", "help"}},
}

// sorted puts every command of root into its group.
func sorted(root *cobra.Command) {
	for _, g := range groups {
		root.AddGroup(&cobra.Group{ID: g.title, Title: g.title})
		for _, cmd := range root.Commands() {
			if slices.Contains(g.commands, cmd.Name()) {
				cmd.GroupID = g.title
			}
		}
	}
	last := groups[len(groups)-1].title
	root.SetHelpCommandGroupID(last)
	root.SetCompletionCommandGroupID(last)
}

// rename the program in the examples of a tree, as it was called.
func rename(cmd *cobra.Command, program string) {
	cmd.Example = exampleProgram.ReplaceAllString(cmd.Example, "${1}"+program+" ")
	for _, sub := range cmd.Commands() {
		rename(sub, program)
	}
}

// exampleProgram is where an example calls the program: at the beginning of a line, or of a command that follows another.
var exampleProgram = regexp.MustCompile(`(?m)(^  |&& )restore-drill `)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs, Example: "  restore-drill version",
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(a.stdout, version())
			return err
		},
	}
}

// group is a command that only holds others: without one of them it is called wrongly.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, RunE: func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownCommand(cmd, args[0])
		}
		return fmt.Errorf("%q wants a command: %s", cmd.CommandPath(), or(commandNames(cmd)))
	}}
	cmd.AddCommand(commands...)
	return cmd
}

func unknownCommand(cmd *cobra.Command, name string) error {
	return errors.New(scenarios.Unknown(cmd.CommandPath()+" command", name, commandNames(cmd)))
}

// commandNames of the commands that a command holds.
func commandNames(cmd *cobra.Command) (names []string) {
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return names
}

// version of this build, as the Go module system knows it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" {
		v = "(devel)"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && !strings.Contains(v, s.Value[:min(12, len(s.Value))]) {
			v += " " + s.Value[:min(12, len(s.Value))]
		}
	}
	return v
}
