package faults

import (
	"context"
	"errors"
	"fmt"
	"time"

	certutil "k8s.io/client-go/util/cert"

	"github.com/restore-drill/restore-drill/internal/pki"
)

// AuthorityExpired is a backup whose certificate authority has come to its end since: the cluster had a renewed one, and what was backed up is the
// file of ten years ago. Under it nobody trusts anybody.
type AuthorityExpired struct {
	// Authority in kubeadm's layout: ca (the default), etcd/ca or front-proxy-ca.
	Authority string `json:"authority,omitempty"`
}

// Name in the catalogue.
func (*AuthorityExpired) Name() string { return "authority-expired" }

// Strikes the artifact.
func (*AuthorityExpired) Strikes() Target { return Artifact }

// Destroys in one sentence.
func (f *AuthorityExpired) Destroys() string {
	return fmt.Sprintf("The backup's %s is replaced by one of the same name and key that expired an hour ago.", f.file())
}

func (f *AuthorityExpired) file() string { return f.Authority + ".crt" }

// Validate the parameters.
func (f *AuthorityExpired) Validate() error {
	switch f.Authority {
	case "ca", "etcd/ca", "front-proxy-ca":
		return nil
	}
	return fmt.Errorf("authority is %q, want ca, etcd/ca or front-proxy-ca", f.Authority)
}

// Inject replaces the certificate.
func (f *AuthorityExpired) Inject(_ context.Context, s *Scene) error {
	a, _, err := s.chosen()
	if err != nil {
		return err
	}
	material, err := pki.Read(a.Material())
	if err != nil {
		return err
	}
	expired, err := material.Authority(f.Authority).CertPEMUntil(time.Now().Add(-time.Hour))
	if err != nil {
		return err
	}
	return s.retake(f.file(), expired)
}

// Visible when the artifact's certificate has come to its end.
func (f *AuthorityExpired) Visible(_ context.Context, s *Scene) (Sighting, error) {
	a, _, err := s.chosen()
	if err != nil {
		return Sighting{}, err
	}
	content, err := pki.ReadFile(a.Material(), f.file())
	if err != nil {
		return Sighting{}, err
	}
	certs, err := certutil.ParseCertsPEM(content)
	if err != nil {
		return Sighting{}, errors.Join(fmt.Errorf("read %s", f.file()), err)
	}
	ends := certs[0].NotAfter
	return Sighting{
		Visible: time.Now().After(ends),
		Detail:  fmt.Sprintf("%s of artifact %s (%s) is valid until %s", f.file(), a.Name, certs[0].Subject.CommonName, ends.UTC().Format(time.RFC3339)),
	}, nil
}
