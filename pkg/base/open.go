package base

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/coltec/coltec/pkg/localfs"
)

// Open reads the base in the replica directory dir. The error wraps
// ErrNone when there is none or it is damaged: it then is as if it never was.
// One that is there and cannot be read at the moment is another error.
func Open(dir string) (*Base, error) {
	b := &Base{dir: dir}
	err := b.readAll()
	switch {
	case err == nil:
		return b, nil
	case errors.As(err, new(*fs.PathError)) && !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("cannot load base in %q: %w", dir, err)
	}
	return nil, fmt.Errorf("cannot load base in %q: %w: %w", dir, ErrNone, err)
}

func (b *Base) readAll() error {
	f, err := openBase(b.file())
	if err != nil {
		return err
	}
	defer f.close()
	b.Header, b.seq = f.Header, f.Seq
	b.rows = make([]Row, 0, f.room())
	for {
		c, row, err := f.next()
		switch {
		case err == io.EOF:
			if b.inode, b.size, err = localfs.Identify(f.f); err != nil {
				return err
			}
			j, err := b.replay(math.MaxInt64)
			if err != nil {
				return err
			}
			b.journal, b.Pending, b.pendingFrom = j.length, j.pending, j.pendingFrom
			return b.apply(j.Delta)
		case err != nil:
			return err
		case row:
			b.rows = append(b.rows, c.Row)
		default:
			b.Unplaced = append(b.Unplaced, c)
		}
	}
}

// LastSettled is when a complete restore or a push was last recorded in the
// tree at path; the zero time when none ever was. It reads no rows.
func LastSettled(path string) time.Time {
	b := &Base{dir: filepath.Join(path, localfs.Dir)}
	if restored, err := b.restored(); err != nil || !restored {
		return time.Time{}
	}
	var last time.Time
	for _, file := range []string{b.file(), b.journalFile()} {
		if s, err := os.Lstat(file); err == nil && s.ModTime().After(last) {
			last = s.ModTime()
		}
	}
	return last
}

// restored reports whether the base on disk, with its journal, is of a tree that was
// restored as a whole.
func (b *Base) restored() (bool, error) {
	f, err := openBase(b.file())
	if err != nil {
		return false, err
	}
	f.close()
	b.seq = f.Seq
	j, err := b.replay(math.MaxInt64)
	if err != nil {
		return false, err
	}
	if j.Header != nil {
		return j.Header.Restored, nil
	}
	return f.Restored, nil
}

// Intact reports whether the base on disk is still the one that was loaded or
// saved: false after somebody removed it under a running program.
func (b *Base) Intact() bool {
	s, err := os.Lstat(b.file())
	return err == nil && localfs.Inode(s) == b.inode
}

// Remove drops the base: the replica starts again without one.
func (b *Base) Remove() error {
	err := os.Remove(b.file())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return err
}
