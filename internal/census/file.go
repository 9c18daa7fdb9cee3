package census

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
)

// zstdWindow bounds what (de)compression holds. Neighbouring objects resemble each other, so that a small one compresses well.
const zstdWindow = 512 << 10

func newEncoder(w io.Writer) (*zstd.Encoder, error) {
	return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(zstdWindow))
}

func newDecoder(r io.Reader) (*zstd.Decoder, error) {
	return zstd.NewReader(bufio.NewReaderSize(r, 64<<10), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(8<<20))
}

// A Writer makes a census file. Until Close has returned nil, the file is torn.
type Writer struct {
	file    *os.File
	buffer  *bufio.Writer
	encoder *zstd.Encoder
	line    []byte
	lastKey []byte
	entries int
	err     error
}

// Create makes a census file, readable by its owner alone, in place of one that is there.
func Create(file string, head Head) (*Writer, error) {
	head.Schema = Schema
	w, err := createPart(file)
	if err != nil {
		return nil, err
	}
	if err := w.json(head); err != nil {
		return nil, errors.Join(err, w.file.Close())
	}
	return w, nil
}

// createPart makes a file of entries alone. Parts may be joined byte by byte.
func createPart(file string) (*Writer, error) {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create census: %w", err)
	}
	w := &Writer{file: f, buffer: bufio.NewWriterSize(f, 64<<10)}
	if w.encoder, err = newEncoder(w.buffer); err != nil {
		return nil, errors.Join(fmt.Errorf("create census: %w", err), f.Close())
	}
	return w, nil
}

func (w *Writer) json(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write census: %w", err)
	}
	return w.write(append(b, '\n'))
}

func (w *Writer) write(line []byte) error {
	if w.err == nil {
		if _, err := w.encoder.Write(line); err != nil {
			w.err = fmt.Errorf("write census %s: %w", w.file.Name(), err)
		}
	}
	return w.err
}

// Write adds an entry. Keys must ascend; e.Object must be in canonical form.
func (w *Writer) Write(e Entry) error {
	w.line = w.line[:0]
	for i, field := range [...]struct {
		name, value string
		always      bool
	}{
		{`{"key":`, e.Key, true}, {`,"version":`, e.Version, true}, {`,"kind":`, e.Kind, true}, {`,"namespace":`, e.Namespace, false},
		{`,"name":`, e.Name, true}, {`,"digest":`, e.Digest, true}, {`,"resourceVersion":`, e.ResourceVersion, false},
	} {
		if i == 0 || field.always || field.value != "" {
			w.line = append(w.line, field.name...)
			w.line = appendString(w.line, field.value)
		}
	}
	if w.err == nil && w.entries > 0 && string(w.lastKey) >= e.Key {
		w.err = fmt.Errorf("write census: key %q does not come after %q", e.Key, w.lastKey)
	}
	return w.add(e.Key, e.Object)
}

// add ends the line with the object and writes it.
func (w *Writer) add(key string, object []byte) error {
	w.lastKey = append(w.lastKey[:0], key...)
	w.entries++
	if len(object) > 0 {
		w.line = append(append(w.line, `,"object":`...), object...)
	}
	w.line = append(w.line, '}', '\n')
	return w.write(w.line)
}

// Close writes the Tail, with its End and Entries filled in, and closes the file. After an error the file is torn.
func (w *Writer) Close(tail Tail) (Tail, error) {
	tail.End, tail.Entries = true, w.entries
	if tail.Resources == nil {
		tail.Resources = []string{}
	}
	if err := w.json(tail); err != nil {
		return Tail{}, errors.Join(err, w.file.Close())
	}
	if err := w.closePart(); err != nil {
		return Tail{}, err
	}
	return tail, nil
}

// closePart closes the file without a Tail.
func (w *Writer) closePart() error {
	err := w.err
	if err == nil {
		err = errors.Join(w.encoder.Close(), w.buffer.Flush())
		if err != nil {
			err = fmt.Errorf("write census %s: %w", w.file.Name(), err)
		}
	}
	if e := w.file.Close(); e != nil && err == nil {
		err = fmt.Errorf("write census: %w", e)
	}
	w.err = errors.Join(err, errClosed)
	return err
}

var errClosed = errors.New("write census: it is closed")

// Abandon closes the file as it is: torn. It does nothing after Close.
func (w *Writer) Abandon() { w.file.Close() }

// maxLine bounds a line of a census file: far above the largest object that etcd stores.
const maxLine = 64 << 20

// A Reader reads a census file.
type Reader struct {
	name    string
	file    *os.File
	decoder *zstd.Decoder
	lines   *bufio.Reader
	long    []byte
	head    Head
	tail    Tail
	key     []byte
	entries int
	err     error
}

// Open opens a census file and reads its Head.
func Open(file string) (*Reader, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("open census: %w", err)
	}
	r := &Reader{name: file, file: f}
	if r.decoder, err = newDecoder(f); err != nil {
		return nil, errors.Join(fmt.Errorf("open census %s: %w", file, err), f.Close())
	}
	r.lines = bufio.NewReaderSize(r.decoder, 64<<10)
	line, err := r.line()
	if err == nil {
		err = json.Unmarshal(line, &r.head)
	}
	if err == nil && r.head.Schema != Schema {
		err = fmt.Errorf("its schema is %q, want %q", r.head.Schema, Schema)
	}
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("open census %s: %w", file, torn(err))
	}
	return r, nil
}

// torn tells the end of a file from the end of a census.
func torn(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it is torn: the end is missing")
	}
	return err
}

// Head of the file.
func (r *Reader) Head() Head { return r.head }

// Tail of the file. It is the zero Tail until Next has returned io.EOF.
func (r *Reader) Tail() Tail { return r.tail }

// Close closes the file. It may be called twice.
func (r *Reader) Close() error {
	r.decoder.Close()
	if r.err == nil {
		r.err = fmt.Errorf("read census %s: it is closed", r.name)
	}
	if err := r.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("close census: %w", err)
	}
	return nil
}

// line returns the next line without its end, valid until the next call.
func (r *Reader) line() ([]byte, error) {
	line, err := r.lines.ReadSlice('\n')
	if err == nil {
		return line[:len(line)-1], nil
	}
	r.long = append(r.long[:0], line...)
	for errors.Is(err, bufio.ErrBufferFull) {
		if len(r.long) > maxLine {
			return nil, fmt.Errorf("a line is longer than %d bytes", maxLine)
		}
		line, err = r.lines.ReadSlice('\n')
		r.long = append(r.long, line...)
	}
	if err != nil {
		return nil, err
	}
	return r.long[:len(r.long)-1], nil
}

// eachLine reads the entries of a part, each of which is valid until the next. There is room for a newline behind it.
func eachLine(part string, each func(line []byte) error) error {
	f, err := os.Open(part)
	if err != nil {
		return err
	}
	defer f.Close()
	decoder, err := newDecoder(f)
	if err != nil {
		return err
	}
	defer decoder.Close()
	r := &Reader{lines: bufio.NewReaderSize(decoder, 64<<10)}
	for {
		line, err := r.line()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = each(line)
		}
		if err != nil {
			return err
		}
	}
}

// Next returns the next entry, or io.EOF when a valid Tail ends the file. Any other error is final.
func (r *Reader) Next() (Entry, error) {
	raw, err := r.next()
	if err != nil {
		return Entry{}, err
	}
	return raw.entry()
}

// next is Next without decoding.
func (r *Reader) next() (rawEntry, error) {
	if r.err != nil {
		return rawEntry{}, r.err
	}
	raw, err := r.read()
	if err != nil {
		if err != io.EOF {
			err = fmt.Errorf("read census %s: after %d entries: %w", r.name, r.entries, torn(err))
		}
		r.err = err
	}
	return raw, err
}

var tailStart = []byte(`{"end":`)

func (r *Reader) read() (rawEntry, error) {
	line, err := r.line()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return rawEntry{}, err
	}
	if bytes.HasPrefix(line, tailStart) {
		var tail Tail
		if err := json.Unmarshal(line, &tail); err != nil {
			return rawEntry{}, fmt.Errorf("the tail: %w", err)
		}
		if !tail.End || tail.Entries != r.entries {
			return rawEntry{}, fmt.Errorf("the tail counts %d entries", tail.Entries)
		}
		if _, err := r.lines.ReadByte(); err == nil {
			return rawEntry{}, errors.New("there is more behind the tail")
		} else if err != io.EOF {
			return rawEntry{}, err
		}
		r.tail = tail
		return rawEntry{}, io.EOF
	}
	raw, err := parseEntry(line)
	if err != nil {
		return rawEntry{}, err
	}
	if r.entries > 0 && bytes.Compare(r.key, raw.key) >= 0 {
		return rawEntry{}, fmt.Errorf("key %s does not come after %s", raw.key, r.key)
	}
	r.key = append(r.key[:0], raw.key...)
	r.entries++
	return raw, nil
}

// A rawEntry is a line with what a comparison needs picked out of it: key, kind and digest, unquoted. It is valid until
// the next one is read.
type rawEntry struct{ line, key, kind, digest []byte }

// parseEntry reads the fields in the order in which Writer writes them.
func parseEntry(line []byte) (rawEntry, error) {
	raw := rawEntry{line: line}
	rest, ok := line, true
	for _, field := range [...]struct {
		name string
		into *[]byte
	}{{`{"key":"`, &raw.key}, {`,"version":"`, nil}, {`,"kind":"`, &raw.kind}, {`,"namespace":"`, nil}, {`,"name":"`, nil}, {`,"digest":"`, &raw.digest}} {
		if len(rest) < len(field.name) || string(rest[:len(field.name)]) != field.name {
			ok = ok && field.name == `,"namespace":"`
			continue
		}
		rest = rest[len(field.name):]
		n := bytes.IndexByte(rest, '"')
		if n < 0 || bytes.IndexByte(rest[:n], '\\') >= 0 {
			ok = false
			break
		}
		if field.into != nil {
			*field.into = rest[:n]
		}
		rest = rest[n+1:]
	}
	if ok && len(raw.key) > 0 && len(raw.digest) > 0 {
		return raw, nil
	}
	var e Entry // a name that needs escapes
	if err := json.Unmarshal(line, &e); err != nil {
		return rawEntry{}, fmt.Errorf("an entry: %w", err)
	}
	if e.Key == "" || e.Digest == "" {
		return rawEntry{}, errors.New("an entry has no key or no digest")
	}
	raw.key, raw.kind, raw.digest = []byte(e.Key), []byte(e.Kind), []byte(e.Digest)
	return raw, nil
}

func (r rawEntry) entry() (Entry, error) {
	var e Entry
	if err := json.Unmarshal(r.line, &e); err != nil {
		return Entry{}, fmt.Errorf("read census entry %s: %w", r.key, err)
	}
	return e, nil
}
