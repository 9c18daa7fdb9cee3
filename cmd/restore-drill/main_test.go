package main

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/tools/txtar"

	"github.com/restore-drill/restore-drill/internal/census"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"restore-drill": main, pluginName: main, pluginCompleteName: main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "", RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"rundir": rundir, "keypair": keypair},
		Setup: func(e *testscript.Env) error {
			// The toolchain's cache is the user's; everything else is the script's own.
			cache, err := os.UserCacheDir()
			if err != nil {
				return err
			}
			e.Setenv("XDG_CACHE_HOME", cache)
			// Where this program is, for a PATH without anything else.
			e.Setenv("PROGRAMS", filepath.SplitList(e.Getenv("PATH"))[0])
			e.Setenv("RESTORE_DRILL_STATE_DIR", e.WorkDir+"/state")
			return nil
		},
	})
}

// rundir DIR [WITHOUT...] makes a run directory of a passed drill, without the files that are named.
func rundir(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: rundir DIR [WITHOUT...]")
	}
	archive, err := txtar.ParseFile(baseArchive)
	ts.Check(err)
	for _, f := range archive.Files {
		file := ts.MkAbs(filepath.Join(args[0], f.Name))
		ts.Check(os.MkdirAll(filepath.Dir(file), 0o700))
		if strings.HasPrefix(f.Name, "census-") {
			ts.Check(writeCensus(file+".zst", f.Data))
		} else {
			ts.Check(os.WriteFile(file, f.Data, 0o600))
		}
	}
	for _, name := range args[1:] {
		ts.Check(os.Remove(ts.MkAbs(filepath.Join(args[0], name))))
	}
}

// keypair NAME makes NAME.pem and NAME.pub.
func keypair(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: keypair NAME")
	}
	public, private, err := ed25519.GenerateKey(nil)
	ts.Check(err)
	for _, f := range []struct {
		ending, kind string
		marshal      func() ([]byte, error)
	}{
		{".pem", "PRIVATE KEY", func() ([]byte, error) { return x509.MarshalPKCS8PrivateKey(private) }},
		{".pub", "PUBLIC KEY", func() ([]byte, error) { return x509.MarshalPKIXPublicKey(public) }},
	} {
		der, err := f.marshal()
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(args[0]+f.ending), pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: der}), 0o600))
	}
}

// baseArchive is the evidence that the checks are tested with.
var baseArchive = func() string {
	file, err := filepath.Abs("../../drills/checks/testdata/base.txtar")
	if err != nil {
		panic(err)
	}
	return file
}()

func writeCensus(file string, content []byte) error {
	var (
		w    *census.Writer
		tail census.Tail
	)
	for lines := bufio.NewScanner(bytes.NewReader(content)); lines.Scan(); {
		line := lines.Bytes()
		var err error
		switch {
		case w == nil:
			var head census.Head
			if err = json.Unmarshal(line, &head); err == nil {
				w, err = census.Create(file, head)
			}
		case bytes.HasPrefix(line, []byte(`{"end"`)):
			err = json.Unmarshal(line, &tail)
		default:
			var e census.Entry
			if err = json.Unmarshal(line, &e); err == nil {
				sum := sha256.Sum256(e.Object)
				e.Digest = hex.EncodeToString(sum[:16])
				err = w.Write(e)
			}
		}
		if err != nil {
			return err
		}
	}
	_, err := w.Close(tail)
	return err
}
