package replica

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/whole"
)

// Scan walks the local tree and compares it with the base, path by path: it needs
// no more memory for more files, and gives that of the base back. It reads no file.
//
// dirs name the directories that are walked: "" is the root, true stands for all
// that is below too. Of what changed elsewhere nothing is seen, and nothing is
// concluded. It looks again at what the last scan could not tell. nil: the whole
// tree, and so is it where the file system falls short.
func (r *Replica) Scan(ctx context.Context, dirs map[string]bool) (*Changes, error) {
	loaded := r.base.Unload()
	found, err := r.ScanIn(ctx, dirs)
	if err != nil {
		return nil, err
	}
	found.Any, found.Loaded = !found.Empty(), loaded
	if !found.Any && found.whole {
		return found, r.Trust()
	}
	return found, nil
}

// ScanIn is Scan with a base that stays as it is.
func (r *Replica) ScanIn(ctx context.Context, dirs map[string]bool) (*Changes, error) {
	c := comparison{r: r, found: &Changes{whole: dirs == nil}, hides: map[string]bool{}}
	walking, cancel := context.WithCancel(ctx)
	defer cancel()
	in := scopeOf(dirs, r.doubts)
	next, err := c.meet(walking, in)
	if err != nil {
		return nil, err
	}
	if err := c.run(next); err != nil {
		return nil, err
	}
	r.doubts = c.doubts()
	kept, err := walkConflicts(ctx, r.root)
	if err != nil {
		return nil, err
	}
	if err := c.capture(ctx, c.tells(in)); err != nil {
		return nil, err
	}
	shadows, err := r.Wholes.Shadows(ctx, r.root)
	if err != nil {
		return nil, err
	}
	c.compareOwn(kept, shadows)
	slices.SortFunc(c.found.Edited, func(a, b Edit) int { return tree.Compare(a.Path, b.Path) })
	tree.Sort(c.found.Gone)
	return c.found, nil
}

// scopeOf is what a scan of some directories looks into.
func scopeOf(dirs map[string]bool, doubts []string) localfs.Scope {
	if dirs == nil || dirs[""] || slices.Contains(doubts, "") {
		return nil
	}
	in := localfs.Scope{}
	for dir, whole := range dirs {
		in.Add(dir, whole)
	}
	for _, path := range doubts {
		in.Add(path, true)
	}
	return in
}

// doubts are what the next scan looks at again, whatever it is a scan of.
func (c *comparison) doubts() (paths []string) {
	for _, u := range c.found.Unknown {
		if !u.Quiet || c.r.leads(u.Path) {
			paths = append(paths, u.Path)
		}
	}
	paths = append(paths, c.doors...)  // what happens where they lead sends no events
	paths = append(paths, c.linked...) // nor does what is written by another name
	for i := range c.found.Awaited {
		paths = append(paths, c.found.Awaited[i].Path)
	}
	return paths
}

// meet starts a walk. next gives what it meets in order, nil at the end.
func (c *comparison) meet(ctx context.Context, in localfs.Scope) (next func() (*localfs.Met, error), err error) {
	r := c.r
	root, real := r.root.(*localfs.Root)
	if real && r.quirks == (localfs.Quirks{Grain: r.quirks.Grain}) {
		return localfs.Prefetch(ctx, func(ctx context.Context, visit func(*localfs.Met)) error {
			return rootError(ctx, root.WalkIn(ctx, "", r.matcher(), in, visit))
		}), nil
	}
	// What a file system that falls short cannot show takes both trees as a whole.
	if err := r.base.Load(); err != nil {
		return nil, err
	}
	seen, unknown, err := r.walk(ctx)
	if err != nil {
		return nil, err
	}
	unshown := r.names().unshowable(r.base.Remote(), seen)
	c.withheld = localfs.HiddenBy(unshown)
	for _, u := range unshown {
		c.unseen(u)
	}
	return localfs.InOrder(seen, unknown), nil
}

// covered lists the directories that show something else than before because a
// mount went or came: what the base knows in them is not gone.
func (r *Replica) covered(seen []localfs.Entry) ([]localfs.Unknown, error) {
	c := comparison{r: r, found: &Changes{}, hides: map[string]bool{}}
	err := c.run(localfs.InOrder(seen, nil))
	return c.found.Unknown, err
}

// comparison is a scan under way: what a walk meets and the base's rows come
// together, both in order.
type comparison struct {
	r        *Replica
	found    *Changes
	hides    map[string]bool        // paths that are unknown, so far
	withheld func(path string) bool // what this file system cannot show
	own      []base.Row             // of what is in the replica's own directory
	mounts   []mount                // that came, around where we are
	ahead    string                 // the row behind a path that has none; "": there is none
	passed   string                 // the last directory that was not looked into; "" for none
	doors    []string               // files and links that lead to wholes
	linked   []string               // files that have other names, linkedMost at most
	err      error                  // what is found is not all
}

// mount is a directory that something was mounted over since the base saw it.
// When it shows nothing of what the base has in it, it covers that.
type mount struct {
	Edit
	gone      int // length of found.Gone before it
	had, show bool
}

func (c *comparison) run(next func() (*localfs.Met, error)) error {
	rows, done, err := c.r.base.ReaderPast(c.isPassed)
	if err != nil {
		return err
	}
	defer done()
	row, err := rows()
	if err != nil {
		return err
	}
	for {
		m, err := next()
		if err != nil {
			return err
		}
		for row != nil && (m == nil || tree.Compare(row.Path, m.At()) < 0) {
			c.pair(row, nil)
			if row, err = rows(); err != nil {
				return err
			}
		}
		switch {
		case m == nil:
			c.leave("")
			return c.err
		case m.Unknown != nil:
			c.unseen(*m.Unknown)
		case row != nil && row.Path == m.Path:
			c.pair(row, &m.Entry)
			if row, err = rows(); err != nil {
				return err
			}
		default:
			if c.ahead = ""; row != nil {
				c.ahead = row.Path
			}
			c.pair(nil, &m.Entry)
		}
		if m.Passed {
			c.passed = m.Path
		}
	}
}

// isPassed reports whether a path is in a directory that was not looked into.
func (c *comparison) isPassed(path string) bool {
	return c.passed != "" && tree.Within(path, c.passed)
}

// unseen notes a path about which the walk cannot tell, before what is below it.
func (c *comparison) unseen(u localfs.Unknown) {
	c.found.Unknown = append(c.found.Unknown, u)
	c.hides[u.Path] = true
}

// hiddenBy tells the paths about which nothing is concluded: those in what the walk
// could not see.
func (c *comparison) hidden(path string) bool {
	return len(c.hides) > 0 && (c.hides[path] || below(path, c.hides))
}

// tells says of a path that is not there whether the walk saw that. What it did not
// look into may be hidden: by a mount that went, say.
func (c *comparison) tells(in localfs.Scope) func(path string) bool {
	if in == nil {
		hidden := localfs.HiddenBy(slices.DeleteFunc(slices.Clone(c.found.Unknown), func(u localfs.Unknown) bool { return u.Quiet }))
		return func(path string) bool { return !hidden(path) }
	}
	gone := map[string]bool{}
	for i := range c.found.Gone {
		gone[c.found.Gone[i].Path] = true
	}
	return func(path string) bool { return gone[path] || below(path, gone) }
}

// pair takes what the base has at a path and what is seen there; one of them may
// be nil.
func (c *comparison) pair(row *base.Row, s *localfs.Entry) {
	if s != nil && s.Kind != tree.Dir && c.r.leads(s.Path) {
		c.doors = append(c.doors, s.Path)
	}
	if s != nil && s.Linked {
		c.link(s.Path)
	}
	if row == nil {
		c.leave(s.Path)
		c.edited(Edit{Entry: *s, over: c.ahead != "" && tree.Within(c.ahead, s.Path)})
		return
	}
	c.leave(row.Path)
	switch {
	case s == nil && c.isPassed(row.Path):
		return
	case row.Kind == 0: // of which the path alone was read
		c.err = fmt.Errorf("internal error: the walk met something in %q, which it had passed", c.passed)
		return
	}
	if tree.Within(row.Path, localfs.Dir) {
		c.own = append(c.own, *row)
		return
	}
	for i := range c.mounts {
		c.mounts[i].had = c.mounts[i].had || row.Kind != tree.Dir
		c.mounts[i].show = c.mounts[i].show || row.Kind != tree.Dir && s != nil
	}
	mounted := s != nil && s.Mount
	switch {
	case row.Kind == tree.Dir && row.Seen.Mount && !mounted:
		c.unseen(localfs.Unknown{Path: row.Path, Reason: "it was a mount point and no longer is; what was in it is kept in the bucket"})
		if s == nil {
			c.gone(row)
		}
	case row.Kind == tree.Dir && mounted && !row.Seen.Mount:
		c.mounts = append(c.mounts, mount{Edit: editOf(s, row), gone: len(c.found.Gone)})
	case s == nil:
		c.gone(row)
	case changed(c.r.quirks, row, s) || c.r.unstored(row):
		c.edited(editOf(s, row))
	case s.Kind == tree.Dir && s.MTime != row.Seen.MTime && !c.r.unplaced(s.Path):
		c.found.Touched = append(c.found.Touched, editOf(s, row))
	}
}

// linkedMost bounds how many files with several names each scan looks at: of more than that
// they are most often those of a store of packages, which nobody writes in place.
const linkedMost = 1000

// link notes a file that has other names.
func (c *comparison) link(path string) {
	if len(c.linked) == linkedMost {
		c.found.Linked = true
		return
	}
	c.linked = append(c.linked, path)
}

// leave ends the mounts that a path is not in.
func (c *comparison) leave(path string) {
	for n := len(c.mounts) - 1; n >= 0 && !tree.Within(path, c.mounts[n].Path); n-- {
		m := c.mounts[n]
		c.mounts = c.mounts[:n]
		if m.had && !m.show {
			c.unseen(localfs.Unknown{Path: m.Path, Reason: "something is mounted over it; what was in it is kept in the bucket"})
			c.found.Gone = c.found.Gone[:m.gone]
		} else {
			c.edited(m.Edit)
		}
	}
}

func (c *comparison) edited(s Edit) {
	switch {
	case c.withheld != nil && c.withheld(s.Path):
	case !c.r.awaited(s.Path):
		c.found.Edited = append(c.found.Edited, s)
	case s.Kind != tree.Dir && !base.ShadowRow(s.Path):
		c.found.Awaited = append(c.found.Awaited, s)
	}
}

// gone sorts a row that nothing was seen of.
func (c *comparison) gone(row *base.Row) {
	switch {
	case c.r.awaited(row.Path):
	case !c.r.carries(row.Path, row.Kind == tree.Dir):
		c.found.Forgotten = append(c.found.Forgotten, row.Path)
	case !c.hidden(row.Path):
		c.goes(row)
	}
}

// goes notes a row that is agreed on and not there any more.
func (c *comparison) goes(row *base.Row) {
	e := row.Entry
	e.Where = nil // there may be many
	c.found.Gone = append(c.found.Gone, e)
}

// compareOwn compares what lies in the replica's own directory: the versions that
// are kept aside, which are never read as gone (those of other machines are not
// here), and the shadows of wholes.
func (c *comparison) compareOwn(kept []localfs.Entry, shadows *whole.Shadows) {
	seen := map[string]*localfs.Entry{}
	for _, list := range [][]localfs.Entry{kept, shadows.Seen} {
		for i := range list {
			seen[list[i].Path] = &list[i]
		}
	}
	dropped := droppedIn(c.r.Dir())
	for i := range c.own {
		row := &c.own[i]
		if dropped[row.Path] || shadows.Gone(row.Path) && !c.r.unplaced(row.Path) {
			c.goes(row)
		}
		s := seen[row.Path]
		delete(seen, row.Path)
		if s != nil && (changed(c.r.quirks, row, s) || c.r.unstored(row)) {
			c.edited(editOf(s, row))
		}
	}
	for _, s := range seen {
		c.edited(Edit{Entry: *s})
	}
}

// awaited reports whether what is seen at a path says nothing, because a placement is
// to come there first. A survey asks what is here all the same.
func (r *Replica) awaited(path string) bool { return !r.surveying && r.unplaced(path) }

// capture has the wholes that a walk met captured. tells reports whether the walk saw that
// something is not there.
func (c *comparison) capture(ctx context.Context, tells func(path string) bool) error {
	r := c.r
	if r.Capture == nil {
		return nil
	}
	r.still = nil
	met := whole.Met{Root: r.root, Tells: tells, Guess: r.surveying, Part: !c.found.whole, Gone: c.found.Gone, Removed: r.Removed, Still: func(dir string) { r.still = append(r.still, dir) }}
	for _, u := range c.found.Unknown {
		if u.Quiet && r.leads(u.Path) && r.Filter.Asks(u.Path) && path.Base(path.Dir(u.Path)) != localfs.Dir { // not the skeleton in a nested replica's own directory
			met.Leads = append(met.Leads, u.Path)
		}
	}
	met.Leads = append(met.Leads, c.doors...)
	for i := range c.found.Edited {
		met.Edited = append(met.Edited, c.found.Edited[i].Entry)
	}
	unseen, err := r.Capture(ctx, met)
	if err != nil {
		return err
	}
	return c.withhold(unseen)
}

// withhold takes out of what was found what is not a file to carry: it is part of a whole,
// or is not to go now.
func (c *comparison) withhold(unseen []localfs.Unknown) error {
	if len(unseen) == 0 {
		return nil
	}
	hidden := hiddenBy(unseen)
	c.found.Edited = slices.DeleteFunc(c.found.Edited, func(s Edit) bool { return hidden(s.Path) })
	c.found.Touched = slices.DeleteFunc(c.found.Touched, func(s Edit) bool { return hidden(s.Path) })
	c.found.Gone = pick(c.found.Gone, func(e *tree.Entry) bool { return !hidden(e.Path) })
	whole := map[string]bool{}
	for _, u := range unseen {
		c.unseen(u)
		c.r.doubts = append(c.r.doubts, u.Path)
		if u.Quiet && u.Reason == "" && !c.r.unplaced(u.Path) {
			whole[u.Path] = true
		}
	}
	rows, err := c.r.base.Lookup(whole) // what was a file before it was a whole
	if err != nil {
		return err
	}
	maps.DeleteFunc(rows, func(_ string, row base.Row) bool { return row.Kind == tree.Dir }) // a directory is none
	c.found.Forgotten = append(c.found.Forgotten, slices.Sorted(maps.Keys(rows))...)
	return nil
}
