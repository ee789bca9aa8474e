package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/pkg/killpoint"
)

var (
	killLinked   = killpoint.New("sqlite:linked")
	killReplaced = killpoint.New("sqlite:replaced")
	killApart    = killpoint.New("sqlite:apart")
	killSettled  = killpoint.New("sqlite:settled")
	killJoined   = killpoint.New("sqlite:joined")
	killPlaced   = killpoint.New("sqlite:placed")
)

// settledName ends the names of databases in a stage that have their companion in them.
const settledName = ".settled"

// A Placement puts a database with its companion in the place of another, or of none.
type Placement struct {
	Stage *os.Root // has what is to be placed, under its names; ours alone, of the file system of Dir
	Dir   *os.Root // the directory that the database is in
	Name  string
	Aside *os.Root // takes what is replaced, under its names, which are free there; of the same file system
	// Rest, if any, lets a database that cannot be locked count as nobody's where it was not
	// written for so long.
	Rest time.Duration
}

// Place places it. Whenever it is interrupted, by a kill or a power cut, the database in the
// directory opens as what was there or as what was to come, whole; the next Place is done
// from there. An error of [*InUse] says that somebody has it open: then nothing changed.
//
// One rename is one file, and a whole has two. So both pass through a database alone: what is
// there is exchanged for a copy with its log in it, beside which the log changes nothing and
// can go; then comes a copy of the new one with its log in it, then the log, which changes
// nothing, then the database that the log is of.
func Place(p Placement) error {
	if err := p.place(); err != nil {
		return fmt.Errorf("cannot place the database %q: %w", p.Name, err)
	}
	return nil
}

func (p Placement) place() error {
	old, err := open(p.Dir, p.Name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if old != nil {
		defer old.Close()
		if err := p.vacant(old); err != nil {
			return err
		}
	}
	role, first, err := p.incoming()
	if err != nil {
		return err
	}
	if old != nil {
		if err := p.alone(old); err != nil {
			return err
		}
	}
	if err := p.apart(); err != nil {
		return err
	}
	killApart.Reach()
	if err := p.move(p.Stage, first, p.Dir, p.Name); err != nil {
		return err
	}
	killSettled.Reach()
	if role == "" {
		return nil
	}
	if err := p.move(p.Stage, p.Name+string(role), p.Dir, p.Name+string(role)); err != nil {
		return err
	}
	killJoined.Reach()
	err = p.move(p.Stage, p.Name, p.Dir, p.Name)
	killPlaced.Reach()
	return err
}

// vacant holds that nobody has the database open.
func (p Placement) vacant(old *os.File) error {
	err := vacant(p.Dir, p.Name, old)
	if !errors.Is(err, ErrNotLockable) || p.Rest == 0 {
		return err
	}
	s, err := (&capture{dir: p.Dir, name: p.Name}).stamps()
	if err == nil && s.age(time.Now()) < p.Rest {
		err = &InUse{}
	}
	return err
}

// incoming makes what is to be placed durable. It returns the companion that it has, and the
// name in the stage of a database that is it without one.
func (p Placement) incoming() (role Role, first string, err error) {
	db, err := open(p.Stage, p.Name)
	if err != nil {
		return "", "", err
	}
	defer db.Close()
	if err := db.Sync(); err != nil {
		return "", "", err
	}
	companion, role, err := content(p.Stage, p.Name)
	if err != nil || companion == nil {
		return "", p.Name, err
	}
	defer companion.Close()
	if err := companion.Sync(); err != nil {
		return "", "", err
	}
	first = p.Name + settledName
	return role, first, settledAs(p.Stage, first, db, companion, role)
}

// alone has the database that is there open as it does now without its companion, and keeps
// the file aside.
func (p Placement) alone(old *os.File) error {
	companion, role, err := content(p.Dir, p.Name)
	if err != nil {
		return err
	}
	replacement := p.Name + string(role) + settledName
	if companion != nil {
		defer companion.Close()
		err := settledAs(p.Stage, replacement, old, companion, role)
		if errors.Is(err, ErrMalformed) { // it opens as nothing, with it or without
			companion = nil
		} else if err != nil {
			return err
		}
	}
	if err := link(p.Dir, p.Aside, p.Name); err != nil {
		return err
	}
	killLinked.Reach()
	if companion == nil {
		return nil
	}
	err = p.move(p.Stage, replacement, p.Dir, p.Name)
	killReplaced.Reach()
	return err
}

// apart moves aside what belonged to the database that was there. Its -shm is nothing.
func (p Placement) apart() error {
	for _, role := range []Role{Log, Journal} {
		name := p.Name + string(role)
		if err := p.move(p.Dir, name, p.Aside, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := p.Dir.Remove(p.Name + string(Index)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// content is the companion without which a database is another one, if it has one.
func content(dir *os.Root, name string) (*os.File, Role, error) {
	journal, err := open(dir, name+string(Journal))
	if err == nil {
		if size, err := hot(journal); err != nil || size > 0 {
			return journal, Journal, err
		}
		journal.Close()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, "", err
	}
	log, err := open(dir, name+string(Log))
	if err == nil {
		if info, err := log.Stat(); err != nil || info.Size() > logHeaderSize {
			return log, Log, err
		}
		log.Close()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, "", err
	}
	return nil, "", nil
}

// move renames a file from one directory to another, for good.
func (p Placement) move(from *os.Root, name string, to *os.Root, as string) error {
	return between(from, to, func(fromDir, toDir *os.File) error {
		err := unix.Renameat(int(fromDir.Fd()), name, int(toDir.Fd()), as)
		if err != nil {
			return &os.LinkError{Op: "rename", Old: name, New: as, Err: err}
		}
		return errors.Join(toDir.Sync(), fromDir.Sync())
	})
}

// link gives a file its name in another directory, too.
func link(from, to *os.Root, name string) error {
	return between(from, to, func(fromDir, toDir *os.File) error {
		if err := unix.Linkat(int(fromDir.Fd()), name, int(toDir.Fd()), name, 0); err != nil {
			return &os.LinkError{Op: "link", Old: name, New: name, Err: err}
		}
		return toDir.Sync()
	})
}

func between(from, to *os.Root, do func(from, to *os.File) error) error {
	fromDir, err := from.Open(".")
	if err != nil {
		return err
	}
	defer fromDir.Close()
	toDir, err := to.Open(".")
	if err != nil {
		return err
	}
	defer toDir.Close()
	return do(fromDir, toDir)
}
