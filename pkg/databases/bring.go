package databases

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/sqlite"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/whole"
)

// Past is how a tree was, to be brought back.
type Past struct {
	Entries []tree.Entry // sorted
	Source  store.Layout
	Under   string // a path: what is at it and below; "" is all
	Missing bool   // only what is not here any more
	// Lying are the databases that are here where the tree had files: see [Lying].
	Lying []tree.Entry
}

// Brought is what came of bringing databases back.
type Brought struct {
	Placed, Removed int
	Problems        []localfs.Unknown
}

// Bring makes the databases of a tree what they were. What is replaced, or was not there then,
// goes to where such things are kept; what somebody has open stays as it is, and is a problem.
// Shadows stay: what is brought back is an edit like any other.
func Bring(ctx context.Context, o whole.Options, rep whole.Replica, past Past) (out Brought, err error) {
	d := newDatabases(o)
	d.Serve(rep)
	if err := d.list(); err != nil {
		return out, err
	}
	for _, at := range d.concerned(past) {
		placed, removed, err := d.bring(ctx, at, past)
		switch {
		case ctx.Err() != nil:
			return out, context.Cause(ctx)
		case err != nil:
			out.Problems = append(out.Problems, localfs.Unknown{Path: at, Reason: err.Error()})
		case placed:
			out.Placed++
		case removed:
			out.Removed++
		}
	}
	return out, nil
}

// Lying finds databases that are here where a tree has files, at and below a path: they may
// never have been captured. It gives them as marks, by which a tree says what is a database.
func Lying(o whole.Options, rep whole.Replica, entries []tree.Entry, under string) (marks []tree.Entry) {
	d := newDatabases(o)
	d.Serve(rep)
	for i := range entries {
		e := &entries[i]
		if e.Kind != tree.File || under != "" && !tree.Within(e.Path, under) || !d.carries(e.Path) {
			continue
		}
		info, err := os.Lstat(d.here(e.Path))
		if err != nil || info.Size() < leastSize || info.Size()%leastSize != 0 {
			continue
		}
		if is, err := d.begins(e.Path); err == nil && is {
			marks = append(marks, tree.Entry{Path: layout.Dir + "/" + e.Path + "/" + mark, Kind: tree.File})
		}
	}
	return marks
}

// concerned lists the databases that there were and those that there are.
func (d *Databases) concerned(past Past) (all []string) {
	note := func(at string) {
		if (past.Under == "" || tree.Within(at, past.Under)) && d.carries(at) {
			all = append(all, at)
		}
	}
	for i := range past.Entries {
		if e := &past.Entries[i]; e.Kind == tree.File && filepath.Base(e.Path) == mark && tree.Within(e.Path, layout.Dir) {
			note(Kind{}.Of(e.Path))
		}
	}
	for at := range d.known {
		note(at)
	}
	for i := range past.Lying {
		note(Kind{}.Of(past.Lying[i].Path))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// bring makes one database what it was.
func (d *Databases) bring(ctx context.Context, at string, past Past) (placed, removed bool, err error) {
	_, err = os.Lstat(d.here(at))
	if past.Missing && err == nil {
		return false, false, nil
	}
	rows := within(past.Entries, layout.Dir+"/"+at)
	fetch := d.fetch
	if len(rows) == 0 {
		rows, fetch = asFiles(past.Entries, at), d.fetchFiles
	}
	if len(rows) == 0 {
		if err != nil {
			return false, false, nil
		}
		return false, true, d.moveAside(at)
	}
	a, err := fetch(ctx, past.Source, at, rows)
	defer d.area().RemoveAll(a.stage)
	if err != nil {
		return false, false, err
	}
	here, err := d.local(ctx, &a)
	if here.stage != "" {
		defer d.area().RemoveAll(here.stage)
	}
	if err != nil || here.same {
		return false, false, err
	}
	return true, false, d.place(&a, filepath.Join(d.rep.ReplacedDir(d.o.Now()), filepath.Dir(at)))
}

// within are the entries below a directory that are of the whole there, and of none in it.
func within(entries []tree.Entry, dir string) (rows []tree.Entry) {
	if e := tree.Find(entries, dir+"/"+mark); e == nil {
		return nil
	}
	for _, name := range []string{mark, main, log} {
		if e := tree.Find(entries, dir+"/"+name); e != nil {
			rows = append(rows, *e)
		}
	}
	return rows
}

// asFiles are the rows of a database that was carried as files.
func asFiles(entries []tree.Entry, at string) (rows []tree.Entry) {
	for _, path := range []string{at, at + string(sqlite.Log), at + string(sqlite.Journal)} {
		if e := tree.Find(entries, path); e != nil && e.Kind == tree.File {
			rows = append(rows, *e)
		}
	}
	if len(rows) == 0 || rows[0].Path != at {
		return nil
	}
	return rows
}

// fetchFiles brings a database that was carried as files to a stage.
func (d *Databases) fetchFiles(ctx context.Context, source store.Layout, at string, rows []tree.Entry) (a arrival, err error) {
	a = arrival{at: at, rows: rows}
	if a.stage, err = d.stage("in"); err != nil {
		return a, err
	}
	a.alone = filepath.Join(a.stage, "alone")
	prefix := ""
	if i := len(at) - len(filepath.Base(at)); i > 0 {
		prefix = at[:i]
	}
	if err := (whole.Fetcher{Area: d.area(), Progress: d.o.Progress}).Fetch(ctx, source, prefix, rows, a.alone, a.stage); err != nil {
		return a, err
	}
	root, err := d.open(a.alone)
	if err != nil {
		return a, err
	}
	defer root.Close()
	if is, err := sqlite.Is(root, filepath.Base(at)); err != nil || !is {
		return a, err // a file that became a database later
	}
	return a, sqlite.Settle(root, filepath.Base(at))
}

// GiveWay moves what is at a path of a tree to what was replaced where it is a database, with
// all that belongs to it, so that something else can have the name. Of another file nothing
// happens; of a database that somebody has open there is an error. A log whose database is not
// there is moved, too.
func GiveWay(o whole.Options, rep whole.Replica, at string) (moved bool, err error) {
	d := newDatabases(o)
	d.Serve(rep)
	if is, err := d.begins(at); err != nil || !is {
		if localfs.Absent(err) {
			err = d.orphansAside(at)
		}
		return false, err
	}
	if err := d.moveAside(at); err != nil {
		return false, fmt.Errorf("cannot replace the database %q: %w", at, err)
	}
	return true, nil
}

// State is a database as a tree has it, as if it were a file: its size is that of what it lies
// in, and its sum is of their sums. nil: the tree has no database there.
func State(entries []tree.Entry, at string) *tree.Entry {
	rows := within(entries, layout.Dir+"/"+at)
	if len(rows) == 0 {
		return nil
	}
	out := tree.Entry{Path: at, Kind: tree.File}
	sum := sha256.New()
	for i := range rows {
		switch filepath.Base(rows[i].Path) {
		case mark:
			continue
		case main:
			out.Mode, out.MTime = rows[i].Mode, rows[i].MTime
		}
		out.Size += rows[i].Size
		sum.Write(rows[i].Sum[:])
	}
	out.Sum = tree.Sum(sum.Sum(nil))
	return &out
}

// AsFiles are the entries of a tree with a file in the place of each database: see [State].
func AsFiles(entries []tree.Entry) []tree.Entry {
	var out []tree.Entry
	for i := range entries {
		e := entries[i]
		if !tree.Within(e.Path, layout.Dir) {
			out = append(out, e)
		} else if filepath.Base(e.Path) == mark && e.Kind == tree.File {
			if state := State(entries, Kind{}.Of(e.Path)); state != nil {
				out = append(out, *state)
			}
		}
	}
	tree.Sort(out)
	return out
}
