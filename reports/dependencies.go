package reports

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// Bounds of the section. What is left off is counted.
const (
	maxMissing   = 300
	maxPairs     = 300
	maxWaves     = 50
	maxCycles    = 50
	maxGroups    = 300
	maxLinks     = 600
	maxReferrers = 5

	maxLanes     = 16 // namespaces of the picture
	maxColumns   = 12 // waves of the picture
	maxLaneNames = 12 // missing objects of one namespace by name
)

// bound is a copy with no more in it than a page shows.
func (d Dependencies) bound() *Dependencies {
	var more int
	d.Missing, more = bound(slices.Clone(d.Missing), maxMissing)
	d.MissingOmitted += more
	for i := range d.Missing {
		d.Missing[i].By, _ = bound(d.Missing[i].By, maxReferrers)
	}
	d.Kinds, more = bound(d.Kinds, maxPairs)
	d.KindsOmitted += more
	d.Waves, more = bound(d.Waves, maxWaves)
	d.WavesOmitted += more
	d.Cycles, more = bound(d.Cycles, maxCycles)
	d.CyclesOmitted += more
	d.Groups, more = bound(d.Groups, maxGroups)
	d.GroupsOmitted += more
	d.Links, more = bound(d.Links, maxLinks)
	d.LinksOmitted += more
	return &d
}

// MissingSince the restore, of all that is missing.
func (d Dependencies) MissingSince() int { return len(d.Missing) + d.MissingOmitted - d.MissingBefore }

// Lacking are the missing objects: those that were missing before the failure as well, or all others.
func (d Dependencies) Lacking(before bool) (all []MissingObject) {
	for _, m := range d.Missing {
		if before == (m.Since == "before") {
			all = append(all, m)
		}
	}
	return all
}

// Content of a wave in words, the most numerous kind first.
func (w RestoreWave) Content() string {
	var parts []string
	for _, kind := range slices.SortedFunc(maps.Keys(w.Kinds), func(a, b string) int { return cmp.Or(cmp.Compare(w.Kinds[b], w.Kinds[a]), cmp.Compare(a, b)) }) {
		parts = append(parts, fmt.Sprintf("%s %d", kind, w.Kinds[kind]))
	}
	return strings.Join(parts, ", ")
}

// Geometry of the picture, in user units of its viewBox, which are pixels.
const (
	netLabel   = 112.0 // names of the namespaces
	netMissing = 244.0 // column of what is missing
	netColumn  = 162.0 // column of a wave
	netGap     = 32.0  // room for the arrows, of a column
	netRow     = 23.0  // a box, and the space below it
	netBox     = 18.0
	netPad     = 9.0 // above and below the boxes of a lane
	netTop     = 26.0
)

// A network is the dependencies drawn: a lane for each namespace, a column for each wave, a box for the objects of one kind. Arrows go from a box to
// those that it needs, on its left. What is missing has the first column, and its names.
type network struct {
	Width, Height float64
	Columns       []tick
	Lanes         []netLane
	Boxes         []netTile
	Links         []netLink
	MoreLanes     int
}

type netLane struct {
	Y, H float64
	Name string
	Odd  bool
}

type netTile struct {
	X, Y, W     float64
	Text, Count string
	Title       string
	Class       string // nothing, missing, or before: what was missing before the failure too
}

type netLink struct {
	Path, Title, Class string
}

// newNetwork draws what is known; nil when nothing refers to anything.
func newNetwork(d *Dependencies) *network {
	n := &network{}
	shown := n.lanes(d)
	if len(shown) == 0 {
		return nil
	}
	begin := netLabel
	if len(d.Missing) > 0 {
		n.Columns = append(n.Columns, tick{begin, "missing"})
		begin += netMissing
	}
	var waves []int
	for _, g := range d.Groups {
		if slices.Contains(shown, g.Namespace) {
			waves = append(waves, g.Wave)
		}
	}
	slices.Sort(waves)
	waves = slices.Compact(waves)
	for i, w := range waves[:min(len(waves), maxColumns)] {
		text := fmt.Sprintf("wave %d", w)
		if i == maxColumns-1 && len(waves) > maxColumns {
			text += " and later"
		}
		n.Columns = append(n.Columns, tick{begin + float64(i)*netColumn, text})
	}
	n.Width = begin + float64(min(len(waves), maxColumns))*netColumn

	groups, missing := map[int]netTile{}, map[int]netTile{} // by their positions in d
	y := netTop
	for i, namespace := range shown {
		rows := make([]int, maxColumns+1)
		place := func(column int, x, width float64) netTile {
			t := netTile{X: x, Y: y + netPad + float64(rows[column])*netRow, W: width - netGap}
			rows[column]++
			return t
		}
		more := 0
		for j, m := range d.Missing {
			switch {
			case m.Namespace != namespace:
			case rows[0] == maxLaneNames:
				more++
			default:
				t := place(0, netLabel, netMissing)
				t.Text, t.Title, t.Class = short(m.Kind+" "+m.Name, 32), missingTitle(m), "missing"
				if m.Since == "before" {
					t.Class = "before"
				}
				missing[j] = t
				n.Boxes = append(n.Boxes, t)
			}
		}
		if more > 0 {
			t := place(0, netLabel, netMissing)
			t.Text, t.Class = fmt.Sprintf("and %d more", more), "before"
			n.Boxes = append(n.Boxes, t)
		}
		for j, g := range d.Groups {
			if g.Namespace != namespace {
				continue
			}
			column := min(slices.Index(waves, g.Wave), maxColumns-1)
			t := place(column+1, begin+float64(column)*netColumn, netColumn)
			t.Text, t.Count = short(g.Kind, 16), fmt.Sprint(g.Objects)
			t.Title = fmt.Sprintf("%s: %s, up to wave %d", g.Kind, plural(g.Objects, "object"), g.Wave)
			groups[j] = t
			n.Boxes = append(n.Boxes, t)
		}
		lane := netLane{Y: y, H: 2*netPad + float64(slices.Max(rows))*netRow - (netRow - netBox), Name: short(namespace, 16), Odd: i%2 == 1}
		if namespace == "" {
			lane.Name = "cluster"
		}
		n.Lanes = append(n.Lanes, lane)
		y += lane.H
	}
	n.Height = y

	for _, l := range d.Links {
		from, ok := groups[l.From]
		if to, too := groups[l.To]; ok && too && l.From != l.To {
			n.link(from, to, "", fmt.Sprintf("%s → %s: %s", d.Groups[l.From].Kind, d.Groups[l.To].Kind, plural(l.References, "reference")))
		}
	}
	for j, m := range d.Missing {
		to, drawn := missing[j]
		linked := map[int]bool{}
		for _, by := range m.By {
			i := slices.IndexFunc(d.Groups, func(g DependencyGroup) bool { return g.Kind == by.Kind && g.Namespace == by.Namespace })
			if from, ok := groups[i]; ok && drawn && !linked[i] {
				linked[i] = true
				n.link(from, to, to.Class, to.Title)
			}
		}
	}
	return n
}

func missingTitle(m MissingObject) string {
	return fmt.Sprintf("%s is %s (%s); %s to it", m.Object, m.State, m.Since, count(float64(m.Referrers), "reference"))
}

// lanes chooses the namespaces to draw: the cluster's own, those in which something is missing, the busiest.
func (n *network) lanes(d *Dependencies) []string {
	weights := map[string]int{}
	for i, g := range d.Groups {
		weights[g.Namespace]++
		for _, l := range d.Links {
			if l.From == i || l.To == i {
				weights[g.Namespace] += max(0, min(l.References, 1<<20))
			}
		}
	}
	for _, m := range d.Missing {
		weights[m.Namespace] += 1 << 30
	}
	if _, ok := weights[""]; ok {
		weights[""] = math.MaxInt
	}
	all := slices.SortedFunc(maps.Keys(weights), func(a, b string) int { return cmp.Or(cmp.Compare(weights[b], weights[a]), cmp.Compare(a, b)) })
	all, n.MoreLanes = bound(all, maxLanes)
	slices.Sort(all)
	return all
}

// link two boxes, from the left edge of the one to the right edge of the other.
func (n *network) link(from, to netTile, class, title string) {
	x1, y1, x2, y2 := from.X, from.Y+netBox/2, to.X+to.W, to.Y+netBox/2
	bend := max(math.Abs(x1-x2)/2.5, netGap)
	n.Links = append(n.Links, netLink{fmt.Sprintf("M%.0f %.1fC%.0f %.1f %.0f %.1f %.0f %.1f", x1, y1, x1-bend, y1, x2+bend, y2, x2, y2), title, class})
}
