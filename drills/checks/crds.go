package checks

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/restore-drill/restore-drill/internal/crd"
	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/reports"
)

// crdsCheck judges the definitions of custom resources. Check fidelity leaves to it what has changed in one that is there on both sides; it asks
// of the custom resources whether they could live under the restored definitions, fidelity whether they are back.
var crdsCheck = Check{
	Name:       "crds",
	Title:      "Are custom resources defined as before, readable, and could each be created again?",
	IfFailed:   "restore the definitions at the version that the objects were stored in, before the objects",
	IfUnknown:  "see which definition could not be read, and create one of its objects by hand in a dry run",
	Needs:      []string{evidence.CRDsBeforeFile, evidence.CRDsAfterFile, evidence.CRDsRecreateFile},
	OfRestored: true,
	Judge: func(run *Run, r *reports.Report, c *reports.Check) {
		before, err := readCRDs(run.Dir, evidence.CRDsBeforeFile)
		if err != nil {
			unknown(c, "%v", err)
			return
		}
		after, err := readCRDs(run.Dir, evidence.CRDsAfterFile)
		if err != nil {
			unknown(c, "%v", err)
			return
		}
		trials, err := evidence.ReadJSON[evidence.CRDTrials](run.Dir, evidence.CRDsRecreateFile)
		if err != nil {
			unknown(c, "%v", err)
			return
		}
		if len(before) == 0 {
			skipped(c, "the source cluster defined no custom resources")
			return
		}
		j := crdJudge{check: c, trials: map[string]evidence.CRDTrial{}}
		for _, t := range trials.Definitions {
			j.trials[t.Name] = t
		}
		for _, b := range before {
			i := slices.IndexFunc(after, func(d evidence.CRD) bool { return d.Name == b.Name })
			if i < 0 {
				j.fail(b.Name, "restore the definition before its custom resources",
					"is not defined any more: of its custom resources, %s", counted(most(b), "object"))
				continue
			}
			if err := j.definition(b, after[i]); err != nil {
				unknown(c, "%v", err)
				return
			}
		}
		for _, a := range after {
			if !slices.ContainsFunc(before, func(d evidence.CRD) bool { return d.Name == a.Name }) {
				find(c, reports.Finding{Verdict: reports.Passed, Subject: a.Name, Message: "is defined, and was not before"})
			}
		}
		j.settle(len(before))
	},
}

// readCRDs reads the definitions of one cluster. A file that names none, not even an empty list, is no evidence.
func readCRDs(dir, file string) ([]evidence.CRD, error) {
	all, err := evidence.ReadJSON[evidence.CRDs](dir, file)
	if err == nil && all.Definitions == nil {
		err = fmt.Errorf("%s holds no definitions, nor an empty list of them", file)
	}
	return all.Definitions, err
}

// most is the largest number of custom resources that any version gave.
func most(d evidence.CRD) int {
	n := 0
	for _, r := range d.Readings {
		n = max(n, r.Objects)
	}
	return n
}

type crdJudge struct {
	check        *reports.Check
	trials       map[string]evidence.CRDTrial
	failed       []string // what is wrong, in words
	doubts       []string
	shown        int // definitions of which only the looks have changed
	tried, known int
}

func (j *crdJudge) fail(subject, next, format string, args ...any) {
	f := reports.Finding{Verdict: reports.Failed, Subject: subject, Message: fmt.Sprintf(format, args...), Next: next}
	j.failed = append(j.failed, summary(f))
	find(j.check, f)
}

func (j *crdJudge) doubt(subject, format string, args ...any) {
	f := reports.Finding{Subject: subject, Message: fmt.Sprintf(format, args...)}
	j.doubts = append(j.doubts, summary(f))
	find(j.check, f)
}

// definition judges one that is there on both sides.
func (j *crdJudge) definition(before, after evidence.CRD) error {
	parsed, err := crd.Parse(after)
	if err != nil {
		return err
	}
	changes, err := crd.Compare(before, after)
	if err != nil {
		return err
	}
	j.trial(parsed, most(before), after) // what breaks comes before what has changed
	j.readings(before, after)
	for _, v := range parsed.Versions {
		if _, read := after.Readings[v.Name]; v.Served && !read {
			j.doubt(after.Name, "was not read in version %s", v.Name)
		}
	}
	for _, trouble := range after.Trouble {
		j.fail(after.Name, "look at the conditions of the definition", "is not in force: %s", trouble)
	}
	for _, stored := range after.StoredVersions {
		if !parsed.Lists(stored) {
			j.fail(after.Name, "bring the version back, or write every object anew in another before it goes",
				"may have objects stored in version %s, which the definition has no more: they cannot be read", stored)
		}
	}
	j.changes(after.Name, changes)
	if forgotten := slices.DeleteFunc(slices.Clone(before.StoredVersions), func(v string) bool { return slices.Contains(after.StoredVersions, v) }); len(forgotten) > 0 {
		find(j.check, reports.Finding{Verdict: reports.Passed, Subject: after.Name, Message: fmt.Sprintf(
			"says of no object any more that it is stored in version %s: so it is when all were created anew", strings.Join(forgotten, ", "))})
	}
	return nil
}

// changes of a definition, a finding for each class.
func (j *crdJudge) changes(name string, changes []crd.Change) {
	byClass := map[string][]string{}
	var order []string
	for _, c := range changes {
		if byClass[c.Class] == nil {
			order = append(order, c.Class)
		}
		byClass[c.Class] = append(byClass[c.Class], c.String())
	}
	for _, class := range order {
		texts := byClass[class]
		if n := len(texts); n > 3 {
			texts = append(texts[:3:3], fmt.Sprintf("and %d more", n-3))
		}
		text := fmt.Sprintf("%s changed: %s", class, strings.Join(texts, "; "))
		if class == crd.Presentation {
			find(j.check, reports.Finding{Verdict: reports.Passed, Subject: name, Message: text})
			if len(order) == 1 {
				j.shown++
			}
			continue
		}
		j.fail(name, "find out who applied the definition that is there now, and which one the custom resources need", "%s", text)
	}
}

// readings of the custom resources in each version.
func (j *crdJudge) readings(before, after evidence.CRD) {
	for _, version := range slices.Sorted(maps.Keys(after.Readings)) {
		reading := after.Readings[version]
		if reading.Error == "" {
			continue
		}
		if reading.Undecided {
			j.doubt(after.Name, "was not read in version %s: %s", version, reading.Error)
			continue
		}
		since := ""
		if before.Readings[version].Error != "" {
			since = ", as before the failure"
		}
		j.fail(after.Name, "see that the API server has what it needs for it: the Service of a conversion webhook, the version in which they are stored", "has custom resources that cannot be read in version %s%s: %s", version, since, reading.Error)
	}
}

// trial of the custom resources as they were, of which there were so many.
func (j *crdJudge) trial(d crd.Definition, were int, after evidence.CRD) {
	t, ok := j.trials[after.Name]
	if !ok || t.Tried == 0 && max(were, t.Known) > 0 {
		j.doubt(after.Name, "was not tried with custom resources from before the failure")
		return
	}
	j.tried, j.known = j.tried+t.Tried, j.known+t.Known
	groups := map[string][]string{} // what is wrong, to the resources with which it is
	var order []string
	group := func(text string, of evidence.CRDTrouble) {
		if groups[text] == nil {
			order = append(order, text)
		}
		groups[text] = append(groups[text], path.Join(of.Namespace, of.Name))
	}
	for _, of := range t.Troubled {
		for _, cause := range of.Refused {
			field, _, _ := strings.Cut(cause, ": ")
			if demands := d.Demands(of.Version, field); demands != "" {
				cause += " (" + demands + ")"
			}
			group("cannot be created again: "+cause, of)
		}
		for _, field := range of.Dropped {
			group("lose a field that the definition does not know: "+field, of)
		}
		if of.Undecided != "" {
			j.doubt(after.Name, "was not asked for %s: %s", path.Join(of.Namespace, of.Name), of.Undecided)
		}
	}
	for _, text := range order {
		j.fail(after.Name, "compare the definition with the one that they were written under", "%d of %s %s (first %s)",
			len(groups[text]), counted(t.Tried, "tried resource"), text, groups[text][0])
	}
}

func (j *crdJudge) settle(definitions int) {
	tried := fmt.Sprintf("%d of %s tried", j.tried, counted(j.known, "custom resource"))
	switch {
	case len(j.failed) > 0:
		text := j.failed[0]
		if n := len(j.failed); n > 1 {
			text += fmt.Sprintf("; and %d more", n-1)
		}
		failed(j.check, "%s", text)
	case len(j.doubts) > 0:
		unknown(j.check, "%s", j.doubts[0])
	case j.shown > 0:
		passed(j.check, "%s as before, %d of them with other columns or descriptions; each of %s could be created again", counted(definitions, "definition"), j.shown, tried)
	default:
		passed(j.check, "%s as before; each of %s could be created again", counted(definitions, "definition"), tried)
	}
}
