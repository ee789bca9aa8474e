// Package repositories carries the git repositories of a replica's tree as wholes: it has
// them captured before a scan, restored after a placement, and tells of those that are
// not carried as they are. pkg/gitstate knows what a repository is; pkg/replica carries
// the shadows as files.
package repositories

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/area"
	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/gitstate"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// Options say whose repositories are carried.
type Options struct {
	Replica string // its name, for people
	Path    string // of the tree
	Env     string // of the workspace, in the names of refs that keep what lost its name
	Host    string
	Log     *slog.Logger
	Now     func() time.Time
	// Came reports whether what is at a path is what both sides agree on.
	Came     func(path string) bool
	Progress store.Progress    // of what is fetched
	Doing    func(what string) // to be told what takes its time
}

// Repositories carries the git repositories of one replica's tree as wholes. The replica's
// worker owns it, but for the notes, which are read between its runs. A nil one has none.
type Repositories struct {
	o        Options
	rep      *replica.Replica // that is looked at
	keeper   *gitstate.Keeper
	captures map[string]error // of each repository, what its last capture said
	restores map[string]error // and its last restore
	unfit    map[string]error // those that the remote side has as files, and are not placed
	kept     map[string]int   // how many refs keep what lost its name
	unpushed map[string]gitstate.Unpushed
}

// New makes what carries the repositories of a replica.
func New(o Options) *Repositories {
	g := &Repositories{o: o, captures: map[string]error{}, restores: map[string]error{}, unfit: map[string]error{}}
	g.keeper = gitstate.New(gitstate.Options{
		Root: o.Path, Shadow: replica.Shadows(o.Path), Stage: func() string { return filepath.Join(g.rep.Stage(), "git") },
		Progress: func(p gitstate.Progress) { o.Doing(packing(p)) },
		Came:     o.Came,
		Doors:    filepath.Join(o.Path, localfs.Dir, "doors"),
		Env:      o.Env, Now: o.Now, Kept: func() string { return g.rep.ConflictDir(o.Now(), o.Host) },
	})
	return g
}

// Serve has it look at a replica from now on.
func (g *Repositories) Serve(rep *replica.Replica) {
	if g != nil {
		g.rep = rep
	}
}

// Counted is what counts the repositories instead of carrying them.
func (g *Repositories) Counted() replica.Git { return (*counted)(g) }

// counted are not carried: what is only here is counted.
type counted Repositories

// Capture counts what of the repositories at dirs, and of those nested in them,
// is only here.
func (g *counted) Capture(ctx context.Context, dirs []string, _ func(string) bool) error {
	g.unpushed = map[string]gitstate.Unpushed{}
	if dirs = g.keeper.Repositories(dirs); len(dirs) > 0 {
		if err := g.rep.HoldOwn(); err != nil {
			return err
		}
	}
	for _, dir := range dirs {
		nested, _ := g.keeper.Nested(dir)
		for _, dir := range append([]string{dir}, nested...) {
			u, err := g.keeper.Unpushed(ctx, dir)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err == nil && u != (gitstate.Unpushed{}) { // what is not a repository has nothing
				g.unpushed[dir] = u
			}
		}
	}
	return nil
}

// Whole is true.
func (g *Repositories) Whole() bool { return true }

// Whole is false.
func (g *counted) Whole() bool { return false }

// Capture captures the repositories at dirs, and those nested in them. What one
// of them lacks is for attention, and keeps nothing else from going on.
func (g *Repositories) Capture(ctx context.Context, dirs []string, tells func(path string) bool) error {
	said := map[string]error{}
	if dirs = g.keeper.Repositories(dirs); len(dirs) > 0 {
		if err := g.rep.HoldOwn(); err != nil {
			return err
		}
	}
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
	if err := g.forget(said, tells); err != nil {
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
// around it. One whose git directory alone is gone stays: that is no way to say
// that its work is not needed. Of one that was on a volume which is not mounted now
// nothing is known.
func (g *Repositories) forget(said map[string]error, tells func(path string) bool) error {
	gone, orphans, err := g.keeper.Gone()
	if err != nil {
		return err
	}
	for _, dir := range orphans {
		said[dir] = errOrphan
	}
	for _, dir := range gone {
		if !tells(dir) {
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
	kept, err := gitstate.Kept(replica.Shadows(g.o.Path))
	if err != nil {
		return // the walk says what cannot be read
	}
	g.kept = map[string]int{}
	for _, k := range kept {
		g.kept[k.Repository]++
	}
}

// packing says how far the packing of a repository is.
func packing(p gitstate.Progress) string {
	return fmt.Sprintf("git: packing %s of %s objects of %s", thousands(p.Done), thousands(p.Total), p.Repository)
}

// thousands writes a number as people read it.
func thousands(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// Notes are for attention. A repository that is busy is tried again soon: that
// is no news.
func (g *Repositories) Notes() []string {
	if g == nil {
		return nil
	}
	var out []string
	say := func(what string, errs map[string]error) {
		for _, dir := range slices.Sorted(maps.Keys(errs)) {
			if err := errs[dir]; err != nil && !errors.Is(err, gitstate.ErrBusy) {
				out = append(out, fmt.Sprintf("replica %s: the repository %q %s: %s", g.o.Replica, dir, what, anchor.OneLine(err)))
			}
		}
	}
	say("is not carried as it is now", g.captures)
	say("is not what the bucket has", g.restores)
	say("is not brought here, and the generation that has it as files keeps it", g.unfit)
	for _, dir := range slices.Sorted(maps.Keys(g.unpushed)) {
		out = append(out, fmt.Sprintf("replica %s: of the repository %q %d commits and %d stashes are only here, and git is off: push them, or set git: auto",
			g.o.Replica, dir, g.unpushed[dir].Commits, g.unpushed[dir].Stashes))
	}
	for _, dir := range slices.Sorted(maps.Keys(g.kept)) {
		out = append(out, fmt.Sprintf("replica %s: both sides of the repository %q have new commits: %d refs that lost their name are kept under %s: coltecd conflicts lists them, and how to take or drop them",
			g.o.Replica, dir, g.kept[dir], gitstate.KeptRefs))
	}
	return out
}

// Deletions are the rows of repositories that have gone: with all else of
// their repository, or not at all. Where deletions are held, so are those of
// whole repositories.
func Deletions(found *replica.Changes, staged *replica.Staged, held bool) []tree.Entry {
	if slices.ContainsFunc(staged.Rest, func(s replica.Edit) bool { return base.GitRow(s.Path) }) {
		return nil
	}
	removed := replica.GitRemoved(found.Gone)
	var out []tree.Entry
	for _, row := range found.Gone {
		within := func(repository string) bool { return strings.HasPrefix(row.Path, repository) }
		if base.GitRow(row.Path) && !(held && slices.ContainsFunc(removed, within)) {
			out = append(out, row)
		}
	}
	return out
}

// Settle settles the repositories whose remote side was not settled here
// yet, with content from a source.
func (g *Repositories) Settle(ctx context.Context, source store.Layout) error {
	if err := g.placeFiles(ctx, source); err != nil {
		return err
	}
	if err := g.rep.Repositories().Moved(); err != nil {
		return err
	}
	for _, dir := range g.rep.Repositories().Vanished() {
		if err := g.vanished(ctx, dir); err != nil {
			return err
		}
	}
	waiting := g.rep.Repositories().Waiting()
	g.restores = map[string]error{}
	for _, dir := range slices.Sorted(maps.Keys(waiting)) { // a repository before those in it
		if dir == "" {
			if err := g.rep.Repositories().Settle(dir); err != nil {
				return err
			}
			continue
		}
		err := g.restore(ctx, source, dir, waiting[dir])
		var fetch *fetchError
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if errors.As(err, &fetch) {
			return fetch.error
		}
		if g.restores[dir] = err; err != nil {
			g.o.Log.Warn("repository not restored", "replica", g.o.Replica, "repository", dir, "error", err)
			continue
		}
		if err := g.rep.Repositories().Settle(dir); err != nil {
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
	agreed := g.rep.Repositories().Agreed(dir)
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
	files := g.rep.GitFiles()
	if len(files) == 0 {
		return nil
	}
	for _, dir := range slices.Sorted(maps.Keys(files)) {
		if _, err := os.Lstat(filepath.Join(g.o.Path, dir)); err == nil {
			delete(g.unfit, dir)
			continue
		}
		err := g.placeAsFiles(ctx, source, dir, files[dir])
		var fetch *fetchError
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.As(err, &fetch):
			return fetch.error
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
	return g.rep.GitFilesPlaced(len(g.unfit) == 0)
}

// placeAsFiles places one of them.
func (g *Repositories) placeAsFiles(ctx context.Context, source store.Layout, dir string, rows []tree.Entry) error {
	stage := filepath.Join(g.rep.Stage(), "git-in")
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

// fetchError is the store's fault, and no repository's.
type fetchError struct{ error }

// restore brings the remote shadow of a repository here, and what it says into
// the repository.
func (g *Repositories) restore(ctx context.Context, source store.Layout, dir string, rows []tree.Entry) error {
	stage := filepath.Join(g.rep.Stage(), "git-in")
	defer g.area().RemoveAll(stage)
	a := gitstate.Arrival{Dir: dir, From: filepath.Join(stage, "shadow"), Agreed: g.rep.Repositories().Agreed(dir)}
	prefix := filepath.Join(localfs.Dir, "git", dir) + "/"
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
		if strings.HasSuffix(e.Path, ".pack") {
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
	rows, err := g.rep.Repositories().Base(dir)
	if err != nil || len(rows) == 0 {
		return "", err
	}
	state, _ := parted(rows)
	err = g.fetch(ctx, source, filepath.Join(localfs.Dir, "git", dir)+"/", state, to, stage)
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
func (g *Repositories) fetch(ctx context.Context, source store.Layout, prefix string, rows []tree.Entry, to, stage string) (err error) {
	var files []*tree.Entry
	for i := range rows {
		target := filepath.Join(to, strings.TrimPrefix(rows[i].Path, prefix))
		switch rows[i].Kind {
		case tree.File:
			files = append(files, &rows[i])
		case tree.Dir:
			err = g.area().Mkdir(target)
		case tree.Link:
			err = g.area().Link(rows[i].Link, target)
		}
		if err != nil {
			return cannotPlace(&rows[i], err)
		}
	}
	if len(files) == 0 {
		return nil
	}
	dir := filepath.Join(stage, "fetched")
	defer g.area().RemoveAll(dir)
	if err := g.area().Mkdir(dir); err != nil {
		return err
	}
	if err := source.Fetch(ctx, files, dir, nil, g.o.Progress); err != nil {
		return &fetchError{err}
	}
	for i, e := range files {
		staged := filepath.Join(dir, fmt.Sprint(i))
		err := g.area().Do(staged, func(root *os.Root, path string) error {
			mode := os.FileMode(e.Mode & 0o777)
			if e.Mode == tree.NoMode {
				mode = 0o644
			}
			return errors.Join(root.Chmod(path, mode), root.Chtimes(path, time.Time{}, time.Unix(0, e.MTime)))
		})
		if err == nil {
			err = g.area().Move(staged, filepath.Join(to, strings.TrimPrefix(e.Path, prefix)))
		}
		if err != nil {
			return cannotPlace(e, err)
		}
	}
	return nil
}

// cannotPlace is of a row that lies where it cannot: below a link, most likely.
func cannotPlace(row *tree.Entry, err error) error {
	return fmt.Errorf("cannot place %q: %w", row.Path, err)
}

// area is the tree, in which the bucket and others put links.
func (g *Repositories) area() area.Dir { return area.Dir(g.o.Path) }

// Account adds the repositories that are not carried as they are now.
func (g *Repositories) Account(a *account.Account) {
	if g == nil {
		return
	}
	for _, errs := range []map[string]error{g.captures, g.restores} {
		for _, dir := range slices.Sorted(maps.Keys(errs)) {
			if err := errs[dir]; err != nil && !errors.Is(err, errOrphan) && !gitstate.Lost(err) {
				a.Add(account.Uncaptured, dir, 0, anchor.OneLine(err))
			}
		}
	}
}
