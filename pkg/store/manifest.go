package store

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/klauspost/compress/zstd"
)

// manifestFormat is the version of the manifest's format.
const manifestFormat = 1

// manifestHeader is the first line of a manifest; the rows of pkg/tree's text
// form follow. The whole is one zstd stream.
type manifestHeader struct {
	Format     int           `json:"format"`
	Workspace  string        `json:"workspace"`
	Replica    string        `json:"replica"`
	Epoch      int64         `json:"epoch"`
	Generation int64         `json:"generation"`
	Time       time.Time     `json:"time"`
	Filters    []filter.Rule `json:"filters"`
	Base       string        `json:"base,omitempty"` // the full manifest that this one is a difference from
	Rows       int           `json:"rows"`           // of the tree
}

// checkEntry refuses what no tree has, or what would be content that nobody
// can read again.
func checkEntry(e *tree.Entry) error {
	if !ValidPath(e.Path) {
		return fmt.Errorf("%q is no path", e.Path)
	}
	size := int64(0)
	for _, x := range e.Where {
		if !ValidPath(x.Object) || x.Offset < 0 || x.Stored < 0 || x.Size < 0 {
			return fmt.Errorf("the content of %q is said to lie where nothing can", e.Path)
		}
		size += x.Size
	}
	if e.Kind == tree.File && size != e.Size {
		return fmt.Errorf("%q has %d bytes and %d are stored", e.Path, e.Size, size)
	}
	return nil
}

// writeManifest writes a manifest: all rows of p, or with base the ones of d.
func writeManifest(w io.Writer, p Publication, base string, d *difference, now time.Time) error {
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(1<<20))
	if err != nil {
		return err
	}
	h := manifestHeader{
		Format: manifestFormat, Workspace: p.Workspace, Replica: p.Replica, Epoch: p.Epoch, Generation: p.Generation,
		Time: now.UTC(), Filters: p.Next.Filters, Base: base, Rows: len(p.Next.Entries),
	}
	if err := json.NewEncoder(z).Encode(h); err != nil {
		return err
	}
	rows := tree.NewWriter(z)
	if base != "" {
		err = d.write(rows)
	} else {
		for i := range p.Next.Entries {
			if err = rows.Entry(&p.Next.Entries[i]); err != nil {
				break
			}
		}
	}
	return errors.Join(err, rows.Flush(), z.Close())
}

// manifest is one being read.
type manifest struct {
	manifestHeader
	file *os.File
	zstd *zstd.Decoder
	rows *tree.Reader
	last string // path
}

// openManifest reads the header of a manifest's file.
func openManifest(file string) (_ *manifest, err error) {
	m := &manifest{}
	if m.file, err = os.Open(file); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			m.close()
		}
	}()
	if m.zstd, err = zstd.NewReader(m.file, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true)); err != nil {
		return nil, err
	}
	r := bufio.NewReaderSize(m.zstd, 64<<10)
	line, err := r.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("no header: %w", err)
	}
	if err := json.Unmarshal(line, &m.manifestHeader); err != nil {
		return nil, fmt.Errorf("no header: %w", err)
	}
	if m.Format != manifestFormat {
		return nil, fmt.Errorf("format %d is not known to this version of coltecd", m.Format)
	}
	if m.Base != "" && !IsManifest(m.Base) {
		return nil, fmt.Errorf("it is said to differ from %q, which is no manifest", m.Base)
	}
	m.rows = tree.NewReader(r)
	return m, nil
}

func (m *manifest) close() {
	if m.zstd != nil {
		m.zstd.Close()
	}
	m.file.Close()
}

// next gives the next row, nil at the end.
func (m *manifest) next() (*tree.Record, error) {
	if err := m.rows.Advance(); err != nil {
		return nil, ignoreEOF(err)
	}
	return m.row()
}

// nextBut is next after those rows that are the entries in order, and says how
// many these were.
func (m *manifest) nextBut(entries []tree.Entry) (n int, rec *tree.Record, err error) {
	for {
		if err := m.rows.Advance(); err != nil {
			return n, nil, ignoreEOF(err)
		}
		if n == len(entries) || !m.rows.Is(&entries[n]) {
			rec, err = m.row()
			return n, rec, err
		}
		m.last = entries[n].Path
		n++
	}
}

func ignoreEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// row is the one that the reader is at.
func (m *manifest) row() (*tree.Record, error) {
	rec, err := m.rows.Record()
	if err != nil {
		return nil, err
	}
	if m.last != "" && tree.Compare(m.last, rec.Path) >= 0 {
		return nil, fmt.Errorf("the row of %q is out of order", rec.Path)
	}
	m.last = rec.Path
	if rec.Gone && m.Base == "" {
		return nil, fmt.Errorf("%q is gone from nothing", rec.Path)
	}
	if rec.Gone {
		return &rec, nil
	}
	return &rec, checkEntry(&rec.Entry)
}

// each calls f for all rows that are left.
func (m *manifest) each(f func(*tree.Record)) error {
	for {
		rec, err := m.next()
		if err != nil || rec == nil {
			return err
		}
		f(rec)
	}
}

// readTree reads the tree of a manifest; full is what it is a difference from,
// nil for nothing.
func readTree(m, full *manifest) (*Tree, error) {
	t := &Tree{Filters: m.Filters, Base: m.Base}
	err := merge(m, full, func(e *tree.Entry) { t.Entries = append(t.Entries, *e) })
	if err == nil && len(t.Entries) != m.Rows {
		err = fmt.Errorf("%d rows where %d were written", len(t.Entries), m.Rows)
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

// merge gives the rows of a tree in order.
func merge(m, full *manifest, each func(*tree.Entry)) error {
	old := func() (*tree.Record, error) { return nil, nil }
	if full != nil {
		if full.Base != "" {
			return fmt.Errorf("it differs from %s, which differs from another", m.Base)
		}
		old = full.next
	}
	row, err := m.next()
	if err != nil {
		return err
	}
	was, err := old()
	for err == nil && (row != nil || was != nil) {
		c := -1 // which comes first
		if row == nil {
			c = 1
		} else if was != nil {
			c = tree.Compare(row.Path, was.Path)
		}
		if c > 0 {
			each(&was.Entry)
		} else if !row.Gone {
			each(&row.Entry)
		}
		if c >= 0 {
			was, err = old()
		}
		if c <= 0 && err == nil {
			row, err = m.next()
		}
	}
	return err
}

// difference is how a tree differs from a full manifest.
type difference struct {
	lines []differing
}

// differing is one path: its row, or nil when it is gone.
type differing struct {
	path string
	row  *tree.Entry
}

func (d *difference) write(w *tree.Writer) error {
	for _, l := range d.lines {
		var err error
		if l.row == nil {
			err = w.Gone(l.path)
		} else {
			err = w.Entry(l.row)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// differ compares a tree with a full manifest. It is nil when the difference has
// more than limit lines.
func differ(full *manifest, next []tree.Entry, limit int) (*difference, error) {
	d := &difference{}
	n, was, err := full.nextBut(next)
	for next = next[n:]; err == nil && (was != nil || len(next) > 0); {
		c := -1
		if was == nil {
			c = 1
		} else if len(next) > 0 {
			c = tree.Compare(was.Path, next[0].Path)
		}
		switch {
		case c < 0:
			d.lines = append(d.lines, differing{path: was.Path})
		case c > 0 || !sameRow(&was.Entry, &next[0]):
			d.lines = append(d.lines, differing{next[0].Path, &next[0]})
		}
		if len(d.lines) > limit {
			return nil, nil
		}
		if c >= 0 {
			next = next[1:]
		}
		if c <= 0 {
			n, was, err = full.nextBut(next)
			next = next[n:]
		}
	}
	return d, err
}

// sameRow says whether two rows of a path are written alike.
func sameRow(a, b *tree.Entry) bool {
	return a.Kind == b.Kind && a.Mode == b.Mode && a.MTime == b.MTime && a.Size == b.Size && a.Sum == b.Sum &&
		a.Link == b.Link && a.Tag == b.Tag && slices.Equal(a.Where, b.Where)
}

// largest is how many lines a difference from a full manifest may have, so many
// generations after it. A quarter of its rows: a reader fetches both. And not
// so many, generation after generation, that they come to twice its rows, which
// is when a new one costs less.
func largest(rows int, generations int64) int {
	return min(rows/4, int(2*int64(rows)/max(generations, 1)))
}
