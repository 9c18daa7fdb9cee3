package graph

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// InNamespace tells whether a reference is that of an object to its own namespace: there are more of them than of all others.
func (r Reference) InNamespace() bool { return r.Via == inNamespace }

// WriteText writes what is missing and the order, for a person. Before may be nil, as for Missing.
func (g *Graph) WriteText(w io.Writer, before *Graph) error {
	b := bufio.NewWriter(w)
	references, optional := 0, 0
	for r := range g.References() {
		references++
		if r.Optional {
			optional++
		}
	}
	fmt.Fprintf(b, "%s, %s, %d of them optional\n", counted(g.Objects(), "object"), counted(references, "reference"), optional)
	for _, line := range g.unread {
		fmt.Fprintf(b, "not read: %s\n", line)
	}
	if g.unreadMore > 0 {
		fmt.Fprintf(b, "not read: %d more\n", g.unreadMore)
	}

	missing := g.Missing(before)
	fmt.Fprintf(b, "\nmissing: %d\n", len(missing))
	for _, m := range missing {
		since := map[Since]string{Lost: "was there before", Before: "missing before as well", Newly: "not there before, and not referred to"}[m.Since]
		state := map[State]string{Replaced: "has another UID", Unseen: "could not be read"}[m.State]
		notes := slices.DeleteFunc([]string{state, since}, func(s string) bool { return s == "" })
		fmt.Fprintf(b, "  %s", m.Object)
		if len(notes) > 0 {
			fmt.Fprintf(b, "  (%s)", strings.Join(notes, "; "))
		}
		fmt.Fprintln(b)
		for _, r := range m.By {
			fmt.Fprintf(b, "    by %s, %s\n", r.From, r.Via)
		}
		if more := m.Referrers - len(m.By); more > 0 {
			fmt.Fprintf(b, "    and by %d more\n", more)
		}
	}

	order := g.Order()
	fmt.Fprintf(b, "\nrestore order: %s\n", counted(len(order.Waves), "wave"))
	for i, wave := range order.Waves {
		fmt.Fprintf(b, "%4d  %s\n", i+1, counted(len(wave), "object"))
		kinds := map[string]int{}
		for _, o := range wave {
			kinds[o.Type()]++
		}
		byNumber := slices.SortedFunc(maps.Keys(kinds), func(a, b string) int { return cmp.Or(cmp.Compare(kinds[b], kinds[a]), cmp.Compare(a, b)) })
		line := "     "
		for j, kind := range byNumber {
			item := fmt.Sprintf(" %s %d", printable(kind), kinds[kind])
			if j < len(byNumber)-1 {
				item += ","
			}
			if len(line)+len(item) > 100 {
				fmt.Fprintln(b, line)
				line = "     "
			}
			line += item
		}
		fmt.Fprintln(b, line)
	}
	if len(order.Cycles) > 0 {
		fmt.Fprintf(b, "\ncycles: %d\n", len(order.Cycles))
	}
	for _, cycle := range order.Cycles {
		fmt.Fprintf(b, "  %s\n", Join(cycle))
	}
	return b.Flush()
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// maxJoined objects that are named.
const maxJoined = 8

// Join names objects in one line, the first of many.
func Join(objects []Object) string {
	var names []string
	for _, o := range objects[:min(len(objects), maxJoined)] {
		names = append(names, o.String())
	}
	if more := len(objects) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

// WriteJSON writes all of it. Before may be nil, as for Missing.
func (g *Graph) WriteJSON(w io.Writer, before *Graph) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		Objects    int         `json:"objects"`
		Unread     []string    `json:"unread,omitempty"`
		UnreadMore int         `json:"unreadMore,omitempty"`
		Missing    []Missing   `json:"missing"`
		Order      Order       `json:"order"`
		References []Reference `json:"references"`
	}{g.Objects(), g.unread, g.unreadMore, append([]Missing{}, g.Missing(before)...), g.Order(), append([]Reference{}, slices.Collect(g.References())...)})
}

// WriteDOT writes a picture for Graphviz: an arrow goes from an object to what it needs, a box around the objects of a namespace. Objects without
// references but to their namespace are left out. What is missing is red, optional references are dashed and back references dotted.
func (g *Graph) WriteDOT(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprint(b, "digraph references {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n  edge [color=gray50];\n")
	drawn, ids := map[Object]bool{}, map[Object]int{}
	for r := range g.References() {
		if !r.InNamespace() || r.State != Found {
			drawn[r.From] = true
			drawn[r.To] = r.State != Absent && r.State != Unseen
		}
	}
	namespace := ""
	for i, o := range slices.SortedFunc(maps.Keys(drawn), Object.compare) {
		if o.Namespace != namespace {
			if namespace != "" {
				fmt.Fprintln(b, "  }")
			}
			namespace = o.Namespace
			fmt.Fprintf(b, "  subgraph cluster_%d {\n  label=%s;\n", i, quoteDOT(namespace))
		}
		ids[o] = i
		look := ""
		if !drawn[o] {
			look = ", color=red, fontcolor=red, style=dashed"
		}
		fmt.Fprintf(b, "  n%d [label=%s%s];\n", i, quoteDOT(o.Type()+"\n"+o.Name), look)
	}
	if namespace != "" {
		fmt.Fprintln(b, "  }")
	}
	for r := range g.References() {
		if r.InNamespace() && r.State == Found {
			continue
		}
		var look []string
		if r.State != Found && !r.Optional {
			look = append(look, "color=red")
		}
		if r.Optional {
			look = append(look, "style=dashed")
		} else if r.Back {
			look = append(look, "style=dotted", "constraint=false")
		}
		fmt.Fprintf(b, "  n%d -> n%d", ids[r.From], ids[r.To])
		if look != nil {
			fmt.Fprintf(b, " [%s]", strings.Join(look, ", "))
		}
		fmt.Fprintln(b, ";")
	}
	fmt.Fprintln(b, "}")
	return b.Flush()
}

// quoteDOT spells a label. A backslash begins an escape of Graphviz, and an ampersand an entity.
func quoteDOT(s string) string {
	var lines []string
	for line := range strings.SplitSeq(s, "\n") {
		lines = append(lines, strings.NewReplacer(`\`, `\\`, `"`, `\"`, `&`, `&amp;`).Replace(printable(line)))
	}
	return `"` + strings.Join(lines, `\n`) + `"`
}
