package etcd

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/server/v3/embed"
)

// largeStore runs a store of about 100 MB: 25,000 values of 4 KiB.
func largeStore(b *testing.B) string {
	cfg := embed.NewConfig()
	cfg.Dir, cfg.LogLevel, cfg.LogOutputs = filepath.Join(b.TempDir(), "data"), "fatal", []string{os.DevNull}
	cfg.UnsafeNoFsync = true
	client, peer := "http://127.0.0.1:"+strconv.Itoa(freePort(b)), "http://127.0.0.1:"+strconv.Itoa(freePort(b))
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = urls(b, client), urls(b, client)
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = urls(b, peer), urls(b, peer)
	cfg.InitialCluster = cfg.Name + "=" + peer
	server, err := embed.StartEtcd(cfg)
	require.NoError(b, err)
	b.Cleanup(server.Close)
	<-server.Server.ReadyNotify()
	value := make([]byte, 4096)
	for i := range 25_000 {
		_, err := rand.Read(value)
		require.NoError(b, err)
		server.Server.KV().Put(fmt.Appendf(nil, "/registry/configmaps/default/%06d", i), append([]byte(nil), value...), 0)
	}
	server.Server.Backend().ForceCommit()
	return client
}

func BenchmarkSnapshot(b *testing.B) {
	endpoint := largeStore(b)
	file := filepath.Join(b.TempDir(), "snapshot.db")
	for b.Loop() {
		stream, err := Snapshot(b.Context(), endpoint, nil, file)
		require.NoError(b, err)
		b.SetBytes(stream.Bytes)
		require.NoError(b, os.Remove(file))
	}
}

func BenchmarkInspect(b *testing.B) {
	file := filepath.Join(b.TempDir(), "snapshot.db")
	stream, err := Snapshot(b.Context(), largeStore(b), nil, file)
	require.NoError(b, err)
	b.SetBytes(stream.Bytes)
	for b.Loop() {
		_, err := Inspect(b.Context(), file)
		require.NoError(b, err)
	}
}

func BenchmarkRestore(b *testing.B) {
	file := filepath.Join(b.TempDir(), "snapshot.db")
	stream, err := Snapshot(b.Context(), largeStore(b), nil, file)
	require.NoError(b, err)
	for _, n := range []int{1, 3} {
		b.Run(fmt.Sprintf("%d members", n), func(b *testing.B) {
			b.SetBytes(stream.Bytes)
			for b.Loop() {
				dir, err := os.MkdirTemp(b.TempDir(), "restored-")
				require.NoError(b, err)
				var members []Member
				for i := range n {
					name := fmt.Sprintf("etcd-%d", i)
					members = append(members, Member{Name: name, PeerURL: fmt.Sprintf("http://127.0.0.1:%d", 1+i), Dir: filepath.Join(dir, name)})
				}
				require.NoError(b, Restore(b.Context(), file, members, "token", RevisionBump))
				require.NoError(b, os.RemoveAll(dir))
			}
		})
	}
}
