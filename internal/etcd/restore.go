package etcd

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// RevisionBump is how far a restored store's revision is raised: etcd's documentation computes that it covers a week of 1,500 writes a
// second that the snapshot does not know of.
const RevisionBump = 1_000_000_000

// walBytes is what etcd allocates for the write-ahead log of each member.
const walBytes = 64 << 20

// ErrRefused is wrapped by the error of Restore that is etcdutl's own refusal of the snapshot.
var ErrRefused = errors.New("etcdutl refused the snapshot")

// A Member to restore.
type Member struct {
	Name    string
	PeerURL string
	// File is the snapshot that it is restored from; empty for the one that all are.
	File string
	// Dir receives the data directory. It must not exist. After an error it may be half written: the caller removes it.
	Dir string
}

// RestoreCommand is the command of etcdutl that does for one of the members what Restore does with etcdutl's library.
func RestoreCommand(file string, members []Member, i int, token string, bump uint64) []string {
	m := members[i]
	command := []string{
		"etcdutl", "snapshot", "restore", cmp.Or(m.File, file), "--name", m.Name, "--initial-cluster", initialCluster(members),
		"--initial-cluster-token", token, "--initial-advertise-peer-urls", m.PeerURL, "--data-dir", m.Dir,
	}
	if bump > 0 {
		command = append(command, "--bump-revision", strconv.FormatUint(bump, 10), "--mark-compacted")
	}
	return command
}

func initialCluster(members []Member) string {
	var initial []string
	for _, m := range members {
		initial = append(initial, m.Name+"="+m.PeerURL)
	}
	return strings.Join(initial, ",")
}

// Restore makes a data directory of the same snapshot for each member of a new cluster, in parallel. The token is the new cluster's
// own, so that no member of another can join it. Bump raises the revision by that much and marks everything up to there compacted;
// 0 leaves it. Restore is not cut short by ctx within a member: what etcdutl began it ends.
func Restore(ctx context.Context, file string, members []Member, token string, bump uint64) error {
	info, err := os.Stat(file)
	if err != nil {
		return fmt.Errorf("restore snapshot: %w", err)
	}
	for _, m := range members {
		if err := os.Mkdir(m.Dir, 0o700); err != nil {
			return fmt.Errorf("restore snapshot: %w", err)
		}
	}
	// With a full disk etcd's storage ends the process, so that is seen to first.
	if err := room(members, info.Size()+walBytes+info.Size()/8); err != nil {
		return err
	}
	g, group := errgroup.WithContext(ctx)
	for _, m := range members {
		g.Go(func() error {
			if err := group.Err(); err != nil {
				return err
			}
			return restoreMember(snapshot.RestoreConfig{
				SnapshotPath:        cmp.Or(m.File, file),
				Name:                m.Name,
				OutputDataDir:       m.Dir,
				PeerURLs:            []string{m.PeerURL},
				InitialCluster:      initialCluster(members),
				InitialClusterToken: token,
				RevisionBump:        bump,
				MarkCompacted:       bump > 0,
			})
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("restore snapshot %s: %w", file, err)
	}
	return ctx.Err()
}

func restoreMember(cfg snapshot.RestoreConfig) (err error) {
	words := &tail{}
	logger := zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(zapcore.EncoderConfig{MessageKey: "m"}), words, zapcore.WarnLevel),
		zap.WithFatalHook(zapcore.WriteThenPanic))
	// bbolt panics, or faults on a page that is not there, where etcdutl's own check let a damaged file pass.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = classify(fmt.Errorf("panic: %v", r), true, words.String())
		}
		if err != nil {
			err = fmt.Errorf("member %s: %w", cfg.Name, err)
		}
	}()
	return classify(snapshot.NewV3(logger).Restore(cfg), false, words.String())
}

// classify tells a refusal from trouble around it. Only etcdutl's own words about the snapshot count as one: a full disk that passed for a
// refusal would be a false proof that a damaged snapshot is refused.
func classify(err error, panicked bool, words string) error {
	if err == nil {
		return nil
	}
	if words != "" {
		err = fmt.Errorf("%w\n%s", err, words)
	}
	var path *os.PathError
	text := err.Error()
	trouble := strings.Contains(text, syscall.ENOSPC.Error()) || strings.Contains(text, syscall.EDQUOT.Error()) ||
		strings.Contains(text, syscall.EMFILE.Error()) || strings.Contains(text, syscall.EIO.Error())
	switch {
	case trouble:
		return err
	case panicked,
		strings.HasPrefix(text, "snapshot missing hash"),
		strings.HasPrefix(text, "expected sha256"),
		// It seeks to 32 bytes before the end, which a shorter file does not have.
		errors.As(err, &path) && path.Op == "seek" && errors.Is(err, syscall.EINVAL):
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return err
}

// room tells whether the file system of the members' directories holds need more bytes for each.
func room(members []Member, need int64) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(members[0].Dir, &fs); err != nil {
		return fmt.Errorf("look for room at %s: %w", members[0].Dir, err)
	}
	free := int64(fs.Bavail) * int64(fs.Bsize)
	if need *= int64(len(members)); free < need {
		return fmt.Errorf("restore snapshot: %w at %s: %d MiB are free, and %d members need %d MiB",
			syscall.ENOSPC, members[0].Dir, free>>20, len(members), need>>20)
	}
	return nil
}

// tail keeps what etcd logs, up to a limit.
type tail struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.b.Len() < 4096 {
		t.b.Write(p)
	}
	return len(p), nil
}

func (t *tail) Sync() error { return nil }

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(t.b.String())
}
