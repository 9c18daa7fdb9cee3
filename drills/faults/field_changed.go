package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// FieldChanged is one field of one object that a restore brought back with another value, as a default that has changed or a conversion that loses
// something does. A count of objects does not see it.
type FieldChanged struct {
	// APIVersion of the object, for example apps/v1; default v1.
	APIVersion string `json:"apiVersion,omitempty"`
	// Kind of the object; default ConfigMap.
	Kind string `json:"kind,omitempty"`
	// Namespace of the object, without meaning for a kind that has none; default shop.
	Namespace string `json:"namespace,omitempty"`
	// Object is its name; default web-settings.
	Object string `json:"name,omitempty"`
	// Path of the field, a JSON pointer; default /data/LOG_LEVEL.
	Path string `json:"path,omitempty"`
	// Value that the field gets; default sabotaged.
	Value json.RawMessage `json:"value,omitempty"`
	// Remove the field instead of giving it a value; default false.
	Remove bool `json:"remove,omitempty"`
	// At is the moment: in the restored cluster (the default), or at the source, or, seeded, there before it is backed up, or in the empty new one.
	At string `json:"at,omitempty"`
}

// Name in the catalogue.
func (*FieldChanged) Name() string { return "field-changed" }

// Strikes at the moment that was asked for.
func (f *FieldChanged) Strikes() Target { return moments[f.At] }

// Destroys in one sentence.
func (f *FieldChanged) Destroys() string {
	if f.Remove {
		return fmt.Sprintf("Field %s of %s in the %s is removed.", f.Path, place(f.Kind, f.Namespace, f.Object), f.Strikes())
	}
	return fmt.Sprintf("Field %s of %s in the %s is set to %s.", f.Path, place(f.Kind, f.Namespace, f.Object), f.Strikes(), f.Value)
}

// Validate the parameters.
func (f *FieldChanged) Validate() error {
	if !strings.HasPrefix(f.Path, "/") {
		return fmt.Errorf("path %q is no JSON pointer: it begins with a slash", f.Path)
	}
	if !json.Valid(f.Value) {
		return fmt.Errorf("value is missing")
	}
	return checkMoment(f.At)
}

// Inject patches the object.
func (f *FieldChanged) Inject(ctx context.Context, s *Scene) error {
	objects, err := s.objectsAt(f.Strikes(), f.APIVersion, f.Kind, f.Namespace)
	if err != nil {
		return err
	}
	operation := map[string]any{"op": "add", "path": f.Path, "value": f.Value}
	if f.Remove {
		operation = map[string]any{"op": "remove", "path": f.Path}
	}
	patch, err := json.Marshal([]map[string]any{operation})
	if err != nil {
		return err
	}
	if _, err = objects.Patch(ctx, f.Object, types.JSONPatchType, patch, metav1.PatchOptions{}); err != nil || f.Kind != "CustomResourceDefinition" {
		return err
	}
	return s.settle(ctx, f.Strikes(), f.Object)
}

// Visible when the field has the value.
func (f *FieldChanged) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	objects, err := s.objectsAt(f.Strikes(), f.APIVersion, f.Kind, f.Namespace)
	if err != nil {
		return Sighting{}, err
	}
	o, err := find(ctx, objects, f.Object)
	if err != nil {
		return Sighting{}, err
	}
	where := place(f.Kind, f.Namespace, f.Object)
	if o == nil {
		return Sighting{}, fmt.Errorf("%s is not there: it has no field to change", where)
	}
	// Both sides as JSON has them: the API's numbers are int64.
	raw, err := o.MarshalJSON()
	if err != nil {
		return Sighting{}, err
	}
	var object, want any
	if err := json.Unmarshal(raw, &object); err != nil {
		return Sighting{}, err
	}
	if err := json.Unmarshal(f.Value, &want); err != nil {
		return Sighting{}, err
	}
	got, there := follow(object, f.Path)
	if f.Remove {
		if there {
			return Sighting{Detail: fmt.Sprintf("field %s of %s is there", f.Path, where)}, nil
		}
		return Sighting{Visible: true, Detail: fmt.Sprintf("field %s of %s is not there", f.Path, where)}, nil
	}
	if !there || !reflect.DeepEqual(got, want) {
		return Sighting{Detail: fmt.Sprintf("field %s of %s is not %s", f.Path, where, f.Value)}, nil
	}
	return Sighting{Visible: true, Detail: fmt.Sprintf("field %s of %s is %s", f.Path, where, f.Value)}, nil
}

// follow a JSON pointer.
func follow(value any, pointer string) (any, bool) {
	for _, token := range strings.Split(pointer, "/")[1:] {
		token = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
		switch v := value.(type) {
		case map[string]any:
			next, ok := v[token]
			if !ok {
				return nil, false
			}
			value = next
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(v) {
				return nil, false
			}
			value = v[i]
		default:
			return nil, false
		}
	}
	return value, true
}
