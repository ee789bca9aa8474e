package replica

import (
	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/localfs"
)

// Staged is the outcome of staging.
type Staged struct {
	Changes   []*base.Change    // rows that are new or differ from what was agreed
	Spool     *base.Spool       // more of them, once there are many; nil for none
	Refreshed []*base.Change    // rows that are as agreed; only what is seen of them differs
	Touched   []*base.Change    // of directories that have another time: they go along with the rest, if there is any
	Unsettled []localfs.Unknown // files that changed while they were read, cannot be read, or are more than a replica can have
	Rest      []Edit            // what did not fit
}

// Len is the number of rows that are new or differ.
func (s *Staged) Len() int { return len(s.Changes) + s.Spool.Len() }

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
