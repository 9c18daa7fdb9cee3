// Package progress shows a drill while it runs: a live line on a terminal, plain lines elsewhere, JSON lines on request.
//
// To add a style, name it in Styles and show its events in Display.Event.
package progress

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/restore-drill/restore-drill/internal/evidence"
)

// heartbeat is how long plain output may be silent: a CI system takes silence for a hang.
const heartbeat = 10 * time.Second

// redraw is how often the live line is drawn anew.
const redraw = 100 * time.Millisecond

// Styles that New knows, auto first.
var Styles = []string{"auto", "tty", "plain", "json", "none"}

// A Display takes the events of a drill. It is safe for use by several goroutines.
type Display struct {
	out   io.Writer
	style string
	color bool
	now   func() time.Time

	mu      sync.Mutex
	started time.Time
	phase   string
	steps   []string
	struck  *time.Duration
	back    bool
	last    time.Time
	done    chan struct{}
	stopped sync.WaitGroup
}

// New makes a display. Style auto is tty where out is a terminal and no CI system is seen, and plain elsewhere. The caller must Close it.
func New(out io.Writer, style string) (*Display, error) {
	if !slices.Contains(Styles, style) {
		return nil, fmt.Errorf("unknown progress style %q (want %s)", style, strings.Join(Styles, ", "))
	}
	if style == "auto" {
		style = "plain"
		if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) && os.Getenv("CI") == "" && os.Getenv("TERM") != "dumb" {
			style = "tty"
		}
	}
	d := &Display{out: out, style: style, color: style == "tty" && os.Getenv("NO_COLOR") == "", now: time.Now, done: make(chan struct{})}
	switch style {
	case "tty":
		d.every(redraw, d.draw)
	case "plain":
		d.every(heartbeat, d.beat)
	}
	return d, nil
}

func (d *Display) every(interval time.Duration, do func()) {
	d.stopped.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				d.mu.Lock()
				do()
				d.mu.Unlock()
			case <-d.done:
				return
			}
		}
	})
}

// Close ends the display and clears its live line.
func (d *Display) Close() {
	close(d.done)
	d.stopped.Wait()
	d.clear()
}

// Line shows one line that is no event, such as a component being built.
func (d *Display) Line(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch d.style {
	case "none":
	case "json":
		d.json(map[string]any{"kind": evidence.Note, "wall": d.now(), "detail": line})
	default:
		d.line("%s", line)
	}
}

// Event shows e.
func (d *Display) Event(e evidence.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.note(e)
	switch d.style {
	case "none":
	case "json":
		d.json(e)
	default:
		d.show(e)
	}
}

// note keeps what the live line and the heartbeat show.
func (d *Display) note(e evidence.Event) {
	if d.started.IsZero() {
		d.started = d.now().Add(-e.At)
	}
	switch e.Kind {
	case evidence.PhaseStarted:
		d.phase, d.steps = e.Name, nil
	case evidence.StepStarted:
		d.steps = append(d.steps, e.Name)
	case evidence.StepEnded:
		if i := slices.Index(d.steps, e.Name); i >= 0 {
			d.steps = slices.Delete(d.steps, i, i+1)
		}
	case evidence.MarkReached:
		switch e.Name {
		case evidence.MarkStruck:
			d.struck = &e.At
		case evidence.MarkServiceBack:
			d.back = true
		}
	case evidence.DrillEnded:
		d.phase = ""
	}
}

func (d *Display) show(e evidence.Event) {
	at := seconds(e.At)
	switch e.Kind {
	case evidence.PhaseStarted:
		d.line("%s %s  %s", at, d.paint(bold, fmt.Sprintf("%-9s", e.Name)), e.Detail)
	case evidence.PhaseEnded:
		if e.Error != "" {
			d.line("%s %-9s  %s %s", at, e.Name, d.paint(red, "stopped:"), firstLine(e.Error))
		}
	case evidence.MarkReached:
		rto := ""
		if d.struck != nil && e.At >= *d.struck {
			rto = d.paint(dim, fmt.Sprintf("  (%s after the failure)", (e.At-*d.struck).Round(time.Millisecond)))
		}
		d.line("%s            %s%s", at, e.Name, rto)
	case evidence.Claim:
		d.line("%s            the tool says: %s %s", at, e.Name, e.Detail)
	}
}

// draw shows the phase, what is under way, and the RTO clock, on one line that is drawn over.
func (d *Display) draw() {
	if d.phase == "" {
		return
	}
	elapsed := d.now().Sub(d.started)
	clock := ""
	if d.struck != nil && !d.back {
		clock = d.paint(red, fmt.Sprintf("  RTO %s", seconds(elapsed-*d.struck)))
	}
	fmt.Fprintf(d.out, "\r\x1b[2K%s %s%s  %s", seconds(elapsed), d.paint(bold, d.phase), clock, d.paint(dim, strings.Join(d.steps, ", ")))
}

// beat says that the drill is alive when nothing else was said for a while.
func (d *Display) beat() {
	if d.phase == "" || d.now().Sub(d.last) < heartbeat {
		return
	}
	d.line("%s %-9s  still at it: %s", seconds(d.now().Sub(d.started)), d.phase, strings.Join(d.steps, ", "))
}

func (d *Display) line(format string, args ...any) {
	d.clear()
	fmt.Fprintf(d.out, format+"\n", args...)
	d.last = d.now()
}

func (d *Display) clear() {
	if d.style == "tty" {
		fmt.Fprint(d.out, "\r\x1b[2K")
	}
}

func (d *Display) json(v any) {
	line, err := json.Marshal(v)
	if err == nil {
		fmt.Fprintf(d.out, "%s\n", line)
	}
}

const (
	bold = "1"
	dim  = "2"
	red  = "31"
)

func (d *Display) paint(code, s string) string {
	if !d.color {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func seconds(t time.Duration) string { return fmt.Sprintf("%6.1fs", t.Seconds()) }

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
