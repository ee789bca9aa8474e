package repositories

import (
	"context"
	"crypto/sha256"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/coltec/coltec/pkg/gitstate"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/whole"
)

// Removal is what the repositories say of files that went. agreed counts those of a working
// tree's paths that both sides agreed on, and that are not among them.
func (g *Repositories) Removal(ctx context.Context, lost []tree.Entry, agreed func(workingTree string, tracked map[string]bool) (int, error)) (out whole.Removal, err error) {
	dirs, err := g.keeper.Copies()
	if err != nil {
		return out, err
	}
	known := map[string]bool{}
	for _, dir := range dirs {
		known[dir] = g.captures[dir] == nil && g.restores[dir] == nil
	}
	missing := map[string][]gitstate.Missing{}
	for i := range lost {
		if dir := around(lost[i].Path, known); dir != "" {
			missing[dir] = append(missing[dir], missingOf(&lost[i], path.Dir(dir)))
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(missing)) {
		tree := path.Dir(dir)
		here := func(tracked map[string]bool) (int, error) { return agreed(tree, tracked) }
		got, err := g.keeper.Removed(ctx, dir, missing[dir], here)
		if ctx.Err() != nil {
			return out, context.Cause(ctx)
		}
		if err != nil { // it has no say then
			g.o.Log.Info("git does not tell why files went", "replica", g.o.Replica, "repository", dir, "error", err)
			continue
		}
		out.Taken += got.Taken
		out.Untracked += got.Untracked
	}
	return out, nil
}

// around is the repository in whose working tree a path lies, the deepest one; "" where
// that has no say.
func around(file string, known map[string]bool) (dir string) {
	for at := path.Dir(file); ; at = path.Dir(at) {
		dir := path.Join(at, ".git")
		if says, is := known[dir]; is {
			if !says {
				return ""
			}
			return dir
		}
		if at == "." {
			return ""
		}
	}
}

// missingOf is a row as git is asked for it, below a working tree.
func missingOf(e *tree.Entry, workingTree string) gitstate.Missing {
	m := gitstate.Missing{Path: strings.TrimPrefix(e.Path, workingTree+"/"), Size: e.Size, Sum: e.Sum}
	if e.Kind == tree.Link {
		m.Size, m.Sum = int64(len(e.Link)), sha256.Sum256([]byte(e.Link))
	}
	return m
}
