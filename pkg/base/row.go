package base

import (
	"slices"

	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/tree"
)

// OverParts are the parts of a row beyond those that each row may have.
func OverParts(parts int) int { return max(0, parts-tree.MaxExtentsPerRow) }

// ShadowRow reports whether a path is one of the shadow of a whole, which lies in the
// replica's own directory and is carried in its place: its deletion is no deletion of a
// file. Of what is in there only conflict copies are carried beside them.
func ShadowRow(path string) bool {
	return tree.Within(path, localfs.Dir) && path != localfs.Dir && !tree.Within(path, localfs.Dir+"/"+localfs.Conflicts)
}

// Changed reports whether an entry is not what the base saw at its path.
func (row *Row) Changed(s *localfs.Entry) bool {
	switch {
	case s.Kind != row.Kind:
		return true
	case s.Kind == tree.Dir:
		return s.Mode != row.Seen.Mode || s.Mount != row.Seen.Mount
	case s.Kind == tree.Link:
		return s.Link != row.Link || s.MTime != row.Seen.MTime
	}
	return s.Seen != row.Seen
}

// EntryOf makes the entry of an entry whose content is already known; nil is not a row. What
// the file system shows as it showed it right after placing is as agreed: some
// ignore modes or round times.
func EntryOf(s *localfs.Entry, row *Row) tree.Entry {
	e := tree.Entry{Path: s.Path, Kind: s.Kind, Mode: s.Mode, MTime: s.MTime, Size: s.Size, Link: s.Link}
	timeless := s.Kind == tree.Dir && tree.Within(s.Path, localfs.Dir) // of copies of repositories, which are made anew
	if timeless {
		e.MTime = 0
	}
	if s.Kind == tree.Link {
		e.Mode = 0o777
	}
	if row == nil || row.Kind != s.Kind {
		return e
	}
	if s.Mode == row.Seen.Mode {
		e.Mode = row.Mode
	}
	if s.MTime == row.Seen.MTime && !timeless {
		e.MTime = row.MTime
	}
	return e
}

// Contentless reports whether an entry has content and no place where it lies.
func Contentless(e *tree.Entry) bool {
	return e.Kind == tree.File && e.Size > 0 && len(e.Where) == 0
}

// Row is one path that both sides agreed on: what was agreed, and what this
// file system showed right after. A local change is a difference from what was
// shown.
type Row struct {
	tree.Entry
	Seen localfs.Seen
}

// Change is a new row, or the word that a path left the base.
type Change struct {
	Row
	Gone bool
	Was  tree.Kind // of the row that it takes the place of; 0 for none, or where that does not matter
}

// each gives changes one by one, nil at the end.
func each(changes []Change) func() (*Change, error) {
	return func() (c *Change, err error) {
		if len(changes) > 0 {
			c, changes = &changes[0], changes[1:]
		}
		return c, nil
	}
}

func searchChanges(changes []Change, path string) (int, bool) {
	return slices.BinarySearchFunc(changes, path, func(c Change, p string) int { return tree.Compare(c.Path, p) })
}

func searchRows(rows []Row, path string) (int, bool) {
	return slices.BinarySearchFunc(rows, path, func(r Row, p string) int { return tree.Compare(r.Path, p) })
}

// eachRow gives rows one by one, nil at the end.
func eachRow(rows []Row) func() (*Row, error) {
	return func() (row *Row, err error) {
		if len(rows) > 0 {
			row, rows = &rows[0], rows[1:]
		}
		return row, nil
	}
}
