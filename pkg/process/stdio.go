package process

import (
	"errors"
	"io"
	"os"
	"sync"
)

// chunk is how much output is read at once. Buffers are shared and taken only
// when there is something to read: an idle child costs none.
const chunk = 32 << 10

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
func (c *Child) openStdio(in *os.File, wanted bool) (stdio, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return stdio{}, err
	}
	s := stdio{in: null, out: null, own: []*os.File{null}}
	if in != nil {
		s.in = in
	}
	if wanted {
		r, w, err := os.Pipe()
		if err != nil {
			s.close()
			return stdio{}, err
		}
		c.out, s.out = r, w
		s.own = append(s.own, w)
	}
	return s, nil
}

// pump carries output to the sink until the pipe ends or Reap's deadline. What
// the sink says about it does not matter: a child must not die of a full disk.
func (c *Child) pump(out io.Writer) {
	defer close(c.pumped)
	if c.out == nil {
		return
	}
	defer c.out.Close()
	raw, err := c.out.SyscallConn()
	if err != nil {
		return
	}
	for readChunk(raw, out) == nil {
	}
}

// errEnd is the end of the output.
var errEnd = errors.New("end of output")
