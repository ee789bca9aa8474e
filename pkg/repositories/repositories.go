// Package repositories are git repositories as a kind of wholes: it has those of a tree
// captured before a scan, restored after a placement, and tells of those that are not
// carried as they are. pkg/gitstate knows what a repository is; pkg/replica carries the
// shadows as files.
package repositories

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/area"
	"github.com/coltec/coltec/pkg/gitstate"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/whole"
)

// Repositories carries the git repositories of one replica's tree as wholes. The replica's
// worker owns it, but for the notes, which are read between its runs.
type Repositories struct {
	o        whole.Options
	rep      whole.Replica // that is looked at
	keeper   *gitstate.Keeper
	captures map[string]error // of each repository, what its last capture said
	restores map[string]error // and its last restore
	unfit    map[string]error // those that the remote side has as files, and are not placed
	kept     map[string]int   // how many refs keep what lost its name
}

func newRepositories(o whole.Options) *Repositories {
	g := &Repositories{o: o, captures: map[string]error{}, restores: map[string]error{}, unfit: map[string]error{}}
	g.keeper = gitstate.New(gitstate.Options{
		Root: o.Path, Shadow: Shadows(o.Path), Stage: func() string { return filepath.Join(g.rep.StageDir(), "git") },
		Progress: func(p gitstate.Progress) { o.Doing(packing(p)) },
		Came:     o.Came,
		Doors:    filepath.Join(o.Path, localfs.Dir, "doors"),
		Env:      o.Env, Now: o.Now, Kept: func() string { return g.rep.ConflictDir(o.Now(), o.Host) },
	})
	return g
}

// Serve has it look at a replica from now on.
func (g *Repositories) Serve(rep whole.Replica) { g.rep = rep }

// agreement is what both sides agreed on.
func (g *Repositories) agreement() whole.Agreement {
	return whole.NewAgreement(layout, g.rep.Base(), g.o.Path)
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
	for _, dir := range slices.Sorted(maps.Keys(g.kept)) {
		out = append(out, fmt.Sprintf("replica %s: both sides of the repository %q have new commits: %s kept under %s: coltecd conflicts lists them, and how to take or drop them",
			g.o.Replica, dir, hint.Count(g.kept[dir], "ref that lost its name is", "refs that lost their name are"), gitstate.KeptRefs))
	}
	return out
}

// area is the tree, in which the bucket and others put links.
func (g *Repositories) area() area.Dir { return area.Dir(g.o.Path) }

// Account adds the repositories that are not carried as they are now.
func (g *Repositories) Account(a *account.Account) {
	for _, errs := range []map[string]error{g.captures, g.restores} {
		for _, dir := range slices.Sorted(maps.Keys(errs)) {
			if err := errs[dir]; err != nil && !errors.Is(err, errOrphan) && !gitstate.Lost(err) {
				a.Add(account.Uncaptured, dir, 0, anchor.OneLine(err))
			}
		}
	}
}
