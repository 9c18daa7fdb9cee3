package evidence

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func sealed(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		HeaderFile: "{}", TimelineFile: "{}\n{}\n", "ledger-velero.jsonl": "{}\n", "logs/source/etcd-0.log": "started\n",
		"artifacts/snapshot-1/artifact.json": "{}", "artifacts/snapshot-1/snapshot.db": "secrets", "artifacts/backup-1/store/object": "secrets",
	} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	require.NoError(t, Seal(dir))
	require.NoError(t, CheckSeal(dir))
	return dir
}

func TestSealIsWhatSha256sumChecks(t *testing.T) {
	dir := sealed(t)
	cmd := exec.Command("sha256sum", "--check", "--strict", SealFile)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Equal(t, "artifacts/snapshot-1/artifact.json: OK\ndrill.json: OK\nledger-velero.jsonl: OK\nlogs/source/etcd-0.log: OK\ntimeline.jsonl: OK\n", string(out))
}

func TestSealFindsEachChange(t *testing.T) {
	write := func(name, text string) func(dir string) error {
		return func(dir string) error { return os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600) }
	}
	for want, do := range map[string]func(dir string) error{
		"drill.json was changed (its SHA-256 is ":             write(HeaderFile, "{ }"),
		"timeline.jsonl was changed (its SHA-256 is ":         func(dir string) error { return os.Truncate(filepath.Join(dir, TimelineFile), 3) },
		"ledger-velero.jsonl is missing":                      func(dir string) error { return os.Remove(filepath.Join(dir, "ledger-velero.jsonl")) },
		"logs/source/etcd-0.log was changed":                  write("logs/source/etcd-0.log", ""),
		"artifacts/snapshot-1/artifact.json was changed":      write("artifacts/snapshot-1/artifact.json", ""),
		"freshness.json was put in":                           write(FreshnessFile, "{}"),
		"survivors-velero.jsonl was put in":                   write("survivors-velero.jsonl", "{}"),
		"tool-velero-restore-001.json was put in":             write("tool-velero-restore-001.json", "{}"),
		`evidence.sha256 is torn or edited at "0123456789"`:   write(SealFile, "0123456789"),
		"drill.json was changed (its SHA-256 is 44136fa355b3": func(dir string) error { return rewrite(dir, HeaderFile) },
	} {
		dir := sealed(t)
		require.NoError(t, do(dir))
		err := CheckSeal(dir)
		require.ErrorIs(t, err, ErrChanged)
		require.ErrorContains(t, err, "the run directory is not as the drill left it: "+want)
	}
	dir := sealed(t)
	for _, name := range []string{"report.json", "junit.xml", "notes.md", ".drill.json-123", "artifacts/snapshot-1/snapshot.db"} {
		require.NoError(t, write(name, "by the user")(dir))
	}
	require.NoError(t, CheckSeal(dir), "reports, notes, half a file and what a backup holds are no evidence of the seal")
	require.NoError(t, CheckSeal(t.TempDir()), "a drill that was killed has no seal")
}

// rewrite says another digest of a file.
func rewrite(dir, name string) error {
	line := "0000000000000000000000000000000000000000000000000000000000000000  " + name + "\n"
	return os.WriteFile(filepath.Join(dir, SealFile), []byte(line), 0o600)
}
