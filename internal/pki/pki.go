// Package pki is the key material of a Kubernetes control plane in kubeadm's file layout: what outlives a cluster (Material), and the
// certificates and kubeconfigs that are issued under it for one.
package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"time"

	certutil "k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	leafLife      = 365 * 24 * time.Hour
	// skew is by how much a clock may be behind and still take a new certificate.
	skew = 5 * time.Minute
	// maxFile bounds what is read of one file of a stranger's.
	maxFile = 1 << 20
)

// Material outlives a cluster: without it nobody trusts, or is trusted by, a restored one.
type Material struct {
	// Cluster signs the API server's and its clients' certificates, Etcd those of the store, FrontProxy those of aggregated APIs.
	Cluster, Etcd, FrontProxy *Authority

	serviceAccountKey, serviceAccountPub []byte
}

// Files of Material, in kubeadm's layout; a name without its ending for the three authorities, each with .crt and .key.
const (
	clusterCA    = "ca"
	etcdCA       = "etcd/ca"
	frontProxyCA = "front-proxy-ca"

	ServiceAccountKey = "sa.key"
	ServiceAccountPub = "sa.pub"
)

// An Authority signs certificates.
type Authority struct {
	cert            *x509.Certificate
	key             crypto.Signer
	certPEM, keyPEM []byte
}

// Generate makes new material. Keys are ECDSA P-256, which takes microseconds where RSA takes a good part of a second.
func Generate() (*Material, error) {
	m := &Material{}
	var err error
	for _, a := range []struct {
		into *(*Authority)
		name string
	}{{&m.Cluster, "kubernetes"}, {&m.Etcd, "etcd-ca"}, {&m.FrontProxy, "front-proxy-ca"}} {
		if *a.into, err = NewAuthority(a.name); err != nil {
			return nil, fmt.Errorf("generate authority %s: %w", a.name, err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate service-account key: %w", err)
	}
	if m.serviceAccountKey, err = keyutil.MarshalPrivateKeyToPEM(key); err != nil {
		return nil, err
	}
	m.serviceAccountPub, err = encodePublic(key.Public())
	return m, err
}

// Read takes material from a directory in kubeadm's layout, as /etc/kubernetes/pki is, and leaves alone what else is there. Keys may be RSA or
// ECDSA. The error names every file that is missing or unfit.
func Read(fsys fs.FS) (*Material, error) {
	m := &Material{}
	var errs []error
	for _, a := range []struct {
		into *(*Authority)
		name string
	}{{&m.Cluster, clusterCA}, {&m.Etcd, etcdCA}, {&m.FrontProxy, frontProxyCA}} {
		authority, err := readAuthority(fsys, a.name)
		*a.into = authority
		errs = append(errs, err)
	}
	errs = append(errs, m.readServiceAccount(fsys))
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("read key material:\n%w", err)
	}
	return m, nil
}

func (m *Material) readServiceAccount(fsys fs.FS) error {
	var err1, err2 error
	m.serviceAccountKey, err1 = ReadFile(fsys, ServiceAccountKey)
	m.serviceAccountPub, err2 = ReadFile(fsys, ServiceAccountPub)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	signer, err := parseKey(m.serviceAccountKey)
	if err != nil {
		return fmt.Errorf("%s: %w", ServiceAccountKey, err)
	}
	// Keys that were rotated out stand in sa.pub too, so that their tokens stay good.
	publics, err := keyutil.ParsePublicKeysPEM(m.serviceAccountPub)
	if err != nil {
		return fmt.Errorf("%s: %w", ServiceAccountPub, err)
	}
	for _, p := range publics {
		if sameKey(p, signer.Public()) {
			return nil
		}
	}
	return fmt.Errorf("%s is not the public key of %s: tokens that are signed now would be refused", ServiceAccountPub, ServiceAccountKey)
}

// Authority by its name in kubeadm's layout: ca, etcd/ca or front-proxy-ca; nil for any other.
func (m *Material) Authority(name string) *Authority {
	return map[string]*Authority{clusterCA: m.Cluster, etcdCA: m.Etcd, frontProxyCA: m.FrontProxy}[name]
}

// Files of the material, by path in kubeadm's layout. They hold private keys.
func (m *Material) Files() map[string][]byte {
	files := map[string][]byte{ServiceAccountKey: m.serviceAccountKey, ServiceAccountPub: m.serviceAccountPub}
	for _, name := range []string{clusterCA, etcdCA, frontProxyCA} {
		files[name+".crt"] = m.Authority(name).certPEM
		files[name+".key"] = m.Authority(name).keyPEM
	}
	return files
}

// CertPEM is what those who trust the authority need of it.
func (a *Authority) CertPEM() []byte { return bytes.Clone(a.certPEM) }

// A Leaf is a certificate to be issued.
type Leaf struct {
	// CommonName is a user, Organization its groups, where the certificate is a client's.
	CommonName   string
	Organization []string
	// Hosts are names and addresses of a server; none makes the certificate a client's only.
	Hosts []string
	// Client says that a server's certificate is good for a client too, as etcd's peers need.
	Client bool
}

// Issue makes a key and signs its certificate. The certificate ends no later than the authority does.
func (a *Authority) Issue(l Leaf) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("issue certificate for %s: %w", l.CommonName, err)
	}
	template, err := newTemplate(l.CommonName, leafLife)
	if err != nil {
		return nil, nil, err
	}
	template.Subject.Organization = l.Organization
	template.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
	if len(l.Hosts) > 0 {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	if l.Client || len(l.Hosts) == 0 {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	for _, h := range l.Hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	if template.NotAfter.After(a.cert.NotAfter) {
		template.NotAfter = a.cert.NotAfter
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, nil, fmt.Errorf("issue certificate for %s: %w", l.CommonName, err)
	}
	keyPEM, err = keyutil.MarshalPrivateKeyToPEM(key)
	return encodeCertificate(der), keyPEM, err
}

// NewAuthority makes one that signs its own certificate.
func NewAuthority(name string) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	a := &Authority{key: key}
	if a.keyPEM, err = keyutil.MarshalPrivateKeyToPEM(key); err != nil {
		return nil, err
	}
	a.certPEM, a.cert, err = selfSign(name, key, time.Now().Add(authorityLife))
	return a, err
}

// CertPEMUntil is a certificate of the authority, under its own name and key, that ends at notAfter. When that is past, it is what a backup holds
// of an authority that nobody renewed.
func (a *Authority) CertPEMUntil(notAfter time.Time) ([]byte, error) {
	certPEM, _, err := selfSign(a.cert.Subject.CommonName, a.key, notAfter)
	return certPEM, err
}

func selfSign(name string, key crypto.Signer, notAfter time.Time) ([]byte, *x509.Certificate, error) {
	template, err := newTemplate(name, authorityLife)
	if err != nil {
		return nil, nil, err
	}
	template.NotBefore, template.NotAfter = notAfter.Add(-authorityLife-skew).UTC(), notAfter.UTC()
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageCertSign
	template.DNSNames = []string{name}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return encodeCertificate(der), cert, err
}

func readAuthority(fsys fs.FS, name string) (*Authority, error) {
	var (
		a          = &Authority{}
		err1, err2 error
	)
	a.certPEM, err1 = ReadFile(fsys, name+".crt")
	a.keyPEM, err2 = ReadFile(fsys, name+".key")
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	certs, err := certutil.ParseCertsPEM(a.certPEM)
	if err != nil {
		return nil, fmt.Errorf("%s.crt: %w", name, err)
	}
	if a.key, err = parseKey(a.keyPEM); err != nil {
		return nil, fmt.Errorf("%s.key: %w", name, err)
	}
	// A bundle keeps authorities that were rotated out; the key is that of one of them.
	for _, c := range certs {
		if sameKey(c.PublicKey, a.key.Public()) {
			a.cert = c
		}
	}
	switch now := time.Now(); {
	case a.cert == nil:
		return nil, fmt.Errorf("%s.key is not the key of %s.crt", name, name)
	case !a.cert.IsCA:
		return nil, fmt.Errorf("%s.crt is not the certificate of an authority", name)
	case now.After(a.cert.NotAfter):
		return nil, fmt.Errorf("%s.crt expired on %s: every certificate under it is refused", name, a.cert.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(a.cert.NotBefore):
		return nil, fmt.Errorf("%s.crt is not valid before %s: look at this machine's clock", name, a.cert.NotBefore.UTC().Format(time.RFC3339))
	}
	return a, nil
}

func newTemplate(name string, life time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-skew).UTC(),
		NotAfter:     now.Add(life).UTC(),
	}, nil
}

// ReadFile reads a file of key material, which is small.
func ReadFile(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is missing: %w", name, fs.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("%s is longer than %d bytes: not key material", name, maxFile)
	}
	return b, nil
}

func parseKey(b []byte) (crypto.Signer, error) {
	key, err := keyutil.ParsePrivateKeyPEM(b)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a %T does not sign", key)
	}
	return signer, nil
}

func sameKey(a, b any) bool {
	key, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(b)
}

func encodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: certutil.CertificateBlockType, Bytes: der})
}

func encodePublic(key crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: keyutil.PublicKeyBlockType, Bytes: der}), nil
}
