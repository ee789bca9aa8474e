package store

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/wholefile"
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
	Older      *Older        `json:"older,omitempty"`
}

// writeManifest writes a manifest of so many rows: all of them, or with base the ones
// of d.
func writeManifest(w io.Writer, p Publication, rows int, base string, d *difference, now time.Time) error {
	packed := &counted{Writer: w}
	z, err := zstd.NewWriter(packed, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(1<<20))
	if err != nil {
		return err
	}
	h := manifestHeader{
		Format: manifestFormat, Workspace: p.Workspace, Replica: p.Replica, Epoch: p.Epoch, Generation: p.Generation,
		Time: now.UTC(), Filters: p.Filters, Base: base, Rows: rows, Older: p.Older,
	}
	line, err := h.encode()
	if err != nil {
		return err
	}
	text := &counted{Writer: z}
	if _, err := text.Write(line); err != nil {
		return err
	}
	t, lines := tree.NewWriter(text), rows
	if base != "" {
		lines = len(d.lines)
		err = d.write(t)
	} else {
		err = writeTree(t, p.Entries, rows)
	}
	if err := errors.Join(err, t.Flush(), z.Close()); err != nil {
		return err
	}
	return pad(packed, text.n, int64(lines))
}

// counted counts what is written.
type counted struct {
	io.Writer
	n int64
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.Writer.Write(b)
	c.n += int64(n)
	return n, err
}

// pad makes a manifest as large as a reader wants it to be for what it unpacks to. A tree
// of very many equal rows, or a file of very many equal parts, packs into less.
func pad(packed *counted, text, lines int64) error {
	least := max((text-maxRatioFixed)/maxRatio, (lines-rowsFixed)/rowsPerByte) + 1
	if least <= packed.n {
		return nil
	}
	frame := make([]byte, 8+least-packed.n)
	binary.LittleEndian.PutUint32(frame, 0x184D2A50) // a frame that decoders skip
	binary.LittleEndian.PutUint32(frame[4:], uint32(len(frame)-8))
	_, err := packed.Write(frame)
	return err
}

// encode makes the first line. Of the older paths it names as many as it can have: all are
// counted.
func (h *manifestHeader) encode() ([]byte, error) {
	if err := h.check(); err != nil {
		return nil, fmt.Errorf("cannot write the manifest: %w", err)
	}
	for {
		line, err := json.Marshal(h)
		if err != nil || len(line) < maxHeader && wholefile.Values(line) <= manifestValues {
			return append(line, '\n'), err
		}
		if h.Older == nil || len(h.Older.Paths) == 0 {
			return nil, hint.Wrap(fmt.Errorf("cannot write the manifest: its first line has %d bytes, and may have %d", len(line), maxHeader), "have fewer or shorter filters")
		}
		fewer := *h.Older
		fewer.Paths = fewer.Paths[:len(fewer.Paths)/2]
		h.Older = &fewer
	}
}

func writeTree(w *tree.Writer, entries iter.Seq2[*tree.Entry, error], rows int) error {
	for e, err := range entries {
		if err == nil {
			err = w.Entry(e)
		}
		if err != nil {
			return err
		}
		rows--
	}
	if rows != 0 {
		return fmt.Errorf("internal error: a tree has %d rows less than it had a moment ago", rows)
	}
	return nil
}

// manifest is one being read. Its bytes are those that its name promises, so what is
// wrong in it was written so: see [impossible].
type manifest struct {
	manifestHeader
	file *os.File
	zstd *zstd.Decoder
	rows *tree.Reader
	last string // path
	read int    // rows
	most int    // of them
}

// openManifest reads the header of a manifest's file.
func openManifest(file string) (_ *manifest, err error) {
	m := &manifest{}
	if m.file, err = os.Open(file); err != nil {
		return nil, err
	}
	if err = m.open(); err != nil {
		m.close()
		return nil, impossible(err)
	}
	return m, nil
}

func (m *manifest) open() error {
	info, err := m.file.Stat()
	if err != nil {
		return err
	}
	m.zstd, err = zstd.NewReader(m.file, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return err
	}
	m.most = int(min(MaxRows, rowsFixed+rowsPerByte*info.Size()))
	r := bufio.NewReaderSize(&limited{r: m.zstd, left: maxRatioFixed + maxRatio*info.Size()}, 64<<10)
	line, err := readHeader(r)
	if err != nil {
		return fmt.Errorf("no header: %w", err)
	}
	if err := wholefile.Unmarshal(line, &m.manifestHeader, manifestValues); err != nil {
		return fmt.Errorf("no header: %w", err)
	}
	m.rows = tree.NewReader(r)
	return m.check()
}

// check refuses a header that no coltecd writes.
func (h *manifestHeader) check() error {
	switch {
	case h.Format != manifestFormat:
		return fmt.Errorf("format %d %w", h.Format, errLater)
	case h.Base != "" && !IsManifest(h.Base):
		return fmt.Errorf("it claims to be a delta of %s, which is not a manifest", short(h.Base))
	case h.Rows < 0 || h.Rows > MaxRows:
		return fmt.Errorf("it claims %d rows", h.Rows)
	case h.Epoch < 0 || h.Epoch > maxNumber || h.Generation < 0 || h.Generation > maxNumber:
		return fmt.Errorf("it is of generation %d of epoch %d", h.Generation, h.Epoch)
	case h.Older != nil && (h.Older.Count < len(h.Older.Paths) || len(h.Older.Paths) > olderMost):
		return fmt.Errorf("it names %d of %d older paths", len(h.Older.Paths), h.Older.Count)
	}
	return nil
}

// readHeader reads the first line.
func readHeader(r *bufio.Reader) (line []byte, err error) {
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxHeader:
			return nil, fmt.Errorf("it is longer than %d bytes", maxHeader)
		case err != bufio.ErrBufferFull:
			return line, err
		}
	}
}

// limited fails where more comes than can be.
type limited struct {
	r    io.Reader
	left int64
}

func (l *limited) Read(b []byte) (int, error) {
	n, err := l.r.Read(b)
	if l.left -= int64(n); l.left < 0 {
		return 0, errors.New("unpacked it has more bytes than what is packed into so few")
	}
	return n, err
}

func (m *manifest) close() {
	if m.zstd != nil {
		m.zstd.Close()
	}
	m.file.Close()
}

// next gives the next row, nil at the end.
func (m *manifest) next() (*tree.Record, error) {
	if more, err := m.advance(); !more {
		return nil, err
	}
	return m.row()
}

// advance goes to the next row, and reports whether there is one.
func (m *manifest) advance() (bool, error) {
	err := m.rows.Advance()
	if m.read++; err == nil && m.read > m.most {
		err = fmt.Errorf("it has more than %d rows", m.most)
	}
	return err == nil, impossible(ignoreEOF(err))
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
	if err == nil {
		err = m.follows(&rec)
	}
	if err != nil {
		return nil, impossible(err)
	}
	return &rec, nil
}

// follows refuses a row that cannot stand where it does.
func (m *manifest) follows(rec *tree.Record) error {
	if m.last != "" && tree.Compare(m.last, rec.Path) >= 0 {
		return fmt.Errorf("the row of %s is out of order", short(rec.Path))
	}
	m.last = rec.Path
	switch {
	case !rec.Gone:
		return checkEntry(&rec.Entry)
	case m.Base == "":
		return fmt.Errorf("%s is gone from nothing", short(rec.Path))
	}
	return nil
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
	t := &Tree{Filters: m.Filters, Base: m.Base, Older: m.Older}
	var misplaced error
	var place placing
	rows := 0
	err := merge(m, full, func(e *tree.Entry) {
		if rows++; Capital(e.Path) {
			t.Capitals++
			return
		}
		if err := place.next(e); misplaced == nil {
			misplaced = err
		}
		t.Entries = append(t.Entries, *e)
	})
	if err == nil && rows != m.Rows {
		err = fmt.Errorf("%d rows where %d were written", rows, m.Rows)
	}
	if err = errors.Join(err, misplaced); err != nil {
		return nil, impossible(err)
	}
	return t, nil
}

// placing holds the entries of a tree, in order, to that all above them are directories.
type placing struct{ leaf []byte } // the last file or link, a copy: entries are good until the next

func (p *placing) next(e *tree.Entry) error {
	if n := len(p.leaf); n > 0 && len(e.Path) > n && e.Path[n] == '/' && e.Path[:n] == string(p.leaf) {
		return fmt.Errorf("%s is below %s, which is not a directory", short(e.Path), short(string(p.leaf)))
	}
	if e.Kind != tree.Dir {
		p.leaf = append(p.leaf[:0], e.Path...)
	}
	return nil
}

// merge gives the rows of a tree in order.
func merge(m, full *manifest, each func(*tree.Entry)) error {
	old := func() (*tree.Record, error) { return nil, nil }
	if full != nil {
		if full.Base != "" {
			return fmt.Errorf("it differs from %s, which differs from another", m.Base)
		}
		if full.Workspace != m.Workspace || full.Replica != m.Replica {
			return fmt.Errorf("it differs from %s, which is of replica %s of %s", m.Base, short(full.Replica), short(full.Workspace))
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
	count
}

// count is how much a tree is.
type count struct {
	rows         int
	files, bytes int64 // of files and links
}

func (c *count) add(e *tree.Entry) { c.change(e, 1) }

func (c *count) remove(e *tree.Entry) { c.change(e, -1) }

func (c *count) change(e *tree.Entry, n int) {
	c.rows += n
	if e.Kind != tree.Dir {
		c.files += int64(n)
		c.bytes += int64(n) * e.Size
	}
}

// measure counts a tree.
func measure(entries iter.Seq2[*tree.Entry, error]) (c count, err error) {
	for e, err := range entries {
		if err != nil {
			return c, err
		}
		c.add(e)
	}
	return c, nil
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
func differ(full *manifest, entries iter.Seq2[*tree.Entry, error], limit int) (*difference, error) {
	d := &difference{}
	c := comparison{full: full, d: d}
	if err := c.advance(); err != nil {
		return nil, err
	}
	for e, err := range entries {
		if err == nil {
			d.add(e)
			err = c.take(e)
		}
		if err != nil {
			return nil, err
		}
		if len(d.lines) > limit {
			return nil, nil
		}
	}
	if err := c.rest(limit); err != nil || len(d.lines) > limit {
		return nil, err
	}
	return d, nil
}

// comparison goes through a full manifest beside a tree.
type comparison struct {
	full *manifest
	d    *difference
	more bool         // the manifest is at a row
	was  *tree.Record // the row, once it was read
}

func (c *comparison) advance() (err error) {
	c.was = nil
	c.more, err = c.full.advance()
	return err
}

// row reads the row that the manifest is at.
func (c *comparison) row() (_ *tree.Record, err error) {
	if c.was == nil {
		c.was, err = c.full.row()
	}
	return c.was, err
}

// take compares the next entry.
func (c *comparison) take(e *tree.Entry) error {
	for c.more {
		if c.was == nil && c.full.rows.Is(e) {
			c.full.last = e.Path
			return c.advance()
		}
		was, err := c.row()
		if err != nil {
			return err
		}
		n := tree.Compare(was.Path, e.Path)
		if n > 0 {
			break
		}
		if n == 0 && sameRow(&was.Entry, e) {
			return c.advance()
		}
		if n == 0 {
			c.d.has(e)
			return c.advance()
		}
		c.d.lines = append(c.d.lines, differing{path: was.Path})
		if err := c.advance(); err != nil {
			return err
		}
	}
	c.d.has(e)
	return nil
}

// has notes a row that the tree has.
func (d *difference) has(e *tree.Entry) {
	row := *e // the next entry takes its place
	d.lines = append(d.lines, differing{row.Path, &row})
}

// rest notes what is left of the manifest as gone.
func (c *comparison) rest(limit int) error {
	for c.more && len(c.d.lines) <= limit {
		was, err := c.row()
		if err != nil {
			return err
		}
		c.d.lines = append(c.d.lines, differing{path: was.Path})
		if err := c.advance(); err != nil {
			return err
		}
	}
	return nil
}

// sameRow reports whether two rows of a path are written alike.
func sameRow(a, b *tree.Entry) bool {
	return a.Kind == b.Kind && a.Mode == b.Mode && a.MTime == b.MTime && a.Size == b.Size && a.Sum == b.Sum &&
		a.Link == b.Link && a.Tag == b.Tag && slices.Equal(a.Where, b.Where)
}

// fullOne is a full manifest.
type fullOne struct {
	rows       int
	generation int64
}

// largest is how many lines a difference from a full manifest may have in a
// generation. A quarter of its rows: a reader fetches both. And not
// so many, generation after generation, that they come to twice its rows, which
// is when a new one costs less.
func (w fullOne) largest(generation int64) int {
	return min(w.rows/4, int(2*int64(w.rows)/max(generation-w.generation, 1)))
}

// IsManifest reports whether a key is one that manifests have.
func IsManifest(ref string) bool {
	name, ok := strings.CutPrefix(ref, "m/")
	return ok && len(ref) <= tree.MaxName && tree.ValidPath(ref) && !strings.Contains(name, "/")
}

// manifestGeneration is the generation that a manifest was written for; 0 for what is none.
func manifestGeneration(ref string) int64 {
	var epoch, generation int64
	if n, _ := fmt.Sscanf(ref, "m/%d-%d-", &epoch, &generation); n != 2 {
		return 0
	}
	return generation
}

// ManifestEpoch is the epoch that a manifest was written in; 0 for what is none.
func ManifestEpoch(ref string) int64 {
	var epoch int64
	if n, _ := fmt.Sscanf(ref, "m/%d-", &epoch); n != 1 || epoch > maxNumber {
		return 0
	}
	return epoch
}
