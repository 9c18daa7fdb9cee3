package census

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kruntime "k8s.io/apimachinery/pkg/runtime"

	"github.com/restore-drill/restore-drill/internal/evidence"
)

// A write is one revision of a key; without a value it deletes the key.
type write struct{ key, value string }

// writeStore makes a store in which each write is a revision of its own, from first on.
func writeStore(t testing.TB, file string, first int64, writes ...write) string {
	t.Helper()
	i := 0
	fillStore(t, file, first, func() (key, value []byte, more bool) {
		if i == len(writes) {
			return nil, nil, false
		}
		w := writes[i]
		i++
		if w.value == "" {
			return []byte(w.key), nil, true
		}
		return []byte(w.key), []byte(w.value), true
	})
	return file
}

func fillStore(t testing.TB, file string, first int64, next func() (key, value []byte, more bool)) {
	t.Helper()
	db, err := bolt.Open(file, 0o600, &bolt.Options{NoSync: true, NoFreelistSync: true})
	require.NoError(t, err)
	for revision, more := first, true; more; {
		require.NoError(t, db.Update(func(tx *bolt.Tx) error {
			bucket, err := tx.CreateBucketIfNotExists(keyBucket)
			if err != nil {
				return err
			}
			bucket.FillPercent = 0.9
			for range 10000 {
				var key, value []byte
				if key, value, more = next(); !more {
					return nil
				}
				kv := mvccpb.KeyValue{Key: key, Value: value, CreateRevision: revision, ModRevision: revision, Version: 1, Lease: 7}
				id := revisionKey(revision, 0)
				if value == nil {
					kv, id = mvccpb.KeyValue{Key: key}, append(id, 't')
				}
				b, err := kv.Marshal()
				if err != nil {
					return err
				}
				if err := bucket.Put(id, b); err != nil {
					return err
				}
				revision++
			}
			return nil
		}))
	}
	require.NoError(t, db.Close())
}

func compareStores(t *testing.T, before, after string) *evidence.StoreComparison {
	t.Helper()
	tmp := t.TempDir()
	c, err := CompareSnapshots(t.Context(), before, after, tmp)
	require.NoError(t, err)
	left, err := os.ReadDir(tmp)
	require.NoError(t, err)
	require.Empty(t, left)
	return c
}

func TestCompareSnapshots(t *testing.T) {
	dir := t.TempDir()
	before := writeStore(t, filepath.Join(dir, "before"), 2,
		write{"/registry/a", "one"}, write{"/registry/b", "old"}, write{"/registry/c", "gone"}, write{"/registry/b", "two"},
		write{"/registry/c", ""}, write{"/registry/d", "three"}, write{"/registry/e", "k8s:enc:secretbox:v1:1"}, write{"/registry/f", ""},
		write{"/registry/f", "back"})
	after := writeStore(t, filepath.Join(dir, "after"), 100,
		write{"/registry/a", "one"}, write{"/registry/b", "twp"}, write{"/registry/e", "k8s:enc:secretbox:v1:2"}, write{"/registry/f", "back"},
		write{"/registry/g", "four"})
	require.Equal(t, &evidence.StoreComparison{
		BeforeRevision: 10, AfterRevision: 104, BeforeKeys: 5, AfterKeys: 5, Equal: 2,
		Lost:  []evidence.StoreKey{{Key: "/registry/d", BeforeRevision: 7}},
		Extra: []evidence.StoreKey{{Key: "/registry/g", AfterRevision: 104}},
		Changed: []evidence.StoreKey{{Key: "/registry/b", BeforeRevision: 5, AfterRevision: 101},
			{Key: "/registry/e", BeforeRevision: 8, AfterRevision: 102, Encrypted: true}},
	}, compareStores(t, before, after))
}

// Values that are swapped, resurrected keys and an older snapshot are all told apart from what was there.
func TestCompareSnapshotsFindsEachMutation(t *testing.T) {
	dir := t.TempDir()
	state := []write{{"/registry/a", "one"}, {"/registry/b", "two"}, {"/registry/c", "three"}, {"/registry/c", ""}}
	before := writeStore(t, filepath.Join(dir, "before"), 2, state...)
	for name, tc := range map[string]struct {
		after                []write
		lost, extra, changed int
	}{
		"same":        {after: state},
		"dropped":     {after: state[1:], lost: 1},
		"added":       {after: append(state[:4:4], write{"/registry/d", "x"}), extra: 1},
		"resurrected": {after: state[:3], extra: 1},
		"bit":         {after: []write{{"/registry/a", "onf"}, state[1]}, changed: 1},
		"swapped":     {after: []write{{"/registry/a", "two"}, {"/registry/b", "one"}}, changed: 2},
		"other":       {after: []write{{"/registry/x", "one"}, {"/registry/y", "two"}}, lost: 2, extra: 2},
		"everything":  {after: []write{{"/other", ""}}, lost: 2},
	} {
		t.Run(name, func(t *testing.T) {
			c := compareStores(t, before, writeStore(t, filepath.Join(t.TempDir(), "after"), 2, tc.after...))
			require.Equal(t, []int{tc.lost, tc.extra, tc.changed}, []int{len(c.Lost), len(c.Extra), len(c.Changed)})
			require.Equal(t, 2, c.Equal+len(c.Lost)+len(c.Changed))
		})
	}
}

func TestCompareSnapshotsCountsWhatItDoesNotList(t *testing.T) {
	dir := t.TempDir()
	i := 0
	fillStore(t, filepath.Join(dir, "before"), 2, func() ([]byte, []byte, bool) {
		i++
		return fmt.Appendf(nil, "/registry/%05d", i), []byte("value"), i <= listedKeys+5
	})
	writeStore(t, filepath.Join(dir, "after"), 2, write{"/registry/00001", "changed"}, write{"/registry/x", "x"})
	c := compareStores(t, filepath.Join(dir, "before"), filepath.Join(dir, "after"))
	require.Len(t, c.Lost, listedKeys)
	require.Equal(t, "/registry/00002", c.Lost[0].Key)
	require.Equal(t, 4, c.LostOmitted)
	require.Equal(t, []int{1, 1, 0}, []int{len(c.Changed), len(c.Extra), c.Equal})
}

func storedAs(t testing.TB, object kruntime.Object, mediaType string) string {
	t.Helper()
	info, ok := kruntime.SerializerInfoForMediaType(codecs.SupportedMediaTypes(), mediaType)
	require.True(t, ok)
	b, err := kruntime.Encode(codecs.EncoderForVersion(info.Serializer, corev1.SchemeGroupVersion), object)
	require.NoError(t, err)
	return string(b)
}

// The same object in another encoding is equal; one that differs is not, nor is one with a field that decoding would lose.
func TestCompareSnapshotsAcrossEncodings(t *testing.T) {
	object := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "n", UID: "u", Labels: map[string]string{"b": "1", "a": "2"}},
		Data: map[string][]byte{"k": []byte("v")}}
	other := object.DeepCopy()
	other.Data["k"] = []byte("w")
	protobuf, plain := storedAs(t, object, kruntime.ContentTypeProtobuf), storedAs(t, object, kruntime.ContentTypeJSON)
	for name, tc := range map[string]struct {
		value     string
		reencoded int
	}{
		"same":          {plain, 1},
		"other":         {storedAs(t, other, kruntime.ContentTypeJSON), 0},
		"unknown field": {strings.Replace(plain, `{`, `{"unheard":1,`, 1), 0},
		"no object":     {"{}", 0},
		"broken":        {plain[:40], 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c := compareStores(t, writeStore(t, filepath.Join(dir, "before"), 2, write{"/registry/secrets/n/a", protobuf}),
				writeStore(t, filepath.Join(dir, "after"), 2, write{"/registry/secrets/n/a", tc.value}))
			require.Equal(t, []int{tc.reencoded, tc.reencoded, 1 - tc.reencoded}, []int{c.Reencoded, c.Equal, len(c.Changed)})
		})
	}
	_, ok := storedForm([]byte(protobuf + "\x32\x01x")) // a field of the envelope that is not known
	require.False(t, ok)
}

func TestSnapshot(t *testing.T) {
	dir := t.TempDir()
	db := writeStore(t, filepath.Join(dir, "db"), 2, write{"/registry/b", "planted-secret"}, write{"/registry/a", "x"}, write{"/registry/b", "two"}, write{"/registry/a", ""})
	tail, err := Snapshot(t.Context(), db, filepath.Join(dir, "census"), []byte("key"))
	require.NoError(t, err)
	require.Equal(t, Tail{End: true, Entries: 1, Resources: []string{"etcd"}}, tail)
	head, entries, read := readAll(t, filepath.Join(dir, "census"))
	require.Equal(t, Head{Schema: Schema, How: "the etcd snapshot, read offline", Revision: "5"}, head)
	require.Equal(t, tail, read)
	require.Equal(t, []Entry{{Key: "/registry/b", Digest: fmt.Sprintf("%x", newDigester([]byte("key")).of([]byte("two"))), ResourceVersion: "4"}}, entries)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 2)
	_, err = Snapshot(t.Context(), db, filepath.Join(dir, "census"), nil)
	require.EqualError(t, err, "take census of snapshot: the key of the digests is empty")
}

// etcd's restore with a revision bump marks its start with an empty value, and a snapshot ends in a SHA-256 of the file.
// Neither is taken for a key, and reading leaves the file as it was.
func TestSnapshotOfABumpedStoreWithItsTrailer(t *testing.T) {
	dir := t.TempDir()
	file := writeStore(t, filepath.Join(dir, "db"), 2, write{"/registry/a", "x"})
	db, err := bolt.Open(file, 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bolt.Tx) error { return tx.Bucket(keyBucket).Put(revisionKey(1_000_000_002, 0), []byte{}) }))
	require.NoError(t, db.Close())
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	sum := sha256.Sum256(content)
	content = append(content, sum[:]...)
	require.NoError(t, os.WriteFile(file, content, 0o600))
	require.NoError(t, os.Chmod(file, 0o400))
	c := compareStores(t, file, file)
	require.Equal(t, []int{1, 1, 1}, []int{c.BeforeKeys, c.AfterKeys, c.Equal})
	require.Equal(t, int64(1_000_000_002), c.AfterRevision)
	again, err := os.ReadFile(file)
	require.NoError(t, err)
	require.True(t, bytes.Equal(content, again), "the snapshot was written to")
}

func TestDamagedSnapshots(t *testing.T) {
	dir := t.TempDir()
	i := 0
	good := filepath.Join(dir, "good")
	fillStore(t, good, 2, func() ([]byte, []byte, bool) {
		i++
		return fmt.Appendf(nil, "/registry/%05d", i), make([]byte, 500), i <= 2000
	})
	content, err := os.ReadFile(good)
	require.NoError(t, err)
	put := func(key, value []byte) func(t *testing.T, file string) {
		return func(t *testing.T, file string) {
			writeStore(t, file, 2, write{"/registry/a", "x"})
			db, err := bolt.Open(file, 0o600, nil)
			require.NoError(t, err)
			require.NoError(t, db.Update(func(tx *bolt.Tx) error { return tx.Bucket(keyBucket).Put(key, value) }))
			require.NoError(t, db.Close())
		}
	}
	for name, tc := range map[string]struct {
		damage func(t *testing.T, file string)
		want   string
	}{
		"missing": {func(*testing.T, string) {}, "no such file"},
		"empty":   {func(t *testing.T, f string) { require.NoError(t, os.WriteFile(f, nil, 0o600)) }, "it is empty"},
		"text": {func(t *testing.T, f string) {
			require.NoError(t, os.WriteFile(f, bytes.Repeat([]byte("x"), 9000), 0o600))
		}, "invalid database"},
		"truncated": {func(t *testing.T, f string) { require.NoError(t, os.WriteFile(f, content[:len(content)/2], 0o600)) },
			"it is damaged"},
		"page": {func(t *testing.T, f string) {
			b := bytes.Clone(content)
			copy(b[4096*40:], bytes.Repeat([]byte{0xff}, 4096))
			require.NoError(t, os.WriteFile(f, b, 0o600))
		}, "it is damaged"},
		"no bucket": {func(t *testing.T, f string) {
			db, err := bolt.Open(f, 0o600, nil)
			require.NoError(t, err)
			require.NoError(t, db.Close())
		}, `it has no bucket "key"`},
		"revision": {put([]byte("nonsense"), []byte("x")), "is no revision"},
		"message":  {put(revisionKey(9, 0), []byte("\x0a\x05abc")), "it is damaged: at revision 9: the message is malformed"},
		"no key":   {put(revisionKey(9, 0), []byte("\x2a\x01a")), "it is damaged: at revision 9: the message has no key"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "db")
			tc.damage(t, file)
			_, err := CompareSnapshots(t.Context(), file, good, t.TempDir())
			require.ErrorContains(t, err, tc.want)
			require.ErrorContains(t, err, file)
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = CompareSnapshots(ctx, good, good, t.TempDir())
	require.ErrorIs(t, err, context.Canceled)
}

func FuzzParseKeyValue(f *testing.F) {
	b, err := (&mvccpb.KeyValue{Key: []byte("k"), Value: []byte("v"), Lease: -1, ModRevision: 1 << 40}).Marshal()
	require.NoError(f, err)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		key, value, err := parseKeyValue(b)
		var kv mvccpb.KeyValue
		if kv.Unmarshal(b) == nil && len(kv.Key) > 0 && err == nil {
			require.Equal(t, string(kv.Key), string(key))
			require.Equal(t, string(kv.Value), string(value))
		}
	})
}

// Records come out in the order of their keys and, within a key, as they went in, with and without runs on disk.
func TestSorter(t *testing.T) {
	for _, size := range []int{1, 3 << 20} {
		s := newSorter(t.TempDir(), 0)
		pad := make([]byte, size)
		keys := []string{"b", "a\x00", "a", "longer-than-eight-b", "", "longer-than-eight-a", "a\x00", "longer-than-eight-", "longer-t", "b", "a", "b\xff", "c"}
		for round := range 3 {
			for i, k := range keys {
				require.NoError(t, s.add([]byte(k), append(pad[:len(pad):len(pad)], byte(round), byte(i))))
			}
		}
		require.Equal(t, size > 1, len(s.runs) > 0)
		next, err := s.sorted()
		require.NoError(t, err)
		var lastKey string
		last, n := -1, 0
		for {
			key, rest, err := next()
			if err == io.EOF {
				break
			}
			require.NoError(t, err)
			order := int(rest[len(rest)-2])*100 + int(rest[len(rest)-1])
			require.Equal(t, keys[order%100], string(key))
			require.True(t, n == 0 || lastKey < string(key) || lastKey == string(key) && last < order)
			lastKey, last = string(key), order
			n++
		}
		require.Equal(t, 3*len(keys), n)
		require.NoError(t, s.close())
	}
}

// configMaps returns the contents of a store with count objects of about a kilobyte, as the API server stores them.
func configMaps(t testing.TB, count int) func() (key, value []byte, more bool) {
	const name, uid, payload = "cm-0000000", "00000000-0000-4000-8000-000000000000", "payload-0000000"
	template := []byte(storedAs(t, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "load-00", UID: uid, CreationTimestamp: metav1.Unix(1e9, 0),
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "seed", Operation: "Update", APIVersion: "v1", FieldsType: "FieldsV1",
				FieldsV1: metav1.NewFieldsV1(`{"f:data":{".":{},"f:payload":{}}}`)}}},
		Data: map[string]string{"payload": payload + strings.Repeat("x", 700)},
	}, kruntime.ContentTypeProtobuf))
	i := -1
	return func() ([]byte, []byte, bool) {
		i++
		// The order of writing is not that of the keys.
		n := fmt.Sprintf("%07d", i*7919%count)
		value := bytes.ReplaceAll(template, []byte(name), []byte("cm-"+n))
		value = bytes.ReplaceAll(value, []byte(payload), []byte("payload-"+n))
		return fmt.Appendf(nil, "/registry/configmaps/load-%02d/cm-%s", i%20, n), value, i < count
	}
}

// anonymous memory of this process, in bytes.
func anonymous(t testing.TB) float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("anonymous memory is read from /proc/self/status: ", err)
	}
	_, rest, _ := strings.Cut(string(status), "RssAnon:")
	kilobytes, err := strconv.Atoi(strings.Fields(rest)[0])
	require.NoError(t, err)
	return float64(kilobytes) * 1024
}

// peakDuring samples anonymous memory while work runs, and returns the most that was seen.
func peakDuring(t testing.TB, work func()) float64 {
	done, peak := make(chan struct{}), make(chan float64)
	go func() {
		most := 0.0
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			most = max(most, anonymous(t))
			select {
			case <-done:
				peak <- most
				return
			case <-tick.C:
			}
		}
	}()
	work()
	close(done)
	return <-peak
}

// rawScan reads two files as fast as bbolt gives them, and hashes each value.
func rawScan(t testing.TB, files ...string) {
	for _, file := range files {
		db, err := bolt.Open(file, 0o400, &bolt.Options{ReadOnly: true})
		require.NoError(t, err)
		require.NoError(t, db.View(func(tx *bolt.Tx) error {
			return tx.Bucket(keyBucket).ForEach(func(_, v []byte) error {
				sha256.Sum256(v)
				return nil
			})
		}))
		require.NoError(t, db.Close())
	}
}

// The comparison of two snapshots against a raw scan of both, interleaved in one run. RESTORE_DRILL_BENCH_OBJECTS sets
// their size. Census files of both, compared, are measured beside it.
func BenchmarkSnapshots(b *testing.B) {
	count := 300_000
	if n, err := strconv.Atoi(os.Getenv("RESTORE_DRILL_BENCH_OBJECTS")); err == nil {
		count = n
	}
	dir := b.TempDir()
	before, after := filepath.Join(dir, "before"), filepath.Join(dir, "after")
	fillStore(b, before, 2, configMaps(b, count))
	fillStore(b, after, 2, configMaps(b, count))
	runtime.GC()
	debugFree()
	rawScan(b, before, after)
	var raw, direct, files time.Duration
	var peakDirect, peakFiles float64
	for b.Loop() {
		start := time.Now()
		rawScan(b, before, after)
		raw += time.Since(start)

		start = time.Now()
		peakDirect = max(peakDirect, peakDuring(b, func() {
			c, err := CompareSnapshots(b.Context(), before, after, dir)
			require.NoError(b, err)
			require.Equal(b, count, c.Equal)
		}))
		direct += time.Since(start)
		debugFree()

		start = time.Now()
		peakFiles = max(peakFiles, peakDuring(b, func() {
			var wg sync.WaitGroup
			var errs [2]error
			for i, db := range []string{before, after} {
				wg.Go(func() { _, errs[i] = Snapshot(b.Context(), db, db+".census", []byte("key")) })
			}
			wg.Wait()
			require.NoError(b, errors.Join(errs[:]...))
			equal, err := compareFiles(before+".census", after+".census")
			require.NoError(b, err)
			require.Equal(b, count, equal)
		}))
		files += time.Since(start)
		debugFree()
	}
	b.ReportMetric(raw.Seconds()/float64(b.N), "raw-s")
	b.ReportMetric(direct.Seconds()/raw.Seconds(), "compare/raw")
	b.ReportMetric(files.Seconds()/raw.Seconds(), "census-files/raw")
	b.ReportMetric(peakDirect/(1<<20), "compare-MiB-anon")
	b.ReportMetric(peakFiles/(1<<20), "census-files-MiB-anon")
}

func compareFiles(before, after string) (int, error) {
	b, err := Open(before)
	if err != nil {
		return 0, err
	}
	defer b.Close()
	a, err := Open(after)
	if err != nil {
		return 0, err
	}
	defer a.Close()
	return Compare(b, a, func(before, after *Entry) error {
		text, _ := json.Marshal([]*Entry{before, after})
		return fmt.Errorf("unexpected difference %s", text)
	})
}
