package drills

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v4/mem"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"

	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/internal/apis"
	"github.com/restore-drill/restore-drill/internal/etcd"
	"github.com/restore-drill/restore-drill/internal/evidence"
)

// pollInterval between two looks at something that cannot be watched; it bounds the resolution of the marks seen so.
const pollInterval = 20 * time.Millisecond

// wait returns after dur, or at once with ctx's cause when that ends first.
func wait(ctx context.Context, dur time.Duration) error {
	if dur <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(dur)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// event records e. A timeline that cannot be written ends the drill: what is not recorded did not happen.
func (d *drill) event(e evidence.Event) {
	if err := d.rec.Event(e); err != nil {
		d.cancel(harness(fmt.Errorf("record the timeline: %w", err)))
	}
}

func (d *drill) note(line string) { d.event(evidence.Event{Kind: evidence.Note, Detail: line}) }

// ran records a command that was run. Where one was not recorded, the timeline itself cannot be, and that ends the drill.
func (d *drill) ran(ctx context.Context, where, command string) {
	d.event(evidence.Event{Kind: evidence.Command, Name: where, Detail: command, Step: evidence.StepOf(ctx)})
}

func (d *drill) mark(name, how string, resolution time.Duration) {
	d.event(evidence.Event{Kind: evidence.MarkReached, Name: name, Detail: how, Resolution: resolution})
}

// beginStep records that an operation began; the function it returns, that it ended.
func (d *drill) beginStep(name, detail string) (end func(error)) {
	d.event(evidence.Event{Kind: evidence.StepStarted, Name: name, Detail: detail})
	return func(err error) {
		e := evidence.Event{Kind: evidence.StepEnded, Name: name}
		if err != nil {
			e.Error = err.Error()
		}
		d.event(e)
	}
}

// step wraps do so that it is recorded as a step.
func (d *drill) step(ctx context.Context, name, detail string, do func() error) func() error {
	return func() error {
		end := d.beginStep(name, detail)
		err := context.Cause(ctx)
		if err == nil {
			// It may run on a goroutine of its own, where a panic would end every drill of this process.
			err = recovered(do)
		}
		end(err)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	}
}

// watchDeaths ends the drill when a component of c dies that nobody stopped; as says how such a death is to be taken.
func (d *drill) watchDeaths(ctx context.Context, c clusters.Cluster, as func(error) error) {
	ctx, stop := context.WithCancel(ctx)
	d.mu.Lock()
	d.deathWatches = append(d.deathWatches, deathWatch{c, stop})
	d.mu.Unlock()
	go func() {
		select {
		case err := <-c.Died():
			if ctx.Err() == nil {
				d.cancel(as(fmt.Errorf("%s cluster: %w", c.Name(), err)))
			}
		case <-ctx.Done():
		}
	}()
}

// watchStore ends the drill when the store of a backup method dies that nobody stopped: it would be taken for the tool's own failure.
func (d *drill) watchStore(ctx context.Context, died <-chan error) {
	go func() {
		select {
		case err := <-died:
			d.cancel(harness(fmt.Errorf("object store: %w", err)))
		case <-ctx.Done():
		}
	}()
}

// expectDeaths stops taking deaths in c for news: it is about to be broken, or torn down.
func (d *drill) expectDeaths(c clusters.Cluster) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, w := range d.deathWatches {
		if w.cluster == c {
			w.stop()
		}
	}
}

type deathWatch struct {
	cluster clusters.Cluster
	stop    context.CancelFunc
}

func (d *drill) header(versions map[string]string) evidence.Header {
	h := evidence.Header{
		Schema: evidence.HeaderSchema, ID: d.id, Scenario: d.Scenario.Metadata.Name, ScenarioPath: d.Path,
		Provider: d.Provider.Name(), RunBy: d.Version, Started: d.rec.Started(),
		OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(),
		Versions: versions, Limits: d.Provider.Limits(), Facts: map[string]string{"go": runtime.Version()},
	}
	if h.Machines = d.Provider.Tools().Machines(); len(d.unasked) > 0 {
		h.Limits = append(slices.Clone(h.Limits), fmt.Sprintf("Probes that are asked by pods were left out, since no pod runs: %s.", strings.Join(d.unasked, ", ")))
	}
	if m, err := mem.VirtualMemory(); err == nil {
		h.MemoryBytes = int64(m.Total)
	}
	if os.Getenv("CI") != "" {
		h.Facts["ci"] = os.Getenv("CI")
	}
	return h
}

// killAll ends every component of c, at once and in parallel.
func killAll(ctx context.Context, c clusters.Cluster) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, component := range c.Components() {
		if component.Running() {
			g.Go(func() error { return component.Kill(ctx) })
		}
	}
	return g.Wait()
}

// readAPIs records which APIs of the source the restored cluster will not serve, where that is to run another version of Kubernetes: it is worth
// knowing before the restore begins.
func (d *drill) readAPIs(ctx context.Context) error {
	from, to := d.spec.Cluster.Version, d.spec.Restore.Version
	if from == to {
		return nil
	}
	client, err := discovery.NewDiscoveryClientForConfig(d.source.Config())
	if err != nil {
		return err
	}
	removed, err := apis.Removed(ctx, client, to)
	if err != nil {
		return err
	}
	for _, api := range removed {
		d.note(fmt.Sprintf("%s no longer serves %s %s", to, api.GroupVersion, api.Kind))
	}
	return d.rec.Put(evidence.APIsFile, evidence.APIs{From: from, To: to, Removed: removed})
}

// identify reads what tells c from any other cluster.
func identify(ctx context.Context, c clusters.Cluster) (evidence.Identity, error) {
	id := evidence.Identity{Place: c.StateDir()}
	for _, component := range c.Components() {
		if component.Identity() != "" {
			id.Processes = append(id.Processes, component.Name()+" "+component.Identity())
		}
	}
	store := c.Store()
	cluster, members, err := etcd.IDs(ctx, store.Endpoints, store.TLS)
	if err != nil {
		return id, fmt.Errorf("identify the %s cluster's store: %w", c.Name(), err)
	}
	id.EtcdCluster = strconv.FormatUint(cluster, 16)
	for _, m := range members {
		id.EtcdMembers = append(id.EtcdMembers, strconv.FormatUint(m, 16))
	}
	id.Serving, err = servingCertificate(ctx, c.Config())
	if err != nil {
		return id, fmt.Errorf("identify the %s cluster's API server: %w", c.Name(), err)
	}
	return id, nil
}

// servingCertificate is the SHA-256 of the certificate that the API server shows in a handshake, in hex.
func servingCertificate(ctx context.Context, cfg *rest.Config) (string, error) {
	tlsConfig, err := rest.TLSConfigFor(cfg)
	if err != nil {
		return "", err
	}
	u, err := url.Parse(cfg.Host)
	if err != nil {
		return "", err
	}
	conn, err := (&tls.Dialer{Config: tlsConfig}).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	peers := conn.(*tls.Conn).ConnectionState().PeerCertificates
	if len(peers) == 0 {
		return "", errors.New("no certificate was shown")
	}
	sum := sha256.Sum256(peers[0].Raw)
	return hex.EncodeToString(sum[:]), nil
}

// revision as the API writes it; empty for none.
func revision(r int64) string {
	if r == 0 {
		return ""
	}
	return strconv.FormatInt(r, 10)
}
