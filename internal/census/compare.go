package census

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Compare reads both files, which must have been opened and no more, to their ends and calls differs for every key that is in one of them alone (the other entry is
// nil), or whose digest or kind is not the same in both. It returns how many are the same. After an error nothing is known
// of the rest; the Tails are there for both readers after none.
func Compare(before, after *Reader, differs func(before, after *Entry) error) (equal int, err error) {
	call := func(b, a *rawEntry) error {
		var entries [2]*Entry
		for i, raw := range []*rawEntry{b, a} {
			if raw != nil {
				e, err := raw.entry()
				if err != nil {
					return err
				}
				entries[i] = &e
			}
		}
		return differs(entries[0], entries[1])
	}
	for _, r := range []*Reader{before, after} {
		if r.entries > 0 || r.err != nil {
			return 0, fmt.Errorf("compare censuses: %s was read from already", r.name)
		}
	}
	b, errB := before.next()
	a, errA := after.next()
	for {
		for _, err := range []error{errB, errA} {
			if err != nil && err != io.EOF {
				return equal, err
			}
		}
		order := 0
		switch {
		case errB == io.EOF && errA == io.EOF:
			return equal, nil
		case errB == io.EOF:
			order = 1
		case errA == io.EOF:
			order = -1
		default:
			order = bytes.Compare(b.key, a.key)
		}
		switch {
		case order < 0:
			err = call(&b, nil)
		case order > 0:
			err = call(nil, &a)
		case bytes.Equal(b.digest, a.digest) && bytes.Equal(b.kind, a.kind):
			equal++
		default:
			err = call(&b, &a)
		}
		if err != nil {
			return equal, err
		}
		if order <= 0 {
			b, errB = before.next()
		}
		if order >= 0 {
			a, errA = after.next()
		}
	}
}

// Classes of a Change.
const (
	Lost    = "lost"
	Extra   = "extra"
	Changed = "changed"
)

// A Change of one field. Path is a JSON pointer (RFC 6901): into the object before, or for an extra field into the one
// after. Before and After are JSON, shortened when long, and empty where the field is absent.
type Change struct {
	Path   string
	Before string
	After  string
	Class  string
}

// FieldChanges lists the differences of two objects, sorted by path. Lists of objects are matched by the field that
// names their items, as far as there is one, other lists by position. Two objects that are not the same have at least one
// change.
func FieldChanges(before, after json.RawMessage) []Change {
	var c changes
	b, okB := decode(before)
	a, okA := decode(after)
	switch {
	case !okB && !okA:
	case !okA:
		c.add("", Lost, b, nil)
	case !okB:
		c.add("", Extra, nil, a)
	default:
		c.compare("", b, a)
	}
	slices.SortStableFunc(c, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
	return c
}

// unreadable stands in for what is no JSON.
type unreadable string

func decode(raw json.RawMessage) (value any, there bool) {
	if len(raw) == 0 {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&value); err != nil {
		return unreadable(raw), true
	}
	return value, true
}

type changes []Change

func (c *changes) add(path, class string, before, after any) {
	change := Change{Path: path, Class: class}
	if class != Extra {
		change.Before = brief(before)
	}
	if class != Lost {
		change.After = brief(after)
	}
	*c = append(*c, change)
}

// longest value that a Change repeats in full, in bytes.
const longest = 256

// brief spells a value. What it leaves out of a long one is told apart by a digest.
func brief(value any) string {
	var text string
	if u, ok := value.(unreadable); ok {
		text = string(u)
	} else {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(value); err != nil {
			return err.Error()
		}
		text = strings.TrimSuffix(b.String(), "\n")
	}
	if len(text) <= longest {
		return text
	}
	cut := longest
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return fmt.Sprintf("%s... (%d bytes, sha256 %x)", text[:cut], len(text), sha256.Sum256([]byte(text)))
}

func (c *changes) compare(path string, before, after any) {
	switch b := before.(type) {
	case map[string]any:
		if a, ok := after.(map[string]any); ok {
			for _, name := range slices.Sorted(maps.Keys(b)) {
				if value, ok := a[name]; ok {
					c.compare(pointer(path, name), b[name], value)
				} else {
					c.add(pointer(path, name), Lost, b[name], nil)
				}
			}
			for _, name := range slices.Sorted(maps.Keys(a)) {
				if _, ok := b[name]; !ok {
					c.add(pointer(path, name), Extra, nil, a[name])
				}
			}
			return
		}
	case []any:
		if a, ok := after.([]any); ok {
			c.compareLists(path, b, a)
			return
		}
	default:
		if brief(before) == brief(after) {
			return
		}
	}
	c.add(path, Changed, before, after)
}

var escapePointer = strings.NewReplacer("~", "~0", "/", "~1")

func pointer(path, name string) string { return path + "/" + escapePointer.Replace(name) }

func (c *changes) compareLists(path string, before, after []any) {
	namesB, namesA := itemNames(before, after)
	if namesB == nil {
		for i := range max(len(before), len(after)) {
			at := path + "/" + strconv.Itoa(i)
			switch {
			case i >= len(after):
				c.add(at, Lost, before[i], nil)
			case i >= len(before):
				c.add(at, Extra, nil, after[i])
			default:
				c.compare(at, before[i], after[i])
			}
		}
		return
	}
	var orderB, orderA []any
	for i, name := range namesB {
		at := path + "/" + strconv.Itoa(i)
		if j := slices.Index(namesA, name); j >= 0 {
			orderB = append(orderB, name)
			c.compare(at, before[i], after[j])
		} else {
			c.add(at, Lost, before[i], nil)
		}
	}
	for j, name := range namesA {
		if slices.Contains(namesB, name) {
			orderA = append(orderA, name)
		} else {
			c.add(path+"/"+strconv.Itoa(j), Extra, nil, after[j])
		}
	}
	if !slices.Equal(orderB, orderA) {
		c.add(path, Changed, orderB, orderA)
	}
}

// naming fields of list items, the most telling first: each is what the Kubernetes API merges some list by.
var naming = []string{"uid", "name", "type", "key", "containerPort", "port", "mountPath", "devicePath", "ip", "topologyKey"}

// itemNames returns the names of the items of two lists, or nil when no one field tells apart those of either.
func itemNames(before, after []any) (b, a []string) {
	for _, field := range naming {
		b, okB := namesBy(field, before)
		a, okA := namesBy(field, after)
		if okB && okA && len(a)+len(b) > 0 {
			return b, a
		}
	}
	return nil, nil
}

func namesBy(field string, list []any) ([]string, bool) {
	names, seen := make([]string, len(list)), make(map[string]bool, len(list))
	for i, item := range list {
		object, _ := item.(map[string]any)
		switch name := object[field].(type) {
		case string:
			names[i] = name
		case json.Number:
			names[i] = name.String()
		default:
			return nil, false
		}
		if seen[names[i]] {
			return nil, false
		}
		seen[names[i]] = true
	}
	return names, true
}
