package clusters

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	apiserverv1 "k8s.io/apiserver/pkg/apis/apiserver/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/restore-drill/restore-drill/internal/pki"
)

// The in-cluster names of the API server, and the first address of the Services' range.
const (
	serviceRange   = "10.96.0.0/12"
	serviceAddress = "10.96.0.1"
	issuer         = "https://kubernetes.default.svc.cluster.local"
)

// logins by kubeconfig file.
func logins() map[string]pki.Leaf {
	return map[string]pki.Leaf{
		"admin.conf":              {CommonName: "kubernetes-admin", Organization: []string{"system:masters"}},
		"controller-manager.conf": {CommonName: "system:kube-controller-manager"},
		"scheduler.conf":          {CommonName: "system:kube-scheduler"},
		// kwok stands in for every kubelet.
		"kwok.conf": {CommonName: "kwok", Organization: []string{"system:masters"}},
	}
}

// leaves by file in kubeadm's layout, without ending.
func (c *processCluster) leaves(m *pki.Material) map[string]struct {
	by *pki.Authority
	pki.Leaf
} {
	type leaf = struct {
		by *pki.Authority
		pki.Leaf
	}
	loopback := []string{"localhost", "127.0.0.1", "::1"}
	api := append([]string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", serviceAddress, c.advertised()}, loopback...)
	return map[string]leaf{
		"apiserver":                {m.Cluster, pki.Leaf{CommonName: "kube-apiserver", Hosts: api}},
		"apiserver-kubelet-client": {m.Cluster, pki.Leaf{CommonName: "kube-apiserver-kubelet-client", Organization: []string{"kubeadm:cluster-admins"}}},
		"controller-manager":       {m.Cluster, pki.Leaf{CommonName: "kube-controller-manager", Hosts: loopback}},
		"scheduler":                {m.Cluster, pki.Leaf{CommonName: "kube-scheduler", Hosts: loopback}},
		"front-proxy-client":       {m.FrontProxy, pki.Leaf{CommonName: "front-proxy-client"}},
		"apiserver-etcd-client":    {m.Etcd, pki.Leaf{CommonName: "kube-apiserver-etcd-client"}},
		"etcd/server":              {m.Etcd, pki.Leaf{CommonName: "etcd", Hosts: loopback, Client: true}},
		"etcd/peer":                {m.Etcd, pki.Leaf{CommonName: "etcd", Hosts: loopback, Client: true}},
		"etcd/healthcheck-client":  {m.Etcd, pki.Leaf{CommonName: "kube-etcd-healthcheck-client"}},
	}
}

// furnish puts the material in place, with every certificate and kubeconfig issued anew under it, and nothing else is there afterwards. Material
// that certificates cannot be issued under changes nothing.
func (c *processCluster) furnish(m *pki.Material, encryption []byte) error {
	files := m.Files()
	if encryption != nil {
		files[encryptionCfg] = encryption
	}
	for name, leaf := range c.leaves(m) {
		cert, key, err := leaf.by.Issue(leaf.Leaf)
		if err != nil {
			return err
		}
		files[name+".crt"], files[name+".key"] = cert, key
	}
	admin := &rest.Config{Host: c.server(), QPS: -1}
	store, err := clientTLS(m.Etcd.CertPEM(), files["etcd/healthcheck-client.crt"], files["etcd/healthcheck-client.key"])
	if err != nil {
		return err
	}
	fresh := c.place.Dir(pkiDir + ".new")
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	for name, content := range files {
		file := filepath.Join(fresh, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, content, 0o600)); err != nil {
			return err
		}
	}
	for file, leaf := range logins() {
		cert, key, err := m.Cluster.Issue(leaf)
		if err != nil {
			return err
		}
		if file == "admin.conf" {
			admin.CAData, admin.CertData, admin.KeyData = m.Cluster.CertPEM(), cert, key
		}
		login := pki.Login{User: leaf.CommonName, Server: c.server(), Authority: m.Cluster.CertPEM(), CertPEM: cert, KeyPEM: key}
		if err := pki.WriteKubeconfig(filepath.Join(fresh, file), login); err != nil {
			return err
		}
	}
	if err := errors.Join(os.RemoveAll(c.place.Dir(pkiDir)), os.Rename(fresh, c.place.Dir(pkiDir))); err != nil {
		return err
	}
	c.mu.Lock()
	c.admin, c.store = admin, store
	c.mu.Unlock()
	flags := c.components[len(c.members)].Command.Flags
	if encryption != nil {
		flags["encryption-provider-config"] = c.pki(encryptionCfg)
	} else {
		delete(flags, "encryption-provider-config")
	}
	return nil
}

// readMaterial takes authorities and keys, and the encryption configuration where there is one.
func readMaterial(from fs.FS) (*pki.Material, []byte, error) {
	material, errKeys := pki.Read(from)
	encryption, err := pki.ReadFile(from, encryptionCfg)
	if errors.Is(err, fs.ErrNotExist) {
		encryption, err = nil, nil
	}
	if err == nil && encryption != nil {
		err = checkEncryption(encryption)
	}
	return material, encryption, errors.Join(errKeys, err)
}

// ciphers for encryption at rest.
var ciphers = []string{"secretbox", "aescbc"}

// newEncryption makes an EncryptionConfiguration for Secrets with a new key.
func newEncryption(cipher string) ([]byte, error) {
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	keys := []apiserverv1.Key{{Name: "key1", Secret: base64.StdEncoding.EncodeToString(key)}}
	provider := apiserverv1.ProviderConfiguration{Secretbox: &apiserverv1.SecretboxConfiguration{Keys: keys}}
	if cipher == "aescbc" {
		provider = apiserverv1.ProviderConfiguration{AESCBC: &apiserverv1.AESConfiguration{Keys: keys}}
	}
	config := apiserverv1.EncryptionConfiguration{Resources: []apiserverv1.ResourceConfiguration{{
		Resources: []string{"secrets"},
		Providers: []apiserverv1.ProviderConfiguration{provider, {Identity: &apiserverv1.IdentityConfiguration{}}},
	}}}
	config.APIVersion, config.Kind = "apiserver.config.k8s.io/v1", "EncryptionConfiguration"
	return yaml.Marshal(config)
}

// checkEncryption finds what an API server on this machine could not use. It never quotes the file, which holds keys.
func checkEncryption(b []byte) error {
	var config apiserverv1.EncryptionConfiguration
	if err := yaml.Unmarshal(b, &config); err != nil {
		return fmt.Errorf("%s is not YAML of an EncryptionConfiguration", encryptionCfg)
	}
	if config.Kind != "EncryptionConfiguration" {
		return fmt.Errorf("%s is a %q, want an EncryptionConfiguration", encryptionCfg, config.Kind)
	}
	for _, r := range config.Resources {
		for _, p := range r.Providers {
			if p.KMS != nil {
				return fmt.Errorf("%s: %v are encrypted by the KMS plugin %s, which does not run here", encryptionCfg, r.Resources, p.KMS.Name)
			}
		}
	}
	return nil
}
