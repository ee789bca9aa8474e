package gitstate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// source is where the files of a repository lie. For most that is one directory. What
// the tree has at its path may also be a link, or a file that names the directory; and
// what that names may be a linked working tree's, whose repository is elsewhere.
type source struct {
	dir     string
	common  string // of a linked working tree: the repository that it is of; "" for others
	outside bool   // it lies outside of the tree
}

// file gives the path of a file of the repository.
func (s source) file(path string) string {
	if s.common != "" && shared(path) {
		return filepath.Join(s.common, path)
	}
	return filepath.Join(s.dir, path)
}

// shared says that linked working trees have a file from their repository.
func shared(path string) bool {
	top, below, _ := strings.Cut(path, "/")
	switch top {
	case "objects", "packed-refs", "config", "shallow", "hooks", "description", "rr-cache":
		return true
	case "info":
		return below != "sparse-checkout"
	case "refs":
		return !loose(path, "")
	case "logs":
		return below != "HEAD" && !loose(below, "")
	}
	return false
}

// source finds the repository at a path of the tree.
func (k *Keeper) source(dir string) (source, error) {
	here := filepath.Join(k.Root, dir)
	s, err := os.Lstat(here)
	if err != nil {
		return source{}, fmt.Errorf("cannot read it: %w", err)
	}
	if s.IsDir() {
		return source{dir: here}, nil
	}
	target := here
	if s.Mode()&fs.ModeSymlink == 0 {
		if target, err = doorTo(here); err != nil {
			return source{}, err
		}
	}
	real, err := filepath.EvalSymlinks(target)
	if err != nil {
		if s.Mode()&fs.ModeSymlink != 0 {
			if target, _ = os.Readlink(here); !filepath.IsAbs(target) {
				target = filepath.Join(filepath.Dir(here), target)
			}
		}
		return source{}, &awayError{target, err}
	}
	src := source{dir: real, outside: !k.contains(real)}
	if body, err := readFile(filepath.Join(real, "commondir")); err == nil {
		common := strings.TrimSpace(string(body))
		if !filepath.IsAbs(common) {
			common = filepath.Join(real, common)
		}
		if src.common, err = filepath.EvalSymlinks(common); err != nil {
			return src, &awayError{common, err}
		}
	}
	return src, nil
}

// doorTo reads the file that leads from a working tree to its git directory.
func doorTo(file string) (string, error) {
	body, err := readFile(file)
	if err != nil {
		return "", refused("%s", err)
	}
	target, ok := strings.CutPrefix(strings.TrimSpace(string(body)), "gitdir: ")
	if !ok {
		return "", refused("its file .git does not say where the git directory is")
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(filepath.Dir(file), target)
	}
	return target, nil
}

// awayError says that a git directory is not where the tree says.
type awayError struct {
	at    string
	cause error
}

func (e *awayError) Error() string {
	if absent(e.cause) {
		return fmt.Sprintf("its git directory is outside of the tree, at %s, which is not there on this machine: no commit of it is carried", e.at)
	}
	return fmt.Sprintf("its git directory is outside of the tree, at %s, and cannot be read: %s", e.at, lastWord(e.cause))
}

// contains says whether an absolute path is in the tree.
func (k *Keeper) contains(path string) bool {
	root, err := filepath.EvalSymlinks(k.Root)
	if err != nil {
		root = k.Root
	}
	for _, r := range []string{k.Root, root} {
		if path == r || strings.HasPrefix(path, r+"/") {
			return true
		}
	}
	return false
}

// Repositories are those of some paths at which there is a repository: a directory, or
// what leads to one outside of the tree. One that lies in the tree is carried at its own
// path, and not where something leads to it.
func (k *Keeper) Repositories(paths []string) (out []string) {
	for _, path := range paths {
		s, err := os.Lstat(filepath.Join(k.Root, path))
		if err == nil && (s.IsDir() || k.outside(path)) {
			out = append(out, path)
		}
	}
	return out
}

func (k *Keeper) outside(dir string) bool {
	src, err := k.source(dir)
	var away *awayError
	if errors.As(err, &away) {
		return !k.contains(away.at)
	}
	return err == nil && src.outside
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

// carries says whether a ref is carried: of a linked working tree whose repository is
// elsewhere only what was done in it, and what its remotes have.
func (s source) carries(head, ref string) bool {
	if !s.outside || s.common == "" {
		return true
	}
	return ref == head || ref == stashRef || loose(ref, "") || strings.HasPrefix(ref, "refs/remotes/") || strings.HasPrefix(ref, KeptRefs)
}

// head is the ref that is checked out; "" for none.
func (s source) head() string {
	if s.common == "" {
		return ""
	}
	return headOf(s.dir)
}

func headOf(dir string) string {
	body, _ := readFile(filepath.Join(dir, "HEAD"))
	ref, _ := strings.CutPrefix(strings.TrimSpace(string(body)), "ref: ")
	return ref
}

// held are the branches that other working trees of its repository have checked out.
func (s source) held() map[string]bool {
	if !s.outside || s.common == "" {
		return nil
	}
	dirs, _ := filepath.Glob(filepath.Join(globEscape(s.common), "worktrees/*"))
	refs := map[string]bool{}
	for _, dir := range append(dirs, s.common) {
		if dir != s.dir {
			refs[headOf(dir)] = true
		}
	}
	return refs
}

// left is what each branch led to when a linked working tree was switched from it last.
func (s source) left() map[string]string {
	if s.common == "" {
		return nil
	}
	left := map[string]string{}
	log, _ := readFile(s.file("logs/HEAD"))
	for _, e := range entries(log) {
		if _, what, ok := strings.Cut(e.rest, "\tcheckout: moving from "); ok {
			branch, _, _ := strings.Cut(what, " to ")
			left["refs/heads/"+branch] = e.old
		}
	}
	return left
}
