package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/internal/graph"
)

func (a *app) graphCommand() *cobra.Command {
	var at, output string
	cmd := &cobra.Command{
		Use:   "graph DIR|CENSUS",
		Short: "Print what the objects of a drill refer to: what is missing, and in which order to restore them",
		Long: `Print what the objects of a saved run directory, or of one census file, refer to. As text: the objects that others refer to and that are missing, and
the waves in which all can be restored so that each finds what it needs. As dot: a picture for Graphviz. As json: all references.

A reference is a name in an object's spec, an ownerReference, its namespace, or the definition of a custom resource. Selectors are none: the pods
that a Service, a NetworkPolicy or a PodDisruptionBudget selects are not named.`,
		Example: "  restore-drill graph drills-of-today/etcd-data-lost\n  restore-drill graph drills-of-today/etcd-data-lost --at before -o dot | dot -Tsvg > before.svg",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			files := map[string]string{"before": evidence.CensusBeforeFile, "after": evidence.CensusAfterFile}
			g, before, err := readGraph(args[0], files[at])
			if err != nil {
				return exitError{err, exitUsage}
			}
			switch output {
			case "dot":
				return g.WriteDOT(a.stdout)
			case "json":
				return g.WriteJSON(a.stdout, before)
			}
			return g.WriteText(a.stdout, before)
		},
	}
	oneOf(cmd.Flags(), &at, "at", "", "which census of a run directory: after the restore, or before the failure", "after", "before")
	oneOf(cmd.Flags(), &output, "output", "o", "what to print on stdout", "text", "dot", "json")
	return cmd
}

// readGraph reads the graph of a census of a run directory, with that of before the failure, if it is another one; or of a census file alone.
func readGraph(path, file string) (g, before *graph.Graph, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if !info.IsDir() {
		g, err = graph.Read(path)
		return g, nil, err
	}
	if _, err := evidence.ReadHeader(path); err != nil {
		return nil, nil, fmt.Errorf("%s is no run directory of a drill: %w", path, err)
	}
	if g, err = graph.Read(filepath.Join(path, file)); err != nil {
		return nil, nil, err
	}
	if file == evidence.CensusBeforeFile {
		return g, nil, nil
	}
	before, err = graph.Read(filepath.Join(path, evidence.CensusBeforeFile))
	if errors.Is(err, fs.ErrNotExist) {
		return g, nil, nil
	}
	return g, before, err
}
