package terminal

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What programs draw comes out as the lines that a person sees, each once; their questions are
// answered.
func TestScreen(t *testing.T) {
	for name, tt := range map[string]struct{ drawn, text, typed string }{
		"lines":                 {"one\r\ntwo\n", "one\ntwo\n", ""},
		"colours":               {"\x1b[1;31mred\x1b[0m \x1b(Bplain\x1b[m\n", "red plain\n", ""},
		"drawn again":           {"\x1b[2J\x1b[1;1Hone\x1b[2;1Htwo\x1b[H\x1b[2Kone\x1b[2;1Hthree\x1b[J", "one\ntwo\nthree\n", ""},
		"a line over another":   {"a\rb\r", "a\nb\n", ""},
		"moved to the right":    {"a\x1b[Cb\x1b[3Cc\x1b[20Gd\n", "a b   c d\n", ""},
		"a title":               {"\x1b]0;a title\x07x\x1b]2;another\x1b\\y\n", "xy\n", ""},
		"where is the cursor":   {"\x1b[6n\x1b[5nx\n", "x\n", "\x1b[1;1R\x1b[0n"},
		"which terminal":        {"\x1b[c\x1b[>c\x1b[?u\x1b[0cx\n", "x\n", "\x1b[?62;22c\x1b[?62;22c"},
		"which colours":         {"\x1b]11;?\x1b\\\x1b]10;?\x07x\n", "x\n", "\x1b]11;rgb:0000/0000/0000\x1b\\\x1b]10;rgb:ffff/ffff/ffff\x1b\\"},
		"other letters":         {"h\u00e9 \u2713 \x00\x07\x7f!\n", "h\u00e9 \u2713 !\n", ""},
		"a keypad":              {"\x1b=\x1b>\x1b7\x1b8x\n", "x\n", ""},
		"a long sequence":       {"\x1b]" + strings.Repeat("x", 2*sequenceMost) + "\n", strings.Repeat("x", 2*sequenceMost-sequenceMost+1) + "\n", ""},
		"a line without an end": {strings.Repeat("x", lineMost+3), strings.Repeat("x", lineMost) + "\nxxx\n", ""},
	} {
		for _, step := range []int{1, len(tt.drawn)} {
			var text, typed bytes.Buffer
			s := NewScreen(&text, &typed)
			for rest := tt.drawn; rest != ""; rest = rest[min(step, len(rest)):] {
				_, _ = s.Write([]byte(rest[:min(step, len(rest))]))
			}
			s.Flush()
			if diff := cmp.Diff([]string{tt.text, tt.typed}, []string{text.String(), typed.String()}); diff != "" {
				t.Errorf("%s, %d at a time: %s", name, step, diff)
			}
		}
	}
}

// FuzzScreen: whatever is drawn, nothing but text comes out, and no more than was drawn.
func FuzzScreen(f *testing.F) {
	f.Add([]byte("\x1b[2J\x1b]0;x\x07a\x1b[6n\r\n"))
	f.Add([]byte("\x1b[999999999999C\x1bP"))
	f.Fuzz(func(t *testing.T, drawn []byte) {
		var text bytes.Buffer
		s := NewScreen(&text, io.Discard)
		_, _ = s.Write(drawn)
		s.Flush()
		if i := bytes.IndexFunc(text.Bytes(), func(r rune) bool { return r < ' ' && r != '\n' }); i >= 0 {
			t.Errorf("%q came out as %q", drawn, text.Bytes())
		}
		if text.Len() > (len(drawn)+1)*(Columns+1) || len(s.escape) > sequenceMost+1 {
			t.Errorf("%d bytes became %d", len(drawn), text.Len())
		}
	})
}

// A program on a terminal finds one, in its size, and reads what is typed; when it has ended, that
// is the end of what it draws.
func TestOpen(t *testing.T) {
	host, program, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	cmd := exec.Command("sh", "-c", "test -t 0 && test -t 1 && stty size && read x && echo \"it was $x\"")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = program, program, program
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	program.Close()
	if err := host.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(host, "typed\n"); err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	s := NewScreen(&text, io.Discard)
	if _, err := io.Copy(s, host); !errors.Is(err, syscall.EIO) {
		t.Errorf("the end is %v", err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if got := text.String(); !strings.Contains(got, "48 160\n") || !strings.Contains(got, "it was typed\n") {
		t.Errorf("%q", got)
	}
}
