package sqlite

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

const (
	logVersion    = 3007000
	logHeaderSize = 32
	frameHeader   = 24
)

// sum is the running checksum of a log: of its header, then of each frame up to here.
type sum [2]uint32

func (s sum) add(order binary.ByteOrder, b []byte) sum {
	for i := 0; i+8 <= len(b); i += 8 {
		s[0] += order.Uint32(b[i:]) + s[1]
		s[1] += order.Uint32(b[i+4:]) + s[0]
	}
	return s
}

// logHeader is that of a write-ahead log.
type logHeader struct {
	raw      [logHeaderSize]byte
	order    binary.ByteOrder // of the words that are summed
	pageSize int64
	salt     [8]byte // frames of an earlier use of the file have another one
	sum      sum
}

func parseLogHeader(b []byte) (logHeader, error) {
	if len(b) < logHeaderSize {
		return logHeader{}, malformed("a log of %d bytes", len(b))
	}
	h := logHeader{raw: [logHeaderSize]byte(b), pageSize: int64(binary.BigEndian.Uint32(b[8:])), salt: [8]byte(b[16:])}
	switch binary.BigEndian.Uint32(b) {
	case 0x377f0682:
		h.order = binary.LittleEndian
	case 0x377f0683:
		h.order = binary.BigEndian
	default:
		return logHeader{}, malformed("it does not begin as a log")
	}
	if v := binary.BigEndian.Uint32(b[4:]); v != logVersion {
		return logHeader{}, malformed("version %d of a log", v)
	}
	if !isPageSize(h.pageSize) {
		return logHeader{}, malformed("a page of %d bytes in the log", h.pageSize)
	}
	h.sum = sum{}.add(h.order, b[:24])
	if h.sum != sumAt(b[24:]) {
		return logHeader{}, malformed("the checksum of the log's header")
	}
	return h, nil
}

func sumAt(b []byte) sum {
	return sum{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])}
}

// frame is one page as a transaction left it.
type frame struct {
	number uint32 // from 1
	page   uint32 // which
	size   uint32 // of the database in pages, where the frame is the last one of a transaction; else 0
	sum    sum    // of all up to here
	raw    []byte // as it lies in the log; of the next frame after that
}

func (f frame) content() []byte { return f.raw[frameHeader:] }

// end is where the frame ends in its log.
func (f frame) end() int64 { return logHeaderSize + int64(f.number)*int64(len(f.raw)) }

// walk reads a log up to so many frames, or up to the first one that is not of its present
// use, or that is not whole: what follows was never committed. It returns the last frame
// that it visited.
func walk(r io.Reader, most uint32, visit func(frame) error) (h logHeader, last frame, err error) {
	in := bufio.NewReaderSize(r, 1<<17)
	head := make([]byte, logHeaderSize)
	if _, err := io.ReadFull(in, head); err != nil {
		return h, last, notEnd(err)
	}
	if h, err = parseLogHeader(head); err != nil {
		return h, last, nil // to SQLite a log that begins so has nothing in it
	}
	state, raw := h.sum, make([]byte, frameHeader+h.pageSize)
	for last.number < most {
		if _, err := io.ReadFull(in, raw); err != nil {
			return h, last, notEnd(err)
		}
		state = state.add(h.order, raw[:8]).add(h.order, raw[frameHeader:])
		if [8]byte(raw[8:]) != h.salt || state != sumAt(raw[16:]) || binary.BigEndian.Uint32(raw) == 0 {
			break
		}
		last = frame{last.number + 1, binary.BigEndian.Uint32(raw), binary.BigEndian.Uint32(raw[4:]), state, raw}
		if err := visit(last); err != nil {
			return h, last, err
		}
	}
	return h, last, nil
}

// notEnd leaves out that a file ended, also in the middle of something.
func notEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// extent is what a log says of its database after the last transaction that is whole.
type extent struct {
	frames uint32 // of whole transactions
	end    int64  // of the last of them, in bytes
	pages  uint32 // of the database then
	sum    sum
	header logHeader
}

// copyWhole copies the whole transactions of a log, at most so many frames.
func copyWhole(to *os.File, from io.Reader, most uint32) (extent, error) {
	var e extent
	out := bufio.NewWriterSize(io.NewOffsetWriter(to, logHeaderSize), 1<<17)
	h, _, err := walk(from, most, func(f frame) error {
		if f.size > 0 {
			e = extent{frames: f.number, end: f.end(), pages: f.size, sum: f.sum}
		}
		_, err := out.Write(f.raw)
		return err
	})
	if err == nil {
		err = out.Flush()
	}
	if err == nil {
		_, err = to.WriteAt(h.raw[:], 0)
	}
	if err != nil {
		return e, err
	}
	e.header = h
	return e, to.Truncate(e.end) // what is after the last commit, or all
}

// covered holds that each page of a database is in its file, of so many pages of a size, or
// in its log.
func (e extent) covered(log io.Reader, inFile, pageSize int64) error {
	missing := int64(e.pages) - inFile
	if missing <= 0 {
		return nil
	}
	never := lockPage(pageSize) - inFile - 1
	needed := missing
	if never >= 0 && never < missing {
		needed--
	}
	if needed > int64(e.frames) {
		return malformed("%d of %d pages are neither in it nor in its log", needed, e.pages)
	}
	seen := make([]bool, missing)
	_, _, err := walk(log, e.frames, func(f frame) error {
		if at := int64(f.page) - inFile - 1; at >= 0 && at < missing {
			seen[at] = true
		}
		return nil
	})
	for i, in := range seen {
		if err == nil && !in && int64(i) != never {
			err = malformed("page %d of %d is neither in it nor in its log", inFile+int64(i)+1, e.pages)
		}
	}
	return err
}

// lockPage is the number of the page in which SQLite locks: it is never written.
func lockPage(pageSize int64) int64 { return pending.at/pageSize + 1 }

// index is what the -shm says of the log.
type index struct {
	frames   uint32
	pages    uint32
	pageSize int64
	sum      sum
	salt     [8]byte
}

// indexSize is of both copies of its header.
const indexSize = 2 * 48

// readIndex reads the header of a -shm that is in use. It is there twice, and is being
// written where both differ.
func readIndex(r io.ReaderAt) (index, error) {
	b := make([]byte, indexSize)
	if n, err := r.ReadAt(b, 0); n < len(b) {
		if notEnd(err) != nil {
			return index{}, err
		}
		return index{}, malformed("a -shm of %d bytes", n)
	}
	one, two, native := b[:48], b[48:], binary.NativeEndian
	if string(one) != string(two) || one[12] == 0 || (sum{}).add(native, one[:40]) != (sum{native.Uint32(one[40:]), native.Uint32(one[44:])}) {
		return index{}, malformed("the header of the -shm")
	}
	if v := native.Uint32(one); v != logVersion {
		return index{}, malformed("version %d of a -shm", v)
	}
	i := index{
		frames: native.Uint32(one[16:]), pages: native.Uint32(one[20:]), pageSize: int64(native.Uint16(one[14:])),
		sum: sum{native.Uint32(one[24:]), native.Uint32(one[28:])}, salt: [8]byte(one[32:]),
	}
	if i.pageSize == 1 {
		i.pageSize = 1 << 16
	}
	return i, nil
}

// agrees holds a copied log to what the -shm said of it.
func (i index) agrees(e extent) error {
	if e.frames != i.frames || e.sum != i.sum || e.header.salt != i.salt || e.pages != i.pages || e.header.pageSize != i.pageSize {
		return fmt.Errorf("%w: its log has %d whole frames, its -shm says %d", ErrMalformed, e.frames, i.frames)
	}
	return nil
}
