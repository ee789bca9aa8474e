package sqlite

import (
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"time"

	"github.com/coltec/coltec/pkg/wholefile"
)

// Is reports whether the file of a name in a directory begins as a database.
func Is(dir *os.Root, name string) (bool, error) {
	f, err := open(dir, name)
	if errors.Is(err, wholefile.ErrIrregular) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	defer f.Close()
	b := make([]byte, len(magic))
	if _, err := f.ReadAt(b, 0); err != nil {
		return false, notEnd(err)
	}
	return IsDatabase(b), nil
}

// Settle brings into a database of our own what its log or its hot journal says, so that it
// is whole without; what it had beside it goes.
func Settle(dir *os.Root, name string) error {
	f, err := dir.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	companion, role, err := content(dir, name)
	if err != nil {
		return err
	}
	if companion != nil {
		defer companion.Close()
		if err := brings(f, companion, role); err != nil {
			return err
		}
	} else if _, err := readHeader(f); err != nil {
		return err
	}
	for _, role := range []Role{Log, Journal, Index} {
		if err := dir.Remove(name + string(role)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// brings is settle of what others may have made: a log is held to the database first.
func brings(db, companion *os.File, role Role) error {
	if role == Journal {
		return settle(db, nil, companion)
	}
	h, err := readHeader(db)
	if err != nil {
		return err
	}
	info, err := db.Stat()
	if err != nil {
		return err
	}
	all := io.NewSectionReader(companion, 0, math.MaxInt64)
	var e extent
	header, _, err := walk(all, math.MaxUint32, func(f frame) error {
		if f.size > 0 {
			e = extent{frames: f.number, end: f.end(), pages: f.size}
		}
		return nil
	})
	switch {
	case err != nil || e.frames == 0:
		return err
	case header.pageSize != h.PageSize:
		return malformed("its pages have %d bytes, those of its log %d", h.PageSize, header.pageSize)
	}
	if _, err := all.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := e.covered(all, info.Size()/h.PageSize, h.PageSize); err != nil {
		return err
	}
	return settle(db, companion, nil)
}

// Stamps change whenever a database, or what belongs to it, is written or exchanged.
type Stamps struct {
	of stamps
	at time.Time // when they were looked at
}

// StampsOf are those of the database of a name in a directory.
func StampsOf(dir *os.Root, name string) (Stamps, error) {
	at := time.Now()
	s, err := (&capture{dir: dir, name: name}).stamps()
	return Stamps{s, at}, err
}

// Unwritten reports whether nothing was written since earlier stamps. What was written
// shortly before those may have been written again at the same time: they tell nothing.
func (s Stamps) Unwritten(since Stamps) bool {
	return s.of == since.of && since.of.age(since.at) >= grain
}
