package faults

import "context"

// RestoreUnderKubelet is a store that is put back in place while the kubelets run on. Kubernetes recommends to restart them with the control plane: each has
// pods of its own memory, and asks only for what is newer.
// Source: https://kubernetes.io/docs/tasks/administer-cluster/configure-upgrade-etcd/#restoring-an-etcd-cluster
type RestoreUnderKubelet struct{}

// Name in the catalogue.
func (*RestoreUnderKubelet) Name() string { return "restore-under-kubelet" }

// Strikes the way of restoring.
func (*RestoreUnderKubelet) Strikes() Target { return Procedure }

// OnMachine says that there have to be machines.
func (*RestoreUnderKubelet) OnMachine() {}

// Destroys in one sentence.
func (*RestoreUnderKubelet) Destroys() string {
	return "Nothing; the kubelet is not restarted when the store under it is put back."
}

// Inject leaves it running.
func (*RestoreUnderKubelet) Inject(_ context.Context, s *Scene) error {
	if s.Procedure == nil {
		return errNoProcedure
	}
	s.Procedure.KeepKubelet = true
	return nil
}

// Visible when that is how it will be done.
func (*RestoreUnderKubelet) Visible(_ context.Context, s *Scene) (Sighting, error) {
	if s.Procedure == nil {
		return Sighting{}, errNoProcedure
	}
	if !s.Procedure.KeepKubelet {
		return Sighting{Detail: "the kubelet will be restarted with the control plane"}, nil
	}
	return Sighting{Visible: true, Detail: "the kubelet will run on while the store is put back"}, nil
}
