package repositories

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/coltec/coltec/pkg/area"
	"github.com/coltec/coltec/pkg/gitstate"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/whole"
)

// Settle settles the repositories whose remote side was not settled here
// yet, with content from a source.
func (g *Repositories) Settle(ctx context.Context, source store.Layout) error {
	if err := g.placeFiles(ctx, source); err != nil {
		return err
	}
	if err := g.agreement().Moved(); err != nil {
		return err
	}
	for _, dir := range g.agreement().Vanished() {
		if err := g.vanished(ctx, dir); err != nil {
			return err
		}
	}
	waiting := g.agreement().Waiting()
	g.restores = map[string]error{}
	for _, dir := range slices.Sorted(maps.Keys(waiting)) { // a repository before those in it
		if dir == "" {
			if err := g.agreement().Settle(dir); err != nil {
				return err
			}
			continue
		}
		err := g.restore(ctx, source, dir, waiting[dir])
		var fetch *whole.FetchError
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if errors.As(err, &fetch) {
			return fetch.Unwrap()
		}
		if g.restores[dir] = err; err != nil {
			g.o.Log.Warn("repository not restored", "replica", g.o.Replica, "repository", dir, "error", err)
			continue
		}
		if err := g.agreement().Settle(dir); err != nil {
			return err
		}
		g.o.Log.Info("repository restored", "replica", g.o.Replica, "repository", dir)
	}
	return nil
}

// vanished removes a repository that the other side removed, and keeps it with
// what was replaced. One that went on here since stays, and is pushed again.
func (g *Repositories) vanished(ctx context.Context, dir string) error {
	here := filepath.Join(g.o.Path, dir)
	agreed := g.agreement().Agreed(dir)
	changed, err := g.keeper.Capture(ctx, dir)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case !agreed, changed, err != nil:
		return nil
	}
	to := filepath.Join(g.rep.ReplacedDir(g.o.Now()), dir)
	err = g.area().Move(here, to)
	if err == nil {
		err = g.keeper.Remove(dir)
	}
	if errors.Is(err, area.ErrLink) { // what it leads to is somebody else's
		g.o.Log.Warn("repository not removed", "replica", g.o.Replica, "repository", dir, "error", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot remove the repository %q: %w", dir, err)
	}
	g.area().Prune(g.o.Path, filepath.Dir(here))
	g.o.Log.Info("repository removed", "replica", g.o.Replica, "repository", dir, "kept", to)
	return nil
}

// placeFiles places the repositories that the remote side has as files, where
// there are none here. One that cannot be placed is for attention, and keeps nothing else
// from going on.
func (g *Repositories) placeFiles(ctx context.Context, source store.Layout) error {
	files := map[string][]tree.Entry{}
	for dir, rows := range g.rep.AsFiles() {
		if path.Base(dir) == name {
			files[dir] = rows
		}
	}
	if len(files) == 0 {
		return nil
	}
	for _, dir := range slices.Sorted(maps.Keys(files)) {
		if _, err := os.Lstat(filepath.Join(g.o.Path, dir)); err == nil {
			delete(g.unfit, dir)
			continue
		}
		err := g.placeAsFiles(ctx, source, dir, files[dir])
		var fetch *whole.FetchError
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.As(err, &fetch):
			return fetch.Unwrap()
		case err != nil && !errors.As(err, new(*gitstate.RefusedError)) && !errors.Is(err, area.ErrLink): // what is wrong here passes
			return fmt.Errorf("cannot place the repository %q: %w", dir, err)
		case err != nil:
			g.unfit[dir] = err
			g.o.Log.Warn("repository not placed", "replica", g.o.Replica, "repository", dir, "error", err)
		default:
			delete(g.unfit, dir)
			g.o.Log.Info("repository placed", "replica", g.o.Replica, "repository", dir)
		}
	}
	return g.rep.TriedAsFiles(files, len(g.unfit) == 0)
}

// placeAsFiles places one of them.
func (g *Repositories) placeAsFiles(ctx context.Context, source store.Layout, dir string, rows []tree.Entry) error {
	stage := filepath.Join(g.rep.StageDir(), "git-in")
	defer g.area().RemoveAll(stage)
	made := filepath.Join(stage, "whole")
	if err := errors.Join(g.area().RemoveAll(stage), g.area().Mkdir(made)); err != nil {
		return err
	}
	if err := g.fetch(ctx, source, dir+"/", rows, made, stage); err != nil {
		return err
	}
	if err := g.keeper.Admit(dir, made); err != nil {
		return err
	}
	if err := g.area().Mkdir(filepath.Join(made, "refs")); err != nil { // a store may keep no empty directories
		return err
	}
	return g.area().Move(made, filepath.Join(g.o.Path, dir))
}

// restore brings the remote shadow of a repository here, and what it says into
// the repository.
func (g *Repositories) restore(ctx context.Context, source store.Layout, dir string, rows []tree.Entry) error {
	stage := filepath.Join(g.rep.StageDir(), "git-in")
	defer g.area().RemoveAll(stage)
	a := gitstate.Arrival{Dir: dir, From: filepath.Join(stage, "shadow"), Agreed: g.agreement().Agreed(dir)}
	prefix := filepath.Join(layout.Dir, dir) + "/"
	state, packs := parted(rows)
	err := g.fetch(ctx, source, prefix, state, a.From, stage)
	if err == nil && !a.Agreed {
		a.Base, err = g.agreed(ctx, source, dir, filepath.Join(stage, "agreed"), stage)
	}
	if err != nil {
		return err
	}
	needed, err := g.keeper.Needed(ctx, a)
	if err != nil {
		return err
	}
	packs = slices.DeleteFunc(packs, func(e tree.Entry) bool {
		return !slices.Contains(needed, strings.TrimPrefix(e.Path, prefix))
	})
	if err := g.fetch(ctx, source, prefix, packs, a.From, stage); err != nil {
		return err
	}
	return g.keeper.Restore(ctx, a)
}

// parted are the rows of a shadow, packs apart.
func parted(rows []tree.Entry) (state, packs []tree.Entry) {
	for _, e := range rows {
		if strings.HasSuffix(e.Path, packSuffix) && path.Base(path.Dir(e.Path)) == "pack" {
			packs = append(packs, e)
		} else {
			state = append(state, e)
		}
	}
	return state, packs
}

// agreed brings to a directory the shadow that both sides last agreed on, where the one
// here was captured anew since: by somebody who waits, or for a generation that never
// was. It is in the bucket for as long as that generation is kept; "" where it is not.
func (g *Repositories) agreed(ctx context.Context, source store.Layout, dir, to, stage string) (string, error) {
	rows, err := g.agreement().Rows(dir)
	if err != nil || len(rows) == 0 {
		return "", err
	}
	state, _ := parted(rows)
	err = g.fetch(ctx, source, filepath.Join(layout.Dir, dir)+"/", state, to, stage)
	var told *rclone.Error
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case errors.As(err, &told) && told.Class.Retry():
		return "", err
	case err != nil:
		g.o.Log.Warn("what both sides of a repository agreed on is not in the bucket any more", "replica", g.o.Replica, "repository", dir, "error", err)
		return "", nil
	}
	return to, nil
}

// fetch brings rows of a shadow to where they lie in it.
func (g *Repositories) fetch(ctx context.Context, source store.Layout, prefix string, rows []tree.Entry, to, stage string) error {
	return whole.Fetcher{Area: g.area(), Progress: g.o.Progress}.Fetch(ctx, source, prefix, rows, to, stage)
}
