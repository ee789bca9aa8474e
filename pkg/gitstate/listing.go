package gitstate

import (
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

// list lists a git directory that has all that it is in itself: a shadow, or what
// arrived. Links in it are links.
func list(dir string) (listing, error) {
	l := lister{dir: dir}
	err := l.add("", 0)
	return l.done(), err
}

// lister lists a git directory.
type lister struct {
	listing
	dir     string
	follows bool                   // links by which git would find its state
	skips   func(path string) bool // nil: nothing
}

func (l *lister) done() listing {
	slices.SortFunc(l.items, func(a, b item) int { return strings.Compare(a.path, b.path) })
	slices.SortFunc(l.odd, func(a, b oddity) int { return strings.Compare(a.path, b.path) })
	return l.listing
}

// hopsMost is how many links may lead to a directory: more are a loop.
const hopsMost = 5

func (l *lister) add(below string, hops int) error {
	entries, err := os.ReadDir(filepath.Join(l.dir, below))
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(below, e.Name())
		if below == "" && e.Name() == "objects" || passing(path) || l.skips != nil && l.skips(path) {
			continue
		}
		info, err := e.Info()
		if absent(err) {
			continue // gone since the directory was read
		}
		if err != nil {
			return err
		}
		if err := l.entry(path, info, hops); err != nil && !absent(err) {
			return err
		}
	}
	return nil
}

func (l *lister) entry(path string, info fs.FileInfo, hops int) error {
	if info.Mode()&fs.ModeSymlink != 0 && l.follows {
		there, err := os.Stat(filepath.Join(l.dir, path))
		switch {
		case err == nil && needed(path) && !mayLead(filepath.Dir(filepath.Join(l.dir, path)), filepath.Join(l.dir, path)):
			l.odd = append(l.odd, oddity{path, "a link to what is not its owner's"})
			return nil
		case err == nil && there.IsDir() && l.submodule(path): // on another disk
			l.nested = append(l.nested, path)
			return nil
		case needed(path) && err != nil && path != "HEAD":
			l.odd = append(l.odd, oddity{path, kindOf(info.Mode())})
			return nil
		case needed(path) && err == nil && (path != "HEAD" || !branchLink(filepath.Join(l.dir, path))):
			if there.IsDir() && (isRepository(filepath.Join(l.dir, path)) || leadsUp(filepath.Join(l.dir, path))) {
				l.odd = append(l.odd, oddity{path, "a link to what it is in, or to a repository"})
				return nil
			}
			info = there
			hops++
		}
	}
	switch kind := kindOf(info.Mode()); {
	case strings.HasSuffix(path, ".lock") && info.Mode().IsRegular():
		if info.ModTime().After(l.lock) {
			l.lock = info.ModTime()
		}
	case info.IsDir() && ofItsOwn(filepath.Join(l.dir, path)):
		l.nested = append(l.nested, path)
	case info.IsDir() && (isFile(path) || hops > hopsMost):
		l.odd = append(l.odd, oddity{path, kind})
	case info.IsDir():
		return l.add(path, hops)
	case info.Mode().IsRegular(), info.Mode()&fs.ModeSymlink != 0:
		l.items = append(l.items, itemOf(path, info))
	case info.Mode()&fs.ModeSocket == 0: // which belongs to a process that runs
		l.odd = append(l.odd, oddity{path, kind})
	}
	return nil
}

// submodule says that a link leads to the repository of a submodule.
func (l *lister) submodule(path string) bool {
	file := filepath.Join(l.dir, path)
	return strings.HasPrefix(path, "modules/") && isRepository(file) && !leadsUp(file)
}

// leadsUp says that a link leads to a directory that it is in itself: who follows it comes
// to no end.
func leadsUp(file string) bool {
	there, errT := filepath.EvalSymlinks(file)
	here, errH := filepath.EvalSymlinks(filepath.Dir(file))
	return errT != nil || errH != nil || here == there || strings.HasPrefix(here, there+"/")
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

// needed says that git finds its state at a path, so that what a link there leads
// to is carried, and not the link: it leads nowhere on another machine.
func needed(path string) bool {
	top, _, _ := strings.Cut(path, "/")
	switch top {
	case "refs", "logs", "worktrees", "modules":
		return true
	}
	return isFile(path)
}

// branchLink says that a link is HEAD as git wrote it once: what it leads to is the
// name of the branch.
func branchLink(file string) bool {
	target, err := os.Readlink(file)
	return err == nil && strings.HasPrefix(target, "refs/")
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
	case path == Mark, path == missingMark, path == "gc.pid", path == "gc.log", strings.HasPrefix(base, "fsmonitor--daemon"):
		return true
	case strings.HasPrefix(path, "hooks/") && strings.HasSuffix(path, ".sample"):
		return true
	case strings.HasPrefix(base, "tmp_"), strings.HasPrefix(base, ".coltec-"): // an older version's
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
