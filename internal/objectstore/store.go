// Package objectstore runs the S3 store of a drill: versitygw on a directory, as a child process on loopback with TLS. The store belongs to the
// drill and not to a cluster: it outlives both.
package objectstore

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/restore-drill/restore-drill/internal/pki"
	"github.com/restore-drill/restore-drill/internal/place"
	"github.com/restore-drill/restore-drill/internal/proc"
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
	// LogDir receives versitygw's log, which outlives the store.
	LogDir string
	// Progress receives one short line for each thing that is done; may be nil.
	Progress func(line string)
}

// A Store holds one bucket.
type Store struct {
	place          *place.Place
	process        *place.Process
	port           *proc.Port
	ca             []byte
	access, secret string
	client         *http.Client
}

// Start makes a store, and returns when it serves. When it fails it leaves nothing but the log.
func Start(ctx context.Context, o Options) (_ *Store, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("start object store: %w", err)
		}
	}()
	binary, err := o.Toolchain.Find(ctx, name, "")
	if err != nil {
		return nil, err
	}
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
	if err := s.furnish(); err != nil {
		return nil, err
	}
	if s.port, err = s.place.ReservePort(proc.ReuseAddr); err != nil {
		return nil, err
	}
	s.process = s.place.Process(place.Command{
		Name: name, Path: binary.Path, LogFile: filepath.Join(logDir, name+".log"), Ports: []*proc.Port{s.port}, DataDir: s.place.Dir(dataDir),
		Args: []string{
			"--port", s.port.Address(), "--cert", s.place.Dir("tls.crt"), "--key", s.place.Dir("tls.key"), "--region", region,
			"--health", healthPath, "--keep-alive", "--disable-acl",
			// Its log of requests would hold the signatures of URLs that Velero hands out.
			"--quiet",
			"posix", "--dir-perms", "0700", "--file-perms", "0600", "--disable-object-lock-file", "--sidecar", s.place.Dir(metaDir), s.place.Dir(dataDir),
		},
		Env: environment(s.access, s.secret),
	})
	if err := s.process.Start(ctx, nil); err != nil {
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

// furnish makes an authority of the store's own, and under it a certificate. The authority's key is kept nowhere.
func (s *Store) furnish() error {
	authority, err := pki.NewAuthority("object-store-ca")
	if err != nil {
		return err
	}
	cert, key, err := authority.Issue(pki.Leaf{CommonName: name, Hosts: []string{"127.0.0.1", "localhost"}})
	if err != nil {
		return err
	}
	s.ca = authority.CertPEM()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.ca)
	s.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}}
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
		if death := s.process.Death(); death != nil {
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

// Endpoint is its https URL. It stays the same when the store is stopped and started again. Buckets are named in the path, not in the host.
func (s *Store) Endpoint() string { return "https://" + s.port.Address() }

// Bucket is the name of its bucket.
func (s *Store) Bucket() string { return bucket }

// Region that requests are signed for.
func (s *Store) Region() string { return region }

// CA is the authority of its certificate, as PEM.
func (s *Store) CA() []byte { return s.ca }

// Credentials of the store, made for it alone. The secret goes into no argument, log or error.
func (s *Store) Credentials() (access, secret string) { return s.access, s.secret }

// Component is the process, for faults that stop it.
func (s *Store) Component() *place.Process { return s.process }

// Died delivers an error when the process ends that nobody stopped through Component.
func (s *Store) Died() <-chan error { return s.place.Died() }

// Close ends the process and removes everything but the log. It may be called twice.
func (s *Store) Close(ctx context.Context) error {
	if err := s.place.Close(ctx); err != nil {
		return fmt.Errorf("close object store: %w", err)
	}
	return nil
}
