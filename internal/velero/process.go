package velero

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/restore-drill/restore-drill/internal/place"
)

// A process is a server beside the cluster: a child process of this one.
type process struct {
	*place.Process
	place *place.Place
}

func installProcess(ctx context.Context, s *Server, o Options) (_ *process, err error) {
	p := &process{}
	if p.place, err = place.Claim(ctx, o.StateRoot, o.DrillID, o.Name); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close(context.WithoutCancel(ctx)))
		}
	}()
	// Whatever is executable in the directory is taken for a plugin.
	plugins := p.place.Dir("plugins")
	if err := errors.Join(os.Mkdir(plugins, 0o700), os.Symlink(o.Plugin, filepath.Join(plugins, filepath.Base(o.Plugin)))); err != nil {
		return nil, err
	}
	if err := s.install(ctx, o, putDeployment); err != nil {
		return nil, err
	}
	credentials := p.place.Dir("credentials")
	if err := os.WriteFile(credentials, []byte(o.Store.credentialsFile()), 0o600); err != nil {
		return nil, err
	}
	flags := map[string]string{
		"kubeconfig": o.Kubeconfig, "namespace": Namespace, "plugin-dir": plugins,
		// A port that is free by construction, as nobody needs to find it; and no profiler.
		"metrics-address": "127.0.0.1:0", "profiler-address": "",
	}
	for name, value := range o.Flags {
		flags[name] = value
	}
	p.Process = p.place.Process(place.Command{
		Name: "velero", Path: o.Server, Args: []string{"server"}, Flags: flags, LogFile: o.LogFile,
		// The sockets of its plugins lie in its working directory; a path from the root would be too long for a socket.
		Env: []string{"PLUGIN_UNIX_SOCKET_DIR=.", "AWS_SHARED_CREDENTIALS_FILE=" + credentials},
	})
	return p, nil
}

func (p *process) guard(ctx context.Context) (context.Context, func()) {
	ctx, end := p.place.Guard(ctx)
	if death := p.Death(); death != nil {
		end(death)
	}
	return ctx, func() { end(nil) }
}

func (p *process) close(ctx context.Context) error { return p.place.Close(ctx) }
