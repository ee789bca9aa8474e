package localfs

import (
	"errors"
	"os"
	"strconv"

	"github.com/coltec/coltec/pkg/sparse"
	"golang.org/x/sys/unix"
)

// MoveAcross moves a file or link to another mount, which no rename can do: a volume
// within the tree, say. It must be as it was seen, before and after it is copied: what
// was edited meanwhile stays, and the error says so. What comes is whole and on the
// disk when it has its new name, and replaces nothing; the result is how it looks
// there. On a file system that has no files without a name the error is EXDEV.
func (r *Root) MoveAcross(from, to string, was Seen) (is Seen, err error) {
	dir, name, err := r.parent(from)
	if err != nil {
		return is, err
	}
	err = r.in("move", to, func(fd int, target string) (err error) {
		is, err = moveAcross(dir, name, fd, target, was)
		return err
	})
	return is, err
}

func moveAcross(fromDir int, from string, toDir int, to string, was Seen) (is Seen, err error) {
	st, err := unchanged(fromDir, from, was)
	if err != nil {
		return is, err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		is, err = copyAcross(fromDir, from, toDir, to, st)
	case unix.S_IFLNK:
		is, err = linkAcross(fromDir, from, toDir, to, st)
	default:
		err = unix.EXDEV
	}
	if err != nil {
		return is, err
	}
	if _, err = unchanged(fromDir, from, was); err == nil {
		err = unix.Unlinkat(fromDir, from, 0)
	}
	if err != nil { // one of them is enough
		err = errors.Join(err, unix.Unlinkat(toDir, to, 0))
	}
	return is, err
}

// unchanged looks at a file or link, which is to be as it was seen.
func unchanged(dir int, name string, was Seen) (*unix.Stat_t, error) {
	var st unix.Stat_t
	err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == nil && seenOf(&st) != was {
		err = ErrEdited
	}
	return &st, err
}

func copyAcross(fromDir int, from string, toDir int, to string, was *unix.Stat_t) (is Seen, err error) {
	fd, err := unix.Openat(fromDir, from, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return is, err
	}
	src := os.NewFile(uintptr(fd), from)
	defer src.Close()
	out, err := unix.Openat(toDir, ".", unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EINVAL) {
		return is, unix.EXDEV
	}
	if err != nil {
		return is, err
	}
	dst := os.NewFile(uintptr(out), to)
	defer dst.Close()
	if _, err := sparse.Copy(dst, src); err != nil {
		return is, err
	}
	own := "/proc/self/fd/" + strconv.Itoa(out)
	err = unix.Fchmod(out, was.Mode&0o7777)
	if err == nil {
		err = unix.UtimesNanoAt(unix.AT_FDCWD, own, []unix.Timespec{{Nsec: unix.UTIME_OMIT}, was.Mtim}, 0)
	}
	if err == nil {
		err = unix.Fsync(out)
	}
	var st unix.Stat_t
	if err == nil {
		err = unix.Fstat(out, &st)
	}
	if err == nil {
		err = unix.Linkat(unix.AT_FDCWD, own, toDir, to, unix.AT_SYMLINK_FOLLOW)
	}
	if err == nil {
		err = unix.Fsync(toDir)
	}
	return seenOf(&st), err
}

func linkAcross(fromDir int, from string, toDir int, to string, was *unix.Stat_t) (is Seen, err error) {
	target, err := readlink(fromDir, from, was.Size)
	if err != nil {
		return is, err
	}
	if err := unix.Symlinkat(target, toDir, to); err != nil {
		return is, err
	}
	err = unix.UtimesNanoAt(toDir, to, []unix.Timespec{{Nsec: unix.UTIME_OMIT}, was.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
	var st unix.Stat_t
	if err == nil {
		err = unix.Fstatat(toDir, to, &st, unix.AT_SYMLINK_NOFOLLOW)
	}
	if err == nil {
		err = unix.Fsync(toDir)
	}
	return seenOf(&st), err
}
