// Package jsonschema describes Go types as JSON Schema, so that a document's schema cannot drift from the types that read
// it: names and optionality come from the json tags, descriptions from the doc comments of the types' own source.
//
// The schemas are written in draft-07, which is what editors and most validators read. Objects are closed: a key that no
// field has is an error.
//
// To describe a type that marshals itself, give Define its schema; to narrow what a field accepts, change the property of
// the definition that Type returned.
package jsonschema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"reflect"
	"strings"
	"time"
)

// Draft is the dialect.
const Draft = "http://json-schema.org/draft-07/schema#"

// A Schema is one JSON Schema, or a part of one. Only the keywords that this module uses are here.
type Schema struct {
	Schema      string    `json:"$schema,omitempty"`
	ID          string    `json:"$id,omitempty"`
	Title       string    `json:"title,omitempty"`
	Description string    `json:"description,omitempty"`
	Ref         string    `json:"$ref,omitempty"`
	AllOf       []*Schema `json:"allOf,omitempty"`
	AnyOf       []*Schema `json:"anyOf,omitempty"`
	OneOf       []*Schema `json:"oneOf,omitempty"`
	If          *Schema   `json:"if,omitempty"`
	Then        *Schema   `json:"then,omitempty"`
	Type        string    `json:"type,omitempty"`
	Const       any       `json:"const,omitempty"`
	Enum        []string  `json:"enum,omitempty"`
	Default     any       `json:"default,omitempty"`
	Examples    []any     `json:"examples,omitempty"`
	Format      string    `json:"format,omitempty"`
	Pattern     string    `json:"pattern,omitempty"`
	MinLength   int       `json:"minLength,omitempty"`
	MaxLength   int       `json:"maxLength,omitempty"`
	Minimum     *float64  `json:"minimum,omitempty"`
	Maximum     *float64  `json:"maximum,omitempty"`

	ExclusiveMinimum *float64 `json:"exclusiveMinimum,omitempty"`

	Properties    Properties `json:"properties,omitempty"`
	Required      []string   `json:"required,omitempty"`
	MinProperties int        `json:"minProperties,omitempty"`
	MaxProperties int        `json:"maxProperties,omitempty"`
	// AdditionalProperties is a *Schema or a bool.
	AdditionalProperties any     `json:"additionalProperties,omitempty"`
	Items                *Schema `json:"items,omitempty"`
	MinItems             int     `json:"minItems,omitempty"`

	Definitions Properties `json:"definitions,omitempty"`
}

// Properties are named schemas in the order in which the fields are declared.
type Properties []Property

// A Property is a named schema.
type Property struct {
	Name string
	*Schema
}

// Get returns the schema of a name, or nil.
func (ps Properties) Get(name string) *Schema {
	for _, p := range ps {
		if p.Name == name {
			return p.Schema
		}
	}
	return nil
}

// MarshalJSON writes an object that keeps the order.
func (ps Properties) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, p := range ps {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := marshal(p.Name)
		if err != nil {
			return nil, err
		}
		value, err := marshal(p.Schema)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// Bytes of the schema as a file: indented, with a final newline.
func (s *Schema) Bytes() ([]byte, error) {
	b, err := marshal(s)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", "  "); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// marshal leaves <, > and & readable: a schema is never embedded in HTML.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// A Generator collects the definitions of a document's types.
type Generator struct {
	docs        map[string]string // package.Type and package.Type.Field
	own         map[reflect.Type]*Schema
	names       map[string]reflect.Type
	definitions Properties
}

// New reads the doc comments of Go source files, which may be of several packages.
func New(sources ...[]byte) (*Generator, error) {
	g := &Generator{docs: map[string]string{}, own: map[reflect.Type]*Schema{}, names: map[string]reflect.Type{}}
	g.own[reflect.TypeFor[time.Time]()] = &Schema{Type: "string", Format: "date-time"}
	for _, src := range sources {
		file, err := parser.ParseFile(token.NewFileSet(), "", src, parser.ParseComments)
		if err != nil {
			return nil, fmt.Errorf("parse source for its doc comments: %w", err)
		}
		for _, decl := range file.Decls {
			if d, ok := decl.(*ast.GenDecl); ok && d.Tok == token.TYPE {
				g.read(file.Name.Name, d)
			}
		}
	}
	return g, nil
}

func (g *Generator) read(pkg string, d *ast.GenDecl) {
	for _, spec := range d.Specs {
		t := spec.(*ast.TypeSpec)
		doc := t.Doc
		if doc == nil {
			doc = d.Doc
		}
		name := pkg + "." + t.Name.Name
		g.docs[name] = text(doc)
		s, ok := t.Type.(*ast.StructType)
		if !ok {
			continue
		}
		for _, f := range s.Fields.List {
			doc := f.Doc
			if doc == nil {
				doc = f.Comment
			}
			for _, id := range f.Names {
				g.docs[name+"."+id.Name] = text(doc)
			}
		}
	}
}

// text of a comment on one line.
func text(c *ast.CommentGroup) string { return strings.Join(strings.Fields(c.Text()), " ") }

// Define gives the schema of a type that marshals itself. It is used in place, without a definition.
func (g *Generator) Define(t reflect.Type, s *Schema) { g.own[t] = s }

// Document is the schema of a whole document.
func (g *Generator) Document(id, title string, root reflect.Type) (*Schema, error) {
	s, err := g.Type(root)
	if err != nil {
		return nil, err
	}
	return &Schema{Schema: Draft, ID: id, Title: title, Description: s.Description,
		AllOf: []*Schema{{Ref: "#/definitions/" + root.Name()}}, Definitions: g.definitions}, nil
}

// Type is the definition of a struct type. What is changed in it shows in the document.
func (g *Generator) Type(t reflect.Type) (*Schema, error) {
	name := t.Name()
	if t.Kind() != reflect.Struct || name == "" {
		return nil, fmt.Errorf("describe %s: not a named struct type", t)
	}
	if known, ok := g.names[name]; ok {
		if known != t {
			return nil, fmt.Errorf("describe %s and %s: two types of one document have the same name", known, t)
		}
		return g.definitions.Get(name), nil
	}
	full := path.Base(t.PkgPath()) + "." + name
	s := &Schema{Description: g.docs[full], Type: "object", AdditionalProperties: false}
	g.names[name] = t
	g.definitions = append(g.definitions, Property{name, s})
	return s, g.properties(s, t)
}

// properties are a struct's fields, those of embedded structs in their place among them.
func (g *Generator) properties(s *Schema, t reflect.Type) error {
	full := path.Base(t.PkgPath()) + "." + t.Name()
	for i := range t.NumField() {
		f := t.Field(i)
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && f.Type.Kind() == reflect.Struct && tag == "" {
			if err := g.properties(s, f.Type); err != nil {
				return err
			}
			continue
		}
		if !f.IsExported() || tag == "-" {
			continue
		}
		if tag == "" {
			tag = f.Name
		}
		p, err := g.value(f.Type)
		if err != nil {
			return fmt.Errorf("describe %s.%s: %w", t, f.Name, err)
		}
		if doc := g.docs[full+"."+f.Name]; doc != "" {
			// What stands beside a $ref is ignored in draft-07.
			if p.Ref != "" {
				p = &Schema{AllOf: []*Schema{p}}
			}
			p.Description = doc
		}
		s.Properties = append(s.Properties, Property{tag, p})
		if !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero") {
			s.Required = append(s.Required, tag)
		}
	}
	return nil
}

// value is a new schema each time, so that one property may be changed without the others.
func (g *Generator) value(t reflect.Type) (*Schema, error) {
	if own, ok := g.own[t]; ok {
		s := *own
		return &s, nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		return g.value(t.Elem())
	case reflect.Struct:
		if _, err := g.Type(t); err != nil {
			return nil, err
		}
		return &Schema{Ref: "#/definitions/" + t.Name()}, nil
	case reflect.Slice, reflect.Array:
		items, err := g.value(t.Elem())
		if err != nil {
			return nil, err
		}
		return &Schema{Type: "array", Items: items}, nil
	case reflect.Map:
		if t.Key().Kind() != reflect.String {
			return nil, fmt.Errorf("a map with keys of type %s", t.Key())
		}
		values, err := g.value(t.Elem())
		if err != nil {
			return nil, err
		}
		return &Schema{Type: "object", AdditionalProperties: values}, nil
	case reflect.String:
		return &Schema{Type: "string"}, nil
	case reflect.Bool:
		return &Schema{Type: "boolean"}, nil
	case reflect.Float32, reflect.Float64:
		return &Schema{Type: "number"}, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return &Schema{Type: "integer"}, nil
	case reflect.Interface:
		return &Schema{}, nil
	}
	return nil, fmt.Errorf("a field of type %s", t)
}
