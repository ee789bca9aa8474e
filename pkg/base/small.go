package base

import (
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/tree"
)

// smallMost is how many changes a small step has: to go through all rows takes longer than to
// sort these.
const smallMost = 1000

// Small gives what a small delta changes in the tree of the manifest that the header names, in
// order, with the rows that it takes the place of (nil: there was none), so that nobody has to
// read the others. was tells such a row of a path, and whether it knows. The delta gets a count
// of the base's rows after it. ok is false where all rows are to be read: the delta is not small,
// takes something away, or it is not sure that the rows are those of that manifest.
func (b *Base) Small(d *Delta, was func(path string) (row *Row, known bool)) (changes []tree.Edit, ok bool) {
	if b.exact == "" || b.exact != b.Header.Ref || !b.unloaded || b.counted == nil || b.Pending != nil || len(b.Unplaced) > 0 ||
		d.Spool.Len() > 0 || len(d.Changes) > smallMost || b.counted.Contentless > 0 {
		return nil, false
	}
	t := *b.counted
	for _, c := range d.sorted() {
		row, known := was(c.Path)
		if !known || c.Gone || c.Tag != "" || Contentless(&c.Entry) || tree.Within(c.Path, localfs.Dir) {
			return nil, false
		}
		edit := tree.Edit{Now: c.Entry}
		if row != nil {
			t.remove(row)
			edit.Was = &row.Entry
		}
		t.Add(&c.Row)
		changes = append(changes, edit)
	}
	d.after, d.exact = &t, new(bool)
	*d.exact = true
	return changes, true
}
