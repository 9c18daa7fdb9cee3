package announce

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/restore-drill/restore-drill/reports"
)

func report(t *testing.T, verdict string) *reports.Report {
	t.Helper()
	f, err := os.Open(filepath.Join("../../reports/testdata", verdict, "report.json"))
	require.NoError(t, err)
	defer f.Close()
	r, err := reports.ReadJSON(f)
	require.NoError(t, err)
	return r
}

// A request as a receiver saw it.
type request struct {
	method, path string
	header       http.Header
	body         []byte
}

// receiver answers one request after the other with these codes, and the last of them from then on.
func receiver(t *testing.T, codes ...int) (address string, seen func() []request) {
	t.Helper()
	var (
		mu  sync.Mutex
		all []request
	)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		all = append(all, request{r.Method, r.URL.Path, r.Header, body})
		code := codes[min(len(all), len(codes))-1]
		mu.Unlock()
		if code/100 == 3 {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(code)
	}))
	t.Cleanup(server.Close)
	return server.URL, func() []request {
		mu.Lock()
		defer mu.Unlock()
		return all
	}
}

// nobody listens at this address.
func nobody(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return "http://" + l.Addr().String()
}

func TestCheck(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for name, test := range map[string]struct {
		to   To
		want string
	}{
		"no directory":     {To{MetricsDir: file}, "is no directory"},
		"missing":          {To{MetricsDir: file + "s"}, "no such file"},
		"webhook":          {To{Webhook: "hooks.example.com/s3cret"}, "address of the webhook: want http://HOST"},
		"pushgateway":      {To{Pushgateway: "ftp://x"}, "address of the Pushgateway"},
		"unreadable":       {To{Webhook: "http://\x00s3cret"}, "address of the webhook"},
		"secret of a kind": {To{WebhookSecret: "whsec_???s3cret"}, "what follows whsec_ is no base64"},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.to.Check()
			require.ErrorContains(t, err, test.want)
			require.NotContains(t, err.Error(), "s3cret")
		})
	}
	require.NoError(t, To{}.Check())
	require.NoError(t, To{MetricsDir: t.TempDir(), Webhook: "https://hooks.example.com/x", Pushgateway: "http://localhost:9091", WebhookSecret: "whsec_aGVsbG8="}.Check())
}

func TestWebhook(t *testing.T) {
	address, seen := receiver(t, 204)
	r := report(t, "failed")
	require.NoError(t, To{Webhook: address + "/hook", WebhookSecret: "s3cret"}.Announce(t.Context(), r, ""))
	require.Len(t, seen(), 1)
	got := seen()[0]
	require.Equal(t, "/hook", got.path)
	require.Equal(t, "application/cloudevents+json; charset=utf-8", got.header.Get("Content-Type"))
	require.Equal(t, r.Drill.ID, got.header.Get("Webhook-Id"))
	require.Equal(t, Sign([]byte("s3cret"), r.Drill.ID, got.header.Get("Webhook-Timestamp"), got.body), got.header.Get("Webhook-Signature"))
	require.NotEqual(t, Sign([]byte("other"), r.Drill.ID, got.header.Get("Webhook-Timestamp"), got.body), got.header.Get("Webhook-Signature"))
	require.NotContains(t, string(got.body), "s3cret")
	var e map[string]any
	require.NoError(t, json.Unmarshal(got.body, &e))
	for name, want := range map[string]any{"specversion": "1.0", "id": r.Drill.ID, "source": "/restore-drill/process", "type": EventType, "subject": "etcd-data-lost",
		"time": "2026-11-20T09:30:17.84Z", "datacontenttype": "application/json"} {
		require.Equal(t, want, e[name], name)
	}
	data := e["data"].(map[string]any)
	require.Equal(t, "failed", data["verdict"])
	require.Equal(t, r.Reason, data["reason"])
	require.Equal(t, "rpo", data["checks"].([]any)[0].(map[string]any)["name"])

	// Without a secret there is no signature; the secret of another form is the bytes that it stands for.
	require.NoError(t, To{Webhook: address}.Announce(t.Context(), r, ""))
	require.Empty(t, seen()[1].header.Get("Webhook-Signature"))
	require.NoError(t, To{Webhook: address, WebhookSecret: "whsec_aGVsbG8="}.Announce(t.Context(), r, ""))
	require.Equal(t, Sign([]byte("hello"), r.Drill.ID, seen()[2].header.Get("Webhook-Timestamp"), seen()[2].body), seen()[2].header.Get("Webhook-Signature"))
}

// TestSignature is the example of the Standard Webhooks specification's own libraries.
func TestSignature(t *testing.T) {
	key, err := webhookKey("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	require.NoError(t, err)
	require.Equal(t, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", Sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`)))
}

func TestWebhookTrouble(t *testing.T) {
	for name, test := range map[string]struct {
		codes    []int
		requests int
		want     string
	}{
		"comes back":       {[]int{503, 429, 200}, 3, ""},
		"stays away":       {[]int{500}, attempts, "it answered 500 Internal Server Error (5 attempts)"},
		"does not want it": {[]int{400}, 1, "it answered 400 Bad Request"},
		"is gone":          {[]int{410}, 1, "it answered 410 Gone"},
		"sends us on":      {[]int{302, 200}, 1, "it answered 302 Found"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, seen := receiver(t, test.codes...)
			err := To{Webhook: address + "/s3cret?token=s3cret"}.Announce(t.Context(), report(t, "passed"), "")
			require.Len(t, seen(), test.requests)
			if test.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, "post to the webhook "+address+": "+test.want)
			require.NotContains(t, err.Error(), "s3cret")
		})
	}
	t.Run("nobody", func(t *testing.T) {
		t.Parallel()
		address := nobody(t)
		err := To{Webhook: address + "/s3cret"}.Announce(t.Context(), report(t, "passed"), "")
		require.ErrorContains(t, err, "post to the webhook "+address)
		require.ErrorContains(t, err, "refused (5 attempts)")
		require.NotContains(t, err.Error(), "s3cret")
	})
	t.Run("no time left", func(t *testing.T) {
		t.Parallel()
		err := To{Webhook: nobody(t), Timeout: 100 * time.Millisecond}.Announce(t.Context(), report(t, "passed"), "")
		require.ErrorContains(t, err, "no time is left to try again")
	})
	t.Run("hangs", func(t *testing.T) {
		t.Parallel()
		done := make(chan struct{})
		server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-done }))
		defer server.Close()
		defer close(done)
		err := To{Webhook: server.URL, Timeout: 100 * time.Millisecond}.Announce(t.Context(), report(t, "passed"), "")
		require.ErrorContains(t, err, "context deadline exceeded")
	})
}

// TestPushgateway looks at what a gateway is given: the run in one group, and its success in another.
func TestPushgateway(t *testing.T) {
	address, seen := receiver(t, 200)
	with := strings.Replace(address, "http://", "http://ann:s3cret@", 1)
	require.NoError(t, To{Pushgateway: with}.Announce(t.Context(), report(t, "passed"), ""))
	require.NoError(t, To{Pushgateway: with}.Announce(t.Context(), report(t, "failed"), ""))
	require.NoError(t, To{Pushgateway: with}.Announce(t.Context(), report(t, "unknown"), ""))
	groups := map[string]int{}
	for _, r := range seen() {
		require.Equal(t, http.MethodPut, r.method, "a group is replaced as a whole")
		user, password, ok := (&http.Request{Header: r.header}).BasicAuth()
		require.True(t, ok && user == "ann" && password == "s3cret")
		job := strings.Split(r.path, "/")[3]
		groups[job]++
		require.Contains(t, r.path, "/scenario/etcd-data-lost")
		require.Contains(t, r.path, "/provider/process")
		families := decode(t, r)
		require.Equal(t, job == jobSuccess, families["restore_drill_last_success_timestamp_seconds"])
		require.Equal(t, job == jobRun, families["restore_drill_verdict"])
	}
	require.Equal(t, map[string]int{jobRun: 3, jobSuccess: 1}, groups)

	refused, _ := receiver(t, 400)
	err := To{Pushgateway: strings.Replace(refused, "http://", "http://ann:s3cret@", 1)}.Announce(t.Context(), report(t, "passed"), "")
	require.ErrorContains(t, err, "push metrics to "+refused+": unexpected status code 400")
	require.NotContains(t, err.Error(), "s3cret")
	address = nobody(t)
	require.ErrorContains(t, To{Pushgateway: address}.Announce(t.Context(), report(t, "passed"), ""), "push metrics to "+address)
}

func decode(t *testing.T, r request) map[string]bool {
	t.Helper()
	d := expfmt.NewDecoder(strings.NewReader(string(r.body)), expfmt.ResponseFormat(r.header))
	names := map[string]bool{}
	for {
		f := &dto.MetricFamily{}
		if err := d.Decode(f); err == io.EOF {
			return names
		} else {
			require.NoError(t, err)
		}
		names[f.GetName()] = true
	}
}

// timeline of a drill in which the tool failed, and one operation never ended.
const timeline = `{"at":0,"kind":"phase-started","name":"provision","phase":"provision"}
{"at":1000000000,"kind":"step-started","name":"start etcd","phase":"provision","detail":"one member"}
{"at":2000000000,"kind":"step-ended","name":"start etcd","phase":"provision"}
{"at":3000000000,"kind":"phase-ended","name":"provision","phase":"provision"}
{"at":3500000000,"kind":"mark","name":"struck","detail":"a read is refused"}
{"at":4000000000,"kind":"phase-started","name":"restore","phase":"restore"}
{"at":4100000000,"kind":"step-started","name":"restore objects","phase":"restore"}
{"at":9000000000,"kind":"phase-ended","name":"restore","phase":"restore","error":"the snapshot is torn","blame":"tool"}
{"at":9500000000,"kind":"drill-ended"}
`

func runDirectory(t *testing.T) string {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "drill.json"), []byte(`{"schema":"restoredrill.io/evidence/v1alpha1","started":"2026-11-20T09:30:00Z"}`), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "timeline.jsonl"), []byte(timeline), 0o600))
	return dir
}

// noTracing takes away what the tests' own environment may hold.
func noTracing(t *testing.T) {
	for _, name := range []string{"OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED", "OTEL_SERVICE_NAME",
		"OTEL_RESOURCE_ATTRIBUTES", "OTEL_PROPAGATORS", "TRACEPARENT", "TRACESTATE"} {
		t.Setenv(name, "")
	}
}

// received are the spans that an OTLP receiver got, by their names, and the name of their service.
func received(t *testing.T, all []request) (spans map[string]*otlp.Span, service string) {
	t.Helper()
	spans = map[string]*otlp.Span{}
	for _, r := range all {
		require.Equal(t, "/v1/traces", r.path)
		var message collector.ExportTraceServiceRequest
		require.NoError(t, proto.Unmarshal(r.body, &message))
		for _, rs := range message.ResourceSpans {
			for _, a := range rs.Resource.Attributes {
				if a.Key == "service.name" {
					service = a.Value.GetStringValue()
				}
			}
			for _, ss := range rs.ScopeSpans {
				for _, s := range ss.Spans {
					spans[s.Name] = s
				}
			}
		}
	}
	return spans, service
}

func TestSpans(t *testing.T) {
	noTracing(t)
	address, seen := receiver(t, 200)
	r, dir := report(t, "failed"), runDirectory(t)
	require.NoError(t, To{}.Announce(t.Context(), r, dir))
	require.Empty(t, seen(), "nothing is exported unless a variable names a receiver")

	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
	t.Setenv("TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	require.NoError(t, To{}.Announce(t.Context(), r, dir))
	spans, service := received(t, seen())
	require.Equal(t, "restore-drill", service)
	require.Len(t, spans, 5)
	began := time.Date(2026, 11, 20, 9, 30, 0, 0, time.UTC)
	for name, want := range map[string]struct {
		parent     string
		start, end time.Duration
		status     otlp.Status_StatusCode
		message    string
	}{
		"drill etcd-data-lost": {"", 0, 9500 * time.Millisecond, otlp.Status_STATUS_CODE_ERROR, "failed: " + r.Reason},
		"provision":            {"drill etcd-data-lost", 0, 3 * time.Second, otlp.Status_STATUS_CODE_UNSET, ""},
		"start etcd":           {"provision", time.Second, 2 * time.Second, otlp.Status_STATUS_CODE_UNSET, ""},
		"restore":              {"drill etcd-data-lost", 4 * time.Second, 9 * time.Second, otlp.Status_STATUS_CODE_ERROR, "the snapshot is torn"},
		"restore objects":      {"restore", 4100 * time.Millisecond, 9500 * time.Millisecond, otlp.Status_STATUS_CODE_ERROR, "it did not end"},
	} {
		s := spans[name]
		require.NotNil(t, s, name)
		require.Equal(t, "0af7651916cd43dd8448eb211c80319c", hex.EncodeToString(s.TraceId), "it joins the trace of TRACEPARENT")
		if want.parent == "" {
			require.Equal(t, "b7ad6b7169203331", hex.EncodeToString(s.ParentSpanId))
		} else {
			require.Equal(t, spans[want.parent].SpanId, s.ParentSpanId, name)
		}
		require.Equal(t, began.Add(want.start).UnixNano(), int64(s.StartTimeUnixNano), name)
		require.Equal(t, began.Add(want.end).UnixNano(), int64(s.EndTimeUnixNano), name)
		require.Equal(t, want.status, s.Status.GetCode(), name)
		require.Equal(t, want.message, s.Status.GetMessage(), name)
	}
	mark := spans["drill etcd-data-lost"].Events[0]
	require.Equal(t, "struck", mark.Name)
	require.Equal(t, began.Add(3500*time.Millisecond).UnixNano(), int64(mark.TimeUnixNano))
}

func TestSpansOfAPassedDrill(t *testing.T) {
	noTracing(t)
	address, seen := receiver(t, 200)
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", address+"/v1/traces")
	t.Setenv("OTEL_SERVICE_NAME", "night-shift")
	require.NoError(t, To{}.Announce(t.Context(), report(t, "passed"), runDirectory(t)))
	spans, service := received(t, seen())
	require.Equal(t, "night-shift", service)
	root := spans["drill etcd-data-lost"]
	require.Equal(t, otlp.Status_STATUS_CODE_OK, root.Status.GetCode())
	require.Empty(t, root.ParentSpanId, "there is no trace to join")
	t.Setenv("OTEL_SDK_DISABLED", "true")
	require.NoError(t, To{}.Announce(t.Context(), report(t, "passed"), runDirectory(t)))
	require.Len(t, seen(), 1)
}

func TestSpansTrouble(t *testing.T) {
	noTracing(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", nobody(t))
	to := To{Timeout: 2 * time.Second}
	require.ErrorContains(t, to.Announce(t.Context(), report(t, "passed"), runDirectory(t)), "export spans: ")
	refusing, _ := receiver(t, 400)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", refusing)
	require.ErrorContains(t, to.Announce(t.Context(), report(t, "passed"), runDirectory(t)), "export spans: ")
	require.ErrorContains(t, to.Announce(t.Context(), report(t, "passed"), t.TempDir()), "make spans of the timeline: read drill.json")
	t.Setenv("OTEL_TRACES_EXPORTER", "carrier-pigeon")
	require.ErrorContains(t, to.Announce(t.Context(), report(t, "passed"), runDirectory(t)), "carrier-pigeon")
}

// TestOneThatFailsStopsNoOther tells all of them, and names each that could not be told.
func TestOneThatFailsStopsNoOther(t *testing.T) {
	noTracing(t)
	address, seen := receiver(t, 200)
	gone := nobody(t)
	dir := t.TempDir()
	err := To{MetricsDir: dir, Pushgateway: gone, Webhook: address}.Announce(context.Background(), report(t, "passed"), "")
	require.ErrorContains(t, err, "push metrics to "+gone)
	require.NotContains(t, err.Error(), "webhook")
	require.Len(t, seen(), 1)
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 2)
}
