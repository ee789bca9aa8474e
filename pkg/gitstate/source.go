package gitstate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/area"
)

// source is where the files of a repository lie. For most that is one directory. What
// the tree has at its path may also be a link, or a file that names the directory; and
// what that names may be a linked working tree's, whose repository is elsewhere.
type source struct {
	tree    string // that it is a repository of; "" for a shadow
	dir     string
	common  string // of a linked working tree: the repository that it is of; "" for others
	outside bool   // it lies outside of the tree
	owner   int    // the user who could have put it where it is
}

// file gives the path of a file of the repository.
func (s source) file(path string) string {
	if s.common != "" && shared(path) {
		return filepath.Join(s.common, path)
	}
	return filepath.Join(s.dir, path)
}

// open opens a file of the repository, also by a link to it. Whoever owns the repository
// can put a link anywhere on the way, at any moment: what is another user's, and reached
// by leaving the tree, is not opened for them.
func (s source) open(path string) (*os.File, error) {
	f, err := openFile(s.file(path))
	if err != nil || s.tree == "" || s.owner == os.Geteuid() {
		return f, err
	}
	info, err := f.Stat()
	if err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) == s.owner || s.hasIn(path, info) {
			return f, nil
		}
		err = foreign(path, s.file(path))
	}
	f.Close()
	return nil, err
}

// hasIn says whether a file is what the tree has at a path, by no link out of it.
func (s source) hasIn(path string, f fs.FileInfo) bool {
	below, err := filepath.Rel(s.tree, s.file(path))
	if err != nil || !filepath.IsLocal(below) {
		return false
	}
	root, err := os.OpenRoot(s.tree)
	if err != nil {
		return false
	}
	defer root.Close()
	there, err := root.Stat(below)
	return err == nil && os.SameFile(there, f)
}

// copy copies a file of the repository, or a link that is one to git, to a path of an area.
func (s source) copy(a area.Dir, path, to string) error {
	if target, err := os.Readlink(s.file(path)); err == nil {
		return a.Link(target, to)
	}
	in, err := s.open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	return a.Fill(in, to)
}

// source finds the repository at a path of the tree.
func (k *Keeper) source(dir string) (source, error) {
	here := filepath.Join(k.Root, dir)
	s, err := os.Lstat(here)
	if err != nil {
		return source{}, fmt.Errorf("cannot read it: %w", err)
	}
	owner := ownerOf(filepath.Dir(here))
	if s.IsDir() {
		if st, ok := s.Sys().(*syscall.Stat_t); ok && owner == os.Geteuid() {
			owner = int(st.Uid)
		}
		return source{tree: k.Root, dir: here, owner: owner}, nil
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
	if !mayLead(filepath.Dir(here), real) {
		return source{}, foreign(dir, real)
	}
	src := source{tree: k.Root, dir: real, outside: !k.contains(real), owner: owner}
	if body, err := readFile(filepath.Join(real, "commondir"), smallMost); err == nil {
		common := strings.TrimSpace(string(body))
		if !filepath.IsAbs(common) {
			common = filepath.Join(real, common)
		}
		if src.common, err = filepath.EvalSymlinks(common); err != nil {
			return src, &awayError{common, err}
		}
		if !mayLead(real, src.common) {
			return src, foreign("commondir", src.common)
		}
		src.outside = src.outside || !k.contains(src.common)
	}
	return src, nil
}

// carried is source for who reads the repository into the bucket, or writes it.
func (k *Keeper) carried(dir string) (source, error) {
	src, err := k.source(dir)
	if err != nil || !src.outside {
		return src, err
	}
	return src, k.agreed(dir, src.dir)
}

// agreed refuses a repository outside of the tree that is not to be the tree's: nobody here
// has led there. Whoever writes the bucket can name any repository of this machine. That
// is seen before what leads there is pushed, and remembered. A linked working tree is known
// where its repository is.
func (k *Keeper) agreed(dir, real string) error {
	if k.Came == nil {
		return nil
	}
	doors, err := k.doors()
	if err != nil {
		return err
	}
	known, noted := doors[dir]
	switch {
	case known == real:
		return nil
	case !k.Came(dir), !noted && k.Whole(dir): // whose copy was made before anything was remembered
		doors[dir] = real
		return k.writeDoors(doors)
	}
	door, err := readFile(filepath.Join(real, "gitdir"), smallMost)
	switch {
	case err == nil && !k.contains(real) && strings.TrimSpace(string(door)) == filepath.Join(k.Root, dir):
		return nil
	case noted && !k.names(dir, real):
		return moved(dir, known, real)
	}
	return stranger(real)
}

// doors are the paths at which somebody here has led out of the tree, and where to.
func (k *Keeper) doors() (map[string]string, error) {
	doors := map[string]string{}
	if k.Doors == "" {
		return doors, nil
	}
	body, err := readFile(k.Doors, textMost)
	if absent(err) {
		return doors, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", k.Doors, err)
	}
	if json.Unmarshal(body, &doors) != nil {
		return map[string]string{}, nil // a power cut has left part of it: nothing is noted yet
	}
	return doors, nil
}

// writeDoors remembers them, but for those that are gone.
func (k *Keeper) writeDoors(doors map[string]string) error {
	if k.Doors == "" {
		return nil
	}
	maps.DeleteFunc(doors, func(dir, _ string) bool {
		_, err := os.Lstat(filepath.Join(k.Root, dir))
		return absent(err)
	})
	body, err := json.Marshal(doors)
	if err != nil {
		return err
	}
	return k.area().Write(k.Doors, append(body, '\n'), 0o600)
}

// names says whether what a path of the tree has names a directory itself, and no link that
// leads there.
func (k *Keeper) names(dir, real string) bool {
	here := filepath.Join(k.Root, dir)
	target, err := os.Readlink(here)
	if err != nil {
		target, err = doorTo(here)
	}
	return err == nil && filepath.Clean(target) == real
}

// moved is of what led elsewhere when somebody here made it. Its target may have been moved
// by them, or exchanged by somebody.
func moved(dir, was, at string) error {
	return refused("its git directory is outside of the tree, at %s, and was at %s when somebody here led there: "+
		"coltecd reads and writes nothing there for it; where you have moved it, have %s name %s itself", at, was, filepath.Base(dir), at)
}

// place gives where a file of the repository is written, and the area that it is in. What
// holds its state may lie behind a link, as for git; one that leads out of all that is
// the repository's is followed where its owner could write there as well.
func (s source) place(path string) (area.Dir, string, error) {
	file := s.file(path)
	dir, err := realDir(filepath.Dir(file))
	if err != nil {
		return "", "", err
	}
	file = filepath.Join(dir, filepath.Base(file))
	for _, top := range []string{s.tree, s.dir, s.common} {
		if top == "" {
			continue
		}
		top, err := anchor.Real(top) // who owns what it is in may have led it elsewhere since
		if errors.Is(err, anchor.ErrRedirected) {
			return "", "", err
		}
		if err == nil && (dir == top || strings.HasPrefix(dir, top+"/")) {
			return area.Dir(top), file, nil
		}
	}
	if !mayLead(s.dir, dir) {
		return "", "", foreign(filepath.Dir(path), dir)
	}
	return area.Dir(dir), file, nil
}

// realDir is where a directory lies, whatever links lead there; what of it is not there
// yet is to be made.
func realDir(dir string) (string, error) {
	real, err := filepath.EvalSymlinks(dir)
	if !absent(err) || dir == "/" {
		return real, err
	}
	if _, err := os.Lstat(dir); err == nil {
		return "", refused("%s is a link that leads nowhere", dir)
	}
	up, err := realDir(filepath.Dir(dir))
	return filepath.Join(up, filepath.Base(dir)), err
}

// doorTo reads the file that leads from a working tree to its git directory.
func doorTo(file string) (string, error) {
	body, err := readFile(file, smallMost)
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
	var no *RefusedError
	return err == nil && src.outside || errors.As(err, &no) && no.foreign
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
	body, _ := readFile(filepath.Join(dir, "HEAD"), smallMost)
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
	log, _ := readFile(s.file("logs/HEAD"), textMost)
	for _, e := range entries(log) {
		if _, what, ok := strings.Cut(e.rest, "\tcheckout: moving from "); ok {
			branch, _, _ := strings.Cut(what, " to ")
			left["refs/heads/"+branch] = e.old
		}
	}
	return left
}
