package terminal

import (
	"bytes"
	"hash/maphash"
	"io"
	"strconv"
	"strings"
)

const (
	// lineMost is what one line may have of bytes before it is ended: a program that draws
	// without end fills no memory.
	lineMost = 8 << 10
	// seenMost is how many lines are remembered, so that one that is drawn again, as all are
	// with each change of a screen, is not written again: some screens.
	seenMost = 4 * Lines
	// sequenceMost is what a sequence may have of bytes before it counts as none.
	sequenceMost = 4 << 10
)

// Screen makes lines of what a program draws: colours and the like are left out, and a line that
// was drawn a moment ago already is too. It answers the questions that a program asks its
// terminal, which some wait for. It is used by one goroutine.
type Screen struct {
	out    io.Writer // gets whole lines
	typed  io.Writer // to the program; a failed write is an answer that is lost
	line   []byte
	escape []byte // a sequence that has begun, with its first byte
	seed   maphash.Seed
	seen   map[uint64]bool
	order  []uint64 // of seen, the oldest first
}

// NewScreen makes one that writes lines to out and answers to typed.
func NewScreen(out, typed io.Writer) *Screen {
	return &Screen{out: out, typed: typed, seed: maphash.MakeSeed(), seen: map[uint64]bool{}}
}

const escape = 0x1b

// Write takes what a program draws, cut anywhere. It always succeeds.
func (s *Screen) Write(p []byte) (int, error) {
	for _, c := range p {
		switch {
		case len(s.escape) > 0:
			s.escape = append(s.escape, c)
			s.sequence()
		case c == escape:
			s.escape = append(s.escape, c)
		case c == '\n' || c == '\r':
			s.end()
		case c == '\t':
			s.line = append(s.line, ' ')
		case c == '\b':
			s.line = s.line[:max(0, len(s.line)-1)]
		case c >= ' ' && c != 0x7f:
			s.line = append(s.line, c)
		}
		if len(s.line) >= lineMost {
			s.end()
		}
	}
	return len(p), nil
}

// Flush writes the line that was begun.
func (s *Screen) Flush() { s.end() }

// end writes a line, unless it is empty or was written a moment ago.
func (s *Screen) end() {
	line := bytes.TrimRight(s.line, " ")
	s.line = s.line[:0]
	if len(line) == 0 {
		return
	}
	sum := maphash.Bytes(s.seed, line)
	if s.seen[sum] {
		return
	}
	if len(s.order) == seenMost {
		delete(s.seen, s.order[0])
		s.order = s.order[1:]
	}
	s.seen[sum], s.order = true, append(s.order, sum)
	_, _ = s.out.Write(append(line, '\n'))
}

// sequence does what the sequence says that was begun, once it is whole.
func (s *Screen) sequence() {
	e, last := s.escape, s.escape[len(s.escape)-1]
	switch kind := e[1]; {
	case len(e) > sequenceMost:
	case kind == '[' && (len(e) == 2 || last < '@' || last > '~'):
		return // it goes on
	case kind == '[':
		s.control(string(e[2:len(e)-1]), last)
	case strings.IndexByte("]P_^X", kind) >= 0: // a text, until the bell or ESC \
		if last != '\a' && !bytes.HasSuffix(e[2:], []byte{escape, '\\'}) {
			return
		}
		s.command(strings.TrimRight(string(e[1:]), "\a\x1b\\"))
	case kind >= ' ' && kind <= '/' && len(e) < 3:
		return // one more says which
	}
	s.escape = s.escape[:0]
}

// control does a sequence with parameters: a move to another line ends one, and a question is
// answered.
func (s *Screen) control(parameters string, kind byte) {
	switch kind {
	case 'A', 'B', 'E', 'F', 'H', 'f', 'd', 'J':
		s.end()
	case 'C', 'G': // to the right; to a column, of which nobody knows how far it is
		n, err := strconv.Atoi(parameters)
		if err != nil || kind == 'G' {
			n = 1
		}
		s.line = append(s.line, strings.Repeat(" ", min(max(n, 1), Columns))...)
	case 'n':
		switch parameters {
		case "5":
			s.answer("\x1b[0n")
		case "6":
			s.answer("\x1b[1;1R")
		}
	case 'c':
		if parameters == "" || parameters == "0" {
			s.answer("\x1b[?62;22c")
		}
	}
}

// command answers a question for a colour.
func (s *Screen) command(text string) {
	switch text {
	case "]10;?":
		s.answer("\x1b]10;rgb:ffff/ffff/ffff\x1b\\")
	case "]11;?":
		s.answer("\x1b]11;rgb:0000/0000/0000\x1b\\")
	}
}

func (s *Screen) answer(text string) { _, _ = io.WriteString(s.typed, text) }
