package process

import (
	"errors"
	"io"
	"os"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// chunk is how much output is read at once. Buffers are shared and taken only
// when there is something to read: an idle child costs none.
const chunk = 128 << 10

var chunks = sync.Pool{New: func() any { b := make([]byte, chunk); return &b }}

// pipeSize lets a child that prints much go on while we write what it printed; a
// pipe takes memory for what is in it only. Two chunks, so that one can fill.
const pipeSize = 2 * chunk

// widen makes a pipe hold pipeSize. A user with very many pipes is refused, and
// keeps the usual size.
func widen(fd uintptr) {
	_, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeSize)
}

// reopen opens a pipe for both reading and writing, for a child to have. Output: as
// long as the child runs, somebody can read then: were we killed, its next line
// would not kill it by SIGPIPE, and who comes after us finds the pipe in /proc
// (see Rescue). The end of the child is still the end of its output.
func reopen(w *os.File) (*os.File, error) {
	path := "/proc/self/fd/" + strconv.Itoa(int(w.Fd()))
	fd, err := syscall.Open(path, syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, err // no /proc: the plain end has to do
	}
	return os.NewFile(uintptr(fd), path), nil
}

// errEnd is the end of the output.
var errEnd = errors.New("end of output")

// drainInto takes exactly as many bytes as buf holds out of a pipe that has them.
func drainInto(fd int, buf []byte) error {
	for len(buf) > 0 {
		n, err := ignoringEINTR(func() (int, error) { return syscall.Read(fd, buf) })
		switch {
		case err != nil:
			return err
		case n == 0:
			return errEnd
		}
		buf = buf[n:]
	}
	return nil
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
