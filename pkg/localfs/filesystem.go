// Package localfs is the local side of a replica: an open tree that no link leads out of,
// walks of it, files that are read while others write them, moves between mounts, and what
// its file system cannot do. It knows neither what was agreed nor what a remote has.
package localfs

import (
	"cmp"
	"context"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// FileSystem is an open local tree, as its file system shows it. Its methods
// take paths as trees have them and never follow a symlink. *Root is the real
// one; package replicatest has some that behave as those of other machines do.
// Not for concurrent use.
type FileSystem interface {
	Close()
	// Forget drops what is cached of directories: something new begins.
	Forget()
	// Identity is the device and inode of the root directory.
	Identity() (dev, inode uint64, err error)
	// Walk lists what is under a directory, "" for the root, in the order of
	// tree.Compare, as the function Walk does.
	Walk(ctx context.Context, dir string, match Matcher) ([]Sighting, []Unknown, error)
	// Lstat sights one path; nil when nothing is there.
	Lstat(path string) (*Sighting, error)
	// Open opens a regular file for reading.
	Open(path string) (File, error)
	Mkdir(path string, perm uint32) error
	MkdirAll(path string, perm uint32) error
	Remove(path string) error
	Rmdir(path string) error
	Symlink(target, path string) error
	// Rename moves a file or link. When replace is false and something is at
	// the new path the error is fs.ErrExist and nothing happened.
	Rename(from, to string, replace bool) error
	// MoveAcross moves a file or link that is as it was seen to another mount, where
	// Rename's error is EXDEV, and gives how it looks there.
	MoveAcross(from, to string, was Seen) (Seen, error)
	Chmod(path string, mode uint32) error
	SetTime(path string, ns int64) error
	// Sync flushes some files, or the whole file system when none are named.
	Sync(files ...string) error
}

// File is a regular file that is open for reading.
type File interface {
	io.ReadCloser
	io.ReaderAt
	// Seen is what the file system says of it now.
	Seen() (Seen, error)
}

// openFile is the File of a Root.
type openFile struct{ *os.File }

func (f openFile) Seen() (Seen, error) { return fstat(f.File) }

// Walk lists what is under a directory of the tree.
func (r *Root) Walk(ctx context.Context, dir string, match Matcher) ([]Sighting, []Unknown, error) {
	return sightings(func(visit func(*Met)) error { return r.WalkIn(ctx, dir, match, nil, visit) })
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
