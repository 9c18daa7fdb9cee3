// Package velero runs Velero's server as a child process beside a cluster, as `velero install` runs it in a Deployment, and speaks its API.
package velero

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	velerov1 "github.com/vmware-tanzu/velero/pkg/apis/velero/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"github.com/restore-drill/restore-drill/internal/place"
)

// Namespace of Velero's own objects.
const Namespace = "velero"

// Names of what the server is told to use.
const (
	// Location is the name of its BackupStorageLocation.
	Location = "default"
	// CredentialsSecret holds the store's credentials, as a file, in the key credentialsKey.
	CredentialsSecret = "cloud-credentials"
	credentialsKey    = "cloud"
)

// Options of a server.
type Options struct {
	// Name of the server's place, StateRoot/DrillID/Name; unique among those of a drill.
	Name, StateRoot, DrillID string
	// Server and Plugin are the paths of velero and of velero-plugin-for-aws.
	Server, Plugin string
	// Config and Kubeconfig of the cluster's administrator, which is what Velero's service account is.
	Config     *rest.Config
	Kubeconfig string
	Store      Store
	// Flags of `velero server`, beyond those that say where it runs.
	Flags map[string]string
	// LogFile takes the server's output, and outlives it.
	LogFile string
}

// A Store is where the backups lie.
type Store struct {
	Endpoint, Bucket, Region string
	// CA that signed its certificate, as PEM.
	CA []byte
	// AccessKey and SecretKey reach Velero through a file in its place, and lie in a Secret beside it, as `velero install` has it.
	AccessKey, SecretKey string
}

// A Server of Velero. It uses the cluster until Close.
type Server struct {
	*Client
	place   *place.Place
	process *place.Process
}

// ErrUnavailable is wrapped by the error that says that the server runs, and finds its store unusable.
var ErrUnavailable = errors.New("BackupStorageLocation is unavailable")

// Install makes in the cluster what a server needs, and a place for the server, which does not run yet. When it fails, what it made stays in the
// cluster.
func Install(ctx context.Context, o Options) (_ *Server, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("install velero: %w", err)
		}
	}()
	client, err := NewClient(o.Config)
	if err != nil {
		return nil, err
	}
	s := &Server{Client: client}
	if s.place, err = place.Claim(ctx, o.StateRoot, o.DrillID, o.Name); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close(context.WithoutCancel(ctx)))
		}
	}()
	// Whatever is executable in the directory is taken for a plugin.
	plugins := s.place.Dir("plugins")
	if err := errors.Join(os.Mkdir(plugins, 0o700), os.Symlink(o.Plugin, filepath.Join(plugins, filepath.Base(o.Plugin)))); err != nil {
		return nil, err
	}
	if err := s.install(ctx, o.Config, o.Store); err != nil {
		return nil, err
	}
	credentials := s.place.Dir("credentials")
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
	s.process = s.place.Process(place.Command{
		Name: "velero", Path: o.Server, Args: []string{"server"}, Flags: flags, LogFile: o.LogFile,
		// The sockets of its plugins lie in its working directory; a path from the root would be too long for a socket.
		Env: []string{"PLUGIN_UNIX_SOCKET_DIR=.", "AWS_SHARED_CREDENTIALS_FILE=" + credentials},
	})
	return s, nil
}

// Start starts the server, unless it runs, and returns when it has looked at its store and found it usable. A server that ends meanwhile ends it
// at once, with its last log lines.
//
// It learns what resources there are when it starts, and then every five minutes: what is defined in between is in no backup.
func (s *Server) Start(ctx context.Context) error {
	if s.process.Running() {
		return nil
	}
	if err := s.process.Start(ctx, nil); err != nil {
		return err
	}
	ctx, release := s.Guard(ctx)
	defer release()
	if err := s.awaitStore(ctx); err != nil {
		return fmt.Errorf("start velero: %w", err)
	}
	return nil
}

// awaitStore returns when the server has validated its location.
func (s *Server) awaitStore(ctx context.Context) error {
	return Watch(ctx, s.Client, locations, Location, func(l *velerov1.BackupStorageLocation, gone bool) (bool, error) {
		switch {
		case gone:
			return false, fmt.Errorf("BackupStorageLocation %s was removed", Location)
		case l.Status.LastValidationTime == nil:
			return false, nil
		case l.Status.Phase != velerov1.BackupStorageLocationPhaseAvailable:
			return false, fmt.Errorf("%w: %s", ErrUnavailable, l.Status.Message)
		}
		return true, nil
	})
}

// AwaitBackup returns when the server has listed its store once since it started, or knows the backup anyway; found says whether it does.
func (s *Server) AwaitBackup(ctx context.Context, name string) (found bool, err error) {
	ctx, release := s.Guard(ctx)
	defer release()
	// It makes what it finds in the store known before it says that it has looked.
	err = Watch(ctx, s.Client, locations, Location, func(l *velerov1.BackupStorageLocation, gone bool) (bool, error) {
		if gone {
			return false, fmt.Errorf("BackupStorageLocation %s was removed", Location)
		}
		err := s.Get(ctx, Backups, name, &velerov1.Backup{})
		if err != nil && !apierrors.IsNotFound(err) {
			return false, err
		}
		found = err == nil
		return found || l.Status.LastSyncedTime != nil, nil
	})
	return found, err
}

// Guard returns a context that ends, too, when the server ends unasked; its cause then holds the last log lines.
func (s *Server) Guard(ctx context.Context) (context.Context, func()) {
	ctx, end := s.place.Guard(ctx)
	if death := s.process.Death(); death != nil {
		end(death)
	}
	return ctx, func() { end(nil) }
}

// Component is the process, for faults that stop it.
func (s *Server) Component() *place.Process { return s.process }

// Close ends the server. It may be called twice.
func (s *Server) Close(ctx context.Context) error { return s.place.Close(ctx) }
