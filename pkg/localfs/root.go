package localfs

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/tree"
	"golang.org/x/sys/unix"
)

// Root is an open local tree. Its methods take paths as trees have them and
// never follow a symlink, neither at the end of a path nor on the way, so that
// nothing outside the tree is ever read or written. Not for concurrent use.
type Root struct {
	Path string
	fd   int
	own  int // what is below Dir is looked for in this directory; -1: where the tree has it
	// The two directories that were used last, the later one first: trees are
	// worked through in order, so that the next path is most often in the same
	// one, and what is renamed comes from the same one too.
	last [2]openDir
}

// openDir is a directory of the tree; path is "" when there is none.
type openDir struct {
	path string
	fd   int
}

func (d *openDir) close() {
	if d.path != "" {
		unix.Close(d.fd)
	}
	*d = openDir{}
}

// OpenRoot opens the tree at an absolute path. A link on the way to it is followed where
// nobody but root and our own user can have put it, and none below within, "" for none.
// perm is what a missing tree is made with, 0 makes none.
func OpenRoot(path, within string, perm os.FileMode) (*Root, error) {
	f, err := anchor.Open(path, within, perm)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := Root{Path: path, fd: int(f.Fd()), own: -1}
	return r.Fork()
}

// Close releases the tree.
func (r *Root) Close() {
	r.Forget()
	unix.Close(r.fd)
}

// Fork opens the same tree, whatever is at its path by now, for another
// goroutine.
func (r *Root) Fork() (*Root, error) {
	fd, err := unix.FcntlInt(uintptr(r.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "dup", Path: r.Path, Err: err}
	}
	return &Root{Path: r.Path, fd: fd, own: r.own}, nil
}

// Forget drops the cached directories: they may have been removed or replaced.
// Whoever begins something new with the tree calls it: a directory that was
// removed and made again, by a git checkout say, would stay the old one.
func (r *Root) Forget() {
	for i := range r.last {
		r.last[i].close()
	}
}

// Identity is the device and inode of the root directory.
func (r *Root) Identity() (dev, inode uint64, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(r.fd, &st); err != nil {
		return 0, 0, &fs.PathError{Op: "stat", Path: r.Path, Err: err}
	}
	return st.Dev, st.Ino, nil
}

// parent gives a descriptor of the directory that holds path, valid until the
// next call but one, and the name in it.
func (r *Root) parent(path string) (fd int, name string, err error) {
	if !tree.ValidPath(path) {
		return -1, "", &fs.PathError{Op: "open", Path: path, Err: fs.ErrInvalid}
	}
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return r.fd, path, nil
	}
	dir, name := path[:i], path[i+1:]
	if r.last[0].path == dir {
		return r.last[0].fd, name, nil
	}
	if r.last[1].path != dir {
		fd, err := r.openDir(dir)
		if err != nil {
			return -1, "", err
		}
		r.last[1].close()
		r.last[1] = openDir{dir, fd}
	}
	r.last[0], r.last[1] = r.last[1], r.last[0]
	return r.last[0].fd, name, nil
}

func (r *Root) openDir(path string) (int, error) {
	fd, way := r.fd, path
	if r.own >= 0 && tree.Within(path, Dir) {
		fd, way = r.own, "."+strings.TrimPrefix(path, Dir)
	}
	first := fd
	for name := range strings.SplitSeq(way, "/") {
		next, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if fd != first {
			unix.Close(fd)
		}
		if err != nil {
			return -1, &fs.PathError{Op: "open", Path: path, Err: err}
		}
		fd = next
	}
	return fd, nil
}

// in calls do with the directory and name of path and wraps its error.
func (r *Root) in(op, path string, do func(fd int, name string) error) error {
	fd, name, err := r.parent(path)
	if err != nil {
		return err
	}
	if err := do(fd, name); err != nil {
		return &fs.PathError{Op: op, Path: path, Err: err}
	}
	return nil
}

// Lstat looks at one path. A nil entry with a nil error means that nothing
// is there.
func (r *Root) Lstat(path string) (*Entry, error) {
	var s *Entry
	err := r.in("lstat", path, func(fd int, name string) (err error) {
		var st unix.Stat_t
		if err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
		if s, err = entryOf(path, &st, fd, name); err != nil || s.Kind != tree.Dir {
			return err
		}
		var above unix.Stat_t
		err = unix.Fstat(fd, &above)
		s.Mount = above.Dev != st.Dev || mountRoot(fd, name)
		return err
	})
	if Absent(err) {
		return nil, nil
	}
	return s, err
}

// Absent reports whether an error means that nothing is at the path.
func Absent(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}

// Open opens a regular file for reading.
func (r *Root) Open(path string) (File, error) {
	var f openFile
	err := r.in("open", path, func(dir int, name string) error {
		// O_NONBLOCK: a fifo that took the file's place must not hang the scan.
		fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err == nil {
			f = openFile{os.NewFile(uintptr(fd), path)}
		}
		return err
	})
	return f, err
}

// MkdirAll makes the directory at path and those above it.
func (r *Root) MkdirAll(path string, perm uint32) error {
	for dir := range tree.Parents(path) {
		if err := r.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	return r.Mkdir(path, perm)
}

// Mkdir makes one directory; one that is there already will do.
func (r *Root) Mkdir(path string, perm uint32) error {
	if path == Dir && r.own >= 0 {
		return nil
	}
	return r.in("mkdir", path, func(fd int, name string) error {
		err := unix.Mkdirat(fd, name, perm)
		if errors.Is(err, unix.EEXIST) {
			var st unix.Stat_t
			if unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
				return nil
			}
		}
		return err
	})
}

// Remove removes a file or a link.
func (r *Root) Remove(path string) error {
	return r.in("remove", path, func(fd int, name string) error { return unix.Unlinkat(fd, name, 0) })
}

// Rmdir removes an empty directory.
func (r *Root) Rmdir(path string) error {
	r.Forget()
	return r.in("rmdir", path, func(fd int, name string) error { return unix.Unlinkat(fd, name, unix.AT_REMOVEDIR) })
}

// Symlink makes a link.
func (r *Root) Symlink(target, path string) error {
	return r.in("symlink", path, func(fd int, name string) error { return unix.Symlinkat(target, fd, name) })
}

// Rename moves a file or link within the tree. When replace is false and
// something is at the new path the error is fs.ErrExist and nothing happened.
func (r *Root) Rename(from, to string, replace bool) error {
	dir, name, err := r.parent(from)
	if err != nil {
		return err
	}
	return r.in("rename", to, func(fd int, target string) error {
		if replace {
			return unix.Renameat(dir, name, fd, target)
		}
		err := unix.Renameat2(dir, name, fd, target, unix.RENAME_NOREPLACE)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // the file system cannot
			var st unix.Stat_t
			if unix.Fstatat(fd, target, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
				return unix.EEXIST
			}
			return unix.Renameat(dir, name, fd, target)
		}
		return err
	})
}

// Exchange has what is at two paths change places, at once. Where the file system cannot, the
// error is EINVAL or ENOSYS and nothing happened.
func (r *Root) Exchange(one, other string) error {
	dir, name, err := r.parent(one)
	if err != nil {
		return err
	}
	return r.in("exchange", other, func(fd int, target string) error {
		return unix.Renameat2(dir, name, fd, target, unix.RENAME_EXCHANGE)
	})
}

// Link gives a file, or a link, a second name at which nothing is.
func (r *Root) Link(from, to string) error {
	dir, name, err := r.parent(from)
	if err != nil {
		return err
	}
	return r.in("link", to, func(fd int, target string) error { return unix.Linkat(dir, name, fd, target, 0) })
}

// Same reports whether two paths are names of one file: an inode alone is of many file systems.
func (r *Root) Same(one, other string) (same bool, err error) {
	var a, b unix.Stat_t
	stat := func(st *unix.Stat_t) func(int, string) error {
		return func(fd int, name string) error { return unix.Fstatat(fd, name, st, unix.AT_SYMLINK_NOFOLLOW) }
	}
	if err = r.in("lstat", one, stat(&a)); err == nil {
		err = r.in("lstat", other, stat(&b))
	}
	if Absent(err) {
		return false, nil
	}
	return err == nil && a.Dev == b.Dev && a.Ino == b.Ino, err
}

// Chmod sets the permission bits of a file or directory.
func (r *Root) Chmod(path string, mode uint32) error {
	return r.in("chmod", path, func(dir int, name string) error {
		// Linux has a chmod that follows no link since 6.6. Older ones, and sandboxes that do
		// not know it, refuse it, each with an error of its own.
		if unix.Fchmodat(dir, name, mode, unix.AT_SYMLINK_NOFOLLOW) == nil {
			return nil
		}
		fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT == unix.S_IFLNK {
			return unix.ELOOP
		}
		return unix.Chmod("/proc/self/fd/"+strconv.Itoa(fd), mode)
	})
}

// SetTime sets the modification time, of a link too.
func (r *Root) SetTime(path string, ns int64) error {
	return r.in("utimes", path, func(fd int, name string) error {
		ts := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, unix.NsecToTimespec(ns)}
		return unix.UtimesNanoAt(fd, name, ts, unix.AT_SYMLINK_NOFOLLOW)
	})
}

// Inode is that of a file; 0 where nobody tells.
func Inode(s fs.FileInfo) uint64 {
	if st, ok := s.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return 0
}

// Device is that which a file is on; 0 where nobody tells.
func Device(s fs.FileInfo) uint64 {
	if st, ok := s.Sys().(*syscall.Stat_t); ok {
		return st.Dev
	}
	return 0
}

// Identify gives what tells an open file from another one of its name.
func Identify(f *os.File) (ino uint64, size int64, err error) {
	s, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	return Inode(s), s.Size(), nil
}

// ErrEdited is the error where a path is not any more what was planned with. The
// next round plans anew.
var ErrEdited = errors.New("it was edited meanwhile")

// MakeParents makes the directories above a path that are missing. It begins at the
// nearest one, which most often is there: of a deep tree each step from the top is
// long.
func MakeParents(root FileSystem, path string) error {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return nil
	}
	dir := path[:i]
	if s, err := root.Lstat(dir); err == nil && s != nil && s.Kind == tree.Dir {
		return nil
	}
	if err := MakeParents(root, dir); err != nil {
		return err
	}
	return MakeDir(root, dir)
}

// MakeDir makes one directory, in one that may be read-only.
func MakeDir(root FileSystem, path string) error {
	return WithWritableParent(root, path, func() error { return root.Mkdir(path, 0o755) })
}

// WithWritableParent does something in the directory that holds path. Where its mode
// forbids that, it is made writable for the moment.
func WithWritableParent(root FileSystem, path string, do func() error) error {
	err := do()
	i := strings.LastIndexByte(path, '/')
	if !errors.Is(err, unix.EACCES) || i < 0 {
		return err
	}
	dir, err2 := root.Lstat(path[:i])
	if err2 != nil || dir == nil || dir.Kind != tree.Dir || dir.Mode&0o200 != 0 {
		return err
	}
	if root.Chmod(dir.Path, dir.Mode|0o200) != nil {
		return err
	}
	return errors.Join(do(), root.Chmod(dir.Path, dir.Mode))
}

// openFile is the File of a Root.
type openFile struct{ *os.File }

// Seen is what the file system has of the file now.
func (f openFile) Seen() (Seen, error) { return fstat(f.File) }

// Walk lists what is under a directory of the tree.
func (r *Root) Walk(ctx context.Context, dir string, match Matcher) ([]Entry, []Unknown, error) {
	return entries(func(visit func(*Met)) error { return r.WalkIn(ctx, dir, match, nil, visit) })
}

// WalkIn is Walk, path by path, of the directories in a scope.
func (r *Root) WalkIn(ctx context.Context, dir string, match Matcher, in Scope, visit func(*Met)) error {
	fd, err := r.openDir(cmp.Or(dir, "."))
	if err != nil {
		return err
	}
	return walkIn(ctx, fd, Join(r.Path, dir), match, in, visit)
}

// Sync flushes files, or the file system that the tree is on.
func (r *Root) Sync(files ...string) error {
	if len(files) == 0 {
		return unix.Syncfs(r.fd)
	}
	for _, path := range files {
		err := r.in("flush", path, func(dir int, name string) error {
			fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			return unix.Fsync(fd)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
