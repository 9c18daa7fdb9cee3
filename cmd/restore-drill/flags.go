package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/restore-drill/restore-drill/scenarios"
)

// A choice is the value of a flag that is one of a few words. Any other is refused before a command runs, and completion offers them.
type choice struct {
	value *string
	words []string
}

// oneOf adds a flag whose value is one of the words; the first is its default. A shorthand may be empty.
func oneOf(flags *pflag.FlagSet, value *string, name, shorthand, usage string, words ...string) {
	*value = words[0]
	flags.VarP(choice{value, words}, name, shorthand, usage)
}

func (c choice) String() string { return *c.value }
func (c choice) Type() string   { return strings.Join(c.words, "|") }

func (c choice) Set(word string) error {
	if !slices.Contains(c.words, word) {
		return fmt.Errorf("want %s", or(c.words))
	}
	*c.value = word
	return nil
}

// or lists words as a sentence does.
func or(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// flagError says of a flag that is not known which ones are, and of a value that is not what may stand there.
func flagError(cmd *cobra.Command, err error) error {
	var (
		value   *pflag.InvalidValueError
		unknown *pflag.NotExistError
	)
	switch {
	case errors.As(err, &value):
		// What is wrong with the value is the cause, which has no accessor but Unwrap.
		return fmt.Errorf("unknown --%s %q (%w)", value.GetFlag().Name, value.GetValue(), errors.Unwrap(value))
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "":
		var known []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				known = append(known, "--"+f.Name)
			}
		})
		return errors.New(scenarios.Unknown("flag", "--"+unknown.GetSpecifiedName(), known))
	}
	return err
}
