package frozen

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/area"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/whole"
)

// carrier carries the frozen directories of one tree. The replica's worker owns it, but for
// the notes, which are read between its runs.
type carrier struct {
	o        whole.Options
	k        Kind
	rep      whole.Replica
	dirs     []*directory
	restores map[string]error // by the name of the shadow, why it is not placed
}

var _ whole.Carrier = (*carrier)(nil)

func newCarrier(k Kind, o whole.Options) *carrier {
	c := &carrier{o: o, k: k, restores: map[string]error{}}
	for _, p := range k.Paths {
		c.dirs = append(c.dirs, &directory{Path: p})
	}
	return c
}

// Serve has it look at a replica from now on.
func (c *carrier) Serve(rep whole.Replica) { c.rep = rep }

// own is where the replica's own directory is reached.
func (c *carrier) own() string { return filepath.Dir(c.rep.StageDir()) }

// shadow is where that of a name lies.
func (c *carrier) shadow(name string) string {
	return filepath.Join(c.own(), path.Base(layout.Dir), name)
}

// hooks are those around captures.
func (c *carrier) hooks() hooks {
	return hooks{c.o, c.k.Means, filepath.Join(c.own(), "frozen.open")}
}

func (c *carrier) area() area.Dir { return area.Dir(c.o.Path) }

func (c *carrier) agreement() whole.Agreement {
	return whole.NewAgreement(layout, c.rep.Base(), c.o.Path)
}

// Capture captures those that differ from their shadows. Why one cannot be captured is for
// attention, and keeps nothing else from going on.
func (c *carrier) Capture(ctx context.Context, m whole.Met) ([]localfs.Unknown, error) {
	if len(c.dirs) > 0 {
		if err := c.rep.HoldOwn(); err != nil {
			return nil, err
		}
		if err := c.hooks().overdue(ctx); err != nil {
			c.o.Log.Warn("hooks after a capture that was cut off failed", "replica", c.o.Replica, "error", err)
		}
	}
	waiting := c.agreement().Waiting()
	for _, d := range c.dirs {
		if _, waits := waiting[d.name()]; waits || c.restores[d.name()] != nil {
			continue // its own side is not settled with the remote one
		}
		was := d.why
		c.capture(ctx, d, m)
		if ctx.Err() != nil {
			d.why = was
			return nil, context.Cause(ctx)
		}
		switch {
		case d.why == nil:
			d.since = time.Time{}
		case d.since.IsZero():
			d.since = c.o.Now()
		}
	}
	if m.Guess {
		return nil, nil
	}
	return nil, c.thaw(waiting)
}

// capture captures one of them, and notes why it could not.
func (c *carrier) capture(ctx context.Context, d *directory, m whole.Met) {
	now, err := c.k.look(ctx, m.Root, d.Path)
	switch {
	case absent(err):
		if d.why = nil; !m.Guess && m.Tells(d.Path.Path) {
			d.why = c.forget(d.name())
			d.have, d.last = nil, nil
		}
		return
	case err != nil:
		d.why = err
		return
	case d.last != nil && d.last.same(now):
		d.why = nil
		return
	case m.Part && c.o.Now().Before(d.next):
		d.why = errPutOff
		return
	}
	if d.why = c.emptied(d, now); d.why != nil {
		return
	}
	if m.Guess { // nothing is sent for it: nobody stands still
		if d.why = nil; !c.looksLike(d, now) {
			d.why = errChanged
		}
		return
	}
	tries := 1
	if !m.Part { // somebody may wait for it
		tries = triesMost
	}
	took := c.try(ctx, d, m.Root, now)
	for ; tries > 1 && errors.Is(d.why, errTooSlow) && ctx.Err() == nil; tries-- {
		took = c.try(ctx, d, m.Root, now)
	}
	if ctx.Err() != nil {
		return
	}
	if d.why != nil {
		c.o.Log.Warn("directory not captured", "replica", c.o.Replica, "directory", d.known(), "error", d.why)
		return
	}
	c.o.Log.Info("directory captured", "replica", c.o.Replica, "directory", d.known(), "by", d.By, "stood", took)
}

// triesMost is how often a capture that takes too long is tried at once: what changed since is
// less each time.
const triesMost = 3

// try captures one of them once, and says for how long its writers stood.
func (c *carrier) try(ctx context.Context, d *directory, root localfs.FileSystem, now seen) (stood time.Duration) {
	one, end, err := c.begin(d, root, now)
	if err != nil {
		d.why = err
		return 0
	}
	defer end()
	began := c.o.Now()
	one.run(ctx)
	ended := c.o.Now()
	d.next = ended.Add(paceOfStanding * one.took)
	if d.By == Hook {
		d.next = ended.Add(paceOfHooks * ended.Sub(began))
	}
	return one.took
}

// begin opens what a capture works on.
func (c *carrier) begin(d *directory, root localfs.FileSystem, now seen) (*capture, func(), error) {
	from, err := open(c.o.Path, d.Path.Path)
	if err != nil {
		return nil, nil, err
	}
	stage := filepath.Join(c.rep.StageDir(), "frozen", d.name())
	if d.copied == nil { // of an earlier run it is not known what it is of
		if err := os.RemoveAll(stage); err != nil {
			from.Close()
			return nil, nil, err
		}
		d.copied = seen{}
	}
	err = os.MkdirAll(stage, 0o700)
	var to *os.Root
	if err == nil {
		to, err = os.OpenRoot(stage)
	}
	if err != nil {
		from.Close()
		return nil, nil, err
	}
	copies := &copying{from: from, to: to, have: d.have, copied: d.copied, plain: d.plain}
	one := &capture{k: c.k, hooks: c.hooks(), d: d, stage: stage, shadow: c.shadow(d.name()), root: root, now: now, copies: copies}
	return one, func() { d.plain = copies.plain; from.Close(); to.Close() }, nil
}

// What is written all the time is captured at a pace: writers stand for a small part of the
// time, and hooks work for one.
const (
	paceOfStanding = 20
	paceOfHooks    = 5
)

// errPutOff is of a directory that was captured a moment ago.
var errPutOff = fmt.Errorf("it changes all the time, and is captured at a pace")

// errChanged is of a directory that differs from its shadow, and is not captured now.
var errChanged = fmt.Errorf("it changed since it was captured")

// emptied refuses one in which nothing is any more: a volume may be missing.
func (c *carrier) emptied(d *directory, now seen) error {
	files := 0
	for _, e := range now {
		if e.Kind != tree.Dir {
			files++
		}
	}
	if files > 0 {
		return nil
	}
	if _, err := os.Lstat(filepath.Join(c.shadow(d.name()), markName)); err != nil {
		return nil // there was never anything
	}
	return fmt.Errorf("nothing is in it any more: its last state stays in the bucket until the directory itself is removed")
}

// looksLike reports whether a directory is as its shadow shows it.
func (c *carrier) looksLike(d *directory, now seen) bool {
	s, err := openShadow(c.shadow(d.name()), now)
	if err != nil {
		return false
	}
	if _, marked := s.was[markName]; !marked {
		return len(now) == 0
	}
	delete(s.was, markName)
	for at, e := range now {
		was, is := s.was[at]
		if at != "" && (!is || was.Kind != e.Kind || was.Size != e.Size || was.Link != e.Link || e.Kind == tree.File && was.MTime != e.MTime) {
			return false
		}
		delete(s.was, at)
	}
	return len(s.was) == 0
}

// thaw has those shadows go that are of no frozen directory any more: what was in them goes as
// files.
func (c *carrier) thaw(waiting map[string][]tree.Entry) error {
	entries, _, err := localfs.Walk(context.Background(), filepath.Join(c.own(), path.Base(layout.Dir)), localfs.Everything{})
	if err != nil && !absent(err) {
		return err
	}
	for _, e := range entries {
		name, is := path.Dir(e.Path), path.Base(e.Path) == markName
		_, waits := waiting[name]
		if !is || waits || slices.ContainsFunc(c.dirs, func(d *directory) bool { return d.name() == name }) {
			continue
		}
		if err := c.forget(name); err != nil {
			return err
		}
	}
	return nil
}

// forget has the rows of a shadow go.
func (c *carrier) forget(name string) error {
	at := c.shadow(name)
	if _, err := os.Lstat(filepath.Join(at, markName)); err != nil {
		return nil
	}
	if err := writeDurable(filepath.Join(at, goneName), nil); err != nil {
		return err
	}
	c.o.Log.Info("directory is frozen no more", "replica", c.o.Replica, "directory", name)
	return os.Remove(filepath.Join(at, markName))
}

// Removal is nothing: what is in them is no file of the tree.
func (*carrier) Removal(context.Context, []tree.Entry, func(string, map[string]bool) (int, error)) (whole.Removal, error) {
	return whole.Removal{}, nil
}

// errNotHere is of a directory that the bucket has as a whole, and the spec here does not name.
var errNotHere = errors.New("it is captured as a whole elsewhere, and the spec here has no consistency for it: it is placed once it has")

// Account adds those that are not carried as they are now.
func (c *carrier) Account(a *account.Account) {
	for _, d := range c.dirs {
		if d.why != nil {
			a.Add(account.Uncaptured, d.known(), 0, anchor.OneLine(d.why))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.restores)) {
		if err := c.restores[name]; err != nil && !errors.Is(err, errNotHere) { // of that nothing is only here
			a.Add(account.Uncaptured, name, 0, anchor.OneLine(err))
		}
	}
}

// Notes are for attention.
func (c *carrier) Notes() (out []string) {
	for _, d := range c.dirs {
		if d.why != nil && !errors.Is(d.why, errPutOff) { // that it waits is in the account
			out = append(out, fmt.Sprintf("replica %s: the directory %q is withheld since %s: %s",
				c.o.Replica, d.known(), d.since.UTC().Format(time.RFC3339), anchor.OneLine(d.why)))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.restores)) {
		if err := c.restores[name]; err != nil {
			out = append(out, fmt.Sprintf("replica %s: the directory %q is not what the bucket has: %s", c.o.Replica, name, anchor.OneLine(err)))
		}
	}
	return out
}
