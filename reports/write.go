package reports

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// WriteAll writes report.json, junit.xml and report.html into dir, each whole or not at all, and returns their paths.
func WriteAll(dir string, r *Report) ([]string, error) {
	var (
		paths []string
		errs  []error
	)
	for _, format := range []struct {
		name  string
		write func(io.Writer, *Report) error
	}{
		{"report.html", WriteHTML},
		{"report.json", WriteJSON},
		{"junit.xml", func(w io.Writer, r *Report) error { return WriteJUnit(w, r) }},
	} {
		path := filepath.Join(dir, format.name)
		paths = append(paths, path)
		errs = append(errs, writeFile(path, func(w io.Writer) error { return format.write(w, r) }))
	}
	return paths, errors.Join(errs...)
}

// writeFile writes under a temporary name and renames, so that a reader never meets half a report.
func writeFile(path string, write func(io.Writer) error) error {
	part, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	defer os.Remove(part.Name())
	if err := errors.Join(write(part), part.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.Rename(part.Name(), path)
}
