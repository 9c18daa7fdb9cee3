package pki

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/tools/clientcmd"
)

func generated(t testing.TB) (*Material, fstest.MapFS) {
	t.Helper()
	m, err := Generate()
	require.NoError(t, err)
	return m, fsOf(m)
}

func fsOf(m *Material) fstest.MapFS {
	out := fstest.MapFS{}
	for name, content := range m.Files() {
		out[name] = &fstest.MapFile{Data: content}
	}
	return out
}

// handshake of a server and a client with certificates by two authorities.
func handshake(t *testing.T, server, client *Authority, serverLeaf, clientLeaf Leaf) error {
	t.Helper()
	pair := func(a *Authority, l Leaf) tls.Certificate {
		cert, key, err := a.Issue(l)
		require.NoError(t, err)
		pair, err := tls.X509KeyPair(cert, key)
		require.NoError(t, err)
		return pair
	}
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(server.CertPEM()))
	a, b := net.Pipe()
	done := make(chan error, 1)
	go func() {
		s := tls.Server(a, &tls.Config{Certificates: []tls.Certificate{pair(server, serverLeaf)}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert})
		done <- errors.Join(s.Handshake(), a.Close())
	}()
	c := tls.Client(b, &tls.Config{Certificates: []tls.Certificate{pair(client, clientLeaf)}, RootCAs: pool, ServerName: "127.0.0.1"})
	err := c.Handshake()
	if err == nil {
		_, err = c.Read(make([]byte, 1)) // what the server thinks of the client
		if err.Error() == "EOF" {
			err = nil
		}
	}
	return errors.Join(err, b.Close(), <-done)
}

var (
	serverLeaf = Leaf{CommonName: "server", Hosts: []string{"127.0.0.1", "localhost"}}
	clientLeaf = Leaf{CommonName: "admin", Organization: []string{"system:masters"}}
)

func TestIssued(t *testing.T) {
	m, _ := generated(t)
	require.NoError(t, handshake(t, m.Cluster, m.Cluster, serverLeaf, clientLeaf))
	require.ErrorContains(t, handshake(t, m.Cluster, m.Etcd, serverLeaf, clientLeaf), "certificate required", "the authorities are separate: what another signed is not even offered")
	require.ErrorContains(t, handshake(t, m.Cluster, m.Cluster, clientLeaf, clientLeaf), "127.0.0.1", "a client's certificate is no server's")
	require.ErrorContains(t, handshake(t, m.Cluster, m.Cluster, serverLeaf, serverLeaf), "incompatible key usage", "a server's certificate is no client's")
	require.NoError(t, handshake(t, m.Etcd, m.Etcd, serverLeaf, Leaf{CommonName: "peer", Hosts: []string{"127.0.0.1"}, Client: true}))
}

func TestMaterialTravels(t *testing.T) {
	m, files := generated(t)
	require.Len(t, files, 8)
	files["apiserver.crt"] = &fstest.MapFile{Data: []byte("of no concern")}
	again, err := Read(files)
	require.NoError(t, err)
	require.Equal(t, m.Files(), again.Files())
	require.NoError(t, handshake(t, m.Cluster, again.Cluster, serverLeaf, clientLeaf))
}

// kubeadmLike is material with RSA keys in PKCS #1, as kubeadm makes it.
func kubeadmLike(t *testing.T) fstest.MapFS {
	t.Helper()
	out := fstest.MapFS{}
	for _, name := range []string{clusterCA, etcdCA, frontProxyCA} {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		require.NoError(t, err)
		template, err := newTemplate("kubernetes", authorityLife)
		require.NoError(t, err)
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		require.NoError(t, err)
		out[name+".crt"] = &fstest.MapFile{Data: encodeCertificate(der)}
		out[name+".key"] = &fstest.MapFile{Data: pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})}
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	public, err := encodePublic(key.Public())
	require.NoError(t, err)
	out[ServiceAccountKey] = &fstest.MapFile{Data: pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})}
	// A key that was rotated out, and the one in use.
	other, _ := generated(t)
	out[ServiceAccountPub] = &fstest.MapFile{Data: append(other.serviceAccountPub, public...)}
	return out
}

func TestMaterialOfKubeadm(t *testing.T) {
	from := kubeadmLike(t)
	rotated, _ := generated(t)
	from["ca.crt"].Data = append(rotated.Cluster.CertPEM(), from["ca.crt"].Data...)
	m, err := Read(from)
	require.NoError(t, err)
	require.NoError(t, handshake(t, m.Cluster, m.Cluster, serverLeaf, clientLeaf), "a bundle, whose second certificate signs")
	require.NoError(t, handshake(t, m.Etcd, m.Etcd, serverLeaf, clientLeaf))
	for name, content := range m.Files() {
		require.Equal(t, string(from[name].Data), string(content), name)
	}
}

func TestReadNamesAllThatIsWrong(t *testing.T) {
	_, err := Read(fstest.MapFS{})
	require.EqualError(t, err, `read key material:
ca.crt is missing: file does not exist
ca.key is missing: file does not exist
etcd/ca.crt is missing: file does not exist
etcd/ca.key is missing: file does not exist
front-proxy-ca.crt is missing: file does not exist
front-proxy-ca.key is missing: file does not exist
sa.key is missing: file does not exist
sa.pub is missing: file does not exist`)
	require.ErrorIs(t, err, fs.ErrNotExist)

	m, files := generated(t)
	leaf, key, err := m.Cluster.Issue(serverLeaf)
	require.NoError(t, err)
	files["ca.crt"].Data, files["ca.key"].Data = leaf, key
	files["etcd/ca.key"].Data = files["front-proxy-ca.key"].Data
	other, _ := generated(t)
	files["sa.pub"].Data = other.serviceAccountPub
	files["front-proxy-ca.crt"].Data = make([]byte, maxFile+1)
	_, err = Read(files)
	require.EqualError(t, err, `read key material:
ca.crt is not the certificate of an authority
etcd/ca.key is not the key of etcd/ca.crt
front-proxy-ca.crt is longer than 1048576 bytes: not key material
sa.pub is not the public key of sa.key: tokens that are signed now would be refused`)

	_, files = generated(t)
	files["ca.key"].Data = []byte("-----BEGIN EC PRIVATE KEY-----\nsecret\n")
	files["etcd/ca.crt"].Data = []byte("nothing")
	_, err = Read(files)
	require.ErrorContains(t, err, "ca.key: ")
	require.ErrorContains(t, err, "etcd/ca.crt: ")
	require.NotContains(t, err.Error(), "secret", "a private key is never quoted")
}

func TestExpiredAuthority(t *testing.T) {
	for _, c := range []struct {
		from, to time.Duration
		want     string
	}{
		{-2 * time.Hour, -time.Hour, "ca.crt expired on "},
		{time.Hour, 2 * time.Hour, "look at this machine's clock"},
	} {
		m, files := generated(t)
		template, err := newTemplate("kubernetes", authorityLife)
		require.NoError(t, err)
		template.IsCA, template.BasicConstraintsValid = true, true
		template.NotBefore, template.NotAfter = time.Now().Add(c.from), time.Now().Add(c.to)
		der, err := x509.CreateCertificate(rand.Reader, template, template, m.Cluster.key.Public(), m.Cluster.key)
		require.NoError(t, err)
		files["ca.crt"].Data = encodeCertificate(der)
		_, err = Read(files)
		require.ErrorContains(t, err, c.want)
	}
}

func TestAuthorityUntil(t *testing.T) {
	m, files := generated(t)
	ended := time.Now().Add(-time.Hour).Truncate(time.Second).UTC()
	certPEM, err := m.Authority("etcd/ca").CertPEMUntil(ended)
	require.NoError(t, err)
	files["etcd/ca.crt"].Data = certPEM
	_, err = Read(files)
	require.EqualError(t, err, "read key material:\netcd/ca.crt expired on "+ended.Format(time.RFC3339)+": every certificate under it is refused")
	files["etcd/ca.crt"].Data, err = m.Etcd.CertPEMUntil(time.Now().Add(time.Hour))
	require.NoError(t, err)
	_, err = Read(files)
	require.NoError(t, err, "it has the same key")
	require.Nil(t, m.Authority("ca.crt"))
}

func TestLeafEndsWithItsAuthority(t *testing.T) {
	m, _ := generated(t)
	m.Cluster.cert.NotAfter = time.Now().Add(time.Hour).Truncate(time.Second).UTC()
	certPEM, _, err := m.Cluster.Issue(serverLeaf)
	require.NoError(t, err)
	block, _ := pem.Decode(certPEM)
	cert, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	require.Equal(t, m.Cluster.cert.NotAfter, cert.NotAfter)
}

func TestKubeconfig(t *testing.T) {
	m, _ := generated(t)
	cert, key, err := m.Cluster.Issue(clientLeaf)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "admin.conf")
	require.NoError(t, WriteKubeconfig(file, Login{User: "kubernetes-admin", Server: "https://127.0.0.1:6443", Authority: m.Cluster.CertPEM(), CertPEM: cert, KeyPEM: key}))
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode())
	config, err := clientcmd.BuildConfigFromFlags("", file)
	require.NoError(t, err)
	require.Equal(t, "https://127.0.0.1:6443", config.Host)
	require.Equal(t, cert, config.CertData)
	require.Equal(t, key, config.KeyData)
	require.Equal(t, m.Cluster.CertPEM(), config.CAData)
}

func BenchmarkGenerate(b *testing.B) {
	for b.Loop() {
		m, err := Generate()
		require.NoError(b, err)
		for range 13 {
			_, _, err := m.Cluster.Issue(serverLeaf)
			require.NoError(b, err)
		}
	}
}
