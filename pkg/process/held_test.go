package process

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// seam is a pipe, what carries it, and what is left of both when the one who carries it
// is killed.
type seam struct {
	t       *testing.T
	carrier carrier
	r, w    *os.File
	written string // by the child
	logged  string // whole lines: the rest of what the log was given is in its memory
	begun   string // in its memory
	hides   string // the end of a line that the log keeps until the next one
}

// Keeps is of a log that hides secrets.
func (s *seam) Keeps() bool { return s.begun != "" }

func newSeam(t *testing.T, dir string) *seam {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := r.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	s := &seam{t: t, r: r, w: w}
	s.carrier = carrier{raw: raw, out: s, held: newHeld(dir, "ws/web")}
	return s
}

func (s *seam) close() {
	s.carrier.held.remove()
	s.r.Close()
	s.w.Close()
}

// Write is the log. A kill while it is written to must find everything that is not in it.
func (s *seam) Write(p []byte) (int, error) {
	if s.hides == "" {
		s.whole("in a write")
	}
	text := s.begun + string(p)
	end := strings.LastIndexByte(text, '\n') + 1
	if s.hides != "" && strings.HasSuffix(text[:end], s.hides) {
		end = strings.LastIndexByte(text[:end-1], '\n') + 1
	}
	s.logged, s.begun = s.logged+text[:end], text[end:]
	return len(p), nil
}

// print is what the child does.
func (s *seam) print(text string) {
	s.t.Helper()
	if _, err := s.w.WriteString(text); err != nil {
		s.t.Fatal(err)
	}
	s.written += text
}

// carry takes all that is in the pipe.
func (s *seam) carry() {
	s.t.Helper()
	for {
		var err error
		if ctl := s.carrier.raw.Control(func(fd uintptr) {
			buf := make([]byte, chunk)
			n, left, readErr := ahead.read(int(fd), buf)
			if err = readErr; err == nil && left {
				err = s.carrier.take(int(fd), buf[:n])
			} else if err == nil {
				err = errors.New("no tee")
			}
		}); ctl != nil {
			s.t.Fatal(ctl)
		}
		if errors.Is(err, syscall.EAGAIN) {
			return
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// left is what who comes after it finds.
func (s *seam) left() string {
	var held []byte
	if s.carrier.held.file != nil {
		held, _ = os.ReadFile(s.carrier.held.file.Name())
	}
	return string(held) + s.inPipe()
}

// inPipe looks into the pipe.
func (s *seam) inPipe() string {
	var fds [2]int
	if err := syscall.Pipe2(fds[:], syscall.O_NONBLOCK); err != nil {
		s.t.Fatal(err)
	}
	defer syscall.Close(fds[0])
	defer syscall.Close(fds[1])
	buf := make([]byte, chunk)
	n, err := unix.Tee(int(s.r.Fd()), fds[1], len(buf), unix.SPLICE_F_NONBLOCK)
	if err != nil || n == 0 {
		return ""
	}
	if err := drainInto(fds[0], buf[:n]); err != nil {
		s.t.Fatal(err)
	}
	return string(buf[:n])
}

// whole fails unless the log and what is left are what the child has printed.
func (s *seam) whole(when string) {
	s.t.Helper()
	if got := s.logged + s.left(); got != s.written {
		s.t.Errorf("%s: the log has %q, left is %q, printed was %q", when, s.logged, s.left(), s.written)
	}
}

// A kill at any byte and at any step, whichever pieces the output came in: each line is
// in the log or left, and none is cut in two.
func TestKillAtEachByte(t *testing.T) {
	dir := t.TempDir()
	for _, text := range []string{"12\n345\n6\n", "\n\n1\n", "no end", "12345\n67"} {
		for i := range len(text) + 1 {
			for j := i; j <= len(text); j++ {
				s := newSeam(t, dir)
				for _, piece := range []string{text[:i], text[i:j], text[j:]} {
					s.print(piece)
					s.whole("before it is read")
					s.carry()
					s.whole("when it was read")
				}
				s.close()
				if t.Failed() {
					t.Fatalf("with %q, cut at %d and %d", text, i, j)
				}
			}
		}
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("%d files are left", len(left))
	}
}

// A line whose end may be the beginning of a secret is in the memory of the log until the
// next one: it was out of the pipe by then, and went with a kill.
func TestKillWhileALineIsKept(t *testing.T) {
	const text = "12\n3se\n4se\n5\n6se\n"
	dir := t.TempDir()
	for i := range len(text) + 1 {
		for j := i; j <= len(text); j++ {
			s := newSeam(t, dir)
			s.hides = "se\n"
			for _, piece := range []string{text[:i], text[i:j], text[j:]} {
				s.print(piece)
				s.carry()
				if got := s.logged + s.left(); !covers(got, s.written) {
					t.Errorf("cut at %d and %d: the log has %q, left is %q, printed was %q", i, j, s.logged, s.left(), s.written)
				}
			}
			s.close()
		}
	}
}

// covers reports whether got has the lines of text, each at least once, and no other.
func covers(got, text string) bool {
	lines := strings.SplitAfter(got, "\n")
	for line := range strings.Lines(text) {
		if !slices.Contains(lines, line) {
			return false
		}
	}
	for _, line := range lines {
		if line != "" && !slices.Contains(strings.SplitAfter(text, "\n"), line) {
			return false
		}
	}
	return true
}

// A line that is longer than what is held goes on as one, and its end is not taken for
// a line.
func TestLongLinesAreNotHeld(t *testing.T) {
	s := newSeam(t, t.TempDir())
	defer s.close()
	for range 3 * holdMost / 4096 {
		s.written, s.logged, s.begun = "", "", "" // the log splits it
		if _, err := s.w.Write(bytes.Repeat([]byte{'x'}, 4096)); err != nil {
			t.Fatal(err)
		}
		s.carryUnchecked()
		if s.carrier.held.size > holdMost {
			t.Fatalf("%d bytes are held", s.carrier.held.size)
		}
	}
	if _, err := s.w.WriteString("end\nnext\n"); err != nil {
		t.Fatal(err)
	}
	s.carryUnchecked()
	if s.carrier.held.size != 0 || s.inPipe() != "" {
		t.Errorf("%d bytes are held, the pipe has %q", s.carrier.held.size, s.inPipe())
	}
}

// carryUnchecked carries to a log that is not looked at.
func (s *seam) carryUnchecked() {
	s.t.Helper()
	s.carrier.out = printer{newOutput()}
	s.carry()
}

// A cleaner of temporary files has removed the directory: the next line is held again.
func TestHeldIsMadeAnew(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "held")
	s := newSeam(t, dir)
	defer s.close()
	for _, line := range []string{"1", "2"} {
		s.print(line)
		s.carry()
		s.whole("a line that was begun")
		s.print(line + "\n")
		s.carry()
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
}

// Who comes after a killed supervisor puts the line together, and ends one whose child
// has gone.
func TestBeginnings(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"web.17": "12", "web.18": "34", "a.b.19": "56\n", "not ours": "x"} {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	out := newOutput()
	b := findBeginnings(dir)
	b.take(17, printer{out})
	b.take(20, printer{out})
	_, _ = out.Write([]byte("3\n"))
	sinks := map[string]*output{}
	b.takeOthers([]leftPipe{{inode: 17}}, func(unit string) io.Writer {
		sinks[unit] = newOutput()
		return printer{sinks[unit]}
	})
	for unit, to := range sinks {
		got = append(got, unit+":"+to.String())
	}
	slices.Sort(got)
	if line := out.String(); line != "123\n" {
		t.Errorf("put together: %q", line)
	}
	if want := []string{"a.b:56\n", "web:34\n"}; !slices.Equal(got, want) {
		t.Errorf("ended: %q, want %q", got, want)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 || left[0].Name() != "not ours" {
		t.Errorf("left: %v", left)
	}
}
