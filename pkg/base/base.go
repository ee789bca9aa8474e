// Package base keeps what the two sides of a replica last agreed on: rows in a file inside
// the tree that it describes, a journal of the steps since, and what the remote side has
// that is not placed here yet. The rows of a base that is unloaded lie on the disk alone.
package base

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/tree"
)

// The steps of writing a base at which a crash test kills the process.
var (
	pointBaseWritten    = killpoint.New("base:written")
	pointBaseRenamed    = killpoint.New("base:renamed")
	pointJournalWritten = killpoint.New("journal:written")
	pointJournalSynced  = killpoint.New("journal:synced")
)

// Header tells what a base is the base of.
type Header struct {
	Format     int    `json:"format"`
	Workspace  string `json:"workspace"` // org/project/env
	Replica    string `json:"replica"`
	Lineage    string `json:"lineage"` // of the head that it was agreed with
	Device     uint64 `json:"device"`  // of the root directory
	Inode      uint64 `json:"inode"`
	Epoch      int64  `json:"epoch"`
	Generation int64  `json:"generation"` // the generation that the rows and what is unplaced make up
	Ref        string `json:"ref"`        // what the head calls that tree: a manifest
	// Before is the ref that Ref was made over here, when all of that one had been placed;
	// "" where Ref came from the bucket. A bucket that has Before again has lost Ref: then
	// Before is Ref too, and a base without a Ref has only Before.
	Before   string        `json:"before,omitempty"`
	Restored bool          `json:"restored"` // all of the generation was placed, or is known to be impossible to place
	Filters  []filter.Rule `json:"filters"`
	// Carries is the hash of our own filters, through which the generation was
	// seen; Filters are those of who made it.
	Carries string `json:"carries,omitempty"`
	// Allowed counts the deletions that somebody had a say in, as the head did when all
	// of them were placed here.
	Allowed int64 `json:"allowed,omitempty"`
}

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

// Open reads the base in the replica directory dir. The error wraps
// ErrNone when there is none or it is damaged: it then is as if it never was.
// One that is there and cannot be read at the moment is another error.
func Open(dir string) (*Base, error) {
	b := &Base{dir: dir}
	err := b.readAll()
	switch {
	case err == nil:
		return b, nil
	case errors.As(err, new(*fs.PathError)) && !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("cannot load base in %q: %w", dir, err)
	}
	return nil, fmt.Errorf("cannot load base in %q: %w: %w", dir, ErrNone, err)
}

// New makes an empty base. Nothing is written before Save.
func New(dir string, h Header) *Base {
	h.Format = baseFormat
	// A journal left by an earlier base must not be taken for this one's.
	return &Base{dir: dir, Header: h, seq: rand.Int64()}
}

// Dir is the directory that the base lies in.
func (b *Base) Dir() string { return b.dir }

func (b *Base) readAll() error {
	f, err := openBase(b.file())
	if err != nil {
		return err
	}
	defer f.close()
	b.Header, b.seq = f.Header, f.Seq
	b.rows = make([]Row, 0, f.room())
	for {
		c, row, err := f.next()
		switch {
		case err == io.EOF:
			if b.inode, b.size, err = localfs.Identify(f.f); err != nil {
				return err
			}
			j, err := b.replay(math.MaxInt64)
			if err != nil {
				return err
			}
			b.journal, b.Pending, b.pendingFrom = j.length, j.pending, j.pendingFrom
			return b.apply(j.Delta)
		case err != nil:
			return err
		case row:
			b.rows = append(b.rows, c.Row)
		default:
			b.Unplaced = append(b.Unplaced, c)
		}
	}
}

// LastSettled is when a complete restore or a push was last recorded in the
// tree at path; the zero time when none ever was. It reads no rows.
func LastSettled(path string) time.Time {
	b := &Base{dir: filepath.Join(path, localfs.Dir)}
	if restored, err := b.restored(); err != nil || !restored {
		return time.Time{}
	}
	var last time.Time
	for _, file := range []string{b.file(), b.journalFile()} {
		if s, err := os.Lstat(file); err == nil && s.ModTime().After(last) {
			last = s.ModTime()
		}
	}
	return last
}

// restored reports whether the base on disk, with its journal, is of a tree that was
// restored as a whole.
func (b *Base) restored() (bool, error) {
	f, err := openBase(b.file())
	if err != nil {
		return false, err
	}
	f.close()
	b.seq = f.Seq
	j, err := b.replay(math.MaxInt64)
	if err != nil {
		return false, err
	}
	if j.Header != nil {
		return j.Header.Restored, nil
	}
	return f.Restored, nil
}

// Intact reports whether the base on disk is still the one that was loaded or
// saved: false after somebody removed it under a running program.
func (b *Base) Intact() bool {
	s, err := os.Lstat(b.file())
	return err == nil && localfs.Inode(s) == b.inode
}

// Remove drops the base: the replica starts again without one.
func (b *Base) Remove() error {
	err := os.Remove(b.file())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return err
}

// Apply makes a delta true, and durable.
func (b *Base) Apply(d Delta) error {
	if b.Pending != nil {
		if err := b.Load(); err != nil {
			return err
		}
	}
	from := b.journal
	if err := b.append(frame{Kind: "apply", Header: d.Header}, &d); err != nil {
		return err
	}
	return b.advance(d, from)
}

// Prepare makes a delta durable without making it true.
func (b *Base) Prepare(nonce string, d Delta) error {
	from := b.journal
	if err := b.append(frame{Kind: "pending", Nonce: nonce, Header: d.Header}, &d); err != nil {
		return err
	}
	b.Pending, b.pendingFrom = &Pending{Nonce: nonce, Delta: d}, from
	return nil
}

// Resolve makes the pending delta true or drops it.
func (b *Base) Resolve(committed bool) error {
	if b.Pending == nil {
		return nil
	}
	p := b.Pending
	kind := "abort"
	if committed {
		kind = "commit"
	}
	if err := b.append(frame{Kind: kind, Nonce: p.Nonce}, &Delta{}); err != nil {
		return err
	}
	b.Pending = nil
	if committed {
		return b.advance(p.Delta, b.pendingFrom)
	}
	return b.compact()
}

// advance makes a delta true here. The journal has it already, in what follows
// from; where the rows are unloaded that is enough, unless it is long.
func (b *Base) advance(d Delta, from int64) error {
	if !b.unloaded {
		if err := b.apply(d); err != nil {
			return b.lost(err)
		}
		return b.compact()
	}
	if d.Header != nil {
		b.Header = *d.Header
	}
	if d.Len() > 0 {
		b.counted = d.after
	}
	if b.journal <= longJournal {
		return nil
	}
	return b.save(func() (func() (*Row, error), func(), error) {
		rows, err := b.openRows(from)
		if err != nil {
			return nil, nil, b.lost(err)
		}
		return overlay(rows.next, d.inOrder()), rows.file.close, nil
	})
}

// apply merges a delta into the rows. A change at a path settles what was
// unplaced there.
func (b *Base) apply(d Delta) error {
	if d.Header != nil {
		b.Header = *d.Header
	}
	if d.Len() == 0 {
		return nil
	}
	rows := make([]Row, 0, len(b.Rows())+d.Len())
	rest := b.Rows()
	unplaced := b.Unplaced[:0]
	left := b.Unplaced
	settle := func(path string) { // what stands before it stays
		n, found := searchChanges(left, path)
		unplaced = append(unplaced, left[:n]...)
		if left = left[n:]; found {
			left = left[1:]
		}
	}
	for next := d.inOrder(); ; {
		c, err := next()
		if err != nil {
			return err
		}
		if c == nil {
			break
		}
		n, found := searchRows(rest, c.Path)
		rows = append(rows, rest[:n]...)
		if rest = rest[n:]; found {
			rest = rest[1:]
		}
		if !c.Gone {
			rows = append(rows, c.Row)
		}
		settle(c.Path)
	}
	b.rows = append(rows, rest...)
	b.Unplaced = append(unplaced, left...)
	return nil
}

// Row gives the row of a path, nil when there is none.
func (b *Base) Row(path string) *Row {
	if i, ok := searchRows(b.Rows(), path); ok {
		return &b.rows[i]
	}
	return nil
}

// Agree adds a row behind all others, of which the disk has nothing.
func (b *Base) Agree(row Row) { b.rows = append(b.rows, row) }

// Entries are the agreed entries, sorted.
func (b *Base) Entries() []tree.Entry {
	out := make([]tree.Entry, len(b.Rows()))
	for i := range out {
		out[i] = b.rows[i].Entry
	}
	return out
}

// Remote is the tree of the generation in the header: the rows with what is
// unplaced over them.
func (b *Base) Remote() []tree.Entry {
	out := make([]tree.Entry, 0, len(b.Rows())+len(b.Unplaced))
	rows := b.Rows()
	next := overlay(eachRow(rows), each(b.Unplaced))
	for row, _ := next(); row != nil; row, _ = next() {
		out = append(out, row.Entry)
	}
	return out
}

// Differences tells how remote differs from the rows: what Unplaced shall be.
func (b *Base) Differences(remote []tree.Entry) []Change {
	var out []Change
	rows := b.Rows()
	for len(rows)+len(remote) > 0 {
		switch {
		case len(remote) == 0 || len(rows) > 0 && tree.Compare(rows[0].Path, remote[0].Path) < 0:
			out = append(out, Change{Row: Row{Entry: tree.Entry{Path: rows[0].Path}}, Gone: true})
			rows = rows[1:]
			continue
		case len(rows) > 0 && rows[0].Path == remote[0].Path:
			if !rows[0].Same(&remote[0]) || rows[0].MTime != remote[0].MTime || !slices.Equal(rows[0].Where, remote[0].Where) ||
				remote[0].Tag != "" && rows[0].Tag != remote[0].Tag {
				out = append(out, Change{Row: Row{Entry: remote[0]}})
			}
			rows = rows[1:]
		default:
			out = append(out, Change{Row: Row{Entry: remote[0]}})
		}
		remote = remote[1:]
	}
	return out
}

// Save writes the whole base anew: temporary file, fsync, rename.
func (b *Base) Save() error { return b.save(b.Reader) }

// save does it with rows that are opened, more than once, and given in order.
func (b *Base) save(open func() (next func() (*Row, error), done func(), err error)) error {
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return fmt.Errorf("cannot save base: %w", err)
	}
	tmp, err := os.CreateTemp(b.dir, localfs.OwnTemp)
	if err != nil {
		return fmt.Errorf("cannot save base: %w", err)
	}
	defer os.Remove(tmp.Name())
	seq := b.seq + 1
	if err := errors.Join(b.write(tmp, seq, open), tmp.Sync()); err != nil {
		tmp.Close()
		return fmt.Errorf("cannot save base: %w", err)
	}
	pointBaseWritten.Reach()
	inode, size, err := localfs.Identify(tmp)
	if err := errors.Join(err, tmp.Close(), os.Rename(tmp.Name(), b.file())); err != nil {
		return fmt.Errorf("cannot save base: %w", err)
	}
	// The journal named the sequence of the file before: it counts no more.
	b.seq, b.inode, b.size, b.journal, b.unsaved = seq, inode, size, 0, false
	if err := syncDir(b.dir); err != nil {
		return fmt.Errorf("cannot save base: %w", err)
	}
	pointBaseRenamed.Reach()
	if err := os.Remove(b.journalFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot save base: %w", err)
	}
	return nil
}

func (b *Base) write(f io.Writer, seq int64, open func() (func() (*Row, error), func(), error)) error {
	w := bufio.NewWriterSize(f, 64<<10)
	h := fileHeader{Header: b.Header, Seq: seq, Rows: len(b.rows), Unplaced: len(b.Unplaced)}
	if b.unloaded && b.counted != nil {
		h.Rows = b.counted.Rows
	}
	// Twice: number and checksum stand in the first line, and rows may be many.
	for again := true; again; {
		sum, err := h.begin()
		if err != nil {
			return err
		}
		n, err := b.writeRows(sum, open)
		if err != nil {
			return err
		}
		h.CRC = sum.Sum32()
		again, h.Rows = n != h.Rows, n
	}
	if err := json.NewEncoder(w).Encode(h); err != nil {
		return err
	}
	n, err := b.writeRows(w, open)
	if err == nil && n != h.Rows {
		err = errReplaced
	}
	return errors.Join(err, w.Flush())
}

// writeRows writes the rows, and what is unplaced, and counts the rows.
func (b *Base) writeRows(w io.Writer, open func() (func() (*Row, error), func(), error)) (n int, err error) {
	t := tree.NewWriter(w)
	next, done, err := open()
	if err != nil {
		return 0, err
	}
	defer done()
	for {
		row, err := next()
		if err != nil {
			return n, err
		}
		if row == nil {
			return n, errors.Join(writeChanges(t, b.Unplaced), t.Flush())
		}
		if err := writeRow(t, row); err != nil {
			return n, err
		}
		n++
	}
}

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

// compactAt is the journal's size from which a base is written anew, or the
// base's own size where that is more, so that a long restore writes what it
// places a few times and not once a batch.
const compactAt = 1 << 20

// compact writes the base anew when the journal has grown, and nothing is
// pending: a pending delta lives in the journal alone.
func (b *Base) compact() error {
	if b.Pending != nil || b.unloaded || b.journal < max(compactAt, b.size) {
		return nil
	}
	return b.Save()
}
