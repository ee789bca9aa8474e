package databases

import (
	"os"
	"path/filepath"

	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/sqlite"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/whole"
)

// leastSize is that of the smallest database, and what the sizes of all are multiples of.
const leastSize = 512

// find gives the databases among what a walk met, or that something belongs to of what it
// met, and the paths that are theirs and no file's.
func (d *Databases) find(m *whole.Met) (found, theirs map[string]bool) {
	found, theirs = map[string]bool{}, map[string]bool{}
	before := d.looked
	d.looked = map[string]look{}
	for i := range m.Edited {
		s := &m.Edited[i]
		if s.Kind != tree.File || elsewhere(s.Path) {
			continue
		}
		if at, _, ok := sqlite.Companion(s.Path); ok && d.is(m.Root, before, at) {
			found[at], theirs[s.Path] = true, true
		} else if s.Size >= leastSize && s.Size%leastSize == 0 && d.is(m.Root, before, s.Path) {
			found[s.Path] = true
		}
	}
	for at := range found {
		theirs[at] = true
		for _, path := range companions(at) {
			theirs[path] = true
		}
	}
	return found, theirs
}

// is reports whether a file of the tree begins as a database: it is read once for each
// state of it.
func (d *Databases) is(root localfs.FileSystem, before map[string]look, at string) bool {
	s, err := root.Lstat(at)
	if err != nil || s == nil || s.Kind != tree.File || !d.carries(at) {
		return false
	}
	l, ok := d.looked[at]
	if !ok {
		l, ok = before[at]
	}
	if !ok || l.Seen != s.Seen {
		is, err := d.begins(at)
		if err != nil {
			return d.known[at] != nil // what was one is withheld until it can be read
		}
		l = look{s.Seen, is}
	}
	d.looked[at] = l
	return l.is
}

// begins reports whether a file begins as a database.
func (d *Databases) begins(at string) (bool, error) {
	dir, name, err := d.around(at)
	if err != nil {
		return false, err
	}
	defer dir.Close()
	return sqlite.Is(dir, name)
}

// forgotten gives those that have a shadow and are databases no more, or no longer ours.
func (d *Databases) forgotten(m *whole.Met) (gone []string) {
	for at := range d.known {
		_, err := os.Lstat(d.here(at))
		switch {
		case d.restores[at] != nil:
		case !d.carries(at),
			localfs.Absent(err) && m.Tells(at),
			err == nil && !d.is(m.Root, d.looked, at):
			gone = append(gone, at)
		}
	}
	return gone
}

// forget has the rows of a shadow go.
func (d *Databases) forget(at string) error {
	if err := d.remove(at); err != nil {
		return err
	}
	return d.area().Write(filepath.Join(d.shadow(at), gone), nil, 0o644)
}

// remove removes a shadow.
func (d *Databases) remove(at string) error {
	delete(d.known, at)
	for _, name := range []string{mark, log, main, gone} { // first: it is not whole from now on
		if err := d.area().Remove(filepath.Join(d.shadow(at), name)); err != nil {
			return err
		}
	}
	d.area().Prune(filepath.Join(d.o.Path, layout.Dir), d.shadow(at))
	return nil
}
