package reports

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// written are the metrics of the files that WriteMetrics left in a directory, read by Prometheus' own parser.
func written(t *testing.T, dir string) map[string]*dto.MetricFamily {
	t.Helper()
	all := map[string]*dto.MetricFamily{}
	files, err := filepath.Glob(filepath.Join(dir, "*.prom"))
	require.NoError(t, err)
	for _, file := range files {
		f, err := os.Open(file)
		require.NoError(t, err)
		parser := expfmt.NewTextParser(model.LegacyValidation)
		families, err := parser.TextToMetricFamilies(f)
		require.NoError(t, errorsOf(err, f))
		for name, family := range families {
			require.NotContains(t, all, name, "a metric is in one file")
			all[name] = family
		}
	}
	return all
}

func errorsOf(err error, c io.Closer) error {
	c.Close()
	return err
}

// value of the sample with these labels among others, given as name, value ...
func value(f *dto.MetricFamily, labels ...string) (float64, bool) {
	for _, m := range f.GetMetric() {
		has := map[string]string{}
		for _, l := range m.Label {
			has[l.GetName()] = l.GetValue()
		}
		all := true
		for i := 0; i < len(labels); i += 2 {
			all = all && has[labels[i]] == labels[i+1]
		}
		if all {
			return m.GetGauge().GetValue(), true
		}
	}
	return 0, false
}

func requireValue(t *testing.T, want float64, f *dto.MetricFamily, labels ...string) {
	t.Helper()
	got, ok := value(f, labels...)
	require.True(t, ok, "%s %v", f.GetName(), labels)
	require.InDelta(t, want, got, 0.001)
}

func TestMetrics(t *testing.T) {
	dir := t.TempDir()
	r := passedReport()
	paths, err := WriteMetrics(dir, r)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{filepath.Join(dir, "restore-drill-etcd-data-lost-process.prom"), filepath.Join(dir, "restore-drill-etcd-data-lost-process-success.prom")}, paths)
	for _, path := range paths {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o644), info.Mode().Perm(), "the collector is another user")
	}
	m := written(t, dir)
	success, ok := value(m["restore_drill_last_success_timestamp_seconds"], "scenario", "etcd-data-lost", "provider", "process")
	require.True(t, ok)
	require.InDelta(t, float64(r.Drill.Started.Unix())+r.Drill.Seconds, success, 0.001)
	requireValue(t, 1, m["restore_drill_verdict"], "verdict", "passed")
	requireValue(t, 0, m["restore_drill_verdict"], "verdict", "failed")
	requireValue(t, 5.912, m["restore_drill_objective_measured"], "objective", "rto", "unit", "s")
	requireValue(t, 10, m["restore_drill_objective_target"], "objective", "rto")
	requireValue(t, 21, m["restore_drill_writes"], "fate", "lost")
	requireValue(t, 0, m["restore_drill_differing_objects"], "class", "lost")
	require.NotContains(t, m, "restore_drill_cadence_seconds", "the scenario declares none")
	requireValue(t, 1, m["restore_drill_check"], "check", "rto", "verdict", "passed")

	weekly := passedReport()
	weekly.Drill.Cadence = "weekly"
	other := t.TempDir()
	_, err = WriteMetrics(other, weekly)
	require.NoError(t, err)
	requireValue(t, 7*86400, written(t, other)["restore_drill_cadence_seconds"])

	// A run that fails replaces all but the time of the last success.
	failed := failedReport()
	failed.Drill.Started = failed.Drill.Started.AddDate(0, 0, 1)
	_, err = WriteMetrics(dir, failed)
	require.NoError(t, err)
	m = written(t, dir)
	requireValue(t, success, m["restore_drill_last_success_timestamp_seconds"])
	requireValue(t, success+86400, m["restore_drill_last_run_timestamp_seconds"])
	requireValue(t, 1, m["restore_drill_verdict"], "verdict", "failed")
	requireValue(t, 43, m["restore_drill_writes"], "fate", "lost")

	volumes := t.TempDir()
	_, err = WriteMetrics(volumes, volumesReport())
	require.NoError(t, err)
	v := written(t, volumes)
	requireValue(t, 4, v["restore_drill_volumes"], "fate", "seeded")
	requireValue(t, 2, v["restore_drill_volumes"], "fate", "restored")
	requireValue(t, 1, v["restore_drill_volumes"], "fate", "empty")
	requireValue(t, 21, v["restore_drill_volume_files"], "fate", "lost")
	requireValue(t, 1, v["restore_drill_volume_files"], "fate", "changed")
	requireValue(t, 1, v["restore_drill_volume_records"], "fate", "lost")
	requireValue(t, 1.31, v["restore_drill_objective_measured"], "objective", "volume rpo", "unit", "s")

	// What was not measured is absent, and not zero, nor what was measured before.
	_, err = WriteMetrics(dir, unknownReport())
	require.NoError(t, err)
	m = written(t, dir)
	requireValue(t, 1, m["restore_drill_verdict"], "verdict", "unknown")
	require.NotContains(t, m, "restore_drill_writes")
	require.NotContains(t, m, "restore_drill_volumes")
	require.NotContains(t, m, "restore_drill_differing_objects")
	require.NotContains(t, m, "restore_drill_rto_split_seconds")
	require.NotContains(t, m, "restore_drill_objective_measured")
	requireValue(t, success, m["restore_drill_last_success_timestamp_seconds"])
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 2, "no temporary file stays")

	_, err = WriteMetrics(t.TempDir(), hostileReport())
	require.NoError(t, err)
	odd := passedReport()
	odd.Drill.Scenario = "../../etc/x"
	_, err = WriteMetrics(filepath.Join(dir, "missing"), odd)
	require.ErrorContains(t, err, "missing")
	paths, err = WriteMetrics(dir, odd)
	require.NoError(t, err)
	for _, p := range paths {
		require.Equal(t, dir, filepath.Dir(p))
	}
}

var (
	metricName  = regexp.MustCompile(`restore_drill_[a-z_]+`)
	labelOfExpr = regexp.MustCompile(`(\w+)\s*(?:=~|!=|!~|=)\s*"`)
)

// known is every metric that a drill can have, with the names of its labels.
func known(t *testing.T) map[string]map[string]bool {
	dir := t.TempDir()
	r := passedReport()
	r.Drill.Cadence = "quarterly"
	_, err := WriteMetrics(dir, r)
	require.NoError(t, err)
	all := map[string]map[string]bool{}
	for name, f := range written(t, dir) {
		all[name] = map[string]bool{}
		for _, m := range f.Metric {
			for _, l := range m.Label {
				all[name][l.GetName()] = true
			}
		}
	}
	return all
}

// requireKnown tells that an expression uses metrics that there are, and labels that one of them has.
func requireKnown(t *testing.T, known map[string]map[string]bool, expr string) {
	t.Helper()
	names := metricName.FindAllString(expr, -1)
	require.NotEmpty(t, names, expr)
	labels := map[string]bool{}
	for _, name := range names {
		require.Contains(t, known, name, expr)
		for l := range known[name] {
			labels[l] = true
		}
	}
	for _, l := range labelOfExpr.FindAllStringSubmatch(expr, -1) {
		require.True(t, labels[l[1]], "%s: no metric in it has the label %s", expr, l[1])
	}
	require.Equal(t, strings.Count(expr, "("), strings.Count(expr, ")"), expr)
	require.Equal(t, strings.Count(expr, "{"), strings.Count(expr, "}"), expr)
}

// TestRules reads the rule file as strictly as Prometheus does, but for the grammar of its expressions.
func TestRules(t *testing.T) {
	var file struct {
		Groups []struct {
			Name  string `yaml:"name"`
			Rules []struct {
				Alert       string            `yaml:"alert"`
				Expr        string            `yaml:"expr"`
				For         string            `yaml:"for,omitempty"`
				Labels      map[string]string `yaml:"labels"`
				Annotations map[string]string `yaml:"annotations"`
			} `yaml:"rules"`
		} `yaml:"groups"`
	}
	d := yaml.NewDecoder(strings.NewReader(string(MetricsRules)))
	d.KnownFields(true)
	require.NoError(t, d.Decode(&file))
	metrics, seen := known(t), map[string]bool{}
	for _, rule := range file.Groups[0].Rules {
		require.Regexp(t, `^RestoreDrill[A-Za-z]+$`, rule.Alert)
		require.False(t, seen[rule.Alert])
		seen[rule.Alert] = true
		requireKnown(t, metrics, rule.Expr)
		require.Contains(t, []string{"critical", "warning", "info"}, rule.Labels["severity"])
		require.NotEmpty(t, rule.Annotations["summary"])
		require.NotEmpty(t, rule.Annotations["description"])
		if rule.For != "" {
			_, err := model.ParseDuration(rule.For)
			require.NoError(t, err)
		}
	}
	require.Len(t, seen, 8)
}

func TestDashboard(t *testing.T) {
	var d struct {
		UID        string `json:"uid"`
		Templating struct {
			List []struct{ Name, Definition string } `json:"list"`
		} `json:"templating"`
		Panels []struct {
			ID      int                      `json:"id"`
			Title   string                   `json:"title"`
			Targets []struct{ Expr string }  `json:"targets"`
			GridPos struct{ X, Y, W, H int } `json:"gridPos"`
		} `json:"panels"`
	}
	require.NoError(t, json.Unmarshal(MetricsDashboard, &d))
	require.Equal(t, "restore-drill", d.UID)
	metrics, ids := known(t), map[int]bool{}
	for _, p := range d.Panels {
		require.NotEmpty(t, p.Title)
		require.False(t, ids[p.ID])
		ids[p.ID] = true
		require.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24)
		require.NotEmpty(t, p.Targets, p.Title)
		for _, target := range p.Targets {
			requireKnown(t, metrics, target.Expr)
		}
	}
	require.Len(t, ids, 10)
	for _, v := range d.Templating.List {
		if v.Definition != "" {
			require.Contains(t, metrics[metricName.FindString(v.Definition)], v.Name)
		}
	}
}
