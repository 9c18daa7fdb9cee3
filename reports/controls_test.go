package reports

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	validator "github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
)

func TestMappings(t *testing.T) {
	names := ControlNames()
	require.ElementsMatch(t, []string{"soc2:A1.2", "soc2:A1.3", "iso27001:A.8.13", "iso27001:A.5.30", "nist800-53:CP-4", "nist800-53:CP-9", "nist800-53:CP-10", "dora:11", "dora:12", "cis:11.5"}, names)
	for _, m := range mappings() {
		require.NotEmpty(t, m.Framework)
		require.NotEmpty(t, m.Source)
		for _, c := range m.Controls {
			require.NotEmpty(t, c.Title)
			require.NotEmpty(t, c.Supports)
			require.NotEmpty(t, c.DoesNotShow, "%s: no drill shows all of a control", c.ID)
			for _, s := range c.Supports {
				require.NotEmpty(t, s.Checks, "%s: %s", c.ID, s.Says)
				require.NotRegexp(t, regexp.MustCompile(`(?i)complian|conform|certif|fulfil|satisf`), s.Says, "the tool claims no control")
			}
		}
	}
}

// allChecksPassed is a passed report with the checks that the mappings rest on.
func allChecksPassed() *Report {
	r := passedReport()
	seen := map[string]bool{}
	for _, c := range r.Checks {
		seen[c.Name] = true
	}
	for _, m := range mappings() {
		for _, c := range m.Controls {
			for _, s := range c.Supports {
				for _, check := range s.Checks {
					if !seen[check] {
						seen[check] = true
						r.Checks = append(r.Checks, Check{Name: check, Title: "Is it so?", Verdict: Passed, Reason: "It is."})
					}
				}
			}
		}
	}
	return r
}

func TestWhatARunSupports(t *testing.T) {
	r := allChecksPassed()
	for _, c := range MapControls(r, ControlNames()) {
		require.NotEmpty(t, c.Supports, c.ID)
		require.Empty(t, c.NotSupported, c.ID)
	}
	require.Empty(t, MapControls(r, nil), "the scenario names them")
	require.Empty(t, MapControls(r, []string{"soc2:Z9"}))

	// A check that was skipped, or is not there, takes away what rests on it, and nothing else.
	for i, c := range r.Checks {
		if c.Name == "access" {
			r.Checks[i].Verdict = Skipped
		}
	}
	c := MapControls(r, []string{"soc2:A1.3"})[0]
	require.Len(t, c.Supports, 2)
	require.Equal(t, []ControlStatement{{ID: "soc2:A1.3/3", Says: "The completeness of what was recovered was tested.",
		Checks: []string{"fidelity", "ledger", "readiness", "access"}, Because: "access is skipped"}}, c.NotSupported)
	r.Checks = nil
	c = MapControls(r, []string{"soc2:A1.3"})[0]
	require.Empty(t, c.Supports)
	require.Equal(t, "phases was not judged, freshness was not judged", c.NotSupported[0].Because)

	// Nothing is supported by a drill that did not pass, whatever its checks say.
	for _, verdict := range []Verdict{Failed, Unknown, Skipped, Verdict(17)} {
		r := allChecksPassed()
		r.Verdict = verdict
		for _, c := range MapControls(r, ControlNames()) {
			require.Empty(t, c.Supports, "%s: %s", verdict, c.ID)
			require.Equal(t, "the drill is "+verdict.String(), c.NotSupported[0].Because)
		}
	}
}

// TestOSCAL validates assessment results against NIST's schema.
func TestOSCAL(t *testing.T) {
	dir := os.Getenv("RESTORE_DRILL_SCHEMAS")
	if dir == "" {
		t.Skip("RESTORE_DRILL_SCHEMAS is not set: no schema of OSCAL to validate against")
	}
	files, err := filepath.Glob(filepath.Join(dir, "oscal_complete_schema-*.json"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	schema, err := validator.NewCompiler().Compile(files[0])
	require.NoError(t, err)
	valid := func(b []byte) error {
		doc, err := validator.UnmarshalJSON(bytes.NewReader(b))
		require.NoError(t, err)
		return schema.Validate(doc)
	}
	failed := failedReport()
	for name, r := range map[string]*Report{"passed": allChecksPassed(), "failed": failed, "unknown": unknownReport(), "hostile": hostileReport()} {
		t.Run(name, func(t *testing.T) {
			r.Controls = MapControls(r, ControlNames())
			var b bytes.Buffer
			require.NoError(t, WriteOSCAL(&b, r))
			require.NoError(t, valid(b.Bytes()))
			r.Controls = r.Controls[:1]
			b.Reset()
			require.NoError(t, WriteOSCAL(&b, r))
			require.NoError(t, valid(b.Bytes()))
		})
	}
	var b bytes.Buffer
	require.NoError(t, WriteOSCAL(&b, failed))
	require.NoError(t, valid(b.Bytes()))
	require.Error(t, valid(bytes.Replace(b.Bytes(), []byte(`"uuid"`), []byte(`"uid"`), 1)), "the schema can be violated")
}

func TestOSCALFindings(t *testing.T) {
	require.EqualError(t, WriteOSCAL(&bytes.Buffer{}, nil), "write OSCAL: there is no report")
	require.ErrorIs(t, WriteOSCAL(&bytes.Buffer{}, passedReport()), ErrNoControls)
	states := func(r *Report, controls ...string) (doc oscalDocument, states map[string]int) {
		r.Controls = MapControls(r, controls)
		var b, again bytes.Buffer
		require.NoError(t, WriteOSCAL(&b, r))
		require.NoError(t, WriteOSCAL(&again, r))
		require.Equal(t, b.String(), again.String())
		require.NoError(t, json.Unmarshal(b.Bytes(), &doc))
		states = map[string]int{}
		for _, f := range doc.Results.Results[0].Findings {
			states[f.Target.Status.State]++
		}
		return doc, states
	}
	doc, found := states(allChecksPassed(), "nist800-53:CP-9", "soc2:A1.3")
	require.Equal(t, map[string]int{"satisfied": 5}, found)
	require.Equal(t, []oscalControlID{{"cp-9"}, {"soc2.A1.3"}}, doc.Results.Results[0].ReviewedControls.Selections[0].Include)
	require.Equal(t, "cp-9_restore-drill.1", doc.Results.Results[0].Findings[0].Target.ID)
	require.Equal(t, "2026-11-20T09:30:00Z", doc.Results.Results[0].Start.Format("2006-01-02T15:04:05Z07:00"))

	// Of a failed drill only what failed is found; what could not be seen is no finding.
	doc, found = states(failedReport(), "nist800-53:CP-10", "nist800-53:CP-4")
	require.Equal(t, map[string]int{"not-satisfied": 3}, found)
	require.Contains(t, doc.Results.Results[0].Findings[0].Remarks, "This run is evidence against the statement: the drill is failed.")
	_, found = states(unknownReport(), ControlNames()...)
	require.Empty(t, found, "a drill that could not tell finds nothing")

	other := passedReport()
	other.Drill.ID = "another"
	first, _ := states(passedReport(), "dora:12")
	second, _ := states(other, "dora:12")
	require.NotEqual(t, first.Results.UUID, second.Results.UUID)
	require.True(t, strings.HasPrefix(first.Results.ImportAP.Href, "#") && first.Results.ImportAP.Href[1:] == first.Results.BackMatter.Resources[0].UUID)
}

// TestControlsInOtherFormats finds what a run supports, and what it does not, in each format for people.
func TestControlsInOtherFormats(t *testing.T) {
	for format, write := range map[string]func(io.Writer, *Report) error{"markdown": WriteMarkdown, "comment": WriteComment, "html": WriteHTML} {
		r := allChecksPassed()
		r.Controls = MapControls(r, []string{"soc2:A1.3"})
		var b bytes.Buffer
		require.NoError(t, write(&b, r))
		require.Contains(t, strings.ToLower(b.String()), "supports evidence for", format)
		require.NotContains(t, strings.ToLower(b.String()), "does not support", format)
		require.Contains(t, strings.ToLower(b.String()), "does not show", format)
		r.Verdict = Failed
		r.Controls = MapControls(r, []string{"soc2:A1.3"})
		b.Reset()
		require.NoError(t, write(&b, r))
		require.Contains(t, strings.ToLower(b.String()), "does not support", format)
		require.Contains(t, strings.ToLower(b.String()), "the drill is failed", format)
	}
}
