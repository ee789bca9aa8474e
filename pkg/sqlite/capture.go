package sqlite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/coltec/coltec/pkg/wholefile"
)

// An Outcome names what became of a capture.
type Outcome string

const (
	Captured    Outcome = "captured"
	Busy        Outcome = "busy"         // withheld: no moment was found at which it is whole; try again
	NotLockable Outcome = "not lockable" // withheld: nothing tells whether it is written
	Malformed   Outcome = "malformed"    // withheld: no transaction left it so
)

// A Means is how a copy came to be of one moment.
type Means string

const (
	Pinned Means = "pinned" // writers went on, in the log alone
	Locked Means = "locked" // writers waited, for [hold] at most
	Quiet  Means = "quiet"  // nobody wrote
)

const (
	// hold is how long a writer is kept waiting: half of the 50 ms that it may wait, because
	// SQLite's own waiting (1, 2, 5, 10, 15, 20, 25 ms) comes to see late that it is free.
	hold = 25 * time.Millisecond
	// lockedMost is the largest database that is read while its writers wait, to memory: a
	// write to a disk waits for others. It was read before, so it comes from memory, too:
	// 8 MiB take some milliseconds. Where they take longer, hold ends it.
	lockedMost = 8 << 20
	// grain is how far the clock of a file's times may be behind: a tick of the slowest
	// kernels is 10 ms. Two writes within may leave the same times.
	grain = 40 * time.Millisecond
)

// Options of a capture. The zero value tries once.
type Options struct {
	// Patience is for how long a moment is looked for at which the database is whole.
	Patience time.Duration
	// Rest, if any, lets a database that cannot be locked count as whole where it was not
	// written for so long, and is not while it is copied.
	Rest time.Duration

	step    func()        // tests: before each part of the database
	hold    time.Duration // tests: instead of the constant
	without map[span]bool // mutants: locks that are not taken
	blind   bool          // mutants: what others did meanwhile is not seen
}

// A Result says what became of a capture.
type Result struct {
	Outcome Outcome
	Means   Means
	Reason  string        // why it is withheld
	Since   time.Time     // when this capture first found it so
	Names   []string      // what it left in the destination: the database, then its log or journal
	Waited  time.Duration // for how long writers were kept waiting at most
}

// Capture copies a database of a directory, with its log or its hot journal, to a directory
// in which files of these names are its own, so that the copies together are a state that
// was committed between its begin and its end. The directory is the one that the database
// itself lies in: a link is not followed. No byte of the directory changes.
func Capture(ctx context.Context, dir *os.Root, name string, to *os.Root, o Options) (Result, error) {
	c := &capture{Options: o, ctx: ctx, dir: dir, to: to, name: name}
	began := time.Now()
	var since time.Time
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		err := c.once()
		r := Result{Outcome: Captured, Means: c.means, Names: c.names, Waited: c.waited}
		if err == nil {
			return r, nil
		}
		c.clear()
		if r.Outcome = outcome(err); r.Outcome == "" {
			return Result{}, fmt.Errorf("cannot capture the database %q: %w", name, err)
		}
		if since.IsZero() {
			since = time.Now()
		}
		r.Names, r.Means, r.Reason, r.Since = nil, "", err.Error(), since
		if r.Outcome == NotLockable || time.Since(began)+pause > o.Patience {
			return r, nil
		}
		// What is malformed is looked at again, too: it may have been exchanged meanwhile.
		select {
		case <-ctx.Done():
			return Result{}, fmt.Errorf("cannot capture the database %q: %w", name, context.Cause(ctx))
		case <-time.After(pause):
		}
	}
}

// errBusy is of what may be otherwise in a moment.
type errBusy struct{ reason string }

func (e errBusy) Error() string { return e.reason }

func busy(format string, args ...any) error { return errBusy{fmt.Sprintf(format, args...)} }

// outcome is what an error means for the capture; "" where it says nothing of the database.
func outcome(err error) Outcome {
	var b errBusy
	switch {
	case errors.As(err, &b):
		return Busy
	case errors.Is(err, ErrNotLockable):
		return NotLockable
	case errors.Is(err, ErrMalformed), errors.Is(err, wholefile.ErrIrregular):
		return Malformed
	}
	return ""
}

// capture is one call of Capture.
type capture struct {
	Options
	ctx      context.Context
	dir, to  *os.Root
	name     string
	db       *os.File
	header   Header
	lockedAt time.Time
	cloning  cloning
	memory   []byte // takes a small database
	tooSlow  bool   // it could not be read while its writers waited

	means  Means
	names  []string
	waited time.Duration
}

func (c *capture) clear() {
	for _, name := range c.names {
		_ = c.to.Remove(name) // what stays is overwritten by the next one
	}
	c.names = nil
}

// once looks at how the database is used now, and copies it in the way that this allows.
func (c *capture) once() (err error) {
	if c.db, err = open(c.dir, c.name); err != nil {
		return err
	}
	defer c.db.Close() // and with it go our locks
	if err := lockable(c.db); err != nil {
		if c.Rest > 0 {
			return c.atRest(max(c.Rest, grain))
		}
		return err
	}
	c.rehearse()
	if err := c.share(); err != nil {
		return err
	}
	logged := c.header.WAL || c.there(Log) // SQLite reads a log that is there, whatever the header says
	if !logged {
		return c.rolledBack()
	}
	index, err := open(c.dir, c.name+string(Index))
	if errors.Is(err, fs.ErrNotExist) {
		return c.atRest(grain)
	} else if err != nil {
		return err
	}
	defer index.Close()
	if _, used, err := holder(index, logInUse); err != nil {
		return err
	} else if !used {
		return c.atRest(grain)
	}
	return c.pinned(index)
}

func (c *capture) there(r Role) bool {
	_, err := c.dir.Lstat(c.name + string(r))
	return err == nil
}

// share takes the lock of those who read the database, as SQLite does: not while somebody
// waits to be alone, else writers would starve. It keeps a database without a log from
// being written, and one with a log from being brought up to date by whoever closes it
// last, who heeds no lock of the -shm.
func (c *capture) share() (err error) {
	if err := c.take(c.db, pending); err != nil {
		return c.inTheWay(err, pending, "is about to write it")
	}
	c.lockedAt = time.Now()
	err = c.take(c.db, shared)
	if err := leave(c.db, pending); err != nil {
		return err
	}
	if err != nil {
		return c.inTheWay(err, shared, "writes it")
	}
	if err := c.same(); err != nil {
		return err
	}
	c.header, err = readHeader(c.db)
	return err
}

// unshare lets writers go on.
func (c *capture) unshare() error {
	if !c.lockedAt.IsZero() {
		c.waited = max(c.waited, time.Since(c.lockedAt))
	}
	return leave(c.db, shared)
}

// take is join, but for a mutant.
func (c *capture) take(f *os.File, s span) error {
	if c.without[s] {
		return nil
	}
	return join(f, s)
}

// inTheWay says who has a lock.
func (c *capture) inTheWay(err error, s span, does string) error {
	if !errors.Is(err, errHeld) {
		return err
	}
	if pid, held, _ := holder(c.db, s); held && pid > 0 {
		return busy("process %d %s", pid, does)
	}
	return busy("a process %s", does)
}

// same holds that the path still leads to the file that was opened.
func (c *capture) same() error {
	now, err := c.dir.Lstat(c.name)
	if errors.Is(err, fs.ErrNotExist) {
		return busy("it was removed meanwhile")
	} else if err != nil {
		return err
	}
	was, err := c.db.Stat()
	if err == nil && !os.SameFile(now, was) {
		return busy("it was exchanged meanwhile")
	}
	return err
}

// pinned copies a database whose log is in use. While CKPT and a read mark are locked the
// database stays as it is and the log only grows, so writers go on for as long as it takes.
func (c *capture) pinned(index *os.File) error {
	// Who comes while nobody has this lock begins the -shm anew, and for that waits for CKPT.
	if err := c.take(index, logInUse); err != nil {
		return busy("it is being opened")
	}
	if err := c.take(index, logCheck); errors.Is(err, errHeld) {
		return busy("its log is being brought into it")
	} else if err != nil {
		return err
	}
	if err := c.mark(index); err != nil {
		return err
	}
	at, err := c.settled(index)
	if err != nil {
		return err
	}
	look := func() error { _, err := c.settled(index); return err }
	if c.blind {
		look = c.same
	}
	if err := c.copyMain(look); err != nil {
		return err
	}
	e, err := c.copyLog(at.frames)
	if err == nil && at.frames > 0 {
		err = at.agrees(e)
	}
	if err != nil {
		return err
	}
	c.means = Pinned
	return c.same()
}

// mark locks one of the marks of those who read the log. Which one does not matter: a log
// begins anew only where all of them are free.
func (c *capture) mark(index *os.File) error {
	for i := len(logReaders) - 1; i > 0; i-- { // the first is of those who read no log
		if err := c.take(index, logReaders[i]); !errors.Is(err, errHeld) {
			return err
		}
	}
	return busy("its log begins anew")
}

// settled reads the header of the -shm. Where that stays unreadable its writer died, and
// whoever comes next needs our locks to make it anew: we give way.
func (c *capture) settled(f *os.File) (at index, err error) {
	for range 5 {
		if at, err = readIndex(f); !errors.Is(err, ErrMalformed) {
			return at, err
		}
		time.Sleep(time.Millisecond)
	}
	return at, busy("its -shm is to be made anew")
}

// rolledBack copies a database without a log. Who reads it keeps writers from ending a
// transaction: so it is read at once, or not under a lock.
func (c *capture) rolledBack() error {
	info, err := c.db.Stat()
	if err != nil {
		return err
	}
	journal, _, err := c.journal()
	if err != nil {
		return err
	}
	if journal != nil { // its writer is gone, and who comes next has to be alone with it
		journal.Close()
		return c.atRest(grain)
	}
	size := info.Size()
	small := size <= int64(len(c.memory)) && !c.tooSlow
	switch {
	case small:
		err = c.read(size, c.lockedAt.Add(cmp.Or(c.hold, hold)))
	case size > lockedMost && c.cloning == clones:
		err = c.copyMain(c.same)
	default:
		return c.atRest(grain)
	}
	if errUnshare := c.unshare(); err == nil {
		err = errUnshare
	}
	if err == nil && small {
		err = c.write(c.memory[:size])
	}
	if err != nil {
		return err
	}
	c.means = Locked
	return c.complete(extent{}, nil)
}

// journal is the hot journal of the database, if it has one. It needs our lock.
func (c *capture) journal() (*os.File, int64, error) {
	f, err := open(c.dir, c.name+string(Journal))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	} else if err != nil {
		return nil, 0, err
	}
	// A writer that lives has written to the journal alone, or our lock would not be ours.
	size, err := hot(f)
	if err == nil && size > 0 {
		_, writing, errHolder := holder(c.db, reserved)
		if errors.Is(errHolder, ErrNotLockable) && c.Rest > 0 {
			errHolder = nil // it rests, which is to say that its writer is gone
		}
		if err = errHolder; err == nil && !writing {
			return f, size, nil
		}
	}
	f.Close()
	return nil, 0, err
}

// atRest copies a database that nobody seems to write, and finds whether somebody did
// meanwhile. A lock tells that nobody is in the middle of it; then it goes, and nobody waits.
func (c *capture) atRest(rest time.Duration) (err error) {
	if c.header, err = readHeader(c.db); err != nil {
		return err
	}
	before, err := c.stamps()
	if err != nil {
		return err
	}
	if young := before.age(time.Now()); young < rest {
		return busy("it was written %v ago", young.Round(time.Millisecond))
	}
	journal, size, err := c.journal()
	if err != nil {
		return err
	}
	if journal != nil {
		defer journal.Close()
	}
	if err := c.unshare(); err != nil && c.Rest == 0 {
		return err
	}
	if err := c.copyMain(c.same); err != nil {
		return err
	}
	// What is wrong with the copy counts only where nobody wrote meanwhile.
	wrong := c.copyRest(journal, size, before.log.size > 0)
	if err := c.same(); err != nil {
		return err
	}
	after, err := c.stamps()
	if err != nil {
		return err
	}
	if after != before && !c.blind {
		return busy("it was written while it was copied")
	}
	c.means = Quiet
	return wrong
}

// open opens the file of a name, and no link in its place.
func open(dir *os.Root, name string) (*os.File, error) {
	info, err := dir.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: wholefile.ErrIrregular}
	}
	f, err := wholefile.OpenIn(dir, name)
	if err != nil {
		return nil, err
	}
	if is, err := f.Stat(); err != nil || !os.SameFile(is, info) {
		f.Close()
		return nil, errors.Join(busy("it was exchanged meanwhile"), err)
	}
	return f, nil
}
