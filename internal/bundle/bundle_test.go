package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/reports"
)

// runDirectory of a drill, with a backup in it.
func runDirectory(t *testing.T, verdict string) (string, *reports.Report) {
	t.Helper()
	f, err := os.Open(filepath.Join("../../reports/testdata", verdict, "report.json"))
	require.NoError(t, err)
	defer f.Close()
	r, err := reports.ReadJSON(f)
	require.NoError(t, err)
	r.Artifacts[0].SHA256, r.Artifacts[0].Facts["digest of"] = strings.Repeat("ab", 32), "snapshot.db"
	dir := filepath.Join(t.TempDir(), "run")
	for name, content := range map[string]string{
		"drill.json": "{}", "scenario.yaml": r.Scenario, "timeline.jsonl": "{}\n", "ledger.jsonl": "{}\n", "logs/source/etcd-0.log": strings.Repeat("line\n", 1000),
		"artifacts/etcd-000/artifact.json": "{}", "artifacts/etcd-000/artifact.json.sha256": "x", "artifacts/etcd-000/snapshot.db": "planted-word",
		"artifacts/etcd-000/pki/ca.key": "planted-word", ".census.zst-123": "planted-word", "report.html": "old",
	} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	return dir, r
}

func built(t *testing.T, verdict string) (file string, b *Bundle) {
	t.Helper()
	dir, r := runDirectory(t, verdict)
	name, err := Name(r)
	require.NoError(t, err)
	file = filepath.Join(t.TempDir(), name+".tar.gz")
	b, err = Build(dir, file, r)
	require.NoError(t, err)
	return file, b
}

// key files, private and public.
func keys(t *testing.T, private any) (privateFile, publicFile string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, kind string, der []byte, err error) string {
		require.NoError(t, err)
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return file
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	privateFile = write("key.pem", "PRIVATE KEY", der, err)
	der, err = x509.MarshalPKIXPublicKey(private.(crypto.Signer).Public())
	return privateFile, write("key.pub", "PUBLIC KEY", der, err)
}

func edKey(t *testing.T) ed25519.PrivateKey {
	_, k, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	return k
}

func ecKey(t *testing.T, c elliptic.Curve) *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	require.NoError(t, err)
	return k
}

func signed(t *testing.T, file string, private any) (publicFile string) {
	t.Helper()
	privateFile, publicFile := keys(t, private)
	k, err := ReadPrivateKey(privateFile)
	require.NoError(t, err)
	b, err := Read(file)
	require.NoError(t, err)
	require.NoError(t, Sign(t.Context(), b, filepath.Base(file), file+EnvelopeEnding, k))
	return publicFile
}

func TestABundleHoldsTheEvidenceAndNoBackup(t *testing.T) {
	file, b := built(t, "passed")
	again, r := runDirectory(t, "passed")
	second := filepath.Join(t.TempDir(), "b.tar.gz")
	same, err := Build(again, second, r)
	require.NoError(t, err)
	require.Equal(t, b.SHA256, same.SHA256, "the same run directory gives the same bytes")
	sound, err := Read(file)
	require.NoError(t, err)
	require.Equal(t, b.SHA256, sound.SHA256)
	require.Equal(t, b.Files, sound.Files)
	require.Equal(t, reports.Passed, sound.Report.Verdict)
	for _, name := range []string{"report.json", "report.html", "junit.xml", "scenario.yaml", "timeline.jsonl", "ledger.jsonl", "drill.json", "logs/source/etcd-0.log",
		"artifacts/etcd-000/artifact.json", ReadmeFile, ManifestFile} {
		require.Contains(t, sound.Files, name)
	}

	dir := filepath.Join(t.TempDir(), "unpacked")
	require.NoError(t, Extract(file, dir, sound))
	var all bytes.Buffer
	require.NoError(t, filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(p)
		all.Write(text)
		return err
	}))
	require.False(t, strings.Contains(all.String(), "planted-word"), "neither the backups nor half-written files are in it")
	html, err := os.ReadFile(filepath.Join(dir, "report.html"))
	require.NoError(t, err)
	require.NotEqual(t, "old", string(html), "the reports are rendered from the evidence")
	require.ErrorContains(t, Extract(file, dir, sound), "file exists")
	require.ErrorContains(t, Extract(file, dir+"2", &Bundle{}), "changed while it was read")
	require.NoDirExists(t, dir+"2")
}

func TestWhatCannotBePacked(t *testing.T) {
	for name, test := range map[string]struct {
		do   func(dir string, r *reports.Report) (out string)
		want string
	}{
		"into itself": {func(dir string, _ *reports.Report) string { return filepath.Join(dir, "b.tar.gz") }, "it lies in the run directory"},
		"over a file": {func(dir string, _ *reports.Report) string {
			out := filepath.Join(filepath.Dir(dir), "b.tar.gz")
			require.NoError(t, os.WriteFile(out, []byte("precious"), 0o600))
			return out
		}, "b.tar.gz: it is there already, and is not overwritten"},
		"symbolic link": {func(dir string, _ *reports.Report) string {
			require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(dir, "logs/source/p.log")))
			return ""
		}, "pack logs/source/p.log: it is no regular file"},
		"odd name": {func(dir string, _ *reports.Report) string {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "a\nb"), nil, 0o600))
			return ""
		}, `pack "a\nb": its name cannot be written into MANIFEST.sha256`},
		"manifest of its own": {func(dir string, _ *reports.Report) string {
			require.NoError(t, os.WriteFile(filepath.Join(dir, ManifestFile), nil, 0o600))
			return ""
		}, "pack MANIFEST.sha256: the bundle has a file of that name"},
		"odd ID": {func(_ string, r *reports.Report) string { r.Drill.ID = "../x"; return "" }, `the drill's ID is "../x"`},
		"edited report": {func(dir string, r *reports.Report) string {
			other := *r
			other.Verdict = reports.Failed
			f, err := os.Create(filepath.Join(dir, "report.json"))
			require.NoError(t, err)
			defer f.Close()
			require.NoError(t, reports.WriteJSON(f, &other))
			return ""
		}, "says failed of drill 20261120-093000-7f3a, and the evidence beside it passed"},
		"report of a newer version": {func(dir string, _ *reports.Report) string {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "report.json"), []byte(`{"schema":"restoredrill.io/report/v2","verdict":"passed"}`), 0o600))
			return ""
		}, `it is written as "restoredrill.io/report/v2"`},
	} {
		t.Run(name, func(t *testing.T) {
			dir, r := runDirectory(t, "passed")
			out := test.do(dir, r)
			if out == "" {
				out = filepath.Join(filepath.Dir(dir), "b.tar.gz")
			}
			before, _ := os.ReadFile(out)
			_, err := Build(dir, out, r)
			require.ErrorContains(t, err, test.want)
			after, _ := os.ReadFile(out)
			require.Equal(t, before, after)
			left, err := filepath.Glob(filepath.Join(filepath.Dir(out), ".*.tar.gz-*"))
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
}

// An entry of a bundle that is packed again.
type entry struct {
	tar.Header
	content []byte
}

// repack a bundle after its entries were changed, in Build's own form where what was done allows it.
func repack(t *testing.T, from, to string, change func([]entry) []entry) {
	t.Helper()
	f, err := os.Open(from)
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	var all []entry
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		content, err := io.ReadAll(r)
		require.NoError(t, err)
		all = append(all, entry{*h, content})
	}
	var b bytes.Buffer
	gz := gzip.NewWriter(&b)
	w := tar.NewWriter(gz)
	for _, e := range change(all) {
		e.Size = int64(len(e.content))
		require.NoError(t, w.WriteHeader(&e.Header))
		_, err := w.Write(e.content)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	require.NoError(t, gz.Close())
	require.NoError(t, os.WriteFile(to, b.Bytes(), 0o600))
}

func named(all []entry, name string) *entry {
	for i := range all {
		if strings.HasSuffix(all[i].Name, "/"+name) {
			return &all[i]
		}
	}
	return nil
}

// TestTampering holds a row for each way to change a bundle. What can be seen without a signature is named; the signature sees all of it.
func TestTampering(t *testing.T) {
	for name, test := range map[string]struct {
		change func([]entry) []entry
		// want is what is found of it without a signature; empty where the bundle agrees with itself.
		want string
	}{
		"content": {func(all []entry) []entry {
			named(all, "ledger.jsonl").content[0] ^= 1
			return all
		}, "ledger.jsonl: it was changed: its SHA-256 is"},
		"verdict": {func(all []entry) []entry {
			e := named(all, "report.json")
			e.content = bytes.Replace(e.content, []byte(`"verdict": "failed"`), []byte(`"verdict": "passed"`), 1)
			return all
		}, "report.json: it was changed"},
		"manifest": {func(all []entry) []entry {
			e := named(all, ManifestFile)
			e.content = bytes.ReplaceAll(e.content, []byte("  ledger.jsonl"), []byte("  no-ledger.jsonl"))
			return all
		}, "no-ledger.jsonl: it is missing\nledger.jsonl: it was added: MANIFEST.sha256 does not list it"},
		"content and manifest": {func(all []entry) []entry {
			e, m := named(all, "ledger.jsonl"), named(all, ManifestFile)
			b := &Bundle{Files: map[string]File{}}
			e.content = []byte("{}{}\n")
			for _, other := range all {
				if name := strings.SplitN(other.Name, "/", 2)[1]; name != ManifestFile {
					b.Files[name] = File{SHA256: sumOf(other.content)}
				}
			}
			m.content = b.manifest()
			return all
		}, ""},
		"no manifest": {func(all []entry) []entry { return all[:len(all)-1] }, "MANIFEST.sha256: it is missing"},
		"no report":   {func(all []entry) []entry { return without(all, "report.json") }, "report.json: it is missing\nreport.json: it is missing: this is not the evidence of a drill"},
		"removed":     {func(all []entry) []entry { return without(all, "ledger.jsonl") }, "ledger.jsonl: it is missing"},
		"added": {func(all []entry) []entry {
			e := all[0]
			e.Name = strings.SplitN(e.Name, "/", 2)[0] + "/extra"
			return append(all, e)
		}, "extra: it was added"},
		"twice": {func(all []entry) []entry { return append(all, *named(all, "report.json")) }, "report.json: it is there more than once"},
		"climbs out": {func(all []entry) []entry {
			e := all[0]
			e.Name = "../../etc/cron.d/x"
			return append(all, e)
		}, `"../../etc/cron.d/x": its path leads out of the bundle's folder`},
		"climbs out from within": {func(all []entry) []entry {
			e := all[0]
			e.Name = strings.SplitN(e.Name, "/", 2)[0] + "/logs/../../x"
			return append(all, e)
		}, `/logs/../../x": its path leads out of the bundle's folder`},
		"absolute": {func(all []entry) []entry {
			e := all[0]
			e.Name = "/etc/passwd"
			return append(all, e)
		}, `"/etc/passwd": its path leads out of the bundle's folder`},
		"beside the folder": {func(all []entry) []entry {
			e := all[0]
			e.Name = "x"
			return append(all, e)
		}, `"x": it lies beside the bundle's folder`},
		"another folder": {func(all []entry) []entry {
			e := all[0]
			e.Name = "other/x"
			return append(all, e)
		}, `"other/x": it is not in the folder restore-drill-`},
		"terminal codes": {func(all []entry) []entry {
			e := all[0]
			e.Name = strings.SplitN(e.Name, "/", 2)[0] + "/a\x1b[2Jb"
			return append(all, e)
		}, `/a\x1b[2Jb": its path leads out of the bundle's folder, or is not plain`},
		"symbolic link": {func(all []entry) []entry {
			return append(all, entry{tar.Header{Typeflag: tar.TypeSymlink, Name: all[0].Name, Linkname: "/etc/passwd"}, nil})
		}, `it is a symbolic link to "/etc/passwd", and a bundle holds regular files alone`},
		"hard link": {func(all []entry) []entry {
			return append(all, entry{tar.Header{Typeflag: tar.TypeLink, Name: all[0].Name + "2", Linkname: all[0].Name}, nil})
		}, "it is a hard link to"},
		"directory": {func(all []entry) []entry {
			return append(all, entry{tar.Header{Typeflag: tar.TypeDir, Name: "restore-drill-x/"}, nil})
		}, "it is a directory"},
		"device": {func(all []entry) []entry {
			return append(all, entry{tar.Header{Typeflag: tar.TypeChar, Name: all[0].Name + "2"}, nil})
		}, "it is an entry of type"},
		"mode": {func(all []entry) []entry {
			all[0].Mode = 0o4755
			return all
		}, "it is not packed as a bundle is"},
		"owner": {func(all []entry) []entry {
			all[0].Uname = "mallory"
			return all
		}, "it is not packed as a bundle is"},
		"time": {func(all []entry) []entry {
			all[0].ModTime = all[0].ModTime.Add(time.Hour)
			return all
		}, ""},
		"order": {func(all []entry) []entry {
			all[0], all[1] = all[1], all[0]
			return all
		}, ""},
		"folder of another drill": {func(all []entry) []entry {
			for i := range all {
				all[i].Name = "restore-drill-other/" + strings.SplitN(all[i].Name, "/", 2)[1]
			}
			return all
		}, `report.json: it is of the drill "20261120-094100-c21e", and the bundle's folder is restore-drill-other`},
	} {
		t.Run(name, func(t *testing.T) {
			file, _ := built(t, "failed")
			publicFile := signed(t, file, edKey(t))
			repack(t, file, file, test.change)
			b, err := Read(file)
			if test.want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, test.want)
			}
			key, err := ReadPublicKey(publicFile)
			require.NoError(t, err)
			require.NotNil(t, b)
			_, err = VerifySignature(t.Context(), b, file+EnvelopeEnding, key)
			require.ErrorContains(t, err, "what was signed is another bundle, or this one before it was changed")
		})
	}
}

func without(all []entry, name string) (kept []entry) {
	for _, e := range all {
		if !strings.HasSuffix(e.Name, "/"+name) {
			kept = append(kept, e)
		}
	}
	return kept
}

func sumOf(b []byte) string {
	h := sha256.New()
	h.Write(b)
	return hexSum(h)
}

// TestEveryByteCounts changes bytes all over a bundle, each in two ways.
func TestEveryByteCounts(t *testing.T) {
	file, sound := built(t, "passed")
	whole, err := os.ReadFile(file)
	require.NoError(t, err)
	changed := filepath.Join(t.TempDir(), "changed.tar.gz")
	step := 1 + len(whole)/400
	for i := 0; i < len(whole); i += step {
		for _, bit := range []byte{1, 0x80} {
			b := bytes.Clone(whole)
			b[i] ^= bit
			require.NoError(t, os.WriteFile(changed, b, 0o600))
			got, err := Read(changed)
			if err == nil {
				require.NotEqual(t, sound.SHA256, got.SHA256, "byte %d", i) // and so its signature is of another
			}
		}
	}
	for _, n := range []int{0, 5, 100, len(whole) / 2, len(whole) - 1} {
		require.NoError(t, os.WriteFile(changed, whole[:n], 0o600))
		_, err := Read(changed)
		require.ErrorContains(t, err, "read bundle "+changed+": ", "cut to %d bytes", n)
	}
	require.NoError(t, os.WriteFile(changed, append(bytes.Clone(whole), "more"...), 0o600))
	_, err = Read(changed)
	require.ErrorContains(t, err, "4 bytes follow its end")
	_, err = Read(filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestSignatures(t *testing.T) {
	for name, private := range map[string]any{
		"Ed25519": edKey(t), "P-256": ecKey(t, elliptic.P256()), "P-384": ecKey(t, elliptic.P384()), "P-521": ecKey(t, elliptic.P521()),
	} {
		t.Run(name, func(t *testing.T) {
			file, b := built(t, "passed")
			key, err := ReadPublicKey(signed(t, file, private))
			require.NoError(t, err)
			result, err := VerifySignature(t.Context(), b, file+EnvelopeEnding, key)
			require.NoError(t, err)
			require.Equal(t, "PASSED", result.Result)
			require.Contains(t, result.PassedTests, "rto")
			_, otherFile := keys(t, private2(t, private))
			other, err := ReadPublicKey(otherFile)
			require.NoError(t, err)
			_, err = VerifySignature(t.Context(), b, file+EnvelopeEnding, other)
			require.ErrorContains(t, err, "did not sign this statement")
			_, err = VerifySignature(t.Context(), b, file, key)
			require.ErrorContains(t, err, "no DSSE envelope")

			privateFile, _ := keys(t, private)
			again, err := ReadPrivateKey(privateFile)
			require.NoError(t, err)
			before, err := os.ReadFile(file + EnvelopeEnding)
			require.NoError(t, err)
			require.ErrorContains(t, Sign(t.Context(), b, "b", file+EnvelopeEnding, again), "it is there already, and is not overwritten")
			after, err := os.ReadFile(file + EnvelopeEnding)
			require.NoError(t, err)
			require.Equal(t, before, after)
		})
	}
}

func private2(t *testing.T, like any) any {
	if k, ok := like.(*ecdsa.PrivateKey); ok {
		return ecKey(t, k.Curve)
	}
	return edKey(t)
}

// TestEnvelopes holds what may be wrong with an envelope.
func TestEnvelopes(t *testing.T) {
	file, b := built(t, "failed")
	private := edKey(t)
	publicFile := signed(t, file, private)
	key, err := ReadPublicKey(publicFile)
	require.NoError(t, err)
	signer := &Key{private, private.Public()}
	good, err := os.ReadFile(file + EnvelopeEnding)
	require.NoError(t, err)
	statement, err := Statement(b, "b")
	require.NoError(t, err)
	seal := func(kind, payload string) string {
		s, err := dsse.NewEnvelopeSigner(signer)
		require.NoError(t, err)
		e, err := s.SignPayload(t.Context(), kind, []byte(payload))
		require.NoError(t, err)
		text, err := json.Marshal(e)
		require.NoError(t, err)
		return string(text)
	}
	for name, test := range map[string]struct{ envelope, want string }{
		"empty":             {"", "no DSSE envelope"},
		"not signed":        {regexp.MustCompile(`"signatures":.*`).ReplaceAllString(string(good), `"signatures":[]}`), "no signature found"},
		"two":               {string(good) + string(good), "something follows the envelope"},
		"another kind":      {seal("text/plain", string(statement)), `it is an envelope of "text/plain"`},
		"no statement":      {seal(PayloadType, "{}"), "wrong statement type"},
		"another predicate": {seal(PayloadType, strings.Replace(string(statement), "test-result", "vsa", 1)), "and not of https://in-toto.io/attestation/test-result/v0.1"},
		"another result":    {seal(PayloadType, strings.Replace(string(statement), `"FAILED"`, `"PASSED"`, 1)), `the signed result is "PASSED", and the report in the bundle says failed`},
		"no result":         {seal(PayloadType, strings.Replace(string(statement), `"FAILED"`, `"GREAT"`, 1)), `the signed result is "GREAT"`},
		"another scenario":  {seal(PayloadType, strings.Replace(string(statement), b.Files["scenario.yaml"].SHA256, b.SHA256, 1)), "the signed result is of another scenario.yaml"},
		"payload changed":   {strings.Replace(string(good), `"payload":"e`, `"payload":"f`, 1), "did not sign this statement"},
	} {
		t.Run(name, func(t *testing.T) {
			envelope := filepath.Join(t.TempDir(), "e")
			require.NoError(t, os.WriteFile(envelope, []byte(test.envelope), 0o600))
			_, err := VerifySignature(t.Context(), b, envelope, key)
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestAnUnknownVerdictIsNotSigned(t *testing.T) {
	file, b := built(t, "unknown")
	private, _ := keys(t, edKey(t))
	key, err := ReadPrivateKey(private)
	require.NoError(t, err)
	require.ErrorContains(t, Sign(t.Context(), b, "b", file+EnvelopeEnding, key),
		"its verdict is unknown, and a test result says passed or failed: there is nothing to sign (Nothing can be said of the backup")
	require.NoFileExists(t, file+EnvelopeEnding)
}

func TestKeysOfTheWrongKind(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	rsaPrivate, rsaPublic := keys(t, rsaKey)
	private, public := keys(t, edKey(t))
	p224, p224Public := keys(t, ecKey(t, elliptic.P224()))
	file := func(content string) string {
		f := filepath.Join(t.TempDir(), "key")
		require.NoError(t, os.WriteFile(f, []byte(content), 0o600))
		return f
	}
	block := func(kind string) string { return string(pem.EncodeToMemory(&pem.Block{Type: kind})) }
	both, err := os.ReadFile(private)
	require.NoError(t, err)
	for name, test := range map[string]struct {
		read func(string) (*Key, error)
		file string
		want string
	}{
		"RSA":                  {ReadPrivateKey, rsaPrivate, "it is an RSA key: want Ed25519 or ECDSA"},
		"RSA, as of old":       {ReadPrivateKey, file(block("RSA PRIVATE KEY")), "it is an RSA key: want Ed25519 or ECDSA"},
		"RSA, public":          {ReadPublicKey, rsaPublic, "it is an RSA key: want Ed25519 or ECDSA"},
		"P-224":                {ReadPrivateKey, p224, "over P-224: want P-256"},
		"P-224, public":        {ReadPublicKey, p224Public, "over P-224: want P-256"},
		"public for private":   {ReadPrivateKey, public, "it is public: want the private key"},
		"private for public":   {ReadPublicKey, private, "it is private, and who verifies should not have it"},
		"encrypted":            {ReadPrivateKey, file(block("ENCRYPTED PRIVATE KEY")), "it is encrypted (openssl pkey -in "},
		"encrypted, as of old": {ReadPrivateKey, file(string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Headers: map[string]string{"DEK-Info": "x"}}))), "read key "},
		"certificate":          {ReadPublicKey, file(block("CERTIFICATE")), `it is a "CERTIFICATE": want a public key`},
		"no PEM":               {ReadPrivateKey, file("hello"), "it holds no PEM block"},
		"two keys":             {ReadPrivateKey, file(string(both) + string(both)), "it holds more than one key"},
		"torn":                 {ReadPrivateKey, file(block("PRIVATE KEY")), "read key "},
		"none":                 {ReadPrivateKey, "no-such-file", "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := test.read(test.file)
			require.ErrorContains(t, err, test.want)
			require.ErrorContains(t, err, test.file)
		})
	}
	_, err = (&Key{public: edKey(t).Public()}).Sign(context.Background(), nil)
	require.ErrorContains(t, err, "the key is public")
}

// TestTheReadmeVerifies runs what a bundle's README says, with tools that are not ours: it is green for a sound bundle, and red for each other one.
func TestTheReadmeVerifies(t *testing.T) {
	for _, tool := range []string{"sh", "tar", "sha256sum", "openssl", "sed", "grep"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s here", tool)
		}
	}
	for name, test := range map[string]struct {
		private any
		drop    int // the step that is for the other kind of key
	}{"Ed25519": {edKey(t), 3}, "ECDSA": {ecKey(t, elliptic.P256()), 2}} {
		t.Run(name, func(t *testing.T) {
			file, b := built(t, "passed")
			public := signed(t, file, test.private)
			unpacked := filepath.Join(t.TempDir(), "unpacked")
			require.NoError(t, Extract(file, unpacked, b))
			text, err := os.ReadFile(filepath.Join(unpacked, ReadmeFile))
			require.NoError(t, err)
			blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1)
			require.Len(t, blocks, 5)
			steps := []string{}
			for i, block := range blocks {
				if i != test.drop {
					steps = append(steps, block[1])
				}
			}
			// verify gives the step that failed; -1 for none.
			verify := func(dir string) int {
				for i, step := range steps {
					cmd := exec.Command("sh", "-e", "-c", step)
					cmd.Dir = dir
					if out, err := cmd.CombinedOutput(); err != nil {
						t.Logf("%s: %s", err, out)
						return i
					}
				}
				return -1
			}
			arrange := func() string {
				dir := t.TempDir()
				for from, to := range map[string]string{file: b.Name + ".tar.gz", file + EnvelopeEnding: b.Name + ".tar.gz" + EnvelopeEnding, public: "key.pub"} {
					content, err := os.ReadFile(from)
					require.NoError(t, err)
					require.NoError(t, os.WriteFile(filepath.Join(dir, to), content, 0o600))
				}
				return dir
			}
			require.Equal(t, -1, verify(arrange()))

			dir := arrange()
			repack(t, file, filepath.Join(dir, b.Name+".tar.gz"), func(all []entry) []entry {
				named(all, "ledger.jsonl").content[0] ^= 1
				return all
			})
			require.Equal(t, 0, verify(dir), "a file was changed")
			dir = arrange()
			repack(t, file, filepath.Join(dir, b.Name+".tar.gz"), func(all []entry) []entry {
				e := all[0]
				e.Name = b.Name + "/extra"
				return append(all, e)
			})
			require.Equal(t, 0, verify(dir), "a file was added")
			dir = arrange()
			repack(t, file, filepath.Join(dir, b.Name+".tar.gz"), func(all []entry) []entry {
				all[0].ModTime = time.Unix(1, 0)
				return all
			})
			require.Equal(t, 3, verify(dir), "another bundle that agrees with itself")
			dir = arrange()
			envelope := filepath.Join(dir, b.Name+".tar.gz"+EnvelopeEnding)
			content, err := os.ReadFile(envelope)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(envelope, bytes.Replace(content, []byte(`"payload":"e`), []byte(`"payload":"f`), 1), 0o600))
			require.Equal(t, 2, verify(dir), "another statement")
			dir = arrange()
			_, other := keys(t, private2(t, test.private))
			content, err = os.ReadFile(other)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(dir, "key.pub"), content, 0o600))
			require.Equal(t, 2, verify(dir), "another key")
		})
	}
}
