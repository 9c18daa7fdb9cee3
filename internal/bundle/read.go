package bundle

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/restore-drill/restore-drill/reports"
)

// Bounds of what is read: a bundle may come from anywhere.
const (
	maxFiles = 20_000
	maxBytes = 8 << 30   // unpacked, all files together
	maxKept  = 256 << 20 // of the files that are kept in memory
)

// gzipHead is the header that Build writes: no name, no time, no comment.
var gzipHead = []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff}

var manifestLine = regexp.MustCompile(`^([0-9a-f]{64})  ([[:graph:]][[:print:]]*)$`)

// Read reads a bundle and compares every file with the manifest. The error names all that is wrong: what was changed, added, taken away, or would
// lead out of the folder when it is unpacked. A bundle without an error agrees with itself; whether it is the one that somebody vouches for is
// for the signature to say.
func Read(file string) (*Bundle, error) { return read(file, nil) }

// Extract unpacks a bundle that was found sound into a directory that is not there yet. It writes nothing outside of that.
func Extract(file, dir string, sound *Bundle) (err error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("unpack into %s: %w", dir, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("unpack into %s: %w", dir, err)
	}
	defer root.Close()
	again, err := read(file, func(name string) (io.WriteCloser, error) {
		if err := root.MkdirAll(path.Dir(name), 0o700); err != nil {
			return nil, err
		}
		return root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	})
	if err == nil && again.SHA256 != sound.SHA256 {
		err = fmt.Errorf("unpack %s: it was changed while it was read", file)
	}
	return err
}

// A reading is what is known of a bundle while it is read.
type reading struct {
	*Bundle
	file string
	// last is the name of the file that was read last.
	last string
	kept map[string]*bytes.Buffer
	// wrong is all that was found.
	wrong []error
	bytes int64
}

func (r *reading) found(format string, args ...any) {
	r.wrong = append(r.wrong, fmt.Errorf(format, args...))
}

// read a bundle; unpack, which may be nil, gives what each file is written to.
func read(file string, unpack func(name string) (io.WriteCloser, error)) (*Bundle, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read bundle: %w", err)
	}
	defer f.Close()
	r := &reading{Bundle: &Bundle{Files: map[string]File{}}, file: file, kept: map[string]*bytes.Buffer{}}
	whole := sha256.New()
	in := bufio.NewReader(io.TeeReader(f, whole))
	if err := r.unzip(in, unpack); err != nil {
		where := "at its beginning"
		if r.last != "" {
			where = "in or after " + r.last
		}
		return nil, errors.Join(append(r.wrong, fmt.Errorf("read bundle %s: %s: %w", file, where, err))...)
	}
	if n, err := io.Copy(io.Discard, in); n > 0 || err != nil {
		r.wrong = append(r.wrong, errors.Join(fmt.Errorf("%s: %d bytes follow its end", file, n), err))
	}
	r.SHA256 = hexSum(whole)
	r.compare()
	r.report()
	return r.Bundle, errors.Join(r.wrong...)
}

// unzip reads all that is packed, and sees that it is packed as Build does it: nothing hides between the files.
func (r *reading) unzip(in *bufio.Reader, unpack func(string) (io.WriteCloser, error)) error {
	if head, err := in.Peek(len(gzipHead)); err != nil || !bytes.Equal(head, gzipHead) {
		r.found("%s: its first bytes are not those of a bundle", r.file)
	}
	zipped, err := gzip.NewReader(in)
	if err != nil {
		return err
	}
	zipped.Multistream(false)
	packed, same := sha256.New(), sha256.New()
	tee := io.TeeReader(zipped, packed)
	files, again := tar.NewReader(tee), tar.NewWriter(same)
	seen, entries := map[string]bool{}, 0
	for {
		head, err := files.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if entries++; entries > maxFiles {
			return fmt.Errorf("it holds more than %d files", maxFiles)
		}
		if r.bytes += head.Size; r.bytes > maxBytes {
			return fmt.Errorf("unpacked it is larger than %d bytes", int64(maxBytes))
		}
		r.last = head.Name
		name, ok := r.admit(head, seen)
		seen[head.Name] = true
		if !ok {
			continue // which is wrong enough
		}
		canonical := &tar.Header{Typeflag: tar.TypeReg, Name: head.Name, Size: head.Size, Mode: fileMode, ModTime: head.ModTime, Format: tar.FormatUSTAR}
		if err := again.WriteHeader(canonical); err != nil {
			return err
		}
		sum := sha256.New()
		to := []io.Writer{again, sum}
		if slices.Contains([]string{ManifestFile, "report.json", "scenario.yaml"}, name) {
			if head.Size > maxKept {
				return fmt.Errorf("%s is larger than %d bytes", name, int64(maxKept))
			}
			r.kept[name] = &bytes.Buffer{}
			to = append(to, r.kept[name])
		}
		if err := copyOut(files, to, name, unpack); err != nil {
			return err
		}
		r.Files[name] = File{head.Size, hexSum(sum)}
	}
	if _, err := io.Copy(io.Discard, tee); err != nil {
		return err
	}
	if err := again.Close(); err != nil {
		return err
	}
	if len(r.Files) == entries && !bytes.Equal(packed.Sum(nil), same.Sum(nil)) {
		r.found("%s: it is not packed as a bundle is: its headers, or the bytes between its files, were changed", r.file)
	}
	return nil
}

func copyOut(from io.Reader, to []io.Writer, name string, unpack func(string) (io.WriteCloser, error)) error {
	if unpack == nil {
		_, err := io.Copy(io.MultiWriter(to...), from)
		return err
	}
	w, err := unpack(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.MultiWriter(append(to, w)...), from)
	return errors.Join(err, w.Close())
}

// admit an entry by its name within the folder, if it is a file that may be in a bundle.
func (r *reading) admit(head *tar.Header, seen map[string]bool) (name string, ok bool) {
	folder, name, inFolder := strings.Cut(head.Name, "/")
	switch {
	case head.Typeflag != tar.TypeReg:
		r.found("%q: it is %s, and a bundle holds regular files alone", head.Name, entryType(head))
	case !fs.ValidPath(head.Name) || !writable(head.Name):
		r.found("%q: its path leads out of the bundle's folder, or is not plain", head.Name)
	case !inFolder:
		r.found("%q: it lies beside the bundle's folder", head.Name)
	case r.Name != "" && folder != r.Name:
		r.found("%q: it is not in the folder %s", head.Name, r.Name)
	case seen[head.Name]:
		r.found("%s: it is there more than once", name)
	default:
		r.Name = folder
		return name, true
	}
	return name, false
}

func entryType(head *tar.Header) string {
	switch head.Typeflag {
	case tar.TypeSymlink:
		return fmt.Sprintf("a symbolic link to %q", head.Linkname)
	case tar.TypeLink:
		return fmt.Sprintf("a hard link to %q", head.Linkname)
	case tar.TypeDir:
		return "a directory"
	}
	return fmt.Sprintf("an entry of type %q", head.Typeflag)
}

// compare the files with the manifest.
func (r *reading) compare() {
	manifest, ok := r.kept[ManifestFile]
	if !ok {
		r.found("%s: it is missing: nothing says what the files have to be", ManifestFile)
		return
	}
	listed := map[string]string{}
	for i, line := range strings.Split(strings.TrimSuffix(manifest.String(), "\n"), "\n") {
		m := manifestLine.FindStringSubmatch(line)
		switch {
		case m == nil:
			r.found("%s: line %d is no digest and a name", ManifestFile, i+1)
		case listed[m[2]] != "":
			r.found("%s: line %d lists %s again", ManifestFile, i+1, m[2])
		default:
			listed[m[2]] = m[1]
		}
	}
	for _, name := range slices.Sorted(maps.Keys(listed)) {
		switch f, there := r.Files[name]; {
		case !there:
			r.found("%s: it is missing", name)
		case f.SHA256 != listed[name]:
			r.found("%s: it was changed: its SHA-256 is %s, and %s says %s", name, f.SHA256, ManifestFile, listed[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Files)) {
		if listed[name] == "" && name != ManifestFile {
			r.found("%s: it was added: %s does not list it", name, ManifestFile)
		}
	}
}

// report reads report.json.
func (r *reading) report() {
	b, ok := r.kept["report.json"]
	if !ok {
		r.found("report.json: it is missing: this is not the evidence of a drill")
		return
	}
	report, err := reports.ReadJSON(b)
	if err != nil {
		r.wrong = append(r.wrong, err)
		return
	}
	r.Report = report
	if name, err := Name(report); err != nil || name != r.Name {
		r.found("report.json: it is of the drill %q, and the bundle's folder is %s", report.Drill.ID, r.Name)
	}
}
