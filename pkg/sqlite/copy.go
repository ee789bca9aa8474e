package sqlite

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/pkg/sparse"
)

// part is how much is copied between two looks at the time and at who waits.
const part = 1 << 20

// cloning is whether the database shares its blocks with a copy at once, as XFS and btrfs
// can have it.
type cloning int

const (
	unknown cloning = iota
	clones
	copies
)

// rehearse does to a database without a log what is to be done to it while its writers
// wait. A small one comes to memory by that. A large one is cloned twice: the first time what
// is not on the disk yet is written there, the second time says how long the third will take.
func (c *capture) rehearse() {
	info, err := c.db.Stat()
	if h, errHeader := readHeader(c.db); err != nil || errHeader != nil || h.WAL {
		return // the copy will say why
	}
	if size := info.Size(); size <= lockedMost {
		if int64(len(c.memory)) < size {
			c.memory = make([]byte, min(size+part, lockedMost)) // it may grow until it is locked
		}
		_ = c.read(size, time.Time{})
		return
	}
	if c.cloning != unknown {
		return
	}
	c.cloning = copies
	f, err := c.create(c.name)
	if err != nil {
		return
	}
	defer f.Close()
	if clone(f, c.db) != nil {
		return
	}
	if began := time.Now(); clone(f, c.db) == nil && time.Since(began) < hold {
		c.cloning = clones
	}
}

// read reads the database to memory, until the deadline if there is one.
func (c *capture) read(size int64, deadline time.Time) error {
	for at := int64(0); at < size; {
		if c.step != nil && !deadline.IsZero() {
			c.step()
		}
		if !deadline.IsZero() && time.Now().After(deadline) {
			c.tooSlow = true
			return busy("it takes longer to read than its writers may wait")
		}
		n, err := c.db.ReadAt(c.memory[at:min(at+part, size)], at)
		if n == 0 {
			return errors.Join(busy("it was made shorter meanwhile"), notEnd(err))
		}
		at += int64(n)
	}
	return nil
}

// write makes the copy of what was read.
func (c *capture) write(b []byte) error {
	f, err := c.create(c.name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = sparse.Copy(f, bytes.NewReader(b))
	return err
}

func clone(to, from *os.File) error { return unix.IoctlFileClone(int(to.Fd()), int(from.Fd())) }

// create makes a file of the copy.
func (c *capture) create(name string) (*os.File, error) {
	f, err := c.to.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err == nil && (len(c.names) == 0 || c.names[len(c.names)-1] != name) {
		c.names = append(c.names, name)
	}
	return f, err
}

// copyMain copies the database itself. look is asked now and then whether to go on.
func (c *capture) copyMain(look func() error) error {
	f, err := c.create(c.name)
	if err != nil {
		return err
	}
	defer f.Close()
	if c.cloning == clones {
		if c.step != nil {
			c.step()
		}
		return clone(f, c.db)
	}
	info, err := c.db.Stat()
	if err != nil {
		return err
	}
	in := io.NewSectionReader(c.db, 0, info.Size())
	out, b := sparse.NewWriter(f, 0, true), make([]byte, part)
	for at := int64(0); at < info.Size(); {
		if c.step != nil {
			c.step()
		}
		if err := errors.Join(context.Cause(c.ctx), look()); err != nil {
			return err
		}
		n, err := in.Read(b)
		if err != nil {
			return errors.Join(busy("it was made shorter meanwhile"), notEnd(err))
		}
		if _, err := out.Write(b[:n]); err != nil {
			return err
		}
		at += int64(n)
	}
	return f.Truncate(info.Size())
}

// copyRest copies what belongs to the database, if anything, and holds all of it together.
func (c *capture) copyRest(journal *os.File, size int64, logged bool) (err error) {
	switch {
	case journal != nil && logged:
		err = malformed("it has a log, and a journal that was left")
	case journal != nil:
		err = c.copyJournal(journal, size)
	case logged:
		_, err = c.copyLog(math.MaxUint32)
	default:
		err = c.complete(extent{}, nil)
	}
	return err
}

// copyJournal copies so much of a journal that undoes what is half written. No more can be
// said of such a database before it is opened.
func (c *capture) copyJournal(journal *os.File, size int64) error {
	f, err := c.create(c.name + string(Journal))
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := io.Copy(f, c.reading(io.NewSectionReader(journal, 0, size)))
	if err == nil && n < size {
		err = busy("its journal was made shorter meanwhile")
	}
	return err
}

// copyLog copies the whole transactions of the log, at most so many frames. A log without
// any is left out.
func (c *capture) copyLog(most uint32) (e extent, err error) {
	if most == 0 {
		return e, c.complete(e, nil)
	}
	log, err := open(c.dir, c.name+string(Log))
	if err != nil {
		return e, err
	}
	defer log.Close()
	f, err := c.create(c.name + string(Log))
	if err != nil {
		return e, err
	}
	defer f.Close()
	if e, err = copyWhole(f, c.reading(log), most); err != nil {
		return e, err
	}
	if e.frames == 0 {
		c.names = c.names[:len(c.names)-1]
		if err := c.to.Remove(c.name + string(Log)); err != nil {
			return e, err
		}
	}
	return e, c.complete(e, io.NewSectionReader(f, 0, e.end))
}

// complete holds that the copy has all pages of the database, without looking into them.
func (c *capture) complete(e extent, log io.Reader) error {
	info, err := c.to.Stat(c.name)
	if err != nil {
		return err
	}
	pages, odd := info.Size()/c.header.PageSize, info.Size()%c.header.PageSize
	switch {
	case odd != 0:
		return malformed("its %d bytes are no whole pages of %d", info.Size(), c.header.PageSize)
	case e.frames > 0 && e.header.pageSize != c.header.PageSize:
		return malformed("its pages have %d bytes, those of its log %d", c.header.PageSize, e.header.pageSize)
	case e.frames > 0:
		return e.covered(log, pages, c.header.PageSize)
	case pages < int64(c.header.Pages):
		return malformed("it has %d of its %d pages", pages, c.header.Pages)
	}
	return nil
}

// reading reads until the capture is called off.
func (c *capture) reading(r io.Reader) io.Reader { return reader{c.ctx, r} }

type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r reader) Read(b []byte) (int, error) {
	if err := context.Cause(r.ctx); err != nil {
		return 0, err
	}
	return r.r.Read(b)
}

// A stamp changes whenever a file is written, or exchanged, but for what happens within
// a [grain].
type stamp struct {
	dev, ino     uint64
	size         int64
	mtime, ctime unix.Timespec
}

// stamps are those of the database and of what belongs to it.
type stamps struct{ db, log, journal stamp }

func (c *capture) stamps() (s stamps, err error) {
	for role, at := range map[Role]*stamp{"": &s.db, Log: &s.log, Journal: &s.journal} {
		if *at, err = c.stamp(role); err != nil {
			return s, err
		}
	}
	return s, nil
}

// stamp is that of a file, or none where it is not there.
func (c *capture) stamp(r Role) (stamp, error) {
	info, err := c.dir.Lstat(c.name + string(r))
	if errors.Is(err, os.ErrNotExist) && r != "" {
		return stamp{}, nil
	} else if err != nil {
		return stamp{}, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return stamp{}, errors.ErrUnsupported
	}
	return stamp{uint64(st.Dev), st.Ino, st.Size, unix.Timespec(st.Mtim), unix.Timespec(st.Ctim)}, nil
}

// age is how far now is from the time at which the youngest of them was written. One from
// the future, of a clock that was set, is not young: the next write has another time.
func (s stamps) age(now time.Time) time.Duration {
	age := time.Duration(math.MaxInt64)
	for _, one := range []stamp{s.db, s.log, s.journal} {
		if one != (stamp{}) {
			age = min(age, now.Sub(time.Unix(one.ctime.Unix())).Abs())
		}
	}
	return age
}
