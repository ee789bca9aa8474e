package frozen

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/process"
	"github.com/coltec/coltec/pkg/tree"
)

// The steps of a capture at which a test kills the process.
var (
	killStopped   = killpoint.New("frozen:stopped")
	killCopied    = killpoint.New("frozen:copied")
	killContinued = killpoint.New("frozen:continued")
)

// errWritten is of a directory in which somebody writes who was not stopped.
var errWritten = errors.New("it is written by a process that is none of the units that are stopped")

// passesMost is how often what changes is copied before writers are stopped.
const passesMost = 4

// capture is one capture under way.
type capture struct {
	k       Kind
	hooks   hooks
	d       *directory
	stage   string // where what was copied is
	shadow  string // and the shadow
	root    localfs.FileSystem
	copies  *copying
	stopper Stopper
	now     seen            // as it was last looked at
	extra   string          // the directory of what hooks give; "" for none
	gave    seen            // they gave something while the directory was so; nil: they did not
	still   bool            // no hook runs any more: nothing may change
	always  map[uint64]bool // files that are written without a sign of it, by their inodes
	looked  time.Time       // when the rehearsal ended
	took    time.Duration   // for so long writers stood
}

// run captures a directory that differs from its shadow.
func (c *capture) run(ctx context.Context) error {
	defer func() {
		if c.stopper != nil {
			c.stopper.Close() // also in a panic: who stands goes on
		}
		if c.extra != "" {
			os.RemoveAll(c.extra)
		}
	}()
	p := progress{by: c.d.By, hooks: c.k.Means.Before != nil}
	for p, next := p.step(nil); next != actNothing; p, next = p.step(c.do(ctx, next)) {
		c.d.why = p.failed
	}
	return nil
}

// do does one action.
func (c *capture) do(ctx context.Context, a action) error {
	switch a {
	case actRehearse:
		return c.rehearse(ctx)
	case actBefore:
		return c.before(ctx)
	case actStop:
		return c.stop()
	case actCopy:
		return c.copy(ctx)
	case actContinue:
		c.took = c.stopper.Took()
		err := c.stopper.Continue()
		killContinued.Reach()
		if errors.Is(err, process.ErrSlow) {
			err = errTooSlow
		}
		return err
	case actAfter:
		return c.hooks.after(ctx, c.hooks.env(c.d.Path, c.extra))
	case actKeep:
		return c.keep()
	}
	return nil
}

// before runs the hooks before, with a directory for what they give.
func (c *capture) before(ctx context.Context) (err error) {
	if c.extra, err = os.MkdirTemp("", "coltec-capture-"); err != nil {
		return err
	}
	err = c.hooks.before(ctx, c.hooks.env(c.d.Path, c.extra))
	if c.still = errors.Is(err, ErrOver); c.still {
		return nil
	}
	return err
}

// rehearse copies what changed, again until what changed meanwhile is copied soon.
func (c *capture) rehearse(ctx context.Context) error {
	for range passesMost {
		var err error
		if c.now, err = c.k.look(ctx, c.root, c.d.Path); err != nil {
			return err
		}
		c.always = process.AllWritableMaps()
		began := time.Now()
		if err := c.copies.pass(c.now, c.always, false); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if time.Since(began) < c.k.limit()/4 || c.d.By == Hook {
			c.looked = began
			return c.copies.flush()
		}
	}
	return errTooSlow
}

// stop has the writers stand still.
func (c *capture) stop() (err error) {
	if c.k.Means.Stopper == nil {
		return errors.New("internal error: nobody stops processes here")
	}
	if c.stopper, err = c.k.Means.Stopper(); err != nil {
		return err
	}
	_, err = c.stopper.Stop(c.d.Units)
	killStopped.Reach()
	if errors.Is(err, process.ErrSlow) {
		return fmt.Errorf("its processes do not stand still within %d ms", Limit.Milliseconds())
	}
	return err
}

// copy copies what changed since the rehearsal. While writers stand nothing may change.
func (c *capture) copy(ctx context.Context) (err error) {
	if c.d.By == Hook && !c.still {
		if given, err := c.given(ctx); given || err != nil {
			return err
		}
	}
	if c.d.By == Freeze {
		c.copies.limit = c.stopper.Left
		defer func() { c.copies.limit = nil }()
		if err := process.WritableMaps(c.always, c.stopper.PIDs()); err != nil {
			return err
		}
	}
	if c.now, err = c.k.look(ctx, c.root, c.d.Path); err != nil {
		return err
	}
	if err := c.copies.pass(c.now, c.always, c.d.By == Freeze || c.still); errors.Is(err, errVanished) {
		return errWritten
	} else if err != nil {
		return err
	}
	killCopied.Reach()
	if c.d.By == Hook && !c.still {
		return nil
	}
	after, err := c.k.look(ctx, c.root, c.d.Path)
	if err != nil {
		return err
	}
	if !after.same(c.now) {
		return errWritten
	}
	return nil
}

// given copies what hooks gave to be captured; false: they gave nothing.
func (c *capture) given(ctx context.Context) (bool, error) {
	entries, unknown, err := localfs.Walk(ctx, c.extra, localfs.Everything{})
	if err != nil || len(entries) == 0 {
		return false, err
	}
	for _, u := range unknown {
		if u.Unread || u.Beyond {
			return false, fmt.Errorf("%q, which a hook gave: %s", u.Path, u.Reason)
		}
	}
	root, err := os.OpenRoot(c.extra)
	if err != nil {
		return false, err
	}
	defer root.Close()
	given := seen{}
	for _, e := range entries {
		e.Mode &= 0o777
		given[e.Path] = e
	}
	if top, is := c.now[""]; is {
		given[""] = top
	}
	made := *c.copies
	made.from, made.have = root, seen{}
	clear(made.copied)
	if err := made.pass(given, nil, true); err != nil {
		return false, err
	}
	c.gave = seen{}
	for at, e := range c.now {
		c.gave[at] = settled(e, c.looked)
	}
	c.now = given
	return true, nil
}

// keep makes what was copied the shadow.
func (c *capture) keep() error {
	d := c.d
	if err := c.copies.flush(); err != nil {
		return err
	}
	s, err := openShadow(c.shadow, c.now)
	if err != nil {
		return err
	}
	have, last := seen{}, c.gave
	for at, e := range c.now {
		have[at] = e
		if e.Kind == tree.File {
			if copied, came := d.copied[at]; came {
				have[at] = copied
			} else {
				have[at] = d.have[at]
			}
		}
	}
	err = s.fill(c.stage, d.copied, mark{1, d.known(), d.By})
	switch {
	case err != nil: // what is in it is not known
		have, last = nil, nil
	case last != nil: // it is of no file that is here
		have = seen{}
	default:
		last = have
	}
	d.have, d.last, d.copied = have, last, nil
	return err
}
