package replica

import (
	"errors"
	"fmt"
	"io"

	"github.com/coltec/coltec/pkg/tree"
)

// Totals are what a base has of its replica.
type Totals struct {
	Files     int64 // and links
	Bytes     int64
	Conflicts int // local versions that are kept aside
}

// Totals counts what the base has.
func (b *Base) Totals() Totals {
	if b.resting {
		return b.counted
	}
	var t Totals
	for i := range b.rows {
		switch row := &b.rows[i]; {
		case GitRow(row.Path):
		case tree.Within(row.Path, Dir):
			t.Conflicts++
		case row.Kind != tree.Dir:
			t.Files++
			t.Bytes += row.Size
		}
	}
	return t
}

// restJournal is how long the journal of a base at rest may be: it is read into
// memory at each scan.
const restJournal = 1 << 20

// Rest gives the memory of the rows back until the next Wake, unless more is to be
// remembered than the disk has: then the base stays awake.
func (b *Base) Rest() error {
	if b.resting || b.Pending != nil || len(b.Unplaced) > 0 || b.inode == 0 {
		return nil
	}
	if b.unsaved || b.journal > restJournal {
		if err := b.Save(); err != nil {
			return err
		}
	}
	b.counted = b.Totals()
	b.rows, b.resting = nil, true
	return nil
}

// Wake reads the rows again. After an error the base is not Intact any more.
func (b *Base) Wake() error {
	if !b.resting {
		return nil
	}
	rows := make([]Row, 0, b.counted.Files)
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
		i := -1
		return func() (*Row, error) {
			if i++; i >= len(b.rows) {
				return nil, nil
			}
			return &b.rows[i], nil
		}, func() {}, nil
	}
	d, err := b.openRows()
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

// diskRows are the rows of a base at rest: those of its file with the changes of
// its journal over them.
type diskRows struct {
	file    *baseFile
	ahead   *Row // of the file, read already
	ended   bool
	changes []Change
	row     Row
	last    string
}

var errReplaced = errors.New("it is not the one that was written last")

func (b *Base) openRows() (*diskRows, error) {
	file, err := openBase(b.file())
	if err != nil {
		return nil, err
	}
	j, err := b.replay()
	ino, size, idErr := identify(file.f)
	err = errors.Join(err, idErr)
	if err == nil && (file.Seq != b.seq || ino != b.inode || size != b.size || j.length != b.journal || j.pending != nil) {
		err = errReplaced
	}
	if err != nil {
		file.close()
		return nil, err
	}
	return &diskRows{file: file, changes: j.sorted()}, nil
}

// next merges the file's rows with the journal's changes.
func (d *diskRows) next() (*Row, error) {
	for {
		if err := d.fill(); err != nil {
			return nil, err
		}
		switch {
		case len(d.changes) == 0 || d.ahead != nil && tree.Compare(d.ahead.Path, d.changes[0].Path) < 0:
			row := d.ahead
			d.ahead = nil
			return row, nil
		case d.ahead != nil && d.ahead.Path == d.changes[0].Path:
			d.ahead = nil
		}
		c := &d.changes[0]
		d.changes = d.changes[1:]
		if !c.Gone {
			return &c.Row, nil
		}
	}
}

// fill reads the next row of the file.
func (d *diskRows) fill() error {
	for d.ahead == nil && !d.ended {
		c, row, err := d.file.next()
		switch {
		case err == io.EOF:
			d.ended = true
			return nil
		case err != nil:
			return err
		case !row: // what was unplaced when it was written, and is no more
			continue
		case c.Gone || d.last != "" && tree.Compare(d.last, c.Path) >= 0:
			return errDamaged
		}
		d.row, d.last = c.Row, c.Path
		d.ahead = &d.row
	}
	return nil
}
