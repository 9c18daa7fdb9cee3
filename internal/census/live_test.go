package census

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// A served API: paths of lists to what answers them, and the resources that discovery names.
type served struct {
	resources map[string][]metav1.APIResource // by group/version
	lists     map[string]http.HandlerFunc
	preferred map[string]string
}

func serve(t testing.TB, s served) *rest.Config {
	t.Helper()
	mux := http.NewServeMux()
	answer := func(path string, v any) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(v)
		})
	}
	groups := metav1.APIGroupList{}
	for gv, resources := range s.resources {
		list := metav1.APIResourceList{GroupVersion: gv, APIResources: resources}
		group, version, ok := strings.Cut(gv, "/")
		if !ok {
			answer("/api/"+gv, list)
			continue
		}
		answer("/apis/"+gv, list)
		i := 0
		for i < len(groups.Groups) && groups.Groups[i].Name != group {
			i++
		}
		if i == len(groups.Groups) {
			groups.Groups = append(groups.Groups, metav1.APIGroup{Name: group})
		}
		g := &groups.Groups[i]
		g.Versions = append(g.Versions, metav1.GroupVersionForDiscovery{GroupVersion: gv, Version: version})
		if s.preferred[group] == version || len(g.Versions) == 1 {
			g.PreferredVersion = metav1.GroupVersionForDiscovery{GroupVersion: gv, Version: version}
		}
	}
	answer("/api", metav1.APIVersions{Versions: []string{"v1"}})
	answer("/apis", groups)
	for path, list := range s.lists {
		mux.HandleFunc("GET "+path, list)
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return &rest.Config{Host: server.URL}
}

func text(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) }
}

func listable(name, kind string, namespaced bool) metav1.APIResource {
	return metav1.APIResource{Name: name, Kind: kind, Namespaced: namespaced, Verbs: metav1.Verbs{"get", "list"}}
}

func configMapsOnly(list http.HandlerFunc) served {
	return served{resources: map[string][]metav1.APIResource{"v1": {listable("configmaps", "ConfigMap", true)}},
		lists: map[string]http.HandlerFunc{"/api/v1/configmaps": list}}
}

func TestLive(t *testing.T) {
	cfg := serve(t, served{
		resources: map[string][]metav1.APIResource{
			"v1": {listable("configmaps", "ConfigMap", true), listable("secrets", "Secret", true), listable("namespaces", "Namespace", false),
				listable("events", "Event", true), listable("componentstatuses", "ComponentStatus", false), listable("namespaces/status", "Namespace", false),
				{Name: "bindings", Kind: "Binding", Namespaced: true, Verbs: metav1.Verbs{"create"}}},
			"apps/v1":                     {listable("deployments", "Deployment", true)},
			"example.com/v1beta1":         {listable("shops", "Shop", false), listable("olds", "Old", false)},
			"example.com/v1":              {listable("shops", "Shop", false)},
			"events.k8s.io/v1":            {listable("events", "Event", true)},
			"metrics.k8s.io/v1beta1":      {listable("pods", "PodMetrics", true)},
			"external.metrics.k8s.io/v1b": {listable("anything", "Metric", true)},
		},
		preferred: map[string]string{"example.com": "v1"},
		lists: map[string]http.HandlerFunc{
			"/api/v1/configmaps": text(`{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":"9"},"items":[
				{"metadata":{"name":"a","namespace":"m","resourceVersion":"3"},"data":{"k":"v"}},
				{"metadata":{"name":"B","namespace":"n"}}]}`),
			"/api/v1/secrets":                   text(`{"kind":"SecretList","apiVersion":"v1","metadata":{},"items":[{"metadata":{"name":"s","namespace":"m"},"data":{"k":"cGxhbnRlZA=="}}]}`),
			"/api/v1/namespaces":                text(`{"kind":"NamespaceList","metadata":{},"items":[{"metadata":{"name":"m"}}]}`),
			"/api/v1/events":                    text(`{"kind":"EventList","metadata":{},"items":null}`),
			"/apis/apps/v1/deployments":         text(`{"items":[],"kind":"DeploymentList","metadata":{}}`),
			"/apis/example.com/v1/shops":        text(`{"items":[{"apiVersion":"example.com/v1","kind":"Shop","metadata":{"name":"x"},"spec":{"kind":"kept"}}],"kind":"ShopList","metadata":{"resourceVersion":"9"}}`),
			"/apis/example.com/v1beta1/olds":    text(`{"items":[],"kind":"OldList"}`),
			"/apis/example.com/v1beta1/shops":   text(`unwanted`),
			"/api/v1/componentstatuses":         text(`unwanted`),
			"/apis/events.k8s.io/v1/events":     text(`unwanted`),
			"/apis/metrics.k8s.io/v1beta1/pods": text(`unwanted`),
		},
	})
	dir := t.TempDir()
	file := filepath.Join(dir, "census")
	var lines []string
	tail, err := Live(t.Context(), cfg, file, LiveOptions{Key: testKey, Progress: func(line string) { lines = append(lines, line) }})
	require.NoError(t, err)
	require.Len(t, lines, 7)
	require.Contains(t, lines, "/configmaps: 2 objects")
	require.Equal(t, Tail{End: true, Entries: 5,
		Resources:  []string{"/configmaps", "/events", "/namespaces", "/secrets", "apps/deployments", "example.com/olds", "example.com/shops"},
		Unreadable: map[string]string{},
		Skipped: map[string]string{
			"/bindings":                        "cannot be listed: a question to the API server, not stored",
			"/componentstatuses":               "made up at each request, not stored",
			"events.k8s.io/events":             "the same objects as /events, which is read",
			"metrics.k8s.io/pods":              "measurements, not stored",
			"external.metrics.k8s.io/anything": "measurements, not stored",
		}}, tail)
	head, entries, read := readAll(t, file)
	require.Equal(t, Head{Schema: Schema, How: "every resource listed from the API server, each at its own revision"}, head)
	require.Empty(t, read.Unreadable)
	read.Unreadable = tail.Unreadable
	require.Equal(t, tail, read)
	var keys []string
	for _, e := range entries {
		keys = append(keys, e.Key)
		require.Equal(t, fmt.Sprintf("%x", newDigester(testKey).of(e.Object)), e.Digest)
	}
	require.Equal(t, []string{"/configmaps/m/a", "/configmaps/n/B", "/namespaces//m", "/secrets/m/s", "example.com/shops//x"}, keys)
	require.Equal(t, Entry{Key: "/configmaps/m/a", Version: "v1", Kind: "ConfigMap", Namespace: "m", Name: "a", Digest: entries[0].Digest,
		Object: json.RawMessage(`{"data":{"k":"v"},"metadata":{"name":"a","namespace":"m"}}`), ResourceVersion: "3"}, entries[0])
	require.Equal(t, `{"metadata":{"name":"x"},"spec":{"kind":"kept"}}`, string(entries[4].Object))
	require.NotContains(t, string(entries[3].Object), "cGxhbnRlZA")
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1)
	info, err := left[0].Info()
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
}

// A resource that cannot be read in whole is named, with the reason, and none of its objects is there.
func TestLiveUnreadable(t *testing.T) {
	const good = `{"metadata":{"name":"a","namespace":"n"}}`
	list := func(metadata, items string) http.HandlerFunc {
		return text(`{"kind":"ConfigMapList","metadata":{` + metadata + `},"items":[` + items + `]}`)
	}
	for name, tc := range map[string]struct {
		list http.HandlerFunc
		want string
	}{
		"refused": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(500)
			_, _ = io.WriteString(w, `{"kind":"Status","message":"unable to transform key: no matching key was found"}`)
		}, "list answered 500 Internal Server Error: unable to transform key: no matching key was found"},
		"refused wordlessly": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, "list answered 404 Not Found"},
		"busy":               {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(429) }, "list answered 429 Too Many Requests"},
		"status":             {text(`{"kind":"Status","metadata":{},"message":"x"}`), `list answered with kind "Status"`},
		"no items":           {text(`{"kind":"ConfigMapList","metadata":{}}`), "list has no items"},
		"cut short":          {list(`"continue":"more"`, good), "list is cut short: the server holds back the rest"},
		"torn in an object":  {text(`{"kind":"ConfigMapList","items":[` + good + `,{"metadata":`), "list breaks off: its end is missing"},
		"torn after objects": {text(`{"kind":"ConfigMapList","items":[` + good), "list breaks off: its end is missing"},
		"torn at the end":    {text(`{"kind":"ConfigMapList","items":[` + good + `]`), "list breaks off: its end is missing"},
		"empty":              {text(``), "list breaks off: its end is missing"},
		"connection lost": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"kind":"ConfigMapList","items":[`+good)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, "list breaks off"},
		"followed":       {text(`{"kind":"ConfigMapList","items":[]}{}`), `list is followed by '{'`},
		"no list":        {text(`[]`), `list starts with '['`},
		"items no list":  {text(`{"items":{}}`), `list has items that start with '{'`},
		"bad items":      {text(`{"items":nil}`), `list has bad items`},
		"twice":          {text(`{"kind":"ConfigMapList","items":[],"items":[]}`), `list has "items" twice`},
		"no comma":       {text(`{"kind":"ConfigMapList" "items":[]}`), `list has '"' where a comma should be`},
		"no colon":       {text(`{"kind" "ConfigMapList"}`), `list has '"' where a colon should be`},
		"no item comma":  {list("", good+good), `list has '{' where a comma should be, after item 1`},
		"bad object":     {list("", good+`,{"a":tru}`), "read object: at byte 5: want true"},
		"no object":      {list("", `7`), "read object: at byte 0: want an object, found '7'"},
		"no name":        {list("", good+`,{"metadata":{"namespace":"n"}}`), "object 1 of the list: it has no name"},
		"no namespace":   {list("", `{"metadata":{"name":"a"}}`), `object 0 of the list: a is of namespace "", which its resource is not`},
		"object twice":   {list("", good+","+good), "list has object /configmaps/n/a twice"},
		"other revision": {list(`"resourceVersion":"8"`, good), "list is of revision 8, not 7"},
		"bad metadata":   {text(`{"metadata":7}`), `list has a bad "metadata"`},
	} {
		t.Run(name, func(t *testing.T) {
			s := configMapsOnly(tc.list)
			s.resources["v1"] = append(s.resources["v1"], listable("namespaces", "Namespace", false))
			s.lists["/api/v1/namespaces"] = func(w http.ResponseWriter, r *http.Request) {
				_, _ = fmt.Fprintf(w, `{"kind":"NamespaceList","metadata":{"resourceVersion":%q},"items":[{"metadata":{"name":"n"}}]}`, r.FormValue("resourceVersion"))
			}
			o := LiveOptions{Key: testKey}
			if name == "other revision" {
				o.Revision = "7"
			}
			file := filepath.Join(t.TempDir(), "census")
			tail, err := Live(t.Context(), serve(t, s), file, o)
			require.NoError(t, err)
			require.Equal(t, []string{"/namespaces"}, tail.Resources)
			require.Len(t, tail.Unreadable, 1)
			require.Contains(t, tail.Unreadable["/configmaps"], tc.want)
			_, entries, read := readAll(t, file)
			require.Equal(t, tail.Unreadable, read.Unreadable)
			require.Len(t, entries, 1)
		})
	}
}

func TestLiveAtARevision(t *testing.T) {
	var query string
	cfg := serve(t, configMapsOnly(func(w http.ResponseWriter, r *http.Request) {
		query = r.URL.RawQuery
		_, _ = io.WriteString(w, `{"kind":"ConfigMapList","metadata":{"resourceVersion":"7"},"items":[]}`)
	}))
	file := filepath.Join(t.TempDir(), "census")
	tail, err := Live(t.Context(), cfg, file, LiveOptions{Key: testKey, Revision: "7"})
	require.NoError(t, err)
	require.Empty(t, tail.Unreadable)
	require.Equal(t, "resourceVersion=7&resourceVersionMatch=Exact", query)
	head, _, _ := readAll(t, file)
	require.Equal(t, Head{Schema: Schema, How: "every resource listed from the API server at revision 7", Revision: "7"}, head)
}

// A watch cache that still fills up asks to be asked again.
func TestLiveAsksAgain(t *testing.T) {
	asked := 0
	cfg := serve(t, configMapsOnly(func(w http.ResponseWriter, _ *http.Request) {
		if asked++; asked < 3 {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		_, _ = io.WriteString(w, `{"kind":"ConfigMapList","metadata":{},"items":[]}`)
	}))
	tail, err := Live(t.Context(), cfg, filepath.Join(t.TempDir(), "census"), LiveOptions{Key: testKey})
	require.NoError(t, err)
	require.Empty(t, tail.Unreadable)
	require.Equal(t, 3, asked)
}

// Lists in no order, and objects larger than the window, give the same census.
func TestLiveSortsWhatComesUnsorted(t *testing.T) {
	big := strings.Repeat("x", 3*window)
	item := func(name string) string {
		return fmt.Sprintf(`{"metadata":{"name":%q,"namespace":"n"},"data":{"k":%q}}`, name, big)
	}
	file := filepath.Join(t.TempDir(), "census")
	tail, err := Live(t.Context(), serve(t, configMapsOnly(text(`{"kind":"ConfigMapList","items":[`+item("b")+","+item("c")+" , "+item("a")+`]}`))), file, LiveOptions{Key: testKey})
	require.NoError(t, err)
	require.Empty(t, tail.Unreadable)
	_, entries, _ := readAll(t, file)
	require.Len(t, entries, 3)
	for i, name := range []string{"a", "b", "c"} {
		require.Equal(t, name, entries[i].Name)
		require.Contains(t, string(entries[i].Object), big)
	}
}

func TestLiveDiscoveryFails(t *testing.T) {
	s := configMapsOnly(text(`{"kind":"ConfigMapList","items":[]}`))
	s.resources["example.com/v1"] = []metav1.APIResource{listable("shops", "Shop", false)}
	cfg := serve(t, s)
	transport := http.DefaultTransport
	cfg.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.URL.Path == "/apis/example.com/v1" {
			return &http.Response{Status: "503 x", StatusCode: 503, Body: io.NopCloser(strings.NewReader("away")), Header: http.Header{}, Request: r}, nil
		}
		return transport.RoundTrip(r)
	})
	tail, err := Live(t.Context(), cfg, filepath.Join(t.TempDir(), "census"), LiveOptions{Key: testKey})
	require.NoError(t, err)
	require.Equal(t, []string{"/configmaps"}, tail.Resources)
	require.Contains(t, tail.Unreadable["example.com/v1/*"], "discover its resources: ")

	cfg.Transport = roundTrip(func(*http.Request) (*http.Response, error) { return nil, errors.New("no route") })
	_, err = Live(t.Context(), cfg, filepath.Join(t.TempDir(), "census"), LiveOptions{Key: testKey})
	require.ErrorContains(t, err, "take census: discover the resources: ")
	require.ErrorContains(t, err, "no route")

	_, err = Live(t.Context(), cfg, filepath.Join(t.TempDir(), "census"), LiveOptions{})
	require.EqualError(t, err, "take census: the key of the digests is empty")
}

// A definition whose resource discovery does not name makes the census incomplete.
func TestLiveUndiscovered(t *testing.T) {
	definition := func(plural, served, established string) string {
		return fmt.Sprintf(`{"metadata":{"name":"%s.example.com"},"spec":{"group":"example.com","names":{"plural":%[1]q},"versions":[{"served":%s}]},
			"status":{"conditions":[{"type":"Established","status":%q}]}}`, plural, served, established)
	}
	cfg := serve(t, served{
		resources: map[string][]metav1.APIResource{
			"apiextensions.k8s.io/v1": {listable("customresourcedefinitions", "CustomResourceDefinition", false)},
			"example.com/v1":          {listable("shops", "Shop", false)},
		},
		lists: map[string]http.HandlerFunc{
			"/apis/apiextensions.k8s.io/v1/customresourcedefinitions": text(`{"kind":"CustomResourceDefinitionList","items":[` + strings.Join([]string{
				definition("shops", "true", "True"), definition("hidden", "true", "True"), definition("early", "true", "False"), definition("unserved", "false", "True")}, ",") + `]}`),
			"/apis/example.com/v1/shops": text(`{"kind":"ShopList","items":[]}`),
		}})
	tail, err := Live(t.Context(), cfg, filepath.Join(t.TempDir(), "census"), LiveOptions{Key: testKey})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"example.com/hidden": "it is defined, and discovery does not name it"}, tail.Unreadable)
	require.Equal(t, 4, tail.Entries)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestLiveEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var once sync.Once
	cfg := serve(t, configMapsOnly(func(w http.ResponseWriter, r *http.Request) {
		once.Do(cancel)
		<-r.Context().Done()
	}))
	dir := t.TempDir()
	_, err := Live(ctx, cfg, filepath.Join(dir, "census"), LiveOptions{Key: testKey})
	require.ErrorIs(t, err, context.Canceled)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

// A census of 300,000 ConfigMaps of a kilobyte from a server that does nothing but send: the rate over the bytes of the
// list, and the most anonymous memory that was seen, server included.
func BenchmarkLive(b *testing.B) {
	const count = 300_000
	managed := `"managedFields":[{"manager":"seed","operation":"Update","apiVersion":"v1","time":"2026-01-01T00:00:00Z","fieldsType":"FieldsV1","fieldsV1":{"f:data":{".":{},"f:payload":{}}}}]`
	padding := strings.Repeat("x", 700)
	write := func(w io.Writer) (size int64) {
		put := func(format string, args ...any) {
			n, err := fmt.Fprintf(w, format, args...)
			require.NoError(b, err)
			size += int64(n)
		}
		put(`{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":"9"},"items":[`)
		for i := range count {
			if i > 0 {
				put(",")
			}
			put(`{"metadata":{"name":"cm-%07d","namespace":"load","uid":"00000000-0000-4000-8000-%012d","resourceVersion":"%d","creationTimestamp":"2026-01-01T00:00:00Z",%s},"data":{"payload":"%d%s"}}`,
				i, i, i, managed, i, padding)
		}
		put("]}\n")
		return size
	}
	file := filepath.Join(b.TempDir(), "list")
	f, err := os.Create(file)
	require.NoError(b, err)
	size := write(f)
	require.NoError(b, f.Close())
	cfg := serve(b, configMapsOnly(func(w http.ResponseWriter, _ *http.Request) {
		f, err := os.Open(file)
		if err == nil {
			_, _ = io.Copy(w, f)
			f.Close()
		}
	}))
	runtime.GC()
	debugFree()
	b.SetBytes(size)
	peak := 0.0
	start := time.Now()
	for b.Loop() {
		peak = max(peak, peakDuring(b, func() {
			tail, err := Live(b.Context(), cfg, filepath.Join(b.TempDir(), "census"), LiveOptions{Key: testKey})
			require.NoError(b, err)
			require.Equal(b, count, tail.Entries)
			require.Empty(b, tail.Unreadable)
		}))
	}
	b.ReportMetric(float64(count)*float64(b.N)/time.Since(start).Seconds(), "objects/s")
	b.ReportMetric(peak/(1<<20), "MiB-anon")
}
