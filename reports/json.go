package reports

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"
)

// WriteJSON writes report.json: indented, byte for byte the same for the same report, without null where the schema has a
// list. The report's Schema is always written as SchemaVersion.
func WriteJSON(w io.Writer, r *Report) error {
	if r == nil {
		return errors.New("write report: there is none")
	}
	doc := complete(reflect.ValueOf(*r)).Interface().(Report)
	doc.Schema = SchemaVersion
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(doc); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// ReadJSON reads what WriteJSON wrote. It refuses another version of the schema, a field that it does not know, and
// whatever follows the document: a report that is understood in part could hide what it says.
func ReadJSON(r io.Reader) (*Report, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	var head struct {
		Schema  *string          `json:"schema"`
		Verdict *json.RawMessage `json:"verdict"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, fmt.Errorf("read report: %w", position(b, err))
	}
	switch {
	case head.Schema == nil:
		return nil, fmt.Errorf("read report: no schema field: this is not a report.json (want %s)", SchemaVersion)
	case *head.Schema != SchemaVersion:
		return nil, fmt.Errorf("read report: it is written as %q, and this restore-drill reads %q: use the version that wrote it, or judge its run directory again", *head.Schema, SchemaVersion)
	case head.Verdict == nil:
		return nil, errors.New("read report: no verdict field")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var doc Report
	if err := d.Decode(&doc); err != nil {
		return nil, fmt.Errorf("read report: %w", position(b, err))
	}
	return &doc, nil
}

// position adds line and column to an error of encoding/json that knows its offset.
func position(b []byte, err error) error {
	var at int64
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		at = syntax.Offset
	case errors.As(err, &kind):
		at = kind.Offset
	default:
		return err
	}
	before := b[:min(max(at-1, 0), int64(len(b)))]
	return fmt.Errorf("line %d, column %d: %w", bytes.Count(before, []byte("\n"))+1, len(before)-bytes.LastIndexByte(before, '\n'), err)
}

// complete copies a value, with an empty list or map wherever a field that is always written has none.
func complete(v reflect.Value) reflect.Value {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return v
		}
		c := reflect.New(v.Type().Elem())
		c.Elem().Set(complete(v.Elem()))
		return c
	case reflect.Slice:
		if v.IsNil() {
			return v
		}
		c := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		for i := range v.Len() {
			c.Index(i).Set(complete(v.Index(i)))
		}
		return c
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return v
		}
		c := reflect.New(v.Type()).Elem()
		for i := range v.NumField() {
			field := complete(v.Field(i))
			if always := !strings.Contains(v.Type().Field(i).Tag.Get("json"), ",omitempty"); always {
				switch {
				case field.Kind() == reflect.Slice && field.IsNil():
					field = reflect.MakeSlice(field.Type(), 0, 0)
				case field.Kind() == reflect.Map && field.IsNil():
					field = reflect.MakeMap(field.Type())
				}
			}
			c.Field(i).Set(field)
		}
		return c
	}
	return v
}
