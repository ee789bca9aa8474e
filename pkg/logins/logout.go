package logins

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/coltec/coltec/pkg/store"
)

// Remove removes the objects of agents from the bucket, of all where none is named, and says
// whose there were. It needs neither lease nor key: who holds the lease sees that they are
// gone. What a store keeps of older versions of an object stays there.
func Remove(ctx context.Context, root store.Bucket, workspace string, agents []string) (removed []string, err error) {
	found, err := root.List(ctx, Dir(workspace))
	if err != nil {
		return nil, fmt.Errorf("cannot list the logins in the bucket: %w", err)
	}
	var keys []string
	for _, o := range found {
		name, ok := strings.CutSuffix(o.Key, ".age")
		if !ok || strings.Contains(name, "/") || len(agents) > 0 && !slices.Contains(agents, name) {
			continue
		}
		removed = append(removed, name)
		keys = append(keys, path.Join(Dir(workspace), o.Key))
	}
	if len(keys) == 0 {
		return nil, nil
	}
	if err := root.Delete(ctx, keys); err != nil {
		return nil, fmt.Errorf("cannot remove logins from the bucket: %w", err)
	}
	return removed, nil
}

// Forget notes that the objects of agents are gone, so that what is here is not pushed again.
func (k *Keeper) Forget(agents []string) error {
	var errs []error
	for _, l := range k.all {
		if len(agents) > 0 && !slices.Contains(agents, l.Name) {
			continue
		}
		l.etag, l.known = "", version{}
		here, err := k.area.read(l.Files)
		r := k.area.recall(l.Name)
		r.Digest, r.Removed = digestOf(here), err != nil || len(here) > 0
		text := ""
		if r.Removed {
			text = offText
		}
		k.note(l, text)
		errs = append(errs, k.saw(l, r))
	}
	return errors.Join(errs...)
}

// RemoveLocal removes the login files of agents below a home, and those that are kept aside
// for a workspace.
func RemoveLocal(home, workspace string, agents []Agent) error {
	var errs []error
	for _, a := range agents {
		errs = append(errs, area{home, workspace}.forget(a))
	}
	return errors.Join(errs...)
}
