package backups

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/fixtures"
	"github.com/restore-drill/restore-drill/internal/evidence"
)

// manifestsDir of an artifact holds one file an object.
const manifestsDir = "manifests"

// newManifests makes the method that has no backup but Git: the manifests that the scenario names, or those that were seeded, are applied to an
// empty cluster, as a GitOps tool would. What nobody committed is gone; how far the cluster had drifted from Git is measured when the
// artifact is taken.
func newManifests(layer Layer, env Env) (Method, error) {
	workloads, paths := env.Workloads, env.Manifests
	if len(layer.Backup.Manifests) > 0 {
		workloads, paths = nil, nil
		for _, p := range layer.Backup.Manifests {
			if !filepath.IsAbs(p) {
				p = filepath.Join(env.ScenarioDir, p)
			}
			paths = append(paths, p)
		}
	}
	desired, err := fixtures.Desired(workloads, paths)
	if err != nil {
		return nil, err
	}
	if len(desired) == 0 {
		return nil, errors.New("the method manifests has nothing to bring back: set spec.backup.manifests, or seed workloads or manifests")
	}
	return &manifestsMethod{env, desired}, nil
}

type manifestsMethod struct {
	Env
	desired []fixtures.Object
}

func (*manifestsMethod) Name() string        { return "manifests" }
func (*manifestsMethod) RestoresStore() bool { return false }

// Git is there before any cluster, and stays.
func (*manifestsMethod) Check(context.Context) error                     { return nil }
func (*manifestsMethod) Prepare(context.Context, clusters.Cluster) error { return nil }
func (*manifestsMethod) Close(context.Context) error                     { return nil }

func (m *manifestsMethod) Backup(ctx context.Context, source clusters.Cluster, dir string) (_ *Artifact, err error) {
	if err := claim(dir); err != nil {
		return nil, fmt.Errorf("commit the manifests of cluster %s: %w", source.Name(), err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("commit the manifests of cluster %s: %w", source.Name(), err), os.RemoveAll(dir))
		}
	}()
	began, spec := time.Now(), source.Spec()
	a := &Artifact{
		Dir: dir, Name: filepath.Base(dir), Method: m.Name(), Taken: began.UTC(), Claim: evidence.Completed,
		Version: spec.Version, EtcdMembers: spec.EtcdMembers, Encryption: spec.Encryption, Window: &Window{},
	}
	if _, a.Window.From, err = choose(ctx, source.Store()); err != nil {
		return nil, err
	}
	drift, err := fixtures.Drift(ctx, source.Config(), m.desired, m.Key)
	if err != nil {
		return nil, err
	}
	a.Facts = map[string]string{"objects": fmt.Sprint(drift.Desired), "in sync with the cluster": fmt.Sprint(drift.InSync)}
	for i, o := range m.desired {
		content, err := json.MarshalIndent(o.Object, "", "  ")
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", o, err)
		}
		if err := a.Keep(fmt.Sprintf("%s/%04d.json", manifestsDir, i), content); err != nil {
			return nil, err
		}
	}
	if _, a.Window.To, err = choose(ctx, source.Store()); err != nil {
		return nil, err
	}
	a.Seconds = time.Since(began).Seconds()
	return a, errors.Join(m.Put(evidence.DriftFile, drift), a.Finish())
}

func (m *manifestsMethod) Restore(ctx context.Context, a *Artifact, target clusters.Cluster, opts RestoreOptions) (string, error) {
	opts = opts.withDefaults()
	if err := m.restore(ctx, a, target, opts); err != nil {
		return "", fmt.Errorf("apply %s to cluster %s: %w", a.Name, target.Name(), err)
	}
	return evidence.Completed, nil
}

func (m *manifestsMethod) restore(ctx context.Context, a *Artifact, target clusters.Cluster, opts RestoreOptions) error {
	if err := opts.step(evidence.StepVerify, "digests of all files, as recorded when it was taken", func() error { return a.Verify(ctx) }); err != nil {
		if errors.Is(err, ErrDamaged) {
			return &ClaimError{evidence.Refused, fmt.Errorf("%w: %w", ErrRefused, err)}
		}
		return err
	}
	opts.Reached(evidence.MarkArtifactOK, "the SHA-256 of every file is the recorded one", 0)
	desired, err := fixtures.LoadManifests([]string{filepath.Join(a.Dir, manifestsDir)})
	if err != nil {
		return err
	}
	if !opts.Running {
		if err := target.Start(ctx, opts.Reached); err != nil {
			return err
		}
		if err := opts.Empty(ctx); err != nil {
			return err
		}
	}
	if err := opts.step("apply manifests", fmt.Sprintf("%d objects, by server-side apply", len(desired)), func() error {
		return fixtures.Apply(ctx, target.Config(), slices.Clone(desired))
	}); err != nil {
		return err
	}
	opts.Reached(evidence.MarkObjectsBack, "every apply was acknowledged", 0)
	return nil
}
