package crd

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/restore-drill/restore-drill/internal/evidence"
)

// Classes of changes, by what they are about. A change of anything that is not known here is one of the definition.
const (
	// Presentation changes nothing but what people see: printer columns, descriptions.
	Presentation = "presentation"
	Validation   = "validation"
	Rules        = "validation rules"
	Defaults     = "defaults"
	Fields       = "fields"
	Versions     = "versions"
	Conversion   = "conversion"
	General      = "definition"
)

// classes of the keywords of a schema. All others are about validation.
var classes = map[string]string{
	"description": Presentation, "title": Presentation, "example": Presentation, "externalDocs": Presentation,
	"default":                              Defaults,
	"x-kubernetes-validations":             Rules,
	"x-kubernetes-preserve-unknown-fields": Fields,
	"x-kubernetes-embedded-resource":       Fields,
}

// classes of what a version has beside its schema.
var versionClasses = map[string]string{
	"additionalPrinterColumns": Presentation, "deprecated": Presentation, "deprecationWarning": Presentation,
	"served": Versions, "storage": Versions,
}

// A Change of a definition.
type Change struct {
	Class string
	// What changed: "v1 spec.mode enum".
	What string
	// Before and After are JSON, or empty for nothing.
	Before, After string
}

func (c Change) String() string {
	switch {
	case c.Before == "":
		return fmt.Sprintf("%s is new: %s", c.What, c.After)
	case c.After == "":
		return fmt.Sprintf("%s is gone, and was %s", c.What, c.Before)
	}
	return fmt.Sprintf("%s was %s and is %s", c.What, c.Before, c.After)
}

// Compare lists all in which two readings of a definition differ, but for how its resources could be read.
func Compare(before, after evidence.CRD) ([]Change, error) {
	var b, a map[string]any
	for _, side := range []struct {
		spec json.RawMessage
		into *map[string]any
	}{{before.Spec, &b}, {after.Spec, &a}} {
		if err := json.Unmarshal(side.spec, side.into); err != nil {
			return nil, fmt.Errorf("compare definition %s: %w", before.Name, err)
		}
	}
	var c comparison
	c.members(b, a, func(key string, b, a any) {
		switch key {
		case "versions":
			c.versions(b, a)
		case "conversion":
			c.add(Conversion, key, b, a)
		default:
			c.add(General, key, b, a)
		}
	})
	return c.changes, nil
}

type comparison struct{ changes []Change }

// members calls differs for every key of which the two maps hold other values, in order.
func (c *comparison) members(before, after map[string]any, differs func(key string, before, after any)) {
	keys := maps.Clone(before)
	if keys == nil {
		keys = map[string]any{}
	}
	maps.Copy(keys, after)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if !reflect.DeepEqual(before[key], after[key]) {
			differs(key, before[key], after[key])
		}
	}
}

// add a change. Long values are cut: the definition itself is in the evidence.
func (c *comparison) add(class, what string, before, after any) {
	c.changes = append(c.changes, Change{class, what, shown(before), shown(after)})
}

const maxShown = 120

func shown(v any) string {
	if v == nil {
		return ""
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v) // cannot be: it was read from JSON
	}
	if len(b) > maxShown {
		return strings.ToValidUTF8(string(b[:maxShown]), "") + "..."
	}
	return string(b)
}

func (c *comparison) versions(before, after any) {
	byName := func(v any) (named map[string]any, order []any) {
		named = map[string]any{}
		list, _ := v.([]any)
		for _, item := range list {
			if version, ok := item.(map[string]any); ok {
				named[fmt.Sprint(version["name"])] = version
				order = append(order, version["name"])
			}
		}
		return named, order
	}
	b, orderBefore := byName(before)
	a, orderAfter := byName(after)
	found := len(c.changes)
	c.members(b, a, func(name string, b, a any) {
		was, _ := b.(map[string]any)
		is, _ := a.(map[string]any)
		if was == nil || is == nil {
			c.changes = append(c.changes, Change{Versions, "version " + name, flags(was), flags(is)})
			return
		}
		c.members(was, is, func(key string, b, a any) {
			if key == "schema" {
				b, _ := b.(map[string]any)
				a, _ := a.(map[string]any)
				c.child(name, "", b["openAPIV3Schema"], a["openAPIV3Schema"])
				return
			}
			class := versionClasses[key]
			if class == "" {
				class = General
			}
			c.add(class, name+" "+key, b, a)
		})
	})
	if len(c.changes) == found {
		c.add(Presentation, "order of the versions", orderBefore, orderAfter)
	}
}

// flags of a version, where it is there.
func flags(version map[string]any) string {
	if version == nil {
		return ""
	}
	return shown(map[string]any{"served": version["served"], "storage": version["storage"]})
}

// child compares what the schema says of one field, which may be there on one side alone. Its path begins without a point.
func (c *comparison) child(version, path string, before, after any) {
	b, wasSchema := before.(map[string]any)
	a, isSchema := after.(map[string]any)
	what := strings.TrimSpace(version + " " + path)
	if !wasSchema || !isSchema {
		c.add(Fields, what, before, after)
		return
	}
	c.members(b, a, func(key string, b, a any) {
		switch key {
		case "properties":
			b, _ := b.(map[string]any)
			a, _ := a.(map[string]any)
			c.members(b, a, func(name string, b, a any) { c.child(version, strings.TrimPrefix(path+"."+name, "."), b, a) })
		case "items", "additionalProperties":
			c.child(version, path+"[]", b, a)
		default:
			class := classes[key]
			if class == "" {
				class = Validation
			}
			c.add(class, what+" "+key, b, a)
		}
	})
}

var index = regexp.MustCompile(`\[[^\]]*\]`)

// Demands are what a definition asks of a field that the API server names, as in spec.parts[2].name; empty when it says nothing of it.
func (d Definition) Demands(version, field string) string {
	var schema any
	for _, v := range d.Versions {
		if v.Name == version {
			schema = v.Schema.OpenAPIV3Schema
		}
	}
	for _, step := range strings.Split(index.ReplaceAllString(field, ".[]"), ".") {
		node, _ := schema.(map[string]any)
		if step == "[]" {
			if schema = node["items"]; schema == nil {
				schema = node["additionalProperties"]
			}
			continue
		}
		properties, _ := node["properties"].(map[string]any)
		schema = properties[step]
	}
	node, _ := schema.(map[string]any)
	var demands []string
	for _, key := range slices.Sorted(maps.Keys(node)) {
		class := classes[key]
		if class == Rules || class == "" && !slices.Contains([]string{"properties", "items", "additionalProperties", "type"}, key) {
			demands = append(demands, key+" "+shown(node[key]))
		}
	}
	return strings.Join(demands, ", ")
}
