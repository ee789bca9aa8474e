package sqlite

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// A span is a range of bytes that SQLite locks. In a database they are behind the first
// gibibyte, where no page is; in a -shm they lie in its header.
type span struct{ at, n int64 }

var (
	pending  = span{0x40000000, 1} // who waits to be alone; keeps others from coming
	reserved = span{0x40000001, 1} // who will write
	shared   = span{0x40000002, 510}

	// 120 is WRITE, 122 RECOVER: neither is asked for.
	logCheck   = span{121, 1} // who brings the log into the database
	logReaders = [5]span{{123, 1}, {124, 1}, {125, 1}, {126, 1}, {127, 1}}
	logInUse   = span{128, 1} // everybody who has the -shm open: SQLite's "dead man's switch"
	logAny     = span{120, 9}
)

var (
	errHeld = errors.New("somebody else has the lock")
	// ErrNotLockable is of a file system that knows no locks, or knows those of this kernel
	// alone while others use its files.
	ErrNotLockable = errors.New("its file system does not tell of the locks of all that use it")
)

// locking asks for a lock of an open file description. It meets the locks that SQLite
// takes as a process, in other processes and in ours; but no close of another
// descriptor of the same file loses it, and it ends with its own.
func locking(f *os.File, cmd int, kind int16, s span) (unix.Flock_t, error) {
	l := unix.Flock_t{Type: kind, Whence: io.SeekStart, Start: s.at, Len: s.n}
	for {
		err := unix.FcntlFlock(f.Fd(), cmd, &l)
		switch {
		case err == nil:
			return l, nil
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EACCES):
			return l, errHeld
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOLCK), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EOPNOTSUPP):
			return l, fmt.Errorf("%w: %w", ErrNotLockable, err)
		}
		return l, &os.PathError{Op: "lock", Path: f.Name(), Err: err}
	}
}

// join takes a lock that others may have too, unless somebody has it alone. It never waits.
func join(f *os.File, s span) error {
	_, err := locking(f, unix.F_OFD_SETLK, unix.F_RDLCK, s)
	return err
}

func leave(f *os.File, s span) error {
	_, err := locking(f, unix.F_OFD_SETLK, unix.F_UNLCK, s)
	return err
}

// holder says whether anybody else has a lock that would be in the way of having it
// alone, and which process; 0 where that is not known.
func holder(f *os.File, s span) (pid int, held bool, err error) {
	l, err := locking(f, unix.F_OFD_GETLK, unix.F_WRLCK, s)
	if err != nil || l.Type == unix.F_UNLCK {
		return 0, false, err
	}
	return max(0, int(l.Pid)), true, nil
}

// local are file systems whose locks are those of all that use their files: nobody
// reaches them but by this kernel. Of others a lock may be known to this side alone,
// as where a folder of the host is shared with a virtual machine.
var local = map[int64]bool{
	unix.EXT4_SUPER_MAGIC: true, unix.XFS_SUPER_MAGIC: true, unix.BTRFS_SUPER_MAGIC: true, unix.TMPFS_MAGIC: true,
	unix.OVERLAYFS_SUPER_MAGIC: true, unix.F2FS_SUPER_MAGIC: true, unix.RAMFS_MAGIC: true,
	0x2fc12fc1: true, // ZFS
	0xca451a4e: true, // bcachefs
}

func lockable(f *os.File) error {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil {
		return &os.PathError{Op: "statfs", Path: f.Name(), Err: err}
	}
	if !local[int64(fs.Type)&0xffffffff] {
		return fmt.Errorf("%w (type %#x)", ErrNotLockable, uint32(fs.Type))
	}
	return nil
}
