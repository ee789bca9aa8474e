package databases

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

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/pkg/area"
	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/sqlite"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/whole"
)

// patienceSettle is for how long a placement looks for a moment at which the database here is
// whole.
const patienceSettle = 5 * patience

var (
	killKept   = killpoint.New("database:kept")
	killPlaced = killpoint.New("database:placed")
	killTaken  = killpoint.New("database:taken")
)

// Clear moves the databases aside that the other side removed, with all that belongs to them,
// and keeps them with what was replaced. One that went on here since stays, and is pushed
// again.
func (d *Databases) Clear(ctx context.Context) error {
	d.restores = map[string]error{}
	base := d.rep.Base()
	if base == nil || len(base.Unplaced) == 0 {
		return nil
	}
	if err := errors.Join(base.Load(), d.list()); err != nil {
		return err
	}
	for _, at := range d.agreement().Vanished() {
		err := d.vanished(ctx, at)
		var used *sqlite.InUse
		var w *withheld
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.As(err, &used), errors.As(err, &w), errors.Is(err, area.ErrLink):
			d.restores[at] = fmt.Errorf("it was removed elsewhere, and %w", err)
		case err != nil:
			return fmt.Errorf("cannot remove the database %q: %w", at, err)
		}
	}
	return nil
}

// vanished removes a database that the other side removed.
func (d *Databases) vanished(ctx context.Context, at string) error {
	if _, err := os.Lstat(d.here(at)); localfs.Absent(err) || !d.carries(at) {
		return d.remove(at)
	}
	if is, err := d.begins(at); err == nil && !is {
		return d.remove(at)
	}
	agreed := d.agreement().Agreed(at)
	changed, err := d.capture(ctx, at, patienceSettle)
	if err != nil || !agreed || changed {
		return err
	}
	if err := d.moveAside(at); err != nil {
		return err
	}
	d.area().Prune(d.o.Path, filepath.Dir(d.here(at)))
	d.o.Log.Info("database removed", "replica", d.o.Replica, "database", at)
	return d.remove(at)
}

// moveAside moves a database, with all that belongs to it, to what was replaced, unless
// somebody has it open.
func (d *Databases) moveAside(at string) error {
	dir, name, err := d.around(at)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := sqlite.Vacant(dir, name); err != nil {
		return err
	}
	to := d.rep.ReplacedDir(d.o.Now())
	for _, end := range []string{"", string(sqlite.Log), string(sqlite.Journal)} {
		if err := d.putAside(at+end, to); err != nil && !(end != "" && localfs.Absent(err)) {
			return err
		}
	}
	return d.area().Remove(d.here(at) + string(sqlite.Index))
}

// putAside moves one file to a directory of what was replaced.
func (d *Databases) putAside(file, dir string) error {
	to := filepath.Join(dir, file)
	err := d.area().Move(d.here(file), to)
	if errors.Is(err, unix.EXDEV) {
		if err = d.area().Copy(d.here(file), to); err == nil {
			err = d.area().Remove(d.here(file))
		}
	}
	return err
}

// orphansAside moves what a database has left that was moved aside, and killed in between: it
// would be played into the next one of its name.
func (d *Databases) orphansAside(at string) error {
	dir, name, err := d.around(at)
	if localfs.Absent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	roles, err := sqlite.Orphans(dir, name)
	to := d.rep.ReplacedDir(d.o.Now())
	for _, role := range roles {
		err = errors.Join(err, d.putAside(at+string(role), to))
	}
	return err
}

// Settle settles the databases whose remote side was not settled here yet, with content from
// a source.
func (d *Databases) Settle(ctx context.Context, source store.Layout) error {
	base := d.rep.Base()
	if len(base.Unplaced) == 0 {
		return nil
	}
	if err := errors.Join(base.Load(), d.list()); err != nil {
		return err
	}
	if err := d.agreement().Moved(); err != nil {
		return err
	}
	stays := len(d.restores) > 0 // of what vanished
	waiting := d.agreement().Waiting()
	for _, at := range slices.Sorted(maps.Keys(waiting)) {
		if at == "" {
			if !stays {
				if err := d.agreement().Settle(at); err != nil {
					return err
				}
			}
			continue
		}
		err := d.restore(ctx, source, at, waiting[at])
		var fetch *whole.FetchError
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if errors.As(err, &fetch) {
			return fetch.Unwrap()
		}
		if err != nil {
			d.restores[at] = err
			d.o.Log.Warn("database not placed", "replica", d.o.Replica, "database", at, "error", err)
			continue
		}
		if err := d.agreement().Settle(at, append(companions(at), at)...); err != nil {
			return err
		}
	}
	return nil
}

// arrival is a database that came.
type arrival struct {
	at     string
	rows   []tree.Entry
	stage  string // all of it
	shadow string // in the stage, as it lies in the bucket
	alone  string // in the stage, the directory of the database without a log, under its name
}

// fetch brings the remote shadow of a database to a stage, and holds it to be one.
func (d *Databases) fetch(ctx context.Context, source store.Layout, at string, rows []tree.Entry) (a arrival, err error) {
	a = arrival{at: at, rows: rows}
	if a.stage, err = d.stage("in"); err != nil {
		return a, err
	}
	a.shadow, a.alone = filepath.Join(a.stage, "shadow"), filepath.Join(a.stage, "alone")
	if err := d.receive(ctx, source, &a); err != nil {
		return a, err
	}
	name := filepath.Base(at)
	err = d.area().Copy(filepath.Join(a.shadow, main), filepath.Join(a.alone, name))
	if err == nil {
		err = d.area().Copy(filepath.Join(a.shadow, log), filepath.Join(a.alone, name+string(sqlite.Log)))
		if localfs.Absent(err) {
			err = nil
		}
	}
	if err != nil {
		return a, err
	}
	root, err := d.open(a.alone)
	if err != nil {
		return a, err
	}
	defer root.Close()
	return a, sqlite.Settle(root, name)
}

// receive fetches the rows of a shadow, but for the database where the shadow here has it.
func (d *Databases) receive(ctx context.Context, source store.Layout, a *arrival) error {
	prefix := layout.Dir + "/" + a.at + "/"
	var rows []tree.Entry
	for _, row := range a.rows {
		name := row.Path[len(prefix):]
		if row.Kind != tree.File || name != mark && name != main && name != log {
			continue // a later format says so in its mark
		}
		if name == main && localfs.SumOf(filepath.Join(d.shadow(a.at), name)) == row.Sum {
			if err := d.reuse(&row, a); err != nil {
				return err
			}
			continue
		}
		rows = append(rows, row)
	}
	err := whole.Fetcher{Area: d.area(), Progress: d.o.Progress}.Fetch(ctx, source, prefix, rows, a.shadow, a.stage)
	if err != nil {
		return err
	}
	return d.readMark(filepath.Join(a.shadow, mark))
}

// reuse copies the database of the shadow here to that which comes.
func (d *Databases) reuse(row *tree.Entry, a *arrival) error {
	to := filepath.Join(a.shadow, main)
	if err := d.area().Copy(filepath.Join(d.shadow(a.at), main), to); err != nil {
		return err
	}
	return d.area().Do(to, func(root *os.Root, path string) error {
		return errors.Join(root.Chmod(path, os.FileMode(row.Mode&0o777)), root.Chtimes(path, time.Time{}, time.Unix(0, row.MTime)))
	})
}

// restore puts what the remote side has of a database in its place.
func (d *Databases) restore(ctx context.Context, source store.Layout, at string, rows []tree.Entry) error {
	if !d.carries(at) {
		return nil // it stays in the bucket as it is there
	}
	if err := d.clearPlacing(at, filepath.Join(d.rep.ReplacedDir(d.o.Now()), filepath.Dir(at))); err != nil {
		return err
	}
	a, err := d.fetch(ctx, source, at, rows)
	defer d.area().RemoveAll(a.stage)
	if err != nil {
		return err
	}
	here, err := d.local(ctx, &a)
	if err != nil {
		return err
	}
	if here.stage != "" {
		defer d.area().RemoveAll(here.stage)
	}
	if !here.same {
		if err := d.exchange(&a, here); err != nil {
			return err
		}
		d.o.Log.Info("database placed", "replica", d.o.Replica, "database", at)
	}
	killPlaced.Reach()
	return d.take(&a)
}

// exchange puts a database that came in the place of what is here. Of both that have changed
// the one here is kept first, as the state that was read; what is replaced file by file may
// have been cut off in between.
func (d *Databases) exchange(a *arrival, here local) error {
	at, now := a.at, d.o.Now()
	conflict := here.is && !here.unchanged
	kept := filepath.Join(d.rep.ConflictDir(now, d.o.Host), at)
	aside := filepath.Join(d.rep.ReplacedDir(now), filepath.Dir(at))
	switch copied := here.copy; {
	case !conflict:
	case copied == "": // it is no database, and one file
		aside = filepath.Dir(kept)
	case !d.isKept(at, localfs.SumOf(copied)):
		if err := d.area().Copy(copied, kept); err != nil {
			return err
		}
		killKept.Reach()
	}
	if err := d.place(a, aside); err != nil {
		return err
	}
	if replaced := filepath.Join(aside, filepath.Base(at)); here.copy != "" && d.writtenSince(replaced, here.copy) {
		conflict = true
		if err := d.area().Copy(replaced, kept+".2"); err != nil {
			return err
		}
	}
	if conflict && d.o.Conflicted != nil {
		d.o.Conflicted([]string{at})
	}
	return nil
}

// isKept reports whether a version of a database is kept as one that lost its name already.
func (d *Databases) isKept(at string, sum tree.Sum) bool {
	top := filepath.Join(d.o.Path, localfs.Dir, localfs.Conflicts)
	entries, err := os.ReadDir(top)
	return err == nil && slices.ContainsFunc(entries, func(e os.DirEntry) bool { return localfs.SumOf(filepath.Join(top, e.Name(), at)) == sum })
}

// writtenSince reports whether what was replaced is another state than the copy that was made
// of it: somebody had it open in between.
func (d *Databases) writtenSince(replaced, copied string) bool {
	sum := localfs.SumOf(replaced)
	return sum != tree.Sum{} && sum != localfs.SumOf(copied)
}

// local is the database that is here.
type local struct {
	is        bool   // there is a file
	unchanged bool   // it is what both sides agreed on
	same      bool   // it is what came
	stage     string // has the copy of it
	copy      string // "": it is no database
}

// local looks at what is here of a database that came.
func (d *Databases) local(ctx context.Context, a *arrival) (l local, err error) {
	if _, err := os.Lstat(d.here(a.at)); localfs.Absent(err) {
		return l, nil
	}
	l.is = true
	dir, name, err := d.around(a.at)
	if err != nil {
		return l, err
	}
	defer dir.Close()
	is, err := sqlite.Is(dir, name)
	if err != nil {
		return l, err
	}
	if !is {
		l.unchanged = d.cameAsFile(a.at)
		return l, nil
	}
	if l.stage, err = d.copied(ctx, dir, name, "out", patienceSettle); err != nil {
		return l, err
	}
	l.copy = filepath.Join(l.stage, name)
	info, err := dir.Lstat(name)
	if err == nil {
		err = d.area().Do(l.copy, func(root *os.Root, path string) error { return root.Chmod(path, info.Mode().Perm()) })
	}
	if l.same = localfs.SumOf(l.copy) == localfs.SumOf(filepath.Join(a.alone, name)); err != nil || l.same {
		return l, err
	}
	if d.cameAsFile(a.at) {
		l.unchanged = true
	} else if d.agreement().Agreed(a.at) {
		l.unchanged, err = d.shows(a.at, l.copy)
	}
	return l, err
}

// shows reports whether the shadow here is at a state.
func (d *Databases) shows(at, now string) (same bool, err error) {
	shadow, err := d.open(d.shadow(at))
	if err != nil {
		return false, err
	}
	defer shadow.Close()
	err = d.area().Do(now, func(root *os.Root, path string) error {
		f, err := root.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		same, err = sqlite.Same(shadow, main, f)
		return err
	})
	return same, err
}

// cameAsFile reports whether what is here of a database is, file by file, what both sides
// agreed on before it was a whole.
func (d *Databases) cameAsFile(at string) bool {
	for _, path := range []string{at, at + string(sqlite.Log), at + string(sqlite.Journal)} {
		row := d.agreement().WasFile(path)
		_, err := os.Lstat(d.here(path))
		switch {
		case localfs.Absent(err) && (path != at || row == nil):
			continue
		case err != nil || row == nil || localfs.SumOf(d.here(path)) != row.Sum:
			return false
		}
	}
	return d.agreement().WasFile(at) != nil
}

// place puts a database that came in its place, and what was there to a directory.
func (d *Databases) place(a *arrival, aside string) error {
	err := errors.Join(d.area().Mkdir(filepath.Dir(d.here(a.at))), d.area().Mkdir(aside))
	if err != nil {
		return err
	}
	if err = d.placeFrom(a.alone, a.at, aside); errors.Is(err, unix.EXDEV) {
		err = d.placeAcross(a, aside)
	}
	d.area().Prune(d.o.Path, aside) // nothing was there
	return err
}

// placeFrom is place from a directory of the same file system to another one there.
func (d *Databases) placeFrom(from, at, aside string) error {
	dir, name, err := d.around(at)
	if err != nil {
		return err
	}
	defer dir.Close()
	stage, err := d.open(from)
	if err != nil {
		return err
	}
	defer stage.Close()
	to, err := d.open(aside)
	if err != nil {
		return err
	}
	defer to.Close()
	if err := d.by.place(sqlite.Placement{Stage: stage, Dir: dir, Name: name, Aside: to, Rest: rest}); err != nil {
		return err
	}
	if is, err := sqlite.Is(to, name); err != nil || !is {
		if localfs.Absent(err) {
			return nil
		}
		return err
	}
	if err := sqlite.Settle(to, name); err != nil && !errors.Is(err, sqlite.ErrMalformed) { // what is malformed stays as it was
		return err
	}
	return nil
}

// placing is a directory beside a database of another mount than its stage: no rename leads
// from one to the other.
const placing = ".coltec-placing"

// placeAcross is place where the database is in a volume within the tree.
func (d *Databases) placeAcross(a *arrival, aside string) error {
	near := filepath.Join(filepath.Dir(d.here(a.at)), placing)
	in, out := filepath.Join(near, "in"), filepath.Join(near, "out")
	name := filepath.Base(a.at)
	err := errors.Join(d.area().Mkdir(in), d.area().Mkdir(out))
	if err == nil {
		err = d.area().Copy(filepath.Join(a.alone, name), filepath.Join(in, name))
	}
	if err == nil {
		err = d.placeFrom(in, a.at, out)
	}
	return errors.Join(err, d.clearPlacing(a.at, aside))
}

// clearPlacing removes that directory, also one that a crash left, and keeps what was replaced.
func (d *Databases) clearPlacing(at, aside string) error {
	near := filepath.Join(filepath.Dir(d.here(at)), placing)
	if _, err := os.Lstat(near); localfs.Absent(err) {
		return nil
	}
	if err := d.copyAll(filepath.Join(near, "out"), aside); err != nil {
		return err
	}
	return d.area().RemoveAll(near)
}

// copyAll copies the files of a directory, if there is one, to another.
func (d *Databases) copyAll(from, to string) error {
	dir, err := d.open(from)
	if localfs.Absent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	entries, err := fs.ReadDir(dir.FS(), ".")
	for _, e := range entries {
		if err == nil {
			err = d.area().Copy(filepath.Join(from, e.Name()), filepath.Join(to, e.Name()))
		}
	}
	return err
}

// take makes the shadow that came the one here.
func (d *Databases) take(a *arrival) error {
	if err := d.remove(a.at); err != nil {
		return err
	}
	for _, name := range []string{main, log} {
		err := d.area().Move(filepath.Join(a.shadow, name), filepath.Join(d.shadow(a.at), name))
		if err != nil && !(name == log && localfs.Absent(err)) {
			return err
		}
	}
	killTaken.Reach()
	if err := d.area().Move(filepath.Join(a.shadow, mark), filepath.Join(d.shadow(a.at), mark)); err != nil {
		return err
	}
	d.known[a.at] = &state{}
	return nil
}
