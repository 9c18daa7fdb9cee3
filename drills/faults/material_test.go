package faults_test

import (
	"context"
	"io/fs"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/drills/backups"
	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/drills/faults"
	"github.com/restore-drill/restore-drill/drills/faults/faulttest"
	"github.com/restore-drill/restore-drill/fixtures"
	"github.com/restore-drill/restore-drill/internal/pki"
)

// owner of key material, and nothing more.
type owner struct {
	clusters.Cluster
	files fstest.MapFS
}

func (o owner) Material(context.Context) (fs.FS, error) { return o.files, nil }

const encryption = `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources: [secrets]
    providers:
      - secretbox: {keys: [{name: key1, secret: MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=}]}
      - identity: {}
`

// backedUp is a cluster and an artifact with its key material.
func backedUp(t *testing.T) *faults.Scene {
	material, err := pki.Generate()
	require.NoError(t, err)
	files := material.Files()
	files["encryption-config.yaml"] = []byte(encryption)
	a := &backups.Artifact{Dir: t.TempDir(), Name: "etcd-000", Method: "etcd"}
	require.NoError(t, a.Keep("snapshot.db", []byte("a snapshot")))
	source := owner{files: fstest.MapFS{}}
	for name, content := range files {
		source.files[name] = &fstest.MapFile{Data: content}
		require.NoError(t, a.Keep(backups.MaterialFile(name), content))
	}
	require.NoError(t, a.Finish())
	return &faults.Scene{Source: source, Artifacts: []*backups.Artifact{a}}
}

func TestMaterialFaults(t *testing.T) {
	for _, c := range []struct{ name, parameters, file, sees, reads string }{
		{"material-missing", "", "encryption-config.yaml", "artifact etcd-000 has no encryption-config.yaml, and the source cluster has", ""},
		{"material-missing", "file: ca.key", "ca.key", "artifact etcd-000 has no ca.key, and the source cluster has", "ca.key is missing"},
		{"encryption-key-changed", "", "encryption-config.yaml", "encryption-config.yaml of artifact etcd-000 is not the source cluster's", ""},
		{"signing-key-changed", "", "sa.pub", "sa.pub of artifact etcd-000 is not the source cluster's", ""},
		{"authority-expired", "", "ca.crt", "ca.crt of artifact etcd-000 (kubernetes) is valid until ", "ca.crt expired on "},
		{"authority-expired", "authority: etcd/ca", "etcd/ca.crt", "etcd/ca.crt of artifact etcd-000 (etcd-ca) is valid until ", "etcd/ca.crt expired on "},
	} {
		t.Run(c.name+" "+c.parameters, func(t *testing.T) {
			s := backedUp(t)
			before, err := fs.ReadFile(s.Artifacts[0].Material(), c.file)
			require.NoError(t, err)
			f, err := faults.New(named(t, c.name, c.parameters))
			require.NoError(t, err)
			require.Contains(t, faulttest.Strike(t, f, s).Detail, c.sees)
			require.NoError(t, s.Artifacts[0].Verify(t.Context()), "it was taken so: every digest is right")
			loaded, err := backups.LoadArtifact(s.Artifacts[0].Dir)
			require.NoError(t, err)
			require.NoError(t, loaded.Verify(t.Context()))
			after, _ := fs.ReadFile(loaded.Material(), c.file)
			require.NotEqual(t, string(before), string(after))
			if _, err := pki.Read(loaded.Material()); c.reads == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.reads)
			}
		})
	}
}

func TestMaterialFaultsWithoutMaterial(t *testing.T) {
	s := backedUp(t)
	require.EqualError(t, (&faults.MaterialMissing{File: "ca.crt.old"}).Inject(t.Context(), s), "retake artifact etcd-000: it has no file pki/ca.crt.old")
	_, err := (&faults.MaterialMissing{File: "ca.crt.old"}).Visible(t.Context(), s)
	require.ErrorContains(t, err, "the source cluster's key material: ca.crt.old is missing")

	require.NoError(t, (&faults.MaterialMissing{File: "encryption-config.yaml"}).Inject(t.Context(), s))
	require.ErrorContains(t, (&faults.EncryptionKeyChanged{}).Inject(t.Context(), s), "encryption-config.yaml is missing")

	_, err = faults.New(named(t, "authority-expired", "authority: etcd"))
	require.EqualError(t, err, `fault authority-expired: authority is "etcd", want ca, etcd/ca or front-proxy-ca`)
}

func TestSourceChanges(t *testing.T) {
	c := start(t, 1)
	_, err := fixtures.Seed(t.Context(), c.Config(), fixtures.SeedOptions{Workloads: []string{"identity", "admission"}})
	require.NoError(t, err)
	s := &faults.Scene{Source: c, Restored: c}
	require.Equal(t, "key key of Secret vault/signing has the substituted value",
		faulttest.Strike(t, &faults.SecretRotated{Namespace: "vault", Secret: "signing", Key: "key"}, s).Detail)
	_, err = (&faults.SecretRotated{Namespace: "vault", Secret: "none", Key: "password"}).Visible(t.Context(), s)
	require.EqualError(t, err, "key password of Secret vault/none is not there: it has no value to change")

	require.Equal(t, "user contractor may not get secrets in vault", faulttest.Strike(t, faults.Catalogue()["rolebinding-revoked"](), s).Detail)
	nobody := &faults.RoleBindingRevoked{Namespace: "vault", Binding: "none", User: "nobody", Verb: "get", Resource: "secrets"}
	require.ErrorContains(t, nobody.Inject(t.Context(), s), `"none" not found`)
	seen, err := nobody.Visible(t.Context(), s)
	require.NoError(t, err)
	require.True(t, seen.Visible, "who never had the privilege does not lose it: the drill says that the fault was there before")

	unbound := faults.Catalogue()["policy-unbound"]()
	require.Eventually(t, func() bool {
		seen, err := unbound.Visible(t.Context(), s)
		return err == nil && !seen.Visible
	}, time.Minute, 20*time.Millisecond, "the API server takes a moment to learn of a policy")
	require.Equal(t, "Pod guarded/on-the-host is admitted", faulttest.Strike(t, unbound, s).Detail)
}
