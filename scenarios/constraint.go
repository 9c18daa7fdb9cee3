package scenarios

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/restore-drill/restore-drill/internal/cadence"
)

// A constraint narrows what a field accepts, beyond its type. The parser and the JSON Schema read the same table.
type constraint struct {
	// words that it may hold: the items of a list, the values of a map. Nil is any. What names such a word.
	words []string
	what  string
	// keys of a map, likewise.
	keys    []string
	keyWhat string
	// pattern that it matches, and the same in words.
	pattern *regexp.Regexp
	like    string
	// numbers that it may be.
	numbers []int
	// least and most that it may be. For a duration only least is used, in seconds.
	least, most *float64
	// above zero, that is, not zero itself.
	above bool
	// minItems of a list.
	minItems int
}

var (
	labelPattern = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	apiPath      = regexp.MustCompile(`^/`)
	version      = regexp.MustCompile(`^([a-z0-9.-]+/)?v[0-9]+((alpha|beta)[0-9]+)?$`)
)

const labelLike = "lower case letters, digits and -, at most 63 of them"

// AnyOutcome of a check is as good as another: it depends on the moment at which a fault strikes.
const AnyOutcome = "any"

// Words that a scenario may use whatever is built in.
var (
	encryptions = []string{"secretbox", "aescbc"}
	claims      = []string{"completed", "partially failed", "failed", "failed validation", "missing", "refused"}
	verdicts    = []string{"passed", "failed", "unknown"}
	outcomes    = []string{"passed", "failed", "unknown", "skipped", AnyOutcome}
	profiles    = []string{"etcd", "velero", "gitops"}
	places      = []string{IntoFresh, IntoSource}

	patchOperations = []string{"add", "remove", "replace", "move", "copy", "test"}
)

func number(f float64) *float64 { return &f }

// constraints by "Type.key".
func constraints(v Vocabulary) map[string]constraint {
	label := constraint{pattern: labelPattern, like: labelLike}
	positive := constraint{least: number(0), above: true}
	members := constraint{numbers: []int{1, 3}}
	return map[string]constraint{
		"Scenario.apiVersion":   {words: []string{APIVersion}, what: "apiVersion"},
		"Scenario.kind":         {words: []string{Kind}, what: "kind"},
		"Metadata.name":         label,
		"Spec.cadence":          {pattern: cadence.Pattern, like: cadence.Like},
		"Objectives.rto":        positive,
		"Objectives.rpo":        {least: number(0)},
		"Objectives.lostWrites": {least: number(0)},
		"Objectives.fidelity":   {words: profiles, what: "fidelity profile"},
		"Cluster.version":       {words: v.KubernetesVersions, what: "Kubernetes version"},
		"Cluster.etcdMembers":   members,
		"Cluster.nodes":         {least: number(1), most: number(1000)},
		"Cluster.encryption":    {words: encryptions, what: "encryption"},
		"Cluster.startTimeout":  positive,
		"Seed.workloads":        {words: v.Workloads, what: "workload"},
		"Seed.objects":          {least: number(0), most: number(1_000_000)},
		"Seed.kinds":            {words: v.Kinds, what: "kind of generated objects", minItems: 1},
		"Spec.requires":         {words: []string{Machines}, what: "requirement"},
		"Volumes.claims":        {least: number(1), most: number(16)},
		"Volumes.files":         {least: number(1), most: number(1000)},
		"Volumes.reclaimPolicy": {words: []string{"Delete", "Retain"}, what: "reclaim policy"},
		"Ledger.rate":           {least: number(0), above: true, most: number(1000)},
		"Ledger.before":         positive,
		"Ledger.after":          {least: number(0)},
		"Backup.method":         {words: v.Methods, what: "backup method"},
		"Backup.count":          {least: number(1), most: number(1000)},
		"Backup.every":          positive,
		"Backup.timeout":        positive,
		"Fault.name":            {words: v.faultNames(), what: "fault"},
		"Fault.after":           {words: v.Methods, what: "backup method"},
		"Layer.ledger":          label,
		"Restore.into":          {words: places, what: "place to restore into"},
		"Restore.version":       {words: v.KubernetesVersions, what: "Kubernetes version"},
		"Restore.etcdMembers":   members,
		"Restore.timeout":       positive,
		"Spec.controls":         {words: v.Controls, what: "control"},
		"Probe.name":            label,
		"CELProbe.apiVersion":   {pattern: version, like: "version or group/version, such as v1 or apps/v1"},
		"GetProbe.path":         {pattern: apiPath, like: "a path that begins with /"},
		"HTTPProbe.port":        {least: number(1), most: number(65535)},
		"HTTPProbe.path":        {pattern: apiPath, like: "a path that begins with /"},
		"IdentityProbe.file":    {pattern: apiPath, like: "a path that begins with /"},
		"Expect.tool":           {words: claims, what: "outcome of the tool"},
		"Expect.backup":         {words: claims, what: "outcome of the tool"},
		"Expect.verdict":        {words: verdicts, what: "verdict"},
		"Expect.checks":         {words: outcomes, what: "outcome of a check", keys: v.Checks, keyWhat: "check"},

		"VeleroBackup.ttl":                          positive,
		"VeleroExec.onError":                        {words: []string{"Continue", "Fail"}, what: "way to go on"},
		"VeleroExec.timeout":                        positive,
		"VeleroRestoreExec.onError":                 {words: []string{"Continue", "Fail"}, what: "way to go on"},
		"VeleroRestoreExec.execTimeout":             positive,
		"VeleroRestoreExec.waitTimeout":             positive,
		"VeleroServer.fs-backup-timeout":            positive,
		"VeleroPatch.operation":                     {words: patchOperations, what: "operation of a JSON patch"},
		"LabelExpression.operator":                  {words: []string{"In", "NotIn", "Exists", "DoesNotExist"}, what: "operator"},
		"VeleroRestore.existingResourcePolicy":      {words: []string{"none", "update"}, what: "policy"},
		"VeleroServer.terminating-resource-timeout": positive,
		"VeleroServer.client-qps":                   positive,
		"VeleroServer.client-burst":                 {least: number(1)},
	}
}

// constrain reports in what way the value at path does not keep to c, unless something is wrong with it already.
func (d *decoder) constrain(c constraint, path string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			d.constrain(c, path, v.Elem())
		}
		return
	case reflect.Slice:
		if v.Len() < c.minItems && !d.tainted[path] {
			d.wrong(path, "must not be empty")
		}
		for i := range v.Len() {
			d.constrain(c, fmt.Sprintf("%s[%d]", path, i), v.Index(i))
		}
		return
	case reflect.Map:
		for _, key := range v.MapKeys() {
			p := join(path, key.String())
			d.constrain(c, p, v.MapIndex(key))
			if c.keys != nil && !slices.Contains(c.keys, key.String()) {
				d.report(d.places[p].key, p, "%s", Unknown(c.keyWhat, key.String(), c.keys))
			}
		}
		return
	}
	if d.tainted[path] {
		return
	}
	if duration, ok := v.Interface().(Duration); ok {
		d.number(c, path, duration.Seconds(), duration.String())
		return
	}
	switch v.Kind() {
	case reflect.String:
		s := v.String()
		switch {
		case c.words != nil && !slices.Contains(c.words, s):
			d.wrong(path, "%s", Unknown(c.what, s, c.words))
		case c.pattern != nil && !c.pattern.MatchString(s):
			d.wrong(path, "%q: want %s", shorten(s), c.like)
		}
	case reflect.Int:
		i := int(v.Int())
		if c.numbers != nil && !slices.Contains(c.numbers, i) {
			d.wrong(path, "%d is out of range: want %s", i, strings.Trim(strings.ReplaceAll(fmt.Sprint(c.numbers), " ", " or "), "[]"))
		}
		d.number(c, path, float64(i), fmt.Sprint(i))
	case reflect.Float64:
		d.number(c, path, v.Float(), fmt.Sprint(v.Float()))
	}
}

func (d *decoder) number(c constraint, path string, f float64, shown string) {
	var want []string
	if c.least != nil && (f < *c.least || c.above && f == *c.least) {
		word := "at least"
		if c.above {
			word = "more than"
		}
		want = append(want, fmt.Sprintf("%s %.0f", word, *c.least))
	}
	if c.most != nil && f > *c.most {
		want = append(want, fmt.Sprintf("at most %.0f", *c.most))
	}
	if want != nil {
		d.wrong(path, "%s is out of range: want %s", shown, strings.Join(want, " and "))
	}
}
