// Package velero runs Velero's server, as a child process beside a cluster or in a Deployment in it as `velero install` does, and speaks its API.
package velero

import (
	"context"
	"errors"
	"fmt"

	velerov1 "github.com/vmware-tanzu/velero/pkg/apis/velero/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
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
	// InCluster has the server run in the cluster, of the package's images, with an agent on each node that backs up what lies in volumes; else it is a
	// child process, and Server and Plugin are the paths of velero and of velero-plugin-for-aws.
	InCluster      bool
	Server, Plugin string
	// RepositoryPassword of what volumes are backed up into, in the cluster; nil for the one that every Velero makes for itself.
	RepositoryPassword []byte
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
	host host
}

// A Component is the server, for faults that stop it: a process, or a Deployment in the cluster.
type Component interface {
	Name() string
	// Running tells whether it was started and not stopped since; Identity tells one start from another.
	Running() bool
	Identity() string
	// Stop asks it to end, Kill ends it at once; both return when it has ended.
	Stop(ctx context.Context) error
	Kill(ctx context.Context) error
	// Start starts it again, with flags that replace or extend its own for this one start. It returns when it runs, which is before it is ready.
	Start(ctx context.Context, flags map[string]string) error
	// LogTail returns the last n lines of its log.
	LogTail(n int) []string
}

// A host is one way to run the server.
type host interface {
	Component
	// guard returns a context that ends, too, when the server ends unasked.
	guard(ctx context.Context) (context.Context, func())
	close(ctx context.Context) error
}

// ErrUnavailable is wrapped by the error that says that the server runs, and finds its store unusable.
var ErrUnavailable = errors.New("BackupStorageLocation is unavailable")

// Install makes in the cluster what a server needs, and a place for the server, which does not run yet. When it fails, what it made stays in the
// cluster.
func Install(ctx context.Context, o Options) (_ *Server, err error) {
	client, err := NewClient(o.Config)
	if err != nil {
		return nil, fmt.Errorf("install velero: %w", err)
	}
	s := &Server{Client: client}
	if o.InCluster {
		s.host, err = installPods(ctx, s, o)
	} else {
		s.host, err = installProcess(ctx, s, o)
	}
	if err != nil {
		return nil, fmt.Errorf("install velero: %w", err)
	}
	return s, nil
}

// Start starts the server, unless it runs, and returns when it has looked at its store and found it usable. A server that ends meanwhile ends it
// at once, with its last log lines.
//
// It learns what resources there are when it starts, and then every five minutes: what is defined in between is in no backup.
func (s *Server) Start(ctx context.Context) error {
	if s.host.Running() {
		return nil
	}
	return s.start(ctx, nil)
}

// Restart starts a server that may run anew, with flags that replace or extend its own.
func (s *Server) Restart(ctx context.Context, flags map[string]string) error {
	if err := s.host.Stop(ctx); err != nil {
		return err
	}
	return s.start(ctx, flags)
}

func (s *Server) start(ctx context.Context, flags map[string]string) error {
	if err := s.host.Start(ctx, flags); err != nil {
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
func (s *Server) Guard(ctx context.Context) (context.Context, func()) { return s.host.guard(ctx) }

// Component is the server, for faults that stop it.
func (s *Server) Component() Component { return s.host }

// Close ends a server beside its cluster; one in it goes with it. It may be called twice.
func (s *Server) Close(ctx context.Context) error { return s.host.close(ctx) }
