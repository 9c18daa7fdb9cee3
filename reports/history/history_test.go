package history

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/memblob"
	"golang.org/x/sync/errgroup"

	"github.com/restore-drill/restore-drill/reports"
)

func ptr[T any](v T) *T { return &v }

// record of a drill on the nth day.
func record(n int, v reports.Verdict) reports.Record {
	return reports.NewRecord(&reports.Report{
		Verdict: v, Reason: "because <&>", Scenario: "kind: Scenario\n",
		Drill: reports.Drill{ID: fmt.Sprintf("drill-%d", n), Scenario: "etcd-data-lost", Cadence: "daily", Provider: "process", Method: "etcd",
			Started: time.Date(2026, 11, n, 9, 30, 0, 123456789, time.UTC), Seconds: 17.84},
		Objectives: []reports.Objective{{Name: "rto", Unit: "s", Target: ptr(10.0), Measured: ptr(5.9), Verdict: v}},
	}, strings.Repeat("ab", 32))
}

// filled is a directory with n records.
func filled(t *testing.T, n int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "history")
	h, err := Open(t.Context(), dir, true)
	require.NoError(t, err)
	defer h.Close()
	for i := range n {
		r, err := h.Append(t.Context(), record(i+1, []reports.Verdict{reports.Passed, reports.Failed, reports.Unknown}[i%3]))
		require.NoError(t, err)
		require.Equal(t, i+1, r.Sequence)
	}
	return dir
}

func read(t *testing.T, where string) *Chain {
	t.Helper()
	h, err := Open(t.Context(), where, false)
	require.NoError(t, err)
	defer h.Close()
	c, err := h.Read(t.Context())
	require.NoError(t, err)
	return c
}

func TestAppendAndRead(t *testing.T) {
	dir := filled(t, 4)
	for _, where := range []string{dir, "file://" + dir} {
		c := read(t, where)
		require.NoError(t, c.Err())
		require.Empty(t, c.Strays)
		require.Len(t, c.Records, 4)
		require.Equal(t, reports.Unknown, c.Records[2].Verdict, "unknown ones too")
		require.Empty(t, c.Records[0].Previous)
		for i := range 3 {
			b, err := os.ReadFile(filepath.Join(dir, nameOf(i+1)))
			require.NoError(t, err)
			require.Equal(t, reports.Digest(b), c.Records[i+1].Previous)
		}
		require.True(t, c.Holds(c.Records[3].Previous))
		require.True(t, c.Holds(c.Head()))
		require.False(t, c.Holds(""))
		require.Equal(t, 5.9, *c.Records[0].Figure("rto").Measured)
		require.Nil(t, c.Records[0].Figure("rpo"))
	}
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
}

// The chain is one that sha256sum can follow.
func TestPreviousIsWhatSha256sumSays(t *testing.T) {
	dir := filled(t, 2)
	out, err := exec.Command("sha256sum", filepath.Join(dir, "00000001.json")).Output()
	require.NoError(t, err)
	require.Equal(t, read(t, dir).Records[1].Previous, string(out[:64]))
}

func TestBreaksAreFoundAndNamed(t *testing.T) {
	edit := func(n int, old, new string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			name := filepath.Join(dir, nameOf(n))
			b, err := os.ReadFile(name)
			require.NoError(t, err)
			require.Contains(t, string(b), old)
			require.NoError(t, os.WriteFile(name, []byte(strings.Replace(string(b), old, new, 1)), 0o600))
		}
	}
	// reseal edits a record so that it is whole in itself.
	reseal := func(n int, change func(*reports.Record)) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			name := filepath.Join(dir, nameOf(n))
			b, err := os.ReadFile(name)
			require.NoError(t, err)
			r, err := decode(b, n)
			require.NoError(t, err)
			change(&r)
			b, err = seal(&r)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(name, b, 0o600))
		}
	}
	for name, row := range map[string]struct {
		do   func(t *testing.T, dir string)
		want []string
	}{
		"verdict edited": {edit(2, `"verdict": "failed"`, `"verdict": "passed"`), []string{"record 2 was edited: it does not have the digest that it says of itself", "record 3 does not link to record 2"}},
		"newest edited":  {edit(4, `"measured": 5.9`, `"measured": 1.9`), []string{"record 4 was edited: it does not have the digest that it says of itself"}},
		"a blank":        {edit(4, `"verdict"`, ` "verdict"`), []string{"record 4 was edited"}},
		"rewritten": {reseal(2, func(r *reports.Record) { r.Verdict = reports.Passed }),
			[]string{"record 3 does not link to record 2: it was appended to one with the digest "}},
		"relinked":      {reseal(3, func(r *reports.Record) { r.Previous = strings.Repeat("0", 64) }), []string{"record 3 does not link to record 2: it was appended to one with the digest 000000000000", "record 4 does not link to record 3"}},
		"missing":       {func(t *testing.T, dir string) { require.NoError(t, os.Remove(filepath.Join(dir, nameOf(2)))) }, []string{"record 2 is missing"}},
		"first missing": {func(t *testing.T, dir string) { require.NoError(t, os.Remove(filepath.Join(dir, nameOf(1)))) }, []string{"record 1 is missing"}},
		"two missing": {func(t *testing.T, dir string) {
			require.NoError(t, errors.Join(os.Remove(filepath.Join(dir, nameOf(2))), os.Remove(filepath.Join(dir, nameOf(3)))))
		}, []string{"records 2 to 3 are missing"}},
		"moved": {func(t *testing.T, dir string) {
			require.NoError(t, os.Rename(filepath.Join(dir, nameOf(1)), filepath.Join(dir, nameOf(5))))
		}, []string{"record 1 is missing", "record 5 was moved: it says that it is record 1"}},
		"beheaded":      {reseal(1, func(r *reports.Record) { r.Previous = strings.Repeat("1", 64) }), []string{"record 1 links to a record before it, 111111111111, which is missing", "record 2 does not link to record 1"}},
		"torn":          {func(t *testing.T, dir string) { require.NoError(t, os.Truncate(filepath.Join(dir, nameOf(4)), 100)) }, []string{"record 4 is torn, or no JSON: unexpected end of JSON input"}},
		"empty":         {func(t *testing.T, dir string) { require.NoError(t, os.Truncate(filepath.Join(dir, nameOf(4)), 0)) }, []string{"record 4 is torn, or no JSON: unexpected end of JSON input"}},
		"newer":         {edit(4, reports.RecordSchemaVersion, "restoredrill.io/history/v2"), []string{`record 4 is written as "restoredrill.io/history/v2", and this restore-drill reads "restoredrill.io/history/v1alpha1": use the version that wrote it`}},
		"unknown field": {edit(4, `"drill"`, `"dri11"`), []string{`record 4 was edited, or written by a newer version: json: unknown field "dri11"`}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filled(t, 4)
			row.do(t, dir)
			c := read(t, dir)
			require.ErrorIs(t, c.Err(), ErrBroken)
			require.Len(t, c.Breaks, len(row.want), "%v", c.Breaks)
			for i, want := range row.want {
				require.Contains(t, c.Breaks[i], want)
			}
		})
	}
}

// Nothing is added behind a gap, or to a record that is not whole: it would look mended.
func TestAppendRefusesABrokenChain(t *testing.T) {
	for want, do := range map[string]func(dir string) error{
		"record 2 is missing: nothing is added to a broken chain":  func(dir string) error { return os.Remove(filepath.Join(dir, nameOf(2))) },
		"record 3 is torn, or no JSON: unexpected end of JSON inp": func(dir string) error { return os.Truncate(filepath.Join(dir, nameOf(3)), 10) },
	} {
		dir := filled(t, 3)
		require.NoError(t, do(dir))
		h, err := Open(t.Context(), dir, true)
		require.NoError(t, err)
		_, err = h.Append(t.Context(), record(9, reports.Passed))
		require.ErrorContains(t, err, "append to history "+dir+": "+want)
		require.NoFileExists(t, filepath.Join(dir, nameOf(4)))
		require.NoError(t, h.Close())
	}
}

// Drills that end at the same time each get a record, in a bucket and in a directory.
func TestConcurrentAppends(t *testing.T) {
	const writers, each = 8, 10
	bucket := memblob.OpenBucket(nil)
	dir := filepath.Join(t.TempDir(), "history")
	for name, open := range map[string]func() (*History, error){
		"bucket":    func() (*History, error) { return Of(bucket, "mem"), nil },
		"directory": func() (*History, error) { return Open(t.Context(), dir, true) },
	} {
		t.Run(name, func(t *testing.T) {
			var group errgroup.Group
			for w := range writers {
				group.Go(func() error {
					h, err := open()
					for i := range each {
						if err == nil {
							r := record(1+i, reports.Passed)
							r.Drill = fmt.Sprintf("drill-%d-%d", w, i) // no two drills have one ID, so no two records are the same
							_, err = h.Append(t.Context(), r)
						}
					}
					return err
				})
			}
			require.NoError(t, group.Wait())
			h, err := open()
			require.NoError(t, err)
			c, err := h.Read(t.Context())
			require.NoError(t, err)
			require.NoError(t, c.Err())
			require.Len(t, c.Records, writers*each)
		})
	}
}

// TestConcurrentProcesses appends to a directory from several processes: the file system's own calls would let one overwrite the other's record.
func TestConcurrentProcesses(t *testing.T) {
	const env = "RESTORE_DRILL_TEST_HISTORY"
	if dir := os.Getenv(env); dir != "" {
		h, err := Open(t.Context(), dir, true)
		require.NoError(t, err)
		for range 20 {
			_, err := h.Append(t.Context(), record(1, reports.Passed))
			require.NoError(t, err)
		}
		return
	}
	dir := filepath.Join(t.TempDir(), "history")
	var group errgroup.Group
	for range 4 {
		group.Go(func() error {
			cmd := exec.Command(os.Args[0], "-test.run", "^TestConcurrentProcesses$")
			cmd.Env = append(os.Environ(), env+"="+dir)
			out, err := cmd.CombinedOutput()
			if err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
	c := read(t, dir)
	require.NoError(t, c.Err())
	require.Len(t, c.Records, 80)
}

// A store that overwrites what it should refuse is found out.
func TestAppendToAStoreThatOverwrites(t *testing.T) {
	h := Of(memblob.OpenBucket(nil), "careless")
	h.write = func(ctx context.Context, name string, b []byte) error { return h.bucket.WriteAll(ctx, name, b, nil) }
	_, err := h.Append(t.Context(), record(1, reports.Passed))
	require.ErrorContains(t, err, "append to history careless: write record 1: the record is written, but the store does not honour If-None-Match")
}

func TestOpenTrouble(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for where, want := range map[string]string{
		"":                            "it has no name (want a directory, or a URL such as s3://bucket?prefix=drills/)",
		filepath.Join(dir, "nowhere"): "there is no such directory: no drill was appended to it yet",
		file:                          "it is a file; a history is a directory of its own",
		"ftp://host/drills":           `unknown scheme "ftp" (want a directory, or one of file, mem)`,
		"file://relative/path":        "a file URL of a history is file:///absolute/path",
	} {
		_, err := Open(t.Context(), where, false)
		require.ErrorContains(t, err, want)
	}
	require.NoDirExists(t, filepath.Join(dir, "nowhere"), "reading makes nothing")
}

func TestInterrupted(t *testing.T) {
	dir := filled(t, 1)
	h, err := Open(t.Context(), dir, true)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = h.Append(ctx, record(2, reports.Passed))
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, read(t, dir).Records, 1)
}

func TestStraysAreTold(t *testing.T) {
	dir := filled(t, 1)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o600))
	c := read(t, dir)
	require.NoError(t, c.Err())
	require.Equal(t, []string{"notes.txt"}, c.Strays)
}
