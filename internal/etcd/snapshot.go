package etcd

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
)

// A Stream is what the member said of the snapshot that it sent.
type Stream struct {
	Bytes int64
	// ClusterID and MemberID of the sender.
	ClusterID, MemberID uint64
	// Version of the sender, for example 3.6.16.
	Version string
}

// Snapshot writes a snapshot of the member at endpoint to file, which must not exist, with mode 0600. The bytes also go to the
// writers given, as they come. The snapshot ends in a SHA-256 of itself, which is compared: `etcdutl snapshot status` does not. When it
// fails, file does not exist.
func Snapshot(ctx context.Context, endpoint string, tlsConfig *tls.Config, file string, also ...io.Writer) (s Stream, err error) {
	if err := reach(ctx, endpoint); err != nil {
		return s, fmt.Errorf("stream snapshot from %s: %w", endpoint, err)
	}
	client, err := Connect([]string{endpoint}, tlsConfig)
	if err != nil {
		return s, err
	}
	defer client.Close()
	status, err := client.Status(ctx, endpoint)
	if err != nil {
		return s, fmt.Errorf("stream snapshot from %s: %w", endpoint, err)
	}
	s.ClusterID, s.MemberID, s.Version = status.Header.ClusterId, status.Header.MemberId, status.Version
	if _, err := os.Lstat(file); !errors.Is(err, os.ErrNotExist) {
		return s, fmt.Errorf("write snapshot: %s exists already", file)
	}
	part := file + ".part"
	out, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return s, fmt.Errorf("write snapshot: %w", err)
	}
	defer func() {
		out.Close()
		if err != nil {
			os.Remove(part)
		}
	}()

	response, err := client.SnapshotWithVersion(ctx)
	if err != nil {
		return s, fmt.Errorf("stream snapshot from %s: %w", endpoint, err)
	}
	defer response.Snapshot.Close()
	sum := newTrailer()
	disk := &diskWriter{File: out}
	if s.Bytes, err = io.CopyBuffer(io.MultiWriter(append(also, disk, sum)...), response.Snapshot, make([]byte, 1<<20)); err != nil {
		if disk.err != nil {
			return s, fmt.Errorf("write snapshot after %d bytes: %w", s.Bytes, err)
		}
		return s, fmt.Errorf("stream snapshot from %s, broken off after %d bytes: %w", endpoint, s.Bytes, err)
	}
	if err := sum.verify(); err != nil {
		return s, fmt.Errorf("stream snapshot from %s: %w", endpoint, err)
	}
	if err := errors.Join(out.Sync(), out.Close()); err != nil {
		return s, fmt.Errorf("write snapshot: %w", err)
	}
	if err := os.Rename(part, file); err != nil {
		return s, fmt.Errorf("write snapshot: %w", err)
	}
	return s, SyncDir(filepath.Dir(file))
}

// SyncDir makes the names in a directory durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}

// diskWriter remembers that it was the disk that failed, and not the stream.
type diskWriter struct {
	*os.File
	err error
}

func (d *diskWriter) Write(p []byte) (int, error) {
	n, err := d.File.Write(p)
	d.err = err
	return n, err
}

// trailer digests what is written to it, apart from the last 32 bytes, which a snapshot ends in.
type trailer struct {
	body hash.Hash
	held []byte
}

func newTrailer() *trailer { return &trailer{body: sha256.New()} }

func (t *trailer) Write(p []byte) (int, error) {
	t.held = append(t.held, p...)
	if n := len(t.held) - sha256.Size; n > 0 {
		t.body.Write(t.held[:n])
		t.held = append(t.held[:0], t.held[n:]...)
	}
	return len(p), nil
}

func (t *trailer) verify() error {
	if sum := t.body.Sum(nil); !bytes.Equal(t.held, sum) {
		return fmt.Errorf("snapshot ends in %x, and its SHA-256 is %x: it is cut short or damaged", t.held, sum)
	}
	return nil
}
