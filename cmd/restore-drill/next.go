package main

import (
	"errors"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/restore-drill/restore-drill/drills"
	"github.com/restore-drill/restore-drill/internal/toolchain"
	"github.com/restore-drill/restore-drill/scenarios"
)

// An advised error knows the command that leads on from it, without the program's name.
type advised struct {
	error
	next string
}

func (e advised) Unwrap() error { return e.error }

// advise adds the next command to an error; nil stays nil.
func advise(err error, next string) error {
	if err == nil {
		return nil
	}
	return advised{err, next}
}

// index of a list, or a key of a map that is no plain name.
var index = regexp.MustCompile(`\[[^\]]*\]`)

// next is the command that leads on from an error of cmd, which ends the program with this code, as it is typed.
func next(cmd *cobra.Command, err error, code int) string {
	program := cmd.Root().CommandPath() + " "
	var (
		own      advised
		mistakes scenarios.Mistakes
	)
	switch {
	case errors.As(err, &own):
		return program + own.next
	case errors.As(err, &mistakes) && mistakes[0].Path != "":
		return program + "explain " + explained(mistakes[0].Path)
	case errors.As(err, &mistakes):
		return program + "scenario new my-drill"
	case errors.Is(err, drills.ErrUnknownScenario):
		return program + "scenario list"
	case errors.Is(err, toolchain.ErrUnknown):
		return program + "toolchain list"
	case errors.Is(err, drills.ErrLacking):
		return program + "doctor --provider kind"
	case errors.Is(err, toolchain.ErrNoGo):
		return program + "doctor"
	case code != exitUsage && cmd.Name() == "run":
		// Something went wrong on the way: the machine lacks something, or something of the drill is left.
		return program + "doctor"
	}
	return cmd.CommandPath() + " --help"
}

// explained is the path of a value as explain takes it. Parameters of a fault have no place of their own there.
func explained(path string) string {
	path, _, _ = strings.Cut(index.ReplaceAllString(path, ""), ".parameters.")
	return path
}
