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
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/restore-drill/restore-drill/reports"
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
	root := a.root(args[0])
	root.SetArgs(args[1:])
	err := root.ExecuteContext(ctx)
	var code exitError
	switch {
	case errors.Is(context.Cause(ctx), errInterrupted):
		return exitInterrupted
	case err == nil:
		return exitPassed
	case errors.As(err, &code):
		if code.error != nil {
			fmt.Fprintln(stderr, "error:", code.error)
		}
		return code.code
	default:
		fmt.Fprintln(stderr, "error:", err)
		return exitUsage
	}
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
}

// root is the command tree, named as the program was called.
func (a *app) root(arg0 string) *cobra.Command {
	name := strings.TrimSuffix(filepath.Base(arg0), ".exe")
	root := &cobra.Command{
		Use:           name,
		Short:         "Rehearse a Kubernetes disaster and measure what comes back",
		Long:          "restore-drill backs a cluster up, breaks it, restores it into a fresh cluster, and measures RTO, RPO and state fidelity.\nIt only ever changes clusters that it created itself.",
		SilenceErrors: true, SilenceUsage: true,
		Version: version(),
	}
	if name == "kubectl-restore_drill" {
		root.Use = "restore-drill"
		root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl restore-drill"}
	}
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	flags := root.PersistentFlags()
	flags.StringVar(&a.binDir, "bin-dir", os.Getenv("RESTORE_DRILL_BIN_DIR"), "directory with the control plane's binaries (RESTORE_DRILL_BIN_DIR)")
	flags.StringVar(&a.progress, "progress", "auto", "progress on stderr: auto, tty, plain, json or none")
	root.AddCommand(a.runCommand(), a.judgeCommand(), a.graphCommand(), a.planCommand(), a.scenarioCommand(), a.toolchainCommand(), a.cleanupCommand(), a.versionCommand())
	if display := root.DisplayName(); display != name {
		for _, cmd := range root.Commands() {
			cmd.Example = strings.ReplaceAll(cmd.Example, "  restore-drill ", "  "+display+" ")
		}
	}
	return root
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
		_, err := fmt.Fprintln(a.stdout, version())
		return err
	}}
}

// group is a command that only holds others: without one of them it is called wrongly.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, RunE: func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return fmt.Errorf("unknown command %q for %q (see --help)", args[0], cmd.CommandPath())
		}
		return fmt.Errorf("%q wants a command (see --help)", cmd.CommandPath())
	}}
	cmd.AddCommand(commands...)
	return cmd
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
