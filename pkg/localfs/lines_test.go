package localfs

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A file of JSON lines is read to the end of a line, unless it is at rest; all else is read
// to its last byte.
func TestWholeLines(t *testing.T) {
	now := time.Unix(1000, 0)
	long := `{"text":"` + strings.Repeat("é\\\"x", 3*lineBlock) + `"}` + "\n"
	for _, tt := range []struct {
		name, body string
		age        time.Duration // since it was written
		tail       string        // what is not read
	}{
		{name: "a.jsonl", body: "{\"n\":1}\n"},
		{name: "a.jsonl", body: "{\"n\":1}\n{\"n\":", tail: `{"n":`},
		{name: "a.JSONL", body: "{\"n\":1}\n{", tail: "{"},
		{name: "a.ndjson", body: `{"n":`, tail: `{"n":`},
		{name: "a.jsonl", body: "{\"n\":1}\n{\"n\":2}"}, // who reads it can read all
		{name: "a.jsonl", body: "{\"n\":1}\r\n{\"n\":2}\r"},
		{name: "a.jsonl", body: "{\"n\":1}\r\n{\"n\":2\r", tail: "{\"n\":2\r"},
		{name: "a.jsonl", body: "{\"n\":1}\r\n{\"n\":", tail: `{"n":`},
		{name: "a.jsonl", body: "{\"n\":1}\n  ", tail: "  "},
		{name: "a.jsonl", body: "{\"n\":1}\n{\"t\":\"}\\\"", tail: `{"t":"}\"`},
		{name: "a.jsonl", body: "{\"n\":1}\n{\"t\":\"\xc3", tail: "{\"t\":\"\xc3"}, // half a character
		{name: "a.jsonl", body: "1\n2\n12", tail: "12"},                            // of 123, for all we know
		{name: "a.jsonl", body: "1\n\"tex", tail: `"tex`},
		{name: "a.jsonl", body: "1\n\"text\""},
		{name: "a.jsonl", body: long + long[:len(long)-2], tail: long[:len(long)-2]},
		{name: "a.jsonl", body: long + long},
		{name: "a.jsonl", body: "{\"n\":1}\n{\"n\":", age: LinesRest},
		{name: "a.jsonl", body: "{\"n\":1}\n{\"n\":", age: LinesRest - time.Millisecond, tail: `{"n":`},
		{name: "a.jsonl", body: "{\"n\":1}\n{\"n\":", age: -time.Hour}, // of another clock
		{name: "a.jsonl", body: "{\"n\":1}\nnot JSON"},
		{name: "a.jsonl", body: "{\"n\":1}\n{\"n\":1}{\"n\":"},
		{name: "a.jsonl", body: "{\"n\":1}\n{\"t\":\"\x00"},
		{name: "a.jsonl", body: "{\"n\":1}\n}"},
		{name: "a.jsonl", body: ""},

		{name: "events.log", body: "{\"n\":1}\n{\"n\":2}\n{\"n\":", tail: `{"n":`},
		{name: "session", body: "{\"n\":1}\n{\"n\":", tail: `{"n":`},
		{name: "events.log", body: `{"n":`}, // it may be anything
		{name: "events.log", body: "12:00 {\"n\":1}\n{\"n\":"},
		{name: "events.log", body: "{\"n\":1}\n12:00 started\n{\"n\":"},
		{name: "events.log", body: "{\"n\":1}\nstar"},
		{name: "pretty.json", body: "{\n  \"a\": [\n    {}"},
		{name: "list.json", body: "[\n{\"n\":1},\n{\"n\":"},
		{name: "head.bin", body: "{\"n\":1}\n\x00\x01\x02"},
		{name: "head.bin", body: "{\"n\":1}\n\x00\x01\n{\"n\":"},
		{name: "note.md", body: "[1]\n[link](x"},
		{name: "main.go", body: "package main\n\nfunc main() {"},
	} {
		seen := Seen{Size: int64(len(tt.body)), MTime: now.Add(-tt.age).UnixNano()}
		got, err := wholeLines(strings.NewReader(tt.body), "d/"+tt.name, seen, now)
		if want := seen.Size - int64(len(tt.tail)); got != want || err != nil {
			t.Errorf("of %s with %.40q, %v old, %d bytes are read, want %d; %v", tt.name, tt.body, tt.age, got, want, err)
		}
	}
	if _, err := wholeLines(strings.NewReader("{}\n{"), "a.jsonl", Seen{Size: 100, MTime: now.UnixNano()}, now); !errors.Is(err, ErrMoved) {
		t.Errorf("of a file that was cut short: %v", err)
	}
}

// A line that is longer than what is looked through is read as it is.
func TestLineWithoutAnEnd(t *testing.T) {
	now := time.Unix(1000, 0)
	size := int64(lineMost + 3*lineBlock)
	got, err := wholeLines(endless{}, "a.jsonl", Seen{Size: size, MTime: now.UnixNano()}, now)
	if got != size || err != nil {
		t.Errorf("%d of %d bytes are read: %v", got, size, err)
	}
}

// endless is a file that begins and does not end.
type endless struct{}

func (endless) ReadAt(b []byte, at int64) (int, error) {
	for i := range b {
		b[i] = '{'
	}
	return len(b), nil
}

// A reader that comes to the beginning of a line waits for it a moment, goes on with what came
// meanwhile, and otherwise leaves it, so that the next look is another one.
func TestStateOfLines(t *testing.T) { synctest.Test(t, stateOfLines) }

func stateOfLines(t *testing.T) {
	const first, second = "{\"n\":1}\n", "{\"n\":2}\n"
	for name, tt := range map[string]struct {
		body  string
		had   int64
		write func(m *moving)
		want  string // "": nothing is read
		tail  int64
	}{
		"whole":       {body: first + second, want: first + second},
		"half a line": {body: first + "{\"n\":", want: first, tail: 5},
		"to the end":  {body: first + "{\"n\":", had: ToTheEnd, want: first + "{\"n\":"},
		"the rest comes while it reads": {body: first + "{\"n\":", want: first + second, write: func(m *moving) {
			if m.reads == 3 {
				m.set(first + second)
			}
		}},
		"half of the next comes": {body: first + "{\"n\":", want: first + second, tail: 1, write: func(m *moving) {
			if m.reads == 3 {
				m.set(first + second + "{")
			}
		}},
		"nothing new is whole":        {body: first + "{\"n\":", had: int64(len(first)), tail: 5},
		"what went is not taken back": {body: first + "{\"n\":12", had: int64(len(first)) + 5, tail: 2},
		"a first line":                {body: "{\"n\":", tail: 5},
		"it was made shorter":         {body: first + "{\"n\":", had: 1000, want: first, tail: 5},
	} {
		m := still(tt.body)
		m.seen.MTime = time.Now().Add(-time.Second).UnixNano()
		m.seen.CTime = m.seen.MTime
		m.write = tt.write
		var got []byte
		is, err := NewReader(m.alone(), Quirks{}, "").State(t.Context(), "f.jsonl", tt.had, func(r io.Reader, _ Seen) (_ func() error, err error) {
			got, err = io.ReadAll(r)
			return nil, err
		})
		if tt.want == "" != errors.Is(err, ErrUnfinished) || tt.want != "" && err != nil || string(got) != tt.want || is.Tail.Bytes != tt.tail {
			t.Errorf("%s: %q and a tail of %d: %v", name, got, is.Tail.Bytes, err)
		}
		if rests := time.Unix(0, m.seen.MTime).Add(LinesRest); tt.tail > 0 != is.Tail.Rests.Equal(rests) {
			t.Errorf("%s: at rest at %v, want %v", name, is.Tail.Rests, rests)
		}
		if err == nil && (is.Seen.Size != int64(len(got)) || tt.tail > 0 && is.Seen.CTime != 0) {
			t.Errorf("%s: seen as %s", name, fmt.Sprint(is.Seen))
		}
	}
}
