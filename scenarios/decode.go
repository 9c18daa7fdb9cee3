package scenarios

import (
	"encoding"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A decoder reads YAML nodes into Go values by their json tags. It is strict, and goes on after a mistake, so that one reading
// finds them all. A field without omitempty is required, and must not be empty.
//
// Nodes are bounded before they come here (see measure), so aliases are followed without care.
type decoder struct {
	file string
	// trees of the document, in which a key that stands in a wrong place is looked up.
	trees []tree
	// constraints on fields, by "Type.key".
	constraints map[string]constraint
	// places of the values that were read, by path.
	places   map[string]place
	mistakes Mistakes
	// tainted holds the paths at or below which there is a mistake.
	tainted map[string]bool
}

// A tree of keys that begins at a path.
type tree struct {
	path string
	typ  reflect.Type
}

// A place of a value: the key that leads to it, if any, and the value as written, which may be an alias.
type place struct{ key, value *yaml.Node }

func (p place) node() *yaml.Node {
	if p.key != nil {
		return p.key
	}
	return p.value
}

var (
	nodeType = reflect.TypeFor[*yaml.Node]()
	rawType  = reflect.TypeFor[json.RawMessage]()
)

// report adds a mistake.
func (d *decoder) report(at *yaml.Node, path, format string, args ...any) {
	d.mistakes = append(d.mistakes, Mistake{d.file, max(1, at.Line), max(1, at.Column), path, fmt.Sprintf(format, args...)})
	if d.tainted == nil {
		d.tainted = map[string]bool{}
	}
	for path != "" && !d.tainted[path] {
		d.tainted[path] = true
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
}

// sound tells whether a value is written in the file, and without a mistake so far.
func (d *decoder) sound(path string) bool {
	_, written := d.places[path]
	return written && !d.tainted[path]
}

// wrong reports a mistake of a value that was read.
func (d *decoder) wrong(path, format string, args ...any) {
	d.report(d.places[path].value, path, format, args...)
}

// value reads n, which stands at path, into out.
func (d *decoder) value(at place, path string, out reflect.Value) {
	if d.places == nil {
		d.places = map[string]place{}
	}
	d.places[path] = at
	n := follow(at.value)
	tag := ""
	if n.Kind == yaml.ScalarNode {
		tag = n.ShortTag()
	}
	if tag == "!!null" && out.Kind() != reflect.Interface && out.Type() != rawType {
		d.report(at.node(), path, "has no value: give it one")
		return
	}
	want := func(what string, hints ...string) {
		d.report(at.value, path, "want %s, got %s%s", what, describe(n), strings.Join(hints, ""))
	}
	switch out.Type() {
	case nodeType:
		if n.Kind != yaml.MappingNode {
			want("a map")
			return
		}
		out.Set(reflect.ValueOf(n))
		return
	case rawType:
		raw, err := json.Marshal(d.plain(at, path))
		if err != nil {
			d.report(at.value, path, "%v", err)
		}
		out.SetBytes(raw)
		return
	}
	if text, ok := out.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if n.Kind != yaml.ScalarNode {
			want("one value")
		} else if err := text.UnmarshalText([]byte(n.Value)); err != nil {
			d.report(at.value, path, "%v", err)
		}
		return
	}
	switch out.Kind() {
	case reflect.Pointer:
		out.Set(reflect.New(out.Type().Elem()))
		d.value(at, path, out.Elem())
	case reflect.Struct:
		if n.Kind != yaml.MappingNode {
			want("a map with the keys " + strings.Join(keys(out.Type()), ", "))
			return
		}
		d.structure(at, path, out)
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			hint := ""
			if n.Kind == yaml.ScalarNode {
				hint = fmt.Sprintf(" (write [%s])", shorten(n.Value))
			}
			want("a list", hint)
			return
		}
		out.Set(reflect.MakeSlice(out.Type(), len(n.Content), len(n.Content)))
		for i, item := range n.Content {
			d.value(place{value: item}, fmt.Sprintf("%s[%d]", path, i), out.Index(i))
		}
	case reflect.Map:
		if n.Kind != yaml.MappingNode {
			want("a map")
			return
		}
		out.Set(reflect.MakeMap(out.Type()))
		d.entries(n, path, func(key string, at place) {
			v := reflect.New(out.Type().Elem()).Elem()
			d.value(at, join(path, key), v)
			out.SetMapIndex(reflect.ValueOf(key).Convert(out.Type().Key()), v)
		})
	case reflect.Interface:
		if v := d.plain(at, path); v != nil {
			out.Set(reflect.ValueOf(v))
		}
	case reflect.String:
		if tag != "!!str" {
			hint := ""
			if n.Kind == yaml.ScalarNode {
				hint = fmt.Sprintf(" (write %q)", shorten(n.Value))
			}
			want("a string", hint)
			return
		}
		out.SetString(n.Value)
	case reflect.Bool:
		switch {
		case tag == "!!bool" && n.Decode(out.Addr().Interface()) == nil:
		case slices.Contains([]string{"yes", "on", "true", "y"}, strings.ToLower(n.Value)):
			want("true or false", " (write true)")
		case slices.Contains([]string{"no", "off", "false", "n"}, strings.ToLower(n.Value)):
			want("true or false", " (write false)")
		default:
			want("true or false")
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if tag != "!!int" {
			want("a whole number", numberHint(n))
		} else if err := n.Decode(out.Addr().Interface()); err != nil {
			d.report(at.value, path, "%s is out of range", shorten(n.Value))
		}
	case reflect.Float32, reflect.Float64:
		if tag != "!!int" && tag != "!!float" {
			want("a number", numberHint(n))
		} else if err := n.Decode(out.Addr().Interface()); err != nil || math.IsNaN(out.Float()) || math.IsInf(out.Float(), 0) {
			d.report(at.value, path, "%s is out of range", shorten(n.Value))
		}
	default:
		// A type that no file can fill is a mistake of the program, and must not pass for one of the file.
		panic(fmt.Sprintf("decode %s: a field of type %s", path, out.Type()))
	}
}

// structure reads a mapping into a struct, key by key.
func (d *decoder) structure(at place, path string, out reflect.Value) {
	t := out.Type()
	fields := fieldsOf(t)
	seen := map[string]bool{}
	d.entries(follow(at.value), path, func(key string, at place) {
		seen[key] = true
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == key })
		if i < 0 {
			d.report(at.key, join(path, key), "%s", d.unknownKey(key, keys(t)))
			return
		}
		f, p := fields[i], join(path, key)
		if n := follow(at.value); !f.required && n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
			d.places[p] = at
			d.report(at.key, p, "has no value: give it one, or leave the key out")
			return
		}
		v := out.FieldByIndex(f.index)
		d.value(at, p, v)
		if f.required && !d.tainted[p] && (v.Kind() == reflect.String || v.Kind() == reflect.Slice) && v.Len() == 0 {
			d.report(at.value, p, "must not be empty")
		}
		d.constrain(d.constraints[t.Name()+"."+key], p, v)
	})
	for _, f := range fields {
		if f.required && !seen[f.name] {
			d.report(at.node(), join(path, f.name), "is required")
		}
	}
}

// entries calls f for each key of a mapping, once for each name.
func (d *decoder) entries(n *yaml.Node, path string, f func(key string, at place)) {
	first := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		name := follow(key)
		switch {
		case name.Kind != yaml.ScalarNode:
			d.report(key, path, "want a name for a key, got %s", describe(name))
			continue
		case name.ShortTag() == "!!merge":
			d.report(key, path, "merge key << is not supported: write the keys out")
			continue
		case first[name.Value] != nil:
			d.report(key, join(path, name.Value), "duplicate key, first given in line %d", first[name.Value].Line)
			continue
		}
		first[name.Value] = key
		f(name.Value, place{key, n.Content[i+1]})
	}
}

// plain is the value as encoding/json would hold it.
func (d *decoder) plain(at place, path string) any {
	n := follow(at.value)
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		d.entries(n, path, func(key string, at place) { m[key] = d.plain(at, join(path, key)) })
		return m
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, item := range n.Content {
			list[i] = d.plain(place{value: item}, fmt.Sprintf("%s[%d]", path, i))
		}
		return list
	}
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!bool":
		return strings.EqualFold(n.Value, "true")
	case "!!int":
		var i int64
		if err := n.Decode(&i); err != nil {
			d.report(at.value, path, "%s is out of range", shorten(n.Value))
		}
		return i
	case "!!float":
		var f float64
		if err := n.Decode(&f); err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			d.report(at.value, path, "%s is out of range", shorten(n.Value))
			return nil
		}
		return f
	}
	return n.Value
}

// unknownKey says what may have been meant: a key that belongs here, or the same key where it belongs.
func (d *decoder) unknownKey(key string, known []string) string {
	if near := nearest(key, known); near != "" {
		return fmt.Sprintf("unknown key (did you mean %s?)", near)
	}
	var elsewhere []string
	for _, t := range d.trees {
		elsewhere = append(elsewhere, find(t.typ, t.path, key)...)
	}
	if elsewhere = slices.Compact(elsewhere); len(elsewhere) > 0 {
		return fmt.Sprintf("unknown key here (did you mean %s?)", strings.Join(elsewhere[:min(3, len(elsewhere))], " or "))
	}
	if len(known) == 0 {
		return "unknown key: nothing can be set here"
	}
	return "unknown key; known: " + strings.Join(known, ", ")
}

// find lists the paths at which a document of type t has the key.
func find(t reflect.Type, path, key string) (paths []string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		if t.Kind() == reflect.Slice {
			path += "[]"
		}
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t == nodeType.Elem() {
		return nil
	}
	for _, f := range fieldsOf(t) {
		if f.name == key {
			paths = append(paths, join(path, key))
		}
		paths = append(paths, find(f.typ, join(path, f.name), key)...)
	}
	return paths
}

// A field of a struct, as a file sees it.
type field struct {
	name     string
	index    []int
	typ      reflect.Type
	required bool
}

// fieldsOf a struct, those of embedded structs among them.
func fieldsOf(t reflect.Type) (fields []field) {
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || f.Anonymous || name == "-" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		required := !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero")
		fields = append(fields, field{name, f.Index, f.Type, required})
	}
	return fields
}

func keys(t reflect.Type) (names []string) {
	for _, f := range fieldsOf(t) {
		names = append(names, f.name)
	}
	return names
}

// follow an alias to what it stands for.
func follow(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// join a key to a path, in quotes when it is no plain name.
func join(path, key string) string {
	if key == "" || strings.ContainsFunc(key, func(r rune) bool {
		return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) {
		return path + "[" + strconv.Quote(shorten(key)) + "]"
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// describe a node in a few words.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	}
	switch tag := n.ShortTag(); tag {
	case "!!str":
		return fmt.Sprintf("the string %q", shorten(n.Value))
	case "!!int", "!!float":
		return "the number " + shorten(n.Value)
	case "!!bool":
		return n.Value
	case "!!null":
		return "nothing"
	case "!!timestamp":
		return "the date " + shorten(n.Value)
	default:
		return fmt.Sprintf("the value %q of type %s", shorten(n.Value), shorten(tag))
	}
}

func numberHint(n *yaml.Node) string {
	if _, err := strconv.ParseInt(n.Value, 10, 64); err == nil && n.Kind == yaml.ScalarNode {
		return fmt.Sprintf(" (write %s)", n.Value)
	}
	return ""
}
