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

// stdio is the child's side of its standard files.
type stdio struct {
	in, out *os.File
	own     []*os.File // to close after the fork
}

func (s stdio) fds() []uintptr { return []uintptr{s.in.Fd(), s.out.Fd(), s.out.Fd()} }

func (s stdio) close() {
	for _, f := range s.own {
		f.Close()
	}
}

// openStdio opens the child's files: a pipe of our own for its output, since
// os/exec's would bind the end of the child to the end of its output.
func (c *Child) openStdio(quiet, wanted bool, cred *syscall.Credential) (stdio, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return stdio{}, err
	}
	s := stdio{in: null, out: null, own: []*os.File{null}}
	if quiet {
		if err := s.quieten(cred); err != nil {
			s.close()
			return stdio{}, err
		}
	}
	if wanted {
		r, w, err := os.Pipe()
		if err != nil {
			s.close()
			return stdio{}, err
		}
		widen(w.Fd())
		c.out, s.out = r, w
		s.own = append(s.own, w)
		if both, err := reopen(w); err == nil {
			s.out = both
			s.own = append(s.own, both)
		}
		if cred != nil {
			_ = s.out.Chown(int(cred.Uid), int(cred.Gid)) // or it could not open /dev/stdout
		}
	}
	return s, nil
}

// quieten makes standard input a pipe that is silent. The child itself has it open
// for writing, so that it does not end with us either: the last lines of a child are
// found by its output (see Rescue), which is gone when the child is.
func (s *stdio) quieten(cred *syscall.Credential) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	defer w.Close()
	both, err := reopen(w)
	if err != nil {
		return nil // no /proc: /dev/null has to do
	}
	s.in, s.own = both, append(s.own, both)
	if cred != nil {
		_ = both.Chown(int(cred.Uid), int(cred.Gid)) // or it could not open /dev/stdin
	}
	return nil
}

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

// pump carries output to the sink until the pipe ends or Reap's deadline. What
// the sink says about it does not matter: a child must not die of a full disk.
func (c *Child) pump(out io.Writer, begun held) {
	defer close(c.pumped)
	if c.out == nil {
		return
	}
	defer c.out.Close()
	raw, err := c.out.SyscallConn()
	if err != nil {
		return
	}
	carry := carrier{raw: raw, out: out, held: begun}
	defer carry.held.remove()
	for err == nil {
		err = carry.next()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		carry.rest()
	}
}

// errEnd is the end of the output.
var errEnd = errors.New("end of output")
