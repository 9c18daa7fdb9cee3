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
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

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

// faultTimeout bounds how long an injected failure may take to be visible, and how long its sighting may take.
const faultTimeout = 10 * time.Second

// seededTimeout bounds what follows seeding: the ledger's first writes, and the probes' first answers.
const seededTimeout = time.Minute

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
		{evidence.PhaseProvision, "create the source cluster", d.provision},
		{evidence.PhaseSeed, "load the workloads, start the ledger", d.seed},
		{evidence.PhaseBackup, "back it up, and take a census of what is there", d.backup},
		{evidence.PhaseInject, "break it, and see that it is broken", d.inject},
		{evidence.PhaseRestore, "rebuild it in a fresh cluster", d.restore},
		{evidence.PhaseSurvey, "take a census of what came back, and probe it", d.survey},
	}
}

// Run runs one drill and judges it. The report is there whenever the run directory could be written; the error says why a
// drill did not come to its end, which the report's verdict (unknown) and reason say too.
func Run(ctx context.Context, o Options) (*reports.Report, error) {
	d, err := prepare(o)
	if err != nil {
		return nil, err
	}
	runErr := errors.Join(d.engine.run(ctx, d.pipeline()), d.rec.Close())
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
	id     string
	spec   *scenarios.Spec
	method backups.Method
	probes []*probe
	// key digests values in the evidence. It is never written anywhere, so a digest cannot be guessed backwards.
	key []byte

	source, restored clusters.Cluster
	canary           *canary
	ledger           *fixtures.Ledger
	stale            *staleclient.Client
	scene            *faults.Scene
	faults           []faults.Fault
	// began and struck tell whether the first fault at the source has begun, and was seen.
	began, struck bool
	deathWatches  []deathWatch
	// exposed is when the last backup ended: from then on, what is written is at risk.
	exposed time.Duration
}

// prepare makes all mistakes that can be seen without a cluster come out before there is one.
func prepare(o Options) (*drill, error) {
	d := &drill{Options: o, spec: &o.Scenario.Spec, key: make([]byte, 32)}
	if _, err := rand.Read(d.key); err != nil {
		return nil, fmt.Errorf("make the run's digest key: %w", err)
	}
	d.id = fmt.Sprintf("%s-%s-%s", o.Scenario.Metadata.Name, time.Now().UTC().Format("20060102t150405"), strings.ToLower(rand.Text()[:6]))
	var errs []error
	method, err := backups.New(backups.Layer{Backup: d.spec.Backup, Velero: d.spec.Restore.Velero}, d.env())
	errs = append(errs, err)
	d.method = method
	for _, f := range d.spec.Faults {
		fault, err := faults.New(f)
		errs = append(errs, err)
		d.faults = append(d.faults, fault)
	}
	for _, p := range d.spec.Probes {
		compiled, err := compileProbe(p)
		errs = append(errs, err)
		d.probes = append(d.probes, compiled)
	}
	if _, err := fixtures.LoadManifests(manifests(d.Scenario, d.Path)); err != nil {
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
	}
	if err := errors.Join(rec.PutBytes(evidence.ScenarioFile, o.Text), rec.Put(evidence.HeaderFile, d.header(nil))); err != nil {
		return nil, errors.Join(err, rec.Close())
	}
	return d, nil
}

// env is what the drill lends its backup methods.
func (d *drill) env() backups.Env {
	tools := d.Provider.Tools()
	return backups.Env{
		DrillID: d.id, StateRoot: tools.StateRoot, RunDir: d.Dir, Toolchain: tools.Toolchain, Key: d.key,
		Workloads: d.spec.Seed.Workloads, Manifests: manifests(d.Scenario, d.Path), ScenarioDir: filepath.Dir(d.Path), Progress: d.note,
	}
}

func (d *drill) provision(ctx context.Context) error {
	if err := d.step(ctx, "check the provider", "that this machine can run it, and has its binaries", func() error {
		return d.Provider.Check(ctx, d.clusterSpec("source", d.spec.Cluster.EtcdMembers))
	})(); err != nil {
		return err
	}
	source, err := d.create(ctx, "source", d.spec.Cluster.EtcdMembers)
	if err != nil {
		return err
	}
	d.source, d.scene.Source = source, source
	if err := source.Start(ctx, func(string, string, time.Duration) {}); err != nil {
		return err
	}
	d.watchDeaths(ctx, source, harness)
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
	if d.ledger, err = fixtures.StartLedger(ctx, d.source.Config(), fixtures.LedgerOptions{
		Rate: *d.spec.Ledger.Rate, File: d.rec.Path(evidence.LedgerFile), Key: d.key, Clock: d.rec.Now,
	}); err != nil {
		return err
	}
	d.onTeardown("stop the ledger", func(context.Context) error { return d.ledger.Stop() })
	d.mark(evidence.MarkLedgerStarted, "first call of the writers", 0)
	began := d.rec.Now()

	seedCtx, cancel := context.WithTimeoutCause(ctx, seededTimeout, fmt.Errorf("not within %s", seededTimeout))
	defer cancel()
	g, gctx := errgroup.WithContext(seedCtx)
	g.Go(func() error { return d.ledger.WaitStarted(gctx) })
	g.Go(func() (err error) {
		d.canary, err = newCanary(gctx, d.source.Config())
		return err
	})
	g.Go(func() error {
		// A probe that does not pass before the failure cannot tell anything after it.
		_, err := d.probeAll(gctx, d.source)
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	// The ledger's namespace is there now: the client that will have to live through the failure can watch it.
	if d.stale, err = staleclient.Open(ctx, d.source.Config()); err != nil {
		return err
	}
	d.onTeardown("close the stale client", func(context.Context) error { return d.stale.Close() })
	return wait(ctx, began+d.spec.Ledger.Before.Duration-d.rec.Now())
}

func (d *drill) backup(ctx context.Context) error {
	for n := range d.spec.Backup.Count {
		began := d.rec.Now()
		artifact, err := d.takeBackup(ctx, n)
		if err != nil {
			d.event(evidence.Event{Kind: evidence.Claim, Name: "backup", Detail: "failed", Error: err.Error()})
			return err
		}
		d.scene.Artifacts = append(d.scene.Artifacts, artifact)
		d.exposed = d.rec.Now()
		if n+1 < d.spec.Backup.Count {
			if err := wait(ctx, began+d.spec.Backup.Every.Duration-d.rec.Now()); err != nil {
				return err
			}
		}
	}
	d.event(evidence.Event{Kind: evidence.Claim, Name: "backup", Detail: "completed"})
	newest := d.scene.Artifacts[len(d.scene.Artifacts)-1]
	d.scene.Chosen = len(d.scene.Artifacts) - 1

	// The census is read through the API, at the backup's own revision but not from the backup: what the backup lacks must
	// not be lacking here too.
	g, ctx := errgroup.WithContext(ctx)
	g.Go(d.step(ctx, "census", fmt.Sprintf("through the API at revision %d", newest.Revision), func() error {
		_, err := census.Live(ctx, d.source.Config(), d.rec.Path(evidence.CensusBeforeFile), census.LiveOptions{
			Key: d.key, Revision: revision(newest.Revision),
		})
		return err
	}))
	g.Go(d.step(ctx, "access", "ask the authorizer who may do what", func() error {
		return access.Read(ctx, d.source.Config(), d.rec.Path(evidence.AccessBeforeFile))
	}))
	return harness(g.Wait())
}

func (d *drill) inject(ctx context.Context) error {
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
	d.expectDeaths(d.source)
	if err := d.strike(ctx, faults.Source); err != nil {
		return err
	}
	d.stale.Struck()
	d.event(evidence.Event{Kind: evidence.ArtifactChosen, Name: d.chosen().Name})
	return nil
}

func (d *drill) restore(drillCtx context.Context) (err error) {
	ctx, cancel := context.WithTimeoutCause(drillCtx, d.spec.Restore.Timeout.Duration,
		fmt.Errorf("service not restored within %s (restore.timeout)", d.spec.Restore.Timeout))
	defer cancel()
	d.mark(evidence.MarkRestoreStarted, "first step of the restore", 0)
	ledgerEnd := make(chan error, 1)
	go func() {
		err := d.ledger.Stop()
		if err == nil {
			d.mark(evidence.MarkLedgerEnded, "the writers had stopped", 0)
		}
		ledgerEnd <- err
	}()
	defer func() { err = errors.Join(err, harness(<-ledgerEnd)) }()
	// Whatever still runs of the old control plane would write beside the new one.
	if err := d.step(ctx, "fence", "stop what is left of the source", func() error { return killAll(ctx, d.source) })(); err != nil {
		return harness(err)
	}
	members := d.spec.Restore.EtcdMembers
	restored, err := d.create(ctx, "restored", members)
	if err != nil {
		return harness(err)
	}
	d.restored, d.scene.Restored = restored, restored
	// The restored cluster has to live until it has been surveyed.
	d.watchDeaths(drillCtx, restored, func(err error) error { return err })

	_, err = d.method.Restore(ctx, d.chosen(), restored, backups.RestoreOptions{
		NoRevisionBump: !*d.spec.Restore.RevisionBump,
		Step:           d.beginStep,
		Reached: func(mark, how string, resolution time.Duration) {
			d.mark(mark, how, resolution)
			if mark == evidence.MarkAPIServing {
				if err := d.stale.Redirect(restored.Config().Host); err != nil {
					d.cancel(harness(err))
				}
			}
		},
	})
	if err != nil {
		detail := "failed"
		if errors.Is(err, backups.ErrRefused) {
			detail = "refused"
		}
		d.event(evidence.Event{Kind: evidence.Claim, Name: "restore", Detail: detail, Error: err.Error()})
		return err
	}
	d.event(evidence.Event{Kind: evidence.Claim, Name: "restore", Detail: "completed"})
	return d.awaitService(ctx)
}

// awaitService returns when the restored cluster does all that the lost one did: it takes writes, its controllers work, its
// workloads are ready, old credentials are good, and every probe passes.
func (d *drill) awaitService(ctx context.Context) error {
	cfg := d.restored.Config()
	g, gctx := errgroup.WithContext(ctx)
	reach := func(mark, how string, wait func(context.Context) error) error {
		if err := wait(gctx); err != nil {
			return fmt.Errorf("%s: %w", mark, err)
		}
		d.mark(mark, how, pollInterval)
		return nil
	}
	g.Go(func() error {
		return reach(evidence.MarkWriteAccepted, "a ConfigMap was created and read back", func(ctx context.Context) error { return d.canary.write(ctx, cfg) })
	})
	g.Go(func() error {
		return reach(evidence.MarkIdentity, "TokenReview of a token minted before the failure", func(ctx context.Context) error { return d.canary.authenticate(ctx, cfg) })
	})
	g.Go(func() error {
		err := reach(evidence.MarkControllers, "new leader leases are held, and a Deployment made after the restore is available",
			func(ctx context.Context) error { return d.canary.rollOut(ctx, cfg) })
		if err != nil {
			return err
		}
		// What the store says of readiness is worth something once somebody looks after it again.
		return reach(evidence.MarkWorkloads, "watch, once controllers had converged: every workload has what it asks for",
			func(ctx context.Context) error { return fixtures.WaitReady(ctx, cfg, nil) })
	})
	if err := g.Wait(); err != nil {
		return err
	}
	for last := d.rec.Now(); ; {
		asked := d.rec.Now()
		passed, err := d.probeAll(ctx, d.restored)
		if passed {
			d.mark(evidence.MarkServiceBack, "every probe passed in one round", d.rec.Now()-last)
			return nil
		}
		last = asked
		if wait(ctx, pollInterval) != nil {
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

func (d *drill) survey(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, surveyTimeout, fmt.Errorf("not surveyed within %s", surveyTimeout))
	defer cancel()
	if err := d.canary.remove(ctx, d.restored.Config()); err != nil {
		return err
	}
	if err := d.strike(ctx, faults.Restored); err != nil {
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
	g.Go(d.step(gctx, "survivors", "read the ledger's objects back", func() error {
		return fixtures.ReadSurvivors(gctx, cfg, d.key, d.rec.Path(evidence.SurvivorsFile))
	}))
	g.Go(d.step(gctx, "store", "compare the store with the artifact, key by key", func() error { return d.compareStores(gctx) }))
	g.Go(d.step(gctx, "probes", "ask once more", func() error {
		// What they answer is judged later; only an answer that could not be recorded is an error here.
		if _, err := d.probeAll(gctx, d.restored); errors.As(err, new(harnessError)) {
			return err
		}
		return nil
	}))
	g.Go(d.step(gctx, "verify artifact again", "the restore must have left it as it was", func() error { return d.chosen().Verify(gctx) }))
	g.Go(d.step(gctx, "freshness", "tell the two clusters apart", func() error { return d.identifyRestored(gctx) }))
	if err := g.Wait(); err != nil {
		return err
	}
	// Last, since it writes.
	err := d.step(ctx, "stale client", "wait for the client from before the failure", func() error {
		return d.rec.Put(evidence.InformerFile, d.stale.Observe(ctx, cfg))
	})()
	return errors.Join(err, d.strike(ctx, faults.Evidence))
}

// strike injects the faults that are aimed at target, one after the other. Each must be invisible before and visible after.
func (d *drill) strike(ctx context.Context, target faults.Target) error {
	for _, f := range d.faults {
		if f.Strikes() != target {
			continue
		}
		if err := d.step(ctx, "inject "+f.Name(), "at the "+target.String(), func() error { return d.strikeOne(ctx, f) })(); err != nil {
			return fmt.Errorf("fault %s: %w", f.Name(), err)
		}
	}
	return nil
}

func (d *drill) strikeOne(ctx context.Context, f faults.Fault) error {
	ctx, cancel := context.WithTimeoutCause(ctx, faultTimeout, fmt.Errorf("not seen within %s", faultTimeout))
	defer cancel()
	before, err := f.Visible(ctx, d.scene)
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
	if err := f.Inject(ctx, d.scene); err != nil {
		return err
	}
	if f.Strikes() == faults.Source {
		d.mark(evidence.MarkInjected, f.Name()+": the last call returned", 0)
	}
	for {
		looking := d.rec.Now()
		after, err := f.Visible(ctx, d.scene)
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
func (d *drill) create(ctx context.Context, name string, members int) (clusters.Cluster, error) {
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
	c, err := d.Provider.Create(ctx, d.clusterSpec(name, members))
	once.Lock()
	defer once.Unlock()
	cluster = c
	return c, err
}

func (d *drill) clusterSpec(name string, members int) clusters.Spec {
	return clusters.Spec{
		Name: name, DrillID: d.id, LogDir: filepath.Join(d.Dir, evidence.LogsDir, name),
		Version: d.spec.Cluster.Version, EtcdMembers: members, Nodes: d.spec.Cluster.Nodes,
		Encryption: d.spec.Cluster.Encryption, AuditLog: d.spec.Cluster.AuditLog,
		StartTimeout: d.spec.Cluster.StartTimeout.Duration, Progress: d.note,
	}
}

func (d *drill) takeBackup(ctx context.Context, n int) (*backups.Artifact, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, d.spec.Backup.Timeout.Duration, fmt.Errorf("not done within %s (backup.timeout)", d.spec.Backup.Timeout))
	defer cancel()
	dir := filepath.Join(d.rec.Path(evidence.ArtifactsDir), fmt.Sprintf("%s-%03d", d.method.Name(), n))
	var artifact *backups.Artifact
	err := d.step(ctx, "back up", filepath.Base(dir), func() (err error) {
		artifact, err = d.method.Backup(ctx, d.source, dir)
		return err
	})()
	return artifact, err
}

// compareStores takes a snapshot of the restored store and compares it with the artifact that it came from.
func (d *drill) compareStores(ctx context.Context) error {
	snapshot := d.chosen().Snapshot()
	if snapshot == "" {
		return nil
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
