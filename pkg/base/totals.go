package base

import (
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/tree"
)

// Totals are what a base has of its replica.
type Totals struct {
	Rows      int
	Files     int64 // and links
	Bytes     int64
	Conflicts int // local versions that are kept aside
	// Contentless counts the files that lie nowhere in the replica's layout: they
	// were adopted from plain objects, and are to be sent.
	Contentless int
	Parts       int // of files, beyond those that each row may have
}

// Add counts a row.
func (t *Totals) Add(row *Row) { t.count(row, 1) }

// remove takes a row out of the count.
func (t *Totals) remove(row *Row) { t.count(row, -1) }

func (t *Totals) count(row *Row, n int) {
	t.Rows += n
	t.Parts += n * OverParts(len(row.Where))
	if Contentless(&row.Entry) {
		t.Contentless += n
	}
	switch {
	case ShadowRow(row.Path):
	case tree.Within(row.Path, localfs.Dir):
		t.Conflicts += n
	case row.Kind != tree.Dir:
		t.Files += int64(n)
		t.Bytes += int64(n) * row.Size
	}
}
