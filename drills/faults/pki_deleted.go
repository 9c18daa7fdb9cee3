package faults

import "context"

// PKIDeleted is the loss of all keys and certificates of the control plane, the authorities' keys too: a cleaned-up directory, or a configuration
// management run on the wrong host. What runs goes on with what it has in memory, until it is started again. It is started again here.
type PKIDeleted struct{}

// pkiDir is where kubeadm keeps keys and certificates.
const pkiDir = "/etc/kubernetes/pki"

// Name in the catalogue.
func (*PKIDeleted) Name() string { return "pki-deleted" }

// Strikes the source cluster.
func (*PKIDeleted) Strikes() Target { return Source }

// OnMachine says that there have to be machines.
func (*PKIDeleted) OnMachine() {}

// Destroys in one sentence.
func (*PKIDeleted) Destroys() string {
	return "All keys and certificates of the source's control plane are deleted, and its processes are killed, as in a reboot."
}

// Inject deletes and kills. The kubelet starts again what was killed.
func (*PKIDeleted) Inject(ctx context.Context, s *Scene) error {
	_, err := s.onControlPlane(ctx, "bash", "-c", "rm -rf "+pkiDir+"/* && pkill -KILL -x 'kube-apiserver|etcd|kube-controller|kube-scheduler'")
	return err
}

// Visible when no file is left, and the API server takes no connection: it does not come to listening without its certificate.
func (*PKIDeleted) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	left, err := s.existing(ctx, pkiDir+"/*.key", pkiDir+"/*.crt", pkiDir+"/etcd/*")
	if err != nil {
		return Sighting{}, err
	}
	return s.stopsServing(ctx, pkiDir, left)
}
