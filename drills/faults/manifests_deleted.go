package faults

import "context"

// ManifestsDeleted is the loss of the static pods' manifests, which stand in no store: the kubelet ends the control plane at once, and nobody
// can start it again from what etcd holds.
type ManifestsDeleted struct{}

// manifestsDir is where the kubelet looks for static pods.
const manifestsDir = "/etc/kubernetes/manifests"

// Name in the catalogue.
func (*ManifestsDeleted) Name() string { return "manifests-deleted" }

// Strikes the source cluster.
func (*ManifestsDeleted) Strikes() Target { return Source }

// OnMachine says that there have to be machines.
func (*ManifestsDeleted) OnMachine() {}

// Destroys in one sentence.
func (*ManifestsDeleted) Destroys() string {
	return "The manifests of the source's static pods are deleted: the kubelet ends etcd, the API server and the controllers."
}

// Inject deletes.
func (*ManifestsDeleted) Inject(ctx context.Context, s *Scene) error {
	_, err := s.onControlPlane(ctx, "bash", "-c", "rm -f "+manifestsDir+"/*.yaml")
	return err
}

// Visible when no manifest is left, and the API server takes no connection.
func (*ManifestsDeleted) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	left, err := s.existing(ctx, manifestsDir+"/*.yaml")
	if err != nil {
		return Sighting{}, err
	}
	return s.stopsServing(ctx, manifestsDir, left)
}
