package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

// tree is the whole command tree, with what cobra adds to it.
func tree() *cobra.Command {
	root := (&app{stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}}).root("restore-drill")
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	return root
}

// walk calls visit for every command that a user can see.
func walk(cmd *cobra.Command, visit func(*cobra.Command)) {
	if cmd.Hidden {
		return
	}
	visit(cmd)
	for _, sub := range cmd.Commands() {
		walk(sub, visit)
	}
}

// cobras tells whether a command is cobra's own.
func cobras(cmd *cobra.Command) bool {
	path := cmd.CommandPath()
	return path == "restore-drill help" || strings.HasPrefix(path, "restore-drill completion")
}

// TestEveryCommandIsDescribed holds the help text: each command says what it is for, each that does something shows how, with a line that this very
// program takes, and each flag says what it does.
func TestEveryCommandIsDescribed(t *testing.T) {
	commands := 0
	walk(tree(), func(cmd *cobra.Command) {
		commands++
		path := cmd.CommandPath()
		require.NotEmpty(t, cmd.Short, path)
		if cmd.HasParent() && !cmd.Parent().HasParent() {
			require.NotEmpty(t, cmd.GroupID, "%s is in no group of the help text", path)
		}
		if cobras(cmd) {
			return
		}
		require.Regexp(t, `^[A-Z].*[^.]$`, cmd.Short, path)
		if !cmd.HasSubCommands() {
			require.NotEmpty(t, cmd.Example, "%s has no example", path)
			require.Contains(t, cmd.Example, path, "%s has an example of something else", path)
		}
		for _, line := range commandLines(cmd.Example) {
			require.NoError(t, takes(line), "%s: the example %s", path, line)
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			require.NotEmpty(t, f.Usage, "%s --%s", path, f.Name)
			require.Regexp(t, `^([^A-Z\n]|[A-Z]{2})`, f.Usage, "%s --%s", path, f.Name)
		})
	})
	require.Greater(t, commands, 15)
}

// TestEveryCommandIsInAScript holds that each command that does something is called by a script of testdata.
func TestEveryCommandIsInAScript(t *testing.T) {
	files, err := filepath.Glob("testdata/script/*.txtar")
	require.NoError(t, err)
	called := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, line := range regexp.MustCompile(`(?m)^!? ?exec (restore-drill .*)$`).FindAllSubmatch(text, -1) {
			cmd, _, err := tree().Find(words(string(line[1]))[1:])
			if err == nil {
				called[cmd.CommandPath()] = true
			}
		}
	}
	walk(tree(), func(cmd *cobra.Command) {
		if !cmd.HasSubCommands() && cmd.Name() != "help" {
			require.True(t, called[cmd.CommandPath()], "no script of testdata/script calls %s", cmd.CommandPath())
		}
	})
}

// commandLines are the calls of restore-drill in a text: a documentation's, a workflow's or an example's.
func commandLines(text string) (lines []string) {
	text = strings.ReplaceAll(text, "\\\n", " ")
	for _, m := range regexp.MustCompile("(?m)(?:^|[\\s(])(?:bin/)?(restore-drill [^\n|>&;#`)]*)").FindAllStringSubmatch(text, -1) {
		lines = append(lines, strings.Join(strings.Fields(m[1]), " "))
	}
	return lines
}

// words of a command line; quotes hold words together.
func words(line string) (all []string) {
	for _, m := range regexp.MustCompile(`'[^']*'|"[^"]*"|\S+`).FindAllString(line, -1) {
		all = append(all, strings.Trim(m, `'"`))
	}
	return all
}

// takes tells whether the program would take a command line: whether it has that command, those flags with those values, and takes as many arguments.
func takes(line string) error {
	args := words(line)[1:]
	cmd, rest, err := tree().Find(args)
	if err != nil {
		return err
	}
	cmd.InitDefaultHelpFlag()
	if err := cmd.ParseFlags(rest); err != nil {
		return flagError(cmd, err)
	}
	if left := cmd.Flags().Args(); cmd.HasSubCommands() && len(left) > 0 {
		return unknownCommand(cmd, left[0])
	}
	if help, _ := cmd.Flags().GetBool("help"); help {
		return nil
	}
	return errors.Join(cmd.ValidateArgs(cmd.Flags().Args()), cmd.ValidateRequiredFlags(), cmd.ValidateFlagGroups())
}

// TestTakes shows that the tests above and those of the README can fail.
func TestTakes(t *testing.T) {
	for line, want := range map[string]string{
		"restore-drill run etcd-data-lost --parallel 2":  "",
		"restore-drill scenario list -o 'json'":          "",
		"restore-drill scenari list":                     "did you mean scenario",
		"restore-drill scenario lists":                   "did you mean list",
		"restore-drill run":                              "requires at least 1 arg",
		"restore-drill run etcd-data-lost --paralell 2":  "did you mean --parallel",
		"restore-drill run etcd-data-lost --output toml": `unknown --output "toml"`,
	} {
		err := takes(line)
		if want == "" {
			require.NoError(t, err, line)
		} else {
			require.ErrorContains(t, err, want, line)
		}
	}
	require.Equal(t, []string{"restore-drill run a", "restore-drill judge b --color never"},
		commandLines("  - run: bin/restore-drill run a | tee log\n$ restore-drill judge b \\\n --color never # again\nx-restore-drill no"))
}
