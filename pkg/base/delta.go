package base

import (
	"bufio"
	"errors"
	"io"
	"slices"

	"github.com/coltec/coltec/pkg/tree"
)

// Delta is a step of a base. A nil Header keeps the one there is.
type Delta struct {
	Header  *Header
	Changes []Change
	Spool   *Spool  // more of them, at other paths; nil for none
	after   *Totals // what the base has after it; nil when that was not counted
	exact   *bool   // the tree after it was given whole, or is known without; nil: it was not
}

// Len is the number of changes.
func (d *Delta) Len() int { return len(d.Changes) + d.Spool.Len() }

// sorted are the changes in the order of paths, the last word about each.
func (d *Delta) sorted() []Change {
	inOrder := true
	for i := 1; i < len(d.Changes) && inOrder; i++ {
		inOrder = tree.Compare(d.Changes[i-1].Path, d.Changes[i].Path) < 0
	}
	if inOrder {
		return d.Changes
	}
	changes := slices.Clone(d.Changes)
	slices.SortStableFunc(changes, func(x, y Change) int { return tree.Compare(x.Path, y.Path) })
	last := changes[:0]
	for i := range changes {
		if i+1 == len(changes) || changes[i+1].Path != changes[i].Path {
			last = append(last, changes[i])
		}
	}
	return last
}

// inOrder gives the changes in the order of paths, the last word about each; nil
// at the end. A change is good until the next one is asked for.
func (d *Delta) inOrder() func() (*Change, error) {
	few, spooled := d.sorted(), d.Spool.reader()
	var ahead *Change // of the spool
	ended := false
	return func() (c *Change, err error) {
		if ahead == nil && !ended {
			if ahead, err = spooled(); err != nil {
				return nil, err
			}
			ended = ahead == nil
		}
		if len(few) > 0 && (ahead == nil || tree.Compare(few[0].Path, ahead.Path) < 0) {
			c, few = &few[0], few[1:]
			return c, nil
		}
		c, ahead = ahead, nil
		return c, nil
	}
}

// paths are those of the changes.
func (d *Delta) paths() (map[string]bool, error) {
	paths := map[string]bool{}
	for next := d.inOrder(); ; {
		c, err := next()
		if c == nil || err != nil {
			return paths, err
		}
		paths[c.Path] = true
	}
}

// overlay gives rows with changes over them, in order; nil at the end.
func overlay(rows func() (*Row, error), changes func() (*Change, error)) func() (*Row, error) {
	var row *Row
	var c *Change
	rowsEnded, changesEnded := false, false
	return func() (*Row, error) {
		for {
			var err error
			if row == nil && !rowsEnded {
				if row, err = rows(); err != nil {
					return nil, err
				}
				rowsEnded = row == nil
			}
			if c == nil && !changesEnded {
				if c, err = changes(); err != nil {
					return nil, err
				}
				changesEnded = c == nil
			}
			switch {
			case c == nil || row != nil && tree.Compare(row.Path, c.Path) < 0:
				out := row
				row = nil
				return out, nil
			case row != nil && row.Path == c.Path:
				row = nil
			}
			out := c
			c = nil
			if !out.Gone {
				return &out.Row, nil
			}
		}
	}
}

// write writes the changes as text.
func (d *Delta) write(w io.Writer) error {
	buf := bufio.NewWriterSize(w, 64<<10)
	t := tree.NewWriter(buf)
	if err := writeChanges(t, d.Changes); err != nil {
		return err
	}
	for next := d.Spool.reader(); ; {
		c, err := next()
		if err != nil {
			return err
		}
		if c == nil {
			return errors.Join(t.Flush(), buf.Flush())
		}
		if err := writeRow(t, &c.Row); err != nil {
			return err
		}
	}
}

// add makes the delta one with a later one.
func (d *Delta) add(later Delta) {
	if later.Header != nil {
		d.Header = later.Header
	}
	d.Changes = append(d.Changes, later.Changes...)
}
