package drills

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/shirou/gopsutil/v4/mem"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/restore-drill/restore-drill/drills/backups"
	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/fixtures"
	"github.com/restore-drill/restore-drill/scenarios"
)

// Each calls run once for each of several drills, with its index in all: for up to parallel of them at a time, and for no more than fit the
// memory of this machine together. Those that need most begin first, since they take longest; one at a time keeps the order. What a run
// returns, or panics with, is its own error and stops no other. A drill that was not begun when ctx ended has the cause of that for its error.
func Each(ctx context.Context, all []*Loaded, parallel int, run func(i int) error) []error {
	weights := make([]int64, len(all))
	for i, l := range all {
		weights[i] = weight(l.Scenario)
	}
	return machine().each(ctx, weights, parallel, run)
}

// Check tells what this machine lacks for drills of some scenarios. What is missing of their binaries is built, which can take minutes.
func Check(ctx context.Context, provider clusters.Provider, all ...*Loaded) error {
	tools := provider.Tools()
	for _, l := range all {
		s := l.Scenario
		if err := l.lacks(provider); err != nil {
			return err
		}
		var (
			env     = l.env(tools)
			methods []backups.Method
			errs    []error
		)
		for _, layer := range layers(&s.Spec) {
			method, err := backups.New(backups.Layer{Backup: layer.Backup, Velero: layer.Velero}, env)
			if err == nil {
				err, methods = method.Check(ctx), append(methods, method)
			}
			errs = append(errs, err)
		}
		nodeImage, kind, err := kindOf(&s.Spec)
		errs = append(errs, err)
		source := clusters.Spec{
			Version: s.Spec.Cluster.Version, EtcdMembers: s.Spec.Cluster.EtcdMembers, Encryption: s.Spec.Cluster.Encryption,
			Nodes: s.Spec.Cluster.Nodes, NodeImage: nodeImage, Kind: kind, Images: images(l, methods),
		}
		errs = append(errs, provider.Check(ctx, source))
		if restored := s.Spec.Restore; restored.Version != source.Version {
			target := source
			target.Version, target.EtcdMembers = restored.Version, restored.EtcdMembers
			errs = append(errs, provider.Check(ctx, target))
		}
		if err := errors.Join(errs...); err != nil {
			return err // the others lack much the same
		}
	}
	return nil
}

// images that the pods of a drill run, beside those of Kubernetes itself, on clusters whose nodes are machines.
func images(l *Loaded, methods []backups.Method) (all []string) {
	// What is wrong with a manifest was told when the scenario was loaded.
	all, _ = fixtures.Images(l.Scenario.Spec.Seed.Workloads, manifests(l.Scenario, l.Path))
	for _, m := range methods {
		if m, ok := m.(interface{ Images() []string }); ok {
			all = append(all, m.Images()...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// layers of a drill in the order in which they are restored.
func layers(s *scenarios.Spec) []scenarios.Layer {
	return append([]scenarios.Layer{{Backup: s.Backup, Velero: s.Restore.Velero}}, s.Layers...)
}

// weight is the memory that a drill needs, in MiB.
//
// It is what was measured, rounded up: the largest sum, over a drill, of RssAnon (/proc/PID/status) of its components every 100 ms, and some
// 40 MiB for the harness itself. Pages of files, such as a store that is mapped, are left out: the kernel takes them back. Measured on 2 cores
// with Kubernetes v1.36.3: 346 to 410 MiB with 20 to 500 generated objects of 1 KiB, 500 with three members of etcd, 540 with Velero, its plugin
// and its object store, 626 with 10,000 objects, 1054 with 1,000 of 64 KiB. The source is stopped before the restored cluster is started, so the two do not add up.
func weight(s *scenarios.Scenario) int64 {
	need := int64(400)
	need += 50 * int64(max(s.Spec.Cluster.EtcdMembers, s.Spec.Restore.EtcdMembers)-1)
	if slices.ContainsFunc(layers(&s.Spec), func(l scenarios.Layer) bool { return l.Backup.Method == "velero" }) {
		need += 140
	}
	need += int64(*s.Spec.Seed.Objects) * (11*int64(s.Spec.Seed.PayloadBytes()) + 15<<10) >> 20
	return need
}

// A budget is memory that drills share, in MiB.
type budget struct {
	total  int64
	shared *semaphore.Weighted
}

func newBudget(total int64) *budget { return &budget{total, semaphore.NewWeighted(total)} }

// machine is the memory that was available when the first drill asked for some.
var machine = sync.OnceValue(func() *budget {
	m, err := mem.VirtualMemory()
	if err != nil {
		// Nobody knows what fits: one drill at a time.
		return newBudget(1)
	}
	return newBudget(max(1, int64(m.Available>>20)))
})

// take waits until there is room for a drill. One that needs more than all there is runs alone.
func (b *budget) take(ctx context.Context, weight int64) (release func(), err error) {
	weight = min(weight, b.total)
	if b.shared.Acquire(ctx, weight) != nil {
		return nil, notBegun(ctx)
	}
	return func() { b.shared.Release(weight) }, nil
}

// notBegun is the error of a drill that has not begun when ctx has ended; nil as long as it has not.
func notBegun(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return fmt.Errorf("the drill was not begun: %w", context.Cause(ctx))
}

func (b *budget) each(ctx context.Context, weights []int64, parallel int, run func(i int) error) []error {
	errs := make([]error, len(weights))
	order := make([]int, len(weights))
	for i := range order {
		order[i] = i
	}
	if parallel > 1 {
		slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(weights[j], weights[i]) })
	}
	var g errgroup.Group
	g.SetLimit(parallel)
	for _, i := range order {
		release, err := b.take(ctx, weights[i])
		if err != nil {
			errs[i] = err
			continue
		}
		g.Go(func() error { // once fewer than parallel run
			defer release()
			if errs[i] = notBegun(ctx); errs[i] == nil {
				errs[i] = recovered(func() error { return run(i) })
			}
			return nil
		})
	}
	_ = g.Wait() // each has its own
	return errs
}
