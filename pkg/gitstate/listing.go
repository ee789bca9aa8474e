package gitstate

import (
	"io/fs"
	"os"
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
	odd    []oddity  // sorted: what is not a file where only a file can be carried
}

// usable says why git cannot work with a repository that was listed.
func (l listing) usable() error {
	for _, o := range l.odd {
		if o.path == "config" || o.path == "packed-refs" || o.path == "HEAD" {
			return refused("%s is %s, not a file: git cannot work with it", o.path, o.kind)
		}
	}
	return nil
}

// oddity is what is neither a file, a link nor a directory, or has the name of a
// file that git needs.
type oddity struct{ path, kind string }

// same says that nothing happened between two listings.
func (l listing) same(o listing) bool {
	return slices.Equal(l.items, o.items) && slices.Equal(l.odd, o.odd)
}

// find gives the item at a path; nil when there is none.
func (l listing) find(path string) *item {
	i, ok := slices.BinarySearchFunc(l.items, path, func(f item, p string) int { return strings.Compare(f.path, p) })
	if !ok {
		return nil
	}
	return &l.items[i]
}

// isFile says that a path of a git directory is a file for git, and nothing else.
func isFile(path string) bool {
	if _, rest, ok := cutTree(path); ok {
		path = rest
	}
	switch path {
	case "HEAD", "index", "config", "packed-refs", "shallow", "description":
		return true
	}
	return false
}

func itemOf(path string, info fs.FileInfo) item {
	f := item{path: path, link: info.Mode()&fs.ModeSymlink != 0, mode: info.Mode().Perm(), size: info.Size(), mtime: info.ModTime().UnixNano()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		f.ctime, f.inode = st.Ctim.Nano(), st.Ino
	}
	return f
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
	f, err := openFile(a)
	if err != nil {
		return false, err
	}
	defer f.Close()
	g, err := openFile(b)
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
