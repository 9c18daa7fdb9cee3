// Package graph reads from a census what its objects refer to: which references lead to nothing, and in which order the
// objects could be restored so that each finds what it needs.
//
// A reference is what an object says itself: a name of another one in its spec, an ownerReference, its namespace, and for a
// custom resource its definition. The table readers lists them all. What is found by labels alone (the selectors of a
// Service, a NetworkPolicy, a PodDisruptionBudget, an autoscaled workload) is no reference: to select nothing is not an
// error. Neither is what a controller would fill in, like the service account "default" of a pod template that names none,
// nor what is only read once, like the data source of a claim. The keys within a ConfigMap or a Secret are not looked at.
//
// A Graph holds names and references, and no objects: some 250 bytes an object.
//
// To add a reference, add a line to the reader of its kind, or a reader to the table.
package graph

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/restore-drill/restore-drill/internal/census"
)

// An Object as others refer to it: of a kind, in whatever version.
type Object struct {
	Group     string `json:"group,omitempty"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// Type is the kind, with its group where that is not one of Kubernetes' own: Deployment, Widget.shop.example.com.
func (o Object) Type() string {
	if builtIn(o.Group) {
		return o.Kind
	}
	return o.Kind + "." + o.Group
}

// String is for a person, on one line.
func (o Object) String() string {
	if o.Namespace == "" {
		return printable(o.Type() + " " + o.Name)
	}
	return printable(o.Type() + " " + o.Namespace + "/" + o.Name)
}

// printable text has nothing that a terminal would obey: the names of roles, among others, may hold anything.
func printable(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

func (o Object) compare(p Object) int {
	return cmp.Or(cmp.Compare(o.Namespace, p.Namespace), cmp.Compare(o.Kind, p.Kind), cmp.Compare(o.Group, p.Group), cmp.Compare(o.Name, p.Name))
}

// builtIn groups are part of Kubernetes: what is in them needs no definition.
func builtIn(group string) bool {
	switch group {
	case "apiextensions.k8s.io", "apiregistration.k8s.io":
		return true
	}
	return scheme.Scheme.IsGroupRegistered(group)
}

// A State of a reference.
type State int

const (
	// Unseen is what may be there: its resource could not be read.
	Unseen State = iota
	// Found leads to an object of the census.
	Found
	// Absent leads to nothing.
	Absent
	// Replaced leads to another object of the same name: the UID is not the one that is referred to.
	Replaced
)

var stateNames = [...]string{Unseen: "unseen", Found: "found", Absent: "absent", Replaced: "replaced"}

func (s State) String() string { return stateNames[s] }

// MarshalText writes unseen, found, absent or replaced.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// A Reference of one object to another. An object that names another one several times refers to it once.
type Reference struct {
	From Object `json:"from"`
	To   Object `json:"to"`
	// Via is the field that names it, the first one of several.
	Via string `json:"via"`
	// Optional references may lead to nothing.
	Optional bool `json:"optional,omitempty"`
	// Back references belong to the other end: a volume's to the claim that it is bound to. They do not count in the order.
	Back  bool  `json:"back,omitempty"`
	State State `json:"state"`
}

// A Graph of the objects of one census and what they refer to. Its zero value is not usable; see New and Read.
type Graph struct {
	names names
	nodes []node
	ids   map[identity]uint32
	edges []edge
	// resources by kind, as group/resource, of the objects that were seen or whose definition was.
	resources map[kind]string
	// aggregated groups, each with an APIService that forwards it.
	aggregated map[string]uint32
	// sorted nodes, as objects compare. Edges have that order too, and begin tells where those of a node do.
	sorted     []uint32
	begin      []uint32
	tail       census.Tail
	unread     []string
	unreadMore int
}

type kind struct{ group, name string }

// names are strings, each held once.
type names struct {
	ids map[string]uint32
	all []string
}

func (n *names) id(s string) uint32 {
	id, ok := n.ids[s]
	if !ok {
		id = uint32(len(n.all))
		n.all = append(n.all, s)
		n.ids[s] = id
	}
	return id
}

// identity of an object, in names.
type identity struct{ group, kind, namespace, name uint32 }

// A node is an object of the census, or one that is referred to and not there.
type node struct {
	identity
	uid   uint32
	there bool
}

type edge struct {
	to uint32
	// uid of the object that is meant; 0, which names the empty string, for any.
	uid            uint32
	from, via      uint32
	optional, back bool
}

// New is an empty graph. Add puts the entries of a census in, in any order, and Close ends that.
func New() *Graph {
	g := &Graph{names: names{ids: map[string]uint32{}}, ids: map[identity]uint32{}, resources: map[kind]string{}, aggregated: map[string]uint32{}}
	g.names.id("")
	return g
}

// Read makes the graph of a census file.
func Read(file string) (*Graph, error) {
	r, err := census.Open(file)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	g := New()
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			g.Close(r.Tail())
			return g, nil
		}
		if err != nil {
			return nil, err
		}
		g.Add(&e)
	}
}

// node of an object, made when it is new.
func (g *Graph) node(o Object) uint32 {
	key := identity{g.names.id(o.Group), g.names.id(o.Kind), g.names.id(o.Namespace), g.names.id(o.Name)}
	id, ok := g.ids[key]
	if !ok {
		id = uint32(len(g.nodes))
		g.nodes = append(g.nodes, node{identity: key})
		g.ids[key] = id
	}
	return id
}

func (g *Graph) object(id uint32) Object {
	n, all := g.nodes[id], g.names.all
	return Object{all[n.group], all[n.kind], all[n.namespace], all[n.name]}
}

// maxUnread that are named; all are counted.
const maxUnread = 10

func (g *Graph) cannotRead(o Object, why error) {
	if len(g.unread) == maxUnread {
		g.unreadMore++
		return
	}
	g.unread = append(g.unread, fmt.Sprintf("%s: %v", o, why))
}

// Unread says of which objects the references could not all be read, and why; more of them are not named.
func (g *Graph) Unread() (named []string, more int) { return g.unread, g.unreadMore }

// Add an object and its references. The graph keeps nothing of the entry.
func (g *Graph) Add(e *census.Entry) {
	group, rest, _ := strings.Cut(e.Key, "/")
	resource, _, _ := strings.Cut(rest, "/")
	o := Object{group, e.Kind, e.Namespace, e.Name}
	if e.Kind == "" || e.Name == "" {
		g.cannotRead(Object{Group: group, Kind: resource, Name: e.Key}, errors.New("the census names no kind of it: it is not one of the API"))
		return
	}
	r := references{of: o}
	if err := r.read(e.Object); err != nil {
		g.cannotRead(o, err)
	}
	from := g.node(o)
	g.nodes[from].there, g.nodes[from].uid = true, g.names.id(r.uid)
	g.resources[kind{group, e.Kind}] = group + "/" + resource
	if r.defines != (kind{}) {
		g.resources[r.defines] = r.definesAs
	}
	if r.aggregates != "" {
		g.aggregated[r.aggregates] = from
	}
	first := len(g.edges)
	for _, ref := range r.all {
		g.edges = append(g.edges, edge{g.node(ref.to), g.names.id(ref.uid), from, g.names.id(ref.via), ref.optional, ref.back})
	}
	mine := g.edges[first:]
	slices.SortStableFunc(mine, func(a, b edge) int { return cmp.Or(cmp.Compare(a.to, b.to), cmp.Compare(a.uid, b.uid)) })
	once := mine[:0]
	for i, e := range mine {
		if i == 0 || once[len(once)-1].to != e.to || once[len(once)-1].uid != e.uid {
			once = append(once, e)
			continue
		}
		known := &once[len(once)-1]
		known.optional, known.back = known.optional && e.optional, known.back && e.back
	}
	g.edges = g.edges[:first+len(once)]
}

// Close says what the census says of itself, and settles what could not be known before all objects were seen.
func (g *Graph) Close(tail census.Tail) {
	g.tail = tail
	for i := range g.edges {
		e := &g.edges[i]
		if to := g.nodes[e.to]; !to.there && to.namespace != 0 {
			// An owner is named without its namespace: it is in that of the object, or in none.
			to.namespace = 0
			if id, known := g.ids[to.identity]; known && g.nodes[id].there {
				e.to = id
			}
		}
	}
	definition := g.names.id("spec.names")
	for id := range uint32(len(g.nodes)) {
		if to, needed := g.definition(id); needed {
			g.edges = append(g.edges, edge{from: id, to: to, via: definition})
		}
	}

	g.sorted = make([]uint32, len(g.nodes))
	for i := range g.sorted {
		g.sorted[i] = uint32(i)
	}
	slices.SortFunc(g.sorted, func(a, b uint32) int { return g.object(a).compare(g.object(b)) })
	rank := make([]uint32, len(g.nodes))
	for i, id := range g.sorted {
		rank[id] = uint32(i)
	}
	slices.SortFunc(g.edges, func(a, b edge) int {
		return cmp.Or(cmp.Compare(rank[a.from], rank[b.from]), cmp.Compare(rank[a.to], rank[b.to]), cmp.Compare(g.names.all[a.uid], g.names.all[b.uid]))
	})
	g.begin = make([]uint32, len(g.nodes))
	for i, e := range slices.Backward(g.edges) {
		g.begin[e.from] = uint32(i)
	}
}

// edgesOf a node, those that begin there.
func (g *Graph) edgesOf(id uint32) []edge {
	begin := g.begin[id]
	end := begin
	for int(end) < len(g.edges) && g.edges[end].from == id {
		end++
	}
	return g.edges[begin:end]
}

// definition of an object: that of its custom resource, or the aggregated API that serves it. What Kubernetes itself serves needs none.
func (g *Graph) definition(id uint32) (to uint32, needed bool) {
	if !g.nodes[id].there {
		return 0, false
	}
	o := g.object(id)
	group, plural, _ := strings.Cut(g.resources[kind{o.Group, o.Kind}], "/")
	crd := Object{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition", Name: plural + "." + group}
	if to, there := g.find(crd); there {
		return to, true
	}
	if builtIn(group) {
		return 0, false
	}
	if to, there := g.aggregated[group]; there {
		return to, true
	}
	return g.node(crd), true
}

// lookup finds an object, one of the census or one that is referred to.
func (g *Graph) lookup(o Object) (id uint32, known bool) {
	var key identity
	for _, part := range []struct {
		name string
		into *uint32
	}{{o.Group, &key.group}, {o.Kind, &key.kind}, {o.Namespace, &key.namespace}, {o.Name, &key.name}} {
		if *part.into, known = g.names.ids[part.name]; !known {
			return 0, false
		}
	}
	id, known = g.ids[key]
	return id, known
}

// find an object of the census.
func (g *Graph) find(o Object) (id uint32, there bool) {
	id, known := g.lookup(o)
	return id, known && g.nodes[id].there
}

// readable tells whether the census would hold the objects of a kind, if there were any.
func (g *Graph) readable(k kind) bool {
	resource, known := g.resources[k]
	if !known {
		plural, _ := meta.UnsafeGuessKindToResource(schema.GroupVersionKind{Group: k.group, Kind: k.name})
		resource = k.group + "/" + plural.Resource
	}
	if slices.Contains(g.tail.Resources, resource) {
		return true
	}
	for unread := range g.tail.Unreadable {
		group, _, _ := strings.Cut(unread, "/")
		version, all := strings.CutSuffix(unread, "/*")
		if all { // of a group that could not be discovered
			gv, _ := schema.ParseGroupVersion(version)
			group = gv.Group
		}
		if unread == resource || group == k.group && (all || !known) {
			return false
		}
	}
	_, skipped := g.tail.Skipped[resource]
	return !skipped
}

func (g *Graph) state(e edge) State {
	to := g.nodes[e.to]
	all := g.names.all
	switch {
	case to.there && e.uid != 0 && to.uid != 0 && e.uid != to.uid:
		return Replaced
	case to.there:
		return Found
	case g.readable(kind{all[to.group], all[to.kind]}):
		return Absent
	}
	return Unseen
}

// References in the order of the objects that refer, and then of those referred to.
func (g *Graph) References() iter.Seq[Reference] {
	return func(yield func(Reference) bool) {
		for _, e := range g.edges {
			if !yield(g.reference(e)) {
				return
			}
		}
	}
}

func (g *Graph) reference(e edge) Reference {
	return Reference{g.object(e.from), g.object(e.to), g.names.all[e.via], e.optional, e.back, g.state(e)}
}

// Objects of the census, counted.
func (g *Graph) Objects() (n int) {
	for _, node := range g.nodes {
		if node.there {
			n++
		}
	}
	return n
}
