package graph

import (
	"cmp"
	"slices"
)

// Since tells when a reference began to lead to nothing.
type Since int

const (
	// Undetermined is what nobody looked at before: there was no graph of then, or its census could not read the resource.
	Undetermined Since = iota
	// Lost objects were there before.
	Lost
	// Before marks what was missing already, and referred to.
	Before
	// Newly missed objects were not there before either, and nothing referred to them.
	Newly
)

var sinceNames = [...]string{Undetermined: "undetermined", Lost: "lost", Before: "before", Newly: "new"}

func (s Since) String() string { return sinceNames[s] }

// MarshalText writes undetermined, lost, before or new.
func (s Since) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Missing is an object that others refer to and do not find. State is Absent, Replaced, or Unseen where nobody can tell.
type Missing struct {
	Object
	State State `json:"state"`
	Since Since `json:"since"`
	// Referrers are counted; By are the first of them.
	Referrers int         `json:"referrers"`
	By        []Reference `json:"by"`
}

// maxReferrers of a missing object that are named.
const maxReferrers = 5

// Missing objects: first those that are missed since, then those of which that is not known, then those that were missing before; each sorted by
// namespace, kind and name. What only optional references lead to is not missed. Before, where it is not nil, is the graph of the same cluster at an
// earlier time.
func (g *Graph) Missing(before *Graph) []Missing {
	type target struct {
		id, uid uint32
		state   State
	}
	var all []Missing
	var uids []string
	at := map[target]int{}
	for _, e := range g.edges {
		if e.optional {
			continue
		}
		state := g.state(e)
		if state == Found {
			continue
		}
		t := target{e.to, 0, state}
		if state == Replaced {
			t.uid = e.uid
		}
		i, known := at[t]
		if !known {
			i = len(all)
			at[t] = i
			all = append(all, Missing{Object: g.object(e.to), State: state})
			uids = append(uids, g.names.all[t.uid])
		}
		m := &all[i]
		m.Referrers++
		if len(m.By) < maxReferrers {
			m.By = append(m.By, g.reference(e))
		}
	}
	if before != nil {
		failing := before.failing()
		for i := range all {
			all[i].Since = before.since(all[i].Object, uids[i], failing)
		}
	}
	slices.SortStableFunc(all, func(a, b Missing) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), a.Object.compare(b.Object), cmp.Compare(a.State, b.State))
	})
	return all
}

func (m Missing) rank() int {
	switch {
	case m.State == Unseen || m.Since == Undetermined:
		return 1
	case m.Since == Before:
		return 2
	}
	return 0
}

// failing objects are those that some reference needs and does not find.
func (g *Graph) failing() map[uint32]bool {
	failing := map[uint32]bool{}
	for _, e := range g.edges {
		if !e.optional && g.state(e) != Found {
			failing[e.to] = true
		}
	}
	return failing
}

// since says what became of an object that is missing now, by the graph g of before.
func (g *Graph) since(o Object, uid string, failing map[uint32]bool) Since {
	for _, o := range []Object{o, {Group: o.Group, Kind: o.Kind, Name: o.Name}} { // an owner's namespace is not known where there is none of its kind
		id, there := g.find(o)
		if there && (uid == "" || uid == g.names.all[g.nodes[id].uid]) {
			return Lost
		}
	}
	if !g.readable(kind{o.Group, o.Kind}) {
		return Undetermined
	}
	if id, known := g.lookup(o); known && failing[id] {
		return Before
	}
	return Newly
}
