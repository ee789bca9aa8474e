package replica

import (
	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/plan"
	"github.com/coltec/coltec/pkg/tree"
)

// Staged is what a step will hold.
type Staged struct {
	Found *Changes // what it was made from; nil where that is no scan

	Changes   []*base.Change    // rows that are new or differ from what was agreed
	Spool     *base.Spool       // more of them, once there are many; nil for none
	Refreshed []*base.Change    // rows that are as agreed; only what is seen of them differs
	Touched   []*base.Change    // of directories that have another time: they go along with the rest, if there is any
	Unsettled []localfs.Unknown // files that changed while they were read, cannot be read, or are more than a replica can have
	Deferred  []Edit            // what did not fit

	// Loss is what the deletions that were found would take, and Lost names it. nil while
	// edits that do not wait for them are still to be staged: until then none may go.
	Loss *plan.Loss
	Lost []tree.Entry
	// Goes says that what Loss counts may go with the step. It is false until somebody has
	// judged it: nothing goes unjudged.
	Goes     bool
	stood    map[string]localfs.Seen // how the paths that have to be still were seen when they were read
	Withheld []localfs.Unknown       // what MakeStep took out, because something that stays is in its place
}

// Len is the number of rows that are new or differ.
func (s *Staged) Len() int { return len(s.Changes) + s.Spool.Len() }

// cleared reports whether nothing in a whole tree wants a person's word: what its
// deletions lose was judged, and goes.
func (s *Staged) cleared() bool {
	return s.Found != nil && s.Found.whole && s.Loss != nil && (s.Goes || len(s.Lost) == 0)
}

// touch notes a directory that has another time. The base must not have it before the
// remote side does: it would pass for what both agreed on.
func (s *Staged) touch(c *base.Change, was *base.Row) {
	s.Touched = append(s.Touched, c)
	if c.Seen.Mode != was.Seen.Mode || c.Seen.Mount != was.Seen.Mount {
		seen := *c
		seen.MTime, seen.Seen.MTime = was.MTime, was.Seen.MTime
		s.Refreshed = append(s.Refreshed, &seen)
	}
}

// was tells what the base had at a path that the scan found otherwise, and whether it is one.
func (s *Staged) was() func(path string) (row *base.Row, known bool) {
	if s.Found == nil {
		return func(string) (*base.Row, bool) { return nil, false }
	}
	rows := map[string]*base.Row{}
	for _, edits := range [][]Edit{s.Found.Edited, s.Found.Touched} {
		for i := range edits {
			if e := &edits[i]; !e.over || e.Kind == tree.Dir { // else the tree may not have it
				rows[e.Path] = e.Was
			}
		}
	}
	return func(path string) (*base.Row, bool) {
		row, known := rows[path]
		return row, known
	}
}
