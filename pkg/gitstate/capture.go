package gitstate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// lockYoung is the age below which a lock means that git is at work. An older
// one is of an editor that is open for a message, or of a git that was killed:
// that nothing moves while the state is read is looked at anyway.
const lockYoung = 5 * time.Second

// tries is how often a repository that moves is read before the next round has
// to try.
const tries = 3

// Capture brings the shadow of a repository to what the repository is now. It
// says whether the shadow changed. On an error the shadow is as it was.
//
// A [PartialError] says that it is what the repository is now but for some of it.
func (k *Keeper) Capture(ctx context.Context, dir string) (changed bool, err error) {
	src, err := k.carried(dir)
	if err != nil {
		return false, err
	}
	if err := src.check(); err != nil {
		return false, err
	}
	now, err := src.list()
	if err != nil {
		return false, unreadable(err)
	}
	if err := now.usable(); err != nil {
		return false, err
	}
	if was, ok := k.seen[dir]; ok && was.same(now) && k.Whole(dir) && !k.returned(dir, src) {
		return false, k.partial[dir]
	}
	for range tries {
		if k.Now().Sub(now.lock) < lockYoung {
			return false, ErrBusy
		}
		c := &capture{k: k, dir: dir, src: src, shadow: filepath.Join(k.Shadow, dir), now: now, was: k.seen[dir]}
		err = c.read()
		again, listErr := src.list()
		if listErr != nil {
			return false, unreadable(listErr)
		}
		if err == nil && again.same(now) {
			if changed, err = c.publish(ctx); err != nil {
				return changed, err
			}
			k.seen[dir] = now
			return changed, k.remember(dir, c)
		}
		if err != nil && again.same(now) {
			return false, unreadable(err)
		}
		now = again
	}
	return false, ErrBusy
}

// check says why a repository cannot be captured at all.
func (s source) check() error {
	objects := s.file("objects")
	if l, err := os.Lstat(objects); err == nil && l.Mode()&fs.ModeSymlink != 0 && !mayLead(filepath.Dir(objects), objects) {
		return foreign("objects", objects)
	}
	if s.common == "" {
		return whyNone(s.dir)
	}
	if head, err := os.Stat(filepath.Join(s.dir, "HEAD")); err != nil || !head.Mode().IsRegular() {
		return refused("it is a working tree whose git directory, %s, is damaged: it has no HEAD", s.dir)
	}
	return whyNone(s.common)
}

// remember keeps what is to be said of a repository until it is another.
func (k *Keeper) remember(dir string, c *capture) error {
	delete(k.partial, dir)
	var parts []string
	for _, o := range c.now.odd {
		parts = append(parts, fmt.Sprintf("%s is %s, not a file", o.path, o.kind))
	}
	for _, ref := range slices.Sorted(maps.Keys(c.damaged)) {
		parts = append(parts, fmt.Sprintf("the ref %s is damaged: git fsck says more", ref))
	}
	parts = append(parts, c.broken...)
	if n := len(c.missing); n > 0 {
		oid := slices.Sorted(maps.Keys(c.missing))[0]
		text := fmt.Sprintf("the object %s", oid)
		if from := c.missing[oid]; from != "" {
			text += ", reached from " + from + ","
		}
		if n > 1 {
			text += fmt.Sprintf(" and %d more", n-1)
		}
		parts = append(parts, text+" is missing or damaged")
		k.signs[dir] = sign(c.src, c.missing)
	}
	if len(parts) == 0 {
		return nil
	}
	k.partial[dir] = &PartialError{parts, c.here || c.unreadable()}
	return k.partial[dir]
}

// Nested lists the repositories in the git directory of another: those of its
// submodules. One that a link leads back to is no other.
func (k *Keeper) Nested(dir string) ([]string, error) { return k.nested(dir, nil) }

// nested is Nested below the real places of the repositories around.
func (k *Keeper) nested(dir string, around []string) ([]string, error) {
	real, err := filepath.EvalSymlinks(filepath.Join(k.Root, dir))
	if err == nil && slices.Contains(around, real) {
		return nil, errLoop
	}
	around = append(slices.Clone(around), real)
	s, err := os.Stat(filepath.Join(k.Root, dir))
	if err != nil || !s.IsDir() { // a file that leads elsewhere is not a path to what is there
		return nil, err
	}
	src, err := k.source(dir)
	if err != nil {
		return nil, err
	}
	l, err := src.list()
	var out []string
	for _, below := range l.nested {
		more, err := k.nested(filepath.Join(dir, below), around)
		if errors.Is(err, errLoop) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(append(out, filepath.Join(dir, below)), more...)
	}
	return out, err
}

// errLoop says that a link leads to a repository that is around it.
var errLoop = errors.New("a link leads back to it")

// publish packs what is new and brings the shadow to what was read.
func (c *capture) publish(ctx context.Context) (bool, error) {
	if err := c.recall(ctx); err != nil {
		return false, err
	}
	if len(c.staged)+len(c.gone) == 0 && !c.deep && c.k.Whole(c.dir) {
		return false, nil
	}
	if err := askable(c.src.file("objects")); err != nil {
		return false, err
	}
	if err := c.packNew(ctx); err != nil {
		return false, err
	}
	pointPacked.Reach()
	if err := c.k.area().Remove(filepath.Join(c.shadow, Mark)); err != nil {
		return false, err
	}
	pointOpened.Reach()
	for _, path := range c.gone { // first: one may be a directory that becomes a link
		if err := c.k.drop(c.shadow, path); err != nil {
			return false, err
		}
	}
	for _, path := range c.staged {
		if err := c.k.area().Place(c.stage(path), c.shadow, path); err != nil {
			return false, err
		}
	}
	if err := c.k.area().Mkdir(filepath.Join(c.shadow, "refs")); err != nil { // git takes it for no repository without
		return false, err
	}
	err := errors.Join(c.writeMissing(), c.k.writeMark(c.shadow))
	pointShadowed.Reach()
	return true, err
}
