package replica

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/tree"
	"golang.org/x/sys/unix"
)

var (
	pointLinked    = killpoint.New("conflict:linked")    // the version has a second name, beside what was replaced
	pointExchanged = killpoint.New("conflict:exchanged") // it has its own name again
	pointBetween   = killpoint.New("conflict:between")   // what has the path has a second name, where both cannot change places at once
	pointMovedAway = killpoint.New("conflict:moved")     // what is dropped is with what was replaced
	pointNoted     = killpoint.New("conflict:noted")     // it is written down that it is aside no more
)

// Errors of a decision that was made about something that is another thing by now.
var (
	ErrNotKept = errors.New("it is not kept aside any more: it was taken or dropped meanwhile")
	ErrOther   = errors.New("it changed since it was shown")
)

// Decision is about a version that is kept aside.
type Decision struct {
	// Seen is [Sides.Seen] of what was decided about: anything else is left as it is, and the
	// error is [ErrOther]. "": whatever is there.
	Seen string
	// Fetch makes a file of a version that is not here, with its content and meta, in a directory.
	Fetch func(dir string) (file string, err error)
	// GiveWay moves away what has the name where more than a file belongs to it, and gives
	// the path in the tree where that is; "" where nothing was moved.
	GiveWay func() (replaced string, err error)
}

// TakeConflict gives a kept version its name back, at once: at each moment there is one of
// the two, where the file system can exchange them. What has the name now is kept with what was replaced, at the path in the tree that
// is given back; "" where it was nothing.
func TakeConflict(root, within string, k ConflictCopy, d Decision) (replaced string, err error) {
	holds := func() error { return d.holds(root, within, k) }
	if err = holds(); err == nil {
		err = localfs.WithOwn(root, within, 0, func(files *localfs.Root, own string) (err error) {
			replaced, err = d.take(files, own, k, holds)
			return err
		})
	}
	if err != nil {
		return "", fmt.Errorf("cannot take %q: %w", k.Word(), err)
	}
	return replaced, nil
}

// DropConflict takes a kept version away, here and from the next generation. One that is on
// this machine is kept with what was replaced, at the path in the tree that is given back.
func DropConflict(root, within string, k ConflictCopy, d Decision) (replaced string, err error) {
	if err = d.holds(root, within, k); err == nil {
		err = localfs.WithOwn(root, within, 0, func(files *localfs.Root, own string) (err error) {
			replaced, err = drop(files, own, k)
			return err
		})
	}
	if err != nil {
		return "", fmt.Errorf("cannot drop %q: %w", k.Word(), err)
	}
	return replaced, nil
}

// holds compares what there is with what was decided about.
func (d Decision) holds(root, within string, k ConflictCopy) error {
	if d.Seen == "" {
		return nil
	}
	sides, err := SidesOf(root, within, k, 0)
	if err == nil && sides.Seen() != d.Seen {
		err = hint.Wrap(ErrOther, "look again: coltecd conflicts show %s", hint.Word(k.Word()))
	}
	return err
}

// stillKept is the error of a version that somebody else decided about.
func stillKept(files *localfs.Root, own string, k ConflictCopy) error {
	if !k.Here {
		if droppedIn(own)[conflictsPath(k.ID)] {
			return ErrNotKept
		}
		return nil
	}
	now, err := files.Lstat(conflictsPath(k.ID))
	if err == nil && (now == nil || now.Kind == tree.Dir) {
		err = ErrNotKept
	}
	return err
}

// take takes a version. All that may take long, or fail for others' reasons, comes before
// anything is moved; holds is asked again after it.
func (d Decision) take(files *localfs.Root, own string, k ConflictCopy, holds func() error) (replaced string, err error) {
	if err := stillKept(files, own, k); err != nil {
		return "", err
	}
	staged := conflictsPath(k.ID)
	if !k.Here {
		const dir = "stage/aside"
		defer os.RemoveAll(filepath.Join(own, dir))
		file, err := d.Fetch(filepath.Join(own, dir))
		if err == nil {
			err = holds()
		}
		if err != nil {
			return "", err
		}
		staged = localfs.Join(localfs.Dir+"/"+dir, filepath.Base(file))
	}
	if d.GiveWay != nil {
		replaced, err = d.GiveWay()
		files.Forget()
		if err != nil {
			return "", err
		}
	}
	t := taking{files: files, path: k.Path, staged: staged, exact: d.Seen != ""}
	was, err := t.ready()
	if err == nil && was != nil {
		err = t.swap(was)
	}
	if err == nil {
		err = t.finish(own, k)
	}
	if err != nil && replaced != "" {
		err = hint.Wrap(err, "what had the name is at %s now", hint.Word(replaced))
	}
	if err != nil {
		return "", err
	}
	return cmp.Or(t.replaced, replaced), nil
}

// taking puts a staged file in the place of what has a path.
type taking struct {
	files        *localfs.Root
	path, staged string
	exact        bool   // what has the path is to be what it was a moment ago
	replaced     string // where it is now; "": nothing had the path
	linked       bool   // the staged file has its first name, too
	before       bool   // it had the path before: a take was killed
}

// ready gives the staged file the path where nothing has that. Else it is what has the path, and is to
// be replaced; nil where nothing is left to do.
func (t *taking) ready() (was *localfs.Entry, err error) {
	if err := t.wayTo(); err != nil {
		return nil, err
	}
	now, err := t.files.Lstat(t.path)
	switch {
	case err != nil:
		return nil, err
	case now == nil:
		return nil, inItsPlace(localfs.WithWritableParent(t.files, t.path, t.alone))
	case t.isStaged(t.path):
		t.before = true
		return nil, nil
	case now.Kind == tree.Dir:
		return nil, hint.Wrap(errors.New("a directory has its name now"), "move that away, or rename it, and take it then")
	}
	t.replaced, err = unusedIn(t.files, t.path)
	return now, err
}

// finish writes down that a version that has its name is kept aside no more, or gives both versions the
// places that they had.
func (t *taking) finish(own string, k ConflictCopy) error {
	if err := noteDropped(own, k); err != nil {
		return errors.Join(err, t.undo())
	}
	pointNoted.Reach()
	if err := t.files.Remove(conflictsPath(k.ID)); err != nil && !localfs.Absent(err) {
		return err
	}
	sweepEmpty(t.files, conflictsPath(k.ID))
	return nil
}

// swap has both change places, at once where the file system can.
func (t *taking) swap(now *localfs.Entry) error {
	if err := t.files.Link(t.staged, t.replaced); err != nil {
		return t.inTwo(now) // a file system without second names
	}
	pointLinked.Reach()
	err := localfs.WithWritableParent(t.files, t.path, func() error { return t.files.Exchange(t.replaced, t.path) })
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EXDEV) {
		return errors.Join(t.files.Remove(t.replaced), t.inTwo(now))
	}
	if err != nil {
		return errors.Join(inItsPlace(err), t.files.Remove(t.replaced))
	}
	pointExchanged.Reach()
	t.linked = true
	return t.looked(now)
}

// alone gives the staged file a path that nothing has.
func (t *taking) alone() error {
	err := t.files.Link(t.staged, t.path)
	if errors.Is(err, unix.EEXIST) || errors.Is(err, unix.EACCES) {
		return err
	}
	if err != nil { // a file system without second names, or another one
		return t.move(t.staged, t.path)
	}
	pointExchanged.Reach()
	t.linked = true
	return nil
}

// wayTo makes the directories of the path. What is in their place is named.
func (t *taking) wayTo() error {
	for dir := range tree.Parents(t.path) {
		now, err := t.files.Lstat(dir)
		if err != nil {
			return err
		}
		if now == nil {
			err = localfs.MakeDir(t.files, dir)
		} else if now.Kind != tree.Dir {
			err = hint.Wrap(fmt.Errorf("%q is no directory any more", dir), "move that away, or rename it, and take it then")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// looked holds that what was replaced is what was looked at. It gets its name back if not.
func (t *taking) looked(was *localfs.Entry) error {
	is, err := t.files.Lstat(t.replaced)
	if err == nil && is != nil && is.Kind != tree.Dir && (!t.exact || sameButCTime(is.Seen, was.Seen)) {
		return nil
	}
	return errors.Join(err, hint.Wrap(ErrOther, "look again: coltecd conflicts"), t.undo())
}

func sameButCTime(a, b localfs.Seen) bool {
	a.CTime, b.CTime = 0, 0
	return a == b
}

// undo gives both versions the places that they had. What another program put at the path
// meanwhile is kept.
func (t *taking) undo() error {
	return localfs.WithWritableParent(t.files, t.path, func() error {
		switch {
		case t.before:
			return nil
		case !t.linked && t.replaced == "":
			return t.move(t.path, t.staged)
		case !t.linked:
			return t.backInTwo()
		case t.replaced != "":
			if err := t.files.Exchange(t.replaced, t.path); err != nil || !t.isStaged(t.replaced) {
				return err
			}
			return t.files.Remove(t.replaced) // the second name
		}
		out, err := unusedIn(t.files, t.path)
		if err == nil {
			err = t.files.Rename(t.path, out, false)
		}
		if err == nil && t.isStaged(out) {
			return t.files.Remove(out)
		}
		return errors.Join(err, t.files.Rename(out, t.path, false))
	})
}

// backInTwo gives what has the path the staged name as a second one, and the path back to what was
// replaced; in between there is no moment in which nothing has the path, where there are second names.
func (t *taking) backInTwo() error {
	if t.files.Link(t.path, t.staged) == nil {
		pointBetween.Reach()
		err := t.files.Rename(t.replaced, t.path, true)
		if !errors.Is(err, unix.EXDEV) {
			return err
		}
		if err := t.files.Remove(t.staged); err != nil {
			return err
		}
	}
	return errors.Join(t.move(t.path, t.staged), t.move(t.replaced, t.path))
}

// isStaged reports whether a path is another name of the staged file.
func (t *taking) isStaged(path string) bool {
	same, err := t.files.Same(path, t.staged)
	return err == nil && same
}

// inTwo gives what has the path a second name, and the path to the other, where they cannot change
// places at once: a path that nothing has, should we be killed, would be a file that was deleted.
func (t *taking) inTwo(was *localfs.Entry) error {
	return localfs.WithWritableParent(t.files, t.path, func() error {
		if t.files.Link(t.path, t.replaced) != nil {
			return t.oneAfterTheOther(was) // a file system without second names
		}
		pointBetween.Reach()
		is, err := t.files.Lstat(t.path)
		if err == nil && (is == nil || is.Inode != was.Inode || t.exact && !sameButCTime(is.Seen, was.Seen)) {
			err = hint.Wrap(ErrOther, "look again: coltecd conflicts")
		}
		if err == nil {
			err = inItsPlace(t.files.Rename(t.staged, t.path, true))
		}
		if err == nil {
			pointExchanged.Reach()
			return nil
		}
		err = errors.Join(err, t.files.Remove(t.replaced))
		if errors.Is(err, unix.EXDEV) {
			return t.oneAfterTheOther(was)
		}
		return err
	})
}

// oneAfterTheOther takes what has the path away and puts the other in its place, where no name can
// be had twice, or the other is on another mount.
func (t *taking) oneAfterTheOther(was *localfs.Entry) error {
	return localfs.WithWritableParent(t.files, t.path, func() error {
		if err := t.move(t.path, t.replaced); err != nil {
			return inItsPlace(err)
		}
		is, err := t.files.Lstat(t.replaced)
		if err == nil && t.exact && (is == nil || is.Size != was.Size || is.MTime != was.MTime) {
			err = hint.Wrap(ErrOther, "look again: coltecd conflicts")
		}
		if err == nil {
			err = inItsPlace(t.move(t.staged, t.path))
		}
		if err != nil {
			err = errors.Join(err, t.move(t.replaced, t.path))
		}
		return err
	})
}

// move renames a file or a link, to another mount too. It replaces nothing.
func (t *taking) move(from, to string) error {
	err := t.files.Rename(from, to, false)
	if !errors.Is(err, unix.EXDEV) {
		return err
	}
	now, err := t.files.Lstat(from)
	if err == nil && now == nil {
		err = ErrOther
	}
	if err == nil {
		_, err = t.files.MoveAcross(from, to, now.Seen)
	}
	return err
}

// inItsPlace says what it means that a path is not as it was a moment ago.
func inItsPlace(err error) error {
	if errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENOENT) {
		return hint.Wrap(fmt.Errorf("%w: another program writes there at the moment", ErrOther), "look again: coltecd conflicts")
	}
	return err
}

// unusedIn is a path below what was replaced at this moment, with the directories above it.
func unusedIn(files *localfs.Root, path string) (string, error) {
	for at := time.Now(); ; at = at.Add(time.Millisecond) {
		to := fmt.Sprintf("%s/%s/%s/%s", localfs.Dir, replacedDir, stampOf(at), path)
		if now, err := files.Lstat(to); err != nil || now == nil {
			return to, files.MkdirAll(parentOf(to), 0o755)
		}
	}
}

func drop(files *localfs.Root, own string, k ConflictCopy) (replaced string, err error) {
	if err := stillKept(files, own, k); err != nil {
		return "", err
	}
	from := conflictsPath(k.ID)
	if k.Here {
		if replaced, err = unusedIn(files, strings.TrimPrefix(from, localfs.Dir+"/")); err == nil {
			err = files.Rename(from, replaced, false)
		}
		if err != nil {
			return "", err
		}
		pointMovedAway.Reach()
	}
	if err := noteDropped(own, k); err != nil {
		if replaced != "" {
			err = errors.Join(err, files.Rename(replaced, from, false))
		}
		return "", err
	}
	pointNoted.Reach()
	sweepEmpty(files, from)
	return replaced, nil
}

// noteDropped writes down that a version is kept aside no more: whole, or not at all.
func noteDropped(own string, k ConflictCopy) error {
	f, err := localfs.OpenOwnFile(filepath.Join(own, droppedFile), os.O_WRONLY|os.O_APPEND|os.O_CREATE)
	if err != nil {
		return err
	}
	before, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = f.WriteString(tree.Escape(conflictsPath(k.ID)) + "\n")
		if err = errors.Join(err, f.Sync()); err != nil {
			err = errors.Join(err, f.Truncate(before))
		}
	}
	return errors.Join(err, f.Close())
}

// sweepEmpty removes the directories above a path that have nothing in them any
// more, up to the replica's own.
func sweepEmpty(files *localfs.Root, path string) {
	for dir := parentOf(path); tree.Within(dir, localfs.Dir+"/"+conflictsDir); dir = parentOf(dir) {
		if files.Rmdir(dir) != nil {
			return
		}
	}
}
