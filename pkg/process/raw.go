package process

import (
	"errors"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

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
