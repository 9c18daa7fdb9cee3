package reports

import (
	_ "embed"
	"reflect"
	"slices"
	"time"

	"github.com/restore-drill/restore-drill/internal/jsonschema"
)

// RecordSchemaVersion of a record of a history.
const RecordSchemaVersion = "restoredrill.io/history/v1alpha1"

// A Record is what a history keeps of one drill, whatever came out of it. Records are numbered from 1, and each holds the digest of the one before it: none can
// be changed or taken out without the next one telling.
type Record struct {
	// Schema is the format of this document; see RecordSchemaVersion.
	Schema   string `json:"schema"`
	Sequence int    `json:"sequence"`
	// Previous is the SHA-256 of the record before, byte for byte; absent in the first.
	Previous string    `json:"previous,omitempty"`
	Appended time.Time `json:"appended"`

	Drill    string `json:"drill"`
	Scenario string `json:"scenario"`
	// ScenarioSHA256 is the digest of the scenario's file: figures under one name compare as far as it is the same.
	ScenarioSHA256 string `json:"scenarioSHA256"`
	// Cadence that the scenario declares; absent when it declares none.
	Cadence  string    `json:"cadence,omitempty"`
	Provider string    `json:"provider"`
	Method   string    `json:"method"`
	Layers   []string  `json:"layers,omitempty"`
	Faults   []string  `json:"faults"`
	Started  time.Time `json:"started"`
	Seconds  float64   `json:"seconds"`
	RunBy    string    `json:"runBy"`
	JudgedBy string    `json:"judgedBy"`
	// Versions of the components, and the host that the figures were measured on.
	Versions map[string]string `json:"versions"`
	Host     Host              `json:"host"`

	Verdict    Verdict `json:"verdict"`
	Reason     string  `json:"reason"`
	AsDeclared bool    `json:"asDeclared"`
	// Figures are the objectives with what was measured of them.
	Figures []Objective `json:"figures"`
	// Report is the SHA-256 of report.json; Bundle that of the evidence bundle, where there is one.
	Report string `json:"report"`
	Bundle string `json:"bundle,omitempty"`

	// SHA256 is that of this record as it is written, with this field empty. It tells when the newest one was changed, which no other holds the digest of.
	SHA256 string `json:"sha256"`
}

// A Host by what matters to figures.
type Host struct {
	OS          string `json:"os"`
	Arch        string `json:"arch"`
	CPUs        int    `json:"cpus"`
	MemoryBytes int64  `json:"memoryBytes"`
}

// NewRecord is the record of a report, whose report.json has this digest; not yet in any history.
func NewRecord(r *Report, digest string) Record {
	e := r.Environment
	record := Record{
		Schema: RecordSchemaVersion,
		Drill:  r.Drill.ID, Scenario: r.Drill.Scenario, ScenarioSHA256: Digest([]byte(r.Scenario)), Cadence: r.Drill.Cadence,
		Provider: r.Drill.Provider, Method: r.Drill.Method, Faults: slices.Concat([]string{}, r.Drill.Faults),
		Started: r.Drill.Started, Seconds: r.Drill.Seconds, RunBy: r.Drill.RunBy, JudgedBy: r.Drill.JudgedBy,
		Versions: e.Versions, Host: Host{e.OS, e.Arch, e.CPUs, e.MemoryBytes},
		Verdict: r.Verdict, Reason: cut(line(r.Reason), 4<<10), AsDeclared: r.Declared.AsDeclared, Figures: slices.Concat([]Objective{}, r.Objectives), Report: digest,
	}
	for _, l := range r.Layers {
		record.Layers = append(record.Layers, l.Method)
	}
	if record.Versions == nil {
		record.Versions = map[string]string{}
	}
	return record
}

// Figure of the objective of this name; nil when the record has none.
func (r Record) Figure(name string) *Objective {
	for i := range r.Figures {
		if r.Figures[i].Name == name {
			return &r.Figures[i]
		}
	}
	return nil
}

// RecordSchemaID names the JSON Schema of a record. It is a name, not an address to fetch.
const RecordSchemaID = "https://restoredrill.io/schemas/history-v1alpha1.json"

//go:embed record.go
var recordSource []byte

// RecordSchema is the JSON Schema of a record of a history, made from the types. It is shipped as record.schema.json.
func RecordSchema() ([]byte, error) {
	g, err := jsonschema.New(recordSource, reportSource)
	if err != nil {
		return nil, err
	}
	g.Define(reflect.TypeFor[Verdict](), &jsonschema.Schema{Type: "string", Enum: verdictNames[:]})
	doc, err := g.Document(RecordSchemaID, "restore-drill history record", reflect.TypeFor[Record]())
	if err != nil {
		return nil, err
	}
	doc.Definitions.Get("Record").Properties.Get("schema").Const = RecordSchemaVersion
	doc.Definitions.Get("Objective").Properties.Get("unit").Enum = vocabulary["Objective"]["unit"]
	return doc.Bytes()
}
