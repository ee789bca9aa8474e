package devcontainer

import (
	"context"
	"slices"
	"strings"
)

// Remove removes a container that does not run, with the volumes of it that have no name.
func (t Tools) Remove(ctx context.Context, c Container) error {
	_, err := t.output(ctx, "rm", "--volumes", c.ID)
	return err
}

// RemoveVolume removes a volume. One that another container has stays, and is an error.
func (t Tools) RemoveVolume(ctx context.Context, name string) error {
	_, err := t.output(ctx, "volume", "rm", name)
	return err
}

// HasVolume reports whether there is a volume of a name.
func (t Tools) HasVolume(ctx context.Context, name string) (bool, error) {
	out, err := t.output(ctx, "volume", "ls", "--quiet", "--filter", "name="+name) // a part of the name
	return slices.Contains(strings.Fields(string(out)), name), err
}
