package replica

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

const (
	// gitMark is the file that makes a shadow whole.
	gitMark = "coltec.json"
	// gitGone is the file of a shadow whose repository was removed: all its rows
	// go. It is not a row.
	gitGone = "coltec.gone"
	// gitPacks are the only files of a shadow that may be missing here: they
	// were not needed.
	gitPacks = "objects/pack"
)

// Git keeps the shadows of a replica's repositories.
type Git interface {
	// Capture brings the shadows to what the repositories are now. dirs are the
	// git directories that a walk met, below the tree, and the files and links of
	// their name, which lead to one. What cannot be captured
	// stays as it was. A repository that is not there was removed only where the
	// walk can tell.
	Capture(ctx context.Context, dirs []string, tells func(path string) bool) error
	// Whole says that repositories are carried as wholes.
	Whole() bool
}

// Shadows is where the shadows of the tree at a path are.
func Shadows(root string) string { return filepath.Join(root, base.GitDir) }

// unpack forgets the packs of a shadow of which one is neither here nor in the
// bucket: it did not have to come here, and the bucket is another one now. What
// is known is known with all that it reaches, so without one pack none counts.
// The next capture packs all anew.
func unpack(ctx context.Context, root localfs.FileSystem, agreed *base.Base) error {
	git, err := walkGit(ctx, root)
	if err != nil {
		return err
	}
	packs := map[string]bool{}
	for _, s := range git.seen {
		pack, isIndex := strings.CutSuffix(s.Path, ".idx")
		pack += ".pack"
		if u := agreed.RemoteAt(pack); isIndex && !git.there[pack] && !git.hidden(pack) && (u == nil || u.Gone) {
			packs[pack] = true
		}
	}
	rows, err := agreed.Lookup(packs)
	if err != nil {
		return err
	}
	lost := map[string]bool{}
	for pack := range packs {
		if _, agreed := rows[pack]; !agreed {
			lost[git.repository(strings.TrimPrefix(pack, base.GitDir+"/"))] = true
		}
	}
	for repo := range lost {
		if err := root.Remove(base.GitDir + "/" + repo + "/" + gitMark); err != nil && !localfs.Absent(err) {
			return fmt.Errorf("cannot forget a pack: %w", err)
		}
	}
	for _, s := range git.seen {
		if strings.HasSuffix(s.Path, ".idx") && lost[git.repository(strings.TrimPrefix(s.Path, base.GitDir+"/"))] {
			if err := root.Remove(s.Path); err != nil && !localfs.Absent(err) {
				return fmt.Errorf("cannot forget a pack: %w", err)
			}
		}
	}
	return nil
}

// shadows are the shadows as a walk met them.
type shadows struct {
	seen   []localfs.Sighting
	there  map[string]bool
	whole  map[string]bool        // of repositories, whether their shadow is whole
	hidden func(path string) bool // what the walk could not see
}

// walkGit lists the shadows that are whole: they are pushed like any file.
func walkGit(ctx context.Context, root localfs.FileSystem) (*shadows, error) {
	seen, unknown, err := root.Walk(ctx, base.GitDir, localfs.Everything{})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot read the copies of repositories: %w", err)
	}
	for i := range unknown {
		unknown[i].Path = localfs.Join(base.GitDir, unknown[i].Path)
	}
	s := &shadows{there: map[string]bool{}, whole: map[string]bool{}, hidden: hiddenBy(unknown)}
	gone := map[string]bool{}
	for i := range seen {
		if repo, ok := strings.CutSuffix(seen[i].Path, "/"+gitPacks); ok && seen[i].Kind == tree.Dir {
			s.whole[repo] = s.whole[repo] || false
		}
		if repo, ok := strings.CutSuffix(seen[i].Path, "/"+gitMark); ok {
			s.whole[repo] = true
		}
		if repo, ok := strings.CutSuffix(seen[i].Path, "/"+gitGone); ok {
			s.whole[repo] = true
			gone[repo] = true
		}
	}
	for i, e := range seen {
		empty := i+1 == len(seen) || !tree.Within(seen[i+1].Path, e.Path)
		repo := s.repository(e.Path)
		if e.Kind == tree.Dir && !empty || !s.whole[repo] || gone[repo] {
			continue
		}
		e.Path = localfs.Join(base.GitDir, e.Path)
		s.seen = append(s.seen, e)
		s.there[e.Path] = true
	}
	return s, nil
}

// repository is the one that a path below the shadows belongs to; "" for none.
func (s *shadows) repository(path string) string { return deepest(path, s.whole) }

// deepest is the longest path of a set that is at or above a path; "" for none.
func deepest[V any](path string, set map[string]V) string {
	for {
		if _, ok := set[path]; ok {
			return path
		}
		i := strings.LastIndexByte(path, '/')
		if i < 0 {
			return ""
		}
		path = path[:i]
	}
}

// gone reports whether a row of a shadow is one that the shadow has no more. A
// pack that was not needed here is missing alone, without its index.
func (s *shadows) gone(path string) bool {
	below := strings.TrimPrefix(path, base.GitDir+"/")
	if s.there[path] || s.hidden(path) || !s.whole[s.repository(below)] {
		return false
	}
	pack, isPack := strings.CutSuffix(path, ".pack")
	return !isPack || !s.there[pack+".idx"] && !s.hidden(pack+".idx")
}

// Waiting reports whether the remote side of a path waits to be placed. A
// repository that waits is another's business.
func (r *Replica) Waiting() bool {
	return slices.ContainsFunc(r.base.Unplaced, func(u base.Change) bool { return !base.GitRow(u.Path) })
}

// Repositories are those of a replica, as its base and their shadows have them.
type Repositories struct {
	base *base.Base
	tree string // where the replica is
}

// Repositories gives those of the replica.
func (r *Replica) Repositories() Repositories { return Repositories{r.base, r.Path} }

// Waiting gives, for each repository whose remote shadow was not settled
// here yet, what the remote side has of it.
func (r Repositories) Waiting() map[string][]tree.Entry {
	waits := false
	for i := range r.base.Unplaced {
		waits = waits || tree.Within(r.base.Unplaced[i].Path, base.GitDir)
	}
	if !waits {
		return nil
	}
	all := map[string][]tree.Entry{}
	remote := r.base.Remote()
	for i := range remote {
		if below, ok := strings.CutPrefix(remote[i].Path, base.GitDir+"/"); ok && path.Base(below) == gitMark {
			all[path.Dir(below)] = nil
		}
	}
	for i := range remote {
		if below, ok := strings.CutPrefix(remote[i].Path, base.GitDir+"/"); ok {
			if repo := deepest(below, all); repo != "" {
				all[repo] = append(all[repo], remote[i])
			}
		}
	}
	waiting := map[string][]tree.Entry{}
	for i := range r.base.Unplaced {
		if below, ok := strings.CutPrefix(r.base.Unplaced[i].Path, base.GitDir+"/"); ok {
			repo := deepest(below, all)
			waiting[repo] = all[repo]
		}
	}
	return waiting
}

// Agreed reports whether the shadow of a repository here is what both sides
// last agreed on, so that it can tell who changed what since: what the base
// has, or, after a crash, what was just brought here.
func (r Repositories) Agreed(repository string) bool {
	if r.base.Load() != nil {
		return false // nothing is known
	}
	return r.shows(repository, r.base.Entries()) || r.shows(repository, r.base.Remote())
}

// Agrees reports whether the file or the link at a path is one that was pushed from here, or
// came from the remote side, or is just coming: what somebody here has made since is
// another. Where the base cannot be asked, it may be.
func (r Repositories) Agrees(path string) bool {
	if r.base == nil {
		return true
	}
	rows, err := r.base.Lookup(map[string]bool{path: true})
	if err != nil {
		return true
	}
	row, known := rows[path]
	coming := r.base.RemoteAt(path)
	return known && r.looks(&row.Entry) || coming != nil && !coming.Gone && r.looks(&coming.Entry)
}

// looks reports whether what is here at the path of a file or a link is as an entry says.
func (r Repositories) looks(e *tree.Entry) bool {
	file := filepath.Join(r.tree, e.Path)
	switch e.Kind {
	case tree.File:
		return e.Sum == tree.Sum{} || e.Sum == SumOf(file) // of a plain object nobody knows
	case tree.Link:
		target, err := os.Readlink(file)
		return err == nil && target == e.Link
	}
	return false
}

// Base gives the rows of a repository's shadow that both sides last agreed on.
func (r Repositories) Base(repository string) ([]tree.Entry, error) {
	if err := r.base.Load(); err != nil {
		return nil, err
	}
	var out []tree.Entry
	rows := r.base.Rows()
	for i := range rows {
		if e := &rows[i].Entry; tree.Within(e.Path, base.GitDir+"/"+repository) && e.Path != base.GitDir+"/"+repository {
			out = append(out, *e)
		}
	}
	return out, nil
}

// shows reports whether the shadow of a repository here is the one among entries.
func (r Repositories) shows(repository string, entries []tree.Entry) bool {
	within := base.GitDir + "/" + repository
	found := false
	for i := range entries {
		e := &entries[i]
		if !tree.Within(e.Path, within) || strings.HasPrefix(e.Path[len(within):], "/"+gitPacks+"/") || e.Kind != tree.File {
			continue
		}
		found = true
		if SumOf(filepath.Join(r.tree, e.Path)) != e.Sum {
			return false
		}
	}
	return found
}

// Vanished lists the repositories that both sides had and the remote one has
// no more.
func (r Repositories) Vanished() []string {
	var out []string
	for i := range r.base.Unplaced {
		u := &r.base.Unplaced[i]
		below, ok := strings.CutPrefix(u.Path, base.GitDir+"/")
		if ok && u.Gone && path.Base(below) == gitMark {
			out = append(out, path.Dir(below))
		}
	}
	return out
}

// ReplacedDir is where what a take or a delete replaces at a moment is kept.
func (r *Replica) ReplacedDir(t time.Time) string {
	return filepath.Join(r.Dir(), replacedDir, stampOf(t))
}

// GitRemoved lists the repositories among the rows that go: with their mark, all
// of them goes.
func GitRemoved(gone []tree.Entry) []string {
	var out []string
	for i := range gone {
		if repo, ok := strings.CutSuffix(gone[i].Path, "/"+gitMark); ok && base.GitRow(repo) {
			out = append(out, repo+"/")
		}
	}
	return out
}

// Moved settles what the remote side has of shadows as it was, but in
// another place of the store.
func (r Repositories) Moved() error {
	var d base.Delta
	for _, u := range r.base.Unplaced {
		row := r.base.Row(u.Path)
		if base.GitRow(u.Path) && !u.Gone && row != nil && row.Same(&u.Entry) {
			u.Seen = row.Seen
			d.Changes = append(d.Changes, u)
		}
	}
	if len(d.Changes) == 0 {
		return nil
	}
	return r.base.Apply(d)
}

// Settle notes that the remote shadow of a repository is the one here now;
// "" stands for those that the remote side has no more.
func (r Repositories) Settle(repository string) error {
	waiting := r.Waiting()
	var d base.Delta
	for _, u := range r.base.Unplaced {
		below, ok := strings.CutPrefix(u.Path, base.GitDir+"/")
		if ok && deepest(below, waiting) == repository {
			d.Changes = append(d.Changes, u)
		}
	}
	if len(d.Changes) == 0 {
		return nil
	}
	return r.base.Apply(d)
}

// gitPack reports whether a path is a pack of a repository's shadow, or its index.
func gitPack(path string) bool {
	return base.GitRow(path) && strings.Contains(path, "/"+gitPacks+"/")
}

// gitHeld reports whether a path is a file of a repository's shadow that names what is in
// its packs.
func gitHeld(path string) bool { return base.GitRow(path) && !gitPack(path) }

// repositoriesAsFiles finds the repositories that a tree has as files, and not
// as wholes: it was written before repositories were.
func (o *Options) repositoriesAsFiles(entries []tree.Entry) map[string][]tree.Entry {
	found := map[string][]tree.Entry{}
	if o.Git == nil || !o.Git.Whole() {
		return found
	}
	for _, e := range entries {
		dir := gitDirOf(e.Path)
		if dir == "" || tree.Within(e.Path, localfs.Dir) || e.Path == dir && e.Kind != tree.Dir || o.carries(e.Path, e.Kind == tree.Dir) {
			continue
		}
		if tree.Find(entries, base.GitDir+"/"+dir+"/"+gitMark) == nil {
			found[dir] = append(found[dir], e)
		}
	}
	maps.DeleteFunc(found, func(dir string, files []tree.Entry) bool {
		return !slices.ContainsFunc(files, func(e tree.Entry) bool { return e.Path == dir+"/HEAD" })
	})
	return found
}

// gitDirOf is the part of a path up to its first element .git; "" for none.
func gitDirOf(path string) string {
	for dir := range tree.Parents(path + "/x") {
		if dir == ".git" || strings.HasSuffix(dir, "/.git") {
			return dir
		}
	}
	return ""
}

// GitFiles are the repositories that the remote side has as files, until they
// are placed.
func (r *Replica) GitFiles() map[string][]tree.Entry { return r.gitFiles }

// GitFilesPlaced notes that they are; where not all could be, a later start tries again.
func (r *Replica) GitFilesPlaced(all bool) error {
	r.gitFiles = nil
	if !all {
		return nil
	}
	h := r.base.Header
	h.Carries = r.Filter.Hash()
	return r.base.Apply(base.Delta{Header: &h})
}

// withRepositories gives a tree the git directories that it has shadows of.
func withRepositories(t *store.Tree) *store.Tree {
	out := &store.Tree{Filters: t.Filters}
	whole := map[string]bool{} // what is a file that leads elsewhere is the directory itself then
	for i := range t.Entries {
		if repo, ok := strings.CutSuffix(t.Entries[i].Path, "/"+gitMark); ok && base.GitRow(repo) {
			whole[strings.TrimPrefix(repo, base.GitDir+"/")] = true
		}
	}
	for _, e := range t.Entries {
		if e.Kind != tree.Dir && whole[e.Path] {
			continue
		}
		below, shadow := strings.CutPrefix(e.Path, base.GitDir+"/")
		if shadow && path.Base(below) != gitMark {
			e.Path = below
		}
		if !tree.Within(e.Path, localfs.Dir) {
			out.Entries = append(out.Entries, e)
		}
	}
	tree.Sort(out.Entries)
	return out
}
