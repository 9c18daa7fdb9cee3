package etcd

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/version"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/lease"
)

// startMembers runs etcd inside the test: n members on loopback, without TLS.
func startMembers(t *testing.T, n int, dirs ...string) ([]*embed.Etcd, []string) {
	t.Helper()
	var listeners []net.Listener
	address := func() url.URL {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		listeners = append(listeners, l)
		return url.URL{Scheme: "http", Host: l.Addr().String()}
	}
	var configs []*embed.Config
	var initial, endpoints []string
	for i := range n {
		cfg := embed.NewConfig()
		cfg.Name = fmt.Sprintf("etcd-%d", i)
		cfg.Dir = filepath.Join(t.TempDir(), "data")
		if len(dirs) > 0 {
			cfg.Dir = dirs[i]
		}
		cfg.LogLevel, cfg.LogOutputs = "fatal", []string{os.DevNull}
		cfg.TickMs, cfg.ElectionMs = 10, 100
		peer, client := address(), address()
		cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
		cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
		initial = append(initial, cfg.Name+"="+peer.String())
		endpoints = append(endpoints, client.String())
		configs = append(configs, cfg)
	}
	for _, l := range listeners {
		require.NoError(t, l.Close())
	}
	var servers []*embed.Etcd
	for _, cfg := range configs {
		cfg.InitialCluster = strings.Join(initial, ",")
		server, err := embed.StartEtcd(cfg)
		require.NoError(t, err)
		t.Cleanup(server.Close)
		servers = append(servers, server)
	}
	for _, server := range servers {
		<-server.Server.ReadyNotify()
	}
	return servers, endpoints
}

func put(t *testing.T, client *clientv3.Client, key, value string) int64 {
	t.Helper()
	response, err := client.Put(t.Context(), key, value)
	require.NoError(t, err)
	return response.Header.Revision
}

func connect(t *testing.T, endpoints []string) *clientv3.Client {
	t.Helper()
	client, err := Connect(endpoints, nil)
	require.NoError(t, err)
	t.Cleanup(func() { client.Close() })
	return client
}

// takeSnapshot of a store with three keys and one deletion.
func takeSnapshot(t *testing.T) (file string, revision int64) {
	t.Helper()
	_, endpoints := startMembers(t, 1)
	client := connect(t, endpoints)
	for _, key := range []string{"a", "b", "c", "d"} {
		put(t, client, key, strings.Repeat(key, 100))
	}
	deleted, err := client.Delete(t.Context(), "d")
	require.NoError(t, err)
	file = filepath.Join(t.TempDir(), "snapshot.db")
	_, err = Snapshot(t.Context(), endpoints[0], nil, file)
	require.NoError(t, err)
	return file, deleted.Header.Revision
}

func TestSnapshotAndInspect(t *testing.T) {
	_, endpoints := startMembers(t, 1)
	client := connect(t, endpoints)
	put(t, client, "a", "1")
	put(t, client, "a", "2")
	revision := put(t, client, "b", "1")

	file := filepath.Join(t.TempDir(), "snapshot.db")
	var copied bytes.Buffer
	stream, err := Snapshot(t.Context(), endpoints[0], nil, file, &copied)
	require.NoError(t, err)
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, raw, copied.Bytes())
	require.Equal(t, int64(len(raw)), stream.Bytes)
	require.Equal(t, version.Version, stream.Version)
	cluster, members, err := IDs(t.Context(), endpoints, nil)
	require.NoError(t, err)
	require.Equal(t, cluster, stream.ClusterID)
	require.Equal(t, []uint64{stream.MemberID}, members)

	content, err := Inspect(t.Context(), file)
	require.NoError(t, err)
	require.Equal(t, Content{Revision: revision, Keys: 2, Bytes: stream.Bytes}, content)
	after, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, raw, after)

	_, err = Snapshot(t.Context(), endpoints[0], nil, file)
	require.EqualError(t, err, "write snapshot: "+file+" exists already")

	// A deletion that is compacted away leaves no entry at the newest revision.
	deleted, err := client.Delete(t.Context(), "b")
	require.NoError(t, err)
	_, err = client.Compact(t.Context(), deleted.Header.Revision, clientv3.WithCompactPhysical())
	require.NoError(t, err)
	later := filepath.Join(t.TempDir(), "later.db")
	_, err = Snapshot(t.Context(), endpoints[0], nil, later)
	require.NoError(t, err)
	content, err = Inspect(t.Context(), later)
	require.NoError(t, err)
	require.Equal(t, deleted.Header.Revision, content.Revision)
	require.Equal(t, deleted.Header.Revision, content.Compacted)
	require.Equal(t, 1, content.Keys)
}

func TestSnapshotOfNobody(t *testing.T) {
	file := filepath.Join(t.TempDir(), "snapshot.db")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := Snapshot(ctx, "http://127.0.0.1:1", nil, file)
	require.ErrorContains(t, err, "stream snapshot from http://127.0.0.1:1: ")
	require.ErrorContains(t, err, "connection refused")
	entries, err := os.ReadDir(filepath.Dir(file))
	require.NoError(t, err)
	require.Empty(t, entries)
}

func TestTrailer(t *testing.T) {
	file, _ := takeSnapshot(t)
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	verify := func(b []byte) error {
		sum := newTrailer()
		for len(b) > 0 {
			n := min(len(b), 1+len(b)/3)
			_, err := sum.Write(b[:n])
			require.NoError(t, err)
			b = b[n:]
		}
		return sum.verify()
	}
	require.NoError(t, verify(raw))
	require.ErrorContains(t, verify(raw[:len(raw)-1]), "it is cut short or damaged")
	require.ErrorContains(t, verify(nil), "it is cut short or damaged")
	raw[len(raw)/2] ^= 1
	require.ErrorContains(t, verify(raw), "it is cut short or damaged")
}

func TestInspectDamaged(t *testing.T) {
	file, _ := takeSnapshot(t)
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	inspect := func(b []byte) error {
		damaged := filepath.Join(t.TempDir(), "damaged.db")
		require.NoError(t, os.WriteFile(damaged, b, 0o600))
		_, err := Inspect(t.Context(), damaged)
		return err
	}
	require.ErrorContains(t, inspect(nil), "inspect snapshot")
	require.ErrorContains(t, inspect(make([]byte, 8192)), "invalid database")
	require.ErrorContains(t, inspect(raw[:len(raw)/2]), "the database has")
	// Whatever else is damaged, the process lives on.
	for page := range len(raw) / 4096 {
		damaged := bytes.Clone(raw)
		_, err := rand.Read(damaged[page*4096 : page*4096+4096])
		require.NoError(t, err)
		_ = inspect(damaged)
	}

	empty := filepath.Join(t.TempDir(), "empty.db")
	db, err := bolt.Open(empty, 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	_, err = Inspect(t.Context(), empty)
	require.ErrorContains(t, err, "it is not an etcd database")
}

func TestAgree(t *testing.T) {
	servers, endpoints := startMembers(t, 3)
	client := connect(t, endpoints)
	old := put(t, client, "a", "1")
	revision := put(t, client, "a", "2")

	agreement, err := Agree(t.Context(), endpoints, nil, revision)
	require.NoError(t, err)
	require.Equal(t, endpoints, agreement.Members)
	require.Equal(t, revision, agreement.Revision)
	require.NotZero(t, agreement.Hash)
	require.Empty(t, agreement.Silent)

	// A revision that is compacted away is replaced by the current one.
	_, err = client.Compact(t.Context(), revision, clientv3.WithCompactPhysical())
	require.NoError(t, err)
	agreement, err = Agree(t.Context(), endpoints, nil, old)
	require.NoError(t, err)
	require.Equal(t, revision, agreement.Revision)

	servers[1].Server.KV().Put([]byte("a"), []byte("other"), lease.NoLease)
	put(t, client, "a", "3")
	_, err = Agree(t.Context(), endpoints, nil, revision+1)
	require.ErrorIs(t, err, ErrDivergent)
	require.ErrorContains(t, err, endpoints[1]+" has ")

	_, err = Agree(t.Context(), endpoints, nil, revision+2)
	require.ErrorIs(t, err, ErrDivergent)
	require.ErrorContains(t, err, fmt.Sprintf("%s has caught up with the others and is at revision %d", endpoints[0], revision+1))

	const nobody = "http://127.0.0.1:1"
	endpoints[1] = nobody
	agreement, err = Agree(t.Context(), endpoints, nil, revision+1)
	require.NoError(t, err)
	require.Equal(t, []string{endpoints[0], endpoints[2]}, agreement.Members)
	require.ErrorContains(t, agreement.Silent[nobody], "connection refused")

	_, err = Agree(t.Context(), []string{nobody}, nil, 1)
	require.ErrorContains(t, err, "none answers")
}

func TestRestore(t *testing.T) {
	for _, test := range []struct {
		members int
		bump    uint64
	}{{1, RevisionBump}, {3, RevisionBump}, {1, 0}} {
		t.Run(fmt.Sprintf("%d members, bump %d", test.members, test.bump), func(t *testing.T) {
			file, revision := takeSnapshot(t)
			before, err := os.ReadFile(file)
			require.NoError(t, err)
			var members []Member
			var dirs []string
			for i := range test.members {
				dirs = append(dirs, filepath.Join(t.TempDir(), "data"))
				members = append(members, Member{Name: fmt.Sprintf("etcd-%d", i), PeerURL: fmt.Sprintf("http://127.0.0.1:%d", freePort(t)), Dir: dirs[i]})
			}
			require.NoError(t, Restore(t.Context(), file, members, "token", test.bump))
			after, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, before, after)

			endpoints := runRestored(t, members)
			client := connect(t, endpoints)
			all, err := client.Get(t.Context(), "", clientv3.WithPrefix())
			require.NoError(t, err)
			require.Equal(t, revision+int64(test.bump), all.Header.Revision)
			var keys []string
			for _, kv := range all.Kvs {
				keys = append(keys, string(kv.Key))
			}
			require.Equal(t, []string{"a", "b", "c"}, keys)

			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			watch := <-client.Watch(ctx, "a", clientv3.WithRev(revision+1), clientv3.WithCreatedNotify())
			if test.bump > 0 && watch.Err() == nil {
				watch = <-client.Watch(ctx, "a", clientv3.WithRev(revision+1))
			}
			require.Equal(t, test.bump > 0, watch.CompactRevision > 0, "a watch from a revision that clients may have seen")
			_, ids, err := IDs(t.Context(), endpoints, nil)
			require.NoError(t, err)
			require.Len(t, ids, test.members)
		})
	}
}

// runRestored starts members on restored directories, at the peer addresses that they were restored for.
func runRestored(t *testing.T, members []Member) (endpoints []string) {
	t.Helper()
	var servers []*embed.Etcd
	for _, m := range members {
		cfg := embed.NewConfig()
		cfg.Name, cfg.Dir = m.Name, m.Dir
		cfg.LogLevel, cfg.LogOutputs = "fatal", []string{os.DevNull}
		cfg.TickMs, cfg.ElectionMs = 10, 100
		peer, err := url.Parse(m.PeerURL)
		require.NoError(t, err)
		client := url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", freePort(t))}
		cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
		cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
		cfg.InitialCluster = m.Name + "=" + m.PeerURL
		server, err := embed.StartEtcd(cfg)
		require.NoError(t, err)
		t.Cleanup(server.Close)
		servers, endpoints = append(servers, server), append(endpoints, client.String())
	}
	for _, server := range servers {
		<-server.Server.ReadyNotify()
	}
	return endpoints
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestRestoreRefuses(t *testing.T) {
	file, _ := takeSnapshot(t)
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	flipped := bytes.Clone(raw)
	flipped[len(raw)/2] ^= 1
	zeroed := append(bytes.Clone(raw[:len(raw)-32]), make([]byte, 32)...)
	for _, test := range []struct {
		name, says string
		bytes      []byte
	}{
		{"bit rot", "expected sha256", flipped},
		{"no trailer", "snapshot missing hash", raw[:len(raw)-32]},
		{"trailer of zeros", "expected sha256", zeroed},
		{"cut at a page, 32 bytes into the next", "expected sha256", raw[:4096+32]},
		{"cut anywhere", "snapshot missing hash", raw[:5000]},
		{"shorter than a trailer", "invalid argument", raw[:10]},
		{"empty", "invalid argument", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			damaged := filepath.Join(t.TempDir(), "snapshot.db")
			require.NoError(t, os.WriteFile(damaged, test.bytes, 0o600))
			err := Restore(t.Context(), damaged, []Member{{Name: "etcd-0", PeerURL: "http://127.0.0.1:1", Dir: filepath.Join(t.TempDir(), "data")}}, "token", RevisionBump)
			require.ErrorIs(t, err, ErrRefused)
			require.ErrorContains(t, err, "member etcd-0: etcdutl refused the snapshot: "+map[bool]string{true: "seek ", false: test.says}[test.says == "invalid argument"])
			require.ErrorContains(t, err, test.says)
		})
	}
}

func TestRestoreTrouble(t *testing.T) {
	file, _ := takeSnapshot(t)
	taken := t.TempDir()
	err := Restore(t.Context(), file, []Member{{Name: "etcd-0", PeerURL: "http://127.0.0.1:1", Dir: taken}}, "token", RevisionBump)
	require.ErrorContains(t, err, "file exists")
	require.NotErrorIs(t, err, ErrRefused)

	err = room([]Member{{Dir: taken}, {Dir: taken}}, 1<<60)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.ErrorContains(t, err, "2 members need")

	require.NotErrorIs(t, classify(errors.New("panic: failed to open database"), true, "write db: no space left on device"), ErrRefused)
	require.ErrorIs(t, classify(errors.New("panic: page 7 is not there"), true, ""), ErrRefused)
	require.NotErrorIs(t, classify(errors.New("member count is unequal"), false, ""), ErrRefused)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = Restore(ctx, file, []Member{{Name: "etcd-0", PeerURL: "http://127.0.0.1:1", Dir: filepath.Join(t.TempDir(), "data")}}, "token", RevisionBump)
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, ErrRefused)
}

// A snapshot whose checksum is right, of something that is no database: etcd's storage panics, and that is an error of the snapshot.
func TestRestoreOfNonsenseWithATrailer(t *testing.T) {
	nonsense := bytes.Repeat([]byte("x"), 3*4096)
	sum := sha256.Sum256(nonsense)
	damaged := filepath.Join(t.TempDir(), "snapshot.db")
	require.NoError(t, os.WriteFile(damaged, append(nonsense, sum[:]...), 0o600))
	err := Restore(t.Context(), damaged, []Member{{Name: "etcd-0", PeerURL: "http://127.0.0.1:1", Dir: filepath.Join(t.TempDir(), "data")}}, "token", RevisionBump)
	require.ErrorIs(t, err, ErrRefused)
	require.ErrorContains(t, err, "panic: failed to open database")
	require.ErrorContains(t, err, "invalid database")
}

func TestDropStaleLeases(t *testing.T) {
	_, endpoints := startMembers(t, 1)
	client := connect(t, endpoints)
	for _, key := range []string{
		"/registry/masterleases/10.0.0.1", "/registry/leases/kube-system/kube-scheduler", "/registry/leases/kube-system/apiserver-abc",
		"/registry/leases/kube-system/someone-else", "/registry/leases/kube-node-lease/node-0", "/registry/configmaps/kube-system/kube-scheduler",
	} {
		put(t, client, key, "x")
	}
	for _, want := range []Dropped{{Leases: 4, APIServers: []string{"10.0.0.1"}}, {}} {
		dropped, err := DropStaleLeases(t.Context(), endpoints, nil)
		require.NoError(t, err)
		require.Equal(t, want, dropped)
	}
	left, err := client.Get(t.Context(), "/", clientv3.WithPrefix())
	require.NoError(t, err)
	var keys []string
	for _, kv := range left.Kvs {
		keys = append(keys, string(kv.Key))
	}
	require.Equal(t, []string{"/registry/configmaps/kube-system/kube-scheduler", "/registry/leases/kube-system/someone-else"}, keys)
}

func urls(t testing.TB, addresses ...string) (all []url.URL) {
	t.Helper()
	for _, address := range addresses {
		u, err := url.Parse(address)
		require.NoError(t, err)
		all = append(all, *u)
	}
	return all
}
