// Package base keeps what the two sides of a replica last agreed on: rows in a file inside
// the tree that it describes, a journal of the steps since, and what the remote side has
// that is not placed here yet. The rows of a base that is unloaded lie on the disk alone.
package base

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
)

// Pending is a delta that becomes true if, and only if, the head or its
// ancestry holds the nonce.
type Pending struct {
	Nonce string
	Delta Delta
}

// Base is what the two sides of a replica last agreed on. It lives inside the
// tree it describes: a lost tree loses its base too and is restored, never read
// as "all was deleted". One goroutine owns it.
type Base struct {
	Header  Header
	Pending *Pending
	// Unplaced holds, sorted, how the remote tree differs from the rows: what
	// is still to be placed. Gone is set where the remote has no such path.
	Unplaced []Change

	rows     []Row   // sorted
	unloaded bool    // the rows are on the disk alone
	counted  *Totals // where it is unloaded; nil when they are to be counted anew
	unsaved  bool    // the disk does not have what is here

	// exact is the manifest whose tree the rows are: they are those of the step that it was
	// written for, and what became of them since is only what is seen of them. "": not known.
	exact string

	read *replayed // of an unloaded base's journal, until it rests; nil: to be read

	dir         string
	seq         int64  // of the base file, which its journal names
	journal     int64  // bytes of whole steps in the journal
	pendingFrom int64  // where the pending step begins in it
	inode       uint64 // of the base file
	size        int64  // of the base file
}

// Rows are the agreed paths, sorted. There are none while it is unloaded: to ask then is an
// internal error, because none would read as "all is gone".
func (b *Base) Rows() []Row {
	if b.unloaded {
		panic("internal error: the base is unloaded")
	}
	return b.rows
}

// ErrNone is the error where there is no base, or none that can be read.
var ErrNone = errors.New("no base")

// New makes an empty base. Nothing is written before Save.
func New(dir string, h Header) *Base {
	h.Format = baseFormat
	// A journal left by an earlier base must not be taken for this one's.
	return &Base{dir: dir, Header: h, seq: rand.Int64()}
}

// Dir is the directory that the base lies in.
func (b *Base) Dir() string { return b.dir }

// Agree adds a row behind all others, of which the disk has nothing.
func (b *Base) Agree(row Row) { b.rows, b.exact = append(b.rows, row), "" }

// Mismatch tells why the base is none for a replica and a head; "" when it is one.
func (b *Base) Mismatch(workspace, replica, lineage string, generation int64) string {
	h := b.Header
	switch {
	case h.Workspace != workspace || h.Replica != replica:
		return fmt.Sprintf("it was last synced as replica %q of %s: it is a copy, or was given another name", h.Replica, h.Workspace)
	case h.Lineage != lineage:
		return "it was last synced with another head: the bucket was emptied, or the spec leads to another place"
	case h.Generation > generation:
		return fmt.Sprintf("it was last synced with generation %d, and the bucket has %d: the bucket was set back", h.Generation, generation)
	}
	return ""
}

// Distrust makes every file be looked at again: the tree was copied or moved,
// so that times and inodes say nothing.
func (b *Base) Distrust() {
	for i := range b.rows {
		b.rows[i].Seen.CTime = 0
	}
	b.unsaved = true
}

func (b *Base) file() string { return filepath.Join(b.dir, "base") }

func (b *Base) journalFile() string { return filepath.Join(b.dir, "journal") }
