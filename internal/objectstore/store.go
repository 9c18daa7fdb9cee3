// Package objectstore runs the S3 store of a drill: versitygw on a directory of this machine, with TLS, as a child process on loopback or in a
// container on the clusters' network. The store belongs to the drill and not to a cluster: it outlives both.
package objectstore

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/restore-drill/restore-drill/internal/pki"
	"github.com/restore-drill/restore-drill/internal/place"
	"github.com/restore-drill/restore-drill/internal/toolchain"
)

const (
	// name of the program in the toolchain, of the process and of its log.
	name   = "versitygw"
	bucket = "restore-drill"
	region = "us-east-1"
	// healthPath answers without a signature.
	healthPath = "/healthz"
	// startTimeout bounds the wait for a process that runs and does not serve.
	startTimeout = time.Minute
	pollInterval = 10 * time.Millisecond
)

var dialer net.Dialer

// Names in the store's place.
const (
	// dataDir holds a directory for each bucket, and in it a file for each object.
	dataDir = "data"
	// metaDir holds what S3 knows of an object beside its bytes. It lies in files because not every file system has extended attributes.
	metaDir = "meta"
)

// Options of a store.
type Options struct {
	Toolchain *toolchain.Toolchain
	// StateRoot and DrillID: the store's place is StateRoot/DrillID/object-store.
	StateRoot, DrillID string
	// Network is that of a container engine: the store then runs in a container on it, from Image. Empty for a child process.
	Network string
	// LogDir receives versitygw's log, which outlives the store.
	LogDir string
	// Progress receives one short line for each thing that is done; may be nil.
	Progress func(line string)
}

// A Store holds one bucket.
type Store struct {
	place          *place.Place
	server         server
	ca             []byte
	access, secret string
	client         *http.Client
}

// A Component is what serves the store, for faults that stop it: a process, or a container.
type Component interface {
	Name() string
	// Running tells whether it runs now; Identity tells one start from another.
	Running() bool
	Identity() string
	// Stop asks it to end, Kill ends it at once; both return when it has ended. What is ended so is not reported by Died.
	Stop(ctx context.Context) error
	Kill(ctx context.Context) error
	// Start starts it again. It returns when it runs, which is before it is ready.
	Start(ctx context.Context, flags map[string]string) error
	// LogTail returns the last n lines of its log.
	LogTail(n int) []string
}

// A server is one way to run versitygw.
type server interface {
	Component
	// serve starts it with these variables in its environment, anew where it runs.
	serve(ctx context.Context, env []string) error
	// endpoint is the URL for clusters, address host:port for this machine, and hosts are the names for its certificate.
	endpoint() string
	address() string
	hosts() []string
	// Death is how it ended, where nobody asked it to; nil otherwise.
	Death() error
	close(ctx context.Context) error
}

// arguments of versitygw, which are the same in a container: the place is its disk.
func arguments(p *place.Place, address string) []string {
	return []string{
		"--port", address, "--cert", p.Dir("tls.crt"), "--key", p.Dir("tls.key"), "--region", region,
		"--health", healthPath, "--keep-alive", "--disable-acl",
		// Its log of requests would hold the signatures of URLs that Velero hands out.
		"--quiet",
		"posix", "--dir-perms", "0700", "--file-perms", "0600", "--disable-object-lock-file", "--sidecar", p.Dir(metaDir), p.Dir(dataDir),
	}
}

// Start makes a store, and returns when it serves. When it fails it leaves nothing but the log.
func Start(ctx context.Context, o Options) (_ *Store, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("start object store: %w", err)
		}
	}()
	logDir, err := filepath.Abs(o.LogDir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(logDir, 0o700); err != nil {
		return nil, err
	}
	s := &Store{access: rand.Text(), secret: rand.Text() + rand.Text()}
	if s.place, err = place.Claim(ctx, o.StateRoot, o.DrillID, "object-store"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close(context.WithoutCancel(ctx)))
		}
	}()
	for _, dir := range []string{s.place.Dir(metaDir), s.place.Dir(dataDir), s.place.Dir(dataDir, bucket)} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, err
		}
	}
	if s.server, err = newServer(ctx, s.place, o, filepath.Join(logDir, name+".log")); err != nil {
		return nil, err
	}
	if err := s.furnish(); err != nil {
		return nil, err
	}
	if err := s.server.serve(ctx, environment(s.access, s.secret)); err != nil {
		return nil, err
	}
	if err := s.Ready(ctx); err != nil {
		return nil, err
	}
	if o.Progress != nil {
		o.Progress("object store: serving at " + s.Endpoint())
	}
	return s, nil
}

func newServer(ctx context.Context, p *place.Place, o Options, logFile string) (server, error) {
	if o.Network != "" {
		return newContainerServer(p, o, logFile)
	}
	return newProcessServer(ctx, p, o, logFile)
}

// furnish makes an authority of the store's own, and under it a certificate. The authority's key is kept nowhere.
func (s *Store) furnish() error {
	authority, err := pki.NewAuthority("object-store-ca")
	if err != nil {
		return err
	}
	cert, key, err := authority.Issue(pki.Leaf{CommonName: name, Hosts: s.server.hosts()})
	if err != nil {
		return err
	}
	s.ca = authority.CertPEM()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.ca)
	s.client = &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true,
		// Its name is one of the clusters' network.
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, s.Address())
		},
	}}
	return errors.Join(os.WriteFile(s.place.Dir("tls.crt"), cert, 0o600), os.WriteFile(s.place.Dir("tls.key"), key, 0o600))
}

// Ready returns when the store serves, after it was started again for instance. A process that dies meanwhile ends the wait at once.
func (s *Store) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("no answer within %s", startTimeout))
	defer cancel()
	ctx, release := s.place.Guard(ctx)
	defer release(nil)
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := s.ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
		if death := s.server.Death(); death != nil {
			return death
		}
		if ctx.Err() != nil {
			return fmt.Errorf("wait for %s to serve: %w; last: %w", name, context.Cause(ctx), err)
		}
	}
}

func (s *Store) ask(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Endpoint()+healthPath, nil)
	if err != nil {
		return err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s", healthPath, response.Status)
	}
	return nil
}

// Endpoint is its https URL for clusters. It stays the same when the store is stopped and started again. Buckets are named in the path, not in the host.
func (s *Store) Endpoint() string { return s.server.endpoint() }

// Address is host:port at which this machine reaches it, on loopback.
func (s *Store) Address() string { return s.server.address() }

// Bucket is the name of its bucket.
func (s *Store) Bucket() string { return bucket }

// Region that requests are signed for.
func (s *Store) Region() string { return region }

// CA is the authority of its certificate, as PEM.
func (s *Store) CA() []byte { return s.ca }

// Credentials of the store, made for it alone. The secret goes into no argument, log or error.
func (s *Store) Credentials() (access, secret string) { return s.access, s.secret }

// Component is what serves it, for faults that stop it.
func (s *Store) Component() Component { return s.server }

// Died delivers an error when the process ends that nobody stopped through Component.
func (s *Store) Died() <-chan error { return s.place.Died() }

// Close ends the process and removes everything but the log. It may be called twice.
func (s *Store) Close(ctx context.Context) error {
	var errs []error
	if s.server != nil {
		errs = append(errs, s.server.close(ctx))
	}
	if err := errors.Join(append(errs, s.place.Close(ctx))...); err != nil {
		return fmt.Errorf("close object store: %w", err)
	}
	return nil
}
