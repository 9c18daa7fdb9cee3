package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// An Image is one that the engine has.
type Image struct {
	// ID is the digest of its configuration, sha256:...
	ID     string
	Labels map[string]string
	// Size in bytes of its layers, unpacked.
	Size int64
}

// Image looks an image up; nil when the engine has none of that name.
func (e *Engine) Image(ctx context.Context, ref string) (*Image, error) {
	out, err := e.Do(ctx, "image", "inspect", ref)
	if err != nil {
		if notThere(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("look for image %s: %w", ref, err)
	}
	var found []struct {
		ID     string `json:"Id"`
		Size   int64
		Config struct{ Labels map[string]string }
	}
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		return nil, fmt.Errorf("look for image %s: %w", ref, err)
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("look for image %s: %d images have that name", ref, len(found))
	}
	return &Image{ID: found[0].ID, Size: found[0].Size, Labels: found[0].Config.Labels}, nil
}

// notThere tells whether a command failed because what it names is not there.
func notThere(err error) bool {
	var failed *CommandError
	if !errors.As(err, &failed) {
		return false
	}
	said := strings.ToLower(failed.Said)
	for _, phrase := range []string{"no such ", "image not known", "no container with name", "not found", "unable to find"} {
		if strings.Contains(said, phrase) {
			return true
		}
	}
	return false
}

// Load takes the images of an archive, with their names, in the layout of docker save.
func (e *Engine) Load(ctx context.Context, archive io.Reader) error {
	if _, err := e.Pipe(ctx, archive, "load"); err != nil {
		return fmt.Errorf("load images: %w", err)
	}
	return nil
}

// Save writes images with their names to a file, in the layout that Load takes.
func (e *Engine) Save(ctx context.Context, file string, refs ...string) error {
	args := []string{"save", "--output", file}
	if e.Name == "podman" && len(refs) > 1 {
		args = append(args, "--multi-image-archive")
	}
	if _, err := e.Do(ctx, append(args, refs...)...); err != nil {
		return fmt.Errorf("save images %s: %w", strings.Join(refs, ", "), err)
	}
	return nil
}

// Import makes an image of one file system, a tar archive, with the changes, which are instructions of a Dockerfile, and returns its ID. Without
// a name it has only that.
func (e *Engine) Import(ctx context.Context, tar io.Reader, ref string, changes ...string) (id string, err error) {
	args := []string{"import"}
	for _, change := range changes {
		args = append(args, "--change", change)
	}
	if args = append(args, "-"); ref != "" {
		args = append(args, ref)
	}
	out, err := e.Pipe(ctx, tar, args...)
	if err != nil {
		return "", fmt.Errorf("import image: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// Build makes an image of a directory with a Dockerfile, and pulls nothing that is there.
func (e *Engine) Build(ctx context.Context, dir, ref string, labels map[string]string) error {
	args := append([]string{"build", "--tag", ref}, labelArguments(labels)...)
	if _, err := e.Do(ctx, append(args, dir)...); err != nil {
		return fmt.Errorf("build image %s: %w", ref, err)
	}
	return nil
}

// Tag gives an image another name. One that had the name loses it.
func (e *Engine) Tag(ctx context.Context, image, ref string) error {
	if _, err := e.Do(ctx, "tag", image, ref); err != nil {
		return fmt.Errorf("tag image %s: %w", ref, err)
	}
	return nil
}

// Pull fetches an image from its registry.
func (e *Engine) Pull(ctx context.Context, ref string) error {
	if _, err := e.Do(ctx, "pull", "--quiet", ref); err != nil {
		return fmt.Errorf("pull image %s: %w", ref, err)
	}
	return nil
}

// RemoveImage takes a name from an image, and the image away where it has no other. One that is not there is removed already.
func (e *Engine) RemoveImage(ctx context.Context, ref string) error {
	if _, err := e.Do(ctx, "image", "rm", ref); err != nil && !notThere(err) {
		return fmt.Errorf("remove image %s: %w", ref, err)
	}
	return nil
}

// RemoveImagesLabelled removes every image with a label, NAME or NAME=VALUE, with all its names.
func (e *Engine) RemoveImagesLabelled(ctx context.Context, label string) error {
	out, err := e.Do(ctx, "image", "ls", "--quiet", "--no-trunc", "--filter", "label="+label)
	if err != nil {
		return fmt.Errorf("list images with the label %s: %w", label, err)
	}
	var errs []error
	for _, id := range strings.Fields(out) {
		if _, err := e.Do(ctx, "image", "rm", "--force", id); err != nil && !notThere(err) {
			errs = append(errs, fmt.Errorf("remove image %s: %w", id, err))
		}
	}
	return errors.Join(errs...)
}
