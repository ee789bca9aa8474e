package replica

import (
	"slices"

	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/tree"
)

// A directory that is still is one whose files are only valid together, and are carried as
// files: what a generation has of it has to be of one moment. So all that changed of it goes
// in one step, with what went, and before it goes the directory is compared with the base
// again: where that finds just what was staged, nothing happened in it between the first look
// and the last, and at that moment it was as it was read.

// inside reports whether a path is a directory or lies in it; "" is the root.
func inside(path, dir string) bool { return dir == "" || tree.Within(path, dir) }

// stillDirs are the directories of a tree that have to be still.
type stillDirs []string

// at is the one around a path that lies in no other such: those in it go with it, or not. ok is
// false where none is.
func (s stillDirs) at(path string) (dir string, ok bool) {
	for _, d := range s {
		if inside(path, d) && (!ok || len(d) < len(dir)) {
			dir, ok = d, true
		}
	}
	return dir, ok
}

// changesIn reports whether anything was found in a directory.
func (c *Changes) changesIn(dir string) bool {
	return slices.ContainsFunc(c.Edited, func(e Edit) bool { return inside(e.Path, dir) }) ||
		slices.ContainsFunc(c.Gone, func(e tree.Entry) bool { return inside(e.Path, dir) })
}

// without are the changes but those in directories that do not go now.
func (c *Changes) without(unseen []localfs.Unknown) *Changes {
	out := *c
	hidden := hiddenBy(unseen)
	in := func(e Edit) bool { return hidden(e.Path) }
	out.Edited = slices.DeleteFunc(slices.Clone(c.Edited), in)
	out.Touched = slices.DeleteFunc(slices.Clone(c.Touched), in)
	out.Gone = slices.DeleteFunc(slices.Clone(c.Gone), func(e tree.Entry) bool { return hidden(e.Path) })
	return &out
}

// gone are the deletions in them: they go with what else changed there, and nobody is asked,
// because a server removes files of its own as it likes. Who removes all of a directory is
// asked: then it is none any more.
func (s stillDirs) gone(staged *Staged) (out []tree.Entry) {
	waits := map[string]bool{}
	for i := range staged.Deferred {
		if dir, ok := s.at(staged.Deferred[i].Path); ok {
			waits[dir] = true
		}
	}
	for i := range staged.Found.Gone {
		if dir, ok := s.at(staged.Found.Gone[i].Path); ok && !waits[dir] {
			out = append(out, staged.Found.Gone[i])
		}
	}
	return out
}
