package scenarios

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/restore-drill/restore-drill/internal/jsonschema"
)

// Explain says in words what a scenario file may hold at a path such as spec.backup.velero, and what that means; at the empty path, of the whole
// file. It says what the JSON Schema says. A recursive one names all fields below, without what they mean.
func Explain(v Vocabulary, path string, recursive bool) (string, error) {
	doc, err := schema(v)
	if err != nil {
		return "", err
	}
	e := explainer{doc.Definitions}
	at := jsonschema.Property{Schema: e.definitions.Get(reflect.TypeFor[Scenario]().Name())}
	walked := ""
	for step := range strings.SplitSeq(indices.ReplaceAllString(path, ""), ".") {
		if step == "" {
			continue
		}
		fields := e.fields(at.Schema)
		i := slices.IndexFunc(fields, func(p jsonschema.Property) bool { return p.Name == step })
		if i < 0 {
			return "", errors.New(e.noField(walked, step, fields))
		}
		at, walked = fields[i], join(walked, step)
	}
	var b strings.Builder
	if walked == "" {
		walked = Kind
	}
	fmt.Fprintf(&b, "FIELD: %s <%s>\n\nDESCRIPTION:\n%s", walked, e.typeOf(at.Schema), indented(e.describe(at.Schema)))
	if limits := e.limits(at.Schema); limits != "" {
		b.WriteString(indented(limits))
	}
	e.list(&b, at.Schema, recursive)
	return b.String(), nil
}

// ExplainParameters says in words what the fault of a name means, and which parameters it takes.
func ExplainParameters(v Vocabulary, fault string) (string, error) {
	parameters, ok := v.Faults[fault]
	if !ok {
		return "", errors.New(Unknown("fault", fault, v.faultNames()))
	}
	doc, err := schema(v)
	if err != nil {
		return "", err
	}
	e := explainer{doc.Definitions}
	at := e.definitions.Get(reflect.TypeOf(parameters).Elem().Name())
	var b strings.Builder
	fmt.Fprintf(&b, "FAULT: %s\n\nDESCRIPTION:\n%s", fault, indented(at.Description))
	e.list(&b, at, false)
	return b.String(), nil
}

// Fields are the paths of all fields that Explain explains.
func Fields(v Vocabulary) (paths []string) {
	doc, err := schema(v)
	if err != nil {
		return nil
	}
	e := explainer{doc.Definitions}
	e.visit(e.definitions.Get(reflect.TypeFor[Scenario]().Name()), "", nil, func(path string, _ *jsonschema.Schema) { paths = append(paths, path) })
	return paths
}

var indices = regexp.MustCompile(`\[\d*\]`)

// An explainer knows the definitions that schemas refer to.
type explainer struct{ definitions jsonschema.Properties }

// noField names the fields that are there, or the one of spec that may have been meant.
func (e explainer) noField(walked, step string, fields jsonschema.Properties) string {
	if len(fields) == 0 {
		return fmt.Sprintf("%s has no fields, and so no %s", walked, step)
	}
	if walked == "" && e.definitions.Get(reflect.TypeFor[Spec]().Name()).Properties.Get(step) != nil {
		return fmt.Sprintf("a scenario has no field %s (did you mean spec.%s?)", step, step)
	}
	var names []string
	for _, f := range fields {
		names = append(names, f.Name)
	}
	where := ""
	if walked != "" {
		where = " of " + walked
	}
	return Unknown("field"+where, step, names)
}

// resolve follows a reference, and goes into the items of a list and the values of a map, whose fields are spoken of as if they were its own.
func (e explainer) resolve(s *jsonschema.Schema) *jsonschema.Schema {
	switch {
	case s == nil:
		return &jsonschema.Schema{}
	case s.Ref != "":
		return e.resolve(e.definitions.Get(strings.TrimPrefix(s.Ref, "#/definitions/")))
	case s.Type == "" && len(s.AllOf) == 1:
		return e.resolve(s.AllOf[0])
	case s.Type == "array":
		return e.resolve(s.Items)
	}
	if values, ok := s.AdditionalProperties.(*jsonschema.Schema); ok && len(s.Properties) == 0 {
		return e.resolve(values)
	}
	return s
}

func (e explainer) fields(s *jsonschema.Schema) jsonschema.Properties { return e.resolve(s).Properties }

// typeOf is written as Go writes types, with Object for a structure.
func (e explainer) typeOf(s *jsonschema.Schema) string {
	switch {
	case s.Ref != "", s.Type == "" && len(s.AllOf) == 1:
		return "Object"
	case s.Type == "array":
		return "[]" + e.typeOf(s.Items)
	case s.Type == "":
		return "any"
	case s.Type == "object":
		if values, ok := s.AdditionalProperties.(*jsonschema.Schema); ok {
			return "map[string]" + e.typeOf(values)
		}
		return "Object"
	}
	return s.Type
}

// describe a field by its own words, and by those of its type where they say more.
func (e explainer) describe(s *jsonschema.Schema) string {
	own, target := s.Description, e.resolve(s)
	if target == s || target.Description == "" || target.Description == own {
		return own
	}
	return strings.TrimSpace(own + "\n" + target.Description)
}

// limits are the values that a field takes.
func (e explainer) limits(s *jsonschema.Schema) string {
	of := s
	if s.Type == "array" && s.Items != nil {
		of = s.Items
	}
	var all []string
	if len(of.Enum) > 0 {
		all = append(all, "One of: "+strings.Join(of.Enum, ", ")+".")
	}
	if len(of.AnyOf) > 0 {
		var values []string
		for _, one := range of.AnyOf {
			if one.Const != nil {
				values = append(values, asJSON(one.Const))
			}
		}
		if len(values) > 0 {
			all = append(all, "One of: "+strings.Join(values, ", ")+".")
		}
	}
	if len(of.Enum) == 0 && len(of.Examples) > 0 {
		var examples []string
		for _, one := range of.Examples {
			examples = append(examples, fmt.Sprint(one))
		}
		all = append(all, "For example: "+strings.Join(examples, ", ")+".")
	}
	if of.Minimum != nil {
		all = append(all, fmt.Sprintf("At least %g.", *of.Minimum))
	}
	if of.ExclusiveMinimum != nil {
		all = append(all, fmt.Sprintf("Above %g.", *of.ExclusiveMinimum))
	}
	if of.Maximum != nil {
		all = append(all, fmt.Sprintf("At most %g.", *of.Maximum))
	}
	if s.Default != nil {
		all = append(all, "Default: "+asJSON(s.Default)+".")
	}
	return strings.Join(all, " ")
}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

// list the fields below.
func (e explainer) list(b *strings.Builder, s *jsonschema.Schema, recursive bool) {
	fields := e.fields(s)
	if len(fields) == 0 {
		return
	}
	b.WriteString("\nFIELDS:\n")
	if recursive {
		e.visit(s, "", nil, func(path string, f *jsonschema.Schema) {
			steps := strings.Split(path, ".")
			fmt.Fprintf(b, "%s%s <%s>\n", strings.Repeat("  ", len(steps)), steps[len(steps)-1], e.typeOf(f))
		})
		return
	}
	required := e.resolve(s).Required
	for _, f := range fields {
		mark := ""
		if slices.Contains(required, f.Name) {
			mark = " -required-"
		}
		fmt.Fprintf(b, "  %s <%s>%s\n%s", f.Name, e.typeOf(f.Schema), mark, indented(e.describe(f.Schema)))
		b.WriteString(indented(e.limits(f.Schema)))
	}
}

// visit all fields below, each before those within it; above are the structures that it is in, so that one which holds itself ends.
func (e explainer) visit(s *jsonschema.Schema, path string, above []*jsonschema.Schema, field func(path string, s *jsonschema.Schema)) {
	at := e.resolve(s)
	if slices.Contains(above, at) {
		return
	}
	for _, f := range at.Properties {
		below := join(path, f.Name)
		field(below, f.Schema)
		e.visit(f.Schema, below, append(slices.Clip(above), at), field)
	}
}

// width of the lines of text.
const width = 96

// indented text, its lines no longer than width.
func indented(text string) string {
	var b strings.Builder
	for paragraph := range strings.SplitSeq(text, "\n") {
		line := ""
		for _, word := range strings.Fields(paragraph) {
			if line != "" && len(line)+1+len(word) > width {
				fmt.Fprintf(&b, "    %s\n", line)
				line = ""
			}
			line = strings.TrimSpace(line + " " + word)
		}
		if line != "" {
			fmt.Fprintf(&b, "    %s\n", line)
		}
	}
	return b.String()
}
