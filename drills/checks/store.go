package checks

import (
	"cmp"
	"fmt"
	"path"
	"strings"

	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/reports"
)

var storeCheck = Check{
	Name:       "store",
	Title:      "Is every key of the artifact in the restored store?",
	IfFailed:   "do not use the restored store: restore the snapshot anew, and compare its hash with that of the artifact",
	IfUnknown:  "take both snapshots again with etcdctl snapshot status, and compare their revisions by hand",
	Needs:      []string{evidence.StoreFile},
	OfRestored: true,
	Applies: func(run *Run) string {
		if len(run.Scenario.Spec.Layers) > 0 {
			return "other layers were restored above the artifact, so the store is no longer the artifact's alone"
		}
		return run.remade()
	},
	Judge: func(run *Run, r *reports.Report, c *reports.Check) {
		s, err := evidence.ReadJSON[evidence.StoreComparison](run.Dir, evidence.StoreFile)
		if err != nil {
			unknown(c, "%s", unread(evidence.StoreFile, err))
			return
		}
		artifact, err := run.restored()
		changed, extra := len(s.Changed)+s.ChangedOmitted, len(s.Extra)+s.ExtraOmitted
		switch {
		case err != nil:
			unknown(c, "%v", err)
			return
		case s.BeforeKeys == 0:
			unknown(c, "the artifact's snapshot holds no key")
			return
		case artifact.Revision != 0 && s.BeforeRevision != artifact.Revision:
			unknown(c, "a snapshot of revision %d was compared, the restored artifact %s has %d", s.BeforeRevision, artifact.Name, artifact.Revision)
			return
		case s.Equal+changed+len(s.Lost)+s.LostOmitted != s.BeforeKeys, s.Equal+changed+extra != s.AfterKeys:
			unknown(c, "the comparison does not add up: %d equal, %d changed, %d lost, %d extra of %d and %d keys",
				s.Equal, changed, len(s.Lost)+s.LostOmitted, extra, s.BeforeKeys, s.AfterKeys)
			return
		}
		var lost []string
		expected := 0
		for _, key := range s.Lost {
			if run.storeKeys().excuses(key.Key) {
				expected++
				continue
			}
			lost = append(lost, key.Key)
			find(c, reports.Finding{Verdict: reports.Failed, Subject: key.Key, Message: fmt.Sprintf("is in the artifact (revision %d) and not in the restored store", key.BeforeRevision)})
		}
		disagreements := run.disagreements(r.Fidelity, lost, artifact.Revision)
		for _, d := range disagreements {
			find(c, reports.Finding{Message: d})
		}
		switch {
		case len(lost) > 0:
			failed(c, "%s of the artifact not in the restored store, first %s", counted(len(lost)+s.LostOmitted, "key"), lost[0])
		case s.LostOmitted > 0:
			unknown(c, "%s of the artifact not in the restored store and not listed, so none says whether it may be gone", counted(s.LostOmitted, "key"))
		case len(disagreements) > 0:
			unknown(c, "the store and the API disagree on what is lost: %s", disagreements[0])
		default:
			passed(c, "all %d keys of the artifact are in the restored store, %d of them rewritten since and %d gone as they may be; %d are new",
				s.BeforeKeys, changed, expected, extra)
		}
	},
}

// excused tells whether the profile lets a key go.
func (p *profile) excuses(key string) bool {
	for _, rule := range p.keys {
		if ok, _ := path.Match(rule.glob, key); ok || strings.HasSuffix(rule.glob, "/**") && strings.HasPrefix(key, strings.TrimSuffix(rule.glob, "**")) {
			return true
		}
	}
	return false
}

// disagreements between the raw store and the API on what is lost, where both looked at the same revision. What one of them
// lost the other must have lost too.
func (run *Run) disagreements(f *reports.Fidelity, lost []string, revision int64) (all []string) {
	if f == nil || f.Before.Revision != fmt.Sprint(revision) || f.Omitted > 0 {
		return nil
	}
	claimed := map[string]bool{}
	for _, d := range f.Differences {
		if d.Class != lostClass || d.Name == "" {
			continue
		}
		found := ""
		for _, key := range lost {
			if strings.HasSuffix(key, "/"+path.Join(d.Namespace, d.Name)) && strings.Contains(key, stored(d.Resource)) {
				found = cmp.Or(found, key)
				claimed[key] = true
			}
		}
		if found == "" {
			all = append(all, fmt.Sprintf("%s %s is not in the census after, and the store lost no such key", d.Resource, path.Join(d.Namespace, d.Name)))
		}
	}
	for _, key := range lost {
		if !claimed[key] {
			all = append(all, fmt.Sprintf("the store lost %s, and the census after lacks no such object", key))
		}
	}
	return all
}

// stored is the part of a key that names the resource: the plural, but for the few whose keys are older than their names.
func stored(resource string) string {
	plural := resource[strings.LastIndexByte(resource, ' ')+1:]
	switch plural {
	case "nodes":
		plural = "minions"
	case "services":
		plural = "services/specs"
	case "endpoints":
		plural = "services/endpoints"
	case "ingresses":
		plural = "ingress"
	case "replicationcontrollers":
		plural = "controllers"
	case "podsecuritypolicies":
		plural = "podsecuritypolicy"
	}
	return "/" + plural + "/"
}
