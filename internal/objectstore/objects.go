package objectstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// An Object of the bucket.
type Object struct {
	Key  string
	Size int64
	// SHA256 of its bytes, in hexadecimal.
	SHA256 string
}

// scratchDir is where versitygw keeps what is still being uploaded, at the top of each bucket.
const scratchDir = ".sgwtmp"

// Path is the file that holds an object, for faults that damage it.
func (s *Store) Path(key string) string {
	return s.place.Dir(dataDir, bucket, filepath.FromSlash(path.Clean("/"+key)))
}

// Objects reads what the bucket holds off the disk, sorted by key, whether the store runs or not. What is deleted meanwhile is left out.
func (s *Store) Objects(ctx context.Context) ([]Object, error) {
	top := s.Path("")
	var all []Object
	err := filepath.WalkDir(top, func(file string, d fs.DirEntry, err error) error {
		switch {
		case context.Cause(ctx) != nil:
			return context.Cause(ctx)
		case errors.Is(err, fs.ErrNotExist) && file != top:
			return nil
		case err != nil:
			return err
		case d.IsDir() && file == filepath.Join(top, scratchDir):
			return filepath.SkipDir
		case d.IsDir():
			return nil
		}
		key, err := filepath.Rel(top, file)
		if err != nil {
			return err
		}
		object, err := read(filepath.ToSlash(key), file)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		all = append(all, object)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the objects of bucket %s: %w", bucket, err)
	}
	slices.SortFunc(all, func(a, b Object) int { return strings.Compare(a.Key, b.Key) })
	return all, nil
}

func read(key, file string) (Object, error) {
	f, err := os.Open(file)
	if err != nil {
		return Object{}, err
	}
	defer f.Close()
	digest := sha256.New()
	size, err := io.Copy(digest, f)
	return Object{Key: key, Size: size, SHA256: hex.EncodeToString(digest.Sum(nil))}, err
}
