package census

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
)

// LiveOptions of a live census.
type LiveOptions struct {
	// Key of the digests. Two censuses compare only under the same key.
	Key []byte
	// Revision to read every resource at, exactly; the store must not have been compacted beyond it. Empty reads each resource
	// as it is when its turn comes.
	Revision string
	// Progress receives one short line for each resource; may be nil.
	Progress func(line string)
}

// listers work at once. Each keeps one answer under way, and holds one object of it.
const listers = 6

// A resource is one sort of object that the API server lists.
type resource struct {
	group, version, name, kind string
	namespaced                 bool
}

// prefix of the keys of a resource's entries.
func (r resource) prefix() string { return r.group + "/" + r.name }

// path of the list of a resource.
func (r resource) path() string {
	if r.group == "" {
		return "/api/" + r.version + "/" + r.name
	}
	return "/apis/" + r.group + "/" + r.version + "/" + r.name
}

// skipped resources store no objects of their own, though they can be listed.
var skipped = map[string]string{
	"/componentstatuses":       "made up at each request, not stored",
	"events.k8s.io/events":     "the same objects as /events, which is read",
	"metrics.k8s.io/nodes":     "measurements, not stored",
	"metrics.k8s.io/pods":      "measurements, not stored",
	"custom.metrics.k8s.io/":   "measurements, not stored",
	"external.metrics.k8s.io/": "measurements, not stored",
}

func skipReason(r resource, verbs []string) (string, bool) {
	if why, ok := skipped[r.prefix()]; ok {
		return why, true
	}
	if why, ok := skipped[r.group+"/"]; ok {
		return why, true
	}
	if !slices.Contains(verbs, "list") {
		return "cannot be listed: a question to the API server, not stored", !slices.Contains(verbs, "get")
	}
	return "", false
}

// Live takes the census of a running cluster and writes it to a file: every resource of the API server in its group's
// preferred version, each with one unpaged list that is read as it arrives. A resource that cannot be read in whole is in
// Tail.Unreadable and none of its objects is in the file. An error means that there is no census.
func Live(ctx context.Context, cfg *rest.Config, file string, o LiveOptions) (Tail, error) {
	tail, err := live(ctx, cfg, file, o)
	if err != nil {
		return Tail{}, fmt.Errorf("take census: %w", err)
	}
	return tail, nil
}

func live(ctx context.Context, cfg *rest.Config, file string, o LiveOptions) (_ Tail, err error) {
	if len(o.Key) == 0 {
		return Tail{}, errors.New("the key of the digests is empty")
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	cfg = rest.CopyConfig(cfg)
	cfg.QPS = -1
	// Compression costs the server more than the bytes do, and each list has a connection of its own.
	cfg.DisableCompression = true
	cfg.NextProtos = []string{"http/1.1"}
	client, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return Tail{}, err
	}
	defer client.CloseIdleConnections()
	host, _, err := rest.DefaultServerUrlFor(cfg)
	if err != nil {
		return Tail{}, err
	}
	tail := Tail{Unreadable: map[string]string{}, Skipped: map[string]string{}}
	resources, err := discover(ctx, cfg, client, &tail)
	if err != nil {
		return Tail{}, err
	}

	dir, err := os.MkdirTemp(filepath.Dir(file), "."+filepath.Base(file)+".parts-")
	if err != nil {
		return Tail{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	part := func(i int) string { return filepath.Join(dir, strconv.Itoa(i)) }
	counts, failures := make([]int, len(resources)), make([]error, len(resources))
	turns := make(chan int, len(resources))
	for i := range resources {
		turns <- i
	}
	close(turns)
	var wg sync.WaitGroup
	var progress sync.Mutex
	for range min(listers, len(resources)) {
		wg.Go(func() {
			l := lister{client: client, host: host, options: o, objects: canonicaliser{digests: newDigester(o.Key)}}
			for i := range turns {
				counts[i], failures[i] = l.list(ctx, resources[i], part(i))
				line := fmt.Sprintf("%s: %d objects", resources[i].prefix(), counts[i])
				if failures[i] != nil {
					line = fmt.Sprintf("%s: %v", resources[i].prefix(), failures[i])
				}
				progress.Lock()
				o.Progress(line)
				progress.Unlock()
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return Tail{}, context.Cause(ctx)
	}

	how := "every resource listed from the API server, each at its own revision"
	if o.Revision != "" {
		how = "every resource listed from the API server at revision " + o.Revision
	}
	w, err := Create(file, Head{How: how, Revision: o.Revision})
	if err != nil {
		return Tail{}, err
	}
	defer w.Abandon()
	for i, r := range resources {
		if failures[i] != nil {
			tail.Unreadable[r.prefix()] = failures[i].Error()
			continue
		}
		tail.Resources = append(tail.Resources, r.prefix())
		if r.prefix() == definitions {
			if err := undiscovered(part(i), resources, &tail); err != nil {
				return Tail{}, err
			}
		}
		if err := w.join(part(i), counts[i]); err != nil {
			return Tail{}, err
		}
	}
	return w.Close(tail)
}

// bound ends requests with a context that their maker knows nothing of.
type bound struct {
	ctx  context.Context
	next http.RoundTripper
}

func (b bound) RoundTrip(r *http.Request) (*http.Response, error) {
	return b.next.RoundTrip(r.WithContext(b.ctx))
}

// discover lists the resources to read, sorted as their entries will be. What the API server cannot say goes to the tail.
func discover(ctx context.Context, cfg *rest.Config, client *http.Client, tail *Tail) ([]resource, error) {
	dc, err := discovery.NewDiscoveryClientForConfigAndClient(cfg, &http.Client{Transport: bound{ctx, client.Transport}})
	if err != nil {
		return nil, err
	}
	lists, err := discovery.ServerPreferredResources(dc)
	if failed, partly := discovery.GroupDiscoveryFailedErrorGroups(err); partly {
		for gv, err := range failed {
			tail.Unreadable[gv.String()+"/*"] = "discover its resources: " + err.Error()
		}
	} else if err != nil {
		return nil, fmt.Errorf("discover the resources: %w", err)
	}
	var resources []resource
	for _, list := range lists {
		for _, r := range list.APIResources {
			group, version, ok := strings.Cut(list.GroupVersion, "/")
			if !ok {
				group, version = "", list.GroupVersion
			}
			found := resource{group: group, version: version, name: r.Name, kind: r.Kind, namespaced: r.Namespaced}
			if why, skip := skipReason(found, r.Verbs); skip {
				tail.Skipped[found.prefix()] = why
			} else {
				resources = append(resources, found)
			}
		}
	}
	slices.SortFunc(resources, func(a, b resource) int { return cmp.Compare(a.prefix()+"/", b.prefix()+"/") })
	if len(resources) == 0 {
		return nil, errors.New("the API server names no resource that can be listed")
	}
	return resources, nil
}

const definitions = "apiextensions.k8s.io/customresourcedefinitions"

// undiscovered resources have a definition, and discovery does not name them: not yet, right after the start of an API
// server, or not any more. Their objects are in no list, which must not pass for there being none.
func undiscovered(part string, resources []resource, tail *Tail) error {
	return eachLine(part, func(line []byte) error {
		var entry struct {
			Object struct {
				Spec struct {
					Group    string
					Names    struct{ Plural string }
					Versions []struct{ Served bool }
				}
				Status struct {
					Conditions []struct{ Type, Status string }
				}
			}
		}
		if err := json.Unmarshal(line, &entry); err != nil {
			return fmt.Errorf("read definition: %w", err)
		}
		spec := entry.Object.Spec
		established, served := false, false
		for _, c := range entry.Object.Status.Conditions {
			established = established || c.Type == "Established" && c.Status == "True"
		}
		for _, v := range spec.Versions {
			served = served || v.Served
		}
		known := func(r resource) bool { return r.group == spec.Group && r.name == spec.Names.Plural }
		if established && served && !slices.ContainsFunc(resources, known) {
			tail.Unreadable[spec.Group+"/"+spec.Names.Plural] = "it is defined, and discovery does not name it"
		}
		return nil
	})
}

// join adds the entries of a part, which all come after those already there.
func (w *Writer) join(part string, entries int) error {
	if err := w.encoder.Close(); err != nil {
		return fmt.Errorf("write census %s: %w", w.file.Name(), err)
	}
	f, err := os.Open(part)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(w.buffer, f); err != nil {
		return fmt.Errorf("write census %s: %w", w.file.Name(), err)
	}
	w.encoder.Reset(w.buffer)
	w.entries += entries
	w.lastKey = w.lastKey[:0]
	return nil
}

// A lister reads lists, one at a time.
type lister struct {
	client  *http.Client
	host    *url.URL
	options LiveOptions
	objects canonicaliser
	buffer  []byte
	// secrets are being read.
	secrets bool
}

// attempts at a list, of which all but the last were answered with 429, by a watch cache that still fills up, or with 504, by one that has not got as
// far as it was asked for.
const attempts = 10

// list reads one resource into a part file and returns the number of its objects. After an error the part is worthless.
func (l *lister) list(ctx context.Context, r resource, file string) (int, error) {
	u := l.host.JoinPath(r.path())
	if l.options.Revision != "" {
		u.RawQuery = url.Values{"resourceVersion": {l.options.Revision}, "resourceVersionMatch": {"Exact"}}.Encode()
	}
	for attempt := 1; ; attempt++ {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
		if err != nil {
			return 0, err
		}
		req.Header.Set("Accept", "application/json")
		res, err := l.client.Do(req)
		if err != nil {
			return 0, err
		}
		if res.StatusCode == http.StatusOK {
			defer res.Body.Close()
			return l.read(ctx, r, res.Body, file)
		}
		refusal := refusal(res)
		if res.StatusCode != http.StatusTooManyRequests && res.StatusCode != http.StatusGatewayTimeout || attempt == attempts {
			return 0, refusal
		}
		seconds, err := strconv.Atoi(res.Header.Get("Retry-After"))
		if err != nil {
			return 0, refusal
		}
		wait := time.NewTimer(time.Duration(seconds) * time.Second)
		select {
		case <-ctx.Done():
			wait.Stop()
			return 0, context.Cause(ctx)
		case <-wait.C:
		}
	}
}

// refusal reads and closes an answer that is no list.
func refusal(res *http.Response) error {
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("list answered %s: %w", res.Status, err)
	}
	var status metav1.Status
	if json.Unmarshal(body, &status) == nil && status.Message != "" {
		return fmt.Errorf("list answered %s: %s", res.Status, status.Message)
	}
	return fmt.Errorf("list answered %s", res.Status)
}

// read copies the objects of a list into a part file.
func (l *lister) read(ctx context.Context, r resource, body io.Reader, file string) (int, error) {
	w, err := createPart(file)
	if err != nil {
		return 0, err
	}
	defer w.Abandon()
	inOrder := true
	l.secrets = r.prefix() == "/secrets"
	list, err := l.stream(body, func(n int) error {
		key, err := w.object(r, &l.objects)
		if err != nil {
			return fmt.Errorf("object %d of the list: %w", n, err)
		}
		inOrder = inOrder && (n == 0 || string(w.lastKey) < key)
		return w.add(key, l.objects.out)
	})
	if err != nil {
		return 0, err
	}
	switch {
	case list.kind == "Status" || !strings.HasSuffix(list.kind, "List"):
		return 0, fmt.Errorf("list answered with kind %q", list.kind)
	case !list.items:
		return 0, errors.New("list has no items")
	case list.proceed != "":
		return 0, errors.New("list is cut short: the server holds back the rest")
	case l.options.Revision != "" && list.resourceVersion != l.options.Revision:
		return 0, fmt.Errorf("list is of revision %s, not %s", list.resourceVersion, l.options.Revision)
	}
	if err := w.closePart(); err != nil {
		return 0, err
	}
	if !inOrder {
		return w.entries, sortPart(ctx, file)
	}
	return w.entries, nil
}

// object starts the line of an object of a resource, up to its digest, and returns its key.
func (w *Writer) object(r resource, c *canonicaliser) (key string, err error) {
	if c.name == "" {
		return "", errors.New("it has no name")
	}
	if r.namespaced != (c.namespace != "") {
		return "", fmt.Errorf("%s is of namespace %q, which its resource is not", c.name, c.namespace)
	}
	key = r.prefix() + "/" + c.namespace + "/" + c.name
	b := appendString(append(w.line[:0], `{"key":`...), key)
	b = appendString(append(b, `,"version":`...), r.version)
	b = appendString(append(b, `,"kind":`...), r.kind)
	if c.namespace != "" {
		b = appendString(append(b, `,"namespace":`...), c.namespace)
	}
	b = appendString(append(b, `,"name":`...), c.name)
	b = append(b, `,"digest":"`...)
	b = hex.AppendEncode(b, c.digests.of(c.out))
	b = append(b, '"')
	if c.resourceVersion != "" {
		b = appendString(append(b, `,"resourceVersion":`...), c.resourceVersion)
	}
	w.line = b
	return key, nil
}

// A listing is what a list says beside its items.
type listing struct {
	kind, resourceVersion, proceed string
	items                          bool
}

// Sizes of the window through which a list is read: at first, and at most. An object has to fit in.
const (
	window    = 256 << 10
	maxWindow = 64 << 20
)

// stream reads a list as it arrives and calls each with the number of every item, when it is in l.objects.
func (l *lister) stream(body io.Reader, each func(n int) error) (listing, error) {
	if l.buffer == nil {
		l.buffer = make([]byte, 0, window)
	}
	in := feed{from: body, buffer: l.buffer[:0]}
	defer func() { l.buffer = in.buffer[:0] }()
	var list listing
	// The list around the items is small: it is read like any value, and the items are left to each.
	c := &canonicaliser{}
	value := func() ([]byte, error) {
		err := in.take(func(b []byte) (int, error) {
			c.in, c.pos, c.out, c.open, c.depth = b, 0, c.out[:0], c.open[:0], 0
			if err := c.value(elsewhere); err != nil {
				return 0, err
			}
			return c.pos, nil
		})
		return c.out, err
	}
	if b, err := in.byte(); err != nil || b != '{' {
		return list, cmp.Or(err, fmt.Errorf("list starts with %q", b))
	}
	seen := map[string]bool{}
	for first := true; ; first = false {
		b, err := in.byte()
		if err != nil {
			return list, err
		}
		if b == '}' {
			break
		}
		if !first {
			if b != ',' {
				return list, fmt.Errorf("list has %q where a comma should be", b)
			}
		} else {
			in.pos--
		}
		name, err := value()
		if err != nil {
			return list, err
		}
		field := string(name)
		if seen[field] {
			return list, fmt.Errorf("list has %s twice", field)
		}
		seen[field] = true
		if b, err := in.byte(); err != nil || b != ':' {
			return list, cmp.Or(err, fmt.Errorf("list has %q where a colon should be", b))
		}
		if field == `"items"` {
			list.items = true
			if err := l.items(&in, each); err != nil {
				return list, err
			}
			continue
		}
		text, err := value()
		if err != nil {
			return list, err
		}
		switch field {
		case `"kind"`:
			err = json.Unmarshal(text, &list.kind)
		case `"metadata"`:
			var meta metav1.ListMeta
			err = json.Unmarshal(text, &meta)
			list.resourceVersion, list.proceed = meta.ResourceVersion, meta.Continue
		}
		if err != nil {
			return list, fmt.Errorf("list has a bad %s: %w", field, err)
		}
	}
	// An answer that goes on is not the one that was asked for; one that breaks off even here is not whole.
	if b, err := in.byte(); err == nil {
		return list, fmt.Errorf("list is followed by %q", b)
	} else if !errors.Is(err, errEnd) {
		return list, err
	}
	return list, nil
}

func (l *lister) items(in *feed, each func(n int) error) error {
	b, err := in.byte()
	if err != nil {
		return err
	}
	if b == 'n' {
		in.pos--
		return in.take(func(b []byte) (int, error) {
			switch {
			case len(b) < 4:
				return 0, errShort
			case string(b[:4]) != "null":
				return 0, errors.New("list has bad items")
			}
			return 4, nil
		})
	}
	if b != '[' {
		return fmt.Errorf("list has items that start with %q", b)
	}
	for n := 0; ; n++ {
		b, err := in.byte()
		switch {
		case err != nil:
			return err
		case b == ']':
			return nil
		case n == 0:
			in.pos--
		case b != ',':
			return fmt.Errorf("list has %q where a comma should be, after item %d", b, n)
		}
		err = in.take(func(b []byte) (int, error) { return l.objects.object(b, l.secrets) })
		if err == nil {
			err = each(n)
		}
		if err != nil {
			return err
		}
	}
}

// A feed reads values off a stream of any length through a window that holds the one at hand.
type feed struct {
	from   io.Reader
	buffer []byte
	pos    int
	err    error
}

// errEnd says that the stream ended, where it might or might not.
var errEnd = errors.New("list breaks off: its end is missing")

// more reads on, until the window is full or the stream ends.
func (f *feed) more() error {
	if f.err != nil {
		return f.err
	}
	rest := copy(f.buffer[:cap(f.buffer)], f.buffer[f.pos:])
	f.buffer, f.pos = f.buffer[:rest], 0
	if rest == cap(f.buffer) {
		if rest >= maxWindow {
			return fmt.Errorf("list has an object of more than %d bytes", maxWindow)
		}
		f.buffer = append(make([]byte, 0, 2*rest), f.buffer...)
	}
	n, err := io.ReadFull(f.from, f.buffer[rest:cap(f.buffer)])
	f.buffer = f.buffer[:rest+n]
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		f.err = errEnd
	case err != nil:
		f.err = fmt.Errorf("list breaks off: %w", err)
	}
	if n == 0 {
		return f.err
	}
	return nil
}

// byte takes the next one that is not white space.
func (f *feed) byte() (byte, error) {
	for {
		for ; f.pos < len(f.buffer); f.pos++ {
			if b := f.buffer[f.pos]; bytes.IndexByte([]byte(" \t\r\n"), b) < 0 {
				f.pos++
				return b, nil
			}
		}
		if err := f.more(); err != nil {
			return 0, err
		}
	}
}

// take gives a value to parse, which returns its length, or errShort to see more of it.
func (f *feed) take(parse func([]byte) (int, error)) error {
	for {
		n, err := parse(f.buffer[f.pos:])
		if err == nil {
			f.pos += n
			return nil
		}
		if !errors.Is(err, errShort) {
			return err
		}
		if err := f.more(); err != nil {
			return err
		}
	}
}
