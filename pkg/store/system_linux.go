package store

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// bootTime is a clock that goes on while the machine sleeps; Go's monotonic
// clock stops.
func bootTime() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) // cannot fail for this clock
	return time.Duration(ts.Nano())
}

// folder is a directory that files are made in, each by one call.
type folder struct{ fd int }

func openFolder(dir string) (*folder, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	return &folder{fd}, nil
}

func (d *folder) close() { unix.Close(d.fd) }

// openFile opens a file in it, and no link.
func (d *folder) openFile(name string, flags int) (*os.File, error) {
	fd, err := unix.Openat(d.fd, name, flags|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

func (d *folder) remove(name string) error {
	if err := unix.Unlinkat(d.fd, name, 0); err != nil {
		return &os.PathError{Op: "remove", Path: name, Err: err}
	}
	return nil
}

// flushSoon has a stretch of a file written to the disk: whoever waits for the file to be
// there waits less.
func flushSoon(f *os.File, at, size int64) {
	_ = unix.SyncFileRange(int(f.Fd()), at, size, unix.SYNC_FILE_RANGE_WRITE)
}

// stripAttributes removes user.* attributes.
func stripAttributes(file string) {
	buf := make([]byte, 4096)
	n, err := unix.Llistxattr(file, buf)
	if err != nil {
		return // the file system has none
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(buf[:n]), "\x00"), "\x00") {
		if strings.HasPrefix(name, "user.") {
			_ = unix.Lremovexattr(file, name)
		}
	}
}
