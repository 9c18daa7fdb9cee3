package faults

import (
	"context"
	"fmt"

	velerov1 "github.com/vmware-tanzu/velero/pkg/apis/velero/v1"

	"github.com/restore-drill/restore-drill/internal/velero"
)

// VeleroKilled is Velero's pod evicted, or out of memory, at its work: what it was at is not gone on with when it runs again.
type VeleroKilled struct {
	// During is backup or restore (the default).
	During string `json:"during,omitempty"`
}

// Name in the catalogue.
func (*VeleroKilled) Name() string { return "velero-killed" }

// Strikes while the tool is at work.
func (f *VeleroKilled) Strikes() Target {
	if f.During == "backup" {
		return DuringBackup
	}
	return DuringRestore
}

// Validate the parameters.
func (f *VeleroKilled) Validate() error { return checkOperation(f.During) }

// Destroys in one sentence.
func (f *VeleroKilled) Destroys() string {
	return "Velero is killed while it is at its " + f.During + ", and started again."
}

// server is the one at work.
func (f *VeleroKilled) server(s *Scene) (*velero.Server, error) {
	method, err := s.velero()
	if err != nil {
		return nil, err
	}
	cluster := s.Source
	if f.Strikes() == DuringRestore {
		cluster = s.Restored
	}
	if cluster == nil {
		return nil, errNoRestored
	}
	server := method.Server(cluster.Name())
	if server == nil {
		return nil, fmt.Errorf("velero does not run beside the %s cluster", cluster.Name())
	}
	return server, nil
}

// Inject kills and starts.
func (f *VeleroKilled) Inject(ctx context.Context, s *Scene) error {
	server, err := f.server(s)
	if err != nil {
		return err
	}
	if err := server.Component().Kill(ctx); err != nil {
		return err
	}
	return server.Component().Start(ctx, nil)
}

// Visible when Velero itself says of an operation that it failed.
func (f *VeleroKilled) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	server, err := f.server(s)
	if err != nil {
		return Sighting{}, err
	}
	failed, err := f.failed(ctx, server)
	if err != nil {
		return Sighting{}, err
	}
	if failed == "" {
		return Sighting{Detail: "no " + f.During + " has failed"}, nil
	}
	return Sighting{Visible: true, Detail: "velero says of " + f.During + " " + failed + ": Failed"}, nil
}

func (f *VeleroKilled) failed(ctx context.Context, server *velero.Server) (string, error) {
	if f.Strikes() == DuringBackup {
		all := &velerov1.BackupList{}
		err := server.List(ctx, velero.Backups, all)
		for _, b := range all.Items {
			if b.Status.Phase == velerov1.BackupPhaseFailed {
				return b.Name, err
			}
		}
		return "", err
	}
	all := &velerov1.RestoreList{}
	err := server.List(ctx, velero.Restores, all)
	for _, r := range all.Items {
		if r.Status.Phase == velerov1.RestorePhaseFailed {
			return r.Name, err
		}
	}
	return "", err
}
