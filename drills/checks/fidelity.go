package checks

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/restore-drill/restore-drill/internal/census"
	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/internal/ledger"
	"github.com/restore-drill/restore-drill/reports"
)

// maxDifferences that a report lists, of the unexpected ones and of the expected ones each. All are counted.
const maxDifferences = 20_000

var fidelityCheck = Check{
	Name:       "fidelity",
	Title:      "Is every object back as it was at the time of the backup?",
	IfFailed:   "look at the fields under Fidelity: what may differ belongs into a rule of the profile, and all else into the backup",
	IfUnknown:  "see which census is not whole, and run the drill again: what was not read was not compared",
	Needs:      []string{evidence.CensusBeforeFile, evidence.CensusAfterFile},
	OfRestored: true,
	Judge: func(run *Run, r *reports.Report, c *reports.Check) {
		wanted := run.fidelityProfile()
		p := run.profile()
		if p == nil {
			unknown(c, "unknown fidelity profile %q (known: %s)", wanted, strings.Join(slices.Sorted(maps.Keys(profiles)), ", "))
			return
		}
		touched, told := run.touched(p)
		p = p.asked(run.Scenario.Spec.Restore.Velero).with(definitionRule)
		if run.upgraded() {
			p = p.with(versionRules...)
		}
		comparison := comparison{profile: p, touched: touched, rows: map[string]*reports.KindRow{}, ledger: run.ledgerWrites(), losses: map[string]int{},
			unreadable: run.survey(evidence.CensusAfterFile).tail.Unreadable, unread: map[string]int{}}
		if err := comparison.run(run.Dir); err != nil {
			unknown(c, "%s", run.local(firstLine(err.Error())))
			return
		}
		before, after := run.survey(evidence.CensusBeforeFile), run.survey(evidence.CensusAfterFile)
		f := &reports.Fidelity{Profile: p.name, Before: info(before), After: info(after)}
		for _, s := range []*survey{before, after} {
			for resource, n := range s.resources {
				comparison.rows[resource] = cmp.Or(comparison.rows[resource], &reports.KindRow{Resource: n.label})
			}
		}
		unexpected, expected, equal := 0, 0, 0
		for _, resource := range slices.Sorted(maps.Keys(comparison.rows)) {
			row := comparison.rows[resource]
			for _, side := range []struct {
				survey  *survey
				objects *int
			}{{before, &row.Before}, {after, &row.After}} {
				if n := side.survey.resources[resource]; n != nil {
					*side.objects = n.objects
				}
			}
			row.Equal = row.Before - row.Lost - row.Changed - comparison.expectedBefore[resource] - comparison.unread[resource]
			unexpected += row.Lost + row.Extra + row.Changed
			expected += row.Expected
			equal += row.Equal
			f.Kinds = append(f.Kinds, *row)
		}
		f.Differences = append(comparison.unexpected, comparison.expected...)
		f.Omitted = comparison.omitted
		r.Fidelity = f
		run.objectives["fidelity"] = reports.Objective{Measured: number(unexpected), Resolution: number(0),
			Method: fmt.Sprintf("differences between a census before (%s) and after (%s) that the profile %s does not allow", before.head.How, after.head.How, p.name)}

		for _, d := range comparison.unexpected {
			find(c, reports.Finding{Verdict: reports.Failed, Subject: d.Resource + " " + path.Join(d.Namespace, d.Name), Message: describe(d)})
		}
		c.Omitted = max(0, unexpected-len(c.Findings))
		unserved := missingResources(before, after)
		for _, resource := range unserved {
			find(c, reports.Finding{Verdict: reports.Failed, Subject: resource, Message: "is a resource that the restored cluster does not serve"})
		}
		for _, name := range slices.Sorted(maps.Keys(comparison.losses)) {
			i := slices.IndexFunc(p.rules, func(r rule) bool { return r.name == name })
			find(c, reports.Finding{Verdict: reports.Passed, Subject: name,
				Message: fmt.Sprintf("%s: %s", counted(comparison.losses[name], "object"), p.rules[i].because)})
		}
		var doubts []string
		for _, side := range []struct {
			name string
			*survey
		}{{"before", before}, {"after", after}} {
			for _, resource := range slices.Sorted(maps.Keys(side.tail.Unreadable)) {
				doubts = append(doubts, fmt.Sprintf("%s could not be read in the census %s: %s", resource, side.name, firstLine(side.tail.Unreadable[resource])))
			}
		}
		if before.tail.Entries == 0 {
			doubts = append(doubts, "the census before holds no object")
		}
		if why := run.atNoArtifact(before.head.Revision); why != "" {
			doubts = append(doubts, why)
		}
		if !told {
			doubts = append(doubts, "velero does not tell what it restored, so what it should have left as it was is not known")
		}
		if equal != comparison.equal {
			doubts = append(doubts, fmt.Sprintf("the censuses do not add up: %d objects are equal, and %d by kind", comparison.equal, equal))
		}
		for _, d := range doubts {
			find(c, reports.Finding{Message: d})
		}
		switch {
		case unexpected > 0:
			failed(c, "%s not as at the time of the backup, first %s", counted(unexpected, "object"), summary(c.Findings[0]))
		case len(unserved) > 0:
			failed(c, "%s not served by the restored cluster, first %s", counted(len(unserved), "resource"), unserved[0])
		case len(doubts) > 0:
			unknown(c, "%s", doubts[0])
		default:
			passed(c, "%d objects came back as they were, and %s as profile %s allows", equal, counted(expected, "difference"), p.name)
		}
	},
}

// fidelityProfile is the name of the profile that holds for the drill.
func (run *Run) fidelityProfile() string {
	return cmp.Or(run.Scenario.Spec.Objectives.Fidelity, etcdProfile.name)
}

func summary(f reports.Finding) string { return f.Subject + ": " + f.Message }

func info(s *survey) reports.CensusInfo {
	return reports.CensusInfo{Objects: s.tail.Entries, Revision: s.head.Revision, How: s.head.How, Complete: len(s.tail.Unreadable) == 0}
}

// missingResources were read before, and are neither read nor found unreadable after.
func missingResources(before, after *survey) (missing []string) {
	for _, resource := range before.tail.Resources {
		if _, unreadable := after.tail.Unreadable[resource]; !unreadable && !slices.Contains(after.tail.Resources, resource) {
			missing = append(missing, resource)
		}
	}
	slices.Sort(missing)
	return missing
}

// atNoArtifact says that the census before was read at a revision that no artifact has; empty when it was at one, or when neither
// has a revision.
func (run *Run) atNoArtifact(revision string) string {
	var known []string
	for _, a := range run.artifacts {
		if at := a.read(); at > 0 {
			known = append(known, strconv.FormatInt(at, 10))
		}
	}
	if len(known) == 0 || slices.Contains(known, revision) {
		return ""
	}
	return fmt.Sprintf("the census before was read at revision %q, and the artifacts are of %s", revision, strings.Join(known, ", "))
}

// A comparison of two censuses under a profile.
type comparison struct {
	profile *profile
	// touched namespaces, to which the profile applies; nil for all.
	touched map[string]bool
	ledger  ledgerWrites

	equal                int
	rows                 map[string]*reports.KindRow
	expectedBefore       map[string]int // expected differences of objects that were there before
	unexpected, expected []reports.Difference
	omitted              int
	// unreadable after; so the objects that there were, counted in unread, are neither back nor lost.
	unreadable map[string]string
	unread     map[string]int
	// losses are the objects of each rule by which a user loses something.
	losses map[string]int
}

func (c *comparison) run(dir string) error {
	before, err := census.Open(filepath.Join(dir, evidence.CensusBeforeFile))
	if err != nil {
		return err
	}
	defer before.Close()
	after, err := census.Open(filepath.Join(dir, evidence.CensusAfterFile))
	if err != nil {
		return err
	}
	defer after.Close()
	c.expectedBefore = map[string]int{}
	c.equal, err = census.Compare(before, after, func(b, a *census.Entry) error {
		c.add(b, a)
		return nil
	})
	return err
}

func (c *comparison) row(resource, version string) *reports.KindRow {
	row := c.rows[resource]
	if row == nil {
		row = &reports.KindRow{Resource: label(resource, version)}
		c.rows[resource] = row
	}
	return row
}

func (c *comparison) add(before, after *census.Entry) {
	e := before
	if e == nil {
		e = after
	}
	resource := resourceOf(e.Key)
	row := c.row(resource, e.Version)
	if _, unreadable := c.unreadable[resource]; unreadable && after == nil {
		c.unread[resource]++
		return
	}
	d := reports.Difference{Resource: row.Resource, Namespace: e.Namespace, Name: e.Name}
	o := object{resource: strings.TrimPrefix(resource, "/"), namespace: e.Namespace, name: e.Name, labels: labels(e.Object), raw: e.Object}
	class := changedClass
	switch {
	case after == nil:
		class = lostClass
	case before == nil:
		class = extraClass
	}
	var by *rule
	if c.ledger.wrote(e) {
		by = &ledgerRule
	} else if class == changedClass {
		by, d.Fields = c.changed(o, before, after)
	} else if i := slices.IndexFunc(c.rules(o), func(r rule) bool { return r.covers(o, class) }); i >= 0 {
		by = &c.rules(o)[i]
		c.lost(by)
	}
	if by != nil {
		d.Class, d.Rule, d.Because = expectedClass, by.name, by.because+" ("+by.source+")"
		row.Expected++
		if before != nil {
			c.expectedBefore[resource]++
		}
		c.expected = c.list(c.expected, d)
		return
	}
	d.Class = class
	switch class {
	case lostClass:
		row.Lost++
	case extraClass:
		row.Extra++
	default:
		row.Changed++
	}
	c.unexpected = c.list(c.unexpected, d)
}

func (c *comparison) list(differences []reports.Difference, d reports.Difference) []reports.Difference {
	if len(differences) == maxDifferences {
		c.omitted++
		return differences
	}
	return append(differences, d)
}

// changed returns the changes of an object, and a rule when rules allow every one of them.
func (c *comparison) changed(o object, before, after *census.Entry) (by *rule, fields []reports.FieldChange) {
	var changes []census.Change
	for _, change := range census.FieldChanges(before.Object, after.Object) {
		changes = append(changes, entries(change)...)
	}
	if before.Kind != after.Kind {
		changes = append(changes, census.Change{Path: "/kind", Class: changedClass, Before: before.Kind, After: after.Kind})
	}
	all, used := len(changes) > 0, map[*rule]bool{}
	for _, change := range changes {
		field := reports.FieldChange{Path: change.Path, Before: change.Before, After: change.After, Class: change.Class}
		i := slices.IndexFunc(c.rules(o), func(r rule) bool { return r.covers(o, changedClass) && r.allows(change.Path) })
		if i < 0 {
			all = false
		} else {
			by = &c.rules(o)[i]
			field.Rule = by.name
			used[by] = true
		}
		fields = append(fields, field)
	}
	for r := range used {
		c.lost(r)
	}
	if !all {
		by = nil
	}
	return by, fields
}

// rules for an object: where nothing was restored, all has to be as strictly as it was.
func (c *comparison) rules(o object) []rule {
	if c.touched == nil || o.namespace == "" || c.touched[o.namespace] {
		return c.profile.rules
	}
	return etcdProfile.rules
}

// touched are the namespaces that Velero has put something into, its own among them, where it restored into a cluster that was there: the source
// in place, or one that a layer below had brought back. Nil is every namespace, as in a fresh cluster or under another profile. It is also nil
// when Velero does not tell.
func (run *Run) touched(p *profile) (namespaces map[string]bool, told bool) {
	if p != &veleroProfile || !run.inPlace() && run.Scenario.Spec.Backup.Method == veleroProfile.name {
		return nil, true
	}
	namespaces = map[string]bool{"velero": true}
	for n := 0; ; n++ {
		result, err := evidence.ReadJSON[evidence.ToolResult](run.Dir, evidence.ToolFile(veleroProfile.name, "restore", n))
		if errors.Is(err, fs.ErrNotExist) && n > 0 {
			return namespaces, true
		}
		if err != nil || result.Objects == nil {
			return nil, false
		}
		for _, o := range result.Objects {
			if o.Action == "created" || o.Action == "updated" {
				namespaces[o.Namespace] = true
			}
		}
	}
}

// lost counts an object that a rule is about, where a user loses something by it.
func (c *comparison) lost(by *rule) {
	if by.loss {
		c.losses[by.name]++
	}
}

// entries of labels or annotations that are there on one side alone, each a change of its own: a rule may allow one and not another.
func entries(c census.Change) []census.Change {
	var all map[string]json.RawMessage
	if c.Path != "/metadata/labels" && c.Path != "/metadata/annotations" || json.Unmarshal([]byte(cmp.Or(c.Before, c.After)), &all) != nil {
		return []census.Change{c}
	}
	var split []census.Change
	for _, key := range slices.Sorted(maps.Keys(all)) {
		one := census.Change{Path: c.Path + "/" + pointerEscapes.Replace(key), Class: c.Class}
		if c.Before != "" {
			one.Before = string(all[key])
		} else {
			one.After = string(all[key])
		}
		split = append(split, one)
	}
	return split
}

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")

// describe a difference in one line.
func describe(d reports.Difference) string {
	switch d.Class {
	case lostClass:
		return "is gone"
	case extraClass:
		return "is there, and was not before"
	}
	var parts []string
	for _, f := range d.Fields {
		if f.Rule == "" {
			parts = append(parts, fmt.Sprintf("%s was %s and is %s", f.Path, orNothing(f.Before), orNothing(f.After)))
		}
	}
	if len(parts) == 0 {
		return "has another digest, though no field differs"
	}
	if n := len(parts); n > 3 {
		parts = append(parts[:3], fmt.Sprintf("and %d more", n-3))
	}
	return strings.Join(parts, ", ")
}

func orNothing(s string) string {
	if s == "" {
		return "absent"
	}
	return s
}

func labels(raw json.RawMessage) map[string]string {
	var o struct {
		Metadata struct {
			Labels map[string]string `json:"labels"`
		} `json:"metadata"`
	}
	if json.Unmarshal(raw, &o) != nil {
		return nil
	}
	return o.Metadata.Labels
}

// ledgerWrites are the objects that the ledger wrote, where the census before does not show what the restored artifact holds of them: it
// is younger, or the artifact was taken while they were written, or they went on being written where it was restored. The ledger has its own
// check, of every write.
type ledgerWrites map[string]bool

func (run *Run) ledgerWrites() ledgerWrites {
	restored, err := run.restored()
	if err != nil {
		return nil
	}
	read := run.survey(evidence.CensusBeforeFile).head.Revision
	if !run.inPlace() && len(run.Scenario.Spec.Layers) == 0 && strconv.FormatInt(restored.Revision, 10) == read {
		return nil
	}
	w := ledgerWrites{}
	for _, l := range run.ledgers() {
		records, err := evidence.ReadLines[ledger.Record](run.Dir, l.records)
		if err != nil && !errors.Is(err, evidence.ErrTorn) {
			return nil
		}
		for _, r := range records {
			w[l.namespace+"/"+r.Name] = true
		}
	}
	return w
}

// wrote tells whether the ledger did.
func (w ledgerWrites) wrote(e *census.Entry) bool { return w[e.Namespace+"/"+e.Name] }

// A ledgerEvidence names the evidence of one ledger.
type ledgerEvidence struct{ layer, namespace, records, survivors string }

// ledgers of the drill, its own first.
func (run *Run) ledgers() []ledgerEvidence {
	all := []ledgerEvidence{{"", ledger.Namespace, evidence.LedgerFile, evidence.SurvivorsFile}}
	for _, l := range run.Scenario.Spec.Layers {
		if l.Ledger != "" {
			all = append(all, ledgerEvidence{l.Backup.Method, l.Ledger,
				evidence.Of(l.Backup.Method, evidence.LedgerFile), evidence.Of(l.Backup.Method, evidence.SurvivorsFile)})
		}
	}
	return all
}
