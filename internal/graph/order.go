package graph

import "slices"

// An Order in which objects can be restored so that each finds what it refers to.
type Order struct {
	// Waves of objects: those of one wave need only what is in the waves before it.
	Waves [][]Object `json:"waves"`
	// Cycles are objects that need one another in a circle, or one that needs itself: one of them has to go first without what it needs.
	// A cycle is in one wave.
	Cycles [][]Object `json:"cycles,omitempty"`
}

// Order of the objects that are there, in as few waves as can be. What is missing holds nothing up, and neither do back references.
func (g *Graph) Order() Order {
	var o Order
	waves := make([]int, len(g.nodes)) // counted from 1; 0 is of none yet
	for _, circle := range g.circles() {
		wave, cyclic := 1, len(circle) > 1
		for _, id := range circle {
			for _, e := range g.edgesOf(id) {
				if g.orders(e) {
					wave = max(wave, waves[e.to]+1)
					cyclic = cyclic || e.to == id
				}
			}
		}
		for _, id := range circle {
			waves[id] = wave
		}
		if wave > len(o.Waves) {
			o.Waves = append(o.Waves, nil)
		}
		if cyclic {
			o.Cycles = append(o.Cycles, g.objects(circle))
		}
	}
	for _, id := range g.sorted {
		if w := waves[id]; w > 0 {
			o.Waves[w-1] = append(o.Waves[w-1], g.object(id))
		}
	}
	slices.SortFunc(o.Cycles, func(a, b []Object) int { return a[0].compare(b[0]) })
	return o
}

// orders tells whether the one end of e has to be there before the other.
func (g *Graph) orders(e edge) bool { return !e.back && g.nodes[e.to].there }

// objects of some nodes, sorted.
func (g *Graph) objects(ids []uint32) []Object {
	all := make([]Object, 0, len(ids))
	for _, id := range ids {
		all = append(all, g.object(id))
	}
	slices.SortFunc(all, Object.compare)
	return all
}

// circles of objects that need one another, most of them of one object, each after all that it needs. This is Tarjan's algorithm, without
// recursion: a chain of owners may be as long as there are objects.
func (g *Graph) circles() (all [][]uint32) {
	type visit struct {
		id   uint32
		next int // of its edges
	}
	var (
		count   uint32
		numbers = make([]uint32, len(g.nodes)) // in the order of the visits, from 1
		lowest  = make([]uint32, len(g.nodes)) // number of the circle's beginning, as far as it is known
		open    = make([]bool, len(g.nodes))
		stack   []uint32
		path    []visit
	)
	enter := func(id uint32) {
		count++
		numbers[id], lowest[id], open[id] = count, count, true
		stack, path = append(stack, id), append(path, visit{id: id})
	}
	for _, root := range g.sorted {
		if !g.nodes[root].there || numbers[root] > 0 {
			continue
		}
		enter(root)
		for len(path) > 0 {
			v := &path[len(path)-1]
			if edges := g.edgesOf(v.id); v.next < len(edges) {
				e := edges[v.next]
				v.next++
				switch {
				case !g.orders(e):
				case numbers[e.to] == 0:
					enter(e.to)
				case open[e.to]:
					lowest[v.id] = min(lowest[v.id], numbers[e.to])
				}
				continue
			}
			id := v.id
			path = path[:len(path)-1]
			if len(path) > 0 {
				below := path[len(path)-1].id
				lowest[below] = min(lowest[below], lowest[id])
			}
			if lowest[id] < numbers[id] {
				continue
			}
			begin := len(stack) - 1
			for stack[begin] != id {
				begin--
			}
			circle := slices.Clone(stack[begin:])
			stack = stack[:begin]
			for _, id := range circle {
				open[id] = false
			}
			all = append(all, circle)
		}
	}
	return all
}
