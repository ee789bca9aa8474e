package gitstate

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

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

// list lists a repository of a person.
func (s source) list() (listing, error) {
	if s.common == "" {
		l := lister{dir: s.dir, follows: true}
		err := l.add("", 0)
		return l.done(), err
	}
	own := lister{dir: s.dir, follows: true, skips: func(path string) bool {
		return path == "commondir" || path == "gitdir" || path == "locked" || shared(path)
	}}
	err := own.add("", 0)
	if err != nil {
		return own.done(), err
	}
	all := lister{listing: own.listing, dir: s.common, follows: true, skips: func(path string) bool {
		return path != "refs" && path != "logs" && path != "info" && !shared(path)
	}}
	err = all.add("", 0)
	return all.done(), err
}
