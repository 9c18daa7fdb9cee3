package evidence

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// SealFile lists the SHA-256 of every file of a run directory whose drill came to its end, as sha256sum does and checks. What a backup itself holds is not in it:
// its digests are in its artifact.json.
const SealFile = "evidence.sha256"

// Seal writes SealFile. Nothing may be written to the evidence after it.
func Seal(dir string) error {
	digests, err := digests(dir)
	if err != nil {
		return fmt.Errorf("seal the evidence: %w", err)
	}
	var lines strings.Builder
	for _, f := range digests {
		fmt.Fprintf(&lines, "%s  %s\n", f.digest, f.name)
	}
	if err := os.WriteFile(filepath.Join(dir, SealFile), []byte(lines.String()), 0o600); err != nil {
		return fmt.Errorf("seal the evidence: %w", err)
	}
	return nil
}

// ErrChanged is wrapped by the error of a run directory that is not as its drill left it.
var ErrChanged = errors.New("the run directory is not as the drill left it")

// CheckSeal names every file that was changed, taken out or put in since the drill ended. Without a seal there is nothing to check: the drill was killed, and its
// timeline says so, or an older version ran it. Who can write the files can write the seal too; against that there are signed bundles.
func CheckSeal(dir string) error {
	b, err := os.ReadFile(filepath.Join(dir, SealFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("check the evidence: %w", err)
	}
	there, err := digests(dir)
	if err != nil {
		return fmt.Errorf("check the evidence: %w", err)
	}
	found := map[string]string{}
	for _, f := range there {
		found[f.name] = f.digest
	}
	var wrong []string
	sealed := map[string]bool{}
	for entry := range strings.Lines(string(b)) {
		digest, name, ok := strings.Cut(strings.TrimSuffix(entry, "\n"), "  ")
		if !ok || len(digest) != 2*sha256.Size || !strings.HasSuffix(entry, "\n") {
			return fmt.Errorf("%w: %s is torn or edited at %q", ErrChanged, SealFile, entry)
		}
		sealed[name] = true
		switch is, there := found[name]; {
		case !there:
			wrong = append(wrong, name+" is missing")
		case is != digest:
			wrong = append(wrong, fmt.Sprintf("%s was changed (its SHA-256 is %.12s, and was %.12s)", name, is, digest))
		}
	}
	for _, f := range there {
		if !sealed[f.name] && ours(f.name) {
			wrong = append(wrong, f.name+" was put in")
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%w: %s", ErrChanged, strings.Join(wrong, "; "))
	}
	return nil
}

type digestOf struct{ name, digest string }

// digests of all evidence, by name. Reports are none.
func digests(dir string) (all []digestOf, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name != "." && strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir() && path.Dir(path.Dir(name)) == ArtifactsDir:
			return fs.SkipDir
		case !d.Type().IsRegular(), name == SealFile, path.Dir(path.Dir(name)) == ArtifactsDir && d.Name() != "artifact.json":
			return nil
		}
		f, err := root.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		hash := sha256.New()
		if _, err := io.Copy(hash, f); err != nil {
			return err
		}
		all = append(all, digestOf{name, hex.EncodeToString(hash.Sum(nil))})
		return nil
	})
	return all, err
}

// evidenceFiles that a check may read.
var evidenceFiles = []string{
	HeaderFile, ScenarioFile, TimelineFile, LedgerFile, SurvivorsFile, CensusBeforeFile, CensusAfterFile, StoreFile, StoreHealthFile, AccessBackupFile, AccessBeforeFile,
	AccessAfterFile, CRDsBeforeFile, CRDsAfterFile, CRDsRecreateFile, FreshnessFile, DriftFile, APIsFile, InformerFile, ProbesFile,
}

// ours tells whether a file by this name is evidence, a layer's or a tool's included: reports and a user's own notes may be put beside it at any time.
func ours(name string) bool {
	tool, _ := path.Match(ToolFiles, name) // the pattern is a good one
	if tool || path.Dir(path.Dir(name)) == ArtifactsDir || strings.HasPrefix(name, LogsDir+"/") {
		return true
	}
	return slices.ContainsFunc(evidenceFiles, func(file string) bool {
		stem, ext, _ := strings.Cut(file, ".")
		return name == file || strings.HasPrefix(name, stem+"-") && strings.HasSuffix(name, "."+ext)
	})
}
