package process

import (
	"bytes"
	"errors"
	"io"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
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

func carryRest(pipe int, out io.Writer) {
	buf := chunks.Get().(*[]byte)
	defer chunks.Put(buf)
	for got := 0; got < pipeSize; {
		n, err := ignoringEINTR(func() (int, error) { return syscall.Read(pipe, *buf) })
		if err != nil || n <= 0 {
			return
		}
		_, _ = out.Write((*buf)[:n])
		got += n
	}
}

func ignoringEINTR(f func() (int, error)) (int, error) {
	for {
		n, err := f()
		if !errors.Is(err, syscall.EINTR) {
			return n, err
		}
	}
}

// siginfo is the kernel's siginfo_t for a child; the union after it begins at a
// pointer's alignment, so it holds for 32 and 64 bits.
type siginfo struct {
	signo, errno, code int32
	child              struct {
		_      [0]uintptr
		pid    int32
		uid    uint32
		status int32
	}
	_ [128]byte // at least as long as the kernel's
}

// Codes of siginfo for a child that has ended.
const (
	cldExited = 1
	cldKilled = 2
	cldDumped = 3
)

// peek asks how pid ended and leaves it a zombie. With WNOHANG it may be that it
// has not. A child that somebody else has reaped counts as killed: nothing of it
// runs, and nobody knows more.
func peek(pid, flags int) (Exit, bool) {
	var info siginfo
	_, err := ignoringEINTR(func() (int, error) {
		_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, unix.P_PID, uintptr(pid), uintptr(unsafe.Pointer(&info)),
			uintptr(syscall.WEXITED|syscall.WNOWAIT|flags), 0, 0)
		if errno != 0 {
			return 0, errno
		}
		return 0, nil
	})
	switch {
	case err != nil:
		return Exit{Signal: syscall.SIGKILL}, true
	case info.child.pid == 0:
		return Exit{}, false
	case info.code == cldExited:
		return Exit{Code: int(info.child.status)}, true
	default:
		return Exit{Signal: syscall.Signal(info.child.status), Core: info.code == cldDumped}, true
	}
}
