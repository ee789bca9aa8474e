package gitstate

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// item is one file of a git directory, and what lstat says of it: enough to
// tell, later, that nothing happened to it in between.
type item struct {
	path         string // below the git directory
	link         bool   // a symlink
	mode         fs.FileMode
	size         int64
	mtime, ctime int64
	inode        uint64
}

// listing is what a git directory has beside its objects.
type listing struct {
	items  []item    // sorted
	nested []string  // git directories in it that are repositories of their own
	lock   time.Time // when the youngest lock in it was made
}

// same says that nothing happened between two listings.
func (l listing) same(o listing) bool { return slices.Equal(l.items, o.items) }

// find gives the item at a path; nil when there is none.
func (l listing) find(path string) *item {
	i, ok := slices.BinarySearchFunc(l.items, path, func(f item, p string) int { return strings.Compare(f.path, p) })
	if !ok {
		return nil
	}
	return &l.items[i]
}

// list lists a git directory.
func list(dir string) (listing, error) {
	var l listing
	err := l.add(dir, "")
	slices.SortFunc(l.items, func(a, b item) int { return strings.Compare(a.path, b.path) })
	return l, err
}

func (l *listing) add(dir, below string) error {
	entries, err := os.ReadDir(filepath.Join(dir, below))
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(below, e.Name())
		if below == "" && e.Name() == "objects" || passing(path) {
			continue
		}
		info, err := e.Info()
		if absent(err) {
			continue // gone since the directory was read
		}
		if err != nil {
			return err
		}
		switch {
		case strings.HasSuffix(path, ".lock") && info.Mode().IsRegular():
			if info.ModTime().After(l.lock) {
				l.lock = info.ModTime()
			}
		case info.IsDir() && ofItsOwn(filepath.Join(dir, path)):
			l.nested = append(l.nested, path)
		case info.IsDir():
			if err := l.add(dir, path); err != nil && !absent(err) {
				return err
			}
		case info.Mode().IsRegular(), info.Mode()&fs.ModeSymlink != 0:
			l.items = append(l.items, itemOf(path, info))
		}
	}
	return nil
}

// ofItsOwn says that a directory in a git directory is a repository of its own,
// or the shadow of one that is being made.
func ofItsOwn(dir string) bool {
	s, err := os.Stat(filepath.Join(dir, "objects/pack"))
	return err == nil && s.IsDir() || isRepository(dir)
}

func itemOf(path string, info fs.FileInfo) item {
	f := item{path: path, link: info.Mode()&fs.ModeSymlink != 0, mode: info.Mode().Perm(), size: info.Size(), mtime: info.ModTime().UnixNano()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		f.ctime, f.inode = st.Ctim.Nano(), st.Ino
	}
	return f
}

// passing says that a file of a git directory belongs to a process that runs,
// or is git's own and the same everywhere.
func passing(path string) bool {
	base := filepath.Base(path)
	switch {
	case path == Mark, path == "gc.pid", path == "gc.log", strings.HasPrefix(base, "fsmonitor--daemon"):
		return true
	case strings.HasPrefix(path, "hooks/") && strings.HasSuffix(path, ".sample"):
		return true
	case strings.HasPrefix(base, ".coltec-"), strings.HasPrefix(base, "tmp_"):
		return true
	}
	return false
}

// sameFile says whether two files have the same bytes and kind.
func sameFile(a, b string) bool {
	x, errX := os.Lstat(a)
	y, errY := os.Lstat(b)
	if errX != nil || errY != nil || x.Mode() != y.Mode() {
		return false
	}
	if x.Mode()&fs.ModeSymlink != 0 {
		s, errS := os.Readlink(a)
		t, errT := os.Readlink(b)
		return errS == nil && errT == nil && s == t
	}
	if x.Size() != y.Size() {
		return false
	}
	same, err := sameBytes(a, b)
	return err == nil && same
}

func sameBytes(a, b string) (bool, error) {
	f, err := os.Open(a)
	if err != nil {
		return false, err
	}
	defer f.Close()
	g, err := os.Open(b)
	if err != nil {
		return false, err
	}
	defer g.Close()
	bufF, bufG := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, errF := f.Read(bufF)
		m, errG := readExactly(g, bufG[:n])
		if n != m || string(bufF[:n]) != string(bufG[:m]) {
			return false, errG
		}
		if errF != nil {
			return true, nil
		}
	}
}

func readExactly(f *os.File, b []byte) (int, error) {
	total := 0
	for total < len(b) {
		n, err := f.Read(b[total:])
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// copyFile copies a file or a link as it is, with its mode.
func copyFile(from, to string) error {
	s, err := os.Lstat(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if s.Mode()&fs.ModeSymlink != 0 {
		target, err := os.Readlink(from)
		return errors.Join(err, os.Symlink(target, to))
	}
	if !s.Mode().IsRegular() {
		return errMoved
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = out.ReadFrom(in)
	return errors.Join(err, out.Chmod(s.Mode().Perm()), out.Close())
}

// errMoved says that a repository changed while it was read.
var errMoved = errors.New("it changes while it is read")
