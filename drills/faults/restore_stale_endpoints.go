package faults

import "context"

// RestoreStaleEndpoints is a restore that brings back the addresses of the lost control plane's API servers, and nothing that would ever
// remove them: a tool that copies keys one by one leaves out the etcd leases they were bound to. default/kubernetes sends every pod to a
// machine that is gone, in turn.
type RestoreStaleEndpoints struct{}

// Name in the catalogue.
func (*RestoreStaleEndpoints) Name() string { return "restore-stale-endpoints" }

// Strikes the way of restoring.
func (*RestoreStaleEndpoints) Strikes() Target { return Procedure }

// Destroys in one sentence.
func (*RestoreStaleEndpoints) Destroys() string {
	return "Nothing; the addresses of the lost API servers stay registered, without the leases that would have run out."
}

// Inject has them kept.
func (*RestoreStaleEndpoints) Inject(_ context.Context, s *Scene) error {
	if s.Procedure == nil {
		return errNoProcedure
	}
	s.Procedure.KeepAPIServers = true
	return nil
}

// Visible when that is how it will be done.
func (*RestoreStaleEndpoints) Visible(_ context.Context, s *Scene) (Sighting, error) {
	if s.Procedure == nil {
		return Sighting{}, errNoProcedure
	}
	if !s.Procedure.KeepAPIServers {
		return Sighting{Detail: "what the lost API servers registered will be removed"}, nil
	}
	return Sighting{Visible: true, Detail: "what the lost API servers registered will be kept"}, nil
}
