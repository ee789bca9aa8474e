package sqlite

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/coltec/coltec/pkg/wholefile"
)

// saysMost is how much is said of one database.
const saysMost = 5

// Check says in words what is wrong with a database in a directory that nobody uses, and with
// the log beside it: whether it has all of its pages, whether the sums of the log are those of
// its frames, and whether the pages hold together as trees, as sqlite.org/fileformat2.html has
// it. What the records say, and whether an index has each row, it does not look at. An error
// means that nothing is known.
func Check(ctx context.Context, dir *os.Root, name string) (wrong []string, err error) {
	c, done, err := opened(ctx, dir, name)
	if err != nil {
		return unfit(err)
	}
	defer done()
	if err := c.all(); err != nil && !errors.Is(err, errEnough) {
		return unfit(err)
	}
	return c.wrong, nil
}

// opened is a look at a database in a directory that nobody uses, with the log beside it.
func opened(ctx context.Context, dir *os.Root, name string) (c *check, done func(), err error) {
	db, err := open(dir, name)
	if err != nil {
		return nil, nil, err
	}
	log, err := open(dir, name+string(Log))
	if errors.Is(err, os.ErrNotExist) {
		log, err = nil, nil
	}
	done = func() {
		db.Close()
		if log != nil {
			log.Close()
		}
	}
	var p pages
	if err == nil {
		err = p.open(db, log)
	}
	if err != nil {
		done()
		return nil, nil, err
	}
	return &check{ctx: ctx, pages: &p, used: make([]bool, int64(p.count)+1)}, done, nil
}

// unfit says of an error that it is the database's, where it is.
func unfit(err error) ([]string, error) {
	if errors.Is(err, ErrMalformed) || errors.Is(err, os.ErrNotExist) || errors.Is(err, wholefile.ErrIrregular) {
		return []string{err.Error()}, nil
	}
	return nil, err
}

// pages are those of a database as its log has them.
type pages struct {
	db, log io.ReaderAt
	size    int64            // of a page
	usable  int              // of that, for content
	count   uint32           // of pages
	inFile  uint32           // how many of them its file has
	at      map[uint32]int64 // where the log has them
	first   []byte           // the header of the database
}

// open finds out which pages there are.
func (p *pages) open(db, log *os.File) error {
	info, err := db.Stat()
	if err != nil {
		return err
	}
	h, err := readHeader(db)
	if err != nil {
		return err
	}
	if info.Size()%h.PageSize != 0 {
		return malformed("its %d bytes are no whole pages of %d", info.Size(), h.PageSize)
	}
	if info.Size()/h.PageSize > math.MaxUint32-1 {
		return malformed("it has too many pages")
	}
	p.db, p.size, p.inFile = db, h.PageSize, uint32(info.Size()/h.PageSize)
	p.count, p.at = p.inFile, map[uint32]int64{}
	if h.Pages > 0 {
		p.count = h.Pages
	}
	if log != nil {
		if err := p.openLog(log); err != nil {
			return err
		}
	}
	if int64(p.count) > int64(p.inFile)+int64(len(p.at))+1 { // the one with the locks need not be there
		return malformed("it has %d of its %d pages", int(p.inFile)+len(p.at), p.count)
	}
	if p.first, err = p.read(1); err != nil {
		return err
	}
	if _, err := ParseHeader(p.first); err != nil {
		return err
	}
	p.usable = int(p.size) - int(p.first[20])
	if p.usable < 480 {
		return malformed("%d bytes of a page are for content", p.usable)
	}
	return nil
}

// openLog notes where the log has pages. All of it is of whole transactions: it was nobody's.
func (p *pages) openLog(log *os.File) error {
	info, err := log.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	head := make([]byte, logHeaderSize)
	if n, err := log.ReadAt(head, 0); notEnd(err) != nil {
		return err
	} else if _, err := parseLogHeader(head[:n]); err != nil {
		return err
	}
	var last extent
	written := map[uint32]int64{} // by the transaction that is read
	h, _, err := walk(io.NewSectionReader(log, 0, info.Size()), math.MaxUint32, func(f frame) error {
		written[f.page] = f.end() - int64(len(f.content()))
		if f.size > 0 {
			last = extent{frames: f.number, end: f.end(), pages: f.size}
			for page, at := range written {
				p.at[page] = at
			}
			clear(written)
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case h.pageSize != p.size:
		return malformed("its pages have %d bytes, those of its log %d", p.size, h.pageSize)
	case last.end != info.Size() && (last.frames > 0 || info.Size() > logHeaderSize):
		return malformed("its log is sound up to frame %d, and goes on", last.frames)
	case last.frames > 0:
		p.log, p.count = log, last.pages
	}
	return nil
}

// read gives a page.
func (p *pages) read(n uint32) ([]byte, error) {
	b := make([]byte, p.size)
	if at, ok := p.at[n]; ok {
		_, err := p.log.ReadAt(b, at)
		return b, err
	}
	if n == 0 || n > p.inFile {
		return nil, malformed("page %d of %d is neither in it nor in its log", n, p.count)
	}
	_, err := p.db.ReadAt(b, int64(n-1)*p.size)
	return b, err
}

// check is a look at all pages of a database.
type check struct {
	ctx context.Context
	*pages
	used  []bool
	wrong []string
}

// errEnough ends a check that has said enough.
var errEnough = errors.New("enough is said")

// say notes what is wrong.
func (c *check) say(format string, args ...any) error {
	if len(c.wrong) == saysMost {
		c.wrong = append(c.wrong, "and more")
		return errEnough
	}
	c.wrong = append(c.wrong, fmt.Sprintf(format, args...))
	return nil
}

// take reads a page that something leads to; nil: it is wrong that it does.
func (c *check) take(n uint32, why string) ([]byte, error) {
	if err := context.Cause(c.ctx); err != nil {
		return nil, err
	}
	switch {
	case n == 0 || n > c.count:
		return nil, c.say("%s leads to page %d of %d", why, n, c.count)
	case c.used[n]:
		return nil, c.say("%s leads to page %d, which is used already", why, n)
	}
	c.used[n] = true
	b, err := c.read(n)
	if errors.Is(err, ErrMalformed) {
		return nil, c.say("%s", err)
	}
	return b, err
}

// lockByte is where SQLite has its locks: nothing is ever written to the page there.
const lockByte = 1 << 30

// all looks at each page.
func (c *check) all() error {
	lock := uint32(lockByte/c.size) + 1
	reserve := func(n uint32) {
		if n <= c.count {
			c.used[n] = true
		}
	}
	reserve(lock)
	if binary.BigEndian.Uint32(c.first[52:]) != 0 { // pages that say what leads to others
		each := uint32(c.usable/5) + 1
		for n := uint64(2); n <= uint64(c.count); n += uint64(each) {
			if uint32(n) == lock {
				reserve(lock + 1)
			} else {
				reserve(uint32(n))
			}
		}
	}
	if err := c.free(); err != nil {
		return err
	}
	rooted, err := c.schema()
	if err != nil {
		return err
	}
	for _, o := range rooted {
		t := walker{check: c, what: fmt.Sprintf("the tree of page %d", o.root)}
		if err := t.page(o.root, 0); err != nil {
			return err
		}
	}
	for n := uint32(1); n <= c.count; n++ {
		if !c.used[n] {
			if err := c.say("page %d is never used", n); err != nil {
				return err
			}
		}
	}
	return nil
}

// free looks at the list of free pages.
func (c *check) free() error {
	n, want, got := binary.BigEndian.Uint32(c.first[32:]), binary.BigEndian.Uint32(c.first[36:]), uint32(0)
	for n != 0 {
		b, err := c.take(n, "the list of free pages")
		if b == nil || err != nil {
			return err
		}
		got++
		leaves := binary.BigEndian.Uint32(b[4:])
		if int64(leaves) > int64(c.usable)/4-2 {
			return c.say("page %d of the list of free pages names %d", n, leaves)
		}
		for i := range leaves {
			if _, err := c.take(binary.BigEndian.Uint32(b[8+4*i:]), "the list of free pages"); err != nil {
				return err
			}
			got++
		}
		n = binary.BigEndian.Uint32(b)
	}
	if got != want {
		return c.say("%d pages are free, and it says %d", got, want)
	}
	return nil
}
