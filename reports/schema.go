package reports

import (
	_ "embed"
	"reflect"

	"github.com/restore-drill/restore-drill/internal/jsonschema"
)

//go:generate go test . -run TestSchemaIsUpToDate -update

// The descriptions in the schema are the doc comments of the types.
//
//go:embed report.go
var reportSource []byte

// SchemaID names the JSON Schema of report.json. It is a name, not an address to fetch.
const SchemaID = "https://restoredrill.io/schemas/report-v1alpha1.json"

// Words that a string field of the report may hold.
var vocabulary = map[string]map[string][]string{
	"Objective":        {"unit": {"s", "writes", "records", "profile"}},
	"Difference":       {"class": {"lost", "extra", "changed", "expected"}},
	"FieldChange":      {"class": {"lost", "extra", "changed"}},
	"ProbeAnswer":      {"cluster": {"source", "restored"}},
	"AccessDifference": {"change": {"lost", "gained"}},
	"MissingObject":    {"state": {"absent", "replaced", "unseen"}, "since": {"lost", "before", "new", "undetermined"}},
}

// Schema is the JSON Schema of report.json, made from the types. It is shipped as report.schema.json.
func Schema() ([]byte, error) {
	g, err := jsonschema.New(reportSource)
	if err != nil {
		return nil, err
	}
	g.Define(reflect.TypeFor[Verdict](), &jsonschema.Schema{Type: "string", Enum: verdictNames[:]})
	doc, err := g.Document(SchemaID, "restore-drill report", reflect.TypeFor[Report]())
	if err != nil {
		return nil, err
	}
	report := doc.Definitions.Get("Report")
	report.Properties.Get("schema").Const = SchemaVersion
	for name, fields := range vocabulary {
		for field, words := range fields {
			doc.Definitions.Get(name).Properties.Get(field).Enum = words
		}
	}
	return doc.Bytes()
}
