package process

import (
	"bytes"
	"errors"
	"io"
	"syscall"
)

// carrier brings the output of a child from its pipe to its log.
type carrier struct {
	raw  syscall.RawConn
	out  io.Writer
	held held
}

// next waits for output without holding a buffer, then carries one chunk.
func (c *carrier) next() error {
	var buf *[]byte
	var n int
	var left bool
	var readErr error
	err := c.raw.Read(func(fd uintptr) bool {
		buf = chunks.Get().(*[]byte)
		n, left, readErr = ahead.read(int(fd), *buf)
		if errors.Is(readErr, syscall.EAGAIN) {
			chunks.Put(buf)
			buf = nil
			return false
		}
		return true
	})
	if buf != nil {
		defer chunks.Put(buf)
	}
	switch {
	case err != nil: // the deadline of Reap
		return err
	case readErr != nil:
		return readErr
	case n <= 0:
		return errEnd
	case !left:
		_, _ = c.out.Write((*buf)[:n])
		return nil
	}
	if err := c.raw.Control(func(fd uintptr) { readErr = c.take(int(fd), (*buf)[:n]) }); err != nil {
		return err
	}
	return readErr
}

// take writes what a pipe has next, as far as it is whole lines, and then takes it out of
// the pipe. Of a line that was begun, or that has no end yet, it is the other way round:
// see held.
func (c *carrier) take(pipe int, text []byte) error {
	begun := c.held.size > 0
	first, last := bytes.IndexByte(text, '\n')+1, bytes.LastIndexByte(text, '\n')+1
	if !begun && last > 0 {
		text = text[:last]
		_, _ = c.out.Write(text)
		if c.keeps() {
			return c.held.move(pipe, text)
		}
		return drainInto(pipe, text)
	}
	if first > 0 {
		text = text[:first]
	}
	err := c.held.move(pipe, text)
	_, _ = c.out.Write(text)
	if first > 0 && !c.keeps() || c.held.size > holdMost {
		c.held.clear()
	}
	return err
}

// keeps reports whether the log has some of what it was given in its memory alone, though
// it was whole lines: what may be the beginning of a secret.
func (c *carrier) keeps() bool {
	log, ok := c.out.(interface{ Keeps() bool })
	return ok && log.Keeps()
}

// rest carries what is in the pipe without waiting for more: who is late, as on a busy
// machine, loses nothing by it. A stranger who prints on is not followed.
func (c *carrier) rest() {
	_ = c.raw.Control(func(fd uintptr) { carryRest(int(fd), c.out) })
}
