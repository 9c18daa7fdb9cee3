package faults

import (
	"context"
	"fmt"
)

// MaterialMissing is a backup of the store without a file that nobody can run its cluster without: the encryption configuration lay elsewhere than
// the certificates, and the script that copies them did not know.
type MaterialMissing struct {
	// File in kubeadm's layout: ca.key, sa.key, front-proxy-ca.crt; default encryption-config.yaml.
	File string `json:"file,omitempty"`
}

// Name in the catalogue.
func (*MaterialMissing) Name() string { return "material-missing" }

// Strikes the artifact.
func (*MaterialMissing) Strikes() Target { return Artifact }

// Destroys in one sentence.
func (f *MaterialMissing) Destroys() string {
	return fmt.Sprintf("File %s is left out of the backup's key material.", f.File)
}

// Inject leaves the file out.
func (f *MaterialMissing) Inject(_ context.Context, s *Scene) error { return s.retake(f.File, nil) }

// Visible when the source cluster has the file and the artifact has not.
func (f *MaterialMissing) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	return otherMaterial(ctx, s, f.File)
}
