package faults

import "context"

// RestoreUnderAPIServer is a store that is replaced under an API server that runs. Somebody installs a new cluster, restores etcd into
// it, and restarts nothing but etcd: the API server goes on from what its caches hold.
type RestoreUnderAPIServer struct{}

// Name in the catalogue.
func (*RestoreUnderAPIServer) Name() string { return "restore-under-apiserver" }

// Strikes the way of restoring.
func (*RestoreUnderAPIServer) Strikes() Target { return Procedure }

// Destroys in one sentence.
func (*RestoreUnderAPIServer) Destroys() string {
	return "Nothing; the new cluster's API server serves an empty store first, and is not restarted when that is replaced."
}

// Inject has the API server started too early.
func (*RestoreUnderAPIServer) Inject(_ context.Context, s *Scene) error {
	if s.Procedure == nil {
		return errNoProcedure
	}
	s.Procedure.LiveAPIServer = true
	return nil
}

// Visible when that is how it will be done.
func (*RestoreUnderAPIServer) Visible(_ context.Context, s *Scene) (Sighting, error) {
	if s.Procedure == nil {
		return Sighting{}, errNoProcedure
	}
	if !s.Procedure.LiveAPIServer {
		return Sighting{Detail: "no API server will run while the store is restored"}, nil
	}
	return Sighting{Visible: true, Detail: "an API server will run while the store is restored"}, nil
}
