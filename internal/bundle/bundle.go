// Package bundle packs the evidence of a drill into one file that an auditor can keep, and that can be verified without this tool.
//
// A bundle is a tar.gz with one folder in it: the reports, rendered anew from the evidence; the run directory, but of the backups only their
// digests, since the backups hold secrets; a README.md that says how to verify it all; and MANIFEST.sha256, the digests of all other files, as
// sha256sum reads them. The same run directory gives the same bytes.
//
// Who vouches for it is said beside it: a DSSE envelope holds an in-toto statement with the digest of the bundle, and of the backup that was tried.
package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/reports"
)

// Names of the files in a bundle that are in no run directory.
const (
	ManifestFile = "MANIFEST.sha256"
	ReadmeFile   = "README.md"
)

// fileMode of everything in a bundle.
const fileMode = 0o644

// rendered are the reports, which a bundle has from the evidence and not from the files that lie beside it.
var rendered = map[string]func(io.Writer, *reports.Report) error{
	"report.json": reports.WriteJSON,
	"report.html": reports.WriteHTML,
	"junit.xml":   func(w io.Writer, r *reports.Report) error { return reports.WriteJUnit(w, r) },
	"oscal.json":  reports.WriteOSCAL, // where the scenario names controls
}

//go:embed README.md.tmpl
var readme string

// A Bundle is what was written, or found to be sound.
type Bundle struct {
	// Name of the folder that holds everything.
	Name string
	// SHA256 of the bundle itself, in hex.
	SHA256 string
	// Files in it, by their names within the folder.
	Files map[string]File
	// Report is what report.json says.
	Report *reports.Report
}

// A File of a bundle.
type File struct {
	Bytes  int64
	SHA256 string
}

// drillID is what a drill calls itself; it becomes the name of a folder.
var drillID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// Name of the bundle of a drill, without an ending.
func Name(r *reports.Report) (string, error) {
	if !drillID.MatchString(r.Drill.ID) {
		return "", fmt.Errorf("name the bundle: the drill's ID is %q (want letters, digits, '.', '-' and '_')", r.Drill.ID)
	}
	return "restore-drill-" + r.Drill.ID, nil
}

// Build writes the bundle of a run directory into a new file. The report is what the evidence in it was judged to say. A report.json in the
// directory that says otherwise is refused: one of the two is not what the drill left.
func Build(dir, out string, r *reports.Report) (*Bundle, error) {
	name, err := Name(r)
	if err != nil {
		return nil, err
	}
	if err := outside(dir, out); err != nil {
		return nil, err
	}
	if err := undisputed(dir, r); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the run directory: %w", err)
	}
	defer root.Close()
	files, err := collect(root.FS())
	if err != nil {
		return nil, err
	}
	sources := map[string]func() (io.ReadCloser, int64, error){}
	for _, file := range files {
		sources[file] = func() (io.ReadCloser, int64, error) { return openRegular(root, file) }
	}
	for file, write := range rendered {
		var b bytes.Buffer
		switch err := write(&b, r); {
		case errors.Is(err, reports.ErrNoControls):
			continue
		case err != nil:
			return nil, fmt.Errorf("write %s: %w", file, err)
		}
		sources[file] = inMemory(b.Bytes())
	}
	var b bytes.Buffer
	if err := template.Must(template.New("").Parse(readme)).Execute(&b, map[string]any{"Name": name, "Report": r}); err != nil {
		return nil, fmt.Errorf("write %s: %w", ReadmeFile, err)
	}
	sources[ReadmeFile] = inMemory(b.Bytes())

	bundle := &Bundle{Name: name, Files: map[string]File{}, Report: r}
	err = create(out, func(w io.Writer) error {
		whole := sha256.New()
		defer func() { bundle.SHA256 = hexSum(whole) }()
		return bundle.pack(io.MultiWriter(w, whole), sources)
	})
	if err != nil {
		return nil, err
	}
	return bundle, nil
}

// pack writes the sources in the order of their names, and their manifest last.
func (b *Bundle) pack(w io.Writer, sources map[string]func() (io.ReadCloser, int64, error)) error {
	zipped := gzip.NewWriter(w)
	packed := tar.NewWriter(zipped)
	add := func(name string, open func() (io.ReadCloser, int64, error)) error {
		r, size, err := open()
		if err != nil {
			return err
		}
		defer r.Close()
		head := &tar.Header{Typeflag: tar.TypeReg, Name: path.Join(b.Name, name), Size: size, Mode: fileMode, ModTime: b.Report.Drill.Started.UTC().Truncate(1e9), Format: tar.FormatUSTAR}
		if err := packed.WriteHeader(head); err != nil {
			return fmt.Errorf("pack %s: %w", name, err)
		}
		sum := sha256.New()
		n, err := io.Copy(io.MultiWriter(packed, sum), r)
		if err == nil && n != size {
			err = fmt.Errorf("it had %d bytes and then %d: something writes to it", size, n)
		}
		if err != nil {
			return fmt.Errorf("pack %s: %w", name, err)
		}
		b.Files[name] = File{n, hexSum(sum)}
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		if err := add(name, sources[name]); err != nil {
			return err
		}
	}
	if err := add(ManifestFile, inMemory(b.manifest())); err != nil {
		return err
	}
	return errors.Join(packed.Close(), zipped.Close())
}

// manifest of the files so far.
func (b *Bundle) manifest() []byte {
	var m bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(b.Files)) {
		fmt.Fprintf(&m, "%s  %s\n", b.Files[name].SHA256, name)
	}
	return m.Bytes()
}

// collect the files of a run directory that belong into its bundle. Anything but a regular file is an error: it could lead anywhere.
func collect(dir fs.FS) (files []string, err error) {
	var errs []error
	err = fs.WalkDir(dir, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == ".":
		case strings.HasPrefix(d.Name(), "."): // half a file, of a writer that was killed
			if d.IsDir() {
				return fs.SkipDir
			}
		case inBackup(name):
			if d.IsDir() {
				return fs.SkipDir
			}
		case d.IsDir() || isReport(name):
		case !writable(name):
			errs = append(errs, fmt.Errorf("pack %q: its name cannot be written into %s", name, ManifestFile))
		case !d.Type().IsRegular():
			errs = append(errs, fmt.Errorf("pack %s: it is no regular file (%s)", name, d.Type()))
		case name == ManifestFile || name == ReadmeFile:
			errs = append(errs, fmt.Errorf("pack %s: the bundle has a file of that name of its own", name))
		default:
			files = append(files, name)
		}
		return nil
	})
	if err = errors.Join(append(errs, err)...); err != nil {
		return nil, fmt.Errorf("read the run directory: %w", err)
	}
	return files, nil
}

// writable tells whether sha256sum, and a terminal, take a name for what it is.
func writable(name string) bool {
	return !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r > '~' || r == '\\' })
}

// isReport tells whether a file is a report, or goes with one.
func isReport(name string) bool {
	further, err := path.Match("junit-*.xml", name)
	return rendered[name] != nil || name == "reports.sha256" || further && err == nil
}

// inBackup tells whether a path is what a backup itself holds: secrets, and much of it. What describes a backup is not.
func inBackup(name string) bool {
	parts := strings.Split(name, "/")
	if parts[0] != evidence.ArtifactsDir || len(parts) < 3 {
		return false
	}
	return len(parts) > 3 || parts[2] != "artifact.json" && parts[2] != "artifact.json.sha256"
}

func openRegular(root *os.Root, name string) (io.ReadCloser, int64, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, 0, fmt.Errorf("pack %s: %w", name, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("it is no regular file (%s)", info.Mode())
	}
	if err != nil {
		f.Close()
		return nil, 0, fmt.Errorf("pack %s: %w", name, err)
	}
	return f, info.Size(), nil
}

func inMemory(b []byte) func() (io.ReadCloser, int64, error) {
	return func() (io.ReadCloser, int64, error) { return io.NopCloser(bytes.NewReader(b)), int64(len(b)), nil }
}

// outside tells that a file is not in a directory: a bundle in its own run directory would be part of the next one.
func outside(dir, file string) error {
	absDir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	absFile, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	if inner, err := filepath.Rel(absDir, absFile); err == nil && filepath.IsLocal(inner) {
		return fmt.Errorf("write %s: it lies in the run directory, which is not to change: write the bundle beside it", file)
	}
	return nil
}

// undisputed tells that a report.json in the run directory, if there is one, has the verdict that the evidence gives.
func undisputed(dir string, r *reports.Report) error {
	said, err := reports.Read(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w (restore-drill judge %s writes it anew from the evidence)", err, dir)
	}
	if said.Verdict != r.Verdict || said.Drill.ID != r.Drill.ID {
		return fmt.Errorf("report.json in %s says %s of drill %s, and the evidence beside it %s of drill %s: it was edited, or judged by another version (restore-drill judge %[1]s writes it anew)",
			dir, said.Verdict, said.Drill.ID, r.Verdict, r.Drill.ID)
	}
	return nil
}

// create a file, whole or not at all. One that is there already is not touched.
func create(file string, write func(io.Writer) error) error {
	if _, err := os.Lstat(file); err == nil {
		return fmt.Errorf("write %s: it is there already, and is not overwritten", file)
	}
	part, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	defer os.Remove(part.Name())
	if err := errors.Join(write(part), part.Chmod(fileMode), part.Sync(), part.Close()); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	// Unlike a rename, a link does not replace what somebody else has put there since.
	if err := os.Link(part.Name(), file); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}

func hexSum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }
