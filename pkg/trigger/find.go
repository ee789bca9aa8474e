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

// Find looks through a folder. Links are not followed; what cannot be listed is left
// out, as a tool would.
func Find(root *os.Root) []Found {
	var all []Found
	find(root, ".", nil, &all)
	return all
}

// In is Find of the folder at a path.
func In(dir string) []Found {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil
	}
	defer root.Close()
	return Find(root)
}

// find looks through one directory. above are the names in the one that it is in.
func find(root *os.Root, dir string, above []fs.DirEntry, all *[]Found) {
	f, err := root.Open(dir)
	if err != nil {
		return
	}
	entries, _ := f.ReadDir(-1)
	f.Close()
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	inGitDir := gitDir(entries) || Folds(path.Base(dir), "hooks") && gitDir(above)
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if e.IsDir() {
			find(root, name, entries, all)
			continue
		}
		info, err := e.Info()
		found, ok := Of(File{
			Path: name, Executable: err == nil && executable(info.Mode()), InGitDir: inGitDir,
			Read: func() []byte { b, _ := wholefile.ReadIn(root, name, largest); return b },
		})
		if ok {
			*all = append(*all, found)
		}
	}
}

// gitDir says whether a directory with these names is one that git takes for its own,
// or that another one refers to for a config.
func gitDir(entries []fs.DirEntry) bool {
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		return Folds(e.Name(), "HEAD") || Folds(e.Name(), "objects") && e.IsDir() || Folds(e.Name(), "commondir")
	})
}
