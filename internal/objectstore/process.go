package objectstore

import (
	"context"
	"path/filepath"

	"github.com/restore-drill/restore-drill/internal/place"
	"github.com/restore-drill/restore-drill/internal/proc"
)

// A processServer is a child process that serves on loopback.
type processServer struct {
	*place.Process
	port *proc.Port
}

func newProcessServer(ctx context.Context, p *place.Place, o Options, logFile string) (*processServer, error) {
	binary, err := o.Toolchain.Find(ctx, name, "")
	if err != nil {
		return nil, err
	}
	port, err := p.ReservePort(proc.ReuseAddr)
	if err != nil {
		return nil, err
	}
	return &processServer{port: port, Process: p.Process(place.Command{
		Name: name, Path: binary.Path, LogFile: filepath.Clean(logFile), Ports: []*proc.Port{port}, DataDir: p.Dir(dataDir),
		Args: arguments(p, port.Address()),
	})}, nil
}

func (s *processServer) endpoint() string { return "https://" + s.port.Address() }
func (s *processServer) address() string  { return s.port.Address() }
func (s *processServer) hosts() []string  { return []string{"127.0.0.1", "localhost"} }

func (s *processServer) serve(ctx context.Context, env []string) error {
	if err := s.Stop(ctx); err != nil {
		return err
	}
	s.Command.Env = env
	return s.Start(ctx, nil)
}

// close has nothing to do: the place ends its processes.
func (s *processServer) close(context.Context) error { return nil }
