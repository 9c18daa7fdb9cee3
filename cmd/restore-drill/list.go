package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"
)

// A listing prints rows as the flag --output says: as a table, with more columns, or whole, as JSON or YAML.
type listing struct {
	*app
	output string
}

// flag adds --output to the flags of its command.
func (l *listing) flag(flags *pflag.FlagSet) {
	oneOf(flags, &l.output, "output", "o", "what to print on stdout", "table", "wide", "json", "yaml")
}

// A column of a table of Ts. One that is wide is left out of the narrow table.
type column[T any] struct {
	title string
	wide  bool
	cell  func(T) string
}

// list prints the rows. JSON and YAML have every field of a T, and an empty list for no rows, where a table has nothing.
func list[T any](l *listing, rows []T, columns ...column[T]) error {
	switch l.output {
	case "json", "yaml":
		if rows == nil {
			rows = []T{}
		}
		text, err := json.MarshalIndent(rows, "", "  ")
		if err == nil && l.output == "yaml" {
			text, err = yaml.JSONToYAML(text)
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(l.stdout, strings.TrimSuffix(string(text), "\n"))
		return err
	}
	if len(rows) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(l.stdout, 0, 0, 2, ' ', 0)
	line := func(cell func(column[T]) string) {
		var cells []string
		for _, c := range columns {
			if !c.wide || l.output == "wide" {
				cells = append(cells, cell(c))
			}
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	line(func(c column[T]) string { return c.title })
	for _, row := range rows {
		line(func(c column[T]) string { return c.cell(row) })
	}
	return w.Flush()
}
