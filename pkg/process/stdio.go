package process

import (
	"errors"
	"io"
	"os"
	"syscall"
)

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
// os/exec's would bind the end of the child to the end of its output. printed is the end of
// it that is read; nil where none is wanted.
func openStdio(quiet, wanted bool, cred *syscall.Credential) (s stdio, printed *os.File, err error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return stdio{}, nil, err
	}
	s = stdio{in: null, out: null, own: []*os.File{null}}
	if quiet {
		if err := s.quieten(cred); err != nil {
			s.close()
			return stdio{}, nil, err
		}
	}
	if wanted {
		r, w, err := os.Pipe()
		if err != nil {
			s.close()
			return stdio{}, nil, err
		}
		widen(w.Fd())
		printed, s.out = r, w
		s.own = append(s.own, w)
		if both, err := reopen(w); err == nil {
			s.out = both
			s.own = append(s.own, both)
		}
		if cred != nil {
			_ = s.out.Chown(int(cred.Uid), int(cred.Gid)) // or it could not open /dev/stdout
		}
	}
	return s, printed, nil
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

// outlet is where a child prints to, as we read it.
type outlet struct {
	out    *os.File // read end of the pipe; nil: none
	pumped chan struct{}
}

// pump carries output to the sink until the pipe ends or Reap's deadline. What
// the sink says about it does not matter: a child must not die of a full disk.
func (o *outlet) pump(out io.Writer, begun held) {
	defer close(o.pumped)
	if o.out == nil {
		return
	}
	defer o.out.Close()
	raw, err := o.out.SyscallConn()
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
