package base

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/tree"
)

// Totals counts what the base has. When the disk does not tell any more, they are
// zero, and the base is not Intact.
func (b *Base) Totals() Totals {
	if b.unloaded && b.counted != nil {
		return *b.counted
	}
	t := &Totals{}
	err := b.Each(func(row *Row) error {
		t.Add(row)
		return nil
	})
	switch {
	case err != nil:
		return Totals{}
	case b.unloaded:
		b.counted = t
	}
	return *t
}

// Load reads the rows again. After an error the base is not Intact any more.
func (b *Base) Load() error {
	if !b.unloaded {
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
	b.rows, b.unloaded = rows, false
	return nil
}

// Each calls f with each row, in order. Where they are unloaded they are read from the disk one
// by one, and an error after some of them says that they do not count. After such
// an error the base is not Intact any more.
func (b *Base) Each(f func(*Row) error) error {
	next, done, err := b.Reader()
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

// Reader gives the rows one by one, nil at the end. A row is good until the next
// one is asked for.
func (b *Base) Reader() (next func() (*Row, error), done func(), err error) { return b.ReaderPast(nil) }

// ReaderPast is Reader for who passes over most rows: of those that are past it may give the
// path alone, which takes a fraction of the time. past is asked when a row is read, once the
// one before it was given.
func (b *Base) ReaderPast(past func(path string) bool) (next func() (*Row, error), done func(), err error) {
	if !b.unloaded {
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
	d.file.past = past
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

// diskRows are the rows of an unloaded base: those of its file with the changes of
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
	j, err := b.steps(to)
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

// Row gives the row of a path, nil when there is none.
func (b *Base) Row(path string) *Row {
	if i, ok := searchRows(b.Rows(), path); ok {
		return &b.rows[i]
	}
	return nil
}

// Entries are the agreed entries, sorted.
func (b *Base) Entries() []tree.Entry {
	out := make([]tree.Entry, len(b.Rows()))
	for i := range out {
		out[i] = b.rows[i].Entry
	}
	return out
}
