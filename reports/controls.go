package reports

import (
	"bytes"
	"embed"
	"fmt"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
)

// A mapping says what a drill can be evidence for. It is data, in controls/*.yaml: one file a framework.
type mapping struct {
	Framework string          `yaml:"framework"`
	Source    string          `yaml:"source"`
	Controls  []mappedControl `yaml:"controls"`
}

type mappedControl struct {
	ID       string `yaml:"id"`
	Title    string `yaml:"title"`
	Supports []struct {
		Says   string   `yaml:"says"`
		Checks []string `yaml:"checks"`
	} `yaml:"supports"`
	DoesNotShow []string `yaml:"doesNotShow"`
}

//go:embed controls/*.yaml
var controlFiles embed.FS

// mappings are those of all frameworks, in the order of their files.
var mappings = sync.OnceValue(func() (all []mapping) {
	files, err := controlFiles.ReadDir("controls")
	if err != nil {
		panic(err)
	}
	for _, f := range files {
		text, err := controlFiles.ReadFile("controls/" + f.Name())
		if err != nil {
			panic(err)
		}
		var m mapping
		d := yaml.NewDecoder(bytes.NewReader(text))
		d.KnownFields(true)
		if err := d.Decode(&m); err != nil {
			panic(fmt.Sprintf("controls/%s: %v", f.Name(), err)) // it is part of the program
		}
		all = append(all, m)
	}
	return all
})

// ControlNames are those of all controls that a scenario can name: soc2:A1.2.
func ControlNames() (names []string) {
	for _, m := range mappings() {
		for _, c := range m.Controls {
			names = append(names, c.ID)
		}
	}
	return names
}

// MapControls says what a judged drill supports evidence for, of the controls that its scenario names. A statement is supported when the drill
// passed, and each of the checks that it rests on did. Nothing is supported by a drill that failed or that could not tell.
func MapControls(r *Report, names []string) (all []Control) {
	verdicts := map[string]Verdict{}
	for _, c := range r.Checks {
		verdicts[c.Name] = c.Verdict
	}
	for _, m := range mappings() {
		for _, c := range m.Controls {
			if !slices.Contains(names, c.ID) {
				continue
			}
			out := Control{ID: c.ID, Framework: m.Framework, Source: m.Source, Title: c.Title, DoesNotShow: c.DoesNotShow}
			for i, s := range c.Supports {
				statement := ControlStatement{ID: fmt.Sprintf("%s/%d", c.ID, i+1), Says: s.Says, Checks: s.Checks}
				if statement.Because = unsupported(r.Verdict, verdicts, s.Checks); statement.Because == "" {
					out.Supports = append(out.Supports, statement)
				} else {
					out.NotSupported = append(out.NotSupported, statement)
				}
			}
			all = append(all, out)
		}
	}
	return all
}

// unsupported says why a statement is; empty when it is supported.
func unsupported(drill Verdict, verdicts map[string]Verdict, checks []string) string {
	if drill != Passed {
		return fmt.Sprintf("the drill is %s", drill)
	}
	var not []string
	for _, c := range checks {
		if v, judged := verdicts[c]; !judged {
			not = append(not, c+" was not judged")
		} else if v != Passed {
			not = append(not, fmt.Sprintf("%s is %s", c, v))
		}
	}
	return strings.Join(not, ", ")
}
