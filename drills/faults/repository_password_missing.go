package faults

import (
	"context"
	"fmt"

	"github.com/restore-drill/restore-drill/drills/backups"
)

// RepositoryPasswordMissing is a backup of volumes whose password nobody kept: Velero has it in a Secret of its own namespace, which it does not back up, and
// which goes with the cluster. A new Velero makes itself another.
type RepositoryPasswordMissing struct{}

// Name in the catalogue.
func (*RepositoryPasswordMissing) Name() string { return "repository-password-missing" }

// Strikes the artifact.
func (*RepositoryPasswordMissing) Strikes() Target { return Artifact }

// Destroys in one sentence.
func (*RepositoryPasswordMissing) Destroys() string {
	return "The password of the repository that volumes are backed up into is not kept with the backup."
}

// Inject leaves it out.
func (*RepositoryPasswordMissing) Inject(_ context.Context, s *Scene) error {
	if len(s.Artifacts) == 0 {
		return errNoArtifact
	}
	return s.Artifacts[s.Chosen].Retake(backups.PasswordFile, nil)
}

// Visible when the artifact does not have it.
func (*RepositoryPasswordMissing) Visible(_ context.Context, s *Scene) (Sighting, error) {
	if len(s.Artifacts) == 0 {
		return Sighting{}, errNoArtifact
	}
	a := s.Artifacts[s.Chosen]
	if _, kept := a.Files[backups.PasswordFile]; kept {
		return Sighting{Detail: fmt.Sprintf("artifact %s has the repository's password", a.Name)}, nil
	}
	return Sighting{Visible: true, Detail: fmt.Sprintf("artifact %s has no password of the repository", a.Name)}, nil
}
