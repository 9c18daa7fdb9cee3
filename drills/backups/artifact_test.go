package backups

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/internal/etcd"
)

func small(t *testing.T) *Artifact {
	t.Helper()
	a := &Artifact{Dir: filepath.Join(t.TempDir(), "etcd-000"), Name: "etcd-000", Method: "etcd", Revision: 7}
	require.NoError(t, a.Keep(snapshotFile, bytes.Repeat([]byte("data"), 16)))
	require.NoError(t, a.Keep("pki/ca.key", []byte("a key")))
	require.NoError(t, a.Keep("pki/etcd/ca.crt", nil))
	require.NoError(t, a.Finish())
	return a
}

func TestArtifactIsPrivateAndComplete(t *testing.T) {
	a := small(t)
	require.NoError(t, a.Verify(t.Context()))
	loaded, err := LoadArtifact(a.Dir)
	require.NoError(t, err)
	require.Equal(t, a, loaded)
	key, err := fs.ReadFile(loaded.Material(), "ca.key")
	require.NoError(t, err)
	require.Equal(t, "a key", string(key))
	require.Equal(t, filepath.Join(a.Dir, "snapshot.db"), a.Snapshot())
	require.Empty(t, (&Artifact{Method: "velero"}).Snapshot())
	require.ErrorContains(t, a.Keep("pki/ca.key", []byte("another")), "file exists")
}

func TestEveryFlippedByteIsFound(t *testing.T) {
	a := small(t)
	for _, name := range []string{snapshotFile, "pki/ca.key", artifactFile, artifactSum} {
		file := filepath.Join(a.Dir, name)
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		for offset := range content {
			damaged := bytes.Clone(content)
			damaged[offset] ^= 0x20
			require.NoError(t, os.WriteFile(file, damaged, 0o600))
			require.ErrorIs(t, a.Verify(t.Context()), ErrDamaged, "byte %d of %s", offset, name)
		}
		require.NoError(t, os.WriteFile(file, content, 0o600))
	}
	require.NoError(t, a.Verify(t.Context()))
}

func TestVerifyFindsAllDamageAtOnce(t *testing.T) {
	a := small(t)
	file := func(name string) string { return filepath.Join(a.Dir, name) }
	require.NoError(t, os.WriteFile(file(snapshotFile), []byte("other"), 0o600))
	require.NoError(t, os.Remove(file("pki/ca.key")))
	require.NoError(t, os.WriteFile(file("pki/planted.crt"), nil, 0o600))
	require.NoError(t, os.Rename(file("pki/etcd/ca.crt"), file("elsewhere")))
	require.NoError(t, os.Symlink("../../elsewhere", file("pki/etcd/ca.crt")))
	err := a.Verify(t.Context())
	require.ErrorIs(t, err, ErrDamaged)
	for _, says := range []string{
		"verify artifact etcd-000: ",
		"snapshot.db: it has 5 bytes, and had 64",
		"ca.key: no such file or directory",
		"pki/planted.crt was not in it",
		"elsewhere was not in it",
		"pki/etcd/ca.crt is not a plain file",
	} {
		require.ErrorContains(t, err, says)
	}

	require.NoError(t, os.Remove(file(artifactSum)))
	require.ErrorContains(t, a.Verify(t.Context()), "artifact.json.sha256: no such file or directory")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = small(t).Verify(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, ErrDamaged, "what could not be read is not damaged")
}

func TestDigester(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), (2*partBytes+5*16)/16)
	hexSum := func(b []byte) string {
		sum := sha256.Sum256(b)
		return hex.EncodeToString(sum[:])
	}
	for _, step := range []int{len(content), 1 << 20, partBytes, partBytes + 1} {
		d := newDigester()
		for rest := content; len(rest) > 0; {
			n := min(step, len(rest))
			d.Write(rest[:n])
			rest = rest[n:]
		}
		require.Equal(t, File{
			Bytes: int64(len(content)), SHA256: hexSum(content),
			Parts: []string{hexSum(content[:partBytes]), hexSum(content[partBytes : 2*partBytes]), hexSum(content[2*partBytes:])},
		}, d.File(), "written by %d", step)
	}
	exact := newDigester()
	exact.Write(content[:partBytes])
	require.Len(t, exact.File().Parts, 1)

	a := &Artifact{Dir: t.TempDir(), Name: "large"}
	require.NoError(t, a.Keep(snapshotFile, content))
	require.NoError(t, a.Finish())
	content[partBytes+3] ^= 1
	require.NoError(t, os.WriteFile(a.Snapshot(), content, 0o600))
	require.ErrorContains(t, a.Verify(t.Context()), fmt.Sprintf("it differs in bytes %d to %d", partBytes, 2*partBytes-1))
}

func TestLoadArtifactRefuses(t *testing.T) {
	dir := t.TempDir()
	_, err := LoadArtifact(dir)
	require.ErrorContains(t, err, "load artifact: open "+filepath.Join(dir, artifactFile))
	for content, says := range map[string]string{
		`{`:                              "unexpected EOF",
		`{"revision": 1, "more": 2}`:     `unknown field "more"`,
		`{"files": {"../outside": {}}}`:  `it names a file "../outside"`,
		`{"files": {"/etc/passwd": {}}}`: `it names a file "/etc/passwd"`,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, artifactFile), []byte(content), 0o600))
		_, err := LoadArtifact(dir)
		require.ErrorContains(t, err, says)
	}
}

func TestRefusalTellsWhatBothSaid(t *testing.T) {
	damaged := fmt.Errorf("%w: snapshot.db: other", ErrDamaged)
	tool := fmt.Errorf("%w: expected sha256", etcd.ErrRefused)
	err := refusal(damaged, tool)
	require.ErrorIs(t, err, ErrRefused)
	require.EqualError(t, err, "restore refused: by etcdutl: etcdutl refused the snapshot: expected sha256; by the recorded digests: artifact is not as it was taken: snapshot.db: other")
	require.EqualError(t, refusal(nil, tool), "restore refused: by etcdutl: etcdutl refused the snapshot: expected sha256; by the recorded digests: nothing to object to")
	require.EqualError(t, refusal(damaged, nil), "restore refused: by etcdutl: nothing to object to; by the recorded digests: artifact is not as it was taken: snapshot.db: other")
	// Trouble in reading is no verdict on the backup.
	require.NoError(t, refusal(errors.New("input/output error"), errors.New("no space left on device")))
	require.NoError(t, refusal(nil, nil))
}

func TestRecordIsReadable(t *testing.T) {
	a := small(t)
	raw, err := os.ReadFile(filepath.Join(a.Dir, artifactFile))
	require.NoError(t, err)
	var record map[string]any
	require.NoError(t, json.Unmarshal(raw, &record))
	require.Equal(t, "etcd-000", record["name"])
	sum, err := os.ReadFile(filepath.Join(a.Dir, artifactSum))
	require.NoError(t, err)
	require.True(t, strings.HasSuffix(string(sum), "  artifact.json\n"), "as sha256sum -c reads it")
}
