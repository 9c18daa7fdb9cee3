package reports

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	_ "embed"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/restore-drill/restore-drill/internal/cadence"
)

// MetricsRules are alerts on the metrics of drills, as a rule file of Prometheus.
//
//go:embed metrics.rules.yaml
var MetricsRules []byte

// MetricsDashboard shows them, as a dashboard of Grafana.
//
//go:embed metrics.dashboard.json
var MetricsDashboard []byte

// metricVerdicts are the states of a verdict, each a series of its own.
var metricVerdicts = []Verdict{Passed, Failed, Unknown, Skipped}

// MetricLabels tell one drill's series from another's.
func MetricLabels(r *Report) map[string]string {
	return map[string]string{"scenario": r.Drill.Scenario, "provider": r.Drill.Provider}
}

// Metrics of the last run of a drill. A figure that was not measured has no sample: absent is not zero. The labels are put on each series, but the
// time of the last success is not among them: it is in SuccessMetrics, which has to outlive a run that did not pass.
func Metrics(r *Report, labels map[string]string) prometheus.Gatherer {
	m := newMetrics(labels)
	end := float64(r.Drill.Started.UnixMilli())/1000 + r.Drill.Seconds
	m.set("last_run_timestamp_seconds", "When the last run of the drill ended, whatever came of it.", nil, nil, end)
	m.set("duration_seconds", "Wall time of the last run, provisioning to survey.", nil, nil, r.Drill.Seconds)
	m.set("info", "What the last run was.", []string{"method", "drill", "run_by"}, []string{r.Drill.Method, r.Drill.ID, r.Drill.RunBy}, 1)
	if period, err := cadence.Period(r.Drill.Cadence); r.Drill.Cadence != "" && err == nil {
		m.set("cadence_seconds", "How often the scenario is to be rehearsed, as it declares.", nil, nil, period.Seconds())
	}
	m.set("as_declared", "Whether the last run came out as its scenario declares.", nil, nil, truth(r.Declared.AsDeclared))
	for _, v := range metricVerdicts[:3] {
		m.set("verdict", "The verdict of the last run: 1 for the one that it is, and 0 for the others.", []string{"verdict"}, []string{v.String()}, truth(v == r.Verdict))
	}
	for _, c := range r.Checks {
		for _, v := range metricVerdicts {
			m.set("check", "The verdict of each check of the last run: 1 for the one that it is, and 0 for the others.", []string{"check", "verdict"}, []string{c.Name, v.String()}, truth(v == c.Verdict))
		}
	}
	for _, o := range r.Objectives {
		name := []string{o.Name, o.Unit}
		if o.Measured != nil {
			m.set("objective_measured", "What was measured, in the objective's unit.", []string{"objective", "unit"}, name, *o.Measured)
		}
		if o.Target != nil {
			m.set("objective_target", "What was promised, in the objective's unit.", []string{"objective", "unit"}, name, *o.Target)
		}
	}
	if r.RTO != nil {
		for _, i := range r.RTO.Split {
			m.set("rto_split_seconds", "Where the recovery time went.", []string{"from", "to"}, []string{i.From, i.To}, i.Seconds)
		}
	}
	if l := r.Ledger; l != nil {
		for fate, n := range map[string]int{"acknowledged": l.Total.Acknowledged, "lost": l.Total.Lost, "resurrected": l.Total.Resurrected, "in_doubt": l.Total.InDoubt} {
			m.set("writes", "Writes of the ledger, by their fate.", []string{"fate"}, []string{fate}, float64(n))
		}
	}
	if v := r.Volumes; v != nil {
		for fate, n := range map[string]int{"seeded": len(v.Claims), "restored": v.Restored, "empty": v.Empty} {
			m.set("volumes", "Volumes that were seeded, by what became of them.", []string{"fate"}, []string{fate}, float64(n))
		}
		if f := v.Files; f != nil {
			for fate, n := range map[string]int{"seeded": f.Before, "lost": f.Lost, "changed": f.Changed, "extra": f.Extra} {
				m.set("volume_files", "Files in the volumes, by their fate; absent when those of one volume could not be compared.", []string{"fate"}, []string{fate}, float64(n))
			}
		}
		if l := v.Records; l != nil {
			for fate, n := range map[string]int{"acknowledged": l.Acknowledged, "lost": l.Lost} {
				m.set("volume_records", "Records of the volume ledger, by their fate.", []string{"fate"}, []string{fate}, float64(n))
			}
		}
	}
	if f := r.Fidelity; f != nil {
		classes := map[string]int{"lost": 0, "extra": 0, "changed": 0, "expected": 0}
		for _, k := range f.Kinds {
			classes["lost"] += k.Lost
			classes["extra"] += k.Extra
			classes["changed"] += k.Changed
			classes["expected"] += k.Expected
		}
		for class, n := range classes {
			m.set("differing_objects", "Objects that did not come back as they were, by class; expected ones are allowed by the profile.", []string{"class"}, []string{class}, float64(n))
		}
	}
	return m
}

// SuccessMetrics say when a drill last passed; nil for a run that did not. They go to a place of their own, so that a later run that fails leaves
// them as they are.
func SuccessMetrics(r *Report, labels map[string]string) prometheus.Gatherer {
	if r.Verdict != Passed {
		return nil
	}
	m := newMetrics(labels)
	m.set("last_success_timestamp_seconds", "When the last run that passed ended.", nil, nil, float64(r.Drill.Started.UnixMilli())/1000+r.Drill.Seconds)
	return m
}

// WriteMetrics writes files for node_exporter's textfile collector into dir, each whole or not at all, and returns their paths: one for the last
// run of the drill, and one for its last success, which is only written by a success.
func WriteMetrics(dir string, r *Report) (paths []string, err error) {
	var errs []error
	for ending, gatherer := range map[string]prometheus.Gatherer{"": Metrics(r, MetricLabels(r)), "-success": SuccessMetrics(r, MetricLabels(r))} {
		if gatherer == nil {
			continue
		}
		path := filepath.Join(dir, fmt.Sprintf("restore-drill-%s-%s%s.prom", fileName(r.Drill.Scenario), fileName(r.Drill.Provider), ending))
		// The collector is another user than the drill's.
		errs = append(errs, writeFileAs(path, 0o644, func(w io.Writer) error { return writeMetrics(w, gatherer) }))
		paths = append(paths, path)
	}
	return paths, errors.Join(errs...)
}

func writeMetrics(w io.Writer, g prometheus.Gatherer) error {
	families, err := g.Gather()
	if err != nil {
		return fmt.Errorf("gather metrics: %w", err)
	}
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(w, f); err != nil {
			return fmt.Errorf("write metrics: %w", err)
		}
	}
	return nil
}

// fileName of what a scenario is called, which is a DNS label unless the report is a stranger's.
func fileName(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, s)
}

// metrics are gauges that are set once.
type metrics struct {
	*prometheus.Registry
	labels map[string]string
	gauges map[string]*prometheus.GaugeVec
}

func newMetrics(labels map[string]string) *metrics {
	return &metrics{prometheus.NewPedanticRegistry(), labels, map[string]*prometheus.GaugeVec{}}
}

func (m *metrics) set(name, help string, names, values []string, v float64) {
	g, ok := m.gauges[name]
	if !ok {
		labels := prometheus.Labels{}
		for k, v := range m.labels {
			labels[k] = strings.ToValidUTF8(v, "\uFFFD")
		}
		g = prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "restore_drill", Name: name, Help: help, ConstLabels: labels}, names)
		m.MustRegister(g)
		m.gauges[name] = g
	}
	clean := make([]string, len(values))
	for i, v := range values {
		clean[i] = strings.ToValidUTF8(v, "\uFFFD")
	}
	g.WithLabelValues(clean...).Set(v)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
