package replica

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
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

// baseFormat is the version of the files that hold a base.
const baseFormat = 1

// Header says what a base is the base of.
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

// Row is one path that both sides agreed on: what was agreed, and what this
// file system showed right after. A local change is a difference from what was
// shown.
type Row struct {
	tree.Entry
	Seen localfs.Seen
}

// Change is a new row, or the word that a path left the base.
type Change struct {
	Row
	Gone bool
	was  tree.Kind // of the row that it takes the place of; 0 for none, or where that does not matter
}

// Delta is a step of a base. A nil Header keeps the one there is.
type Delta struct {
	Header  *Header
	Changes []Change
	Spool   *Spool  // more of them, at other paths; nil for none
	after   *Totals // what the base has after it; nil when that was not counted
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

	rows    []Row   // sorted
	resting bool    // the rows are on the disk alone
	counted *Totals // at rest; nil when they are to be counted anew
	unsaved bool    // the disk does not have what is here

	dir         string
	seq         int64  // of the base file, which its journal names
	journal     int64  // bytes of whole steps in the journal
	pendingFrom int64  // where the pending step begins in it
	inode       uint64 // of the base file
	size        int64  // of the base file
}

// Rows are the agreed paths, sorted. There are none at rest: to ask then is an
// internal error, because none would read as "all is gone".
func (b *Base) Rows() []Row {
	if b.resting {
		panic("internal error: the base is at rest")
	}
	return b.rows
}

// ErrNoBase says that there is no base, or none that can be read.
var ErrNoBase = errors.New("no base")

// LoadBase reads the base in the replica directory dir. The error wraps
// ErrNoBase when there is none or it is damaged: it then is as if it never was.
// One that is there and cannot be read at the moment is another error.
func LoadBase(dir string) (*Base, error) {
	b := &Base{dir: dir}
	err := b.load()
	switch {
	case err == nil:
		return b, nil
	case errors.As(err, new(*fs.PathError)) && !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("cannot load base in %q: %w", dir, err)
	}
	return nil, fmt.Errorf("cannot load base in %q: %w: %w", dir, ErrNoBase, err)
}

// NewBase makes an empty base. Nothing is written before Save.
func NewBase(dir string, h Header) *Base {
	h.Format = baseFormat
	// A journal left by an earlier base must not be taken for this one's.
	return &Base{dir: dir, Header: h, seq: rand.Int64()}
}

func (b *Base) file() string        { return filepath.Join(b.dir, "base") }
func (b *Base) journalFile() string { return filepath.Join(b.dir, "journal") }

// fileHeader is the first line of a base file. Seq ties the journal to it.
type fileHeader struct {
	Header
	Seq      int64  `json:"seq"`
	Rows     int    `json:"rows"`
	Unplaced int    `json:"unplaced"`
	CRC      uint32 `json:"crc"` // of this line with a CRC of 0, and of all that follows
}

// errDamaged says that a file is not as it was written.
var errDamaged = errors.New("it is damaged")

// begin starts the checksum of a base file, with its header.
func (h fileHeader) begin() (hash.Hash32, error) {
	h.CRC = 0
	return checksum(h)
}

// checksum starts one with a value's JSON, as it is after reading it back: a
// byte that is not UTF-8 is written in two ways.
func checksum[T any](v T) (hash.Hash32, error) {
	sum := crc32.NewIEEE()
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var again T
	if err := json.Unmarshal(text, &again); err != nil {
		return nil, err
	}
	return sum, json.NewEncoder(sum).Encode(again)
}

func (b *Base) load() error {
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

// baseFile is a base file that is being read.
type baseFile struct {
	fileHeader
	f    *os.File
	sum  hash.Hash32
	tree *tree.Reader
	read int // changes
}

func openBase(file string) (*baseFile, error) {
	f, err := localfs.OpenOwnFile(file, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	b := &baseFile{f: f}
	if err := b.begin(); err != nil {
		f.Close()
		return nil, err
	}
	return b, nil
}

func (b *baseFile) close() { b.f.Close() }

func (b *baseFile) begin() error {
	r := bufio.NewReaderSize(b.f, 64<<10)
	line, err := r.ReadBytes('\n')
	if err != nil {
		return err
	}
	if err := json.Unmarshal(line, &b.fileHeader); err != nil {
		return err
	}
	if b.Format != baseFormat {
		return fmt.Errorf("format %d is not known to this version", b.Format)
	}
	if b.Rows < 0 || b.Unplaced < 0 {
		return errDamaged
	}
	if b.sum, err = b.fileHeader.begin(); err != nil {
		return err
	}
	b.tree = tree.NewReader(io.TeeReader(r, b.sum))
	return nil
}

// room is how many rows are to be expected, if the header is right.
func (b *baseFile) room() int { return min(b.Rows, 1<<20) }

// next gives the rows and then what is unplaced; io.EOF when it was all there,
// and as it was written.
func (b *baseFile) next() (c Change, row bool, err error) {
	c, err = readChange(b.tree)
	if err == io.EOF && (b.sum.Sum32() != b.CRC || b.read != b.Rows+b.Unplaced) {
		err = errDamaged
	}
	b.read++
	return c, b.read <= b.Rows, err
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

// restored says whether the base on disk, with its journal, is of a tree that was
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

// Intact says whether the base on disk is still the one that was loaded or
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
		if err := b.Wake(); err != nil {
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
// from; at rest that is enough, unless it is long.
func (b *Base) advance(d Delta, from int64) error {
	if !b.resting {
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
	if b.journal <= restJournal {
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

// Len is the number of changes.
func (d *Delta) Len() int { return len(d.Changes) + d.Spool.Len() }

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

// sorted are the changes in the order of paths, the last word about each.
func (d *Delta) sorted() []Change {
	inOrder := true
	for i := 1; i < len(d.Changes) && inOrder; i++ {
		inOrder = tree.Compare(d.Changes[i-1].Path, d.Changes[i].Path) < 0
	}
	if inOrder {
		return d.Changes
	}
	changes := slices.Clone(d.Changes)
	slices.SortStableFunc(changes, func(x, y Change) int { return tree.Compare(x.Path, y.Path) })
	last := changes[:0]
	for i := range changes {
		if i+1 == len(changes) || changes[i+1].Path != changes[i].Path {
			last = append(last, changes[i])
		}
	}
	return last
}

// inOrder gives the changes in the order of paths, the last word about each; nil
// at the end. A change is good until the next one is asked for.
func (d *Delta) inOrder() func() (*Change, error) {
	few, spooled := d.sorted(), d.Spool.reader()
	var ahead *Change // of the spool
	ended := false
	return func() (c *Change, err error) {
		if ahead == nil && !ended {
			if ahead, err = spooled(); err != nil {
				return nil, err
			}
			ended = ahead == nil
		}
		if len(few) > 0 && (ahead == nil || tree.Compare(few[0].Path, ahead.Path) < 0) {
			c, few = &few[0], few[1:]
			return c, nil
		}
		c, ahead = ahead, nil
		return c, nil
	}
}

// paths are those of the changes.
func (d *Delta) paths() (map[string]bool, error) {
	paths := map[string]bool{}
	for next := d.inOrder(); ; {
		c, err := next()
		if c == nil || err != nil {
			return paths, err
		}
		paths[c.Path] = true
	}
}

// overlay gives rows with changes over them, in order; nil at the end.
func overlay(rows func() (*Row, error), changes func() (*Change, error)) func() (*Row, error) {
	var row *Row
	var c *Change
	rowsEnded, changesEnded := false, false
	return func() (*Row, error) {
		for {
			var err error
			if row == nil && !rowsEnded {
				if row, err = rows(); err != nil {
					return nil, err
				}
				rowsEnded = row == nil
			}
			if c == nil && !changesEnded {
				if c, err = changes(); err != nil {
					return nil, err
				}
				changesEnded = c == nil
			}
			switch {
			case c == nil || row != nil && tree.Compare(row.Path, c.Path) < 0:
				out := row
				row = nil
				return out, nil
			case row != nil && row.Path == c.Path:
				row = nil
			}
			out := c
			c = nil
			if !out.Gone {
				return &out.Row, nil
			}
		}
	}
}

// each gives changes one by one, nil at the end.
func each(changes []Change) func() (*Change, error) {
	return func() (c *Change, err error) {
		if len(changes) > 0 {
			c, changes = &changes[0], changes[1:]
		}
		return c, nil
	}
}

func searchChanges(changes []Change, path string) (int, bool) {
	return slices.BinarySearchFunc(changes, path, func(c Change, p string) int { return tree.Compare(c.Path, p) })
}

func searchRows(rows []Row, path string) (int, bool) {
	return slices.BinarySearchFunc(rows, path, func(r Row, p string) int { return tree.Compare(r.Path, p) })
}

// Row gives the row of a path, nil when there is none.
func (b *Base) Row(path string) *Row {
	if i, ok := searchRows(b.Rows(), path); ok {
		return &b.rows[i]
	}
	return nil
}

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

// eachRow gives rows one by one, nil at the end.
func eachRow(rows []Row) func() (*Row, error) {
	return func() (row *Row, err error) {
		if len(rows) > 0 {
			row, rows = &rows[0], rows[1:]
		}
		return row, nil
	}
}

// Differences says how remote differs from the rows: what Unplaced shall be.
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
func (b *Base) Save() error { return b.save(b.reader) }

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
	if b.resting && b.counted != nil {
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

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
