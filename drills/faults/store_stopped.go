package faults

import (
	"context"
	"net"
	"net/url"
)

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
	at, err := url.Parse(method.Store().Endpoint())
	if err != nil {
		return Sighting{}, err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", at.Host)
	if err != nil {
		return Sighting{Visible: ctx.Err() == nil, Detail: "the object store refuses connections: " + brief(err)}, ctx.Err()
	}
	return Sighting{Detail: "the object store takes connections"}, conn.Close()
}
