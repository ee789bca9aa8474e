package sqlite

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
)

// ErrAnew is of a trail that does not go on: what comes is to be the begin of another one.
var ErrAnew = errors.New("it is to be begun anew")

// Follow makes a trail go on to another state of its database. A trail is a database of our
// own, of a name in a directory, with a log of our own (-wal) to which each state adds the
// pages that differ in it, and a commit. It only grows, and SQLite opens it as the last state.
// now is that state, without a log or a journal; most is how large the log may become. It
// returns how many pages it added; 0: the trail is at that state. [ErrAnew] is of one that
// would become too large, or of other pages: it stays as it is.
func Follow(dir *os.Root, name string, now *os.File, most int64) (added int, err error) {
	t, err := openTrail(dir, name)
	if err != nil {
		return 0, err
	}
	defer t.close()
	pages, differ, err := t.compare(now)
	if err != nil || len(differ) == 0 {
		return 0, err
	}
	if t.sizeWith(len(differ)) > most {
		return 0, fmt.Errorf("%w: its log would have %d bytes", ErrAnew, t.sizeWith(len(differ)))
	}
	return len(differ), t.add(dir, name, now, pages, differ)
}

// Same reports whether a trail is at a state.
func Same(dir *os.Root, name string, now *os.File) (bool, error) {
	t, err := openTrail(dir, name)
	if err != nil {
		return false, err
	}
	defer t.close()
	_, differ, err := t.compare(now)
	if errors.Is(err, ErrAnew) {
		return false, nil
	}
	return err == nil && len(differ) == 0, err
}

// trail is one that is open.
type trail struct {
	db, log  *os.File // log is nil where there is none
	pageSize int64
	inFile   int64            // pages of db
	end      extent           // of what is committed in the log
	at       map[uint32]int64 // where in the log the content of a page is, if it is there
}

func (t *trail) close() {
	t.db.Close()
	if t.log != nil {
		t.log.Close()
	}
}

func openTrail(dir *os.Root, name string) (*trail, error) {
	db, err := open(dir, name)
	if err != nil {
		return nil, err
	}
	t := &trail{db: db, at: map[uint32]int64{}}
	if err := t.look(dir, name); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

// look reads what there is of a trail but for its pages.
func (t *trail) look(dir *os.Root, name string) error {
	h, err := readHeader(t.db)
	if err != nil {
		return err
	}
	info, err := t.db.Stat()
	if err != nil {
		return err
	}
	t.pageSize, t.inFile = h.PageSize, info.Size()/h.PageSize
	log, err := open(dir, name+string(Log))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	t.log = log
	committed := map[uint32]int64{}
	header, _, err := walk(io.NewSectionReader(log, 0, math.MaxInt64), math.MaxUint32, func(f frame) error {
		committed[f.page] = f.end() - int64(len(f.content()))
		if f.size > 0 {
			t.end = extent{frames: f.number, end: f.end(), pages: f.size, sum: f.sum}
			for page, at := range committed {
				t.at[page] = at
			}
			clear(committed)
		}
		return nil
	})
	t.end.header = header
	if err == nil && t.end.frames > 0 && header.pageSize != t.pageSize {
		err = malformed("its pages have %d bytes, those of its log %d", t.pageSize, header.pageSize)
	}
	return err
}

// pages is how many the database has.
func (t *trail) pages() int64 {
	if t.end.frames > 0 {
		return int64(t.end.pages)
	}
	return t.inFile
}

// compare lists the pages in which a state differs, and says how many it has.
func (t *trail) compare(now *os.File) (pages int64, differ []uint32, err error) {
	h, err := readHeader(now)
	if err != nil {
		return 0, nil, err
	}
	info, err := now.Stat()
	if err != nil {
		return 0, nil, err
	}
	pages = info.Size() / t.pageSize
	if h.PageSize != t.pageSize || pages > math.MaxUint32 {
		return 0, nil, fmt.Errorf("%w: its pages have %d bytes now", ErrAnew, h.PageSize)
	}
	theirs, ours := make([]byte, part), make([]byte, part)
	for at := int64(0); at < pages*t.pageSize; at += part {
		n := min(part, pages*t.pageSize-at)
		if _, err := io.ReadFull(io.NewSectionReader(now, at, n), theirs[:n]); err != nil {
			return 0, nil, err
		}
		if err := t.read(ours[:n], at); err != nil {
			return 0, nil, err
		}
		for i := int64(0); i < n; i += t.pageSize {
			number := (at+i)/t.pageSize + 1
			switch {
			case number == lockPage(t.pageSize): // nothing is ever in it
			case number > t.pages(), !bytes.Equal(theirs[i:i+t.pageSize], ours[i:i+t.pageSize]):
				differ = append(differ, uint32(number))
			}
		}
	}
	if len(differ) == 0 && pages != t.pages() {
		differ = []uint32{1} // a commit says how many there are
	}
	return pages, differ, nil
}

// read reads pages as they are now.
func (t *trail) read(b []byte, at int64) error {
	n, err := t.db.ReadAt(b, at)
	if notEnd(err) != nil {
		return err
	}
	clear(b[n:])
	if len(t.at) == 0 {
		return nil
	}
	for i := int64(0); i < int64(len(b)); i += t.pageSize {
		if in, ok := t.at[uint32((at+i)/t.pageSize+1)]; ok {
			if _, err := t.log.ReadAt(b[i:i+t.pageSize], in); err != nil {
				return err
			}
		}
	}
	return nil
}

// sizeWith is what the log comes to with so many more frames.
func (t *trail) sizeWith(frames int) int64 {
	return max(t.end.end, logHeaderSize) + int64(frames)*(frameHeader+t.pageSize)
}

// add adds the pages of a state to the log, which counts from the last of them on.
func (t *trail) add(dir *os.Root, name string, now *os.File, pages int64, differ []uint32) error {
	f, err := dir.OpenFile(name+string(Log), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	h, state := t.end.header, t.end.sum
	if t.end.frames == 0 {
		h = newLogHeader(t.pageSize)
		state, t.end.end = h.sum, logHeaderSize
		if _, err := f.WriteAt(h.raw[:], 0); err != nil {
			return err
		}
	}
	if err := f.Truncate(t.end.end); err != nil { // what was never committed
		return err
	}
	out := bufio.NewWriterSize(io.NewOffsetWriter(f, t.end.end), part)
	w, page := frames{h, state, make([]byte, frameHeader+t.pageSize)}, make([]byte, t.pageSize)
	for i, number := range differ {
		size := uint32(0)
		if i == len(differ)-1 {
			size = uint32(pages)
		}
		if _, err := now.ReadAt(page, (int64(number)-1)*t.pageSize); err != nil {
			return err
		}
		if _, err := out.Write(w.next(number, size, page)); err != nil {
			return err
		}
	}
	return out.Flush()
}

// frames makes those of a log, one after the other.
type frames struct {
	h     logHeader
	state sum // of all up to here
	raw   []byte
}

// next is the frame of a page; of the last one of a transaction it says how many pages the
// database has. It is another one after the next call.
func (w *frames) next(number, size uint32, page []byte) []byte {
	binary.BigEndian.PutUint32(w.raw, number)
	binary.BigEndian.PutUint32(w.raw[4:], size)
	copy(w.raw[8:], w.h.salt[:])
	copy(w.raw[frameHeader:], page)
	w.state = w.state.add(w.h.order, w.raw[:8]).add(w.h.order, w.raw[frameHeader:])
	binary.BigEndian.PutUint32(w.raw[16:], w.state[0])
	binary.BigEndian.PutUint32(w.raw[20:], w.state[1])
	return w.raw
}

// newLogHeader is that of a log that begins.
func newLogHeader(pageSize int64) logHeader {
	h := logHeader{order: binary.LittleEndian, pageSize: pageSize}
	_, _ = rand.Read(h.salt[:]) // never an error
	binary.BigEndian.PutUint32(h.raw[:], 0x377f0682)
	binary.BigEndian.PutUint32(h.raw[4:], logVersion)
	binary.BigEndian.PutUint32(h.raw[8:], uint32(pageSize))
	copy(h.raw[16:], h.salt[:])
	h.sum = sum{}.add(h.order, h.raw[:24])
	binary.BigEndian.PutUint32(h.raw[24:], h.sum[0])
	binary.BigEndian.PutUint32(h.raw[28:], h.sum[1])
	return h
}
