package replica

import (
	"slices"

	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/tree"
)

// Changes is what a scan found against the base.
type Changes struct {
	Edited    []Edit       // sorted
	Gone      []tree.Entry // agreed on, and not there any more; sorted, and without where their content lies
	Forgotten []string     // agreed on, and not the replica's to carry any more
	Touched   []Edit       // directories of which the time alone is another: no reason to push
	Unknown   []localfs.Unknown
	// Awaited was changed here, and another version is to be placed there first.
	Awaited []Edit
	Any     bool  // there is something to push
	Loaded  error // why the base stays in memory; nil: it does not
	// Linked says that more files than the next scan looks at have several names: who writes one
	// by a name that is elsewhere is seen by a walk of the whole tree alone.
	Linked bool

	whole bool // all of the tree was walked
}

// staging is what is to be staged where there is something to push: the time of a
// directory travels with what else does.
func (c *Changes) staging() []Edit {
	if len(c.Touched) == 0 {
		return c.Edited
	}
	return slices.Concat(c.Touched, c.Edited) // they need no room, so they are not among what does not fit
}

// Edit is a path that is new, or not as the base saw it.
type Edit struct {
	localfs.Entry
	Was  *base.Row // what the base has there; nil for nothing
	over bool      // nothing, but rows below it
}

// Empty reports whether there is nothing to push.
func (c *Changes) Empty() bool { return len(c.Edited)+len(c.Gone)+len(c.Forgotten) == 0 }

// replaces reports whether an edit has the name of what is a directory for the remote
// side.
func (s *Edit) replaces() bool { return s.Kind != tree.Dir && s.Was != nil && s.Was.Kind == tree.Dir }

// editOf is what is seen where the base has a row.
func editOf(s *localfs.Entry, row *base.Row) Edit {
	was := *row // the next one takes its place
	return Edit{Entry: *s, Was: &was}
}

// hiddenBy is localfs.HiddenBy, for all of a tree too.
func hiddenBy(unseen []localfs.Unknown) func(path string) bool {
	if slices.ContainsFunc(unseen, func(u localfs.Unknown) bool { return u.Path == "" }) {
		return func(string) bool { return true }
	}
	return localfs.HiddenBy(unseen)
}
