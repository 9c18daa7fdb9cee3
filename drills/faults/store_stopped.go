package faults

import "context"

// StoreStopped is a store that nobody can reach at the moment it is needed: the disaster took it along, or the network to it. In the middle of a backup it is
// an outage, which is over once the backup has ended.
type StoreStopped struct {
	// During is backup or restore (the default, which is from before the restore, and for good).
	During string `json:"during,omitempty"`
}

// Name in the catalogue.
func (*StoreStopped) Name() string { return "store-stopped" }

// Strikes the artifact, or the tool while it backs up.
func (f *StoreStopped) Strikes() Target {
	if f.During == "backup" {
		return DuringBackup
	}
	return Artifact
}

// Validate the parameters.
func (f *StoreStopped) Validate() error { return checkOperation(f.During) }

// Destroys in one sentence.
func (f *StoreStopped) Destroys() string {
	if f.Strikes() == DuringBackup {
		return "The object store is stopped while the newest backup is taken, and started again after it."
	}
	return "The object store with the backups is stopped; what it holds stays."
}

// Inject kills the server.
func (*StoreStopped) Inject(ctx context.Context, s *Scene) error {
	method, err := s.velero()
	if err != nil {
		return err
	}
	return method.Store().Component().Kill(ctx)
}

// Pass starts it again.
func (*StoreStopped) Pass(ctx context.Context, s *Scene) error {
	method, err := s.velero()
	if err != nil {
		return err
	}
	if err := method.Store().Component().Start(ctx, nil); err != nil {
		return err
	}
	return method.Store().Ready(ctx)
}

// Visible when its address refuses connections.
func (*StoreStopped) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	method, err := s.velero()
	if err != nil {
		return Sighting{}, err
	}
	refused, err := refuses(ctx, "https://"+method.Store().Address())
	if err != nil {
		return Sighting{}, err
	}
	if refused {
		return Sighting{Visible: true, Detail: "the object store refuses connections"}, nil
	}
	return Sighting{Detail: "the object store takes connections"}, nil
}
