package reports

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// digestsFile lists the SHA-256 of the reports in a run directory, as sha256sum does and checks.
const digestsFile = "reports.sha256"

// WriteAll writes report.json, junit.xml and report.html into dir, each whole or not at all, with reports.sha256 beside them, and returns the
// reports' paths.
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
	} {
		path := filepath.Join(dir, format.name)
		paths = append(paths, path)
		errs = append(errs, writeFile(path, func(w io.Writer) error { return format.write(w, r) }))
	}
	files, err := WriteJUnitFiles(filepath.Join(dir, "junit.xml"), r)
	paths = append(paths, files...)
	if err := errors.Join(append(errs, err)...); err != nil {
		return paths, err
	}
	return paths, writeFile(filepath.Join(dir, digestsFile), func(w io.Writer) error {
		for _, path := range paths {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "%s  %s\n", Digest(b), filepath.Base(path))
		}
		return nil
	})
}

// Digest is the SHA-256 of a document, in hex.
func Digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// readFile reads a report.json. Where the reports of its directory have digests, it has to be as it was written.
func readFile(name string) (*Report, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	r, err := ReadJSON(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	digests, err := os.ReadFile(filepath.Join(filepath.Dir(name), digestsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	for entry := range strings.Lines(string(digests)) {
		if digest, file, _ := strings.Cut(strings.TrimSuffix(entry, "\n"), "  "); file == filepath.Base(name) && digest != Digest(b) {
			return nil, fmt.Errorf("read report: %s was changed after it was written: its SHA-256 is %s, and %s says %s; judge the run directory to write it anew", name, Digest(b), digestsFile, digest)
		}
	}
	return r, nil
}

// writeFile writes under a temporary name and renames, so that a reader never meets half a report.
func writeFile(path string, write func(io.Writer) error) error {
	return writeFileAs(path, 0o600, write)
}

// writeFileAs does so with a mode of its own.
func writeFileAs(path string, mode fs.FileMode, write func(io.Writer) error) error {
	part, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	defer os.Remove(part.Name())
	if err := errors.Join(write(part), part.Chmod(mode), part.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.Rename(part.Name(), path)
}
