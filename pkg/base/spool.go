package base

import (
	"io"
	"os"

	"github.com/coltec/coltec/pkg/tree"
)

// Spool keeps the new rows of a large step on the disk, in the order of their
// paths: the memory holds some thousands, whatever was changed at once. A nil one
// has none.
type Spool struct {
	file *os.File // that has no name any more
	w    *tree.Writer
	n    int
	last string
}

// SpoolMany is how many rows of a step are in memory at least before some are
// spooled.
const SpoolMany = 4096

// NewSpool makes one in a directory of ours.
func NewSpool(dir string) (*Spool, error) {
	f, err := os.CreateTemp(dir, "spool-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return &Spool{file: f, w: tree.NewWriter(f)}, nil
}

// Takes reports whether a row may be added: the ones before it have lower paths.
func (s *Spool) Takes(path string) bool { return s.n == 0 || tree.Compare(s.last, path) < 0 }

// Add adds a row.
func (s *Spool) Add(c *Change) error {
	s.n, s.last = s.n+1, c.Path
	return writeRow(s.w, &c.Row)
}

// Len is the number of rows.
func (s *Spool) Len() int {
	if s == nil {
		return 0
	}
	return s.n
}

// reader gives the rows one by one, nil at the end. A row is good until the next
// one is asked for.
func (s *Spool) reader() func() (*Change, error) {
	if s == nil {
		return each(nil)
	}
	err := s.w.Flush()
	t := tree.NewReader(io.NewSectionReader(s.file, 0, 1<<62))
	left := s.n
	var c Change
	return func() (*Change, error) {
		if err != nil || left == 0 {
			return nil, err
		}
		left--
		if c, err = readChange(t, nil); err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
		return &c, nil
	}
}

// Each calls f with each row, in order.
func (s *Spool) Each(f func(*Change) error) error {
	for next := s.reader(); ; {
		c, err := next()
		if c == nil || err != nil {
			return err
		}
		if err := f(c); err != nil {
			return err
		}
	}
}

// Close frees the disk.
func (s *Spool) Close() {
	if s != nil {
		s.file.Close()
	}
}
