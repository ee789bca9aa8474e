package replica

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/tree"
)

// Totals are what a base has of its replica.
type Totals struct {
	Rows      int
	Files     int64 // and links
	Bytes     int64
	Conflicts int // local versions that are kept aside
	// Contentless counts the files that lie nowhere in the replica's layout: they
	// were adopted from plain objects, and are to be sent.
	Contentless int
	Parts       int // of files, beyond those that each row may have
}

// add counts a row.
func (t *Totals) add(row *Row) {
	t.Rows++
	t.Parts += over(len(row.Where))
	if contentless(&row.Entry) {
		t.Contentless++
	}
	switch {
	case GitRow(row.Path):
	case tree.Within(row.Path, localfs.Dir):
		t.Conflicts++
	case row.Kind != tree.Dir:
		t.Files++
		t.Bytes += row.Size
	}
}

// Totals counts what the base has. When the disk does not tell any more, they are
// zero, and the base is not Intact.
func (b *Base) Totals() Totals {
	if b.resting && b.counted != nil {
		return *b.counted
	}
	t := &Totals{}
	err := b.Each(func(row *Row) error {
		t.add(row)
		return nil
	})
	switch {
	case err != nil:
		return Totals{}
	case b.resting:
		b.counted = t
	}
	return *t
}

// restJournal is how long the journal of a base at rest may be: it is read into
// memory with each pass over the rows.
const restJournal = 1 << 20

// Rest gives the memory of the rows back until the next Wake, unless more is to be
// remembered than the disk has: then the base stays awake. At rest it can be read
// in order, and stepped forward.
func (b *Base) Rest() error {
	if b.resting || b.Pending != nil || len(b.Unplaced) > 0 || b.inode == 0 {
		return nil
	}
	if b.unsaved || b.journal > restJournal {
		if err := b.Save(); err != nil {
			return err
		}
	}
	t := b.Totals()
	b.counted, b.rows, b.resting = &t, nil, true
	return nil
}

// Wake reads the rows again. After an error the base is not Intact any more.
func (b *Base) Wake() error {
	if !b.resting {
		return nil
	}
	rows := make([]Row, 0, b.Totals().Rows)
	err := b.Each(func(row *Row) error {
		rows = append(rows, *row)
		return nil
	})
	if err != nil {
		return err
	}
	b.rows, b.resting = rows, false
	return nil
}

// Each calls f with each row, in order. At rest the rows are read from the disk one
// by one, and an error after some of them says that they do not count. After such
// an error the base is not Intact any more.
func (b *Base) Each(f func(*Row) error) error {
	next, done, err := b.reader()
	if err != nil {
		return err
	}
	defer done()
	for {
		row, err := next()
		if row == nil || err != nil {
			return err
		}
		if err := f(row); err != nil {
			return err
		}
	}
}

// reader gives the rows one by one, nil at the end. A row is good until the next
// one is asked for.
func (b *Base) reader() (next func() (*Row, error), done func(), err error) {
	if !b.resting {
		return eachRow(b.rows), func() {}, nil
	}
	to := int64(math.MaxInt64) // what another has added is found
	if b.Pending != nil {
		to = b.pendingFrom
	}
	d, err := b.openRows(to)
	if err != nil {
		return nil, nil, b.lost(err)
	}
	return func() (*Row, error) {
		row, err := d.next()
		if err != nil {
			err = b.lost(err)
		}
		return row, err
	}, d.file.close, nil
}

// lost notes that the rows on the disk cannot be had.
func (b *Base) lost(err error) error {
	b.inode = 0
	return fmt.Errorf("cannot read the base in %q again: %w", b.dir, err)
}

// Lookup gives the rows of those of the paths that have one.
func (b *Base) Lookup(paths map[string]bool) (map[string]Row, error) {
	found := map[string]Row{}
	if len(paths) == 0 {
		return found, nil
	}
	err := b.Each(func(row *Row) error {
		if paths[row.Path] {
			found[row.Path] = *row
		}
		return nil
	})
	return found, err
}

// diskRows are the rows of a base at rest: those of its file with the changes of
// its journal over them.
type diskRows struct {
	file *baseFile
	next func() (*Row, error)
	row  Row
	last string
}

var errReplaced = errors.New("it is not the one that was written last")

// openRows opens the rows as they are after the journal's steps up to a place in it.
func (b *Base) openRows(to int64) (*diskRows, error) {
	file, err := openBase(b.file())
	if err != nil {
		return nil, err
	}
	j, err := b.replay(to)
	ino, size, idErr := localfs.Identify(file.f)
	err = errors.Join(err, idErr)
	if err == nil && (file.Seq != b.seq || ino != b.inode || size != b.size || j.length != min(to, b.journal) || j.pending != nil) {
		err = errReplaced
	}
	if err != nil {
		file.close()
		return nil, err
	}
	d := &diskRows{file: file}
	d.next = overlay(d.ofFile, each(j.sorted()))
	return d, nil
}

// ofFile gives the next row of the file.
func (d *diskRows) ofFile() (*Row, error) {
	for {
		c, row, err := d.file.next()
		switch {
		case err == io.EOF:
			return nil, nil
		case err != nil:
			return nil, err
		case !row: // what was unplaced when it was written, and is no more
			continue
		case c.Gone || d.last != "" && tree.Compare(d.last, c.Path) >= 0:
			return nil, errDamaged
		}
		d.row, d.last = c.Row, c.Path
		return &d.row, nil
	}
}
