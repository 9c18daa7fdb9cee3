package evidence

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// ErrTorn is wrapped by the error of a reader when a file of JSON lines ends in the middle of a line, as a kill leaves it. The
// lines before are returned beside it; whether they are of use is for the caller to say, but never silently.
var ErrTorn = errors.New("the last line is torn: the writer was interrupted")

// ErrEmpty is wrapped by the error of a reader when a file is there and holds nothing: nothing was observed.
var ErrEmpty = errors.New("the file is empty")

// maxLine and maxJSON bound what a reader takes into memory, in bytes. A run directory may come from anywhere.
const (
	maxLine = 16 << 20
	maxJSON = 256 << 20
)

// ReadHeader reads drill.json. A format that this version does not know is an error.
func ReadHeader(dir string) (Header, error) {
	h, err := ReadJSON[Header](dir, HeaderFile)
	if err != nil {
		return Header{}, err
	}
	if h.Schema != HeaderSchema {
		return Header{}, fmt.Errorf("read %s: its format is %q, this version reads %q", HeaderFile, h.Schema, HeaderSchema)
	}
	return h, nil
}

// ReadTimeline reads the events in order. A torn last line gives the events before it and an error that wraps ErrTorn.
func ReadTimeline(dir string) ([]Event, error) {
	events, err := ReadLines[Event](dir, TimelineFile)
	for i, e := range events {
		if e.Kind == "" {
			return nil, fmt.Errorf("read %s: line %d is not an event: it has no kind", TimelineFile, i+1)
		}
	}
	return events, err
}

// ReadJSON reads one JSON document, and nothing after it.
func ReadJSON[T any](dir, name string) (T, error) {
	var v T
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return v, fmt.Errorf("read %s: %w", name, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxJSON+1))
	switch {
	case err != nil:
		return v, fmt.Errorf("read %s: %w", name, err)
	case len(b) > maxJSON:
		return v, fmt.Errorf("read %s: it is larger than %d bytes", name, maxJSON)
	case len(bytes.TrimSpace(b)) == 0:
		return v, fmt.Errorf("read %s: %w", name, ErrEmpty)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		var none T
		return none, fmt.Errorf("read %s: %w", name, err)
	}
	return v, nil
}

// ReadLines reads a file of JSON lines. A line that is no JSON is an error with its number; a torn last line gives the lines
// before it and an error that wraps ErrTorn; an empty file gives one that wraps ErrEmpty.
func ReadLines[T any](dir, name string) ([]T, error) {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	defer f.Close()
	var all []T
	for r, n := bufio.NewReader(f), 1; ; n++ {
		line, err := readLine(r)
		switch {
		case err == io.EOF && len(line) > 0:
			return all, fmt.Errorf("read %s: line %d: %w", name, n, ErrTorn)
		case err == io.EOF && n == 1:
			return nil, fmt.Errorf("read %s: %w", name, ErrEmpty)
		case err == io.EOF:
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("read %s: line %d: %w", name, n, err)
		}
		var v T
		if err := json.Unmarshal(line, &v); err != nil {
			return nil, fmt.Errorf("read %s: line %d: %w", name, n, err)
		}
		all = append(all, v)
	}
}

// readLine returns a line without its end, or what there is of it with io.EOF.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxLine {
			return nil, fmt.Errorf("it is longer than %d bytes", maxLine)
		}
		if err == bufio.ErrBufferFull {
			continue
		}
		if err != nil {
			return line, err
		}
		return line[:len(line)-1], nil
	}
}
