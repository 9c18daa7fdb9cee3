package faults

import (
	"context"
	"fmt"
)

// SnapshotStale is a restore of the wrong backup: the newest is lost, or sorts first by a wrong date, and the oldest is taken for it. The restore
// succeeds, and costs more than was promised.
type SnapshotStale struct{}

// Name in the catalogue.
func (*SnapshotStale) Name() string { return "snapshot-stale" }

// Strikes the artifact.
func (*SnapshotStale) Strikes() Target { return Artifact }

// Destroys in one sentence.
func (*SnapshotStale) Destroys() string {
	return "Nothing; the oldest backup is restored in place of the newest."
}

// Inject chooses the oldest artifact.
func (*SnapshotStale) Inject(_ context.Context, s *Scene) error {
	switch len(s.Artifacts) {
	case 0:
		return errNoArtifact
	case 1:
		return fmt.Errorf("one backup was taken: an older one needs at least two (backup.count)")
	}
	s.Chosen = 0
	return nil
}

// Visible when the artifact to be restored is older than another one.
func (*SnapshotStale) Visible(_ context.Context, s *Scene) (Sighting, error) {
	a, _, err := s.chosen()
	if err != nil {
		return Sighting{}, err
	}
	newest := a
	for _, other := range s.Artifacts {
		if other.Revision > newest.Revision {
			newest = other
		}
	}
	if newest == a {
		return Sighting{Detail: fmt.Sprintf("%s, of revision %d, is the newest", a.Name, a.Revision)}, nil
	}
	return Sighting{Visible: true, Detail: fmt.Sprintf("%s, of revision %d, is to be restored; %s has revision %d", a.Name, a.Revision, newest.Name, newest.Revision)}, nil
}
