package localfs

import (
	"errors"
	"io"
	"path"
	"slices"
	"strings"
	"time"
)

// Files of lines of JSON that programs append to, as agents keep their sessions: a last
// line of which only the beginning is there is left out while its writer is about it:
// docs/decisions/027.
const (
	// LinesRest is for how long nobody has written a file when it counts as at rest: then it
	// goes as it is, whatever it ends in.
	LinesRest = 10 * time.Second
	// lineMost bounds how far the beginning of a last line is looked for, in bytes. One that
	// is longer is not waited for.
	lineMost = 64 << 20
	// linePause is how long a last line is waited for: who writes a long one is done then.
	linePause = 10 * time.Millisecond
	// lineBlock is what is read at once of a line.
	lineBlock = 64 << 10
)

// ToTheEnd, for how much of a file is agreed on, has all of it read, whatever it ends in.
const ToTheEnd = -1

// ErrUnfinished is the error where nothing of a file is new but the beginning of its last
// line.
var ErrUnfinished = errors.New("its last line is not whole yet")

// Tail is what is not read of a file: the beginning of its last line.
type Tail struct {
	Bytes int64
	Rests time.Time // when it goes as it is, if nobody writes until then; zero: there is none
}

// lineNames are how the names of files end in which each line is JSON.
var lineNames = []string{".jsonl", ".ndjson", ".jsonlines"}

// wholeLines is how many bytes of a file are to be read: all but the beginning of a last
// line of JSON that somebody is writing. That its lines are JSON its name says, or its first
// byte and the line before the last one.
func wholeLines(f io.ReaderAt, name string, seen Seen, now time.Time) (int64, error) {
	if seen.Size == 0 || now.Sub(time.Unix(0, seen.MTime)).Abs() >= LinesRest {
		return seen.Size, nil
	}
	named := slices.Contains(lineNames, strings.ToLower(path.Ext(name)))
	if !named && !beginsAsJSON(f) {
		return seen.Size, nil
	}
	last, err := lineStart(f, seen.Size)
	if err != nil || last < 0 || last == seen.Size {
		return seen.Size, err
	}
	is, err := formOf(f, last, seen.Size)
	if err != nil || is != half && !(named && is == scalar) {
		return seen.Size, err
	}
	if named {
		return last, nil
	}
	before := int64(-1)
	if last > 0 {
		before, err = lineStart(f, last-1)
	}
	if err != nil || before < 0 {
		return seen.Size, err
	}
	if is, err = formOf(f, before, last-1); err != nil || is != object {
		return seen.Size, err
	}
	return last, nil
}

// beginsAsJSON reports whether a file begins with an object or a list of JSON.
func beginsAsJSON(f io.ReaderAt) bool {
	b := make([]byte, 1)
	n, _ := f.ReadAt(b, 0)
	return n == 1 && (b[0] == '{' || b[0] == '[')
}

// lineStart is where the line begins that ends at a place in a file; -1 for one that is too
// long.
func lineStart(f io.ReaderAt, end int64) (int64, error) {
	b := make([]byte, min(lineBlock, end))
	for to := end; to > 0; {
		from := max(to-int64(len(b)), 0)
		part := b[:to-from]
		if err := readFull(f, part, from); err != nil {
			return 0, err
		}
		for i := len(part) - 1; i >= 0; i-- {
			if part[i] == '\n' {
				return from + int64(i) + 1, nil
			}
		}
		if to = from; end-to > lineMost {
			return -1, nil
		}
	}
	return 0, nil
}

// readFull reads a part of a file that is there. One that is cut short moves.
func readFull(f io.ReaderAt, b []byte, at int64) error {
	n, err := f.ReadAt(b, at)
	switch {
	case n == len(b):
		return nil
	case err == nil || err == io.EOF:
		return FileError{ErrMoved}
	}
	return FileError{err}
}

// form is what a line is.
type form int

const (
	other  form = iota // no JSON
	half               // the beginning of an object, a list or a text, or nothing but space
	scalar             // a number or a word: what follows may be of it
	object             // an object or a list, or a text, whole
)

// formOf says what a part of a file is as a line of JSON, by its brackets and quotes.
func formOf(f io.ReaderAt, from, to int64) (form, error) {
	s := scanner{is: half}
	b := make([]byte, min(lineBlock, to-from))
	for at := from; at < to && s.is != other; at += int64(len(b)) {
		b = b[:min(int64(len(b)), to-at)]
		if err := readFull(f, b, at); err != nil {
			return other, err
		}
		s.read(b)
	}
	return s.is, nil
}

// scanner reads a line that may be JSON. It tells whether that ends, and not whether it is
// valid.
type scanner struct {
	is            form
	depth         int // of brackets
	text, escaped bool
}

func (s *scanner) read(b []byte) {
	for _, c := range b {
		if s.text {
			s.inText(c)
		} else {
			s.outside(c)
		}
		if s.is == other {
			return
		}
	}
}

func (s *scanner) inText(c byte) {
	switch {
	case c < ' ':
		s.is = other
	case s.escaped:
		s.escaped = false
	case c == '\\':
		s.escaped = true
	case c == '"':
		s.text = false
		if s.depth == 0 {
			s.is = object
		}
	}
}

func (s *scanner) outside(c byte) {
	word := strings.IndexByte("+-.0123456789EINaefilnrstuy", c) >= 0
	switch {
	case c == ' ', c == '\t', c == '\r':
	case s.is == object, s.is == scalar && !word:
		s.is = other // something follows what was all
	case c == '"':
		s.text = true
	case c == '{', c == '[':
		s.depth++
	case c == '}', c == ']':
		if s.depth--; s.depth == 0 {
			s.is = object
		} else if s.depth < 0 {
			s.is = other
		}
	case s.depth == 0 && word:
		s.is = scalar
	case s.depth == 0, !word && c != ':' && c != ',':
		s.is = other
	}
}
