package faults

import "context"

// RestoreWithoutBump is a snapshot restored as it is, by plain `etcdutl snapshot restore`. The store goes back in time, and gives the
// revisions that clients have seen to other writes: an informer that was connected before goes on believing in objects that are not
// there.
type RestoreWithoutBump struct{}

// Name in the catalogue.
func (*RestoreWithoutBump) Name() string { return "restore-without-bump" }

// Strikes the way of restoring.
func (*RestoreWithoutBump) Strikes() Target { return Procedure }

// Destroys in one sentence.
func (*RestoreWithoutBump) Destroys() string {
	return "Nothing; the store's revision is not raised, and revisions that clients have seen are given out again."
}

// Inject leaves the revision.
func (*RestoreWithoutBump) Inject(_ context.Context, s *Scene) error {
	if s.Procedure == nil {
		return errNoProcedure
	}
	s.Procedure.KeepRevision = true
	return nil
}

// Visible when that is how it will be done.
func (*RestoreWithoutBump) Visible(_ context.Context, s *Scene) (Sighting, error) {
	if s.Procedure == nil {
		return Sighting{}, errNoProcedure
	}
	if !s.Procedure.KeepRevision {
		return Sighting{Detail: "the revision will be raised, and all before it marked compacted"}, nil
	}
	return Sighting{Visible: true, Detail: "the revision will stay as the snapshot has it"}, nil
}
