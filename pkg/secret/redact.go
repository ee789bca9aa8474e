package secret

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"sync/atomic"
)

// Redactor hides known values in texts, in whatever form they are written there: as
// they are; in hex and in base64, also as a part of what was encoded; escaped as URLs,
// JSON, XML, programming languages and shells do; and wrapped over lines. It is the one
// place that knows how a secret may look. The zero value, and nil, know none. Many
// goroutines may use one; Set may be called at any time.
type Redactor struct {
	known atomic.Pointer[index]
}

// NewRedactor makes one that knows these values.
func NewRedactor(values ...string) *Redactor {
	r := &Redactor{}
	r.Set(values)
	return r
}

// Set replaces the values to hide. A value of several lines counts line by line;
// lines shorter than MinLength are left out.
func (r *Redactor) Set(values []string) {
	seen := map[string]bool{}
	x := &index{}
	for _, v := range values {
		for line := range strings.SplitSeq(v, "\n") {
			if line = strings.TrimSuffix(line, "\r"); len(line) >= MinLength && !seen[line] {
				seen[line] = true
				x.add(forms(line))
			}
		}
	}
	r.known.Store(x)
}

func (r *Redactor) index() *index {
	if r == nil {
		return nil
	}
	if x := r.known.Load(); x != nil && len(x.forms) > 0 {
		return x
	}
	return nil
}

// Redact returns text with each known value masked; text itself if there is none.
// Values that overlap are masked as one, so that no rest of one is left. Lines stay
// lines.
func (r *Redactor) Redact(text []byte) []byte {
	x := r.index()
	if x == nil {
		return text
	}
	spans, _ := x.find(text, false)
	return mask(text, merge(spans), false)
}

// span is where a value is in a text.
type span struct{ from, to int }

// merge sorts spans, and joins those that overlap.
func merge(found []span) (merged []span) {
	slices.SortFunc(found, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	for _, s := range found {
		if n := len(merged); n > 0 && s.from < merged[n-1].to {
			merged[n-1].to = max(merged[n-1].to, s.to)
			continue
		}
		merged = append(merged, s)
	}
	return merged
}

// mask puts the mark into the place of each span, once in each of its lines. open
// is true when a span at the beginning has its mark already.
func mask(text []byte, spans []span, open bool) []byte {
	if len(spans) == 0 {
		return text
	}
	out := make([]byte, 0, len(text)+len(Redacted))
	end := 0
	for _, s := range spans {
		out = append(out, text[end:s.from]...)
		for line := range bytes.Lines(text[s.from:s.to]) {
			hidden := bytes.TrimSuffix(line, []byte("\n"))
			if len(hidden) > 0 && !open {
				out = append(out, Redacted...)
			}
			out = append(out, line[len(hidden):]...)
			open = false
		}
		end = s.to
	}
	return append(out, text[end:]...)
}

// index finds forms in a text in one pass: few pairs of characters begin one.
type index struct {
	forms   []form
	byFirst [256][]form  // by what may be their first character
	begins  [256]bool    // bytes that a form may begin with, escapes included
	pairs   [1024]uint64 // of what may be their first two characters, a bit for each
}

func (x *index) add(forms []form) {
	for _, c := range []byte(`%&\`) { // anything may be behind them
		x.begins[c] = true
	}
	x.forms = append(x.forms, forms...)
	for _, f := range forms {
		for _, a := range []byte(f[0]) {
			x.begins[a] = true
			if a == ' ' {
				x.begins['+'] = true
			}
			x.byFirst[a] = append(x.byFirst[a], f)
			for _, b := range []byte(f[1]) {
				i := uint16(a)<<8 | uint16(b)
				x.pairs[i>>6] |= 1 << (i & 63)
			}
		}
	}
}

// leastHeld is how much of a form must be at the end of a line for the line to wait
// for the next one: less is at the end of many lines.
const leastHeld = 4

// find gives the places of all forms in text, and from where on text may be the
// beginning of one that continues in what follows. resumed is true when text continues one
// whose last line is out: a form may lack its first characters, which are there.
func (x *index) find(text []byte, resumed bool) (found []span, pending int) {
	pending = len(text)
	if resumed {
		start := indent(text)
		for _, f := range x.forms {
			for skip := 1; skip < leastHeld && len(f)-skip >= wrapped; skip++ {
				found, pending = f[skip:].look(text, start, found, pending)
			}
		}
		if pending < len(text) {
			pending = 0 // with its indent: what is left still begins a line
		}
	}
	var room [8]decoded
	for i, c := range text {
		if !x.begins[c] {
			continue
		}
		if !introduces[c] {
			if x.continues(c, text[i+1:]) { // as nearly nowhere
				found, pending = x.look(c, text, i, found, pending)
			}
			continue
		}
		if cut(text[i:]) {
			pending = min(pending, i)
		}
		for _, r := range decode(room[:0], text[i:]) {
			found, pending = x.look(r.char, text, i, found, pending)
		}
	}
	return found, pending
}

// continues reports whether a form may begin with a character and what is behind it.
func (x *index) continues(first byte, text []byte) bool {
	if len(text) == 0 {
		return true
	}
	if !introduces[text[0]] {
		return x.pair(first, text[0])
	}
	if cut(text) {
		return true
	}
	if n := lineBreak(text); n > 0 && (n == len(text) || introduces[text[n]] || x.pair(first, text[n])) {
		return true
	}
	var room [8]decoded
	for _, r := range decode(room[:0], text) {
		if x.pair(first, r.char) {
			return true
		}
	}
	return false
}

func (x *index) pair(a, b byte) bool {
	i := uint16(a)<<8 | uint16(b)
	return x.pairs[i>>6]&(1<<(i&63)) != 0
}

// look looks for the forms that begin with a character at a place that says it.
func (x *index) look(first byte, text []byte, at int, found []span, pending int) ([]span, int) {
	for _, f := range x.byFirst[first] {
		found, pending = f.look(text, at, found, pending)
	}
	return found, pending
}

// look looks for a form at one place.
func (f form) look(text []byte, at int, found []span, pending int) ([]span, int) {
	end, known, whole := f.match(text, at)
	switch {
	case whole:
		found = append(found, span{at, end})
	case end == len(text) && (known >= leastHeld || bytes.IndexByte(text[at:], '\n') < 0):
		pending = min(pending, at)
	}
	return found, pending
}

// match reads a form at a place of text, to its end or as far as it goes: how many of
// its characters are known then, and whether those are all. What ends with the text
// may go on behind it.
func (f form) match(text []byte, at int) (end, known int, whole bool) {
	// What is not an escape says itself alone: most places are done with after two of them.
	for ; known < len(f) && at < len(text) && !introduces[text[at]]; at, known = at+1, known+1 {
		if strings.IndexByte(f[known], text[at]) < 0 {
			return at, known, false
		}
	}
	if known == len(f) {
		return at, known, true
	}
	return f.unescape(text, at, known)
}

// unescape is match of what follows the first characters, which has escapes.
func (f form) unescape(text []byte, at, known int) (end, _ int, whole bool) {
	var rooms [2][8]int
	ends, next := append(rooms[0][:0], at), rooms[1][:0]
	for k := known; k < len(f); k++ {
		if k > 0 && len(f) >= wrapped {
			ends = breaks(ends, text)
		}
		next = next[:0]
		for _, e := range ends {
			if cut(text[e:]) {
				end = len(text) // the rest of it may come
			}
			next = step(next, text, e, f[k])
		}
		if len(next) == 0 {
			return end, k, false
		}
		ends, next = next, ends
	}
	return slices.Max(ends), len(f), true
}

// cut reports whether a text that ends may be an escape, or a break of lines, that goes on.
func cut(text []byte) bool {
	return len(text) == 0 || len(text) < longestEscape && introduces[text[0]] && bytes.IndexByte(text, '\n') < 0
}

// breaks adds the places behind a break of lines at one of the places.
func breaks(ends []int, text []byte) []int {
	for _, e := range ends {
		if e < len(text) {
			ends = put(ends, e+lineBreak(text[e:]))
		}
	}
	return ends
}

// step adds the places behind one of the wanted characters at e.
func step(next []int, text []byte, e int, want string) []int {
	if e == len(text) {
		return next
	}
	if c := text[e]; !introduces[c] {
		if strings.IndexByte(want, c) >= 0 {
			next = put(next, e+1)
		}
		return next
	}
	var room [8]decoded
	for _, r := range decode(room[:0], text[e:]) {
		if strings.IndexByte(want, r.char) >= 0 {
			next = put(next, e+r.n)
		}
	}
	return next
}

// put adds a place that is not there yet, of a few.
func put(ends []int, e int) []int {
	if len(ends) < cap(ends) && !slices.Contains(ends, e) {
		ends = append(ends, e)
	}
	return ends
}

// Stream redacts a text that comes in pieces, cut anywhere. It keeps back what may
// be the beginning of a value: within a line that is not complete any, at the end of a
// line some characters. One goroutine uses it.
type Stream struct {
	Redactor *Redactor
	held     []byte
	covered  int  // so much of held is of a value that has its mark already
	resumed  bool // held, or what comes, begins a line, and the one before it is out
}

// Next takes a piece, and gives what may be shown by now; valid until the next call,
// as the piece is.
func (s *Stream) Next(piece []byte) []byte {
	x := s.Redactor.index()
	if x == nil && len(s.held) == 0 {
		return piece
	}
	return s.take(x, piece, false)
}

// Keeps reports whether something is kept back.
func (s *Stream) Keeps() bool { return len(s.held) > 0 }

// Flush gives what was kept back: nothing follows.
func (s *Stream) Flush() []byte {
	if len(s.held) == 0 {
		return nil
	}
	return s.take(s.Redactor.index(), nil, true)
}

func (s *Stream) take(x *index, piece []byte, last bool) []byte {
	text := piece
	if len(s.held) > 0 {
		text = append(s.held, piece...)
	}
	if len(text) == 0 {
		return nil
	}
	var spans []span
	end := len(text)
	if x != nil {
		spans, end = x.find(text, s.resumed)
	}
	if s.covered > 0 {
		spans = append(spans, span{0, s.covered})
	}
	if last {
		end = len(text)
	}
	spans = merge(spans)
	covered := 0
	for i, v := range spans {
		if v.to > end { // its mark is out, or comes with the rest
			if spans = spans[:i]; v.from < end || v.from < s.covered {
				spans, covered = append(spans, span{v.from, end}), v.to-end
			}
			break
		}
	}
	clear := mask(text[:end], spans, s.covered > 0)
	s.held, s.covered = append([]byte(nil), text[end:]...), covered
	if end > 0 {
		s.resumed = text[end-1] == '\n'
	}
	return clear
}
