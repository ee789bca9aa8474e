//go:build unix

package cmdline

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// unread reports whether out is a pipe, or a terminal, whose other end is closed.
func unread(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok {
		return false
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	closed := false
	err = raw.Control(func(fd uintptr) {
		asked := []unix.PollFd{{Fd: int32(fd)}}
		n, err := unix.Poll(asked, 0)
		closed = err == nil && n == 1 && asked[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0
	})
	return err == nil && closed
}
