package base

import (
	"iter"
	"slices"

	"github.com/coltec/coltec/pkg/tree"
)

// RemoteAt is the remote side of a path that is not placed.
func (b *Base) RemoteAt(path string) *Change {
	i, ok := slices.BinarySearchFunc(b.Unplaced, path, func(c Change, p string) int { return tree.Compare(c.Path, p) })
	if !ok {
		return nil
	}
	return &b.Unplaced[i]
}

// EachRemote calls f with each row of the remote tree, in order: the base's, with what is
// unplaced over them. A row is good until the next one.
func (b *Base) EachRemote(f func(*Row) error) error {
	rows, done, err := b.Reader()
	if err != nil {
		return err
	}
	defer done()
	for next := overlay(rows, each(b.Unplaced)); ; {
		row, err := next()
		if row == nil || err != nil {
			return err
		}
		if err := f(row); err != nil {
			return err
		}
	}
}

// Disown notes that the remote side stays where it is: for a replica that only pushes.
// What vanished there is pushed again.
func (b *Base) Disown() error {
	if err := b.Load(); err != nil {
		return err
	}
	h := b.Header
	h.Restored = true
	d := Delta{Header: &h}
	for _, u := range b.Unplaced {
		if u.Gone {
			d.Changes = append(d.Changes, u)
		}
	}
	return b.Apply(d)
}

// Refresh notes what is seen of rows that are as agreed.
func (b *Base) Refresh(rows []*Change) error {
	if len(rows) == 0 {
		return nil
	}
	d := Delta{after: b.counted} // they are as many, and of the same sizes
	for _, c := range rows {
		if c.Kind == tree.Link { // of which another mode is no difference
			b.exact = ""
		}
		d.Changes = append(d.Changes, *c)
	}
	return b.note(d)
}

// Live counts the stored bytes of each object that the remote tree refers to;
// those that several files share as often.
func (b *Base) Live() (map[string]int64, error) {
	live := map[string]int64{}
	count := func(e *tree.Entry) {
		for _, x := range e.Where {
			live[x.Object] += x.Stored
		}
	}
	err := b.Each(func(row *Row) error {
		if b.RemoteAt(row.Path) == nil {
			count(&row.Entry)
		}
		return nil
	})
	for i := range b.Unplaced {
		if u := &b.Unplaced[i]; !u.Gone {
			count(&u.Entry)
		}
	}
	return live, err
}

// WithoutContent are the rows whose content is not in the layout, and not in a delta
// either: a generation must not promise what it does not have. They count as new the
// next time.
func (b *Base) WithoutContent(d *Delta) (paths []string, err error) {
	if b.Totals().Contentless == 0 {
		return nil, nil
	}
	changed, err := d.paths()
	if err != nil {
		return nil, err
	}
	err = b.Each(func(row *Row) error {
		if Contentless(&row.Entry) && !changed[row.Path] {
			paths = append(paths, row.Path)
		}
		return nil
	})
	return paths, err
}

// After gives the remote tree after a delta, which gets a count of the base's rows by
// that. byContent leaves out what has no place in a layout by content, and what is known
// of plain objects.
func (b *Base) After(delta *Delta, byContent bool) iter.Seq2[*tree.Entry, error] {
	delta.after, delta.exact = &Totals{}, new(bool)
	d := *delta
	return func(yield func(*tree.Entry, error) bool) {
		fail := func(err error) { yield(nil, err) }
		rows, done, err := b.Reader()
		if err != nil {
			fail(err)
			return
		}
		defer done()
		unplaced, err := b.stillUnplaced(&d)
		if err != nil {
			fail(err)
			return
		}
		var t Totals
		counted := func(row *Row, err error) (*Row, error) {
			if row != nil {
				t.Add(row)
			}
			return row, err
		}
		next := overlay(rows, d.inOrder())
		remote := overlay(func() (*Row, error) { return counted(next()) }, each(unplaced))
		for {
			row, err := remote()
			switch {
			case err != nil:
				fail(err)
				return
			case row == nil:
				*d.after, *d.exact = t, true
				return
			}
			e := &row.Entry
			if byContent {
				if Contentless(e) {
					continue
				}
				if e.Tag != "" { // of the plain object it was adopted from
					bare := *e
					bare.Tag, e = "", &bare
				}
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// stillUnplaced is what a delta does not settle.
func (b *Base) stillUnplaced(d *Delta) ([]Change, error) {
	if len(b.Unplaced) == 0 {
		return nil, nil
	}
	settled, err := d.paths()
	return slices.DeleteFunc(slices.Clone(b.Unplaced), func(u Change) bool { return settled[u.Path] }), err
}

// Remote is the tree of the generation in the header: the rows with what is
// unplaced over them.
func (b *Base) Remote() []tree.Entry {
	out := make([]tree.Entry, 0, len(b.Rows())+len(b.Unplaced))
	rows := b.Rows()
	next := overlay(eachRow(rows), each(b.Unplaced))
	for row, _ := next(); row != nil; row, _ = next() {
		out = append(out, row.Entry)
	}
	return out
}

// Differences tells how remote differs from the rows: what Unplaced shall be.
func (b *Base) Differences(remote []tree.Entry) []Change {
	var out []Change
	rows := b.Rows()
	for len(rows)+len(remote) > 0 {
		switch {
		case len(remote) == 0 || len(rows) > 0 && tree.Compare(rows[0].Path, remote[0].Path) < 0:
			out = append(out, Change{Row: Row{Entry: tree.Entry{Path: rows[0].Path}}, Gone: true})
			rows = rows[1:]
			continue
		case len(rows) > 0 && rows[0].Path == remote[0].Path:
			if !rows[0].Same(&remote[0]) || rows[0].MTime != remote[0].MTime || !slices.Equal(rows[0].Where, remote[0].Where) ||
				remote[0].Tag != "" && rows[0].Tag != remote[0].Tag {
				out = append(out, Change{Row: Row{Entry: remote[0]}})
			}
			rows = rows[1:]
		default:
			out = append(out, Change{Row: Row{Entry: remote[0]}})
		}
		remote = remote[1:]
	}
	return out
}
