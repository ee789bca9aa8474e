// Package area writes below a directory in which others write too: an agent, a bucket,
// another user. They put links where they like, or a file where a directory was. No such
// link is followed, and nothing outside of the directory is written, replaced or removed.
package area

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"

	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/wholefile"
	"golang.org/x/sys/unix"
)

// Dir is the absolute path of such a directory. All paths that its methods take are
// absolute too: of what is below it, or below an open directory, as [anchor.At] names it.
// Another is an internal error.
type Dir string

// ErrChanged says that a file became another one while it was read.
var ErrChanged = errors.New("it changes while it is read")

// Do opens the area for something that is done with a file in it: op is given the file's
// path below root.
func (d Dir) Do(file string, op func(root *os.Root, path string) error) error {
	top, open := string(d), d.open
	if fd, _, held := anchor.Number(file); held {
		top = anchor.Path(fd)
		open = func() (*os.Root, error) { return os.OpenRoot(top) }
	}
	path, err := filepath.Rel(top, file)
	if err != nil || !filepath.IsLocal(path) {
		return fmt.Errorf("internal error: %s is not in %s", file, d)
	}
	root, err := open()
	if err != nil {
		return err
	}
	defer root.Close()
	if err := Straight(root, filepath.Dir(path)); err != nil {
		return err
	}
	return op(root, path)
}

// open opens the top. Whoever owns what the area is in may lead its path elsewhere.
func (d Dir) open() (*os.Root, error) { return anchor.OpenRoot(string(d), "", 0) }

// Straight refuses a directory that is behind a link, or behind a file. What of it is not
// there is to be made. (A link that comes later leads out of the area for nobody: the
// root does not follow it.)
func Straight(root *os.Root, dir string) error {
	for _, up := range Upwards(dir) {
		s, err := root.Lstat(up)
		switch {
		case absent(err):
			return nil
		case err != nil:
			return err
		case s.Mode()&fs.ModeSymlink != 0:
			return &fs.PathError{Op: "enter", Path: filepath.Join(root.Name(), up), Err: ErrLink}
		case !s.IsDir():
			return &fs.PathError{Op: "enter", Path: filepath.Join(root.Name(), up), Err: unix.ENOTDIR}
		}
	}
	return nil
}

// ErrLink says that a link has the name of a directory that others may have put it at.
var ErrLink = errors.New("it is a link where only a directory can be")

// Upwards lists a directory and those that it is in, the uppermost first.
func Upwards(dir string) (dirs []string) {
	for ; dir != "."; dir = filepath.Dir(dir) {
		dirs = append([]string{dir}, dirs...)
	}
	return dirs
}

func absent(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// Mkdir makes a directory, and those that it is in.
func (d Dir) Mkdir(dir string) error {
	return d.Do(dir, func(root *os.Root, path string) error {
		if err := root.MkdirAll(path, 0o755); err != nil {
			return err
		}
		return Straight(root, path)
	})
}

// Remove removes a file, a link or an empty directory, where there is one.
func (d Dir) Remove(file string) error {
	err := d.Do(file, func(root *os.Root, path string) error { return root.Remove(path) })
	if absent(err) {
		return nil
	}
	return err
}

// RemoveAll removes what is at a path.
func (d Dir) RemoveAll(file string) error {
	return d.Do(file, func(root *os.Root, path string) error { return root.RemoveAll(path) })
}

// Prune removes a directory, and those up to another that it is in, as long as nothing
// is in them.
func (d Dir) Prune(top, dir string) {
	for ; dir != top && len(dir) > len(top); dir = filepath.Dir(dir) {
		err := d.Do(dir, func(root *os.Root, path string) error {
			if s, err := root.Lstat(path); err != nil || !s.IsDir() {
				return errors.Join(err, unix.ENOTDIR)
			}
			return root.Remove(path)
		})
		if err != nil {
			return
		}
	}
}

// Write writes a file that is there whole or not at all.
func (d Dir) Write(file string, body []byte, mode fs.FileMode) error {
	return d.Do(file, func(root *os.Root, path string) error {
		if err := root.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		tmp := beside(path)
		err := create(root, tmp, body, mode)
		if err == nil {
			err = root.Rename(tmp, path)
		}
		if err != nil {
			_ = root.Remove(tmp)
		}
		return err
	})
}

// beside names a file that is being made, in the directory that it is going to be in. git
// removes what has such a name among its objects.
func beside(path string) string {
	return filepath.Join(filepath.Dir(path), "tmp_coltec-"+strconv.FormatUint(rand.Uint64(), 36))
}

// Create makes a file that is not there, and opens it to be written.
func (d Dir) Create(file string) (f *os.File, err error) {
	err = d.Do(file, func(root *os.Root, path string) error {
		f, err = root.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		return err
	})
	return f, err
}

// create makes a file that is not there.
func create(root *os.Root, path string, body []byte, mode fs.FileMode) error {
	f, err := root.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(body)
	return errors.Join(err, f.Chmod(mode), f.Close())
}

// Copy copies a file or a link, from wherever it is, as it is and with its mode, to a
// path at which nothing is. It is there whole or not at all.
func (d Dir) Copy(from, to string) error {
	s, err := os.Lstat(from)
	if err != nil {
		return err
	}
	if s.Mode()&fs.ModeSymlink != 0 {
		target, err := os.Readlink(from)
		return errors.Join(err, d.Link(target, to))
	}
	in, err := wholefile.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if now, err := in.Stat(); err != nil || !os.SameFile(now, s) {
		return errors.Join(err, ErrChanged)
	}
	return d.Fill(in, to)
}

// Fill is Copy of a file that is open.
func (d Dir) Fill(in *os.File, to string) error {
	tmp := beside(to)
	err := d.fill(in, tmp)
	if err == nil {
		err = d.two(tmp, to, moveNew)
	}
	if err != nil {
		_ = d.Remove(tmp)
	}
	return err
}

// moveNew renames a file, and replaces nothing.
func moveNew(from, to entry) error {
	err := unix.Renameat2(from.fd(), from.name, to.fd(), to.name, unix.RENAME_NOREPLACE)
	if !errors.Is(err, unix.EINVAL) {
		return err
	}
	// A file system that cannot promise it.
	if err := unix.Fstatat(to.fd(), to.name, new(unix.Stat_t), unix.AT_SYMLINK_NOFOLLOW); err == nil {
		return unix.EEXIST
	}
	return unix.Renameat(from.fd(), from.name, to.fd(), to.name)
}

func (d Dir) fill(in *os.File, file string) error {
	s, err := in.Stat()
	if err != nil {
		return err
	}
	return d.Do(file, func(root *os.Root, path string) error {
		if err := root.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		out, err := root.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = out.ReadFrom(in)
		return errors.Join(err, out.Chmod(s.Mode().Perm()), out.Close())
	})
}

// Link makes a symlink.
func (d Dir) Link(target, file string) error {
	return d.Do(file, func(root *os.Root, path string) error {
		return errors.Join(root.MkdirAll(filepath.Dir(path), 0o755), root.Symlink(target, path))
	})
}

// Share makes a file have the bytes of another, which nobody changes. It copies them
// where both cannot be one. What was there goes.
func (d Dir) Share(from, to string) error {
	tmp := beside(to)
	err := d.two(from, tmp, func(from, to entry) error { return unix.Linkat(from.fd(), from.name, to.fd(), to.name, 0) })
	if err != nil {
		err = d.Copy(from, tmp)
	}
	if err == nil {
		err = d.Move(tmp, to)
	}
	return errors.Join(err, d.Remove(tmp)) // it is still there where both were one already
}

// Move renames a file or a directory.
func (d Dir) Move(from, to string) error {
	return d.two(from, to, func(from, to entry) error {
		return unix.Renameat(from.fd(), from.name, to.fd(), to.name)
	})
}

// entry is a name in an open directory.
type entry struct {
	dir  *os.File
	name string
}

func (e entry) fd() int { return int(e.dir.Fd()) }

// entry opens the directory that a file is in. With made it is made where it is missing.
func (d Dir) entry(file string, made bool) (e entry, err error) {
	err = d.Do(file, func(root *os.Root, path string) (err error) {
		if made {
			if err := root.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return err
			}
		}
		e.name = filepath.Base(path)
		e.dir, err = root.OpenFile(filepath.Dir(path), os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		return err
	})
	return e, err
}

// two does something with two files. The second one's directory is made.
func (d Dir) two(from, to string, op func(from, to entry) error) error {
	a, err := d.entry(from, false)
	if err != nil {
		return err
	}
	defer a.dir.Close()
	b, err := d.entry(to, true)
	if err != nil {
		return err
	}
	defer b.dir.Close()
	if err := op(a, b); err != nil {
		return &os.LinkError{Op: "move", Old: from, New: to, Err: err}
	}
	return nil
}

// Place is Move into a directory in which there may be another directory at that path,
// or a file or a link that has the name of a directory on the way: they go first.
func (d Dir) Place(from, dir, path string) error {
	for _, up := range Upwards(path) {
		s, err := os.Lstat(filepath.Join(dir, up))
		if err != nil || s.IsDir() == (up != path) {
			continue
		}
		if err := d.RemoveAll(filepath.Join(dir, up)); err != nil {
			return err
		}
	}
	return d.Move(from, filepath.Join(dir, path))
}

// Exchange puts a directory at a path at which there may be a file or a link, which goes.
// There is something at each moment: that nothing is there would be a deletion.
func (d Dir) Exchange(made, to string) error {
	return d.two(made, to, func(from, at entry) error {
		var there unix.Stat_t
		if err := unix.Fstatat(at.fd(), at.name, &there, unix.AT_SYMLINK_NOFOLLOW); absent(err) {
			return unix.Renameat(from.fd(), from.name, at.fd(), at.name)
		}
		if err := unix.Renameat2(from.fd(), from.name, at.fd(), at.name, unix.RENAME_EXCHANGE); err != nil {
			return err
		}
		return d.Remove(made)
	})
}
