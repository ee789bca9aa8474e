package replica

import (
	"context"
	"errors"
	"strings"
)

// Survey lists what the local tree has and what was agreed on last has not, for a
// replica that is not pushed now: without the store, and with the paths at which
// something waits to be placed. A replica that is not open is looked at as it lies
// there, and nothing is made. With another lineage than the base's (the head's, if it
// is known) nothing counts as agreed on.
func (r *Replica) Survey(ctx context.Context, lineage string) (*Changes, error) {
	if r.base == nil || r.root == nil {
		if err := r.peer(lineage); err != nil {
			return nil, err
		}
		defer func() {
			r.Close()
			r.base = nil
		}()
	}
	r.surveying = true
	defer func() { r.surveying = false }()
	return r.Scan(ctx)
}

// peer opens the tree and its base for reading.
func (r *Replica) peer(lineage string) error {
	base, err := LoadBase(r.Dir())
	switch {
	case errors.Is(err, ErrNoBase), err == nil && lineage != "" && base.Header.Lineage != lineage:
		base = NewBase(r.Dir(), Header{})
	case err != nil:
		return err
	}
	root, err := r.openRoot()
	if err != nil {
		return err
	}
	r.Close()
	r.root, r.base = root, base
	return nil
}

// RepositoryOf gives the git directory that a path of a shadow is of, below the
// replica's root.
func RepositoryOf(path string) (dir string, ok bool) {
	if !GitRow(path) || path == gitDir {
		return "", false
	}
	below := "/" + strings.TrimPrefix(path, gitDir+"/") + "/"
	before, _, found := strings.Cut(below, "/.git/")
	if !found {
		return strings.Trim(below, "/"), true
	}
	return strings.TrimPrefix(before+"/.git", "/"), true
}

// awaited reports whether what is seen at a path says nothing, because a placement is
// to come there. A survey asks what is here all the same.
func (r *Replica) awaited(path string) bool { return !r.surveying && r.unplaced(path) }
