package repositories

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/coltec/coltec/pkg/gitstate"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/whole"
)

// Capture captures the repositories to which a walk was led, and those nested in them. What
// one of them lacks is for attention, and keeps nothing else from going on.
func (g *Repositories) Capture(ctx context.Context, m whole.Met) ([]localfs.Unknown, error) {
	dirs, err := g.met(ctx, m)
	if err != nil {
		return nil, err
	}
	return nil, g.capture(ctx, dirs, m)
}

// met gives the repositories to which a walk was led. What of their packs did not have to come
// here, and is not in the bucket any more, is forgotten.
func (g *Repositories) met(ctx context.Context, m whole.Met) ([]string, error) {
	if !m.Guess {
		lost, err := g.agreement().Lost(ctx, m.Root)
		if err != nil {
			return nil, err
		}
		for _, path := range lost {
			if err := m.Root.Remove(path); err != nil && !localfs.Absent(err) {
				return nil, fmt.Errorf("cannot forget a pack: %w", err)
			}
		}
	}
	dirs := g.keeper.Repositories(m.Leads)
	if len(dirs) == 0 {
		return nil, nil
	}
	return dirs, g.rep.HoldOwn()
}

func (g *Repositories) capture(ctx context.Context, dirs []string, m whole.Met) error {
	said := map[string]error{}
	for len(dirs) > 0 {
		dir := dirs[0]
		dirs = dirs[1:]
		nested, _ := g.keeper.Nested(dir) // a capture says what is wrong
		for _, below := range nested {
			if !slices.Contains(dirs, below) {
				dirs = append(dirs, below)
			}
		}
		if g.restores[dir] != nil {
			continue // its own side is not settled with the remote one
		}
		changed, err := g.keeper.Capture(ctx, dir)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if changed {
			g.o.Log.Info("repository captured", "replica", g.o.Replica, "repository", dir)
		}
		if err != nil {
			said[dir] = g.uncaptured(ctx, dir, err)
		}
	}
	if err := g.forget(said, m); err != nil {
		return err
	}
	g.captures = said
	g.count()
	return nil
}

// uncaptured adds to why a repository could not be captured what is only here for it.
func (g *Repositories) uncaptured(ctx context.Context, dir string, why error) error {
	if errors.Is(why, gitstate.ErrBusy) || errors.As(why, new(*gitstate.PartialError)) {
		return why
	}
	u, err := g.keeper.Unpushed(ctx, dir)
	if err != nil || u == (gitstate.Unpushed{}) {
		return why
	}
	return fmt.Errorf("%w; %s that no remote of it has are only here", why, u)
}

// forget has the shadows go whose repository was removed with all that was
// around it. One whose git directory alone is gone stays, unless the walk says that it counts as
// removed: that is no way to say that its work is not needed. Of one that was on a volume which is not mounted now
// nothing is known.
func (g *Repositories) forget(said map[string]error, m whole.Met) error {
	gone, orphans, err := g.keeper.Gone()
	if err != nil {
		return err
	}
	for _, dir := range orphans {
		if m.Removed != nil && m.Removed(dir) {
			gone = append(gone, dir)
		} else {
			said[dir] = errOrphan
		}
	}
	for _, dir := range gone {
		if !m.Tells(dir) {
			continue
		}
		if err := g.keeper.Forget(dir); err != nil {
			return err
		}
		g.o.Log.Info("repository was removed", "replica", g.o.Replica, "repository", dir)
	}
	return nil
}

var errOrphan = errors.New("its git directory is gone; its last state stays in the bucket, and comes back on the next machine")

// count counts what the repositories keep.
func (g *Repositories) count() {
	kept, err := gitstate.Kept(Shadows(g.o.Path))
	if err != nil {
		return // the walk says what cannot be read
	}
	g.kept = map[string]int{}
	for _, k := range kept {
		g.kept[k.Repository]++
	}
}
