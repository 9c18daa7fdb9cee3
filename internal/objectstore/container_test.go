package objectstore

import (
	"context"
	"crypto/tls"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/internal/engine"
	"github.com/restore-drill/restore-drill/internal/place"
)

// containerOptions are those of a store on a network of its own, of an engine that answers and has the image.
func containerOptions(t *testing.T) (*engine.Engine, Options) {
	t.Helper()
	e, err := engine.Find()
	if err == nil {
		err = CheckImage(t.Context())
	}
	if err != nil {
		if os.Getenv("RESTORE_DRILL_REQUIRE_ENGINE") != "" {
			t.Fatal(err)
		}
		t.Skipf("no store in a container here: %v", err)
	}
	network := "restore-drill-test-" + hostOf(t.TempDir())
	_, err = e.Do(t.Context(), "network", "create", network)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Remove(context.WithoutCancel(t.Context()), engine.Networks, network)) })
	o := options("drill-"+filepath.Base(network), filepath.Join(t.TempDir(), "state"), t.TempDir())
	o.Network = network
	return e, o
}

// A store in a container is one on this machine in all but its address.
func TestContainer(t *testing.T) {
	e, o := containerOptions(t)
	s, err := Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close(context.WithoutCancel(t.Context()))) })
	object := "/" + s.Bucket() + "/backups/daily/velero-backup.json"
	rightly(t, s, "PUT", object, "", "{}")
	all, err := s.Objects(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 1, "what it holds lies on this machine's disk")
	info, err := os.Stat(s.Path(all[0].Key))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	// Clusters reach it by a name that its certificate bears; this machine by loopback alone.
	require.Equal(t, "https://"+hostOf(o.DrillID)+":7070", s.Endpoint())
	require.True(t, strings.HasPrefix(s.Address(), "127.0.0.1:"), s.Address())
	conn, err := tls.Dial("tcp", s.Address(), &tls.Config{RootCAs: s.client.Transport.(*http.Transport).TLSClientConfig.RootCAs, ServerName: hostOf(o.DrillID)})
	require.NoError(t, err)
	require.NoError(t, conn.Close())

	endpoint, first := s.Endpoint(), s.Component().Identity()
	require.NoError(t, s.Component().Kill(t.Context()))
	require.False(t, s.Component().Running())
	require.NoError(t, s.Component().Start(t.Context(), nil))
	require.NoError(t, s.Ready(t.Context()))
	require.Equal(t, endpoint, s.Endpoint())
	require.NotEqual(t, first, s.Component().Identity())
	require.Equal(t, "{}", rightly(t, s, "GET", object, "", ""))
	require.ErrorContains(t, s.Component().Start(t.Context(), map[string]string{"port": "1"}), "a container keeps its arguments")

	require.NoError(t, s.Rotate(t.Context()))
	taken, err := s.Accepts(t.Context())
	require.NoError(t, err)
	require.False(t, taken)
	select {
	case err := <-s.Died():
		t.Fatal("what was asked to end is no death: ", err)
	default:
	}

	// One that ends unasked is told of.
	id := s.server.(*containerServer).container.GetContainerID()
	_, err = e.Do(t.Context(), "kill", id)
	require.NoError(t, err)
	require.ErrorContains(t, <-s.Died(), "versitygw ended unasked: exit code 137; from ")
}

// The owner file finds what a harness left that could clean nothing up.
func TestContainerOfADrillThatWasKilled(t *testing.T) {
	e, o := containerOptions(t)
	s, err := Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close(context.WithoutCancel(t.Context()))) })
	label := s.server.(*containerServer).label()
	there, err := e.Labelled(t.Context(), engine.Containers, label)
	require.NoError(t, err)
	require.Len(t, there, 1)
	// Its own process lives: it is left alone.
	removed, err := place.Cleanup(t.Context(), o.StateRoot, nil)
	require.NoError(t, err)
	require.Empty(t, removed)
	// Now somebody else's, who is gone.
	owner := s.place.Dir("owner.jsonl")
	lines, err := os.ReadFile(owner)
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(lines), "\n")
	first, _, _ := strings.Cut(string(lines), "\n")
	gone := strings.Replace(first, `"start":"`, `"start":"1`, 1)
	require.NotEqual(t, first, gone)
	require.NoError(t, os.WriteFile(owner, []byte(gone+"\n"+rest), 0o600))
	removed, err = place.Cleanup(t.Context(), o.StateRoot, nil)
	require.NoError(t, err)
	require.Equal(t, []string{s.place.Dir()}, removed)
	there, err = e.Labelled(t.Context(), engine.Containers, label)
	require.NoError(t, err)
	require.Empty(t, there)
}
