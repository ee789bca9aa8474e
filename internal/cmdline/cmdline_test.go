package cmdline

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/hint"
)

// What others wrote comes to a terminal as text, whichever way.
func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		"a\x1b[31mb\r\n\tc":            "a?[31mb?\n\tc",
		"c1 \u009b31m":                 "c1 ?31m",
		"del \x7f nul \x00":            "del ? nul ?",
		"turned \u202egpj\u202c.":      "turned ?gpj?.",
		"apart \u2066x\u2069":          "apart ?x?",
		"bytes \xff\xc3":               "bytes \ufffd\ufffd",
		"one byte of C1 \x9b":          "one byte of C1 \ufffd",
		"words é 文字 \U0001f600 \u05d0": "words é 文字 \U0001f600 \u05d0",
	} {
		if got := Plain(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
		var b strings.Builder
		if n, err := (PlainWriter{&b}).Write([]byte(in)); n != len(in) || err != nil || b.String() != want {
			t.Errorf("%q: %d, %v, %q", in, n, err, b.String())
		}
	}
}

// A program that reads a list finds one, of nothing too.
func TestPrintJSON(t *testing.T) {
	for _, tt := range []struct {
		v    any
		want string
	}{
		{[]string(nil), "[]\n"}, {[]string{}, "[]\n"}, {[]struct{}(nil), "[]\n"}, {nil, "null\n"}, {(*int)(nil), "null\n"},
		{map[string]int(nil), "null\n"}, {[]string{"<a>"}, "[\n  \"<a>\"\n]\n"},
	} {
		var b strings.Builder
		if err := PrintJSON(&b, tt.v); err != nil || b.String() != tt.want {
			t.Errorf("%#v: %q, %v, want %q", tt.v, b.String(), err, tt.want)
		}
	}
}

// A name of two lines is not a second row.
func TestTableRows(t *testing.T) {
	text := Table{{"NAME", "STATE"}, {"a\nb\tc", "held"}}.String()
	if strings.Count(text, "\n") != 2 || !strings.Contains(text, "a b c  held") {
		t.Errorf("%q", text)
	}
	// A colour without an end was looked for forever.
	if text := (Table{{"NAME", "STATE"}, {"\x1b[2J", "held"}}).String(); !strings.Contains(text, "held") {
		t.Errorf("%q", text)
	}
}

func TestFailIsPlain(t *testing.T) {
	var b strings.Builder
	Fail(PlainWriter{&b}, hint.Wrap(errors.New("a\x1bb"), "c\u202ed"))
	if b.String() != "error: a?b\nhint: c?d\n" {
		t.Errorf("%q", b.String())
	}
}

func TestSpan(t *testing.T) {
	tests := map[string]time.Duration{
		"0s": -time.Second, "59s": 59 * time.Second, "1m00s": time.Minute, "59m59s": time.Hour - time.Second,
		"1h00m": time.Hour, "47h59m": 48*time.Hour - time.Minute, "2d": 49 * time.Hour,
	}
	for want, d := range tests {
		if got := Span(d); got != want {
			t.Errorf("Span(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestSize(t *testing.T) {
	tests := map[string]int64{"0 B": 0, "1023 B": 1023, "1.0 KiB": 1024, "1.5 MiB": 3 << 19, "2.0 TiB": 2 << 40, "2048.0 TiB": 2 << 50}
	for want, n := range tests {
		if got := Size(n); got != want {
			t.Errorf("Size(%d) = %q, want %q", n, got, want)
		}
	}
}

// What PrintJSON writes is drawn by a terminal: control codes of either kind, and what turns the
// direction, went there as they were. A reader gets what was meant.
func TestJSONIsText(t *testing.T) {
	var all []rune
	for r := rune(0); r <= 0x3000; r++ {
		all = append(all, r)
	}
	want := string(append(all, 0xfffd, 0xfeff, 0x1f600, 0x10ffff)) + `"\<&>`
	for name, write := range map[string]func(w io.Writer) error{
		"PrintJSON": func(w io.Writer) error { return PrintJSON(w, map[string]string{want: want}) },
		"JSON":      func(w io.Writer) error { return JSON(w, "", map[string]string{want: want}) },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		if text := b.String(); Plain(text) != text {
			t.Errorf("%s: a terminal would act on it", name)
		}
		var got map[string]string
		if err := json.Unmarshal(b.Bytes(), &got); err != nil || got[want] != want {
			t.Errorf("%s: it is read as something else: %v", name, err)
		}
	}
	var b bytes.Buffer
	failJSON(PlainWriter{Writer: &b}, errors.New("cannot open \u009b2J\u202e"), 1)
	var f Failure
	if err := json.Unmarshal(b.Bytes(), &f); err != nil || f.Error.Message != "cannot open \u009b2J\u202e" {
		t.Errorf("an error: %s, %v", b.String(), err)
	}
}
