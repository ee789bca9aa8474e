package replica

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/plan"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// Joint is what is joined to the local tree from elsewhere: what both had, and what is there
// now.
type Joint struct{ Base, Now *store.Tree }

// What a join does at a path.
const (
	JoinNew      = "new"
	JoinChanged  = "changed"
	JoinDeleted  = "deleted"
	JoinMode     = "mode"     // or time, of what is the same
	JoinConflict = "conflict" // both have changed it: the other's keeps the name, the local one is kept
	JoinWhole    = "whole"    // one that is only valid together, and was changed there
	JoinMerged   = "merged"   // one that was changed on both sides: what cannot be one is kept beside it
)

// Joining is what a join does at one path.
type Joining struct{ Path, What string }

// PlanJoin says what Join would do. It writes nothing.
func (r *Replica) PlanJoin(ctx context.Context, j Joint) (list []Joining, err error) {
	err = j.beside(r, func() error {
		r.note(j.Now, "", 0, 0)
		decisions, err := r.Plan(ctx)
		for i := range decisions {
			if d := &decisions[i]; !tree.Within(d.Path, localfs.Dir) && joined[d.Op] != "" {
				what := joined[d.Op]
				if what == JoinChanged && d.Local == nil {
					what = JoinNew
				}
				list = append(list, Joining{d.Path, what})
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	theirs := r.wholesOf(j.Base, j.Now)
	if len(theirs) == 0 {
		return list, nil
	}
	here := &store.Tree{}
	err = r.base.Each(func(row *base.Row) error {
		here.Entries = append(here.Entries, row.Entry)
		return nil
	})
	ours := r.wholesOf(j.Base, here)
	for _, whole := range theirs {
		what := JoinWhole
		if slices.Contains(ours, whole) {
			what = JoinMerged
		}
		list = append(list, Joining{whole, what})
	}
	return list, err
}

var joined = map[plan.Op]string{
	plan.Take: JoinChanged, plan.Meta: JoinMode, plan.Delete: JoinDeleted, plan.Conflict: JoinConflict, plan.Displace: JoinConflict,
}

// Join brings what was done elsewhere to the local tree: place is to settle the replica, and
// its wholes, while the base says what both had. What it places is an edit like any other, and
// is pushed as one: the replica's own base, and what the bucket has, stay as they are. left
// are paths, and wholes, that could not be placed. It can be interrupted at any point and
// called again.
func (r *Replica) Join(ctx context.Context, j Joint, place func(ctx context.Context) error) (left []string, err error) {
	err = j.beside(r, func() error {
		if err := r.Receive(j.Now, "", 0, 0); err != nil {
			return err
		}
		err := place(ctx)
		left = Waiting(r)
		return err
	})
	return left, err
}

// Waiting are the paths, and the wholes by their names for people, that wait to be placed.
func Waiting(r *Replica) (paths []string) {
	for i := range r.base.Unplaced {
		path := r.base.Unplaced[i].Path
		if whole, ok := r.Wholes.Of(path); ok {
			path = whole
		}
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// beside does something while the base is another one: that both sides of a joint agreed on
// what they both had.
func (j Joint) beside(r *Replica, do func() error) error {
	dir := filepath.Join(r.StageDir(), "join")
	if err := os.RemoveAll(dir); err != nil { // of a join that was killed
		return err
	}
	own := r.base
	other := base.New(dir, base.Header{
		Workspace: own.Header.Workspace, Replica: own.Header.Replica, Lineage: own.Header.Lineage,
		Device: own.Header.Device, Inode: own.Header.Inode,
	})
	if err := agreeOn(other, own, j.Base.Entries); err != nil {
		return err
	}
	newer, capitals, asFiles, asFilesLeft := r.newer, r.capitals, r.asFiles, r.asFilesLeft
	defer func() {
		r.base, r.newer, r.capitals, r.asFiles, r.asFilesLeft = own, newer, capitals, asFiles, asFilesLeft
	}()
	r.base = other
	return errors.Join(do(), os.RemoveAll(dir))
}

// agreeOn makes the rows of a base of a tree. What is as a base of this place has it was seen
// here as that says; all else is read before anything is concluded of it.
func agreeOn(other, own *base.Base, entries []tree.Entry) error {
	seen := map[string]localfs.Seen{}
	err := own.Each(func(row *base.Row) error {
		if e := tree.Find(entries, row.Path); e != nil && e.Same(&row.Entry) {
			seen[row.Path] = row.Seen
		}
		return nil
	})
	for _, e := range entries {
		other.Agree(base.Row{Entry: e, Seen: seen[e.Path]})
	}
	return err
}

// wholesOf are the wholes, by their names for people, of which two trees differ.
func (o *Options) wholesOf(a, b *store.Tree) []string {
	found := map[string]bool{}
	differ := func(a, b *store.Tree) {
		for i := range a.Entries {
			e := &a.Entries[i]
			whole, ok := o.Wholes.Of(e.Path)
			if !ok || o.Wholes.Bulk(e.Path) || e.Kind == tree.Dir {
				continue
			}
			if other := tree.Find(b.Entries, e.Path); other == nil || !e.SameContent(other) {
				found[whole] = true
			}
		}
	}
	differ(a, b)
	differ(b, a)
	var names []string
	for whole := range found {
		names = append(names, whole)
	}
	slices.Sort(names)
	return names
}
