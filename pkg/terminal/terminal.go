// Package terminal is a terminal that nobody sits at: programs that draw on one run on it, and
// what they draw is made lines of text.
package terminal

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// The size of each terminal, in characters: wide enough that a line of an answer is one.
const (
	Columns = 160
	Lines   = 48
)

// Name is what a terminal is called in TERM: what programs draw for it is what [Screen] reads.
const Name = "xterm-256color"

// Open makes a terminal. host is the end that reads what is drawn, and writes what is typed;
// program is for the standard files of one. Both are to be closed. Reads of host fail with EIO
// once nobody has the other end, and end at a deadline.
func Open() (host, program *os.File, err error) {
	host, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make a terminal: %w", err)
	}
	program, err = other(host)
	if err != nil {
		host.Close()
		return nil, nil, fmt.Errorf("cannot make a terminal: %w", err)
	}
	return host, program, nil
}

// other opens the end of a terminal that is for a program.
func other(host *os.File) (*os.File, error) {
	raw, err := host.SyscallConn() // Fd would have reads block
	if err != nil {
		return nil, err
	}
	number, failed := 0, error(nil)
	err = raw.Control(func(fd uintptr) {
		unlock := unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0)
		n, told := unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		sized := unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: Lines, Col: Columns})
		number, failed = n, errors.Join(unlock, told, sized)
	})
	if err = errors.Join(err, failed); err != nil {
		return nil, err
	}
	path := "/dev/pts/" + strconv.Itoa(number)
	fd, err := syscall.Open(path, syscall.O_RDWR|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0) // blocking, as a program expects it
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}
