package progress

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/internal/evidence"
)

func feed(d *Display) {
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
	d, err := New(&out, "auto")
	require.NoError(t, err)
	feed(d)
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
		d, err := New(&out, "plain")
		require.NoError(t, err)
		d.Event(evidence.Event{Kind: evidence.PhaseStarted, Name: "restore"})
		d.Event(evidence.Event{Kind: evidence.StepStarted, Name: "fence"})
		time.Sleep(25 * time.Second)
		d.Close()
		require.Contains(t, out.String(), "  20.0s restore    still at it: fence\n")
	})
}

func TestLiveLineShowsTheRTOClock(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		d, err := New(&out, "tty")
		require.NoError(t, err)
		d.Event(evidence.Event{Kind: evidence.PhaseStarted, Name: "restore"})
		d.Event(evidence.Event{Kind: evidence.MarkReached, Name: evidence.MarkStruck})
		time.Sleep(1050 * time.Millisecond)
		d.Close()
		require.Contains(t, out.String(), "\r\x1b[2K   1.0s restore  RTO    1.0s")
		require.NotContains(t, out.String(), "\x1b[1m", "NO_COLOR")
	})
}

func TestJSONLines(t *testing.T) {
	var out bytes.Buffer
	d, err := New(&out, "json")
	require.NoError(t, err)
	d.Event(evidence.Event{Kind: evidence.MarkReached, Name: evidence.MarkStruck})
	d.Close()
	require.JSONEq(t, `{"at":0,"wall":"0001-01-01T00:00:00Z","kind":"mark","name":"struck"}`, out.String())
}

func TestUnknownStyleNamesTheKnown(t *testing.T) {
	_, err := New(&bytes.Buffer{}, "fancy")
	require.EqualError(t, err, `unknown progress style "fancy" (want auto, tty, plain, json, none)`)
}
