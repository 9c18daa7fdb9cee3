package faults

import "context"

// RestoreElsewhere is a snapshot restored into a directory that etcd does not use: `etcdutl snapshot restore` makes NAME.etcd where it
// is called, and the members' --data-dir was not changed. They start again without a complaint, on the data that they had.
type RestoreElsewhere struct{}

// Name in the catalogue.
func (*RestoreElsewhere) Name() string { return "restore-elsewhere" }

// Strikes the way of restoring.
func (*RestoreElsewhere) Strikes() Target { return Procedure }

// Destroys in one sentence.
func (*RestoreElsewhere) Destroys() string {
	return "Nothing; the snapshot is restored into another directory than the one that etcd uses."
}

// Inject has another directory written.
func (*RestoreElsewhere) Inject(_ context.Context, s *Scene) error {
	if s.Procedure == nil {
		return errNoProcedure
	}
	s.Procedure.OtherDirectory = true
	return nil
}

// Visible when that is how it will be done.
func (*RestoreElsewhere) Visible(_ context.Context, s *Scene) (Sighting, error) {
	if s.Procedure == nil {
		return Sighting{}, errNoProcedure
	}
	if !s.Procedure.OtherDirectory {
		return Sighting{Detail: "the snapshot will be restored into the members' own directories"}, nil
	}
	return Sighting{Visible: true, Detail: "the snapshot will be restored into a directory that no member uses"}, nil
}
