// Package progress shows drills while they run: a live line for each on a terminal, plain lines elsewhere, JSON lines on request.
//
// To add a style, name it in Styles and show its events in Drill.Event.
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

// A Display is where the drills of a run are shown. It is safe for use by several goroutines.
type Display struct {
	out   io.Writer
	style string
	color bool
	now   func() time.Time

	mu sync.Mutex
	// drills of which an event was seen and that are not done, in the order in which they began.
	drills []*Drill
	// live is how many lines are drawn over.
	live    int
	last    time.Time
	done    chan struct{}
	stopped sync.WaitGroup
}

// A Drill of a Display takes the events of one drill.
type Drill struct {
	*Display
	name    string
	started time.Time
	phase   string
	steps   []string
	struck  *time.Duration
	back    bool
}

// New makes a display, with colors where it is drawn over. Style auto is tty where out is a terminal and no CI system is seen, and plain elsewhere.
// The caller must Close it.
func New(out io.Writer, style string, color bool) (*Display, error) {
	if !slices.Contains(Styles, style) {
		return nil, fmt.Errorf("unknown progress style %q (want %s)", style, strings.Join(Styles, ", "))
	}
	if style == "auto" {
		style = "plain"
		if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) && os.Getenv("CI") == "" && os.Getenv("TERM") != "dumb" {
			style = "tty"
		}
	}
	d := &Display{out: out, style: style, color: style == "tty" && color, now: time.Now, done: make(chan struct{})}
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

// Close ends the display and erases what is drawn over.
func (d *Display) Close() {
	close(d.done)
	d.stopped.Wait()
	fmt.Fprint(d.out, d.erase())
}

// Drill makes a place for a drill, whose lines begin with its name; a drill that runs alone needs none. The caller must call its Done.
func (d *Display) Drill(name string) *Drill { return &Drill{Display: d, name: name} }

// Done ends what is drawn of the drill.
func (d *Drill) Done() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.drills = slices.DeleteFunc(d.drills, func(other *Drill) bool { return other == d })
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

// Print calls write, which may write to the same terminal, while nothing is drawn there.
func (d *Display) Print(write func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	fmt.Fprint(d.out, d.erase())
	return write()
}

// Event shows e.
func (d *Drill) Event(e evidence.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.note(e)
	switch d.style {
	case "none":
	case "json":
		d.json(struct {
			Drill string `json:"drill,omitempty"`
			evidence.Event
		}{d.name, e})
	default:
		d.show(e)
	}
}

// note keeps what the live line and the heartbeat show.
func (d *Drill) note(e evidence.Event) {
	if d.started.IsZero() {
		d.started = d.now().Add(-e.At)
		d.drills = append(d.drills, d)
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
	}
}

func (d *Drill) show(e evidence.Event) {
	at := d.at(e.At)
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

// at is how a line of the drill begins: whose it is, and when.
func (d *Drill) at(t time.Duration) string {
	if d.name == "" {
		return seconds(t)
	}
	return fmt.Sprintf("%-24s %s", d.name, seconds(t))
}

func (d *Drill) elapsed() time.Duration { return d.now().Sub(d.started) }

// draw shows of each drill the phase, what is under way, and the RTO clock, on lines that are drawn over. They are cut off at the terminal's
// edge: a line that wraps could not be found again.
func (d *Display) draw() {
	before := d.erase()
	var lines []string
	for _, drill := range d.drills {
		clock := ""
		if drill.struck != nil && !drill.back {
			clock = d.paint(red, fmt.Sprintf("  RTO %s", seconds(drill.elapsed()-*drill.struck)))
		}
		lines = append(lines, fmt.Sprintf("%s %s%s  %s", drill.at(drill.elapsed()), d.paint(bold, drill.phase), clock, d.paint(dim, strings.Join(drill.steps, ", "))))
	}
	if d.live = len(lines); d.live > 0 {
		before += noWrap + strings.Join(lines, "\n") + wrap
	}
	fmt.Fprint(d.out, before)
}

// beat says that the drills are alive when nothing else was said for a while.
func (d *Display) beat() {
	if d.now().Sub(d.last) < heartbeat {
		return
	}
	for _, drill := range d.drills {
		d.line("%s %-9s  still at it: %s", drill.at(drill.elapsed()), drill.phase, strings.Join(drill.steps, ", "))
	}
}

func (d *Display) line(format string, args ...any) {
	fmt.Fprint(d.out, d.erase()+fmt.Sprintf(format, args...)+"\n")
	d.last = d.now()
}

// erase is what removes the lines that are drawn.
func (d *Display) erase() (sequence string) {
	if d.live > 0 {
		sequence = "\r\x1b[J"
	}
	if d.live > 1 {
		sequence = fmt.Sprintf("\x1b[%dA", d.live-1) + sequence
	}
	d.live = 0
	return sequence
}

func (d *Display) json(v any) {
	line, err := json.Marshal(v)
	if err == nil {
		fmt.Fprintf(d.out, "%s\n", line)
	}
}

// What a terminal takes for: do not wrap lines, and do.
const (
	noWrap = "\x1b[?7l"
	wrap   = "\x1b[?7h"
)

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
