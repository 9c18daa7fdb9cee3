package census

import (
	"bufio"
	"bytes"
	"cmp"
	"container/heap"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// sortMemory is what a sorter holds, in bytes, before it spills a run to disk.
const sortMemory = 32 << 20

// A sorter puts records in the order of their keys, whatever their number: it holds a part of them and spills sorted runs
// to disk. Records of the same key keep their order.
type sorter struct {
	dir   string
	arena []byte
	// refs are offsets of records in the arena: length of the key, length of the rest, both.
	refs []ref
	runs []*os.File
}

// A ref finds a record, and holds the eight bytes of its key at the depth at which refs are being compared.
type ref struct {
	head   uint64
	offset uint32
}

const recordHeader = 8

// newSorter makes a sorter that spills into dir. It expects about size bytes.
func newSorter(dir string, size int64) *sorter {
	return &sorter{dir: dir, arena: make([]byte, 0, min(size, sortMemory))}
}

// add a record. The sorter keeps neither slice.
func (s *sorter) add(key, rest []byte) error {
	size := recordHeader + len(key) + len(rest)
	if len(s.arena)+size > sortMemory && len(s.refs) > 0 {
		if err := s.spill(); err != nil {
			return err
		}
	}
	s.refs = append(s.refs, ref{offset: uint32(len(s.arena))})
	s.arena = binary.LittleEndian.AppendUint32(s.arena, uint32(len(key)))
	s.arena = binary.LittleEndian.AppendUint32(s.arena, uint32(len(rest)))
	s.arena = append(append(s.arena, key...), rest...)
	return nil
}

func (s *sorter) record(r ref) (key, rest []byte) {
	b := s.arena[r.offset:]
	k, n := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
	b = b[recordHeader:]
	return b[:k:k], b[k : k+n : k+n]
}

func (s *sorter) sortRefs() { s.sortFrom(s.refs, 0) }

// sortFrom sorts refs whose keys are the same up to depth. Keys have long beginnings in common, so they are compared eight
// bytes at a time, and these are fetched once.
func (s *sorter) sortFrom(refs []ref, depth int) {
	if len(refs) < 2 {
		return
	}
	ends := 0
	for i, r := range refs {
		key, _ := s.record(r)
		if len(key) <= depth {
			// Keys that end here come first, in the order in which they were added.
			refs[ends], refs[i] = r, refs[ends]
			ends++
			continue
		}
		var head [8]byte
		copy(head[:], key[depth:])
		refs[i].head = binary.BigEndian.Uint64(head[:])
	}
	byOffset := func(a, b ref) int { return cmp.Compare(a.offset, b.offset) }
	slices.SortFunc(refs[:ends], func(a, b ref) int {
		keyA, _ := s.record(a)
		keyB, _ := s.record(b)
		return cmp.Or(cmp.Compare(len(keyA), len(keyB)), byOffset(a, b)) // they differ in trailing zero bytes, if at all
	})
	refs = refs[ends:]
	slices.SortFunc(refs, func(a, b ref) int {
		if a.head != b.head {
			if a.head < b.head {
				return -1
			}
			return 1
		}
		return byOffset(a, b)
	})
	for start := 0; start < len(refs); {
		end := start + 1
		for end < len(refs) && refs[end].head == refs[start].head {
			end++
		}
		if end-start > 1 {
			s.sortFrom(refs[start:end], depth+8)
		}
		start = end
	}
}

// spill writes what is held as a sorted run.
func (s *sorter) spill() (err error) {
	s.sortRefs()
	f, err := os.OpenFile(filepath.Join(s.dir, "run-"+strconv.Itoa(len(s.runs))), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write sorted run: %w", err)
	}
	s.runs = append(s.runs, f)
	w := bufio.NewWriterSize(f, 256<<10)
	for _, r := range s.refs {
		key, rest := s.record(r)
		if _, err := w.Write(s.arena[r.offset : int(r.offset)+recordHeader+len(key)+len(rest)]); err != nil {
			return fmt.Errorf("write sorted run: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write sorted run: %w", err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read sorted run: %w", err)
	}
	s.arena, s.refs = s.arena[:0], s.refs[:0]
	return nil
}

// sorted ends the adding and returns the records, first to last; io.EOF follows the last. Slices are valid until the next call.
func (s *sorter) sorted() (next func() (key, rest []byte, err error), err error) {
	if len(s.runs) == 0 {
		s.sortRefs()
		i := 0
		return func() ([]byte, []byte, error) {
			if i == len(s.refs) {
				return nil, nil, io.EOF
			}
			key, rest := s.record(s.refs[i])
			i++
			return key, rest, nil
		}, nil
	}
	if err := s.spill(); err != nil {
		return nil, err
	}
	s.arena, s.refs = nil, nil
	m := make(merge, 0, len(s.runs))
	for i, f := range s.runs {
		r := &run{number: i, from: bufio.NewReaderSize(f, 64<<10)}
		if err := r.next(); err != nil {
			return nil, err
		}
		m = append(m, r)
	}
	heap.Init(&m)
	started := false
	return func() ([]byte, []byte, error) {
		if started {
			switch err := m[0].next(); {
			case err == io.EOF:
				heap.Pop(&m)
			case err != nil:
				return nil, nil, err
			default:
				heap.Fix(&m, 0)
			}
		}
		if started = len(m) > 0; !started {
			return nil, nil, io.EOF
		}
		return m[0].key, m[0].rest, nil
	}, nil
}

// close removes what was spilled.
func (s *sorter) close() error {
	var errs []error
	for _, f := range s.runs {
		errs = append(errs, f.Close(), os.Remove(f.Name()))
	}
	s.runs = nil
	return errors.Join(errs...)
}

// A run of sorted records that was spilled.
type run struct {
	number    int
	from      *bufio.Reader
	buffer    []byte
	key, rest []byte
}

func (r *run) next() error {
	var header [recordHeader]byte
	if _, err := io.ReadFull(r.from, header[:]); err == io.EOF {
		return io.EOF
	} else if err != nil {
		return fmt.Errorf("read sorted run: %w", err)
	}
	k, n := int(binary.LittleEndian.Uint32(header[:])), int(binary.LittleEndian.Uint32(header[4:]))
	r.buffer = slices.Grow(r.buffer[:0], k+n)[:k+n]
	if _, err := io.ReadFull(r.from, r.buffer); err != nil {
		return fmt.Errorf("read sorted run: %w", err)
	}
	r.key, r.rest = r.buffer[:k], r.buffer[k:]
	return nil
}

// A merge of runs has the least record on top; of the same key, that of the earlier run.
type merge []*run

func (m merge) Len() int      { return len(m) }
func (m merge) Swap(i, j int) { m[i], m[j] = m[j], m[i] }
func (m merge) Less(i, j int) bool {
	if order := bytes.Compare(m[i].key, m[j].key); order != 0 {
		return order < 0
	}
	return m[i].number < m[j].number
}
func (m *merge) Push(x any) { *m = append(*m, x.(*run)) }
func (m *merge) Pop() any {
	last := (*m)[len(*m)-1]
	*m = (*m)[:len(*m)-1]
	return last
}

// sortPart puts a part file in order. A server need not list in the order of the keys, though etcd does.
func sortPart(ctx context.Context, file string) (err error) {
	dir, err := os.MkdirTemp(filepath.Dir(file), "sort-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s := newSorter(dir, sortMemory)
	defer func() { err = errors.Join(err, s.close()) }()
	err = eachLine(file, func(line []byte) error {
		raw, err := parseEntry(line)
		if err != nil {
			return err
		}
		return cmp.Or(ctx.Err(), s.add(raw.key, append(line, '\n')))
	})
	if err != nil {
		return fmt.Errorf("sort list: %w", err)
	}
	next, err := s.sorted()
	if err != nil {
		return err
	}
	w, err := createPart(file + ".sorted")
	if err != nil {
		return err
	}
	defer w.Abandon()
	var last []byte
	for {
		key, line, err := next()
		if err == io.EOF {
			break
		}
		if err == nil && last != nil && bytes.Equal(last, key) {
			err = fmt.Errorf("list has object %s twice", key)
		}
		if err != nil {
			return err
		}
		last = append(last[:0], key...)
		if err := w.write(line); err != nil {
			return err
		}
	}
	if err := w.closePart(); err != nil {
		return err
	}
	return os.Rename(file+".sorted", file)
}
