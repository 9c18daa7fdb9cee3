package faults

import (
	"context"
	"errors"
	"fmt"
)

// RestoreMixed is a restore in which one member gets another snapshot than the others: each machine's operator takes the newest that
// lies there. The members form a cluster, and hold different data.
type RestoreMixed struct{}

// Name in the catalogue.
func (*RestoreMixed) Name() string { return "restore-mixed" }

// Strikes the way of restoring.
func (*RestoreMixed) Strikes() Target { return Procedure }

// Destroys in one sentence.
func (*RestoreMixed) Destroys() string {
	return "Nothing; the last etcd member is restored from the oldest backup, the others from the newest."
}

// Inject chooses the oldest artifact for the last member.
func (*RestoreMixed) Inject(_ context.Context, s *Scene) error {
	switch {
	case s.Procedure == nil:
		return errNoProcedure
	case len(s.Artifacts) < 2:
		return fmt.Errorf("%d backups were taken: another one than the newest needs at least two (backup.count)", len(s.Artifacts))
	case s.Artifacts[0].EtcdMembers < 2:
		return errors.New("there is one etcd member: members differ where there are several (cluster.etcdMembers: 3)")
	}
	s.Procedure.LastMember = s.Artifacts[0]
	return nil
}

// Visible when the last member will be restored from an artifact of its own.
func (*RestoreMixed) Visible(_ context.Context, s *Scene) (Sighting, error) {
	if s.Procedure == nil {
		return Sighting{}, errNoProcedure
	}
	a, _, err := s.chosen()
	if err != nil {
		return Sighting{}, err
	}
	other := s.Procedure.LastMember
	if other == nil || other.Revision == a.Revision {
		return Sighting{Detail: fmt.Sprintf("every member will be restored from %s, of revision %d", a.Name, a.Revision)}, nil
	}
	return Sighting{Visible: true, Detail: fmt.Sprintf("the last member will be restored from %s, of revision %d, and the others from %s, of revision %d",
		other.Name, other.Revision, a.Name, a.Revision)}, nil
}
