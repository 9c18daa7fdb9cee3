package faults

import (
	"context"
	"fmt"
)

// BackupExpired is a backup that outlived its time to live, of which nobody thought when the schedule was written. Velero's garbage collector, which
// looks at every backup once an hour and whenever the server starts, deletes it with all that belongs to it. The scenario sets a short
// spec.backup.velero.ttl.
type BackupExpired struct{}

// Name in the catalogue.
func (*BackupExpired) Name() string { return "backup-expired" }

// Strikes the artifact.
func (*BackupExpired) Strikes() Target { return Artifact }

// Destroys in one sentence.
func (*BackupExpired) Destroys() string {
	return "Velero deletes the backup from its bucket, for its time to live is over."
}

// Inject starts the source's server again, so that it collects now what it would within the hour.
func (*BackupExpired) Inject(ctx context.Context, s *Scene) error {
	if s.Source == nil {
		return errNoSource
	}
	method, err := s.velero()
	if err != nil {
		return err
	}
	server := method.Server(s.Source.Name()).Component()
	if err := server.Stop(ctx); err != nil {
		return err
	}
	return server.Start(ctx, nil)
}

// Visible when nothing of the backup is in the bucket any more.
func (*BackupExpired) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	store, keys, err := s.stored("*")
	if err != nil {
		return Sighting{}, err
	}
	there, _, err := s.there(ctx, store, keys)
	return Sighting{Visible: err == nil && there == 0, Detail: fmt.Sprintf("%d of %d objects of the backup are in the bucket", there, len(keys))}, err
}
