// Package replicatest has file systems that fall short of what trees carry, as
// those of other machines do: a folder shared from macOS or Windows, a USB
// stick. They lie over a real directory. Only tests may import it.
package replicatest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/tree"
	"golang.org/x/sys/unix"
	"golang.org/x/text/unicode/norm"
)

// Shape says how a file system falls short. The zero value does in nothing.
type Shape struct {
	Folds   bool          // names that differ in case alone are one; kept as they were given
	Decomps bool          // names are kept in normal form D, as HFS+ does
	NoModes bool          // permission bits are made up: all are set
	NoLinks bool          // there are no symlinks
	Grain   time.Duration // of times; 0: as the file system below
	// Before is called before each operation; nil: nothing is.
	Before func(op, path string)
}

// Open opens a tree; it is an Options.FileSystem.
func (s Shape) Open(path string) (localfs.FileSystem, error) {
	root, err := localfs.OpenRoot(path, "", 0)
	if err != nil {
		return nil, err
	}
	return &shaped{Root: root, shape: s}, nil
}

// plain says that the shape falls short in nothing.
func (s Shape) plain() bool {
	return !s.Folds && !s.Decomps && !s.NoModes && !s.NoLinks && s.Grain == 0
}

// Real gives the path, below root, at which the file system has what is asked
// for as path. A name that is not there yet is the one that it would get.
func (s Shape) Real(root, path string) string {
	if !s.Folds && !s.Decomps || path == "" {
		return path
	}
	out := ""
	for name := range strings.SplitSeq(path, "/") {
		if s.Decomps {
			name = norm.NFD.String(name)
		}
		if out = filepath.Join(out, s.stored(filepath.Join(root, out), name)); len(path) == len(out) && path == out {
			return out
		}
	}
	return out
}

// stored is the name that a directory has for a name.
func (s Shape) stored(dir, name string) string {
	if !s.Folds {
		return name
	}
	if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
		return name
	}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if strings.EqualFold(e.Name(), name) {
			return e.Name()
		}
	}
	return name
}

// seen is what the file system says where the one below says so.
func (s Shape) seen(seen localfs.Seen) localfs.Seen {
	if s.NoModes {
		seen.Mode = 0o777
	}
	if g := int64(s.Grain); g > 0 {
		seen.MTime -= mod(seen.MTime, g)
		seen.CTime -= mod(seen.CTime, g)
	}
	return seen
}

func mod(a, b int64) int64 { return ((a % b) + b) % b }

// shaped is a real tree seen through a shape.
type shaped struct {
	*localfs.Root
	shape Shape
}

// at begins an operation and gives the real path.
func (f *shaped) at(op, path string) string {
	if f.shape.Before != nil {
		f.shape.Before(op, path)
	}
	return f.shape.Real(f.Path, path)
}

func (f *shaped) Walk(ctx context.Context, dir string, match localfs.Matcher) ([]localfs.Entry, []localfs.Unknown, error) {
	seen, unknown, err := f.Root.Walk(ctx, f.at("walk", dir), match)
	for i := range seen {
		seen[i].Seen = f.shape.seen(seen[i].Seen)
	}
	return seen, unknown, err
}

func (f *shaped) Lstat(path string) (*localfs.Entry, error) {
	s, err := f.Root.Lstat(f.at("lstat", path))
	if s != nil {
		s.Path, s.Seen = path, f.shape.seen(s.Seen)
	}
	return s, err
}

// file is an open file seen through a shape.
type file struct {
	localfs.File
	shape Shape
}

func (f file) Seen() (localfs.Seen, error) {
	s, err := f.File.Seen()
	return f.shape.seen(s), err
}

func (f *shaped) Open(path string) (localfs.File, error) {
	real, err := f.Root.Open(f.at("open", path))
	if err != nil || f.shape.plain() {
		return real, err
	}
	return file{real, f.shape}, nil
}

func (f *shaped) Mkdir(path string, perm uint32) error {
	return f.Root.Mkdir(f.at("mkdir", path), perm)
}

func (f *shaped) MkdirAll(path string, perm uint32) error {
	for dir := range tree.Parents(path) {
		if err := f.Mkdir(dir, perm); err != nil {
			return err
		}
	}
	return f.Mkdir(path, perm)
}

func (f *shaped) Remove(path string) error { return f.Root.Remove(f.at("remove", path)) }

func (f *shaped) Rmdir(path string) error { return f.Root.Rmdir(f.at("rmdir", path)) }

func (f *shaped) Symlink(target, path string) error {
	to := f.at("symlink", path)
	if f.shape.NoLinks {
		return &os.PathError{Op: "symlink", Path: path, Err: unix.EPERM}
	}
	return f.Root.Symlink(target, to)
}

func (f *shaped) Rename(from, to string, replace bool) error {
	realFrom, realTo := f.at("rename", from), f.shape.Real(f.Path, to)
	if realFrom == realTo { // another case of the same name
		realTo = filepath.Join(filepath.Dir(realTo), filepath.Base(to))
	}
	return f.Root.Rename(realFrom, realTo, replace)
}

func (f *shaped) Chmod(path string, mode uint32) error {
	path = f.at("chmod", path)
	if f.shape.NoModes {
		return nil
	}
	return f.Root.Chmod(path, mode)
}

func (f *shaped) SetTime(path string, ns int64) error {
	return f.Root.SetTime(f.at("utimes", path), ns)
}

// Sync only counts as an operation: nothing here outlives a power loss.
func (f *shaped) Sync(...string) error {
	f.at("sync", "")
	return nil
}
