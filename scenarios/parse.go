package scenarios

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds of a file. A scenario that a person wrote is far from them.
const (
	maxBytes  = 1 << 20
	maxValues = 20_000 // aliases counted each time they are used
	maxDepth  = 32
)

// A Vocabulary is what a scenario may name. What is nil in it is not looked up: any name will do.
type Vocabulary struct {
	// Faults maps the name of each to a pointer to its parameters: a struct, filled with their defaults. If it has a method
	// Validate() error, that is asked once the parameters are read.
	Faults map[string]any
	// Checks, backup Methods, Workloads, Kinds of generated objects, KubernetesVersions and Controls by name.
	Controls, Checks, Methods, Workloads, Kinds, KubernetesVersions []string
	// CEL tells what is wrong with a probe's expression.
	CEL func(expression string) error
	// Sources are the Go files that declare the faults. Their doc comments are the descriptions in the JSON Schema.
	Sources [][]byte
}

func (v Vocabulary) faultNames() []string {
	if v.Faults == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(v.Faults))
}

// ReadFile reads a scenario file, but no more of it than Parse would take.
func ReadFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read scenario: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read scenario %s: %w", path, err)
	}
	return data, nil
}

// Parse reads one scenario and fills in its defaults. Its error is Mistakes: all of them, with their positions. Name is how the
// file is called in them.
func Parse(name string, data []byte, v Vocabulary) (*Scenario, error) {
	d := &decoder{file: name, constraints: constraints(v), trees: []tree{{"", reflect.TypeFor[Scenario]()}}}
	for _, fault := range v.faultNames() {
		d.trees = append(d.trees, tree{"spec.faults[].parameters", reflect.TypeOf(v.Faults[fault]).Elem()})
	}
	s := &Scenario{}
	if root := d.read(data); root != nil {
		d.value(place{value: root}, "", reflect.ValueOf(s).Elem())
		d.judge(s.Spec, v)
	}
	if err := d.mistakes.err(); err != nil {
		return nil, err
	}
	s.positions = map[string]position{}
	for path, at := range d.places {
		s.positions[path] = position{at.value.Line, at.value.Column}
	}
	Default(s)
	return s, nil
}

// DecodeParameters reads the parameters of a fault into a pointer to a struct, as strictly as Parse does. What is not given keeps
// the value that it has; node may be nil, when nothing is given.
func DecodeParameters(node *yaml.Node, into any) error {
	d := &decoder{}
	if node == nil {
		node = &yaml.Node{Kind: yaml.MappingNode}
	}
	if d.measure(node) {
		d.value(place{value: node}, "parameters", reflect.ValueOf(into).Elem())
	}
	return d.mistakes.err()
}

// A position in a file.
type position struct{ line, column int }

// read the one document of a file, whose size is bounded however its aliases are nested.
func (d *decoder) read(data []byte) *yaml.Node {
	start := &yaml.Node{Line: 1, Column: 1}
	if len(data) > maxBytes {
		d.report(start, "", "the file is larger than 1 MiB: a scenario is not")
		return nil
	}
	documents := yaml.NewDecoder(bytes.NewReader(data))
	var first, second yaml.Node
	switch err := next(documents, &first); {
	case err == io.EOF:
		d.report(start, "", "the file is empty: want a scenario (restore-drill scenario new NAME prints one)")
		return nil
	case err != nil:
		d.syntax(err, data)
		return nil
	}
	switch err := next(documents, &second); {
	case err == io.EOF:
	case err != nil:
		d.syntax(err, data)
		return nil
	default:
		d.report(&second, "", "a second document begins here: want one scenario in a file")
	}
	root := first.Content[0]
	switch {
	case !d.measure(root):
		return nil
	case root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null":
		d.report(root, "", "the file is empty: want a scenario (restore-drill scenario new NAME prints one)")
		return nil
	}
	return root
}

// next document. The YAML library panics on some of what it cannot parse.
func next(documents *yaml.Decoder, n *yaml.Node) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("not YAML: %v", r)
		}
	}()
	return documents.Decode(n)
}

var (
	syntaxLine    = regexp.MustCompile(`^line ([0-9]+): `)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// syntax reports an error of the YAML library, which names at most a line.
func (d *decoder) syntax(err error, data []byte) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	at := &yaml.Node{Line: 1, Column: 1}
	if m := syntaxLine.FindStringSubmatch(text); m != nil {
		text = text[len(m[0]):]
		line, _ := strconv.Atoi(m[1])
		at.Line = min(line, 1+bytes.Count(data, []byte("\n")))
	}
	if m := unknownAnchor.FindStringSubmatch(text); m != nil {
		before, _, _ := bytes.Cut(data, []byte("*"+m[1]))
		at.Line = 1 + bytes.Count(before, []byte("\n"))
		at.Column = 1 + len([]rune(string(before[1+bytes.LastIndexByte(before, '\n'):])))
		text = fmt.Sprintf("unknown anchor %q", shorten(m[1]))
	}
	d.report(at, "", "not YAML: %s", strings.TrimPrefix(text, "not YAML: "))
}

// measure tells whether a tree is within bounds when each alias is taken for what it stands for, and reports it if not.
func (d *decoder) measure(root *yaml.Node) bool {
	values := 0
	var walk func(n *yaml.Node, depth int) bool
	walk = func(n *yaml.Node, depth int) bool {
		values++
		switch {
		case depth > maxDepth:
			d.report(n, "", "nested deeper than %d levels, or an alias within what it stands for", maxDepth)
			return false
		case values > maxValues:
			d.report(n, "", "more than %d values up to here, each alias counted as what it stands for", maxValues)
			return false
		case n.Kind == yaml.AliasNode:
			return walk(n.Alias, depth+1)
		}
		for _, child := range n.Content {
			if !walk(child, depth+1) {
				return false
			}
		}
		return true
	}
	return walk(root, 0)
}

// judge reports what no single value shows. It looks only at what was read without a mistake.
func (d *decoder) judge(spec Spec, v Vocabulary) {
	_, every := d.places["spec.backup.every"]
	switch {
	case spec.Backup.Count > 1 && !every && d.sound("spec.backup.count"):
		d.wrong("spec.backup.count", "%d backups need an interval: set spec.backup.every, for example 1s", spec.Backup.Count)
	case spec.Backup.Count <= 1 && !d.tainted["spec.backup.count"] && d.sound("spec.backup.every"):
		d.wrong("spec.backup.every", "has no effect on one backup: set spec.backup.count above 1")
	}
	d.layers(spec)
	for i, fault := range spec.Faults {
		d.parameters(fmt.Sprintf("spec.faults[%d]", i), fault, v.Faults[fault.Name])
	}
	names := map[string]int{}
	for i, probe := range spec.Probes {
		d.probe(fmt.Sprintf("spec.probes[%d]", i), probe, names, i, v.CEL)
	}
	if e := spec.Expect; !d.tainted["spec.expect.verdict"] && (e.Verdict == "" || e.Verdict == "passed") {
		d.cannotPass(e)
	}
}

// layers reports what does not fit together: the settings of one method beside another, a fault after a layer that there is not.
func (d *decoder) layers(spec Spec) {
	methods := []string{spec.Backup.Method}
	d.method("spec.backup", spec.Backup, "spec.restore", spec.Restore.Velero)
	for i, l := range spec.Layers {
		path := fmt.Sprintf("spec.layers[%d]", i)
		d.method(path+".backup", l.Backup, path, l.Velero)
		if l.Backup.Method == "etcd" && d.sound(path+".backup.method") {
			d.wrong(path+".backup.method", "an etcd snapshot is the whole store: it can only be spec.backup, below every layer")
		}
		if d.sound(path + ".backup.count") {
			d.wrong(path+".backup.count", "a layer is backed up once: leave it out")
		}
		methods = append(methods, l.Backup.Method)
	}
	for i, f := range spec.Faults {
		path := fmt.Sprintf("spec.faults[%d].after", i)
		if f.After != "" && d.sound(path) && !slices.Contains(methods[:len(methods)-1], f.After) {
			d.wrong(path, "no layer comes after %s: nothing would repair what the fault breaks", f.After)
		}
	}
	for i, method := range methods[1:] {
		if path := fmt.Sprintf("spec.layers[%d].backup.method", i); d.sound(path) && slices.Contains(methods[:i+1], method) {
			d.wrong(path, "%s is the method of a layer below: its artifacts and logs would meet", method)
		}
	}
	from, to := cmp.Or(spec.Cluster.Version, DefaultKubernetesVersion), spec.Restore.Version
	if Older(to, from) && !spec.Restore.Downgrade && d.sound("spec.restore.version") {
		d.wrong("spec.restore.version", "%s is older than the source's %s, and does not know all that it stored: want %[2]s or later, "+
			"or set spec.restore.downgrade to see what becomes of it", to, from)
	}
}

// method reports settings of one method at another.
func (d *decoder) method(backup string, b Backup, restore string, r *VeleroRestore) {
	if b.Velero != nil && b.Method != "velero" && d.sound(backup+".velero") {
		d.wrong(backup+".velero", "has no effect on method %s", b.Method)
	}
	if b.Manifests != nil && b.Method != "manifests" && d.sound(backup+".manifests") {
		d.wrong(backup+".manifests", "has no effect on method %s", b.Method)
	}
	if r != nil && b.Method != "velero" && d.sound(restore+".velero") {
		d.wrong(restore+".velero", "has no effect on method %s", b.Method)
	}
}

// parameters of a fault are read into a copy of its prototype.
func (d *decoder) parameters(path string, fault Fault, prototype any) {
	if prototype == nil || d.tainted[path+".name"] {
		return
	}
	at, given := d.places[path+".parameters"]
	if fault.Parameters == nil {
		if given {
			return // and is a mistake already
		}
		at = place{key: d.places[path].node(), value: &yaml.Node{Kind: yaml.MappingNode}}
	}
	// Keys of a scenario mean nothing here, and neither do their constraints.
	inner := &decoder{file: d.file, places: d.places, tainted: d.tainted}
	parameters := reflect.New(reflect.TypeOf(prototype).Elem())
	parameters.Elem().Set(reflect.ValueOf(prototype).Elem())
	inner.value(at, path+".parameters", parameters.Elem())
	d.mistakes = append(d.mistakes, inner.mistakes...)
	if len(inner.mistakes) > 0 {
		d.tainted = inner.tainted
		return
	}
	if checked, ok := parameters.Interface().(interface{ Validate() error }); ok {
		if err := checked.Validate(); err != nil {
			d.report(at.node(), path+".parameters", "%s", oneLine(err))
		}
	}
}

// probeKinds are the keys of which a probe sets one.
var probeKinds = []string{"cel", "get", "command", "create", "login", "token", "http", "dns", "exec", "identity"}

func (d *decoder) probe(path string, p Probe, names map[string]int, i int, cel func(string) error) {
	if d.sound(path + ".name") {
		if first, taken := names[p.Name]; taken {
			d.wrong(path+".name", "%q is also the name of spec.probes[%d]", p.Name, first)
		} else {
			names[p.Name] = i
		}
	}
	var asked []string
	for _, kind := range probeKinds {
		if _, given := d.places[path+"."+kind]; given {
			asked = append(asked, kind)
		}
	}
	switch isMap := follow(d.places[path].value).Kind == yaml.MappingNode; {
	case isMap && len(asked) == 0:
		d.wrong(path, "asks nothing: set one of %s", strings.Join(probeKinds, ", "))
	case len(asked) > 1:
		d.wrong(path, "sets %s: set only one of %s", strings.Join(asked, " and "), strings.Join(probeKinds, ", "))
	}
	if d.sound(path+".exec") && (p.Exec.Pod == "") == (p.Exec.Selector == "") {
		d.wrong(path+".exec", "set one of pod and selector: it says where the command runs")
	}
	if object := path + ".create.object"; d.sound(object) {
		metadata, _ := p.Create.Object["metadata"].(map[string]any)
		for _, field := range []struct {
			key   string
			value any
		}{{"apiVersion", p.Create.Object["apiVersion"]}, {"kind", p.Create.Object["kind"]}, {"metadata.name", metadata["name"]}} {
			if text, _ := field.value.(string); text == "" {
				d.wrong(object, "has no %s: write it as in a manifest", field.key)
			}
		}
	}
	if expression := path + ".cel.expression"; cel != nil && d.sound(expression) {
		if err := cel(p.CEL.Expression); err != nil {
			d.wrong(expression, "%s", oneLine(err))
		}
	}
}

// cannotPass reports what a drill that is expected to pass cannot come out with.
func (d *decoder) cannotPass(e Expect) {
	switch e.Tool {
	case "refused", "failed", "failed validation", "missing":
		d.wrong("spec.expect.tool", "a restore that is %s cannot come out passed: set spec.expect.verdict to failed", e.Tool)
	}
	for _, check := range slices.Sorted(maps.Keys(e.Checks)) {
		if outcome := e.Checks[check]; outcome == "failed" || outcome == "unknown" {
			d.wrong(join("spec.expect.checks", check), "a drill with a check that is %s cannot come out passed: set spec.expect.verdict to %[1]s", outcome)
		}
	}
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// CheckFiles tells which of the manifests that a scenario names are not there. Path is that of the scenario file, to whose
// directory they are relative.
func CheckFiles(s *Scenario, path string) error {
	var missing Mistakes
	for i, name := range s.Spec.Seed.Manifests {
		manifest := name
		if !filepath.IsAbs(manifest) {
			manifest = filepath.Join(filepath.Dir(path), manifest)
		}
		_, err := os.Stat(manifest)
		if err == nil {
			continue
		}
		text := err.Error()
		if errors.Is(err, fs.ErrNotExist) {
			text = fmt.Sprintf("no such file or directory: %s", manifest)
			if near := nearest(filepath.Base(manifest), namesIn(filepath.Dir(manifest))); near != "" {
				text += fmt.Sprintf(" (did you mean %s?)", filepath.Join(filepath.Dir(name), near))
			}
		}
		at := fmt.Sprintf("spec.seed.manifests[%d]", i)
		p := s.positions[at]
		missing = append(missing, Mistake{path, max(1, p.line), max(1, p.column), at, text})
	}
	return missing.err()
}

func namesIn(dir string) (names []string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
