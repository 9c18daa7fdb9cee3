package checks

import (
	"encoding/json"
	"path"
	"slices"
	"strings"

	"github.com/restore-drill/restore-drill/internal/census"
)

// A profile is what may differ between the cluster at the time of its backup and the one that came back. Everything else is
// a difference.
type profile struct {
	name  string
	rules []rule
	// keys of the raw store that may be missing.
	keys []keyRule
}

// A rule allows one sort of difference. Its zero fields match anything, except that a rule without classes allows nothing.
type rule struct {
	name    string
	because string
	// source is where it is written that this is so.
	source string
	// resource is group/plural, or the plural alone for the core group.
	resources []string
	// except are resources for which it does not hold.
	except []string
	// namespace and names are globs as package path matches them.
	namespace string
	names     []string
	// label is one that the object must carry.
	label string
	// when holds for the object as it was, or as it is where it is extra.
	when func(raw json.RawMessage) bool
	// classes of difference: lost, extra, changed.
	classes []string
	// loss says that a user loses something by it, which is told as a finding.
	loss bool
	// fields limits a changed object to JSON pointers, in which * stands for one step and a last ** for all below. A change
	// of any other field of the object is a difference.
	fields []string
}

// A keyRule allows keys of the raw store to be missing. A last ** stands for all below.
type keyRule struct{ glob, because string }

// Classes of a difference.
const (
	lostClass     = census.Lost
	extraClass    = census.Extra
	changedClass  = census.Changed
	expectedClass = "expected"
)

var profiles = map[string]*profile{etcdProfile.name: &etcdProfile, veleroProfile.name: &veleroProfile, gitopsProfile.name: &gitopsProfile}

// ledgerRule is not in a profile: it holds for the objects of the ledger alone, and only where the census before does not show them as the
// artifact holds them. See ledgerWrites.
var ledgerRule = rule{
	name: "ledger", because: "the ledger wrote it while or after the artifact was taken: its check counts every write",
	source: "restore-drill",
}

// definitionRule holds under every profile. A definition that is lost or new is a difference all the same.
var definitionRule = rule{
	name: "definition", because: "what has changed in a definition of custom resources, and what that breaks, is judged by the check crds",
	source:    "restore-drill",
	resources: []string{"apiextensions.k8s.io/customresourcedefinitions"}, classes: []string{changedClass},
	fields: []string{"/spec/**", "/status/**", "/metadata/generation"},
}

// under the profile, this is allowed too.
func (p *profile) with(more ...rule) *profile {
	extended := *p
	extended.rules = append(slices.Clip(p.rules), more...)
	return &extended
}

// allows tells whether an object may be lost, or extra.
func (p *profile) allows(o object, class string) bool {
	return slices.ContainsFunc(p.rules, func(r rule) bool { return r.covers(o, class) })
}

// An object that differs.
type object struct {
	resource, namespace, name string
	labels                    map[string]string
	raw                       json.RawMessage
}

// covers tells whether the rule is about this object and class of difference.
func (r *rule) covers(o object, class string) bool {
	if !slices.Contains(r.classes, class) {
		return false
	}
	if len(r.resources) > 0 && !slices.Contains(r.resources, o.resource) || slices.Contains(r.except, o.resource) {
		return false
	}
	if r.namespace != "" && !glob(r.namespace, o.namespace) {
		return false
	}
	if len(r.names) > 0 && !slices.ContainsFunc(r.names, func(n string) bool { return glob(n, o.name) }) {
		return false
	}
	if r.when != nil && !r.when(o.raw) {
		return false
	}
	_, labelled := o.labels[r.label]
	return r.label == "" || labelled
}

// allows tells whether the rule, which covers the object, lets this field change.
func (r *rule) allows(pointer string) bool {
	return len(r.fields) == 0 || slices.ContainsFunc(r.fields, func(f string) bool { return pointerGlob(f, pointer) })
}

func glob(pattern, s string) bool {
	ok, err := path.Match(pattern, s)
	return err == nil && ok
}

// pointerGlob matches a JSON pointer step by step.
func pointerGlob(pattern, pointer string) bool {
	want, have := strings.Split(pattern, "/"), strings.Split(pointer, "/")
	for i, step := range want {
		switch {
		case step == "**" && i == len(want)-1:
			return true
		case i >= len(have):
			return false
		case step != "*" && step != have[i]:
			return false
		}
	}
	return len(want) == len(have)
}
