package logfile

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A line that a kill has cut stood before the next one, in the same line.
func TestACutLineIsEnded(t *testing.T) {
	const line = "2026-01-02T03:04:05.678Z the last line\n"
	for n := range len(line) + 1 {
		dir := t.TempDir()
		cut := "2026-01-02T03:04:05.678Z whole\n" + line[:n]
		must(t, os.WriteFile(filepath.Join(dir, "web.log"), []byte(cut), 0o600))
		logs := New(Options{Dir: dir})
		s := logs.Sink("web")
		fmt.Fprintln(s, "next")
		fmt.Fprintln(s, "and next")
		must(t, s.Close())
		want := strings.TrimSuffix(cut, "\n") + "\n"
		got := read(t, logs.Path("web"))
		after, ok := strings.CutPrefix(got, want)
		if !ok || strings.Count(after, "\n") != 2 || len(after) != len("next\nand next\n")+2*len("2026-01-02T03:04:05.678Z ") {
			t.Errorf("after %q the log is %q", cut, got)
		}
	}
}

// So did a line that the disk had no room for.
func TestALineThatADiskHasCutIsEnded(t *testing.T) {
	dir := t.TempDir()
	logs := New(Options{Dir: dir})
	s := logs.Sink("web")
	defer s.Close()
	fmt.Fprintln(s, "whole")
	full := uint64(len(read(t, logs.Path("web")))) + 10

	signal.Ignore(unix.SIGXFSZ)
	defer signal.Reset(unix.SIGXFSZ)
	var was unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_FSIZE, &was), unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: full, Max: was.Max}))
	fmt.Fprintln(s, "no room")
	must(t, unix.Setrlimit(unix.RLIMIT_FSIZE, &was))
	fmt.Fprintln(s, "room again")

	lines := strings.Split(read(t, logs.Path("web")), "\n")
	if len(lines) != 4 || !strings.HasSuffix(lines[0], " whole") || len(lines[1]) != 10 || !strings.HasSuffix(lines[2], "Z room again") {
		t.Errorf("the log has %q", lines)
	}
	if s.Dropped() != 1 {
		t.Errorf("%d lines are dropped, want 1", s.Dropped())
	}
}

// What is in memory alone goes with a kill: whoever brings the output must know of it.
func TestKeeps(t *testing.T) {
	s := New(Options{Dir: t.TempDir(), Redactor: secrets("hunter2-hunter2-hunter2-hunter2")}).Sink("web")
	defer s.Close()
	for _, tt := range []struct {
		text string
		want bool
	}{
		{"a line\n", false}, {"half", true}, {" of one\n", false},
		{"the beginning of hunter2-hunter2-\n", true}, {"and no more\n", false},
	} {
		fmt.Fprint(s, tt.text)
		if s.Keeps() != tt.want {
			t.Errorf("after %q it keeps something: %v", tt.text, s.Keeps())
		}
	}
}
