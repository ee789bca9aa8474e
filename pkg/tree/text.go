package tree

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The text form of a tree, one line each, tab separated:
//
//	o  KEY                                         names an object; the first is number 0
//	f  MODE MTIME SIZE SUM WHERE LINK TAG PATH …   an entry (kind f, d or l)
//	-  PATH                                        the path is gone (in a delta)
//
// MODE is octal, MTIME nanoseconds, SUM hexadecimal; WHERE is a comma list of
// object:offset:stored:size:codec[:sum]; "" where a column does not apply. LINK and
// PATH are escaped as Escape does. Further columns are decimal numbers whose
// meaning the writer of the file gives. docs/storage.md is the page for
// readers in other languages.

// ErrTooLarge is of a tree that nobody could read again: one of its files, or all of
// them, have too many parts.
var ErrTooLarge = errors.New("the files have more parts than one tree can have")

// Writer writes the text form.
type Writer struct {
	w       *bufio.Writer
	objects map[string]int
	rows    int
	extents int
	line    []byte
}

// NewWriter writes to w; Flush when done.
func NewWriter(w io.Writer) *Writer {
	return &Writer{w: bufio.NewWriterSize(w, 64<<10), objects: map[string]int{}}
}

// Entry writes one entry and its further columns.
func (w *Writer) Entry(e *Entry, more ...int64) error {
	w.rows++
	if w.extents += len(e.Where); w.extents > MaxExtents+w.rows*MaxExtentsPerRow {
		return fmt.Errorf("cannot write the row of %q: %w", e.Path, ErrTooLarge)
	}
	for i := range e.Where {
		key := e.Where[i].Object
		if _, ok := w.objects[key]; !ok {
			w.objects[key] = len(w.objects)
			if _, err := w.w.WriteString("o\t" + key + "\n"); err != nil {
				return err
			}
		}
	}
	b := appendEntry(w.line[:0], e, w.objects)
	for _, n := range more {
		b = strconv.AppendInt(append(b, '\t'), n, 10)
	}
	w.line = append(b, '\n')
	if len(w.line) > MaxLine || len(w.objects) > MaxObjects+w.extents {
		return fmt.Errorf("cannot write the row of %q: %w", e.Path, ErrTooLarge)
	}
	_, err := w.w.Write(w.line)
	return err
}

// appendEntry writes the line of an entry.
func appendEntry(b []byte, e *Entry, objects map[string]int) []byte {
	b = append(b, byte(e.Kind), '\t')
	b = append(strconv.AppendUint(b, uint64(e.Mode), 8), '\t')
	b = append(strconv.AppendInt(b, e.MTime, 10), '\t')
	b = append(strconv.AppendInt(b, e.Size, 10), '\t')
	if e.Sum != (Sum{}) {
		b = hex.AppendEncode(b, e.Sum[:])
	}
	b = append(b, '\t')
	b = appendWhere(b, e.Where, objects)
	b = append(b, '\t')
	b = append(appendEscaped(b, e.Link), '\t')
	b = append(appendEscaped(b, e.Tag), '\t')
	return appendEscaped(b, e.Path)
}

func appendWhere(b []byte, where []Extent, objects map[string]int) []byte {
	for i, x := range where {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(strconv.AppendInt(b, int64(objects[x.Object]), 10), ':')
		b = append(strconv.AppendInt(b, x.Offset, 10), ':')
		b = append(strconv.AppendInt(b, x.Stored, 10), ':')
		b = append(strconv.AppendInt(b, x.Size, 10), ':')
		b = append(b, byte(x.Codec))
		if x.Sum != "" {
			b = hex.AppendEncode(append(b, ':'), []byte(x.Sum))
		}
	}
	return b
}

// Gone writes that a path is not there any more.
func (w *Writer) Gone(path string) error {
	w.line = append(appendEscaped(append(w.line[:0], "-\t"...), path), '\n')
	_, err := w.w.Write(w.line)
	return err
}

// Flush hands everything to the underlying writer.
func (w *Writer) Flush() error { return w.w.Flush() }

// Record is one line read: an entry with its further columns, or a path that
// is gone.
type Record struct {
	Entry
	Gone bool
	Bare bool    // an entry of which the path alone was read: see NextPast
	More []int64 // good until the next record is read
}

// What a text is held to, whoever wrote it: nothing is allocated for more.
const (
	// MaxLine bounds a line in bytes: that of a file with MaxFileExtents, whose texts have
	// some 95 bytes each.
	MaxLine = 32 << 20
	// MaxExtents bounds the extents of a text, beside MaxExtentsPerRow for each of its
	// rows: 600 GB in large files. An extent takes 100 bytes of memory, and may take 10
	// of the text.
	MaxExtents       = 1 << 20
	MaxExtentsPerRow = 64
	// MaxFileExtents bounds the extents of one file: their line is no longer than MaxLine.
	MaxFileExtents = 300_000
	// MaxObjects bounds the objects that are named, beside one for each extent that was
	// read.
	MaxObjects = 1 << 16
	maxKey     = 1 << 10
)

// Reader reads the text form.
type Reader struct {
	r       *bufio.Reader
	objects []string
	numbers map[string]int // of the objects
	rows    int            // that were read
	extents int            // of them
	line    int
	text    []byte // of the record
	would   []byte // be the text of another
	more    []int64
}

// NewReader reads from r.
func NewReader(r io.Reader) *Reader {
	size := 64 << 10
	if m, ok := r.(interface{ Len() int }); ok { // it lies in memory: the steps of a journal are, hundreds for each push
		size = min(size, m.Len())
	}
	return &Reader{r: bufio.NewReaderSize(r, size), numbers: map[string]int{}}
}

// ErrFormat is wrapped by the error for a line that is not of the text form.
var ErrFormat = errors.New("not a tree line")

// Next gives the next record, io.EOF at the end.
func (r *Reader) Next() (Record, error) { return r.NextPast(nil) }

// NextPast is Next, but for entries that are past: of them it reads the path and no more, which
// costs a fraction, and what else their lines hold is not looked at. nil: none are.
func (r *Reader) NextPast(past func(path string) bool) (Record, error) {
	if err := r.Advance(); err != nil {
		return Record{}, err
	}
	if past != nil {
		if path, extents, ok := glance(r.text); ok && past(path) {
			r.rows++
			r.extents += extents // which are what the objects that may be named are counted by
			return Record{Entry: Entry{Path: path}, Bare: true}, nil
		}
	}
	return r.Record()
}

// glance reads the path of an entry, and how many extents it has; false where that is not the
// line of one.
func glance(text []byte) (path string, extents int, ok bool) {
	p := parser{rest: text, more: true}
	for range columnsBeforeWhere {
		p.column()
	}
	if where := p.column(); len(where) > 0 {
		extents = 1 + bytes.Count(where, []byte{','})
	}
	p.column()
	p.column()
	path = p.unescape(p.column())
	return path, extents, p.err == nil && path != ""
}

// columnsBeforeWhere are kind, mode, time, size and sum.
const columnsBeforeWhere = 5

// Advance goes to the next record, io.EOF at the end.
func (r *Reader) Advance() error {
	for {
		if err := r.readLine(); err != nil {
			return err
		}
		r.line++
		key, ok := bytes.CutPrefix(r.text, []byte("o\t"))
		if !ok {
			return nil
		}
		if len(key) > maxKey || len(r.objects) >= MaxObjects+r.extents {
			return fmt.Errorf("cannot read line %d: %w: it names one object too many, or by too long a name", r.line, ErrFormat)
		}
		r.numbers[string(key)] = len(r.objects)
		r.objects = append(r.objects, string(key))
	}
}

// readLine reads a line into text.
func (r *Reader) readLine() error {
	text, err := r.r.ReadSlice('\n')
	r.text = append(r.text[:0], text...)
	for err == bufio.ErrBufferFull {
		if len(r.text) > MaxLine {
			return fmt.Errorf("cannot read line %d: %w: it is longer than %d bytes", r.line+1, ErrFormat, MaxLine)
		}
		text, err = r.r.ReadSlice('\n')
		r.text = append(r.text, text...)
	}
	if err == io.EOF && len(r.text) > 0 {
		return fmt.Errorf("cannot read line %d: %w", r.line+1, io.ErrUnexpectedEOF)
	}
	if err == nil {
		r.text = r.text[:len(r.text)-1]
	}
	return err
}

// Record is the one that Advance went to.
func (r *Reader) Record() (Record, error) {
	rec, err := r.parse(r.text)
	if err != nil {
		return Record{}, fmt.Errorf("cannot read line %d: %w", r.line, err)
	}
	return rec, nil
}

// Is reports whether the record that Advance went to is written as an entry without
// further columns would be. It costs less than Record, and may be false for two
// that are equal.
func (r *Reader) Is(e *Entry) bool {
	for i := range e.Where {
		if _, there := r.numbers[e.Where[i].Object]; !there {
			return false
		}
	}
	r.would = appendEntry(r.would[:0], e, r.numbers)
	return bytes.Equal(r.would, r.text)
}

func (r *Reader) parse(text []byte) (rec Record, err error) {
	if path, ok := bytes.CutPrefix(text, []byte("-\t")); ok {
		rec.Gone = true
		rec.Path, err = Unescape(string(path))
		return rec, err
	}
	p := parser{rest: text, more: true}
	kind := p.column()
	if len(kind) != 1 || !strings.Contains("fdl", string(kind)) {
		return rec, ErrFormat
	}
	rec.Kind = Kind(kind[0])
	rec.Mode = p.mode(p.column())
	rec.MTime = p.number(p.column())
	rec.Size = p.number(p.column())
	rec.Sum = p.sum(p.column())
	r.rows++
	p.room = MaxExtents + r.rows*MaxExtentsPerRow - r.extents
	rec.Where = p.where(p.column(), r.objects)
	r.extents += len(rec.Where)
	rec.Link = p.unescape(p.column())
	rec.Tag = p.unescape(p.column())
	rec.Path = p.unescape(p.column())
	r.more = r.more[:0]
	for p.more {
		r.more = append(r.more, p.number(p.column()))
	}
	if len(r.more) > 0 {
		rec.More = r.more
	}
	if rec.Path == "" {
		p.fail()
	}
	return rec, p.err
}

// parser reads columns. It keeps the first error, so that a line reads as a list
// of them.
type parser struct {
	rest []byte
	more bool // rest is a column, and not the end
	room int  // how many extents may come
	err  error
}

func (p *parser) fail() {
	if p.err == nil {
		p.err = ErrFormat
	}
}

// column is the next one.
func (p *parser) column() (column []byte) {
	if !p.more {
		p.fail()
		return nil
	}
	column = p.rest
	i := bytes.IndexByte(p.rest, '\t')
	if p.more = i >= 0; p.more {
		column, p.rest = p.rest[:i], p.rest[i+1:]
	}
	return column
}

// number is what ParseInt makes of it, which is asked where there is more than some digits: a
// push reads millions of them.
func (p *parser) number(s []byte) int64 {
	var u uint64
	const most = 19 // digits, which fit in 64 bits whatever they are
	plain := len(s) > 0 && len(s) <= most
	for i := 0; plain && i < len(s); i++ {
		digit := s[i] - '0'
		plain, u = digit <= 9, u*10+uint64(digit)
	}
	if plain && u <= math.MaxInt64 {
		return int64(u)
	}
	n, err := strconv.ParseInt(string(s), 10, 64)
	if err != nil {
		p.fail()
	}
	return n
}

func (p *parser) mode(s []byte) uint32 {
	n, err := strconv.ParseUint(string(s), 8, 32)
	if err != nil {
		p.fail()
	}
	return uint32(n)
}

func (p *parser) sum(s []byte) (sum Sum) {
	if len(s) == 0 {
		return sum
	}
	if len(s) != hex.EncodedLen(len(sum)) {
		p.fail()
		return sum
	}
	if _, err := hex.Decode(sum[:], s); err != nil {
		p.fail()
	}
	return sum
}

func (p *parser) unescape(s []byte) string {
	out, err := Unescape(string(s))
	if err != nil {
		p.fail()
	}
	return out
}

func (p *parser) where(s []byte, objects []string) []Extent {
	if len(s) == 0 {
		return nil
	}
	n := 1 + bytes.Count(s, []byte{','})
	if n > p.room {
		p.fail()
		return nil
	}
	out := make([]Extent, 0, n)
	for more := true; more; {
		var part []byte
		part, s, more = bytes.Cut(s, []byte{','})
		x, ok := p.extent(part, objects)
		if !ok {
			p.fail()
			return nil
		}
		out = append(out, x)
	}
	return out
}

// extent reads object:offset:stored:size:codec[:sum].
func (p *parser) extent(s []byte, objects []string) (x Extent, ok bool) {
	var f [6][]byte
	n := 0
	for more := true; more; n++ {
		if n == len(f) {
			return x, false
		}
		f[n], s, more = bytes.Cut(s, []byte{':'})
	}
	object := p.number(f[0])
	if n < 5 || len(f[4]) != 1 || object < 0 || object >= int64(len(objects)) {
		return x, false
	}
	x = Extent{
		Object: objects[object], Offset: p.number(f[1]), Stored: p.number(f[2]),
		Size: p.number(f[3]), Codec: Codec(f[4][0]),
	}
	if n == 6 {
		sum := p.sum(f[5])
		x.Sum = string(sum[:])
	}
	return x, n == 5 || len(f[5]) > 0
}

// Escape writes %XX for control characters, the percent sign and every byte
// that is not part of valid UTF-8; all else stays as it is.
func Escape(s string) string { return string(appendEscaped(nil, s)) }

func appendEscaped(b []byte, s string) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c < 0x20 || c == 0x7f || c == '%' {
				b = appendHex(b, c)
			} else {
				b = append(b, c)
			}
			i++
			continue
		}
		if r, n := utf8.DecodeRuneInString(s[i:]); r != utf8.RuneError || n > 1 {
			b = append(b, s[i:i+n]...)
			i += n
			continue
		}
		b = appendHex(b, c)
		i++
	}
	return b
}

func appendHex(b []byte, c byte) []byte {
	const digits = "0123456789ABCDEF"
	return append(b, '%', digits[c>>4], digits[c&15])
}

// Unescape undoes Escape.
func Unescape(s string) (string, error) {
	if !strings.Contains(s, "%") {
		return s, nil
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b = append(b, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", ErrFormat
		}
		c, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", ErrFormat
		}
		b = append(b, byte(c))
		i += 2
	}
	return string(b), nil
}
