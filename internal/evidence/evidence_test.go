package evidence_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/internal/evidence"
)

func TestARunDirectoryIsReadAsItWasWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	var seen []evidence.Event
	rec, err := evidence.Create(dir, func(e evidence.Event) { seen = append(seen, e) })
	require.NoError(t, err)
	require.NoError(t, rec.Put(evidence.HeaderFile, evidence.Header{Schema: evidence.HeaderSchema, ID: "1"}))
	require.NoError(t, rec.Put(evidence.HeaderFile, evidence.Header{Schema: evidence.HeaderSchema, ID: "2"}))
	require.NoError(t, rec.PutBytes(evidence.ScenarioFile, []byte("kind: Scenario\n")))
	require.NoError(t, rec.Event(evidence.Event{Kind: evidence.PhaseStarted, Name: "seed"}))
	require.NoError(t, rec.Event(evidence.Event{Kind: evidence.StepStarted, Name: "load"}))
	require.NoError(t, rec.Event(evidence.Event{Kind: evidence.PhaseEnded, Name: "seed"}))
	require.NoError(t, rec.Event(evidence.Event{Kind: evidence.DrillEnded}))
	require.NoError(t, rec.Append(evidence.ProbesFile, evidence.ProbeResult{Name: "ready", Passed: true}))
	require.NoError(t, rec.Close())
	require.NoError(t, rec.Close())
	require.EqualError(t, rec.Event(evidence.Event{Kind: evidence.Note}), "write timeline.jsonl: the run directory is closed")

	h, err := evidence.ReadHeader(dir)
	require.NoError(t, err)
	require.Equal(t, "2", h.ID)
	events, err := evidence.ReadTimeline(dir)
	require.NoError(t, err)
	require.Equal(t, seen, events)
	require.Equal(t, []string{"seed", "seed", "seed", ""}, []string{events[0].Phase, events[1].Phase, events[2].Phase, events[3].Phase})
	for i, e := range events {
		require.False(t, e.Wall.IsZero())
		require.Positive(t, e.At)
		require.True(t, i == 0 || e.At >= events[i-1].At)
	}
	probes, err := evidence.ReadLines[evidence.ProbeResult](dir, evidence.ProbesFile)
	require.NoError(t, err)
	require.Equal(t, []evidence.ProbeResult{{Name: "ready", Passed: true}}, probes)

	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o700), info.Mode().Perm())
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
		info, err := e.Info()
		require.NoError(t, err)
		require.Equal(t, fs.FileMode(0o600), info.Mode().Perm(), e.Name())
	}
	require.Equal(t, []string{"drill.json", "probes.jsonl", "scenario.yaml", "timeline.jsonl"}, names, "no temporary file stays")
}

func TestEventsOfManyGoroutinesAreInOrderAndWhole(t *testing.T) {
	dir := t.TempDir()
	rec, err := evidence.Create(dir, nil)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				rec.Event(evidence.Event{Kind: evidence.Note, Detail: strings.Repeat("x", 9000)})
			}
		})
	}
	wg.Wait()
	require.NoError(t, rec.Close())
	events, err := evidence.ReadTimeline(dir)
	require.NoError(t, err)
	require.Len(t, events, 400)
	var last time.Duration
	for _, e := range events {
		require.GreaterOrEqual(t, e.At, last)
		last = e.At
	}
}

func TestADirectoryWithSomethingInItIsRefused(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "report.json"), nil, 0o600))
	_, err := evidence.Create(dir, nil)
	require.EqualError(t, err, "use "+dir+" as run directory: it is not empty (it holds report.json); name a new or an empty one")
	_, err = evidence.Create(filepath.Join(dir, "report.json"), nil)
	require.ErrorContains(t, err, "make the run directory: mkdir "+dir+"/report.json: not a directory")
}

func TestBadFilesAreErrors(t *testing.T) {
	for name, test := range map[string]struct {
		content string
		lines   int
		want    string
		is      error
	}{
		"torn":                {"{\"kind\":\"note\"}\n{\"kind\":\"no", 1, "read timeline.jsonl: line 2: the last line is torn: the writer was interrupted", evidence.ErrTorn},
		"torn before its end": {"{\"kind\":\"note\"}\n{\"kind\":\"note\"}", 1, "read timeline.jsonl: line 2: the last line is torn: the writer was interrupted", evidence.ErrTorn},
		"torn first line":     {"{", 0, "read timeline.jsonl: line 1: the last line is torn: the writer was interrupted", evidence.ErrTorn},
		"empty":               {"", 0, "read timeline.jsonl: the file is empty", evidence.ErrEmpty},
		"garbage within":      {"{\"kind\":\"note\"}\n{\"ki\n{\"kind\":\"note\"}\n", 0, "read timeline.jsonl: line 2: unexpected end of JSON input", nil},
		"no event":            {"{\"kind\":\"note\"}\n{}\n", 0, "read timeline.jsonl: line 2 is not an event: it has no kind", nil},
		"too long":            {strings.Repeat(" ", 17<<20), 0, "read timeline.jsonl: line 1: it is longer than 16777216 bytes", nil},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(dir, evidence.TimelineFile), []byte(test.content), 0o600))
			events, err := evidence.ReadTimeline(dir)
			require.EqualError(t, err, test.want)
			require.Len(t, events, test.lines)
			if test.is != nil {
				require.ErrorIs(t, err, test.is)
			}
		})
	}
	dir := t.TempDir()
	_, err := evidence.ReadTimeline(dir)
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = evidence.ReadHeader(dir)
	require.ErrorIs(t, err, fs.ErrNotExist)
	for content, want := range map[string]string{
		"":                    "read drill.json: the file is empty",
		" \n":                 "read drill.json: the file is empty",
		`{"id":`:              "read drill.json: unexpected end of JSON input",
		`{"id":"1"} {}`:       "read drill.json: invalid character '{' after top-level value",
		`{"schema":"velero"}`: `read drill.json: its format is "velero", this version reads "restoredrill.io/evidence/v1alpha1"`,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, evidence.HeaderFile), []byte(content), 0o600))
		_, err = evidence.ReadHeader(dir)
		require.EqualError(t, err, want)
	}
}

func TestADiskThatIsFullIsAnError(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full here")
	}
	dir := t.TempDir()
	rec, err := evidence.Create(dir, nil)
	require.NoError(t, err)
	require.NoError(t, os.Symlink("/dev/full", filepath.Join(dir, evidence.ProbesFile)))
	require.EqualError(t, rec.Append(evidence.ProbesFile, evidence.ProbeResult{}),
		"write probes.jsonl: write "+dir+"/probes.jsonl: no space left on device")
}

// TestAStoppedDisplayDelaysNoMark holds the display while another event happens.
func TestAStoppedDisplayDelaysNoMark(t *testing.T) {
	held, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	dir := filepath.Join(t.TempDir(), "run")
	r, err := evidence.Create(dir, func(evidence.Event) { once.Do(func() { close(held); <-release }) })
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() { require.NoError(t, r.Event(evidence.Event{Kind: evidence.Note})) })
	<-held
	wg.Go(func() {
		require.NoError(t, r.Event(evidence.Event{Kind: evidence.MarkReached, Name: evidence.MarkStruck}))
	})
	// It has been called once it waits for its turn.
	stacks := make([]byte, 1<<20)
	require.Eventually(t, func() bool {
		for _, stack := range strings.Split(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
			if strings.Contains(stack, "Recorder).Event(") && strings.Contains(stack, "sync.(*Mutex).Lock(") {
				return true
			}
		}
		return false
	}, time.Minute, time.Millisecond)
	freed := r.Now()
	close(release)
	wg.Wait()
	require.NoError(t, r.Close())
	events, err := evidence.ReadTimeline(dir)
	require.NoError(t, err)
	require.Less(t, events[1].At, freed, "the mark has the time at which it was called")
}
