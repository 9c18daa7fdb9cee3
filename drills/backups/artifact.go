package backups

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/restore-drill/restore-drill/internal/etcd"
	"github.com/restore-drill/restore-drill/internal/evidence"
)

// Names in an artifact's directory.
const (
	artifactFile = "artifact.json"
	// artifactSum is the SHA-256 of artifact.json, as sha256sum writes it.
	artifactSum  = "artifact.json.sha256"
	snapshotFile = "snapshot.db"
	materialDir  = "pki"
	// encryptionFile is the material's file without which encrypted Secrets stay so.
	encryptionFile = "encryption-config.yaml"
)

// partBytes is how much of a file one of its Parts covers.
const partBytes = 16 << 20

// ErrDamaged is wrapped by the error of Verify that says that a file is not as it was recorded.
var ErrDamaged = errors.New(evidence.Damaged)

// LoadArtifact reads a finished backup. Its files are not verified.
func LoadArtifact(dir string) (*Artifact, error) {
	raw, err := os.ReadFile(filepath.Join(dir, artifactFile))
	if err != nil {
		return nil, fmt.Errorf("load artifact: %w", err)
	}
	a := &Artifact{}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(a); err != nil {
		return nil, fmt.Errorf("load artifact %s: %w", filepath.Join(dir, artifactFile), err)
	}
	a.Dir = dir
	for name := range a.Files {
		if !fs.ValidPath(name) {
			return nil, fmt.Errorf("load artifact %s: it names a file %q", filepath.Join(dir, artifactFile), name)
		}
	}
	return a, nil
}

// Snapshot is the path of the etcd snapshot; empty for an artifact without one.
func (a *Artifact) Snapshot() string {
	if _, ok := a.Files[snapshotFile]; !ok {
		return ""
	}
	return filepath.Join(a.Dir, snapshotFile)
}

// Material is what travelled with the snapshot: certificate authorities, service-account keys, encryption configuration.
func (a *Artifact) Material() fs.FS { return os.DirFS(filepath.Join(a.Dir, materialDir)) }

// Verify compares every file with the digest recorded when it was taken, and finds files that were not there then. All damage is told
// at once, with the part of a file that it is in.
func (a *Artifact) Verify(ctx context.Context) error {
	root, err := os.OpenRoot(a.Dir)
	if err != nil {
		return fmt.Errorf("verify artifact: %w", err)
	}
	defer root.Close()
	errs := []error{verifyRecord(root)}
	for _, name := range slices.Sorted(maps.Keys(a.Files)) {
		errs = append(errs, verifyFile(ctx, root, name, a.Files[name]))
	}
	var strays []error
	walked := fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		_, known := a.Files[name]
		if err == nil && !entry.IsDir() && !known && name != artifactFile && name != artifactSum {
			strays = append(strays, fmt.Errorf("%w: %s was not in it", ErrDamaged, name))
		}
		return err
	})
	if err := errors.Join(append(append(errs, strays...), walked)...); err != nil {
		return fmt.Errorf("verify artifact %s: %w", a.Name, err)
	}
	return nil
}

// verifyObjects compares the objects in the method's store with what was recorded of them; now are those that are there.
func (a *Artifact) verifyObjects(now map[string]File) error {
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(a.Objects)) {
		got, there := now[key]
		want := a.Objects[key]
		switch {
		case !there:
			errs = append(errs, fmt.Errorf("%w: %s is gone from the store", ErrDamaged, key))
		case got.SHA256 != want.SHA256:
			errs = append(errs, fmt.Errorf("%w: %s: %s", ErrDamaged, key, difference(got, want)))
		}
	}
	return errors.Join(errs...)
}

// verifyRecord compares artifact.json with the digest beside it.
func verifyRecord(root *os.Root) error {
	record, errRecord := root.ReadFile(artifactFile)
	sum, errSum := root.ReadFile(artifactSum)
	if err := errors.Join(errRecord, errSum); err != nil {
		return damage(err)
	}
	if !bytes.Equal(sum, sumLine(record)) {
		return fmt.Errorf("%w: %s and %s do not match", ErrDamaged, artifactFile, artifactSum)
	}
	return nil
}

func sumLine(record []byte) []byte {
	return fmt.Appendf(nil, "%x  %s\n", sha256.Sum256(record), artifactFile)
}

// damage marks the absence of a file as damage; other errors are trouble in reading.
func damage(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

func verifyFile(ctx context.Context, root *os.Root, name string, want File) error {
	info, err := root.Lstat(filepath.FromSlash(name))
	if err != nil {
		return damage(err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: %s is not a plain file", ErrDamaged, name)
	}
	in, err := root.Open(filepath.FromSlash(name))
	if err != nil {
		return damage(err)
	}
	defer in.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, &reader{ctx, in}); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if hex.EncodeToString(sum.Sum(nil)) == want.SHA256 && info.Size() == want.Bytes {
		return nil
	}
	// The file is read again, to say where: only a damaged one costs that.
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	got := newDigester()
	if _, err := io.Copy(got, &reader{ctx, in}); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return fmt.Errorf("%w: %s: %s", ErrDamaged, name, difference(got.File(), want))
}

// difference in words, when there is one.
func difference(got, want File) string {
	if got.Bytes != want.Bytes {
		return fmt.Sprintf("it has %d bytes, and had %d", got.Bytes, want.Bytes)
	}
	text := fmt.Sprintf("its SHA-256 is %s, and was %s", got.SHA256, want.SHA256)
	for i, part := range want.Parts {
		if i < len(got.Parts) && got.Parts[i] != part {
			text += fmt.Sprintf("; it differs in bytes %d to %d", int64(i)*partBytes, min(int64(i+1)*partBytes, want.Bytes)-1)
		}
	}
	return text
}

// reader ends when ctx does.
type reader struct {
	ctx context.Context
	io.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// A digester computes the File that describes what is written to it.
type digester struct {
	whole, part hash.Hash
	bytes       int64
	parts       []string
}

func newDigester() *digester { return &digester{whole: sha256.New(), part: sha256.New()} }

func (d *digester) Write(p []byte) (int, error) {
	d.whole.Write(p)
	for rest := p; len(rest) > 0; {
		n := min(int64(len(rest)), partBytes-d.bytes%partBytes)
		d.part.Write(rest[:n])
		rest = rest[n:]
		if d.bytes += n; d.bytes%partBytes == 0 {
			d.endPart()
		}
	}
	return len(p), nil
}

func (d *digester) endPart() {
	d.parts = append(d.parts, hex.EncodeToString(d.part.Sum(nil)))
	d.part.Reset()
}

// File of all that was written. Nothing may be written after it.
func (d *digester) File() File {
	if d.bytes%partBytes != 0 {
		d.endPart()
	}
	return File{Bytes: d.bytes, SHA256: hex.EncodeToString(d.whole.Sum(nil)), Parts: d.parts}
}

// Keep writes a file of the artifact, durably, with mode 0600, and records its digest.
func (a *Artifact) Keep(name string, content []byte) error {
	file := filepath.Join(a.Dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("write artifact: %w", err)
	}
	if err := write(file, content); err != nil {
		return err
	}
	d := newDigester()
	d.Write(content)
	if a.Files == nil {
		a.Files = map[string]File{}
	}
	a.Files[name] = d.File()
	return nil
}

// Finish makes it a finished backup, by writing artifact.json.
func (a *Artifact) Finish() error {
	record, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return fmt.Errorf("write artifact: %w", err)
	}
	record = append(record, '\n')
	file := filepath.Join(a.Dir, artifactFile)
	if err := write(filepath.Join(a.Dir, artifactSum), sumLine(record)); err != nil {
		return err
	}
	if err := write(file+".part", record); err != nil {
		return err
	}
	if err := os.Rename(file+".part", file); err != nil {
		return fmt.Errorf("write artifact: %w", err)
	}
	return errors.Join(etcd.SyncDir(a.Dir), etcd.SyncDir(filepath.Dir(a.Dir)))
}

// Retake changes one file of a finished artifact as if it had been taken so: its digests are recorded anew. Nil content leaves the file out. It is
// for faults: what was wrong with a cluster's files when they were backed up cannot be told from damage since, except that the digests are right.
func (a *Artifact) Retake(name string, content []byte) error {
	if _, ok := a.Files[name]; !ok {
		return fmt.Errorf("retake artifact %s: it has no file %s", a.Name, name)
	}
	for _, file := range []string{name, artifactFile, artifactSum} {
		if err := os.Remove(filepath.Join(a.Dir, filepath.FromSlash(file))); err != nil {
			return fmt.Errorf("retake artifact %s: %w", a.Name, err)
		}
	}
	delete(a.Files, name)
	if content != nil {
		if err := a.Keep(name, content); err != nil {
			return err
		}
	}
	return a.Finish()
}

// MaterialFile is the name within the artifact of a file of its Material.
func MaterialFile(name string) string { return path.Join(materialDir, name) }

func write(file string, content []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write artifact: %w", err)
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write artifact: %w", err)
	}
	return nil
}
