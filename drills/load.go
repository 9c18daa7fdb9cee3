package drills

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/restore-drill/restore-drill/drills/backups"
	"github.com/restore-drill/restore-drill/drills/checks"
	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/drills/faults"
	"github.com/restore-drill/restore-drill/fixtures"
	"github.com/restore-drill/restore-drill/internal/toolchain"
	"github.com/restore-drill/restore-drill/reports"
	"github.com/restore-drill/restore-drill/scenarios"
)

// A Loaded scenario, with the text that it was parsed from.
type Loaded struct {
	Scenario *scenarios.Scenario
	Text     []byte
	Path     string
}

// Load reads and checks the scenario that is named: an embedded one by its name, a file by its path.
func Load(nameOrPath string) (*Loaded, error) {
	l, err := Read(nameOrPath)
	if err != nil {
		return nil, err
	}
	return l, l.parse()
}

// parse the text, and check what it names.
func (l *Loaded) parse() (err error) {
	if l.Scenario, err = scenarios.Parse(l.Path, l.Text, Vocabulary()); err != nil {
		return err
	}
	for _, named := range l.Scenario.Spec.Faults {
		if f, err := faults.New(named); err == nil && faults.NeedsMachines(f) {
			l.Scenario.Spec.Require(scenarios.Machines)
		}
	}
	if err := scenarios.CheckFiles(l.Scenario, l.Path); err != nil {
		return err
	}
	_, err = fixtures.LoadManifests(manifests(l.Scenario, l.Path))
	return err
}

// manifests of the user's own, whose paths are relative to the scenario's.
func manifests(s *scenarios.Scenario, path string) []string {
	var paths []string
	for _, m := range s.Spec.Seed.Manifests {
		if !filepath.IsAbs(m) {
			m = filepath.Join(filepath.Dir(path), m)
		}
		paths = append(paths, m)
	}
	return paths
}

// All names every embedded scenario, sabotage too.
const All = "all"

// env is what a backup method can be told before there is a drill.
func (l *Loaded) env(tools clusters.Tools) backups.Env {
	return backups.Env{
		StateRoot: tools.StateRoot, Toolchain: tools.Toolchain, Network: tools.Network,
		Workloads: l.Scenario.Spec.Seed.Workloads, Manifests: manifests(l.Scenario, l.Path), ScenarioDir: filepath.Dir(l.Path),
	}
}

// ErrLacking is wrapped by the error that says that a provider's clusters have not all that a scenario requires.
var ErrLacking = errors.New("the provider's clusters lack what the scenario requires")

// lacks tells what the scenario requires and the provider's clusters have not.
func (l *Loaded) lacks(p clusters.Provider) error {
	if slices.Contains(l.Scenario.Spec.Requires, scenarios.Machines) && !p.Tools().Machines() {
		return fmt.Errorf("scenario %s needs nodes that are machines (spec.requires), and those of provider %s are not (use --provider kind): %w", l.Scenario.Metadata.Name, p.Name(), ErrLacking)
	}
	return nil
}

// Fitting divides the scenarios that All stands for: those that a provider can run, and those that require what its clusters have not.
func Fitting(p clusters.Provider) (fit, unfit []string, err error) {
	for _, name := range embedded() {
		l, err := Load(name)
		if err != nil {
			return nil, nil, err
		}
		if l.lacks(p) != nil {
			unfit = append(unfit, name)
		} else {
			fit = append(fit, name)
		}
	}
	return fit, unfit, nil
}

// LoadAll loads several scenarios; its error joins those of all.
func LoadAll(namesOrPaths []string) ([]*Loaded, error) {
	var (
		all   []*Loaded
		errs  []error
		named []string
	)
	for _, n := range namesOrPaths {
		if n == All {
			named = append(named, embedded()...)
		} else {
			named = append(named, n)
		}
	}
	for _, n := range named {
		l, err := Load(n)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, l)
	}
	return all, errors.Join(errs...)
}

// Read returns the text of the scenario that is named, unchecked.
func Read(nameOrPath string) (*Loaded, error) {
	if named, ok := scenarios.Find(nameOrPath); ok {
		return &Loaded{Text: named.Data, Path: named.Path}, nil
	}
	text, err := scenarios.ReadFile(nameOrPath)
	if errors.Is(err, os.ErrNotExist) && !strings.ContainsAny(nameOrPath, "/\\.") {
		return nil, unknownScenario(scenarios.Unknown("scenario or file", nameOrPath, append([]string{All}, embedded()...)))
	}
	if err != nil {
		return nil, err
	}
	return &Loaded{Text: text, Path: nameOrPath}, nil
}

// ErrUnknownScenario is wrapped by the error about a name that no embedded scenario has.
var ErrUnknownScenario = errors.New("unknown scenario")

// unknownScenario says it in its own words.
type unknownScenario string

func (e unknownScenario) Error() string        { return string(e) }
func (e unknownScenario) Is(target error) bool { return target == ErrUnknownScenario }

// embedded scenarios, by name.
func embedded() (names []string) {
	for _, s := range scenarios.Embedded() {
		names = append(names, s.Name)
	}
	return names
}

// Vocabulary is what a scenario may name.
func Vocabulary() scenarios.Vocabulary {
	v := scenarios.Vocabulary{
		Faults:             map[string]any{},
		Workloads:          fixtures.Workloads(),
		KubernetesVersions: toolchain.KubernetesVersions,
		Kinds:              fixtures.GeneratedKinds(),
		CEL:                CheckCEL,
		Controls:           reports.ControlNames(),
		Sources:            faults.Sources(),
	}
	for name, fault := range faults.Catalogue() {
		v.Faults[name] = fault()
	}
	for _, c := range checks.All() {
		v.Checks = append(v.Checks, c.Name)
	}
	v.Methods = backups.Methods()
	return v
}

// FaultNames of a scenario, in order.
func FaultNames(s *scenarios.Scenario) (names []string) {
	for _, f := range s.Spec.Faults {
		names = append(names, f.Name)
	}
	return names
}

// Judge reads a run directory and judges it anew.
func Judge(dir, version string) (*reports.Report, error) { return checks.Judge(dir, version) }
