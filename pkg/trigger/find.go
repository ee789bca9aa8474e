package trigger

import (
	"cmp"
	"io/fs"
	"os"
	"path"
	"slices"

	"github.com/coltec/coltec/pkg/wholefile"
)

// largest is far above what a person writes into any of these files.
const largest = 1 << 20

// mostLinks bounds how many links are followed: each may lead to the same large directory.
const mostLinks = 1000

// Find looks through a folder. What cannot be listed is left out, as a tool would.
func Find(root *os.Root) []Found {
	f := finder{root: root, links: mostLinks}
	f.find(".", nil, everywhere)
	return f.found
}

// In is Find of the folder at a path.
func In(dir string) []Found { return At(dir, ".") }

// At is In of a folder that comes to lie at a place of another one: its files are named as
// they are found there.
func At(dir, place string) []Found {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil
	}
	defer root.Close()
	f := finder{root: root, place: place, links: mostLinks}
	f.find(".", nil, everywhere)
	return f.found
}

type finder struct {
	root  *os.Root
	place string // where root lies in what is named
	links int    // that may still be followed
	found []Found
}

// How far down a directory is looked through.
const (
	everywhere = -1
	// behindLink is as far as any of the rules looks below a directory that it names: what
	// else is there is found by its own name.
	behindLink = 1
)

// find looks through one directory. above are the names in the one that it is in.
func (f *finder) find(dir string, above []fs.DirEntry, deep int) {
	entries := f.list(dir)
	at := path.Join(f.place, dir)
	hooks := Folds(path.Base(at), "hooks") && (gitDir(above) || Folds(path.Base(path.Dir(at)), ".git"))
	inGitDir := hooks || gitDir(entries)
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		place := path.Join(f.place, name)
		if e.IsDir() {
			if deep != 0 {
				f.find(name, entries, max(deep-1, everywhere))
			}
			continue
		}
		link := e.Type()&fs.ModeSymlink != 0
		stat := e.Info
		if link { // of what it leads to
			stat = func() (fs.FileInfo, error) { return f.root.Stat(name) }
		}
		info, err := stat()
		if link && (leads(place) || inGitDir && Folds(e.Name(), "hooks")) && (err != nil || info.IsDir()) {
			f.follow(name, err, entries)
			continue
		}
		found, ok := Of(File{
			Path: place, InGitDir: inGitDir, Executable: err == nil && executable(info.Mode()) || err != nil && link,
			Read: func() []byte { b, _ := wholefile.ReadIn(f.root, name, largest); return b },
		})
		if ok {
			f.found = append(f.found, found)
		}
	}
}

// follow looks through what a link leads to, as tools do, under the link's name. Where that
// cannot be seen here, the link is named.
func (f *finder) follow(name string, err error, beside []fs.DirEntry) {
	if f.links--; err != nil || f.links < 0 {
		f.found = append(f.found, Found{Path: path.Join(f.place, name), What: []string{unreadable}})
		return
	}
	f.find(name, beside, behindLink)
}

// list gives what is in a directory, by name.
func (f *finder) list(dir string) []fs.DirEntry {
	d, err := f.root.Open(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	entries, _ := d.ReadDir(-1)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	return entries
}

// gitDir reports whether a directory with these names is one that git takes for its own,
// or that another one refers to for a config.
func gitDir(entries []fs.DirEntry) bool {
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		return Folds(e.Name(), "HEAD") || Folds(e.Name(), "objects") && !e.Type().IsRegular() || Folds(e.Name(), "commondir")
	})
}
