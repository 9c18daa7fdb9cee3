package reports

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	// oscalVersion of the model that WriteOSCAL writes.
	oscalVersion = "1.2.2"
	// oscalNamespace is that of our own properties.
	oscalNamespace = "https://restoredrill.io/ns/oscal"
)

// Assessment results of NIST's OSCAL, as far as a drill has any.
type (
	oscalDocument struct {
		Results oscalAssessment `json:"assessment-results"`
	}
	oscalAssessment struct {
		UUID        string            `json:"uuid"`
		Metadata    oscalMetadata     `json:"metadata"`
		ImportAP    oscalHref         `json:"import-ap"`
		Definitions *oscalDefinitions `json:"local-definitions,omitempty"`
		Results     []oscalResult     `json:"results"`
		BackMatter  oscalBackMatter   `json:"back-matter"`
	}
	oscalMetadata struct {
		Title        string    `json:"title"`
		LastModified time.Time `json:"last-modified"`
		Version      string    `json:"version"`
		OSCALVersion string    `json:"oscal-version"`
	}
	oscalHref struct {
		Href        string `json:"href"`
		Description string `json:"description,omitempty"`
		Remarks     string `json:"remarks,omitempty"`
	}
	oscalDefinitions struct {
		Objectives []oscalObjective `json:"objectives-and-methods"`
	}
	oscalObjective struct {
		ControlID string      `json:"control-id"`
		Parts     []oscalPart `json:"parts"`
	}
	oscalPart struct {
		ID    string `json:"id"`
		Name  string `json:"name"`
		Prose string `json:"prose"`
	}
	oscalProperty struct {
		Name  string `json:"name"`
		NS    string `json:"ns"`
		Value string `json:"value"`
	}
	oscalResult struct {
		UUID             string             `json:"uuid"`
		Title            string             `json:"title"`
		Description      string             `json:"description"`
		Start            time.Time          `json:"start"`
		End              time.Time          `json:"end"`
		Props            []oscalProperty    `json:"props"`
		ReviewedControls oscalReviewed      `json:"reviewed-controls"`
		Observations     []oscalObservation `json:"observations,omitempty"`
		Findings         []oscalFinding     `json:"findings,omitempty"`
		Remarks          string             `json:"remarks,omitempty"`
	}
	oscalReviewed struct {
		Selections []oscalSelection `json:"control-selections"`
	}
	oscalSelection struct {
		Description string           `json:"description"`
		Include     []oscalControlID `json:"include-controls,omitempty"`
	}
	oscalControlID struct {
		ControlID string `json:"control-id"`
	}
	oscalObservation struct {
		UUID        string          `json:"uuid"`
		Title       string          `json:"title"`
		Description string          `json:"description"`
		Props       []oscalProperty `json:"props"`
		Methods     []string        `json:"methods"`
		Evidence    []oscalHref     `json:"relevant-evidence,omitempty"`
		Collected   time.Time       `json:"collected"`
	}
	oscalFinding struct {
		UUID         string         `json:"uuid"`
		Title        string         `json:"title"`
		Description  string         `json:"description"`
		Target       oscalTarget    `json:"target"`
		Observations []oscalRelated `json:"related-observations"`
		Remarks      string         `json:"remarks"`
	}
	oscalTarget struct {
		Type   string      `json:"type"`
		ID     string      `json:"target-id"`
		Status oscalStatus `json:"status"`
	}
	oscalStatus struct {
		State  string `json:"state"`
		Reason string `json:"reason"`
	}
	oscalRelated struct {
		UUID string `json:"observation-uuid"`
	}
	oscalBackMatter struct {
		Resources []oscalResource `json:"resources"`
	}
	oscalResource struct {
		UUID        string      `json:"uuid"`
		Title       string      `json:"title"`
		Description string      `json:"description"`
		Links       []oscalLink `json:"rlinks"`
	}
	oscalLink struct {
		Href   string      `json:"href"`
		Hashes []oscalHash `json:"hashes"`
	}
	oscalHash struct {
		Algorithm string `json:"algorithm"`
		Value     string `json:"value"`
	}
)

// ErrNoControls is why a report has no form in OSCAL.
var ErrNoControls = errors.New("write OSCAL: assessment results are about controls, and the scenario names none: set its spec.controls, for example [nist800-53:CP-9]")

// WriteOSCAL writes the report as OSCAL assessment results, the same for the same report. Each check is an observation. A finding is about one
// statement of a control that the scenario names, as an objective of our own: satisfied where the run supports it, not satisfied where a check
// that it rests on failed. What the drill could not tell is no finding, and none is about a control as a whole.
func WriteOSCAL(w io.Writer, r *Report) error {
	if r == nil {
		return errors.New("write OSCAL: there is no report")
	}
	if len(r.Controls) == 0 {
		return ErrNoControls
	}
	id := func(what ...string) string {
		return uuid.NewSHA1(uuid.NameSpaceURL, []byte(strings.Join(append([]string{oscalNamespace, r.Drill.ID}, what...), "/"))).String()
	}
	start := r.Drill.Started.UTC()
	end := start.Add(time.Duration(r.Drill.Seconds * float64(time.Second)))
	plan := sha256.Sum256([]byte(r.Scenario))
	doc := oscalAssessment{
		UUID:     id("assessment-results"),
		Metadata: oscalMetadata{Title: "Restore drill " + oscalText(r.Drill.Scenario), LastModified: end, Version: oscalText(r.Drill.ID), OSCALVersion: oscalVersion},
		ImportAP: oscalHref{Href: "#" + id("scenario"), Remarks: "The plan of the drill is its scenario. It is no OSCAL assessment plan."},
		BackMatter: oscalBackMatter{[]oscalResource{{
			UUID: id("scenario"), Title: "Scenario", Description: "What was to happen, and what had to hold, verbatim.",
			Links: []oscalLink{{"scenario.yaml", []oscalHash{{"SHA-256", hex.EncodeToString(plan[:])}}}},
		}}},
	}
	result := oscalResult{
		UUID: id("result"), Title: doc.Metadata.Title, Description: oscalText(r.Reason), Start: start, End: end,
		Props: []oscalProperty{property("verdict", r.Verdict.String()), property("provider", r.Drill.Provider), property("backup-method", r.Drill.Method),
			property("run-by", r.Drill.RunBy), property("judged-by", r.Drill.JudgedBy)},
		Remarks: strings.Join(append([]string{"What this run does not show:"}, r.Limits...), "\n\n"),
	}
	for _, o := range r.Objectives {
		if o.Measured != nil {
			result.Props = append(result.Props, property("measured-"+o.Name, figure(o.Unit, *o.Measured)))
		}
		if o.Target != nil {
			result.Props = append(result.Props, property("objective-"+o.Name, figure(o.Unit, *o.Target)))
		}
	}
	for _, c := range r.Checks {
		o := oscalObservation{UUID: id("check", c.Name), Title: oscalText(c.Title), Description: oscalText(c.Reason), Props: []oscalProperty{property("check", c.Name), property("verdict", c.Verdict.String())},
			Methods: []string{"TEST"}, Collected: end}
		for _, file := range c.Evidence {
			o.Evidence = append(o.Evidence, oscalHref{Href: file, Description: "A file of the run directory."})
		}
		result.Observations = append(result.Observations, o)
	}
	result.ReviewedControls = oscalReviewed{[]oscalSelection{oscalSelect(r.Controls)}}
	for _, c := range r.Controls {
		objective := oscalObjective{ControlID: oscalID(c.ID)}
		for _, s := range append(slices.Clone(c.Supports), c.NotSupported...) {
			part := oscalPart{ID: oscalID(strings.Replace(s.ID, "/", "_restore-drill.", 1)), Name: "assessment-objective", Prose: s.Says}
			objective.Parts = append(objective.Parts, part)
			if f, found := oscalFind(r, s, part.ID); found {
				f.UUID = id("finding", part.ID)
				for _, check := range s.Checks {
					f.Observations = append(f.Observations, oscalRelated{id("check", check)})
				}
				result.Findings = append(result.Findings, f)
			}
		}
		if doc.Definitions == nil {
			doc.Definitions = &oscalDefinitions{}
		}
		doc.Definitions.Objectives = append(doc.Definitions.Objectives, objective)
	}
	doc.Results = []oscalResult{result}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(oscalDocument{doc}); err != nil {
		return fmt.Errorf("write OSCAL: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// oscalFind is what the run found about a statement, if it found anything.
func oscalFind(r *Report, s ControlStatement, objective string) (f oscalFinding, ok bool) {
	f = oscalFinding{Title: short(s.Says, 100), Description: s.Says, Target: oscalTarget{"objective-id", objective, oscalStatus{"satisfied", "pass"}},
		Remarks: "This run supports evidence for the statement. Whether the control is met is for an assessor to say."}
	if s.Because == "" {
		return f, true
	}
	failed := slices.ContainsFunc(r.Checks, func(c Check) bool { return c.Verdict == Failed && slices.Contains(s.Checks, c.Name) })
	f.Target.Status = oscalStatus{"not-satisfied", "fail"}
	f.Remarks = "This run is evidence against the statement: " + oscalText(s.Because) + "."
	return f, failed && r.Verdict == Failed
}

func oscalSelect(controls []Control) oscalSelection {
	s := oscalSelection{Description: "The controls that the scenario names. Their identifiers are those of NIST's catalogue, or of their own framework with its name before them."}
	for _, c := range controls {
		s.Include = append(s.Include, oscalControlID{oscalID(c.ID)})
	}
	return s
}

// oscalID of a control: as in NIST's catalogue of SP 800-53, such as cp-9; for others a token of ours, such as soc2.A1.2.
func oscalID(id string) string {
	framework, control, _ := strings.Cut(id, ":")
	if framework == "nist800-53" {
		return strings.ToLower(control)
	}
	return framework + "." + control
}

func property(name, value string) oscalProperty {
	return oscalProperty{fileName(name), oscalNamespace, oscalText(value)}
}

// text for a field that may not be empty.
func oscalText(s string) string {
	if s = line(s); s == "" {
		return "unknown"
	}
	return s
}
