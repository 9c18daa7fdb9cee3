package checks

import (
	"cmp"
	"maps"
	"slices"

	"github.com/restore-drill/restore-drill/internal/graph"
	"github.com/restore-drill/restore-drill/reports"
)

// What a report lists of the dependencies at most. All are counted.
const (
	maxMissing      = 300
	maxKindPairs    = 300
	maxGroups       = 300
	maxLinks        = 600
	maxWaves        = 50
	maxCycles       = 50
	maxCycleMembers = 20
)

func bounded[T any](all []T, most int) (listed []T, omitted int) {
	n := min(len(all), most)
	return all[:n], len(all) - n
}

// dependencies is a graph, and what it misses, as the report has it.
func dependencies(g *graph.Graph, missing []graph.Missing) *reports.Dependencies {
	d := &reports.Dependencies{Objects: g.Objects()}
	already := map[graph.Object]bool{}
	for _, m := range missing {
		out := reports.MissingObject{Object: named(m.Object), State: m.State.String(), Since: m.Since.String(), Referrers: m.Referrers}
		for _, by := range m.By {
			out.By = append(out.By, reports.Referrer{Object: named(by.From), Via: by.Via})
		}
		d.Missing = append(d.Missing, out)
		if m.Since == graph.Before {
			d.MissingBefore++
			already[m.Object] = true
		}
	}
	d.Missing, d.MissingOmitted = bounded(d.Missing, maxMissing)
	countPairs(d, g, already)

	order := g.Order()
	groups := map[group]*reports.DependencyGroup{}
	for i, wave := range order.Waves {
		w := reports.RestoreWave{Objects: len(wave), Kinds: map[string]int{}}
		for _, o := range wave {
			w.Kinds[o.Type()]++
			of := groups[groupOf(o)]
			if of == nil {
				of = &reports.DependencyGroup{Kind: o.Type(), Namespace: o.Namespace}
				groups[groupOf(o)] = of
			}
			of.Objects++
			of.Wave = i + 1
		}
		d.Waves = append(d.Waves, w)
	}
	d.Waves, d.WavesOmitted = bounded(d.Waves, maxWaves)
	for _, cycle := range order.Cycles {
		var c reports.Cycle
		cycle, c.Omitted = bounded(cycle, maxCycleMembers)
		for _, o := range cycle {
			c.Objects = append(c.Objects, named(o))
		}
		d.Cycles = append(d.Cycles, c)
	}
	d.Cycles, d.CyclesOmitted = bounded(d.Cycles, maxCycles)
	listGroups(d, g, groups)
	return d
}

func named(o graph.Object) reports.Object {
	return reports.Object{Kind: o.Type(), Namespace: o.Namespace, Name: o.Name}
}

// countPairs counts the references by the kinds at their ends. Those to what was missing already are counted apart.
func countPairs(d *reports.Dependencies, g *graph.Graph, already map[graph.Object]bool) {
	type ends struct{ from, to string }
	pairs := map[ends]*reports.KindPair{}
	for ref := range g.References() {
		e := ends{ref.From.Type(), ref.To.Type()}
		p := pairs[e]
		if p == nil {
			p = &reports.KindPair{From: e.from, To: e.to}
			pairs[e] = p
		}
		d.References++
		p.References++
		switch {
		case ref.Optional:
			d.Optional++
			p.Optional++
		case ref.State == graph.Found:
		case already[ref.To]:
			p.MissingBefore++
		default:
			p.Missing++
		}
	}
	for _, p := range pairs {
		d.Kinds = append(d.Kinds, *p)
	}
	slices.SortFunc(d.Kinds, func(a, b reports.KindPair) int {
		return cmp.Or(cmp.Compare(b.Missing, a.Missing), cmp.Compare(b.MissingBefore, a.MissingBefore), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	d.Kinds, d.KindsOmitted = bounded(d.Kinds, maxKindPairs)
}

// A group of the picture.
type group struct{ kind, namespace string }

func groupOf(o graph.Object) group { return group{o.Type(), o.Namespace} }

// listGroups lists those that refer to one another beyond their namespaces, and their links. Where there are too many, those are listed that miss
// something, and the busiest.
func listGroups(d *reports.Dependencies, g *graph.Graph, all map[group]*reports.DependencyGroup) {
	type ends struct{ from, to group }
	links, missing, busy := map[ends]int{}, map[group]int{}, map[group]int{}
	for ref := range g.References() {
		e := ends{groupOf(ref.From), groupOf(ref.To)}
		switch {
		case ref.State == graph.Absent || ref.State == graph.Unseen:
			if !ref.Optional {
				missing[e.from]++
				busy[e.from]++
			}
		case !ref.InNamespace():
			links[e]++
			busy[e.from]++
			busy[e.to]++
		}
	}
	listed := slices.SortedFunc(maps.Keys(busy), func(a, b group) int {
		return cmp.Or(cmp.Compare(missing[b], missing[a]), cmp.Compare(busy[b], busy[a]), cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.kind, b.kind))
	})
	listed, d.GroupsOmitted = bounded(listed, maxGroups)
	slices.SortFunc(listed, func(a, b group) int {
		return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(all[a].Wave, all[b].Wave), cmp.Compare(a.kind, b.kind))
	})
	at := map[group]int{}
	for i, of := range listed {
		at[of] = i
		d.Groups = append(d.Groups, *all[of])
	}
	for e, n := range links {
		from, ok := at[e.from]
		to, too := at[e.to]
		if ok && too {
			d.Links = append(d.Links, reports.DependencyLink{From: from, To: to, References: n})
		}
	}
	slices.SortFunc(d.Links, func(a, b reports.DependencyLink) int {
		return cmp.Or(cmp.Compare(b.References, a.References), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	d.Links, d.LinksOmitted = bounded(d.Links, maxLinks)
}
