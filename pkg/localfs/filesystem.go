// Package localfs is the local side of a replica: an open tree that no link leads out of,
// walks of it, files that are read while others write them, moves between mounts, and what
// its file system cannot do. It knows neither what was agreed nor what a remote has.
package localfs

import (
	"context"
	"io"
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
	Walk(ctx context.Context, dir string, match Matcher) ([]Entry, []Unknown, error)
	// Lstat looks at one path; nil when nothing is there.
	Lstat(path string) (*Entry, error)
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

// Dir is the replica's own directory inside its tree. It is never synced.
const Dir = ".coltec"

// Conflicts is the directory in it of local versions that lost their name to a remote one.
const Conflicts = "conflicts"

// Matcher tells the paths that a walk is to list from the others.
type Matcher interface {
	File(path string) bool
	Dir(path string) bool
}

// Everything is the Matcher of a walk that leaves nothing out.
type Everything struct{}

// File reports that a file is listed.
func (Everything) File(string) bool { return true }

// Dir reports that a directory is walked.
func (Everything) Dir(string) bool { return true }
