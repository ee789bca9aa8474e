// Package rewind decides what a replica's tree is when it is taken back: a new generation
// that equals an old one as far as that has a word on it. It is pure, and moves nothing.
package rewind

import (
	"errors"
	"fmt"
	"path"
	"slices"

	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/whole"
)

// Sides are the two generations of a replica that a rewind is made of, and how much of them
// it is about.
type Sides struct {
	Now, Then *store.Tree
	Filter    *filter.Filter // what the replica carries now
	Wholes    whole.Kinds    // that the replica has now
	Under     string         // a path: what is at it and below is taken back; "" for all
}

// Rewound is the tree that a rewind leads to.
type Rewound struct {
	Entries []tree.Entry // sorted
	Count   Count
}

// Count says how a tree differs from the one that is there now. Directories do not count, and
// of a whole each file of its shadow does.
type Count struct {
	Added, Changed, Removed int
	Lost                    int  // of Removed, those that are files of the tree itself
	Same                    bool // nothing differs, directories and times included
}

// ErrNotThere is returned where neither generation has anything at a path.
var ErrNotThere = errors.New("there is nothing at that path, now or then")

// Tree is what the replica's tree becomes. What the old generation did not carry, or the
// replica does not carry now, stays as it is: of it the old generation says nothing. So do
// the versions that were kept aside in conflicts.
func (s Sides) Tree() (Rewound, error) {
	theirs, err := filter.Compile(s.Then.Filters)
	if err != nil {
		return Rewound{}, fmt.Errorf("cannot use the filters of that generation: %w", err)
	}
	if err := s.checkPath(); err != nil {
		return Rewound{}, err
	}
	taken := func(e *tree.Entry) bool { return s.about(e.Path) && s.carried(s.Filter, e) && s.carried(theirs, e) }
	back := pick(s.Then.Entries, func(e *tree.Entry) bool { return taken(e) || s.leads(e) })
	stays := pick(s.Now.Entries, func(e *tree.Entry) bool {
		at := tree.Find(back, e.Path)
		return (at == nil || s.leads(at)) && !taken(e) && room(back, e.Path)
	})
	back = pick(back, func(e *tree.Entry) bool { return !s.leads(e) || tree.Find(stays, e.Path) == nil })
	r := Rewound{Entries: slices.Concat(back, stays, s.above(back, stays))}
	tree.Sort(r.Entries)
	r.Count = count(s.Now.Entries, r.Entries)
	return r, nil
}

// above are the directories of now that what stays lies in, and that nothing else has.
func (s Sides) above(back, stays []tree.Entry) (dirs []tree.Entry) {
	added := map[string]bool{}
	for i := range stays {
		for dir := range tree.Parents(stays[i].Path) {
			e := tree.Find(s.Now.Entries, dir)
			if e != nil && !added[dir] && tree.Find(back, dir) == nil && tree.Find(stays, dir) == nil {
				added[dir] = true
				dirs = append(dirs, *e)
			}
		}
	}
	return dirs
}

// checkPath says why a path cannot be taken back by itself.
func (s Sides) checkPath() error {
	if s.Under == "" {
		return nil
	}
	if tree.Within(s.Under, localfs.Dir) {
		return fmt.Errorf("cannot rewind %q: it is coltecd's own", s.Under)
	}
	there := false
	for _, side := range [][]tree.Entry{s.Now.Entries, s.Then.Entries} {
		if at := s.Wholes.Shadowed(side, s.Under); at != "" && at != s.Under {
			return hint.Wrap(fmt.Errorf("cannot rewind %q: it is part of %q, which is only valid as a whole", s.Under, at), "rewind %q", at)
		}
		there = there || slices.ContainsFunc(side, func(e tree.Entry) bool { return s.about(e.Path) })
	}
	if !there {
		return fmt.Errorf("cannot rewind %q: %w", s.Under, ErrNotThere)
	}
	for dir := range tree.Parents(s.Under) {
		if e := tree.Find(s.Now.Entries, dir); e != nil && e.Kind != tree.Dir {
			return hint.Wrap(fmt.Errorf("cannot rewind %q: %q is no directory now", s.Under, dir), "rewind %q", dir)
		}
	}
	return nil
}

// about reports whether a row is among what is taken back: by where it lies, or by where the
// whole lies that it belongs to.
func (s Sides) about(p string) bool {
	if tree.Within(p, localfs.Dir) {
		at, ok := s.Wholes.Of(p)
		return ok && (s.Under == "" || tree.Within(at, s.Under))
	}
	return s.Under == "" || tree.Within(p, s.Under)
}

// leads reports whether a row is a directory above the path that is taken back: where it is
// missing now, it comes along.
func (s Sides) leads(e *tree.Entry) bool {
	return s.Under != "" && e.Kind == tree.Dir && e.Path != s.Under && tree.Within(s.Under, e.Path)
}

// carried reports whether a filter lets a row through, of a whole: the whole itself.
func (s Sides) carried(f *filter.Filter, e *tree.Entry) bool {
	if !tree.Within(e.Path, localfs.Dir) {
		return f.Carries(e.Path, e.Kind == tree.Dir)
	}
	at, _ := s.Wholes.Of(e.Path)
	for _, kind := range s.Wholes {
		if l := kind.Layout(); l.Content && tree.Within(e.Path, l.Dir) && !f.Carries(at, false) {
			return false
		}
	}
	dir := path.Dir(at)
	return dir == "." || f.Carries(dir, true)
}

// pick gives those entries that a rule keeps.
func pick(entries []tree.Entry, keep func(*tree.Entry) bool) []tree.Entry {
	var out []tree.Entry
	for i := range entries {
		if keep(&entries[i]) {
			out = append(out, entries[i])
		}
	}
	return out
}

// room reports whether nothing but directories is above a path.
func room(entries []tree.Entry, p string) bool {
	for dir := range tree.Parents(p) {
		if e := tree.Find(entries, dir); e != nil && e.Kind != tree.Dir {
			return false
		}
	}
	return true
}

// count counts how the next tree differs from the one now.
func count(now, next []tree.Entry) Count {
	c := Count{Same: true}
	note := func(is bool, n *int, e *tree.Entry) {
		if is {
			c.Same = false
			if e.Kind != tree.Dir {
				*n++
			}
		}
	}
	for i := range next {
		e := &next[i]
		was := tree.Find(now, e.Path)
		note(was == nil, &c.Added, e)
		note(was != nil && !was.Same(e), &c.Changed, e)
	}
	for i := range now {
		e := &now[i]
		gone := tree.Find(next, e.Path) == nil
		note(gone, &c.Removed, e)
		if gone && e.Kind != tree.Dir && !tree.Within(e.Path, localfs.Dir) {
			c.Lost++
		}
	}
	return c
}
