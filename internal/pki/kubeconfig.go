package pki

import (
	"fmt"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// A Login is one user of a cluster, with what it needs to be known there and to know the server.
type Login struct {
	User            string
	Server          string
	Authority       []byte
	CertPEM, KeyPEM []byte
}

// WriteKubeconfig writes a kubeconfig of one context, which holds the user's key, and names no other file.
func WriteKubeconfig(file string, l Login) error {
	const cluster = "kubernetes"
	name := l.User + "@" + cluster
	err := clientcmd.WriteToFile(api.Config{
		Clusters:       map[string]*api.Cluster{cluster: {Server: l.Server, CertificateAuthorityData: l.Authority}},
		AuthInfos:      map[string]*api.AuthInfo{l.User: {ClientCertificateData: l.CertPEM, ClientKeyData: l.KeyPEM}},
		Contexts:       map[string]*api.Context{name: {Cluster: cluster, AuthInfo: l.User}},
		CurrentContext: name,
	}, file)
	if err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	return nil
}
