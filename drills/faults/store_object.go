package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/restore-drill/restore-drill/drills/backups"
	"github.com/restore-drill/restore-drill/internal/objectstore"
)

// errNoStore is what a fault of the object store says where there is none.
var errNoStore = errors.New("there is no object store: the backup method is not velero")

// velero is the method, where it is that.
func (s *Scene) velero() (*backups.Velero, error) {
	method, ok := s.Method.(*backups.Velero)
	if !ok || method.Store() == nil {
		return nil, errNoStore
	}
	return method, nil
}

// stored returns the object store, and the keys in it that belong to the chosen backup and have a base name that matches the pattern; * and NAME
// stand for what package path says, and for the backup's name.
func (s *Scene) stored(pattern string) (*objectstore.Store, []string, error) {
	method, err := s.velero()
	if err != nil {
		return nil, nil, err
	}
	if len(s.Artifacts) == 0 {
		return nil, nil, errNoArtifact
	}
	artifact := s.Artifacts[s.Chosen]
	var keys []string
	for key := range artifact.Objects {
		match, err := path.Match(strings.ReplaceAll(pattern, "NAME", artifact.Facts["backup"]), path.Base(key))
		if err != nil {
			return nil, nil, fmt.Errorf("object %q: %w", pattern, err)
		}
		if match {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, nil, fmt.Errorf("the backup has no object %s in its bucket", pattern)
	}
	slices.Sort(keys)
	return method.Store(), keys, nil
}

// there counts the keys whose objects are there, and those among them that are as they were recorded.
func (s *Scene) there(ctx context.Context, store *objectstore.Store, keys []string) (there, intact int, err error) {
	objects, err := store.Objects(ctx)
	if err != nil {
		return 0, 0, err
	}
	for _, o := range objects {
		if slices.Contains(keys, o.Key) {
			there++
			if s.Artifacts[s.Chosen].Objects[o.Key].SHA256 == o.SHA256 {
				intact++
			}
		}
	}
	return there, intact, nil
}

// StoreObjectRemoved is a bucket's lifecycle rule, or somebody who tidied up: objects of the backup are gone, and nobody told Velero.
type StoreObjectRemoved struct {
	// Object is the base name of what is removed, in which NAME stands for the backup's name and * for anything; default velero-backup.json, without
	// which no other Velero finds the backup.
	Object string `json:"object,omitempty"`
}

// Name in the catalogue.
func (*StoreObjectRemoved) Name() string { return "store-object-removed" }

// Strikes the artifact.
func (*StoreObjectRemoved) Strikes() Target { return Artifact }

// Destroys in one sentence.
func (f *StoreObjectRemoved) Destroys() string {
	return "The backup's " + f.Object + " is removed from its bucket."
}

// Inject removes the files that hold the objects.
func (f *StoreObjectRemoved) Inject(_ context.Context, s *Scene) error {
	store, keys, err := s.stored(f.Object)
	if err != nil {
		return err
	}
	var errs []error
	for _, key := range keys {
		errs = append(errs, os.Remove(store.Path(key)))
	}
	return errors.Join(errs...)
}

// Visible when none of the objects is there.
func (f *StoreObjectRemoved) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	store, keys, err := s.stored(f.Object)
	if err != nil {
		return Sighting{}, err
	}
	there, _, err := s.there(ctx, store, keys)
	return Sighting{Visible: err == nil && there == 0, Detail: fmt.Sprintf("%d of %d objects %s are in the bucket", there, len(keys), f.Object)}, err
}

// StoreObjectDamaged is bit rot in the bucket, or an upload that was cut off: Velero keeps no digest of what it stored.
type StoreObjectDamaged struct {
	// Object is the base name of what is damaged, in which NAME stands for the backup's name; default NAME.tar.gz, the objects themselves.
	Object string `json:"object,omitempty"`
	// Percent of it that are left; the rest is cut off. Default 50.
	Percent int `json:"percent,omitempty"`
}

// Name in the catalogue.
func (*StoreObjectDamaged) Name() string { return "store-object-damaged" }

// Strikes the artifact.
func (*StoreObjectDamaged) Strikes() Target { return Artifact }

// Validate the parameters.
func (f *StoreObjectDamaged) Validate() error {
	if f.Percent < 0 || f.Percent > 99 {
		return fmt.Errorf("percent: %d is out of range: want 0 to 99", f.Percent)
	}
	return nil
}

// Destroys in one sentence.
func (f *StoreObjectDamaged) Destroys() string {
	return fmt.Sprintf("The backup's %s in the bucket is cut off at %d %%.", f.Object, f.Percent)
}

// Inject cuts the files that hold the objects.
func (f *StoreObjectDamaged) Inject(_ context.Context, s *Scene) error {
	store, keys, err := s.stored(f.Object)
	if err != nil {
		return err
	}
	var errs []error
	for _, key := range keys {
		errs = append(errs, os.Truncate(store.Path(key), s.Artifacts[s.Chosen].Objects[key].Bytes*int64(f.Percent)/100))
	}
	return errors.Join(errs...)
}

// Visible when the objects are there, and none is as it was recorded when the backup was taken.
func (f *StoreObjectDamaged) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	store, keys, err := s.stored(f.Object)
	if err != nil {
		return Sighting{}, err
	}
	there, intact, err := s.there(ctx, store, keys)
	return Sighting{
		Visible: err == nil && there == len(keys) && intact == 0,
		Detail:  fmt.Sprintf("%d of %d objects %s are in the bucket, %d as they were taken", there, len(keys), f.Object, intact),
	}, err
}
