// Package drills runs a drill: a function from a scenario to a report.
//
// This file is the whole pipeline, in the order in which it happens. A phase leaves evidence in the run directory as it goes; the
// judging is left to package checks, which reads nothing else.
//
// To extend a drill, add a fault (package faults), a check (package checks), a backup method (package backups) or a
// provider (package clusters); the pipeline itself should seldom need to change.
package drills

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/restore-drill/restore-drill/drills/backups"
	"github.com/restore-drill/restore-drill/drills/checks"
	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/drills/faults"
	"github.com/restore-drill/restore-drill/fixtures"
	"github.com/restore-drill/restore-drill/internal/access"
	"github.com/restore-drill/restore-drill/internal/census"
	"github.com/restore-drill/restore-drill/internal/etcd"
	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/internal/ledger"
	"github.com/restore-drill/restore-drill/internal/staleclient"
	"github.com/restore-drill/restore-drill/reports"
	"github.com/restore-drill/restore-drill/scenarios"
)

// injectTimeout bounds the first look at a failure and its injection, sightTimeout how long it may then take to be visible. No machine stalls as
// long.
const (
	injectTimeout = 3 * time.Minute
	sightTimeout  = 30 * time.Second
)

// seededTimeout bounds what follows seeding: the ledger's first writes, and the probes' first answers.
const seededTimeout = 3 * time.Minute

// surveyTimeout bounds the survey. A restored cluster that stops answering leaves the drill unknown, not hanging.
const surveyTimeout = 5 * time.Minute

// Options of a run.
type Options struct {
	// Scenario with its defaults filled in; Text is its file, verbatim, and Path where that was.
	Scenario *scenarios.Scenario
	Text     []byte
	Path     string
	Provider clusters.Provider
	// Dir is the run directory: new or empty.
	Dir string
	// Version of restore-drill, for the report.
	Version string
	// Progress receives each event of the timeline as it is recorded; may be nil.
	Progress func(evidence.Event)
}

// pipeline is the drill. Backup and restore are on trial (evidence.OnTrial): they are the backup tool's own work.
func (d *drill) pipeline() []phase {
	return []phase{
		{name: evidence.PhaseProvision, does: "create the source cluster", run: d.provision},
		{name: evidence.PhaseSeed, does: "load the workloads, start the ledger", run: d.seed},
		{name: evidence.PhaseBackup, does: "back it up, and take a census of what is there", run: d.backup},
		{name: evidence.PhaseInject, does: "break it, and see that it is broken", run: d.inject},
		{name: evidence.PhaseRestore, does: "rebuild it in a fresh cluster", run: d.restore},
		{name: evidence.PhaseSurvey, does: "take a census of what came back, and probe it", run: d.survey, still: d.standing},
	}
}

// Run runs one drill and judges it. The report is there whenever the run directory could be written; the error says why a
// drill did not come to its end, which the report's verdict (unknown) and reason say too.
func Run(ctx context.Context, o Options) (*reports.Report, error) {
	d, err := prepare(o)
	if err != nil {
		return nil, err
	}
	runErr := errors.Join(d.engine.run(ctx, d.pipeline()), d.rec.Close(), evidence.Seal(o.Dir))
	report, err := checks.Judge(o.Dir, o.Version)
	if err != nil {
		return nil, errors.Join(runErr, fmt.Errorf("judge %s: %w", o.Dir, err))
	}
	if runErr != nil && report.Verdict == reports.Passed {
		// The timeline itself could not be closed: it cannot tell.
		report.Verdict, report.Reason, report.Declared.AsDeclared = reports.Unknown, "the drill did not come to its end: "+runErr.Error(), false
	}
	return report, runErr
}

// A drill in progress.
type drill struct {
	Options
	*engine
	rec *evidence.Recorder
	// id is unique among all drills of this machine.
	id   string
	spec *scenarios.Spec
	// layers are restored in this order; the first is spec.backup's.
	layers []*layer
	probes []*probe
	// unasked probes need machines, which the provider does not make.
	unasked []string
	// key digests values in the evidence. It is never written anywhere, so a digest cannot be guessed backwards.
	key []byte

	source, restored clusters.Cluster
	canary           *canary
	ledger           *fixtures.Ledger
	// volumeLedger and volumes are those of seeded volumes; nil and empty for none.
	volumeLedger *fixtures.VolumeLedger
	volumes      evidence.Volumes
	stale        *staleclient.Client
	scene        *faults.Scene
	faults       []fault
	// began and struck tell whether the first fault at the source has begun, and was seen.
	began, struck bool
	// said is the tool's last claim.
	said string
	// ready is set once the restored cluster's API is.
	ready atomic.Bool
	// taking is the number of the backup of the first layer that is being taken.
	taking       int
	deathWatches []deathWatch
	// exposed is when the last backup ended: from then on, what is written is at risk.
	exposed time.Duration
}

// A layer is one backup method at its work.
type layer struct {
	backups.Method
	spec scenarios.Layer
	// artifact that is brought back; of the first layer, the scene's chosen one.
	artifact *backups.Artifact
	// ledger of its own; nil for none.
	ledger *fixtures.Ledger
}

// A fault of the catalogue, and the layer after whose restore it strikes; empty for at the time that is its target's.
type fault struct {
	faults.Fault
	after string
	// struck is set once it was injected and seen, passed once it was ended.
	struck, passed bool
}

// prepare makes all mistakes that can be seen without a cluster come out before there is one.
func prepare(o Options) (*drill, error) {
	d := &drill{Options: o, spec: &o.Scenario.Spec, key: make([]byte, 32)}
	if _, err := rand.Read(d.key); err != nil {
		return nil, fmt.Errorf("make the run's digest key: %w", err)
	}
	d.id = fmt.Sprintf("%s-%s-%s", o.Scenario.Metadata.Name, time.Now().UTC().Format("20060102t150405"), strings.ToLower(rand.Text()[:6]))
	var errs []error
	for _, l := range layers(d.spec) {
		method, err := backups.New(backups.Layer{Backup: l.Backup, Velero: l.Velero}, d.env())
		errs = append(errs, err)
		d.layers = append(d.layers, &layer{Method: method, spec: l})
	}
	for _, f := range d.spec.Faults {
		made, err := faults.New(f)
		errs = append(errs, err)
		if err == nil && f.After != "" && made.Strikes() != faults.Source {
			errs = append(errs, fmt.Errorf("fault %s strikes the %s: it cannot come after the layer %s", f.Name, made.Strikes(), f.After))
		}
		if method := d.layers[0].Method; err == nil && method != nil && made.Strikes() == faults.Empty && (method.RestoresStore() || d.inPlace()) {
			errs = append(errs, fmt.Errorf("fault %s strikes the %s: with method %s into %s there is none", f.Name, made.Strikes(), method.Name(), d.spec.Restore.Into))
		}
		d.faults = append(d.faults, fault{Fault: made, after: f.After})
	}
	for _, p := range d.spec.Probes {
		if p.NeedsMachines() && !o.Provider.Tools().Machines() {
			d.unasked = append(d.unasked, p.Name)
			continue
		}
		compiled, err := compileProbe(p)
		errs = append(errs, err)
		d.probes = append(d.probes, compiled)
	}
	if _, err := fixtures.LoadManifests(manifests(d.Scenario, d.Path)); err != nil {
		errs = append(errs, err)
	}
	if _, _, err := kindOf(d.spec); err != nil {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	rec, err := evidence.Create(o.Dir, o.Progress)
	if err != nil {
		return nil, err
	}
	d.rec, d.engine = rec, &engine{rec: rec}
	d.scene = &faults.Scene{
		RunDir:          o.Dir,
		Rand:            mathrand.New(mathrand.NewPCG(uint64(*d.spec.Seed.RandomSeed), 0)),
		LedgerNamespace: ledger.Namespace,
		Procedure:       &backups.Procedure{},
		Method:          d.layers[0].Method,
	}
	if err := errors.Join(rec.PutBytes(evidence.ScenarioFile, o.Text), rec.Put(evidence.HeaderFile, d.header(nil))); err != nil {
		return nil, errors.Join(err, rec.Close())
	}
	return d, nil
}

// env is what the drill lends its backup methods.
func (d *drill) env() backups.Env {
	env := (&Loaded{Scenario: d.Scenario, Path: d.Path}).env(d.Provider.Tools())
	env.DrillID, env.RunDir, env.Key, env.Progress, env.During = d.id, d.Dir, d.key, d.note, d.during
	env.Put = func(name string, content any) error { return d.rec.Put(name, content) }
	return env
}

func (d *drill) provision(ctx context.Context) error {
	if err := d.step(ctx, "check the provider", "that this machine can run it, and has its binaries", func() error {
		return Check(ctx, d.Provider, &Loaded{Scenario: d.Scenario, Text: d.Text, Path: d.Path})
	})(); err != nil {
		return err
	}
	source, err := d.create(ctx, "source")
	if err != nil {
		return err
	}
	d.source, d.scene.Source = source, source
	if err := source.Start(ctx, func(string, string, time.Duration) {}); err != nil {
		return err
	}
	d.watchDeaths(ctx, source, harness)
	for _, l := range d.layers {
		d.onTeardown("end the "+l.Name()+" method", l.Close)
		if err := l.Prepare(ctx, source); err != nil {
			return err
		}
		if store, ok := l.Method.(interface{ Died() <-chan error }); ok {
			d.watchStore(ctx, store.Died())
		}
	}
	return d.rec.Put(evidence.HeaderFile, d.header(source.Versions()))
}

func (d *drill) seed(ctx context.Context) error {
	_, err := fixtures.Seed(ctx, d.source.Config(), fixtures.SeedOptions{
		Workloads:  d.spec.Seed.Workloads,
		Manifests:  manifests(d.Scenario, d.Path),
		Objects:    *d.spec.Seed.Objects,
		Kinds:      d.spec.Seed.Kinds,
		Size:       d.spec.Seed.PayloadBytes(),
		RandomSeed: *d.spec.Seed.RandomSeed,
		Progress:   d.note,
	})
	if err != nil {
		return err
	}
	if err := d.seedVolumes(ctx); err != nil {
		return err
	}
	if d.ledger, err = d.startLedger(ctx, ledger.Namespace, evidence.LedgerFile); err != nil {
		return err
	}
	for _, l := range d.layers {
		if l.spec.Ledger != "" {
			if l.ledger, err = d.startLedger(ctx, l.spec.Ledger, evidence.Of(l.Name(), evidence.LedgerFile)); err != nil {
				return err
			}
		}
	}
	d.mark(evidence.MarkLedgerStarted, "first call of the writers", 0)
	began := d.rec.Now()

	seedCtx, cancel := context.WithTimeoutCause(ctx, seededTimeout, fmt.Errorf("not within %s", seededTimeout))
	defer cancel()
	g, gctx := errgroup.WithContext(seedCtx)
	for _, l := range d.ledgers() {
		g.Go(func() error { return l.WaitStarted(gctx) })
	}
	if d.volumeLedger != nil {
		g.Go(func() error { return d.volumeLedger.WaitStarted(gctx) })
	}
	g.Go(func() (err error) {
		d.canary, err = newCanary(gctx, d.source.Config())
		return err
	})
	g.Go(func() error {
		// A probe that does not pass before the failure cannot tell anything after it.
		return poll(gctx, func() error {
			_, err := d.probeAll(gctx, d.source)
			return err
		})
	})
	if err := g.Wait(); err != nil {
		return err
	}
	if d.layers[0].RestoresStore() {
		// The ledger's namespace is there now: the client that will have to live through the failure can watch it.
		if d.stale, err = staleclient.Open(ctx, d.source.Config()); err != nil {
			return err
		}
		d.onTeardown("close the stale client", func(context.Context) error { return d.stale.Close() })
	}
	if err := d.strike(ctx, faults.Seeded); err != nil {
		return err
	}
	return wait(ctx, began+d.spec.Ledger.Before.Duration-d.rec.Now())
}

func (d *drill) backup(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, d.missed(faults.DuringBackup)) }()
	first := d.layers[0]
	for n := range first.spec.Backup.Count {
		began := d.rec.Now()
		artifact, err := d.takeBackup(ctx, first, n)
		if err != nil {
			// What was backed up before is what there is then.
			if claim := new(backups.ClaimError); len(d.scene.Artifacts) > 0 && errors.As(err, &claim) {
				break
			}
			return err
		}
		d.scene.Artifacts = append(d.scene.Artifacts, artifact)
		d.exposed = d.rec.Now()
		if n+1 < first.spec.Backup.Count {
			if err := wait(ctx, began+d.spec.Backup.Every.Duration-d.rec.Now()); err != nil {
				return err
			}
		}
	}
	d.scene.Chosen = len(d.scene.Artifacts) - 1
	newest := d.scene.Artifacts[d.scene.Chosen]
	for _, l := range d.layers[1:] {
		var err error
		if l.artifact, err = d.takeBackup(ctx, l, 0); err != nil {
			return err
		}
		newest, d.exposed = l.artifact, d.rec.Now()
	}

	// The census is read through the API, at the backup's own revision but not from the backup: what the backup lacks must
	// not be lacking here too.
	g, ctx := errgroup.WithContext(ctx)
	at := newest.Revision
	if newest.Window != nil {
		at = newest.Window.To
	}
	g.Go(d.step(ctx, "census", fmt.Sprintf("through the API at revision %d", at), func() error {
		_, err := census.Live(ctx, d.source.Config(), d.rec.Path(evidence.CensusBeforeFile), census.LiveOptions{
			Key: d.key, Revision: revision(at),
		})
		return err
	}))
	g.Go(d.step(ctx, "access", "ask the authorizer who may do what", func() error {
		return access.Read(ctx, d.source.Config(), d.rec.Path(evidence.AccessBackupFile))
	}))
	g.Go(d.step(ctx, "definitions", "read those of custom resources", func() error {
		_, err := d.readDefinitions(ctx, d.source, evidence.CRDsBeforeFile)
		return err
	}))
	return harness(g.Wait())
}

func (d *drill) inject(ctx context.Context) error {
	if err := d.strike(ctx, faults.Change); err != nil {
		return err
	}
	// Privileges and credentials have to be what they were when the cluster was lost: a backup that is older than their revocation or rotation brings
	// back what it holds, and that is a failure.
	g, gctx := errgroup.WithContext(ctx)
	g.Go(d.step(gctx, "access", "ask the authorizer who may do what", func() error {
		return access.Read(gctx, d.source.Config(), d.rec.Path(evidence.AccessBeforeFile))
	}))
	g.Go(d.step(gctx, "probes", "ask for the last time before the failure", func() error { return d.learn(gctx) }))
	if err := g.Wait(); err != nil {
		return err
	}
	if err := wait(ctx, d.exposed+d.spec.Ledger.After.Duration-d.rec.Now()); err != nil {
		return err
	}
	freshness := evidence.Freshness{}
	var err error
	if freshness.Source, err = identify(ctx, d.source); err != nil {
		return err
	}
	if err := d.rec.Put(evidence.FreshnessFile, freshness); err != nil {
		return err
	}
	// The artifact is damaged first: nothing that a real recovery would not do may come between the failure and the restore.
	if err := d.strike(ctx, faults.Artifact); err != nil {
		return err
	}
	if err := d.strike(ctx, faults.Procedure); err != nil {
		return err
	}
	if err := d.readAPIs(ctx); err != nil {
		return err
	}
	d.expectDeaths(d.source)
	if err := d.strike(ctx, faults.Source); err != nil {
		return err
	}
	if d.stale != nil {
		d.stale.Struck()
	}
	d.layers[0].artifact = d.chosen()
	for _, l := range d.layers {
		d.event(evidence.Event{Kind: evidence.ArtifactChosen, Name: l.artifact.Name, Layer: l.Name()})
	}
	return nil
}

func (d *drill) restore(drillCtx context.Context) (err error) {
	ctx, cancel := context.WithTimeoutCause(drillCtx, d.spec.Restore.Timeout.Duration,
		fmt.Errorf("service not restored within %s (restore.timeout)", d.spec.Restore.Timeout))
	defer cancel()
	d.mark(evidence.MarkRestoreStarted, "first step of the restore", 0)
	ledgerEnd := make(chan error, 1)
	go func() {
		err := d.stopLedgers()
		if err == nil {
			d.mark(evidence.MarkLedgerEnded, "the writers had stopped", 0)
		}
		ledgerEnd <- err
	}()
	defer func() { err = errors.Join(err, harness(<-ledgerEnd), d.missed(faults.Empty, faults.DuringRestore)) }()
	if d.inPlace() {
		d.restored = d.source
	} else {
		// Whatever still runs of the old control plane would write beside the new one.
		if err := d.step(ctx, "fence", "stop what is left of the source", func() error { return killAll(ctx, d.source) })(); err != nil {
			return harness(err)
		}
		if err = d.step(ctx, "make a new cluster", "with machines or addresses of its own, on which nothing of Kubernetes runs", func() (err error) {
			d.restored, err = d.create(ctx, "restored")
			return err
		})(); err != nil {
			return harness(err)
		}
	}
	d.scene.Restored = d.restored
	// The restored cluster has to live until it has been surveyed.
	d.watchDeaths(drillCtx, d.restored, func(err error) error { return err })
	for i, l := range d.layers {
		if err := d.restoreLayer(ctx, l, i > 0 || d.inPlace()); err != nil {
			return err
		}
		if err := d.strikeAfter(ctx, l.Name()); err != nil {
			return harness(err)
		}
	}
	return d.awaitService(ctx)
}

// restoreLayer brings one artifact back, and records what the tool says of that.
func (d *drill) restoreLayer(ctx context.Context, l *layer, running bool) error {
	claim, err := l.Restore(ctx, l.artifact, d.restored, backups.RestoreOptions{
		Running:   running,
		Procedure: *d.scene.Procedure,
		Empty:     func(ctx context.Context) error { return harness(d.strike(ctx, faults.Empty)) },
		Step:      d.beginStep,
		Ran:       d.ran,
		Reached: func(mark, how string, resolution time.Duration) {
			d.mark(mark, how, resolution)
			if mark == evidence.MarkAPIReady {
				d.ready.Store(true)
			}
			if mark == evidence.MarkAPIServing && d.stale != nil {
				if err := d.stale.Redirect(d.restored.Config().Host); err != nil {
					d.cancel(harness(err))
				}
			}
		},
	})
	d.claim(l, "restore", claim, err)
	return err
}

// claim records what the tool said, or, where it said nothing, that it did not do its work.
func (d *drill) claim(l *layer, operation, said string, err error) {
	e := evidence.Event{Kind: evidence.Claim, Name: operation, Detail: said, Layer: l.Name()}
	if err != nil {
		e.Detail, e.Error = evidence.Failed, err.Error()
		if refused := new(backups.ClaimError); errors.As(err, &refused) {
			e.Detail = refused.Claim
		}
	}
	d.said = e.Detail
	d.event(e)
}

// inPlace tells whether the backup goes back into the cluster that it was taken of.
func (d *drill) inPlace() bool { return d.spec.Restore.Into == scenarios.IntoSource }

// awaitService returns when the restored cluster does all that the lost one did: it takes writes, its controllers work, its
// workloads are ready, old credentials are good, and every probe passes.
func (d *drill) awaitService(ctx context.Context) error {
	cfg := d.restored.Config()
	// When one of these fails the others go on: what is surveyed then is a cluster that has come as far as it will.
	var g errgroup.Group
	reach := func(mark, how string, wait func(context.Context) error) error {
		if err := wait(ctx); err != nil {
			return fmt.Errorf("%s: %w", mark, err)
		}
		d.mark(mark, how, pollInterval)
		return nil
	}
	g.Go(func() error {
		return reach(evidence.MarkWriteAccepted, "a ConfigMap was created and read back", func(ctx context.Context) error { return d.canary.write(ctx, cfg) })
	})
	if d.layers[0].RestoresStore() || d.inPlace() {
		g.Go(func() error {
			return reach(evidence.MarkIdentity, "TokenReview of a token minted before the failure", func(ctx context.Context) error { return d.canary.authenticate(ctx, cfg) })
		})
	}
	probing, stop := context.WithCancel(ctx)
	defer stop()
	var early errgroup.Group
	early.Go(func() error { return d.keepProbing(probing) })
	g.Go(func() error {
		err := reach(evidence.MarkControllers, "leader leases are held anew, and a Deployment made after the restore is available",
			func(ctx context.Context) error { return d.canary.rollOut(ctx, cfg, d.inPlace()) })
		if err != nil {
			return err
		}
		// What the store says of readiness is worth something once somebody looks after it again.
		return reach(evidence.MarkWorkloads, "watch, once controllers had converged: every workload has what it asks for",
			func(ctx context.Context) error { return fixtures.WaitReady(ctx, cfg, nil) })
	})
	err := g.Wait()
	stop()
	if err := errors.Join(err, early.Wait()); err != nil {
		return err
	}
	last := d.rec.Now()
	return poll(ctx, func() error {
		asked := d.rec.Now()
		passed, err := d.probeAll(ctx, d.restored)
		if passed {
			d.mark(evidence.MarkServiceBack, "every probe passed in one round", d.rec.Now()-last)
		}
		last = asked
		return err
	})
}

// standing tells whether there is a restored cluster to look at, whatever it is worth. Where the tool says itself that it restored nothing, there is
// nothing to see.
func (d *drill) standing() bool {
	switch d.said {
	case evidence.Missing, evidence.Refused, evidence.FailedValidation:
		return false
	}
	return d.ready.Load() || d.inPlace() && d.restored != nil
}

func (d *drill) survey(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, surveyTimeout, fmt.Errorf("not surveyed within %s", surveyTimeout))
	defer cancel()
	// A cluster that does not work may never see it removed; its objects are marked as the drill's own.
	if !d.toolFailed {
		if err := d.canary.remove(ctx, d.restored.Config()); err != nil {
			return err
		}
	}
	if err := d.strike(ctx, faults.Restored); err != nil {
		return err
	}
	// Before the census: a pod that reads a volume nobody else has is gone by then.
	if err := d.readVolumes(ctx); err != nil {
		return err
	}
	cfg := d.restored.Config()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(d.step(gctx, "census", "through the API", func() error {
		_, err := census.Live(gctx, cfg, d.rec.Path(evidence.CensusAfterFile), census.LiveOptions{Key: d.key})
		return err
	}))
	g.Go(d.step(gctx, "access", "ask the authorizer who may do what", func() error {
		return access.Read(gctx, cfg, d.rec.Path(evidence.AccessAfterFile))
	}))
	g.Go(d.step(gctx, "definitions", "read those of custom resources, and try every resource under them", func() error { return d.tryDefinitions(gctx) }))
	g.Go(d.step(gctx, "survivors", "read the ledger's objects back", func() error {
		return fixtures.ReadSurvivors(gctx, cfg, ledger.Namespace, d.key, d.rec.Path(evidence.SurvivorsFile))
	}))
	for _, l := range d.layers {
		if l.spec.Ledger != "" {
			g.Go(d.step(gctx, "survivors of "+l.Name(), "read that ledger's objects back", func() error {
				return fixtures.ReadSurvivors(gctx, cfg, l.spec.Ledger, d.key, d.rec.Path(evidence.Of(l.Name(), evidence.SurvivorsFile)))
			}))
		}
	}
	g.Go(d.step(gctx, "store", "compare the store with the artifact, key by key", func() error { return d.compareStores(gctx) }))
	if d.layers[0].RestoresStore() {
		g.Go(d.step(gctx, "store health", "ask every member, and compare the API server's lists with the store", func() error { return d.readStoreHealth(gctx) }))
	}
	g.Go(d.step(gctx, "probes", "ask once more", func() error {
		// What they answer is judged later; only an answer that could not be recorded is an error here.
		if _, err := d.probeAll(gctx, d.restored); errors.As(err, new(harnessError)) {
			return err
		}
		return nil
	}))
	for _, l := range d.layers {
		if l.RestoresStore() {
			g.Go(d.step(gctx, "verify artifact again", "the restore must have left it as it was", func() error { return l.artifact.Verify(gctx) }))
		}
	}
	if machined, ok := d.restored.(clusters.Machined); ok {
		g.Go(d.step(gctx, "machines", "compare what runs on each with what the API says", func() error { return d.readMachines(gctx, machined) }))
	}
	if !d.inPlace() {
		g.Go(d.step(gctx, "freshness", "tell the two clusters apart", func() error { return d.identifyRestored(gctx) }))
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if d.stale != nil {
		// Last, since it writes.
		if err := d.step(ctx, "stale client", "wait for the client from before the failure", func() error {
			return d.rec.Put(evidence.InformerFile, d.stale.Observe(ctx, cfg))
		})(); err != nil {
			return err
		}
	}
	return d.strike(ctx, faults.Evidence)
}

// strike injects the faults that are aimed at target, one after the other. Each must be invisible before and visible after.
func (d *drill) strike(ctx context.Context, target faults.Target) error {
	for i, f := range d.faults {
		if f.Strikes() == target && f.after == "" {
			if err := d.injectOne(ctx, f, d.scene); err != nil {
				return err
			}
			d.faults[i].struck = true
		}
	}
	return nil
}

// pass ends what struck while the tool backed up, and is over with that.
func (d *drill) pass(ctx context.Context) error {
	for i, f := range d.faults {
		passing, ok := f.Fault.(faults.Passing)
		if !ok || !f.struck || f.passed || f.Strikes() != faults.DuringBackup {
			continue
		}
		d.faults[i].passed = true
		if err := d.step(ctx, "end fault "+f.Name(), "the backup has ended", func() error { return passing.Pass(ctx, d.scene) })(); err != nil {
			return fmt.Errorf("fault %s: %w", f.Name(), harness(err))
		}
	}
	return nil
}

// missed tells, at the end of a phase, of a fault whose moment in it never came: whatever the tool then made of its work shows nothing.
func (d *drill) missed(targets ...faults.Target) error {
	var errs []error
	for _, f := range d.faults {
		if slices.Contains(targets, f.Strikes()) && !f.struck {
			errs = append(errs, fmt.Errorf("fault %s never struck the %s: the drill would prove nothing", f.Name(), f.Strikes()))
		}
	}
	return harness(errors.Join(errs...))
}

// strikeAfter injects the faults that come once a layer is back, in the cluster that it is back in.
func (d *drill) strikeAfter(ctx context.Context, layer string) error {
	scene := *d.scene
	scene.Source = d.restored
	for _, f := range d.faults {
		if f.after == layer {
			if err := d.injectOne(ctx, f, &scene); err != nil {
				return err
			}
		}
	}
	return nil
}

// during strikes while a tool is at work.
func (d *drill) during(ctx context.Context, operation string) error {
	switch {
	case operation == "restore":
		return harness(d.strike(ctx, faults.DuringRestore))
	case d.taking == d.spec.Backup.Count-1:
		return harness(d.strike(ctx, faults.DuringBackup))
	}
	return nil
}

func (d *drill) injectOne(ctx context.Context, f fault, scene *faults.Scene) error {
	name := evidence.StepInject
	if f.Strikes() == faults.DuringBackup || f.Strikes() == faults.DuringRestore {
		name = evidence.StepInjectMeanwhile
	}
	if err := d.step(ctx, name+f.Name(), "at the "+f.Strikes().String(), func() error { return d.strikeOne(ctx, f, scene) })(); err != nil {
		return fmt.Errorf("fault %s: %w", f.Name(), err)
	}
	return nil
}

func (d *drill) strikeOne(ctx context.Context, f fault, scene *faults.Scene) error {
	injecting, cancel := context.WithTimeoutCause(ctx, injectTimeout, fmt.Errorf("not injected within %s", injectTimeout))
	defer cancel()
	before, err := f.Visible(injecting, scene)
	if err != nil {
		return fmt.Errorf("look before it is injected: %w", err)
	}
	if before.Visible {
		return fmt.Errorf("is visible before it was injected (%s): the drill would prove nothing", before.Detail)
	}
	d.note(fmt.Sprintf("%s before: %s", f.Name(), before.Detail))
	if f.Strikes() == faults.Source && !d.began {
		d.began = true
		d.mark(evidence.MarkFaultBegan, f.Name()+": before the first call", 0)
	}
	last := d.rec.Now()
	if err := f.Inject(injecting, scene); err != nil {
		return err
	}
	if f.Strikes() == faults.Source && !d.struck {
		d.mark(evidence.MarkInjected, f.Name()+": the last call returned", 0)
	}
	ctx, cancel = context.WithTimeoutCause(ctx, sightTimeout, fmt.Errorf("not seen within %s", sightTimeout))
	defer cancel()
	for {
		looking := d.rec.Now()
		after, err := f.Visible(ctx, scene)
		if err == nil && after.Visible {
			d.note(fmt.Sprintf("%s after: %s", f.Name(), after.Detail))
			if f.Strikes() == faults.Source && !d.struck {
				d.struck = true
				d.mark(evidence.MarkStruck, after.Detail, d.rec.Now()-last)
			}
			return nil
		}
		last = looking
		if wait(ctx, pollInterval) != nil {
			return errors.Join(fmt.Errorf("was injected and cannot be seen (%s): the drill would prove nothing", after.Detail), err, context.Cause(ctx))
		}
	}
}

// chosen is the artifact that is brought back.
func (d *drill) chosen() *backups.Artifact { return d.scene.Artifacts[d.scene.Chosen] }

// create makes a cluster whose removal is registered before anything of it exists.
func (d *drill) create(ctx context.Context, name string) (clusters.Cluster, error) {
	var (
		once    sync.Mutex
		cluster clusters.Cluster
	)
	d.onTeardown("delete the "+name+" cluster", func(ctx context.Context) error {
		once.Lock()
		defer once.Unlock()
		if cluster == nil {
			return nil
		}
		return cluster.Delete(ctx)
	})
	c, err := d.Provider.Create(ctx, d.clusterSpec(name))
	once.Lock()
	defer once.Unlock()
	cluster = c
	return c, err
}

// clusterSpec of the source or the restored cluster.
func (d *drill) clusterSpec(name string) clusters.Spec {
	var methods []backups.Method
	for _, l := range d.layers {
		methods = append(methods, l.Method)
	}
	members, version := d.spec.Cluster.EtcdMembers, d.spec.Cluster.Version
	if name == "restored" {
		members, version = d.spec.Restore.EtcdMembers, d.spec.Restore.Version
	}
	nodeImage, kind, _ := kindOf(d.spec) // what is wrong with it was told when the drill was prepared
	return clusters.Spec{
		NodeImage: nodeImage, Kind: kind,
		Name: name, DrillID: d.id, LogDir: filepath.Join(d.Dir, evidence.LogsDir, name),
		Version: version, EtcdMembers: members, Nodes: d.spec.Cluster.Nodes,
		Encryption: d.spec.Cluster.Encryption, AuditLog: d.spec.Cluster.AuditLog, Images: images(&Loaded{Scenario: d.Scenario, Path: d.Path}, methods),
		StartTimeout: d.spec.Cluster.StartTimeout.Duration, Ran: d.ran, Step: d.beginStep, Progress: d.note,
	}
}

// kindOf is what the scenario says of its clusters in kind's own terms.
func kindOf(s *scenarios.Spec) (nodeImage string, kind *v1alpha4.Cluster, err error) {
	if s.Cluster.Kind == nil {
		return "", nil, nil
	}
	kind, err = clusters.ParseKindConfig(s.Cluster.Kind.Config)
	return s.Cluster.Kind.NodeImage, kind, err
}

// takeBackup takes the nth backup of a layer, and records what the tool says of that.
func (d *drill) takeBackup(ctx context.Context, l *layer, n int) (artifact *backups.Artifact, err error) {
	bounded, cancel := context.WithTimeoutCause(ctx, l.spec.Backup.Timeout.Duration, fmt.Errorf("not done within %s (backup.timeout)", l.spec.Backup.Timeout))
	defer cancel()
	d.taking = n
	dir := filepath.Join(d.rec.Path(evidence.ArtifactsDir), fmt.Sprintf("%s-%03d", l.Name(), n))
	err = d.step(bounded, "back up", filepath.Base(dir), func() (err error) {
		artifact, err = l.Backup(bounded, d.source, dir)
		return err
	})()
	said := ""
	if artifact != nil {
		said = artifact.Claim
	}
	d.claim(l, "backup", said, err)
	if err := d.pass(ctx); err != nil {
		return nil, err
	}
	return artifact, err
}

// startLedger starts writers into a namespace, which teardown stops.
func (d *drill) startLedger(ctx context.Context, namespace, file string) (*fixtures.Ledger, error) {
	l, err := fixtures.StartLedger(ctx, d.source.Config(), fixtures.LedgerOptions{
		Namespace: namespace, Rate: *d.spec.Ledger.Rate, File: d.rec.Path(file), Key: d.key, Clock: d.rec.Now,
	})
	if err == nil {
		d.onTeardown("stop the ledger in "+namespace, func(context.Context) error { return l.Stop() })
	}
	return l, err
}

// ledgers that write.
func (d *drill) ledgers() []*fixtures.Ledger {
	all := []*fixtures.Ledger{d.ledger}
	for _, l := range d.layers {
		if l.ledger != nil {
			all = append(all, l.ledger)
		}
	}
	return all
}

func (d *drill) stopLedgers() error {
	var g errgroup.Group
	for _, l := range d.ledgers() {
		g.Go(l.Stop)
	}
	if d.volumeLedger != nil {
		g.Go(d.volumeLedger.Stop)
	}
	return g.Wait()
}

// compareStores takes a snapshot of the restored store and compares it with the artifact that it came from.
func (d *drill) compareStores(ctx context.Context) error {
	snapshot := d.chosen().Snapshot()
	if snapshot == "" || len(d.layers) > 1 {
		return nil // the check does not apply
	}
	work, err := os.MkdirTemp(d.restored.StateDir(), "compare-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	after := filepath.Join(work, "after.db")
	store := d.restored.Store()
	if _, err := etcd.Snapshot(ctx, store.Endpoints[0], store.TLS, after); err != nil {
		return err
	}
	comparison, err := census.CompareSnapshots(ctx, snapshot, after, work)
	if err != nil {
		return err
	}
	return d.rec.Put(evidence.StoreFile, comparison)
}

func (d *drill) identifyRestored(ctx context.Context) error {
	freshness, err := evidence.ReadJSON[evidence.Freshness](d.Dir, evidence.FreshnessFile)
	if err != nil {
		return err
	}
	if freshness.Restored, err = identify(ctx, d.restored); err != nil {
		return err
	}
	return d.rec.Put(evidence.FreshnessFile, freshness)
}
