// Package sparse writes files without the blocks that are all zeros: a disk image or a
// database of which most is empty takes no more room than what is in it.
package sparse

import (
	"bytes"
	"errors"
	"io"
	"os"
)

// block is the least that becomes a hole: the block size of the usual file systems.
const block = 4096

var zeros [block]byte

// Writer writes to a file from an offset on and leaves out blocks of zeros. Where they
// are at the end, the file is as long as it is to be only when it is truncated to that.
type Writer struct {
	f     *os.File
	at    int64
	end   int64 // what was written ends here
	fresh bool
}

// NewWriter writes to f from an offset on. A fresh file has nothing there yet; of any
// other what is there makes way for the hole.
func NewWriter(f *os.File, at int64, fresh bool) *Writer {
	return &Writer{f: f, at: at, end: at, fresh: fresh}
}

// Write writes b, but for its blocks of zeros.
func (w *Writer) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		hole := isZero(b[n:w.next(b, n)])
		end := n
		for end < len(b) && isZero(b[end:w.next(b, end)]) == hole {
			end = w.next(b, end)
		}
		switch {
		case !hole:
			_, err = w.f.WriteAt(b[n:end], w.at+int64(n))
			w.end = w.at + int64(end)
		case !w.fresh:
			err = Punch(w.f, w.at+int64(n), int64(end-n))
		}
		if err == nil {
			n = end
		}
	}
	w.at += int64(n)
	return n, err
}

// next is where the block ends in b that b[n] is of. Blocks are those of the file.
func (w *Writer) next(b []byte, n int) int {
	return min(len(b), n+block-int((w.at+int64(n))%block))
}

func isZero(b []byte) bool { return bytes.Equal(b, zeros[:len(b)]) }

// Finish gives a file that was fresh its length where it ends in a hole. To truncate each
// file would cost a small one as much again as its content.
func (w *Writer) Finish() error {
	if w.end == w.at {
		return nil
	}
	return w.f.Truncate(w.at)
}

// Copy copies all of src to a fresh file.
func Copy(f *os.File, src io.Reader) (int64, error) {
	w := NewWriter(f, 0, true)
	n, err := io.Copy(w, src)
	return n, errors.Join(err, w.Finish())
}

// Punch makes a stretch of a file zeros, and a hole where the file system has such.
func Punch(f *os.File, at, size int64) error {
	err := punch(f, at, size)
	if errors.Is(err, errors.ErrUnsupported) {
		return overwrite(f, at, size)
	}
	return err
}

// overwrite writes zeros.
func overwrite(f *os.File, at, size int64) error {
	for ; size > 0; at, size = at+block, size-block {
		if _, err := f.WriteAt(zeros[:min(size, block)], at); err != nil {
			return err
		}
	}
	return nil
}

// Digger makes holes of blocks of zeros in a file that is read to its end: it is
// written what was read.
type Digger struct {
	f  *os.File
	at int64
}

// NewDigger digs in a file from its begin.
func NewDigger(f *os.File) *Digger { return &Digger{f: f} }

// Write takes what the file has next.
func (d *Digger) Write(b []byte) (n int, err error) {
	w := Writer{at: d.at}
	for n < len(b) {
		end := n
		for end < len(b) && isZero(b[end:w.next(b, end)]) {
			end = w.next(b, end)
		}
		if end > n && punch(d.f, d.at+int64(n), int64(end-n)) != nil {
			break // it stays as it is
		}
		n = max(end, w.next(b, n))
	}
	d.at += int64(len(b))
	return len(b), nil
}
