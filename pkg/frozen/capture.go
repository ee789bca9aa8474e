package frozen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
	killUnmarked  = killpoint.New("frozen:unmarked")
	killBefore    = killpoint.New("frozen:before")
)

// errTooSlow is of a capture for which writers would stand for too long.
var errTooSlow = fmt.Errorf("copying takes longer than %d ms: use a file system with reflink, or a hook", Limit.Milliseconds())

// errWritten is of a directory in which somebody writes who was not stopped.
var errWritten = errors.New("it is written by a process that is none of the units that are stopped")

// passesMost is how often what changes is copied before writers are stopped.
const passesMost = 4

// capture is one capture under way.
type capture struct {
	c       *carrier
	d       *directory
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
	p := progress{by: c.d.By, hooks: c.c.k.Means.Before != nil}
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
		return c.after(ctx)
	case actKeep:
		return c.d.keep(c)
	}
	return nil
}

// rehearse copies what changed, again until what changed meanwhile is copied soon.
func (c *capture) rehearse(ctx context.Context) error {
	for range passesMost {
		var err error
		if c.now, err = c.c.k.look(ctx, c.root, c.d.Path); err != nil {
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
		if time.Since(began) < c.c.k.limit()/4 || c.d.By == Hook {
			c.looked = began
			return c.copies.flush()
		}
	}
	return errTooSlow
}

// stop has the writers stand still.
func (c *capture) stop() (err error) {
	if c.c.k.Means.Stopper == nil {
		return errors.New("internal error: nobody stops processes here")
	}
	if c.stopper, err = c.c.k.Means.Stopper(); err != nil {
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
	if c.now, err = c.c.k.look(ctx, c.root, c.d.Path); err != nil {
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
	after, err := c.c.k.look(ctx, c.root, c.d.Path)
	if err != nil {
		return err
	}
	if !after.same(c.now) {
		return errWritten
	}
	return nil
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
	one := &capture{c: c, d: d, root: root, now: now, copies: copies}
	return one, func() { d.plain = copies.plain; from.Close(); to.Close() }, nil
}

// absent reports whether an error says that a directory is not there.
func absent(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// keep makes what was copied the shadow.
func (d *directory) keep(c *capture) error {
	if err := c.copies.flush(); err != nil {
		return err
	}
	s, err := openShadow(c.c.shadow(d.name()), c.now)
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
	err = s.fill(filepath.Join(c.c.rep.StageDir(), "frozen", d.name()), d.copied, mark{1, d.known(), d.By})
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
