package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// InUse is of a database that somebody has open.
type InUse struct {
	PID int // 0: it is not known who
}

func (e *InUse) Error() string {
	if e.PID > 0 {
		return fmt.Sprintf("process %d has it open", e.PID)
	}
	return "a process has it open"
}

// Vacant returns an error, of [*InUse] or [ErrNotLockable], unless nobody has the database of a
// name in a directory open. One that is not there is nobody's.
func Vacant(dir *os.Root, name string) error {
	f, err := open(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer f.Close() // and with it goes the lease
	return vacant(dir, name, f)
}

// vacant keeps a lease of the file: until it is closed, who opens it waits.
func vacant(dir *os.Root, name string, f *os.File) error {
	if err := lockable(f); err != nil {
		return err
	}
	if err := errors.Join(free(f, pending), free(f, reserved), free(f, shared)); err != nil {
		return err
	}
	switch index, err := open(dir, name+string(Index)); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		err = free(index, logAny)
		index.Close()
		if err != nil {
			return err
		}
	}
	// Who has no transaction has no lock either, but for a log. A lease to write is given
	// where nobody else has the file open, locked or not: but not by each file system, nor
	// to whoever is neither its owner nor root.
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK); errors.Is(err, unix.EAGAIN) {
		return &InUse{}
	}
	return nil
}

// free says who has a lock.
func free(f *os.File, s span) error {
	pid, held, err := holder(f, s)
	if err == nil && held {
		err = &InUse{pid}
	}
	return err
}
