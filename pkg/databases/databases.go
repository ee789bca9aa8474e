// Package databases are databases of SQLite as a kind of wholes: it has those of a tree
// captured before a scan, under their locks, and put in their place after a placement, where
// nobody has them open. pkg/sqlite knows what a database is; pkg/replica carries the shadows
// as files.
//
// A shadow is a trail (see [sqlite.Follow]): a database, and a log of our own to which each
// capture adds the pages that differ. A save sends what was added.
package databases

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/area"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/sqlite"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/whole"
)

// Databases carries the databases of one replica's tree as wholes. The replica's worker owns
// it, but for the notes, which are read between its runs.
type Databases struct {
	o        whole.Options
	by       means
	rep      whole.Replica // that is looked at
	known    map[string]*state
	looked   map[string]look  // what begins as a database, and what does not
	restores map[string]error // of each database that waits to be placed, why
}

// state is what is known of a database that has a shadow here.
type state struct {
	captured sqlite.Stamps // as it was when it was captured; the zero value is not known
	again    time.Time     // from when on what is written all the time is captured again
}

// look is what a file was when its begin was looked at.
type look struct {
	localfs.Seen
	is bool
}

func newDatabases(o whole.Options) *Databases {
	return &Databases{o: o, by: means{sqlite.Capture, sqlite.Place}.changed(), looked: map[string]look{}, restores: map[string]error{}}
}

// Serve has it look at a replica from now on.
func (d *Databases) Serve(rep whole.Replica) { d.rep = rep }

// agreement is what both sides agreed on.
func (d *Databases) agreement() whole.Agreement {
	return whole.NewAgreement(layout, d.rep.Base(), d.o.Path)
}

// Removal is nothing: databases have no say in other files.
func (d *Databases) Removal(context.Context, []tree.Entry, func(string, map[string]bool) (int, error)) (whole.Removal, error) {
	return whole.Removal{}, nil
}

// Account adds the databases whose remote side waits: they are not captured meanwhile. Those
// that are withheld the scan has.
func (d *Databases) Account(a *account.Account) {
	for _, at := range slices.Sorted(maps.Keys(d.restores)) {
		a.Add(account.Uncaptured, at, 0, "the bucket's version waits: "+anchor.OneLine(d.restores[at]))
	}
}

// Notes are for attention.
func (d *Databases) Notes() []string {
	var out []string
	for _, at := range slices.Sorted(maps.Keys(d.restores)) {
		out = append(out, fmt.Sprintf("replica %s: the database %q is not what the bucket has: %s; it is placed once that is over", d.o.Replica, at, anchor.OneLine(d.restores[at])))
	}
	return out
}

// area is the tree, in which the bucket and others put links.
func (d *Databases) area() area.Dir { return area.Dir(d.o.Path) }

// here is where something of the tree is.
func (d *Databases) here(at string) string { return filepath.Join(d.o.Path, at) }

// shadow is the directory of a database's shadow.
func (d *Databases) shadow(at string) string { return filepath.Join(d.o.Path, layout.Dir, at) }

// carries reports whether a database is the replica's to carry.
func (d *Databases) carries(at string) bool {
	return !elsewhere(at) && (d.o.Carries == nil || d.o.Carries(at))
}

// stage makes an empty directory for content on its way.
func (d *Databases) stage(name string) (dir string, err error) {
	dir = filepath.Join(d.rep.StageDir(), "databases-"+name)
	if err := d.area().RemoveAll(dir); err != nil {
		return dir, err
	}
	return dir, d.area().Mkdir(dir)
}

// open opens a directory of the area.
func (d *Databases) open(dir string) (root *os.Root, err error) { return openIn(d.area(), dir) }

// around opens the directory that a database is in.
func (d *Databases) around(at string) (root *os.Root, name string, err error) {
	root, err = d.open(filepath.Dir(d.here(at)))
	return root, filepath.Base(at), err
}

func openIn(in area.Dir, dir string) (root *os.Root, err error) {
	err = in.Do(filepath.Join(dir, "."+"x"), func(top *os.Root, path string) (err error) {
		root, err = top.OpenRoot(filepath.Dir(path))
		return err
	})
	return root, err
}

// companions are the files that may belong to a database.
func companions(at string) []string {
	return []string{at + string(sqlite.Log), at + string(sqlite.Journal), at + string(sqlite.Index)}
}

// list learns, once, of which databases there are shadows.
func (d *Databases) list() error {
	if d.known != nil {
		return nil
	}
	known := map[string]*state{}
	top := filepath.Join(d.o.Path, layout.Dir)
	err := filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && e.Name() == mark {
			at, errRel := filepath.Rel(top, filepath.Dir(path))
			known[at], err = &state{}, errRel
		}
		return err
	})
	if err != nil && !localfs.Absent(err) {
		return fmt.Errorf("cannot read the copies of databases: %w", err)
	}
	d.known = known
	return nil
}
