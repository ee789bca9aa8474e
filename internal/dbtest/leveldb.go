package dbtest

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// LevelDB is a database of the real LevelDB that a program of its own has open.
type LevelDB struct {
	t   testing.TB
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// client is a program that does what it reads: "put KEY VALUE", flushed before it answers,
// and "get KEY". It ends, and closes the database, with its input.
const client = `
import sys, plyvel
db = plyvel.DB(sys.argv[1], create_if_missing=True)
print("open", flush=True)
for line in sys.stdin:
    word, *rest = line.rstrip("\n").split(" ", 2)
    if word == "put":
        db.put(rest[0].encode(), rest[1].encode(), sync=True)
        print("done", flush=True)
    else:
        print((db.get(rest[0].encode()) or b"").decode(), flush=True)
db.close()
`

// OpenLevelDB opens a database, or makes one.
func OpenLevelDB(t testing.TB, dir string) *LevelDB {
	t.Helper()
	l := &LevelDB{t: t, cmd: exec.Command(Python(t), "-c", client, dir)}
	var said strings.Builder
	l.cmd.Stderr = &said
	in, err := l.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := l.cmd.StdoutPipe()
	if err == nil {
		err = l.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	l.in, l.out = in, bufio.NewReader(out)
	t.Cleanup(func() {
		if l.cmd.ProcessState == nil {
			_ = l.cmd.Process.Kill()
			_ = l.cmd.Wait()
		}
	})
	if answer := l.answer(); answer != "open" {
		t.Fatalf("cannot open %s: %s%s", dir, answer, said.String())
	}
	return l
}

// Python is one that has plyvel: a python of one's own may come before Debian's in PATH.
func Python(t testing.TB) string {
	t.Helper()
	for _, path := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(path, "-c", "import plyvel").Run() == nil {
			return path
		}
	}
	t.Fatal("no python3 has plyvel: apt-get install python3-plyvel")
	return ""
}

// PID is that of the program.
func (l *LevelDB) PID() int { return l.cmd.Process.Pid }

// Put writes a value, and returns when it is flushed.
func (l *LevelDB) Put(key, value string) {
	l.t.Helper()
	if answer := l.ask("put " + key + " " + value); answer != "done" {
		l.t.Fatalf("put %s: %q", key, answer)
	}
}

// Get reads a value; "" where there is none.
func (l *LevelDB) Get(key string) string { l.t.Helper(); return l.ask("get " + key) }

// Close closes the database, and returns when the program has ended.
func (l *LevelDB) Close() {
	l.t.Helper()
	l.in.Close()
	if err := l.cmd.Wait(); err != nil {
		l.t.Fatal(err)
	}
}

func (l *LevelDB) ask(question string) string {
	l.t.Helper()
	if _, err := fmt.Fprintln(l.in, question); err != nil {
		l.t.Fatal(err)
	}
	return l.answer()
}

// answer is the next line; "" at the end.
func (l *LevelDB) answer() string {
	line, _ := l.out.ReadString('\n')
	return strings.TrimSpace(line)
}
