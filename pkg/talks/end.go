package talks

import (
	"bytes"
	"encoding/json"
	"hash/maphash"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/coltec/coltec/pkg/agents"
	"github.com/coltec/coltec/pkg/wholefile"
)

const (
	// windowMost is what is read of either end of a file, in bytes: a line with a picture is
	// larger, and says nothing then.
	windowMost = 256 << 10
	// valuesMost is what one line may have of values.
	valuesMost = 20000
)

// ending is what the last lines of a conversation say.
type ending struct {
	at   time.Time // of the last line that has a time
	open bool      // a turn is under way

	lines lines
}

// lines are what the whole lines say, and where: of a file that grew only what came is read.
type lines struct {
	timed, told int64 // where those begin that tell the time and the turn; -1: none does
	open        bool  // what the second says
	to          int64 // where the last one ends
	before      int64 // how many bytes before that are in sum
	sum         uint64
	first       int64 // how many bytes at the beginning of the file are in start
	start       uint64
}

// followMost is how many bytes before its end, and at its beginning, tell that a file is the one
// that was read, and only grew.
const followMost = 4 << 10

var sumSeed = maphash.MakeSeed()

// readEnd reads the last lines of a file of size bytes.
func readEnd(f file, size int64, turns []agents.Turn) ending {
	from := max(0, size-windowMost)
	b := f.part(from, windowMost)
	if from > 0 { // the first line is a part of one
		part, rest, _ := bytes.Cut(b, []byte("\n"))
		from, b = from+min(int64(len(part))+1, int64(len(b))), rest
	}
	return judge(b, from, turns)
}

// judge tells how a conversation ends whose last lines are given, which begin at a place. A line
// that has no end yet is being written: its turn is under way.
func judge(b []byte, begin int64, turns []agents.Turn) (e ending) {
	n := bytes.LastIndexByte(b, '\n') + 1
	half := len(bytes.TrimSpace(b[n:])) > 0
	e.lines = lines{timed: -1, told: -1, to: begin + int64(n), before: int64(min(n, followMost))}
	e.lines.sum = maphash.Bytes(sumSeed, b[n-int(e.lines.before):n])
	for n > 0 && (e.lines.timed < 0 || e.lines.told < 0 && len(turns) > 0) {
		start := bytes.LastIndexByte(b[:n-1], '\n') + 1
		line := b[start : n-1]
		n = start
		var v map[string]any
		if len(line) == 0 || wholefile.Unmarshal(line, &v, valuesMost) != nil {
			continue
		}
		if text, _ := v["timestamp"].(string); e.lines.timed < 0 && text != "" {
			if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
				e.at, e.lines.timed = at, begin+int64(start)
			}
		}
		if side, _ := v["isSidechain"].(bool); e.lines.told < 0 && !side {
			if open, told := apply(v, turns); told {
				e.lines.open, e.lines.told = open, begin+int64(start)
			}
		}
	}
	e.open = e.lines.open || half && len(turns) > 0
	return e
}

// follow is read of a file that grew since it was read; false where it did more than that.
func (t *talk) follow(f file, turns []agents.Turn, was talk) bool {
	l := was.end.lines
	from := l.to - l.before
	if l.before == 0 || t.size < was.size || t.size-from > windowMost {
		return false
	}
	head := f.part(0, followMost)
	if int64(len(head)) < l.first || maphash.Bytes(sumSeed, head[:l.first]) != l.start {
		return false // its first line was written anew
	}
	b := f.part(from, windowMost)
	if int64(len(b)) < l.before || maphash.Bytes(sumSeed, b[:l.before]) != l.sum {
		return false
	}
	came := b[l.before:]
	t.end = judge(came, l.to, turns)
	now := &t.end.lines
	whole := now.to - from
	now.before = min(whole, followMost)
	now.sum = maphash.Bytes(sumSeed, b[whole-now.before:whole])
	first := t.size - windowMost // as far back as is read
	seen := func(at int64) bool { return at >= 0 && (first <= 0 || at > first) }
	if now.timed < 0 && seen(l.timed) {
		t.end.at, now.timed = was.end.at, l.timed
	}
	if now.told < 0 && seen(l.told) {
		now.open, now.told = l.open, l.told
		t.end.open = t.end.open || l.open
	}
	t.places = foldersIn(came[:max(0, min(int64(len(came)), windowMost-l.to))], slices.Clone(was.places))
	now.begins(head)
	return true
}

// begins notes how the file begins whose end was read.
func (l *lines) begins(head []byte) {
	l.first = min(l.to, followMost, int64(len(head)))
	l.start = maphash.Bytes(sumSeed, head[:l.first])
}

// apply is what the first rule that applies to a line says.
func apply(v map[string]any, turns []agents.Turn) (open, told bool) {
	for _, t := range turns {
		if text, is := field(v, t.At); is && slices.Contains(t.Is, text) {
			return !t.Ends, true
		}
	}
	return false, false
}

func field(v map[string]any, at string) (string, bool) {
	head, rest, deeper := strings.Cut(at, ".")
	if !deeper {
		text, is := v[head].(string)
		return text, is
	}
	in, _ := v[head].(map[string]any)
	return field(in, rest)
}

// foldersIn are the folders that the first lines of a conversation name as where it takes
// place, behind those of a list; none where they name none. A line that has no end yet says
// nothing: it may become another.
func foldersIn(b []byte, list []string) []string {
	b = b[:bytes.LastIndexByte(b, '\n')+1]
	for line := range bytes.SplitSeq(b, []byte("\n")) {
		var v struct {
			Cwd     string `json:"cwd"`
			Payload struct {
				Cwd string `json:"cwd"`
			} `json:"payload"`
			Data struct {
				Context struct {
					Cwd string `json:"cwd"`
				} `json:"context"`
			} `json:"data"`
		}
		if json.Unmarshal(line, &v) != nil { // a half line, or one of another form
			continue
		}
		for _, at := range []string{v.Cwd, v.Payload.Cwd, v.Data.Context.Cwd} {
			if at != "" && !slices.Contains(list, at) {
				list = append(list, at)
			}
		}
	}
	return list
}

// file is one that is read: all that is read of it is of one file, whatever gets its name meanwhile.
type file struct {
	*os.File
	size int64 // when it was opened
}

// open opens a file of lines; ok is false for any other, and where it cannot be read.
func open(home *os.Root, name string) (_ file, ok bool) {
	if path.Ext(name) != ".jsonl" {
		return file{}, false
	}
	f, err := wholefile.OpenIn(home, name)
	if err != nil {
		return file{}, false
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return file{}, false
	}
	return file{f, info.Size()}, true
}

// part is what a file has from a place on, at most so many bytes.
func (f file) part(from, most int64) []byte {
	b := make([]byte, max(0, min(most, f.size-from)))
	n, err := f.ReadAt(b, from)
	if err != nil && err != io.EOF {
		return nil
	}
	return b[:n]
}
