// Package images makes the container images that clusters of the provider kind need, for machines that can pull none: out of the toolchain's pinned
// modules, of Debian's packages, and of the files that kind's own base image is made of. Each carries a label with a digest of what it was made of.
//
// To add an image, add a recipe to the table in recipes.go.
package images

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/restore-drill/restore-drill/internal/engine"
	"github.com/restore-drill/restore-drill/internal/toolchain"
)

// MadeOf is the label of an image with the digest of what it was made of.
const MadeOf = "restoredrill.io/made-of"

// building is the label, with the name of a node image, of what is only there while that is made.
const building = "restoredrill.io/building"

// States of an image.
const (
	// Missing: the engine has none of that name.
	Missing State = "missing"
	// Current: made by Build, of what Build would make it of now.
	Current State = "built"
	// Outdated: made by Build, of something else.
	Outdated State = "outdated"
	// Foreign: not made by Build, but pulled, loaded, or made by others.
	Foreign State = "there"
)

// A State of an image in the engine.
type State string

// An Image that clusters need, and how it stands in the engine.
type Image struct {
	// Ref is its full name, with the tag.
	Ref string `json:"ref"`
	// For is what it is there for.
	For   string `json:"for"`
	State State  `json:"state"`
	// Size in bytes, unpacked; 0 where it is missing.
	Size int64 `json:"size,omitempty"`
}

// Refs are the names of all images, the node's first.
func Refs() (refs []string) {
	for _, r := range table() {
		refs = append(refs, r.ref)
	}
	return refs
}

// NodeRef is the name of the image of a node with a version of Kubernetes, as kind calls it.
func NodeRef(kubernetesVersion string) string { return "kindest/node:" + kubernetesVersion }

// List tells of each image how it stands in the engine.
func List(ctx context.Context, e *engine.Engine) ([]Image, error) { return list(ctx, e, "") }

func list(ctx context.Context, e *engine.Engine, prefix string) (all []Image, err error) {
	for _, r := range table() {
		i := Image{Ref: prefix + r.ref, For: r.purpose, State: Missing}
		found, err := e.Image(ctx, i.Ref)
		if err != nil {
			return nil, err
		}
		if found != nil {
			i.Size = found.Size
			if i.State, err = r.state(found.Labels[MadeOf]); err != nil {
				return nil, err
			}
		}
		all = append(all, i)
	}
	return all, nil
}

// state of an image with the label madeOf.
func (r recipe) state(madeOf string) (State, error) {
	want, err := r.digest()
	switch {
	case err != nil:
		return "", err
	case madeOf == "":
		return Foreign, nil
	case madeOf != want:
		return Outdated, nil
	}
	return Current, nil
}

// digest of everything that decides what the image is.
func (r recipe) digest() (string, error) {
	pins, err := toolchain.Pins("", r.components()...)
	if err != nil {
		return "", err
	}
	parts := []any{r.ref, r, pins}
	if r.node || r.needsRoot() {
		parts = append(parts, suite, packages)
	}
	if r.node {
		var ingredients []string
		for _, baked := range nodeImages() {
			digest, err := baked.digest()
			if err != nil {
				return "", err
			}
			ingredients = append(ingredients, digest)
		}
		content, err := embedded()
		if err != nil {
			return "", err
		}
		parts = append(parts, ingredients, content, disabled, enabled)
	}
	text, err := json.Marshal(parts)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// components that the image is made of, each once, those of the images inside a node too.
func (r recipe) components() (names []string) {
	for _, p := range r.Programs {
		names = append(names, p.Component)
	}
	if r.node {
		names = append(names, "kind")
		for _, baked := range nodeImages() {
			names = append(names, baked.components()...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func find(ref string) (recipe, error) {
	var known []string
	for _, r := range table() {
		if r.ref == ref {
			return r, nil
		}
		known = append(known, r.ref)
	}
	return recipe{}, fmt.Errorf("%w image %q (want %s)", toolchain.ErrUnknown, ref, strings.Join(known, ", "))
}
