package e2e

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// ledgers is the real SQLite, in Python: processes that use a database, and a judge.
const ledgers = "../pkg/sqlite/testdata/ledger.py"

// ledgerProgram is a process of it.
type ledgerProgram struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out chan string
}

func runLedger(t *testing.T, args ...string) *ledgerProgram {
	t.Helper()
	p := &ledgerProgram{t: t, cmd: exec.Command("python3", append([]string{ledgers}, args...)...), out: make(chan string)}
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stderr = os.Stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("%v (apt-get install python3)", err)
	}
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			p.out <- lines.Text()
		}
		close(p.out)
	}()
	t.Cleanup(p.kill)
	return p
}

// kill ends the process as kill -9 does; it may have ended.
func (p *ledgerProgram) kill() {
	_ = p.cmd.Process.Kill()
	for range p.out {
	}
	_ = p.cmd.Wait()
}

func (p *ledgerProgram) line() string {
	p.t.Helper()
	select {
	case line := <-p.out:
		return line
	case <-time.After(patience):
		p.t.Fatalf("%v says nothing", p.cmd.Args)
		return ""
	}
}

// ask gives the answer to one line.
func (p *ledgerProgram) ask(line string) string {
	p.t.Helper()
	if _, err := io.WriteString(p.in, line+"\n"); err != nil {
		p.t.Fatal(err)
	}
	return p.line()
}

// ledger makes a database in a journal mode, with so many rows of 600 bytes.
func (m *machine) ledger(at, mode string, rows int) {
	m.t.Helper()
	if err := os.MkdirAll(filepath.Dir(m.path(at)), 0o755); err != nil {
		m.t.Fatal(err)
	}
	p := runLedger(m.t, "make", m.path(at), mode, strconv.Itoa(rows))
	if said := p.line(); said != "" {
		m.t.Fatal(said)
	}
	p.kill()
}

// ledgerWriter makes transactions in a database until it is told to end.
func (m *machine) ledgerWriter(at, kind string, pace time.Duration) *ledgerProgram {
	m.t.Helper()
	p := runLedger(m.t, "write", m.path(at), m.ledgerNotes(at), kind, "5", strconv.FormatFloat(pace.Seconds(), 'f', -1, 64))
	if said := p.line(); said != "begun" {
		m.t.Fatalf("the writer says %q", said)
	}
	return p
}

// ledgerNotes is where a writer notes what it began and what it was told is done: outside of
// the tree.
func (m *machine) ledgerNotes(at string) string {
	return filepath.Join(filepath.Dir(m.dir), strings.ReplaceAll(at, "/", "-")+".notes")
}

// written are the numbers of the last transaction that was begun, and of that which was done.
func (m *machine) written(at string) (begun, done int) {
	b, _ := os.ReadFile(m.ledgerNotes(at)) // none before the first
	b = append(b, make([]byte, 16)...)
	return int(binary.LittleEndian.Uint64(b)), int(binary.LittleEndian.Uint64(b[8:]))
}

// ledgerShell uses a database as another process.
func (m *machine) ledgerShell(at string, lines ...string) *ledgerProgram {
	m.t.Helper()
	p := runLedger(m.t, "shell", m.path(at), "5")
	for _, line := range append([]string{"SELECT 1"}, lines...) {
		if said := p.ask(line); strings.HasPrefix(said, "error") {
			m.t.Fatalf("%s: %s", line, said)
		}
	}
	return p
}

// judgeLedger says how many transactions a database has, or what is wrong with it. A copy is
// opened.
func judgeLedger(t *testing.T, path string) (n int, wrong string) {
	t.Helper()
	dir := t.TempDir()
	for _, end := range []string{"", "-wal", "-journal"} {
		b, err := os.ReadFile(path + end)
		if err != nil && end == "" {
			return 0, err.Error()
		}
		if err == nil {
			if err := os.WriteFile(filepath.Join(dir, "ledger"+end), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	j := runLedger(t, "judge")
	defer j.kill()
	said := j.ask(filepath.Join(dir, "ledger"))
	count, ok := strings.CutPrefix(said, "ok ")
	if !ok {
		return 0, said
	}
	n, err := strconv.Atoi(count)
	if err != nil {
		t.Fatal(err)
	}
	return n, ""
}

// holdsLedger holds that a database is whole and has so many transactions at least, and at most.
func holdsLedger(t *testing.T, what, path string, least, most int) {
	t.Helper()
	if n, wrong := judgeLedger(t, path); wrong != "" || n < least || n > most {
		t.Errorf("%s: %d transactions, want %d to %d: %s", what, n, least, most, wrong)
	}
}

// beside are the files whose names begin as a database's.
func (m *machine) beside(at string) (names []string) {
	m.t.Helper()
	entries, err := os.ReadDir(filepath.Dir(m.path(at)))
	if err != nil {
		m.t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), filepath.Base(at)) {
			names = append(names, e.Name())
		}
	}
	return names
}

// A database under a writer goes there and back: it is whole on the other side, with each
// transaction that was done before the answer of a sync, and no log of another state is ever
// beside it.
func TestDatabaseHop(t *testing.T) {
	for _, mode := range []string{"wal", "delete"} {
		t.Run(mode, func(t *testing.T) {
			w := newWorld(t)
			a, b := w.machine("a"), w.machine("b")
			a.spec(nil)
			b.spec(nil)
			a.ledger("data/l.db", mode, 1000)
			a.start()
			writer := a.ledgerWriter("data/l.db", "checkpoint=100", 5*time.Millisecond)
			eventually(t, "transactions", func() error {
				if _, done := a.written("data/l.db"); done < 20 {
					return fmt.Errorf("%d of 20", done)
				}
				return nil
			})
			_, done := a.written("data/l.db")
			a.sync()
			begun, _ := a.written("data/l.db")
			to := filepath.Join(t.TempDir(), "then")
			a.must("history", "restore", "--at", "0s", "--to", to)
			holdsLedger(t, "in the bucket", filepath.Join(to, "data/l.db"), done, begun)
			writer.kill() // its log stays, hot
			_, done = a.written("data/l.db")
			begun, _ = a.written("data/l.db")
			a.stop()
			b.start()
			holdsLedger(t, "there", b.path("data/l.db"), done, begun)
			n, _ := judgeLedger(t, b.path("data/l.db"))
			b.ledgerShell("data/l.db", "few", "few").kill()
			b.stop()
			a.start()
			holdsLedger(t, "back", a.path("data/l.db"), n+2, n+2)
			if got := a.beside("data/l.db"); !slices.Equal(got, []string{"l.db"}) {
				t.Errorf("beside it: %q", got)
			}
			a.stop()
		})
	}
}

// Both sides have written: both databases are whole, and the one that lost its name is listed.
func TestDatabaseConflict(t *testing.T) {
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	a.spec(nil)
	b.spec(nil)
	a.ledger("l.db", "wal", 200)
	a.once()
	b.once()
	b.ledgerShell("l.db", "few", "few", "few").kill()
	b.once()
	a.ledgerShell("l.db", "few").kill()
	a.start()
	holdsLedger(t, "placed", a.path("l.db"), 3, 3)
	if got := a.beside("l.db"); !slices.Equal(got, []string{"l.db"}) {
		t.Errorf("beside it: %q", got)
	}
	if said := a.must("conflicts"); !strings.Contains(said, "l.db") {
		t.Errorf("conflicts says %q", said)
	}
	var kept []string
	err := filepath.WalkDir(a.path(".coltec/conflicts"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			kept = append(kept, path)
		}
		return err
	})
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept: %q, %v", kept, err)
	}
	holdsLedger(t, "kept", kept[0], 1, 1)
	shell := a.ledgerShell("l.db", "few")
	if said, talk, _ := a.run("conflicts", "take", "l.db"); !strings.Contains(said+talk, "has it open") {
		t.Errorf("taken under a process that has it open: %s%s", said, talk)
	}
	shell.kill() // its log stays
	a.must("conflicts", "take", "l.db")
	holdsLedger(t, "taken", a.path("l.db"), 1, 1)
	if got := a.beside("l.db"); !slices.Equal(got, []string{"l.db"}) {
		t.Errorf("beside the one that was taken: %q", got)
	}
	a.stop()
}

// A process that has a database open keeps what came from its place; status says who it is, and
// it comes once it is closed.
func TestDatabaseOpenElsewhere(t *testing.T) {
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	a.spec(nil)
	b.spec(nil)
	a.ledger("l.db", "wal", 200)
	a.once()
	b.once()
	b.ledgerShell("l.db", "few", "few").kill()
	b.once()
	shell := a.ledgerShell("l.db", "SELECT count(*) FROM accounts")
	a.start()
	holdsLedger(t, "before", a.path("l.db"), 0, 0)
	who := "process " + strconv.Itoa(shell.cmd.Process.Pid) + " has it open"
	if said, _, _ := a.run("status"); !strings.Contains(said, who) {
		t.Errorf("status does not say %q:\n%s", who, said)
	}
	shell.ask("close")
	a.sync()
	holdsLedger(t, "after", a.path("l.db"), 2, 2)
	a.stop()
}

// What cannot be captured is not said to be synced: it is named, the bucket keeps what it has of
// it, and it goes once that is over.
func TestDatabaseWithheld(t *testing.T) {
	w := newWorld(t)
	a := w.machine("a")
	a.spec(nil)
	a.ledger("l.db", "delete", 200)
	a.start()
	a.sync()
	shell := a.ledgerShell("l.db", "few", "BEGIN EXCLUSIVE", "UPDATE accounts SET n=n+1")
	a.write("beside", "goes")
	said, talk, code := a.run("sync")
	if who := "process " + strconv.Itoa(shell.cmd.Process.Pid); code != 6 || !strings.Contains(said+talk, "l.db") || !strings.Contains(said+talk, who) {
		t.Errorf("sync ended with %d, want 6 and %q:\n%s%s", code, who, said, talk)
	}
	if wrong := a.inBucket("l.db", 0); wrong != "" {
		t.Errorf("in the bucket: %s", wrong)
	}
	shell.ask("ROLLBACK")
	a.sync()
	if wrong := a.inBucket("l.db", 1); wrong != "" {
		t.Errorf("in the bucket: %s", wrong)
	}
	a.stop()
}

// A save of a large database that changes little sends what changed.
func TestDatabaseBytes(t *testing.T) {
	w := newWorld(t)
	a := w.machine("a")
	a.spec(nil)
	a.ledger("l.db", "wal", 10_000)
	a.start()
	a.sync()
	before := w.sizeOfObjects()
	shell := a.ledgerShell("l.db")
	for range 12 {
		shell.ask("few")
		a.sync()
	}
	size, sent := a.size("l.db"), w.sizeOfObjects()-before
	t.Logf("12 saves of a database of %d bytes sent %d", size, sent)
	if sent > size/2 {
		t.Errorf("12 saves of a database of %d bytes sent %d", size, sent)
	}
	a.stop()
}

func (m *machine) size(at string) int64 {
	m.t.Helper()
	info, err := os.Stat(m.path(at))
	if err != nil {
		m.t.Fatal(err)
	}
	return info.Size()
}

// sizeOfObjects is what the bucket holds.
func (w *world) sizeOfObjects() (size int64) {
	for _, n := range w.objects() {
		size += n
	}
	return size
}

// What was is brought back as databases: to a directory, in the tree by its path and with all,
// and where it was removed; a version that lost its name takes it again. Never under a process
// that has it open, and never beside another's log.
func TestDatabaseHistory(t *testing.T) {
	w := newWorld(t)
	a := w.machine("a")
	a.spec(nil)
	a.ledger("d/l.db", "wal", 200)
	a.write("d/notes", "then")
	a.write("becomes", strings.Repeat("text", 256))
	a.ledger("was", "delete", 10)
	a.start()
	a.sync()
	shell := a.ledgerShell("d/l.db", "few", "few")
	a.sync()
	a.write("d/notes", "now")
	if err := os.Rename(a.path("was"), a.path("becomes")); err != nil {
		t.Fatal(err)
	}
	a.write("was", "text")
	shell.ask("few")
	a.sync()
	if said := a.must("history", "ls", a.path("d/l.db")); strings.Count(said, "database") != 3 {
		t.Errorf("three versions: %s", said)
	}
	if said := a.must("history", "show", "2"); !strings.Contains(said, "d/l.db") || strings.Contains(said, "db-wal") {
		t.Errorf("of a generation: %s", said)
	}
	for _, path := range []string{"d/l.db", "d", ""} {
		to := filepath.Join(t.TempDir(), "then")
		args := []string{"history", "restore", "--at", "2", "--to", to}
		at := filepath.Join(to, "d/l.db")
		if path != "" {
			args = append(args, a.path(path))
			at = filepath.Join(to, strings.TrimPrefix("d/l.db", strings.TrimSuffix(path, filepath.Base(path))))
		}
		a.must(args...)
		holdsLedger(t, "to a directory, by "+path, at, 2, 2)
	}
	if said, talk, code := a.run("history", "restore", a.path("d/l.db"), "--at", "1"); !strings.Contains(said+talk, "has it open") {
		t.Errorf("under a process that has it open: %d, %s%s", code, said, talk)
	}
	holdsLedger(t, "open", a.path("d/l.db"), 3, 3)
	shell.kill() // its log stays
	a.must("history", "restore", a.path("d/l.db"), "--at", "1")
	holdsLedger(t, "by its path", a.path("d/l.db"), 0, 0)
	a.must("history", "restore", "--at", "2")
	holdsLedger(t, "with all", a.path("d/l.db"), 2, 2)
	if got := a.read("d/notes"); got != "then" {
		t.Errorf("the file beside it: %q", got)
	}
	if got := a.read("becomes"); got != strings.Repeat("text", 256) {
		t.Errorf("what became a database has %d bytes", len(got))
	}
	holdsLedger(t, "what became a file", a.path("was"), 0, 0)
	if got := a.beside("d/l.db"); !slices.Equal(got, []string{"l.db"}) {
		t.Errorf("beside it: %q", got)
	}
	a.sync()
	if err := os.Remove(a.path("d/l.db")); err != nil {
		t.Fatal(err)
	}
	a.sync()
	a.must("history", "restore", "--at", "3", "--deleted")
	holdsLedger(t, "after it was removed", a.path("d/l.db"), 3, 3)
	a.stop()
}
