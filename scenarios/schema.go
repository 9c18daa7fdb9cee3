package scenarios

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/restore-drill/restore-drill/internal/jsonschema"
)

//go:generate go test . -run Schema -update

// SchemaURL is where editors find the JSON Schema; every scenario file names it in its first line.
const SchemaURL = "https://raw.githubusercontent.com/restore-drill/restore-drill/main/scenarios/schema.json"

// The descriptions in the schema are the doc comments of the types.
var (
	//go:embed scenario.go
	scenarioSource []byte
	//go:embed unit.go
	unitSource []byte
	//go:embed velero.go
	veleroSource []byte
)

// Schema is the JSON Schema of a scenario file, made from the types and from what a scenario may name. It is shipped as
// schema.json.
func Schema(v Vocabulary) ([]byte, error) {
	doc, err := schema(v)
	if err != nil {
		return nil, err
	}
	return doc.Bytes()
}

func schema(v Vocabulary) (*jsonschema.Schema, error) {
	g, err := jsonschema.New(append([][]byte{scenarioSource, unitSource, veleroSource}, v.Sources...)...)
	if err != nil {
		return nil, err
	}
	g.Define(reflect.TypeFor[Duration](), &jsonschema.Schema{Type: "string", Pattern: durationPattern.String(), Examples: []any{"30s", "1m30s"}})
	g.Define(reflect.TypeFor[Size](), &jsonschema.Schema{Type: "string", Pattern: sizePattern.String(), Examples: []any{"512B", "4Ki"}})
	g.Define(reflect.TypeFor[Capacity](), &jsonschema.Schema{Type: "string", Pattern: sizePattern.String(), Examples: []any{"512Ki", "64Mi"}})
	g.Define(nodeType.Elem(), &jsonschema.Schema{Type: "object"})
	g.Define(rawType, &jsonschema.Schema{})
	if _, err := g.Type(reflect.TypeFor[Scenario]()); err != nil {
		return nil, err
	}
	fault, err := g.Type(reflect.TypeFor[Fault]())
	if err != nil {
		return nil, err
	}
	defaults := []reflect.Value{defaulted()}
	for _, name := range v.faultNames() {
		parameters := reflect.ValueOf(v.Faults[name]).Elem()
		definition, err := g.Type(parameters.Type())
		if err != nil {
			return nil, fmt.Errorf("describe fault %s: %w", name, err)
		}
		fault.AllOf = append(fault.AllOf, whenNamed(name, parameters.Type().Name(), len(definition.Required) > 0))
		defaults = append(defaults, parameters)
	}
	doc, err := g.Document(SchemaURL, "restore-drill scenario", reflect.TypeFor[Scenario]())
	if err != nil {
		return nil, err
	}
	for _, v := range defaults {
		if err := setDefaults(doc.Definitions, v); err != nil {
			return nil, err
		}
	}
	limits := constraints(v)
	for _, definition := range doc.Definitions {
		for _, p := range definition.Properties {
			narrow(p.Schema, limits[definition.Name+"."+p.Name])
		}
		requireContent(definition.Schema)
	}
	for _, kind := range probeKinds {
		probe := doc.Definitions.Get("Probe")
		probe.OneOf = append(probe.OneOf, requires(kind))
	}
	backup, several := doc.Definitions.Get("Backup"), requires("count")
	several.Properties = jsonschema.Properties{{Name: "count", Schema: &jsonschema.Schema{Minimum: number(2)}}}
	backup.If, backup.Then = several, requires("every")
	return doc, nil
}

func requires(keys ...string) *jsonschema.Schema { return &jsonschema.Schema{Required: keys} }

// whenNamed gives the fault of a name its own parameters.
func whenNamed(name, definition string, required bool) *jsonschema.Schema {
	then := &jsonschema.Schema{Properties: jsonschema.Properties{{Name: "parameters", Schema: &jsonschema.Schema{Ref: "#/definitions/" + definition}}}}
	if required {
		then.Required = []string{"parameters"}
	}
	return &jsonschema.Schema{
		If:   &jsonschema.Schema{Properties: jsonschema.Properties{{Name: "name", Schema: &jsonschema.Schema{Const: name}}}},
		Then: then,
	}
}

// narrow a property to what its constraint allows.
func narrow(p *jsonschema.Schema, c constraint) {
	switch p.Type {
	case "array":
		p.MinItems = c.minItems
		narrow(p.Items, constraint{words: c.words})
		return
	case "object":
		if values, ok := p.AdditionalProperties.(*jsonschema.Schema); ok {
			narrow(values, constraint{words: c.words})
			if c.keys != nil {
				for _, key := range c.keys {
					p.Properties = append(p.Properties, jsonschema.Property{Name: key, Schema: values})
				}
				p.AdditionalProperties = false
			}
		}
		return
	}
	p.Enum = c.words
	if c.pattern != nil {
		p.Pattern = c.pattern.String()
	}
	for _, n := range c.numbers {
		p.AnyOf = append(p.AnyOf, &jsonschema.Schema{Const: n})
	}
	if p.Type == "integer" || p.Type == "number" {
		p.Minimum, p.Maximum = c.least, c.most
		if c.above {
			p.Minimum, p.ExclusiveMinimum = nil, c.least
		}
	}
}

// requireContent of what is required: an empty value is as good as none.
func requireContent(definition *jsonschema.Schema) {
	for _, key := range definition.Required {
		switch p := definition.Properties.Get(key); p.Type {
		case "string":
			if p.Enum == nil {
				p.MinLength = 1
			}
		case "array":
			p.MinItems = 1
		}
	}
}

// defaulted is the scenario that says no more than it must.
func defaulted() reflect.Value {
	var s Scenario
	s.Spec.Backup.Method = "etcd"
	Default(&s)
	s.Spec.Restore.EtcdMembers = 0 // follows the source's
	return reflect.ValueOf(s)
}

// setDefaults to what a struct holds when nothing is said.
func setDefaults(definitions jsonschema.Properties, v reflect.Value) error {
	for _, f := range fieldsOf(v.Type()) {
		value := reflect.Indirect(v.FieldByIndex(f.index))
		if !value.IsValid() || value.IsZero() {
			continue
		}
		if definitions.Get(value.Type().Name()) != nil {
			if err := setDefaults(definitions, value); err != nil {
				return err
			}
			continue
		}
		b, err := json.Marshal(value.Interface())
		if err != nil {
			return fmt.Errorf("describe the default of %s: %w", f.name, err)
		}
		if !f.required {
			definitions.Get(v.Type().Name()).Properties.Get(f.name).Default = json.RawMessage(b)
		}
	}
	return nil
}
