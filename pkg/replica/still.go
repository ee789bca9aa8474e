package replica

import (
	"context"
	"slices"

	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/tree"
)

// A directory that is still is one whose files are only valid together, and are carried as
// files: what a generation has of it has to be of one moment. So all that changed of it goes
// in one step, with what went, and before it goes the directory is compared with the base
// again: where that finds just what was staged, nothing happened in it between the first look
// and the last, and at that moment it was as it was read.

// inside reports whether a path is a directory or lies in it; "" is the root.
func inside(path, dir string) bool { return dir == "" || tree.Within(path, dir) }

// stillAt is the directory around a path that has to be still, and lies in no other such: those
// in it go with it, or not. ok is false where none has to.
func (r *Replica) stillAt(path string) (dir string, ok bool) {
	for _, d := range r.still {
		if inside(path, d) && (!ok || len(d) < len(dir)) {
			dir, ok = d, true
		}
	}
	return dir, ok
}

// stirred gives the directories of which what was staged is not of one moment, or not all
// of it, with the reason.
func (r *Replica) stirred(ctx context.Context, found *Changes, staged *Staged) (out []localfs.Unknown, err error) {
	var whole []string
	for _, dir := range r.still {
		if top, _ := r.stillAt(dir); top != dir || !found.changesIn(dir) {
			continue
		}
		if u := partial(dir, found, staged); u != nil {
			out = append(out, *u)
		} else {
			whole = append(whole, dir)
		}
	}
	if len(whole) == 0 {
		return out, nil
	}
	again, err := r.lookAgain(ctx, whole)
	if err != nil {
		return nil, err
	}
	for _, dir := range whole {
		if !unstirred(dir, found, again, staged.stood) {
			out = append(out, localfs.Unknown{Path: dir, Reason: "something wrote in it while it was read", Moving: true})
		}
	}
	return out, nil
}

// lookAgain compares some directories with the base, with all that is in them.
func (r *Replica) lookAgain(ctx context.Context, dirs []string) (*Changes, error) {
	r.root.Forget()
	in := localfs.Scope{}
	for _, dir := range dirs {
		in.Add(dir, true)
		if dir == "" {
			in = nil
			break
		}
	}
	again := comparison{r: r, found: &Changes{}, hides: map[string]bool{}}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	next, err := again.meet(ctx, in)
	if err != nil {
		return nil, err
	}
	return again.found, again.run(next)
}

// partial says of what of a directory could not be read; nil: all could.
func partial(dir string, found *Changes, staged *Staged) *localfs.Unknown {
	for _, u := range staged.Unsettled {
		if inside(u.Path, dir) {
			return &localfs.Unknown{Path: dir, Reason: u.Path + " could not go with the rest: " + u.Reason, Moving: u.Moving, Unread: u.Unread, Beyond: u.Beyond}
		}
	}
	for _, u := range found.Unknown {
		if u.Unread && inside(u.Path, dir) {
			return &localfs.Unknown{Path: dir, Reason: u.Path + " could not go with the rest: " + u.Reason, Unread: true}
		}
	}
	return nil
}

// changesIn reports whether anything was found in a directory.
func (c *Changes) changesIn(dir string) bool {
	return slices.ContainsFunc(c.Edited, func(e Edit) bool { return inside(e.Path, dir) }) ||
		slices.ContainsFunc(c.Gone, func(e tree.Entry) bool { return inside(e.Path, dir) })
}

// unstirred reports whether a directory differs from the base by just what was found, as it
// was seen when it was read.
func unstirred(dir string, found, again *Changes, read map[string]localfs.Seen) bool {
	hidden := hiddenBy(slices.DeleteFunc(slices.Clone(found.Unknown), func(u localfs.Unknown) bool { return u.Path == "" }))
	here := func(path string) bool { return inside(path, dir) && !hidden(path) }
	if slices.ContainsFunc(again.Unknown, func(u localfs.Unknown) bool { return here(u.Path) && u.Unread }) {
		return false
	}
	edits := map[string]localfs.Seen{}
	for _, list := range [][]Edit{found.Edited, found.Touched} {
		for i := range list {
			if e := &list[i]; here(e.Path) {
				edits[e.Path] = e.Seen
				if s, ok := read[e.Path]; ok {
					edits[e.Path] = s
				}
			}
		}
	}
	for _, list := range [][]Edit{again.Edited, again.Touched} {
		for i := range list {
			if e := &list[i]; here(e.Path) {
				was, ok := edits[e.Path]
				if !ok || !sameMoment(was, e.Seen) {
					return false
				}
				delete(edits, e.Path)
			}
		}
	}
	gone := func(c *Changes) (paths []string) {
		for i := range c.Gone {
			if here(c.Gone[i].Path) {
				paths = append(paths, c.Gone[i].Path)
			}
		}
		slices.Sort(paths)
		return paths
	}
	return len(edits) == 0 && slices.Equal(gone(found), gone(again))
}

// sameMoment reports whether nothing happened to a path between two looks. A change time that
// was too young to tell is not there.
func sameMoment(was, now localfs.Seen) bool {
	if was.CTime == 0 {
		now.CTime = 0
	}
	if now.CTime == 0 {
		was.CTime = 0
	}
	return was == now
}

// without are the changes but those in directories that do not go now.
func (c *Changes) without(unseen []localfs.Unknown) *Changes {
	out := *c
	hidden := hiddenBy(unseen)
	in := func(e Edit) bool { return hidden(e.Path) }
	out.Edited = slices.DeleteFunc(slices.Clone(c.Edited), in)
	out.Touched = slices.DeleteFunc(slices.Clone(c.Touched), in)
	out.Gone = slices.DeleteFunc(slices.Clone(c.Gone), func(e tree.Entry) bool { return hidden(e.Path) })
	return &out
}

// hiddenBy is localfs.HiddenBy, for all of a tree too.
func hiddenBy(unseen []localfs.Unknown) func(path string) bool {
	if slices.ContainsFunc(unseen, func(u localfs.Unknown) bool { return u.Path == "" }) {
		return func(string) bool { return true }
	}
	return localfs.HiddenBy(unseen)
}

// stillGone are the deletions in directories that have to be still: they go with what else
// changed there, and nobody is asked, because a server removes files of its own as it likes.
// Who removes all of a directory is asked: then it is none any more.
func (r *Replica) stillGone(staged *Staged) (out []tree.Entry) {
	waits := map[string]bool{}
	for i := range staged.Deferred {
		if dir, ok := r.stillAt(staged.Deferred[i].Path); ok {
			waits[dir] = true
		}
	}
	for i := range staged.Found.Gone {
		if dir, ok := r.stillAt(staged.Found.Gone[i].Path); ok && !waits[dir] {
			out = append(out, staged.Found.Gone[i])
		}
	}
	return out
}

// apart are those of some entries that are missing here which lie in no directory that is here
// and whose files are only valid together: files of another moment would spoil it.
func (r *Replica) apart(ctx context.Context, missing []tree.Entry) []tree.Entry {
	if r.Comes == nil || len(missing) == 0 {
		return missing
	}
	var paths []string
	for i := range missing {
		paths = append(paths, missing[i].Path)
	}
	occupied, together := r.Comes(ctx, r.root, paths)
	for _, u := range occupied {
		together = append(together, u.Path)
	}
	return pick(missing, func(e *tree.Entry) bool {
		return !slices.ContainsFunc(together, func(dir string) bool { return inside(e.Path, dir) })
	})
}

// askAgain asks whether somebody has begun to work, since the plan, in a directory in which
// something is to be placed: to fetch takes its time.
func (p *placement) askAgain(ctx context.Context) {
	if len(p.plan.together) == 0 {
		return
	}
	var within []string
	for _, dir := range p.plan.together {
		within = append(within, localfs.Join(dir, "x"))
	}
	taken, _ := p.r.Comes(ctx, p.r.root, within)
	for _, u := range taken {
		if !slices.Contains(p.taken, u) {
			p.taken, p.out.Problems = append(p.taken, u), append(p.out.Problems, u)
		}
	}
}

// isTaken reports whether a path is not to be touched any more.
func (p *placement) isTaken(path string) bool {
	return slices.ContainsFunc(p.taken, func(u localfs.Unknown) bool { return inside(path, u.Path) })
}

// comes gives what must stay as it is of what waits to be placed, and the directories that
// must not be made of two.
func (r *Replica) comes(ctx context.Context) (occupied []localfs.Unknown, together []string) {
	if r.Comes == nil || len(r.base.Unplaced) == 0 {
		return nil, nil
	}
	var paths []string
	for i := range r.base.Unplaced {
		if path := r.base.Unplaced[i].Path; !tree.Within(path, localfs.Dir) {
			paths = append(paths, path)
		}
	}
	return r.Comes(ctx, r.root, paths)
}
