package replica

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/plan"
	"github.com/coltec/coltec/pkg/tree"
	"golang.org/x/sys/unix"
)

// The steps of a placement at which a crash test kills the process.
var (
	pointFetched  = killpoint.New("place:fetched")
	pointAside    = killpoint.New("place:aside")
	pointRenamed  = killpoint.New("place:renamed")
	pointPlaced   = killpoint.New("place:placed")
	pointRecorded = killpoint.New("place:recorded")
	pointDeleted  = killpoint.New("place:deleted")
	pointRestored = killpoint.New("restore:complete")
)

// placement carries a plan out.
type placement struct {
	r       *Replica
	o       SettleOptions
	out     *Outcome
	plan    *planning
	stamp   string // of this run: names the directories of what is kept aside
	changes []base.Change
	dirs    []*plan.Decision    // whose modes and times are set when their content is there
	late    map[string]bool     // paths that take the name of one that goes, on a file system that folds
	local   map[tree.Sum]string // files that are here, by their content
	pace    pace
	taken   []localfs.Unknown // where somebody began to work since the plan
	stayed  map[string]string // directories that could not go, by what their name is folded to
	batches
}

// try does one thing and notes a failure of that path alone.
func (p *placement) try(d *plan.Decision, do func(*plan.Decision) error) {
	err := do(d)
	switch {
	case err == nil:
	case noRoom(err) && d.Fetches():
		p.forgo(d, p.refuse(d, err))
	default:
		p.forgo(d, reason(err))
	}
}

// record writes what was settled since the last time into the base.
func (p *placement) record() error {
	if len(p.changes) == 0 {
		return nil
	}
	err := p.r.base.Apply(base.Delta{Changes: p.changes})
	p.changes = nil
	return err
}

// bring makes the local side show the decision's entry.
func (p *placement) bring(d *plan.Decision, staged string) error {
	switch d.Op {
	case plan.Nothing, plan.Adopt:
		switch {
		case d.Op == plan.Nothing && !p.r.unplaced(d.Path):
		case d.Entry.Kind == tree.Dir: // its time may be another
			p.dirs = append(p.dirs, d)
		default:
			p.note(d)
		}
		return nil
	case plan.Meta:
		return p.meta(d)
	}
	if d.Entry.Kind == tree.Dir {
		return p.dir(d)
	}
	return p.take(d, staged)
}

// take places a file or a link.
func (p *placement) take(d *plan.Decision, staged string) error {
	put := p.putFile
	if d.Entry.Kind == tree.Link {
		put = p.putLink
	}
	seen, err := put(p.r.root, d, staged)
	if err == nil {
		p.out.Placed++
		p.settle(d, seen)
	}
	return err
}

// putLink makes a link and gives it its place.
func (p *placement) putLink(root localfs.FileSystem, d *plan.Decision, staged string) (localfs.Seen, error) {
	if staged != "" {
		_ = root.Remove(staged)
	}
	staged = localfs.Dir + "/stage/" + localfs.LinkName
	_ = root.Remove(staged)
	if err := root.Symlink(d.Entry.Link, staged); err != nil {
		return localfs.Seen{}, err
	}
	return p.put(root, d, staged)
}

// putFile gives a staged file its mode and its place.
func (p *placement) putFile(root localfs.FileSystem, d *plan.Decision, staged string) (localfs.Seen, error) {
	if err := p.chmodIn(root, staged, d.Entry.Mode); err != nil {
		return localfs.Seen{}, err
	}
	return p.put(root, d, staged)
}

// put gives what is staged its time and its place, and says what is seen of it
// there. It changes nothing of the placement, unless something is in its place.
func (p *placement) put(root localfs.FileSystem, d *plan.Decision, staged string) (localfs.Seen, error) {
	if err := root.SetTime(staged, d.Entry.MTime); err != nil {
		return localfs.Seen{}, err
	}
	placed, err := root.Lstat(staged)
	if err != nil || placed == nil {
		return localfs.Seen{}, errors.Join(err, localfs.ErrEdited)
	}
	if d.Local != nil {
		if err := p.clear(d); err != nil {
			return localfs.Seen{}, err
		}
	}
	rename := func() error {
		return localfs.WithWritableParent(root, d.Path, func() error { return root.Rename(staged, d.Path, false) })
	}
	if err = rename(); localfs.Absent(err) { // the directory is
		root.Forget()
		if err = localfs.MakeParents(root, d.Path); err == nil {
			err = rename()
		}
	}
	if errors.Is(err, unix.EXDEV) {
		err = localfs.WithWritableParent(root, d.Path, func() (err error) {
			placed.Seen, err = root.MoveAcross(staged, d.Path, placed.Seen)
			return err
		})
	}
	if err != nil {
		return localfs.Seen{}, err
	}
	pointRenamed.Reach()
	return lookPlaced(root, d.Path, placed.Seen)
}

// lookPlaced says what is seen of what was placed. An edit that is faster than
// this look at it must not pass for what was placed: the rename sets the change
// time and nothing else.
func lookPlaced(root localfs.FileSystem, path string, placed localfs.Seen) (localfs.Seen, error) {
	now, err := root.Lstat(path)
	if err != nil {
		return localfs.Seen{}, err
	}
	placed.CTime = 0
	if now != nil {
		ctime := now.CTime
		now.CTime = 0
		if now.Seen == placed {
			placed.CTime = ctime
		}
	}
	return placed, nil
}

// keep leaves the local version, with what changed of its mode on the remote
// side.
func (p *placement) keep(d *plan.Decision) error {
	if d.Remote == nil || d.Local.Kind != tree.File || d.Remote.Kind != tree.File || d.Entry.Mode == d.Local.Mode {
		p.note(d)
		return nil
	}
	now, err := p.r.root.Lstat(d.Path)
	if err != nil {
		return err
	}
	if now == nil || !p.asPlanned(d.Path, now) {
		return localfs.ErrEdited
	}
	if err := p.chmod(d.Path, d.Entry.Mode); err != nil {
		return err
	}
	if now, err = p.r.root.Lstat(d.Path); err != nil || now == nil {
		return errors.Join(err, localfs.ErrEdited)
	}
	p.settle(d, now.Seen)
	return nil
}

// clear takes the local version of a path away, to where it is kept.
func (p *placement) clear(d *plan.Decision) error {
	if d.Local.Kind == tree.Dir {
		return p.rmdir(d.Path)
	}
	if err := p.moveToConflicts(d); err != nil {
		return err
	}
	pointAside.Reach()
	return nil
}

// asConflict is where the local version of a path lies that loses its name.
func (p *placement) asConflict(path string) string {
	return fmt.Sprintf("%s/%s/%s-%s/%s", localfs.Dir, conflictsDir, p.stamp, p.r.Host, path)
}

// keepDirs completes what lies aside of directories that both sides changed: with the empty
// ones, and with the modes that a server wants of its own. A fault costs no content.
func (p *placement) keepDirs() {
	for i := len(p.plan.decisions) - 1; i >= 0; i-- {
		d := &p.plan.decisions[i]
		in := func(dir string) bool { return inside(d.Path, dir) }
		if d.Local == nil || d.Local.Kind != tree.Dir || p.isTaken(d.Path) || !slices.ContainsFunc(p.plan.mixed, in) {
			continue
		}
		kept := p.asConflict(d.Path)
		err := p.r.root.MkdirAll(kept, 0o755)
		if err == nil {
			err = p.chmod(kept, d.Local.Mode)
		}
		if err != nil {
			p.forgo(d, "the local version of this directory is not kept beside its files: "+reason(err))
		}
	}
}

// moveToConflicts renames the local version to where it is kept, and back if it is
// not the one that the plan saw: the rename itself is the test, so that no
// edit slips in between.
func (p *placement) moveToConflicts(d *plan.Decision) error {
	root := p.r.root
	kept := fmt.Sprintf("%s/%s/%s/%s", localfs.Dir, replacedDir, p.stamp, d.Path)
	conflict := d.Op == plan.Conflict || d.Op == plan.Displace
	if conflict {
		kept = p.asConflict(d.Path)
	}
	if err := root.MkdirAll(parentOf(kept), 0o755); err != nil {
		return err
	}
	err := localfs.WithWritableParent(root, d.Path, func() error { return root.Rename(d.Path, kept, false) })
	switch {
	case errors.Is(err, unix.EXDEV):
		err = p.moveAcross(d.Path, kept)
	case err == nil:
		err = p.renamed(d.Path, kept)
	}
	if err != nil {
		return err
	}
	if conflict {
		p.out.Conflicts = append(p.out.Conflicts, d.Path)
	}
	return nil
}

// renamed reports whether what was renamed is what the plan saw. It goes back if not.
func (p *placement) renamed(path, kept string) error {
	_, err := p.look(kept, path)
	if err != nil {
		err = errors.Join(err, localfs.WithWritableParent(p.r.root, path, func() error { return p.r.root.Rename(kept, path, false) }))
	}
	return err
}

// look sights what is at a place, which is to be what the plan saw at the path.
func (p *placement) look(at, path string) (*localfs.Entry, error) {
	now, err := p.r.root.Lstat(at)
	if err == nil && (now == nil || !p.asPlanned(path, now)) {
		err = localfs.ErrEdited
	}
	return now, err
}

// moveAcross does it from a mount within the tree.
func (p *placement) moveAcross(path, kept string) error {
	now, err := p.look(path, path)
	if err != nil {
		return err
	}
	return localfs.WithWritableParent(p.r.root, path, func() error {
		_, err := p.r.root.MoveAcross(path, kept, now.Seen)
		return err
	})
}

// asPlanned reports whether a sighting is what the plan saw at the path. A rename
// sets the change time, so that one cannot count.
func (p *placement) asPlanned(path string, now *localfs.Entry) bool {
	i, ok := localfs.Search(p.plan.seen, path)
	if !ok {
		return false
	}
	was := &p.plan.seen[i]
	return was.Kind == now.Kind && was.Link == now.Link && was.Inode == now.Inode && was.Size == now.Size &&
		was.MTime == now.MTime && was.Mode == now.Mode
}

func (p *placement) rmdir(path string) error {
	return localfs.WithWritableParent(p.r.root, path, func() error { return p.r.root.Rmdir(path) })
}

// dir makes a directory, writable for now.
func (p *placement) dir(d *plan.Decision) error {
	if d.Local != nil && d.Local.Kind != tree.Dir {
		if err := p.clear(d); err != nil {
			return err
		}
	}
	if err := localfs.MakeParents(p.r.root, d.Path); err != nil {
		return err
	}
	if err := p.recase(d.Path); err != nil {
		return err
	}
	if err := localfs.MakeDir(p.r.root, d.Path); err != nil {
		return err
	}
	p.dirs = append(p.dirs, d)
	return nil
}

// dirMode gives a directory its mode, when everything is in it and it has its time.
func (p *placement) dirMode(d *plan.Decision) error {
	if d.Op == plan.Nothing || d.Op == plan.Adopt {
		return p.noteDir(d)
	}
	if err := p.chmod(d.Path, d.Entry.Mode); err != nil {
		return err
	}
	return p.noteSeen(d)
}

// meta sets mode and time of what is there already.
func (p *placement) meta(d *plan.Decision) error {
	if d.Entry.Kind == tree.Dir {
		p.dirs = append(p.dirs, d)
		return nil
	}
	now, err := p.r.root.Lstat(d.Path)
	if err != nil {
		return err
	}
	if now == nil || !p.asPlanned(d.Path, now) {
		return localfs.ErrEdited
	}
	if d.Entry.Kind == tree.File {
		if err := p.chmod(d.Path, d.Entry.Mode); err != nil {
			return err
		}
	}
	if err := p.r.root.SetTime(d.Path, d.Entry.MTime); err != nil {
		return err
	}
	p.out.Placed++
	now, err = p.r.root.Lstat(d.Path)
	if err != nil || now == nil {
		return errors.Join(err, localfs.ErrEdited)
	}
	now.CTime = 0 // an edit may have slipped in before the time was set: the next scan reads it
	p.settle(d, now.Seen)
	return nil
}

// remove takes a local entry away.
func (p *placement) remove(d *plan.Decision) error {
	if d.Local.Kind == tree.Dir {
		err := p.rmdir(d.Path)
		if err != nil && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, fs.ErrNotExist) {
			return err // with something in it that is not carried, it stays
		}
		if errors.Is(err, unix.ENOTEMPTY) && p.stayed != nil {
			p.stayed[p.r.quirks.Key(d.Path)] = d.Path
		}
		p.note(d)
		return nil
	}
	if err := p.moveToConflicts(d); err != nil {
		return err
	}
	pointDeleted.Reach()
	if d.Op == plan.Delete {
		p.out.Deleted++
	}
	p.note(d)
	return nil
}

// noteSeen settles a path with what it shows now.
func (p *placement) noteSeen(d *plan.Decision) error {
	now, err := p.r.root.Lstat(d.Path)
	if err != nil {
		return err
	}
	if now == nil {
		return localfs.ErrEdited
	}
	p.settle(d, now.Seen)
	return nil
}

// note settles a path with what the plan saw of it.
func (p *placement) note(d *plan.Decision) {
	var seen localfs.Seen
	if i, ok := localfs.Search(p.plan.seen, d.Path); ok {
		seen = p.plan.seen[i].Seen
	}
	if read, ok := p.plan.read[d.Path]; ok {
		seen.CTime = read.CTime
	}
	p.settle(d, seen)
}

// settle makes the base's row for a path: what is agreed from now on is what
// the remote has. Where the local side differs on purpose, what the row says
// was seen differs from what is there, so that the next scan pushes it.
func (p *placement) settle(d *plan.Decision, seen localfs.Seen) {
	c := base.Change{Row: base.Row{Entry: d.Entry, Seen: seen}}
	row := p.r.base.Row(d.Path)
	switch {
	case d.Op == plan.Take || d.Op == plan.Conflict:
		// Where times are coarse, an edit right after this may show the same ones: the
		// next scan reads the file again.
		if time.Now().UnixNano()-seen.CTime < int64(p.r.quirks.Grain) {
			c.Seen.CTime = 0
		}
		// The entry as it was placed: a listing did not tell all of it. A mode
		// that was merged is still to be pushed.
		if r := d.Remote.Mode; r != tree.NoMode && d.Entry.Kind != tree.Link && r != d.Entry.Mode {
			c.Entry.Mode, c.Seen.Mode, c.Seen.CTime = r, r, 0
		}
	case d.Remote == nil && row == nil:
		return // neither side of the base knows it
	case d.Remote == nil:
		c.Gone = true
	case d.Op == plan.Keep || d.Op == plan.Withdraw:
		c.Entry = plan.WithMode(*d.Remote, d.Local)
		c.Seen = keptSeen(d, row, &c.Entry, seen)
	default:
		c.Entry = plan.WithMode(*d.Remote, d.Local)
		if !d.Entry.SameMeta(&c.Entry) {
			c.Seen.Mode, c.Seen.MTime, c.Seen.CTime = c.Entry.Mode, c.Entry.MTime, 0
		}
	}
	c.Path = d.Path
	p.changes = append(p.changes, c)
}

// keptSeen is what a row shall say was seen where the local side stays as it
// is: what the base saw, so that the difference stays one.
func keptSeen(d *plan.Decision, row *base.Row, remote *tree.Entry, now localfs.Seen) localfs.Seen {
	var s localfs.Seen
	if row != nil {
		s = row.Seen
	}
	if row != nil && row.Kind == remote.Kind && d.Op == plan.Keep {
		if remote.MTime != row.MTime {
			s.MTime = remote.MTime
		}
		if remote.Mode != row.Mode {
			s.Mode = remote.Mode
			if d.Entry.Mode == remote.Mode {
				s.Mode = now.Mode // as this file system shows it
			}
		}
	}
	if remote.Kind == tree.Dir && d.Local != nil {
		s.Mode = ^remote.Mode & 0o7777
	}
	s.CTime = 0
	return s
}

// recase gives a directory that could not be removed the name, in another
// case, that comes in its place.
func (p *placement) recase(path string) error {
	if !p.r.quirks.MergeNames() {
		return nil
	}
	key := p.r.quirks.Key(path)
	was, there := p.stayed[key]
	if !there || was == path {
		return nil
	}
	delete(p.stayed, key)
	err := p.r.root.Rename(was, path, true)
	p.r.root.Forget()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// chmod sets permission bits where there are any.
func (p *placement) chmod(path string, mode uint32) error { return p.chmodIn(p.r.root, path, mode) }

func (p *placement) chmodIn(root localfs.FileSystem, path string, mode uint32) error {
	if p.r.quirks.NoModes {
		return nil
	}
	if p.r.PlainModes {
		mode &= 0o777
	}
	return root.Chmod(path, mode)
}

// forgo notes that a file is not placed now.
func (p *placement) forgo(d *plan.Decision, why string) {
	p.out.Problems = append(p.out.Problems, localfs.Unknown{Path: d.Path, Reason: why, Moving: why == localfs.ErrEdited.Error()})
}

// refuse remembers a file that had no room, and gives the sentence for it.
func (p *placement) refuse(d *plan.Decision, err error) string {
	room := min(freeAt(p.r.Path, ""), freeAt(p.r.Path, d.Path))
	if p.r.refused == nil {
		p.r.refused = map[string]refusal{}
	}
	p.r.refused[d.Path] = refusal{d.Entry.Sum, room, time.Now()}
	return crowdedWords(takesUp(d), room, err)
}

// noteDir settles a directory that is as it is to be, with the time that it has now. Its
// mode is what the plan saw: who changed it since made an edit.
func (p *placement) noteDir(d *plan.Decision) error {
	now, err := p.r.root.Lstat(d.Path)
	if err != nil {
		return err
	}
	p.note(d)
	if n := len(p.changes); now != nil && n > 0 && p.changes[n-1].Path == d.Path {
		p.changes[n-1].Seen.MTime = now.MTime
	}
	return nil
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
