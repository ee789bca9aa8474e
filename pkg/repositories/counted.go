package repositories

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/coltec/coltec/pkg/gitstate"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/whole"
)

// counted are not carried as wholes: what is only here is counted.
type counted struct {
	*Repositories
	unpushed map[string]gitstate.Unpushed
}

// Capture counts what of the repositories to which a walk was led, and of those nested in
// them, is only here.
func (g *counted) Capture(ctx context.Context, m whole.Met) ([]localfs.Unknown, error) {
	g.unpushed = map[string]gitstate.Unpushed{}
	dirs, err := g.met(ctx, m)
	if err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		nested, _ := g.keeper.Nested(dir)
		for _, dir := range append([]string{dir}, nested...) {
			u, err := g.keeper.Unpushed(ctx, dir)
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			if err == nil && u != (gitstate.Unpushed{}) { // what is not a repository has nothing
				g.unpushed[dir] = u
			}
		}
	}
	return nil, nil
}

// Settle does nothing: their files are placed like any.
func (*counted) Settle(context.Context, store.Layout) error { return nil }

// Removal is nothing: without copies nobody can tell.
func (*counted) Removal(context.Context, []tree.Entry, func(string, map[string]bool) (int, error)) (whole.Removal, error) {
	return whole.Removal{}, nil
}

// Notes say what is only here.
func (g *counted) Notes() []string {
	var out []string
	for _, dir := range slices.Sorted(maps.Keys(g.unpushed)) {
		out = append(out, fmt.Sprintf("replica %s: of the repository %q %s and %s are only here, and git is off: push them, or set git: auto",
			g.o.Replica, dir, hint.Count(g.unpushed[dir].Commits, "commit", "commits"), hint.Count(g.unpushed[dir].Stashes, "stash", "stashes")))
	}
	return out
}
