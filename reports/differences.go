package reports

import (
	"slices"
	"strings"
)

// Bounds of what is shown of the differences, in numbers and in bytes of their text: their names and values may be long.
const (
	maxDetailed   = 300 // unexpected differences with their fields
	maxDetailText = 1 << 20
	maxNamed      = 25_000 // unexpected differences by name only
	maxAllowed    = 5      // expected differences of one rule with their fields
	maxAlsoNamed  = 2_000  // expected differences of one rule by name only
	maxNameText   = 4 << 20
	maxFields     = 30  // fields of one difference
	maxExpected   = 8   // fields of one that is expected
	maxOpen       = 6   // differences that are unfolded
	maxPaths      = 120 // runes of the paths of one that is named
)

// differences as they are shown: the first with every field, the others folded, by name.
type differences struct {
	Detailed []differenceView
	Named    []namedGroup
	Unnamed  int
	Allowed  []allowedGroup
}

type differenceView struct {
	Difference
	Anchor string
	Status string
	Open   bool
	More   int
}

// A namedGroup holds differences of one resource by name.
type namedGroup struct {
	Resource string
	Names    []namedDifference
}

type namedDifference struct{ Anchor, Class, Name, Fields string }

// An allowedGroup holds the differences that one rule allows.
type allowedGroup struct {
	Rule, Because string
	Count, More   int
	Differences   []differenceView
	Names         []string
}

func newDifferences(all []Difference, anchor func(sort, name string) string) differences {
	var (
		d               differences
		detailed, named int // bytes of text
		names           int
		resources       = map[string]int{}
		rules           = map[[2]string]int{}
	)
	of := func(x Difference) string { return anchor("diff", digestOf(x.Resource, x.Namespace, x.Name, x.Class)) }
	name := func(x Difference) namedDifference {
		var paths []string
		for i, f := range x.Fields {
			if i == 3 {
				break
			}
			paths = append(paths, f.Path)
		}
		n := namedDifference{Class: line(x.Class), Name: line(cut(objectName(x.Namespace, x.Name), maxValue)), Fields: short(line(strings.Join(paths, ", ")), maxPaths)}
		named += len(n.Name) + len(n.Fields)
		return n
	}
	for _, x := range all {
		if x.Class == "expected" {
			key := [2]string{line(x.Rule), line(x.Because)}
			i, ok := rules[key]
			if !ok {
				i = len(d.Allowed)
				rules[key] = i
				d.Allowed = append(d.Allowed, allowedGroup{Rule: key[0], Because: key[1]})
			}
			g := &d.Allowed[i]
			g.Count++
			switch {
			case len(g.Differences) < maxAllowed && detailed < maxDetailText:
				detailed += x.size()
				g.Differences = append(g.Differences, newDifference(x, of(x), "expected", maxExpected, false))
			case len(g.Names) < maxAlsoNamed && named < maxNameText:
				g.Names = append(g.Names, line(x.Resource)+" "+name(x).Name)
			default:
				g.More++
			}
			continue
		}
		switch {
		case len(d.Detailed) < maxDetailed && detailed < maxDetailText:
			detailed += x.size()
			d.Detailed = append(d.Detailed, newDifference(x, of(x), Failed.String(), maxFields, len(d.Detailed) < maxOpen))
		case names < maxNamed && named < maxNameText:
			resource := line(x.Resource)
			i, ok := resources[resource]
			if !ok {
				i = len(d.Named)
				resources[resource] = i
				d.Named = append(d.Named, namedGroup{Resource: resource})
			}
			n := name(x)
			n.Anchor = of(x)
			d.Named[i].Names = append(d.Named[i].Names, n)
			names++
		default:
			d.Unnamed++
		}
	}
	slices.SortStableFunc(d.Allowed, func(a, b allowedGroup) int { return b.Count - a.Count })
	return d
}

// size of what is shown of it, in bytes.
func (d Difference) size() int {
	n := min(len(d.Name), maxValue)
	for i, f := range d.Fields {
		if i == maxFields {
			break
		}
		n += min(len(f.Path), maxValue) + min(len(f.Before), maxValue) + min(len(f.After), maxValue)
	}
	return n
}

func newDifference(d Difference, anchor, status string, fields int, open bool) differenceView {
	v := differenceView{Anchor: anchor, Status: status, Open: open}
	d.Fields, v.More = bound(d.Fields, fields)
	v.Difference = readable(d)
	v.Name = cut(v.Name, maxValue)
	return v
}
