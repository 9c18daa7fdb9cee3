package scenarios

import (
	"embed"
	"path"
	"regexp"
	"strings"
)

//go:embed *.yaml sabotage/*.yaml
var files embed.FS

// A Named scenario is built in.
type Named struct {
	// Name is the one of its metadata and of its file.
	Name string
	// Path in the module, for messages: nothing is read from there.
	Path string
	Data []byte
	// Sabotage drills must come out failed or unknown.
	Sabotage bool
}

// Embedded scenarios by name, sabotage last.
func Embedded() []Named {
	var all []Named
	for _, dir := range []string{".", "sabotage"} {
		entries, err := files.ReadDir(dir)
		if err != nil {
			panic(err) // the files are part of the program
		}
		for _, e := range entries {
			name, isYAML := strings.CutSuffix(e.Name(), ".yaml")
			if !isYAML {
				continue
			}
			file := path.Join(dir, e.Name())
			data, err := files.ReadFile(file)
			if err != nil {
				panic(err)
			}
			all = append(all, Named{name, path.Join("scenarios", file), data, dir == "sabotage"})
		}
	}
	return all
}

// Find an embedded scenario.
func Find(name string) (Named, bool) {
	for _, s := range Embedded() {
		if s.Name == name {
			return s, true
		}
	}
	return Named{}, false
}

// FirstSentence of a description, on one line.
func FirstSentence(description string) string {
	line := strings.Join(strings.Fields(description), " ")
	if end := strings.Index(line, ". "); end >= 0 {
		return line[:end+1]
	}
	return line
}

//go:embed new.yaml.tmpl
var template string

var notInLabel = regexp.MustCompile(`[^a-z0-9]+`)

// New is a scenario to start from, with its name made fit to be one.
func New(name string) []byte {
	label := notInLabel.ReplaceAllString(strings.ToLower(name), "-")
	label = strings.Trim(label[:min(len(label), 63)], "-")
	if label == "" {
		label = "my-drill"
	}
	return []byte(strings.ReplaceAll(template, "NAME", label))
}
