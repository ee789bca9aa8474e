package process

import (
	"errors"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// lookahead reads a pipe and leaves in it what it has read. Output is taken out
// of the pipe when it is in the log, not before: were we killed in between, who
// comes after us still finds it there (see Rescue). The price is a second call of
// the kernel for each chunk.
type lookahead struct {
	mu   sync.Mutex // one at a time: the copies go through one pipe
	r, w int
	open bool
	none bool // the kernel has no tee (gVisor)
}

var ahead lookahead

// read fills buf with the next bytes of the pipe fd. left is true when they are
// still in it.
func (l *lookahead) read(fd int, buf []byte) (n int, left bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ready() {
		n, err = ignoringEINTR(func() (int, error) { return syscall.Read(fd, buf) })
		return n, false, err
	}
	copied, err := ignoringEINTR(func() (int, error) {
		n, err := unix.Tee(fd, l.w, len(buf), unix.SPLICE_F_NONBLOCK)
		return int(n), err
	})
	switch {
	case errors.Is(err, syscall.EAGAIN):
		return 0, true, err
	case err != nil:
		l.none = true
		n, err = ignoringEINTR(func() (int, error) { return syscall.Read(fd, buf) })
		return n, false, err
	}
	return copied, true, drainInto(l.r, buf[:copied])
}

// ready opens the pipe for the copies.
func (l *lookahead) ready() bool {
	if l.open || l.none {
		return l.open && !l.none
	}
	var fds [2]int
	if err := syscall.Pipe2(fds[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK); err != nil {
		return false // too many files are open: the next time, perhaps
	}
	widen(uintptr(fds[1])) // or a whole chunk would not fit
	l.r, l.w, l.open = fds[0], fds[1], true
	return true
}
