package reports

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// quarter is ten drills of one scenario, one of which failed and one of which could not tell, and one drill of another.
func quarter() (all []Record) {
	rto := []float64{5.9, 6.1, 5.7, 6.0, 12.4, 6.2, 0, 5.8, 6.6, 6.9}
	for i, seconds := range rto {
		r := passedReport()
		switch {
		case seconds == 0:
			r = unknownReport()
		case seconds > 10:
			r = failedReport()
			r.Objectives[0].Measured, r.Objectives[0].Verdict = ptr(seconds), Failed
		default:
			r.Objectives[0].Measured = ptr(seconds)
		}
		r.Drill.Started, r.Drill.ID, r.Drill.Cadence = began.AddDate(0, 0, 7*i), fmt.Sprintf("drill-%d", i), "weekly"
		if i > 7 {
			r.Scenario += "# changed\n"
		}
		record := NewRecord(r, Digest([]byte{byte(i)}))
		record.Sequence = i + 1
		all = append(all, record)
	}
	other := failedReport()
	other.Drill.Scenario, other.Drill.Provider = "velero-pvc-lost", "kind"
	return append(all, NewRecord(other, Digest(nil)))
}

// own is what every page holds of its own: its golden has the rest.
var own = regexp.MustCompile(`(?s)(<style>|<script>|Policy" content=")(.*?)(</style>|</script>|">)`)

func TestTrendGoldens(t *testing.T) {
	var text, html bytes.Buffer
	require.NoError(t, WriteTrend(&text, SeriesOf(quarter()), false))
	golden(t, "testdata/trend/trend.txt", text.Bytes())
	require.NoError(t, WriteTrendHTML(&html, SeriesOf(quarter()), began.AddDate(0, 3, 0)))
	golden(t, "testdata/trend/trend.html", own.ReplaceAll(html.Bytes(), []byte("$1$3")))
	_, away := selfContained(t, html.Bytes())
	require.Empty(t, away)
}

func TestTrend(t *testing.T) {
	series := SeriesOf(quarter())
	require.Len(t, series, 2)
	require.Equal(t, "1 failed, 1 unknown, 8 passed", series[0].Tally())
	require.Equal(t, 2, series[0].Scenarios())
	rto := series[0].Trends()[0]
	require.Equal(t, "newest 6.9 s, median 6.1 s, worst 12.4 s, target ≤ 10 s, missed 1 of 9, not measured 1 of 10", rto.Words())
	median, known := rto.Median()
	require.True(t, known)
	require.Equal(t, 6.1, median)

	// Begun in another order than they were appended in.
	records := quarter()[:2]
	records[0], records[1] = records[1], records[0]
	require.Equal(t, "drill-0", SeriesOf(records)[0].Records[0].Drill)

	// Nothing was measured: no bar stands for it, and no figure.
	never := Trend{Name: "rto", Unit: "s", Points: make([]Objective, 3)}
	require.Equal(t, "never measured", never.Words())
	_, known = never.Median()
	require.False(t, known)
	term := terminal{}
	term.sparkline(never, 60)
	require.Equal(t, "···", term.b.String())
}

// The height of a bar is the share of the worst figure, whatever the target; zero is the lowest bar, and what was missed is red.
func TestSparkline(t *testing.T) {
	trend := Trend{Unit: "s"}
	for _, f := range []float64{0, 1, 2, 4, 8, 16} {
		trend.Points = append(trend.Points, Objective{Target: ptr(8.0), Measured: ptr(f)})
	}
	trend.Points = append(trend.Points, Objective{Target: ptr(8.0)})
	term := terminal{}
	term.sparkline(trend, 60)
	require.Equal(t, "▁▁▁▂▄█·", term.b.String())
	term = terminal{}
	term.sparkline(trend, 2)
	require.Equal(t, "█·", term.b.String())
	term = terminal{color: true}
	term.sparkline(trend, 2)
	require.Equal(t, "\x1b[1;31m█\x1b[0m\x1b[1;33m·\x1b[0m", term.b.String())
	term = terminal{}
	term.sparkline(Trend{Unit: "s", Points: []Objective{{Target: ptr(180.0), Measured: ptr(2.0)}, {Target: ptr(180.0), Measured: ptr(4.0)}}}, 60)
	require.Equal(t, "▄█", term.b.String())
}

func TestTrendIsBoundedAndTellsIt(t *testing.T) {
	var records []Record
	for i := range 500 {
		r := NewRecord(passedReport(), "")
		r.Started = began.AddDate(0, 0, i)
		records = append(records, r)
	}
	for i := range 2 * maxSeries {
		r := NewRecord(failedReport(), "")
		r.Scenario = fmt.Sprintf("scenario-%d", i)
		records = append(records, r)
	}
	var page, out bytes.Buffer
	require.NoError(t, WriteTrendHTML(&page, SeriesOf(records), began))
	require.Less(t, page.Len(), 4<<20)
	shown := text(t, page.Bytes())
	require.Contains(t, shown, "101 more are not on this page")
	require.Contains(t, shown, "The newest 120 are drawn, 380 older ones are not.")
	require.Contains(t, shown, "400 older drills are not listed.")
	require.NoError(t, WriteTrend(&out, SeriesOf(records[:500]), false))
	require.Contains(t, out.String(), "The newest 60 are drawn, 440 older ones are not.")
	require.EqualError(t, WriteTrendHTML(&page, nil, began), "write trend: there are no drills")
}

func TestTrendOfHostileText(t *testing.T) {
	r := NewRecord(hostileReport(), "")
	r.ScenarioSHA256, r.Method = r.Scenario, r.Scenario
	var page, out bytes.Buffer
	require.NoError(t, WriteTrendHTML(&page, SeriesOf([]Record{r}), began))
	_, away := selfContained(t, page.Bytes())
	require.Empty(t, away)
	require.NotContains(t, page.String(), "<img")
	require.NoError(t, WriteTrend(&out, SeriesOf([]Record{r}), false))
	require.NotContains(t, out.String(), "\x1b")
}

func TestDues(t *testing.T) {
	now := began.AddDate(0, 0, 80)
	dues, err := Dues(quarter(), nil, now)
	require.NoError(t, err)
	require.Len(t, dues, 1, "a scenario without a cadence is never due")
	require.Equal(t, "etcd-data-lost", dues[0].Scenario)
	require.Equal(t, "OVERDUE by 10 days", dues[0].State(now))
	dues, err = Dues(quarter(), nil, began.AddDate(0, 0, 65))
	require.NoError(t, err)
	require.Equal(t, "due in 5 days", dues[0].State(began.AddDate(0, 0, 65)))

	// A drill that failed otherwise than declared, or could not tell, keeps no cadence; one that failed as declared does.
	drills := quarter()[:7] // the newest is unknown, the fifth failed
	dues, err = Dues(drills, nil, now)
	require.NoError(t, err)
	require.Equal(t, drills[5].Started, *dues[0].Kept)
	require.Equal(t, Unknown, *dues[0].Newest)
	drills = quarter()[:5]
	dues, err = Dues(drills, nil, now)
	require.NoError(t, err)
	require.Equal(t, drills[3].Started, *dues[0].Kept)
	drills[4].AsDeclared = true
	dues, err = Dues(drills, nil, now)
	require.NoError(t, err)
	require.Equal(t, drills[4].Started, *dues[0].Kept)

	// What was never run, or never came out well, is overdue whatever the time. The file's cadence goes before the record's.
	drills = quarter()[6:7]
	dues, err = Dues(drills, map[string]string{"never-run": "quarterly", "etcd-data-lost": "3000d"}, began)
	require.NoError(t, err)
	require.Equal(t, []Due{{Scenario: "etcd-data-lost", Cadence: "3000d", Newest: ptr(Unknown), Overdue: true}, {Scenario: "never-run", Cadence: "quarterly", Overdue: true}}, dues)
	require.Equal(t, "OVERDUE, never kept", dues[1].State(began))
	dues, err = Dues(quarter(), map[string]string{"etcd-data-lost": ""}, now)
	require.NoError(t, err)
	require.Empty(t, dues)
	_, err = Dues(nil, map[string]string{"a": "yearly"}, now)
	require.ErrorContains(t, err, `unknown cadence "yearly"`)
}

func TestAgo(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0 minutes", 90 * time.Second: "1 minute", 34 * time.Hour: "34 hours", 72*time.Hour + 1: "3 days"} {
		require.Equal(t, want, Ago(d))
	}
}

func TestRungs(t *testing.T) {
	for top, want := range map[float64]string{1: "[0 0.2 0.4 0.6000000000000001 0.8 1]", 10.8: "[0 5 10]", 43: "[0 20 40]", 0.0042: "[0 0.002 0.004]"} {
		got := rungs(top)
		require.Equal(t, strings.Fields(strings.Trim(want, "[]"))[0], fmt.Sprint(got[0]))
		require.GreaterOrEqual(t, len(got), 3, "%v", got)
		require.LessOrEqual(t, len(got), 7, "%v", got)
	}
}

func TestRecordSchemaIsUpToDate(t *testing.T) {
	schema, err := RecordSchema()
	require.NoError(t, err)
	golden(t, "record.schema.json", schema)
	for _, r := range quarter() {
		b, err := json.Marshal(r)
		require.NoError(t, err)
		require.NoError(t, valid(t, RecordSchemaID, schema, b))
		require.NotContains(t, string(b), "null")
	}
	require.ErrorContains(t, valid(t, RecordSchemaID, schema, []byte(`{"schema": "restoredrill.io/history/v2"}`)), "value must be 'restoredrill.io/history/v1alpha1'")
}
