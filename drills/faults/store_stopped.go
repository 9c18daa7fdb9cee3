package faults

import "context"

// StoreStopped is a store that nobody can reach at the moment it is needed: the disaster took it along, or the network to it.
type StoreStopped struct{}

// Name in the catalogue.
func (*StoreStopped) Name() string { return "store-stopped" }

// Strikes the artifact.
func (*StoreStopped) Strikes() Target { return Artifact }

// Destroys in one sentence.
func (*StoreStopped) Destroys() string {
	return "The object store with the backups is stopped; what it holds stays."
}

// Inject kills the server.
func (*StoreStopped) Inject(ctx context.Context, s *Scene) error {
	method, err := s.velero()
	if err != nil {
		return err
	}
	return method.Store().Component().Kill(ctx)
}

// Visible when its address refuses connections.
func (*StoreStopped) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	method, err := s.velero()
	if err != nil {
		return Sighting{}, err
	}
	refused, err := refuses(ctx, "https://"+method.Store().Address())
	if err != nil {
		return Sighting{}, err
	}
	if refused {
		return Sighting{Visible: true, Detail: "the object store refuses connections"}, nil
	}
	return Sighting{Detail: "the object store takes connections"}, nil
}
