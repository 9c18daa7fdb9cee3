package progress

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/internal/evidence"
)

func feed(d *Drill) {
	for _, e := range []evidence.Event{
		{Kind: evidence.PhaseStarted, Name: "inject", Detail: "break it"},
		{At: time.Second, Kind: evidence.MarkReached, Name: evidence.MarkStruck},
		{At: 2 * time.Second, Kind: evidence.PhaseStarted, Name: "restore", Detail: "rebuild it"},
		{At: 2 * time.Second, Kind: evidence.StepStarted, Name: "fence"},
		{At: 3500 * time.Millisecond, Kind: evidence.MarkReached, Name: evidence.MarkAPIReady},
		{At: 4 * time.Second, Kind: evidence.PhaseEnded, Name: "restore", Error: "no space left\nmore"},
	} {
		d.Event(e)
	}
}

func TestPlainLines(t *testing.T) {
	var out bytes.Buffer
	d, err := New(&out, "auto", false)
	require.NoError(t, err)
	feed(d.Drill(""))
	d.Close()
	require.Equal(t, `   0.0s inject     break it
   1.0s            struck  (0s after the failure)
   2.0s restore    rebuild it
   3.5s            api ready  (2.5s after the failure)
   4.0s restore    stopped: no space left
`, out.String())
}

func TestPlainHasAHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		d, err := New(&out, "plain", false)
		require.NoError(t, err)
		drill := d.Drill("")
		drill.Event(evidence.Event{Kind: evidence.PhaseStarted, Name: "restore"})
		drill.Event(evidence.Event{Kind: evidence.StepStarted, Name: "fence"})
		time.Sleep(25 * time.Second)
		d.Close()
		require.Contains(t, out.String(), "  20.0s restore    still at it: fence\n")
	})
}

func TestLiveLineShowsTheRTOClock(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		d, err := New(&out, "tty", false)
		require.NoError(t, err)
		drill := d.Drill("")
		drill.Event(evidence.Event{Kind: evidence.PhaseStarted, Name: "restore"})
		drill.Event(evidence.Event{Kind: evidence.MarkReached, Name: evidence.MarkStruck})
		time.Sleep(1050 * time.Millisecond)
		d.Close()
		require.Contains(t, out.String(), "\r\x1b[J\x1b[?7l   1.0s restore  RTO    1.0s")
		require.NotContains(t, out.String(), "\x1b[1m", "NO_COLOR")
	})
}

func TestJSONLines(t *testing.T) {
	var out bytes.Buffer
	d, err := New(&out, "json", false)
	require.NoError(t, err)
	d.Drill("").Event(evidence.Event{Kind: evidence.MarkReached, Name: evidence.MarkStruck})
	d.Close()
	require.JSONEq(t, `{"at":0,"wall":"0001-01-01T00:00:00Z","kind":"mark","name":"struck"}`, out.String())
}

func TestSeveralDrillsHaveTheirNames(t *testing.T) {
	var out bytes.Buffer
	d, err := New(&out, "plain", false)
	require.NoError(t, err)
	one, two := d.Drill("etcd-data-lost"), d.Drill("a-name-that-is-longer-than-most")
	one.Event(evidence.Event{Kind: evidence.MarkReached, Name: evidence.MarkStruck})
	two.Event(evidence.Event{At: time.Second, Kind: evidence.MarkReached, Name: evidence.MarkAPIReady})
	one.Event(evidence.Event{At: time.Second, Kind: evidence.MarkReached, Name: evidence.MarkAPIReady})
	d.Close()
	require.Equal(t, `etcd-data-lost              0.0s            struck  (0s after the failure)
a-name-that-is-longer-than-most    1.0s            api ready
etcd-data-lost              1.0s            api ready  (1s after the failure)
`, out.String(), "each has its own failure")

	out.Reset()
	d, err = New(&out, "json", false)
	require.NoError(t, err)
	d.Drill("one").Event(evidence.Event{Kind: evidence.PhaseStarted, Name: "seed"})
	d.Close()
	require.JSONEq(t, `{"drill":"one","at":0,"wall":"0001-01-01T00:00:00Z","kind":"phase-started","name":"seed"}`, out.String())
}

// TestLiveLines draws one line a drill over the last ones, and nothing is drawn where something else is printed.
func TestLiveLines(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		d, err := New(&out, "tty", false)
		require.NoError(t, err)
		said := func() string {
			synctest.Wait()
			s := out.String()
			out.Reset()
			return s
		}
		one, two := d.Drill("one"), d.Drill("two")
		one.Event(evidence.Event{Kind: evidence.PhaseStarted, Name: "seed"})
		two.Event(evidence.Event{Kind: evidence.PhaseStarted, Name: "restore"})
		two.Event(evidence.Event{Kind: evidence.StepStarted, Name: "fence"})
		said()
		time.Sleep(redraw)
		const lines = "\x1b[?7lone                         0.1s seed  \ntwo                         0.1s restore  fence\x1b[?7h"
		require.Equal(t, lines, said())
		time.Sleep(redraw)
		const erase = "\x1b[1A\r\x1b[J"
		require.Equal(t, erase+strings.ReplaceAll(lines, "0.1s", "0.2s"), said())
		require.NoError(t, d.Print(func() error { _, err := out.WriteString("a report\n"); return err }))
		require.Equal(t, erase+"a report\n", said())
		one.Done()
		time.Sleep(redraw)
		require.Equal(t, "\x1b[?7ltwo                         0.3s restore  fence\x1b[?7h", said())
		d.Close()
		require.Equal(t, "\r\x1b[J", said())
	})
}

func TestUnknownStyleNamesTheKnown(t *testing.T) {
	_, err := New(&bytes.Buffer{}, "fancy", false)
	require.EqualError(t, err, `unknown progress style "fancy" (want auto, tty, plain, json, none)`)
}
