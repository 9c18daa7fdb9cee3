package faults

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"

	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/internal/etcd"
)

// What is on the disk under a component is on this machine's, or on that of the control-plane machine that it runs on: the nth component that keeps
// data is on the nth.

// loseData of stopped components of a cluster. What was on a machine that is gone is lost already.
func loseData(ctx context.Context, cluster clusters.Cluster, components []clusters.Component) error {
	var errs []error
	n := 0
	for _, c := range components {
		if c.DataDir() == "" {
			continue
		}
		if _, on := cluster.(clusters.Machined); !on {
			errs = append(errs, os.RemoveAll(c.DataDir()))
		} else if m, there := controlPlaneMachine(cluster, n); there {
			_, err := m.Exec(ctx, nil, "rm", "-rf", c.DataDir())
			errs = append(errs, err)
		}
		n++
	}
	return errors.Join(errs...)
}

// damagePages of the nth member's database.
func damagePages(ctx context.Context, cluster clusters.Cluster, n int, dataDir string, pages int, random *rand.Rand) error {
	m, on := controlPlaneMachine(cluster, n)
	if !on {
		_, err := etcd.DamagePages(dataDir, pages, random)
		return err
	}
	file := path.Join("member", "snap", "db")
	content, err := m.Exec(ctx, nil, "cat", path.Join(dataDir, file))
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp(cluster.StateDir(), "damage-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := os.MkdirAll(filepath.Join(work, filepath.Dir(file)), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(work, file), content, 0o600); err != nil {
		return err
	}
	if _, err := etcd.DamagePages(work, pages, random); err != nil {
		return err
	}
	if content, err = os.ReadFile(filepath.Join(work, file)); err != nil {
		return err
	}
	_, err = m.Exec(ctx, bytes.NewReader(content), "dd", "of="+path.Join(dataDir, file), "bs=1M", "conv=notrunc,fsync", "status=none")
	return err
}
