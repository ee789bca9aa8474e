package replica

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/tree"
)

// The steps of writing a base at which a crash test kills the process.
var (
	pointBaseWritten    = killpoint.New("base:written")
	pointBaseRenamed    = killpoint.New("base:renamed")
	pointJournalWritten = killpoint.New("journal:written")
	pointJournalSynced  = killpoint.New("journal:synced")
)

// Dir is the replica's own directory inside its tree. It is never synced.
const Dir = ".coltec"

// baseFormat is the version of the files that hold a base.
const baseFormat = 1

// Header says what a base is the base of.
type Header struct {
	Format     int           `json:"format"`
	Workspace  string        `json:"workspace"` // org/project/env
	Replica    string        `json:"replica"`
	Lineage    string        `json:"lineage"` // of the head that it was agreed with
	Device     uint64        `json:"device"`  // of the root directory
	Inode      uint64        `json:"inode"`
	Epoch      int64         `json:"epoch"`
	Generation int64         `json:"generation"` // the generation that the rows and what is unplaced make up
	Ref        string        `json:"ref"`        // what the head calls that tree: a manifest
	Restored   bool          `json:"restored"`   // all of the generation was placed, or is known to be impossible to place
	Filters    []filter.Rule `json:"filters"`
	// Carries is the hash of our own filters, through which the generation was
	// seen; Filters are those of who made it.
	Carries string `json:"carries,omitempty"`
}

// Row is one path that both sides agreed on: what was agreed, and what this
// file system showed right after. A local change is a difference from what was
// shown.
type Row struct {
	tree.Entry
	Seen Seen
}

// Change is a new row, or the word that a path left the base.
type Change struct {
	Row
	Gone bool
}

// Delta is a step of a base. A nil Header keeps the one there is.
type Delta struct {
	Header  *Header
	Changes []Change
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

	rows    []Row // sorted
	resting bool  // the rows are on the disk alone
	counted Totals
	unsaved bool // the disk does not have what is here

	dir     string
	seq     int64  // of the base file, which its journal names
	journal int64  // bytes of whole steps in the journal
	inode   uint64 // of the base file
	size    int64  // of the base file
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

// baseTemp names a base that is being written; a crash leaves one behind.
const baseTemp = "base-*.tmp"

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
			if b.inode, b.size, err = identify(f.f); err != nil {
				return err
			}
			j, err := b.replay()
			if err != nil {
				return err
			}
			b.journal, b.Pending = j.length, j.pending
			b.apply(j.Delta)
			return nil
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
	f, err := os.Open(file)
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

func inode(s fs.FileInfo) uint64 {
	if st, ok := s.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return 0
}

func identify(f *os.File) (ino uint64, size int64, err error) {
	s, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	return inode(s), s.Size(), nil
}

// LastSettled is when a complete restore or a push was last recorded in the
// tree at path; the zero time when none ever was.
func LastSettled(path string) time.Time {
	b, err := LoadBase(filepath.Join(path, Dir))
	if err != nil || !b.Header.Restored {
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

// Intact says whether the base on disk is still the one that was loaded or
// saved: false after somebody removed it under a running program.
func (b *Base) Intact() bool {
	s, err := os.Lstat(b.file())
	return err == nil && inode(s) == b.inode
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
	if err := b.append(frame{Kind: "apply", Header: d.Header}, d.Changes); err != nil {
		return err
	}
	b.apply(d)
	return b.compact()
}

// Prepare makes a delta durable without making it true.
func (b *Base) Prepare(nonce string, d Delta) error {
	if err := b.append(frame{Kind: "pending", Nonce: nonce, Header: d.Header}, d.Changes); err != nil {
		return err
	}
	b.Pending = &Pending{Nonce: nonce, Delta: d}
	return nil
}

// Resolve makes the pending delta true or drops it.
func (b *Base) Resolve(committed bool) error {
	if b.Pending == nil {
		return nil
	}
	kind := "abort"
	if committed {
		kind = "commit"
	}
	if err := b.append(frame{Kind: kind, Nonce: b.Pending.Nonce}, nil); err != nil {
		return err
	}
	if committed {
		b.apply(b.Pending.Delta)
	}
	b.Pending = nil
	return b.compact()
}

// apply merges a delta into the rows. A change at a path settles what was
// unplaced there.
func (b *Base) apply(d Delta) {
	if d.Header != nil {
		b.Header = *d.Header
	}
	if len(d.Changes) == 0 {
		return
	}
	changes := d.sorted()
	rows := make([]Row, 0, len(b.Rows())+len(changes))
	rest := b.Rows()
	for _, c := range changes {
		n, found := searchRows(rest, c.Path)
		rows = append(rows, rest[:n]...)
		if rest = rest[n:]; found {
			rest = rest[1:]
		}
		if !c.Gone {
			rows = append(rows, c.Row)
		}
	}
	b.rows = append(rows, rest...)
	b.Unplaced = slices.DeleteFunc(b.Unplaced, func(u Change) bool {
		_, settled := slices.BinarySearchFunc(changes, u.Path, func(c Change, p string) int { return tree.Compare(c.Path, p) })
		return settled
	})
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
	rows, un := b.Rows(), b.Unplaced
	for len(rows)+len(un) > 0 {
		switch {
		case len(un) == 0 || len(rows) > 0 && tree.Compare(rows[0].Path, un[0].Path) < 0:
			out, rows = append(out, rows[0].Entry), rows[1:]
			continue
		case len(rows) > 0 && rows[0].Path == un[0].Path:
			rows = rows[1:]
		}
		if !un[0].Gone {
			out = append(out, un[0].Entry)
		}
		un = un[1:]
	}
	return out
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
			if !rows[0].Same(&remote[0]) || !slices.Equal(rows[0].Where, remote[0].Where) ||
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
func (b *Base) Save() error {
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return fmt.Errorf("cannot save base: %w", err)
	}
	tmp, err := os.CreateTemp(b.dir, baseTemp)
	if err != nil {
		return fmt.Errorf("cannot save base: %w", err)
	}
	defer os.Remove(tmp.Name())
	if err := errors.Join(b.write(tmp), tmp.Sync()); err != nil {
		tmp.Close()
		return fmt.Errorf("cannot save base: %w", err)
	}
	pointBaseWritten.Reach()
	inode, size, err := identify(tmp)
	if err := errors.Join(err, tmp.Close(), os.Rename(tmp.Name(), b.file()), syncDir(b.dir)); err != nil {
		return fmt.Errorf("cannot save base: %w", err)
	}
	pointBaseRenamed.Reach()
	b.inode, b.size, b.unsaved = inode, size, false
	// The journal named the sequence of the file before: it counts no more.
	b.journal = 0
	if err := os.Remove(b.journalFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot save base: %w", err)
	}
	return nil
}

func (b *Base) write(f io.Writer) error {
	b.seq++
	w := bufio.NewWriterSize(f, 64<<10)
	h := fileHeader{Header: b.Header, Seq: b.seq, Rows: len(b.Rows()), Unplaced: len(b.Unplaced)}
	sum, err := h.begin()
	if err != nil {
		return err
	}
	// Twice: the checksum stands in the first line, and rows may be many.
	if err := b.writeRows(sum); err != nil {
		return err
	}
	h.CRC = sum.Sum32()
	if err := json.NewEncoder(w).Encode(h); err != nil {
		return err
	}
	return errors.Join(b.writeRows(w), w.Flush())
}

func (b *Base) writeRows(w io.Writer) error {
	t := tree.NewWriter(w)
	for i := range b.rows {
		if err := writeRow(t, &b.rows[i]); err != nil {
			return err
		}
	}
	return errors.Join(writeChanges(t, b.Unplaced), t.Flush())
}

// compactAt is the journal's size from which a base is written anew, or the
// base's own size where that is more, so that a long restore writes what it
// places a few times and not once a batch.
const compactAt = 1 << 20

// compact writes the base anew when the journal has grown, and nothing is
// pending: a pending delta lives in the journal alone. At rest it waits.
func (b *Base) compact() error {
	if b.Pending != nil || b.resting || b.journal < max(compactAt, b.size) {
		return nil
	}
	return b.Save()
}

// frame is the first line of a step in the journal; the rows follow it.
type frame struct {
	Kind   string  `json:"kind"` // apply, pending, commit, abort
	Seq    int64   `json:"seq"`  // of the base file that the journal continues
	Nonce  string  `json:"nonce,omitempty"`
	Header *Header `json:"header,omitempty"`
	Bytes  int     `json:"bytes"` // of the rows
	CRC    uint32  `json:"crc"`   // of this line with a CRC of 0, and of the rows
}

// sum is the checksum of a step.
func (f frame) sum(rows []byte) (uint32, error) {
	f.CRC = 0
	sum, err := checksum(f)
	if err != nil {
		return 0, err
	}
	sum.Write(rows)
	return sum.Sum32(), nil
}

// append writes one step to the journal, durably.
func (b *Base) append(f frame, changes []Change) error {
	var rows bytes.Buffer
	t := tree.NewWriter(&rows)
	if err := errors.Join(writeChanges(t, changes), t.Flush()); err != nil {
		return fmt.Errorf("cannot write journal: %w", err)
	}
	f.Seq, f.Bytes = b.seq, rows.Len()
	sum, err := f.sum(rows.Bytes())
	if err != nil {
		return fmt.Errorf("cannot write journal: %w", err)
	}
	f.CRC = sum
	line, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("cannot write journal: %w", err)
	}
	j, err := os.OpenFile(b.journalFile(), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("cannot write journal: %w", err)
	}
	defer j.Close()
	step := append(append(line, '\n'), rows.Bytes()...)
	// At the end of what is known to be whole: a step that a full disk cut
	// before is overwritten.
	n, err := j.WriteAt(step, b.journal)
	pointJournalWritten.Reach()
	if err == nil {
		err = errors.Join(j.Truncate(b.journal+int64(n)), j.Sync())
	}
	if err != nil {
		return fmt.Errorf("cannot write journal: %w", err)
	}
	pointJournalSynced.Reach()
	if b.journal == 0 {
		if err := syncDir(b.dir); err != nil {
			return fmt.Errorf("cannot write journal: %w", err)
		}
	}
	b.journal += int64(n)
	return nil
}

// replayed is what the whole steps of a journal come to.
type replayed struct {
	Delta
	pending *Pending
	length  int64 // bytes of whole steps
}

// replay reads the journal's whole steps. A step that was cut by a crash is the
// last one, and is dropped.
func (b *Base) replay() (r replayed, err error) {
	data, err := os.ReadFile(b.journalFile())
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	for err == nil {
		n, ok := r.step(data[r.length:], b.seq)
		if !ok {
			break
		}
		r.length += n
	}
	return r, err
}

// step takes the journal step at the front of data in and gives its length.
func (r *replayed) step(data []byte, seq int64) (int64, bool) {
	line, rest, ok := bytes.Cut(data, []byte{'\n'})
	var f frame
	if !ok || json.Unmarshal(line, &f) != nil || f.Seq != seq || f.Bytes < 0 || len(rest) < f.Bytes {
		return 0, false
	}
	rows := rest[:f.Bytes]
	if sum, err := f.sum(rows); err != nil || sum != f.CRC {
		return 0, false
	}
	changes, err := readChanges(bytes.NewReader(rows))
	if err != nil {
		return 0, false
	}
	d := Delta{Header: f.Header, Changes: changes}
	switch f.Kind {
	case "apply":
		r.add(d)
	case "pending":
		r.pending = &Pending{Nonce: f.Nonce, Delta: d}
	case "commit":
		if r.pending != nil && r.pending.Nonce == f.Nonce {
			r.add(r.pending.Delta)
		}
		r.pending = nil
	case "abort":
		r.pending = nil
	}
	return int64(len(line) + 1 + f.Bytes), true
}

// add makes the delta one with a later one.
func (d *Delta) add(later Delta) {
	if later.Header != nil {
		d.Header = later.Header
	}
	d.Changes = append(d.Changes, later.Changes...)
}

func writeRow(t *tree.Writer, r *Row) error {
	mount := int64(0)
	if r.Seen.Mount {
		mount = 1
	}
	return t.Entry(&r.Entry, int64(r.Seen.Mode), r.Seen.Size, r.Seen.MTime, r.Seen.CTime, int64(r.Seen.Inode), mount)
}

func writeChanges(t *tree.Writer, changes []Change) error {
	for i := range changes {
		var err error
		if c := &changes[i]; c.Gone {
			err = t.Gone(c.Path)
		} else {
			err = writeRow(t, &c.Row)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func readChanges(r io.Reader) ([]Change, error) {
	var out []Change
	for t := tree.NewReader(r); ; {
		c, err := readChange(t)
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
}

func readChange(t *tree.Reader) (Change, error) {
	rec, err := t.Next()
	if err != nil {
		return Change{}, err
	}
	c := Change{Row: Row{Entry: rec.Entry}, Gone: rec.Gone}
	if m := rec.More; len(m) == 6 {
		c.Seen = Seen{uint32(m[0]), m[1], m[2], m[3], uint64(m[4]), m[5] == 1}
	} else if !c.Gone {
		return Change{}, tree.ErrFormat
	}
	return c, nil
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
