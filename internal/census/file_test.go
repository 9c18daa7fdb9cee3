package census

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func debugFree() { debug.FreeOSMemory() }

func readAll(t testing.TB, file string) (Head, []Entry, Tail) {
	t.Helper()
	r, err := Open(file)
	require.NoError(t, err)
	defer r.Close()
	var entries []Entry
	for {
		e, err := r.Next()
		if err == io.EOF {
			return r.Head(), entries, r.Tail()
		}
		require.NoError(t, err)
		entries = append(entries, e)
	}
}

func entry(key, digest string) Entry {
	return Entry{Key: key, Version: "v1", Kind: "ConfigMap", Namespace: "n", Name: key, Digest: digest, Object: json.RawMessage(`{"metadata":{"name":"x"}}`), ResourceVersion: "1"}
}

func writeCensus(t testing.TB, entries ...Entry) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "census")
	w, err := Create(file, Head{How: "made up"})
	require.NoError(t, err)
	for _, e := range entries {
		require.NoError(t, w.Write(e))
	}
	_, err = w.Close(Tail{})
	require.NoError(t, err)
	return file
}

func TestFileKeepsEntries(t *testing.T) {
	want := []Entry{{Key: "a", Digest: "d"}, entry("b \"\\\n<é>", "1"), entry("c", "2")}
	want[2].Object = json.RawMessage(`{"a":"` + strings.Repeat("x", 300<<10) + `"}`)
	head, entries, tail := readAll(t, writeCensus(t, want...))
	require.Equal(t, Head{Schema: Schema, How: "made up"}, head)
	require.Equal(t, want, entries)
	require.Equal(t, Tail{End: true, Entries: 3, Resources: []string{}}, tail)
}

func TestWriterRefuses(t *testing.T) {
	for _, second := range []string{"b", "a"} {
		w, err := Create(filepath.Join(t.TempDir(), "census"), Head{})
		require.NoError(t, err)
		require.NoError(t, w.Write(entry("b", "1")))
		want := fmt.Sprintf(`write census: key %q does not come after "b"`, second)
		require.EqualError(t, w.Write(entry(second, "1")), want)
		_, err = w.Close(Tail{})
		require.EqualError(t, err, want)
	}
	w, err := Create(filepath.Join(t.TempDir(), "census"), Head{})
	require.NoError(t, err)
	_, err = w.Close(Tail{})
	require.NoError(t, err)
	require.EqualError(t, w.Write(entry("b", "1")), "write census: it is closed")
	_, err = Create(filepath.Join(t.TempDir(), "no", "census"), Head{})
	require.ErrorContains(t, err, "create census: open ")
}

// drain reads a file to its end or its error.
func drain(file string) error {
	r, err := Open(file)
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		if _, err := r.Next(); err != nil {
			if err == io.EOF {
				return nil
			}
			if _, again := r.Next(); again != err {
				return fmt.Errorf("another error the second time: %v, %w", err, again)
			}
			return err
		}
	}
}

// A file that was cut off anywhere is never read as a census, nor is one with a flipped bit.
func TestTornFiles(t *testing.T) {
	var entries []Entry
	for i := range 50 {
		entries = append(entries, entry(fmt.Sprintf("k%02d", i), fmt.Sprint(i)))
	}
	good := writeCensus(t, entries...)
	content, err := os.ReadFile(good)
	require.NoError(t, err)
	require.NoError(t, drain(good))
	file := filepath.Join(t.TempDir(), "census")
	for size := range len(content) {
		require.NoError(t, os.WriteFile(file, content[:size], 0o600))
		require.Error(t, drain(file), "cut off after %d of %d bytes", size, len(content))
	}
	for i := range content {
		damaged := bytes.Clone(content)
		damaged[i] ^= 1 << (i % 8)
		require.NoError(t, os.WriteFile(file, damaged, 0o600))
		if drain(file) == nil {
			_, have, _ := readAll(t, file)
			require.Equal(t, entries, have, "byte %d", i) // an idle bit of the compression format
		}
	}
	require.NoError(t, os.WriteFile(file, content[:len(content)/2], 0o600))
	require.EqualError(t, drain(file), fmt.Sprintf("open census %s: it is torn: the end is missing", file))
}

// compressed puts lines into a file as they are.
func compressed(t testing.TB, lines ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "census")
	w, err := createPart(file)
	require.NoError(t, err)
	require.NoError(t, w.write([]byte(strings.Join(lines, "\n"))))
	require.NoError(t, w.closePart())
	return file
}

func TestReaderRefuses(t *testing.T) {
	const head = `{"schema":"restoredrill.io/census/v1alpha1","how":""}`
	const a, b = `{"key":"a","version":"","kind":"","name":"","digest":"1"}`, `{"key":"b","version":"","kind":"","name":"","digest":"1"}`
	for name, tc := range map[string]struct {
		lines []string
		want  string
	}{
		"nothing":        {nil, "it is torn: the end is missing"},
		"other schema":   {[]string{`{"schema":"v9"}`, ""}, `its schema is "v9", want "restoredrill.io/census/v1alpha1"`},
		"no head":        {[]string{"x", ""}, "invalid character"},
		"no tail":        {[]string{head, a, ""}, "after 1 entries: it is torn: the end is missing"},
		"half a line":    {[]string{head, a, `{"end"`}, "after 1 entries: it is torn: the end is missing"},
		"unsorted":       {[]string{head, b, a, ""}, "after 1 entries: key a does not come after b"},
		"duplicate":      {[]string{head, a, a, ""}, "after 1 entries: key a does not come after a"},
		"wrong count":    {[]string{head, a, `{"end":true,"entries":2}`, ""}, "the tail counts 2 entries"},
		"false end":      {[]string{head, `{"end":false,"entries":0}`, ""}, "the tail counts 0 entries"},
		"bad tail":       {[]string{head, `{"end":true`, ""}, "the tail: unexpected end of JSON input"},
		"after the tail": {[]string{head, a, `{"end":true,"entries":1}`, b, ""}, "there is more behind the tail"},
		"bad entry":      {[]string{head, `{"key":"a"`, ""}, "an entry: unexpected end of JSON input"},
		"no digest":      {[]string{head, `{"key":"a"}`, ""}, "an entry has no key or no digest"},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorContains(t, drain(compressed(t, tc.lines...)), tc.want)
		})
	}
	require.NoError(t, drain(compressed(t, head, `{"digest":"1","key":"a"}`, b, `{"end":true,"entries":2}`, "")), "fields in another order")
	plain := filepath.Join(t.TempDir(), "plain")
	require.NoError(t, os.WriteFile(plain, []byte(head), 0o600))
	require.ErrorContains(t, drain(plain), "magic number mismatch")
	require.ErrorContains(t, drain(filepath.Join(t.TempDir(), "none")), "open census: open ")
}

func TestCompare(t *testing.T) {
	other := entry("f", "1")
	other.Kind = "Other"
	before := writeCensus(t, entry("a", "1"), entry("b", "1"), entry("c", "1"), entry("f", "1"), entry("z", "1"))
	after := writeCensus(t, entry("b", "1"), entry("c", "2"), entry("d", "1"), other)
	open := func(file string) *Reader {
		r, err := Open(file)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, r.Close()) })
		return r
	}
	var have []string
	b, a := open(before), open(after)
	equal, err := Compare(b, a, func(before, after *Entry) error {
		name := func(e *Entry) string {
			if e == nil {
				return "-"
			}
			require.JSONEq(t, `{"metadata":{"name":"x"}}`, string(e.Object))
			return e.Key + e.Digest
		}
		have = append(have, name(before)+" "+name(after))
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, 1, equal)
	require.Equal(t, []string{"a1 -", "c1 c2", "- d1", "f1 f1", "z1 -"}, have)
	require.True(t, b.Tail().End && a.Tail().End)

	_, err = Compare(open(before), open(after), func(_, _ *Entry) error { return errors.New("enough") })
	require.EqualError(t, err, "enough")
	_, err = Compare(b, a, nil)
	require.EqualError(t, err, "compare censuses: "+before+" was read from already", "two files that are read already are not two empty ones")

	torn := compressed(t, `{"schema":"restoredrill.io/census/v1alpha1","how":""}`, "")
	for _, pair := range [][2]string{{before, torn}, {torn, before}} {
		_, err = Compare(open(pair[0]), open(pair[1]), func(_, _ *Entry) error { return nil })
		require.ErrorContains(t, err, "it is torn")
	}
}
