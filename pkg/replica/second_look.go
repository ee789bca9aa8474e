package replica

import (
	"context"
	"slices"

	"github.com/coltec/coltec/pkg/localfs"
)

// secondLook compares the directories that have to be still with the base again, once what was
// found in them is staged.
type secondLook struct {
	r      *Replica
	found  *Changes
	staged *Staged
}

// stirred gives the directories of which what was staged is not of one moment, or not all
// of it, with the reason.
func (l secondLook) stirred(ctx context.Context) (out []localfs.Unknown, err error) {
	var whole []string
	for _, dir := range l.r.still {
		if top, _ := l.r.still.at(dir); top != dir || !l.found.changesIn(dir) {
			continue
		}
		if u := l.partial(dir); u != nil {
			out = append(out, *u)
		} else {
			whole = append(whole, dir)
		}
	}
	if len(whole) == 0 {
		return out, nil
	}
	again, err := l.again(ctx, whole)
	if err != nil {
		return nil, err
	}
	for _, dir := range whole {
		if !l.unstirred(dir, again) {
			out = append(out, localfs.Unknown{Path: dir, Reason: "something wrote in it while it was read", Moving: true})
		}
	}
	return out, nil
}

// again compares some directories with the base, with all that is in them.
func (l secondLook) again(ctx context.Context, dirs []string) (*Changes, error) {
	l.r.root.Forget()
	in := localfs.Scope{}
	for _, dir := range dirs {
		in.Add(dir, true)
		if dir == "" {
			in = nil
			break
		}
	}
	again := comparison{r: l.r, found: &Changes{}, hides: map[string]bool{}}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	next, err := again.meet(ctx, in)
	if err != nil {
		return nil, err
	}
	return again.found, again.run(next)
}

// partial says of what of a directory could not be read; nil: all could.
func (l secondLook) partial(dir string) *localfs.Unknown {
	for _, u := range l.staged.Unsettled {
		if inside(u.Path, dir) {
			return &localfs.Unknown{Path: dir, Reason: u.Path + " could not go with the rest: " + u.Reason, Moving: u.Moving, Unread: u.Unread, Beyond: u.Beyond}
		}
	}
	for _, u := range l.found.Unknown {
		if u.Unread && inside(u.Path, dir) {
			return &localfs.Unknown{Path: dir, Reason: u.Path + " could not go with the rest: " + u.Reason, Unread: true}
		}
	}
	return nil
}

// unstirred reports whether a directory differs from the base by just what was found, as it
// was seen when it was read.
func (l secondLook) unstirred(dir string, again *Changes) bool {
	hidden := hiddenBy(slices.DeleteFunc(slices.Clone(l.found.Unknown), func(u localfs.Unknown) bool { return u.Path == "" }))
	here := func(path string) bool { return inside(path, dir) && !hidden(path) }
	if slices.ContainsFunc(again.Unknown, func(u localfs.Unknown) bool { return here(u.Path) && u.Unread }) {
		return false
	}
	edits := map[string]localfs.Seen{}
	for _, list := range [][]Edit{l.found.Edited, l.found.Touched} {
		for i := range list {
			if e := &list[i]; here(e.Path) {
				edits[e.Path] = e.Seen
				if s, ok := l.staged.stood[e.Path]; ok {
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
	return len(edits) == 0 && slices.Equal(gone(l.found), gone(again))
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
