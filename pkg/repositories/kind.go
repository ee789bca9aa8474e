package repositories

import (
	"context"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/coltec/coltec/pkg/gitstate"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/whole"
)

// Mode is how the repositories of a replica are carried.
type Mode string

// The ways to carry repositories.
const (
	Files   Mode = ""      // those that the filter lets through
	Wholes  Mode = "whole" // each as one, with what was never pushed
	Counted Mode = "off"   // as files, and a person is told what is only here
)

// Kind are git repositories, each named by its git directory, which is where a whole is.
type Kind struct{ Mode Mode }

var (
	_ whole.Kind     = Kind{}
	_ whole.Verifier = Kind{}
)

// name is that of a git directory, and of a file or link that leads to one.
const name = ".git"

var layout = whole.Layout{
	Noun: "repositories", Dir: localfs.Dir + "/git", Mark: gitstate.Mark, Gone: gitstate.Gone,
	Bulk: "objects/pack", Spared: packSuffix, Stands: ".idx",
}

const packSuffix = ".pack"

// Layout is how shadows lie: each is a git directory.
func (Kind) Layout() whole.Layout { return layout }

// Leads reports whether a name is that of a git directory.
func (Kind) Leads(n string) bool { return n == name }

// Around is the part of a path up to its first element .git; "" for none.
func (Kind) Around(p string) string {
	for dir := range tree.Parents(p + "/x") {
		if path.Base(dir) == name {
			return dir
		}
	}
	return ""
}

// Of is the git directory whose shadow a path is in; a submodule's is part of that around
// it.
func (Kind) Of(p string) string {
	below := "/" + strings.TrimPrefix(p, layout.Dir+"/") + "/"
	before, _, found := strings.Cut(below, "/"+name+"/")
	if !found {
		return strings.Trim(below, "/")
	}
	return strings.TrimPrefix(before+"/"+name, "/")
}

// Place is where a path of a shadow belongs: all but the mark is the repository itself.
func (Kind) Place(below string) (string, bool) { return below, path.Base(below) != layout.Mark }

// AsFiles finds the repositories that a tree has as files, where they are carried as wholes
// now. What is none, and only lies in a directory of that name, is left out.
func (k Kind) AsFiles(entries []tree.Entry, carries func(path string, dir bool) bool) map[string][]tree.Entry {
	found := map[string][]tree.Entry{}
	if k.Mode != Wholes {
		return found
	}
	for _, e := range entries {
		dir := k.Around(e.Path)
		if dir == "" || tree.Within(e.Path, localfs.Dir) || e.Path == dir && e.Kind != tree.Dir || carries(e.Path, e.Kind == tree.Dir) {
			continue
		}
		if tree.Find(entries, layout.Dir+"/"+dir+"/"+layout.Mark) == nil {
			found[dir] = append(found[dir], e)
		}
	}
	maps.DeleteFunc(found, func(dir string, files []tree.Entry) bool {
		return !slices.ContainsFunc(files, func(e tree.Entry) bool { return e.Path == dir+"/HEAD" })
	})
	return found
}

// Misleads says which entries of a repository would lead git elsewhere: in the git directory
// what gitstate knows, and a link in the place of that.
func (Kind) Misleads(e *tree.Entry) (at, why string) {
	at, shadow := strings.CutPrefix(e.Path, layout.Dir+"/")
	_, below, within := strings.Cut("/"+at, "/"+name+"/")
	switch {
	case within && gitstate.Harmless(below, e.Kind == tree.Link, e.Link),
		!within && !(shadow && e.Kind == tree.Link && path.Base(at) == name): // a link that is said to be a repository
		return "", ""
	}
	return at, "it would lead git elsewhere: left out; make it anew where it is yours"
}

// Watched adds repositories to what of a tree is watched, where they are carried as wholes.
func (k Kind) Watched(m localfs.Matcher) localfs.Matcher {
	if k.Mode != Wholes {
		return m
	}
	return watched{m}
}

// Verify has git look at the copy of a repository.
func (Kind) Verify(ctx context.Context, dir, scratch string) ([]string, error) {
	return gitstate.Fsck(ctx, dir, scratch)
}

// Carry makes what carries the repositories of a tree, or counts what of them is only here.
func (k Kind) Carry(o whole.Options) whole.Carrier {
	switch k.Mode {
	case Wholes:
		return newRepositories(o)
	case Counted:
		return &counted{Repositories: newRepositories(o), unpushed: map[string]gitstate.Unpushed{}}
	}
	return nil
}

// Shadows is where the shadows of the tree at a path are.
func Shadows(root string) string { return path.Join(root, layout.Dir) }
