package sqlite

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// hang is for how long a test waits for what takes milliseconds.
const hang = 5 * time.Minute

// A program is a process of testdata/ledger.py: the real SQLite, in Python.
type program struct {
	t   testing.TB
	cmd *exec.Cmd
	in  io.WriteCloser
	out chan string
}

func run(t testing.TB, args ...string) *program {
	t.Helper()
	p := &program{t: t, cmd: exec.Command("python3", append([]string{"testdata/ledger.py"}, args...)...), out: make(chan string)}
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
func (p *program) kill() {
	_ = p.cmd.Process.Kill()
	for range p.out {
	}
	_ = p.cmd.Wait()
}

// line is the next one that the process prints; "" when it ended.
func (p *program) line() string {
	p.t.Helper()
	line, ok := p.within(hang)
	if !ok {
		p.t.Fatalf("%v says nothing", p.cmd.Args)
	}
	return line
}

func (p *program) within(d time.Duration) (line string, ok bool) {
	select {
	case line := <-p.out:
		return line, true
	case <-time.After(d):
		return "", false
	}
}

func (p *program) send(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.in, line+"\n"); err != nil {
		p.t.Fatal(err)
	}
}

func (p *program) ask(line string) string {
	p.t.Helper()
	p.send(line)
	return p.line()
}

// must asks for what does not fail.
func (p *program) must(lines ...string) {
	p.t.Helper()
	for _, line := range lines {
		if got := p.ask(line); strings.HasPrefix(got, "error") {
			p.t.Fatalf("%s: %s", line, got)
		}
	}
}

// wrong says which of what is asked fails, or takes longer than anybody waits.
func (p *program) wrong(lines ...string) string {
	p.t.Helper()
	for _, line := range lines {
		p.send(line)
		if said, ok := p.within(time.Minute); !ok {
			return line + " waits for the capture"
		} else if strings.HasPrefix(said, "error") {
			return line + ": " + said
		}
	}
	return ""
}

// end lets a writer end, and returns what it says of itself.
func (p *program) end() (s stats) {
	p.t.Helper()
	p.in.Close()
	if err := json.Unmarshal([]byte(p.line()), &s); err != nil {
		p.t.Fatalf("the writer's last word: %v", err)
	}
	p.kill()
	return s
}

// stats are of a writer's transactions, in milliseconds.
type stats struct {
	N, Busy       int
	P50, P99, Max float64
}

func (s stats) String() string {
	return fmt.Sprintf("%d transactions, %.1f ms (p50), %.1f ms (p99), %.1f ms (longest), SQLITE_BUSY %d times", s.N, s.P50, s.P99, s.Max, s.Busy)
}

// ledger is a database that tells whether it is of one moment.
type ledger struct {
	t    testing.TB
	path string
	dir  *os.Root
}

const ledgerName = "ledger.db"

func root(t testing.TB, path string) *os.Root {
	t.Helper()
	r, err := os.OpenRoot(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func newLedger(t testing.TB, mode string, rows int) *ledger {
	return newLedgerIn(t, t.TempDir(), mode, rows)
}

func newLedgerIn(t testing.TB, dir, mode string, rows int) *ledger {
	t.Helper()
	l := &ledger{t, filepath.Join(dir, ledgerName), root(t, dir)}
	p := run(t, "make", l.path, mode, strconv.Itoa(rows))
	if said := p.line(); said != "" {
		t.Fatal(said)
	}
	p.kill()
	return l
}

// writer makes transactions until it is told to end.
func (l *ledger) writer(kind string, timeout, pace time.Duration) *program {
	l.t.Helper()
	p := run(l.t, "write", l.path, l.path+".notes", kind, seconds(timeout), seconds(pace))
	if said := p.line(); said != "begun" {
		l.t.Fatalf("the writer says %q", said)
	}
	return p
}

func (l *ledger) shell(timeout time.Duration) *program {
	return run(l.t, "shell", l.path, seconds(timeout))
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) }

// notes are the numbers of the last transaction that was begun, and was done.
func (l *ledger) notes() (begun, done int) {
	b, _ := os.ReadFile(l.path + ".notes") // none before the first
	b = append(b, make([]byte, 16)...)
	return int(binary.LittleEndian.Uint64(b)), int(binary.LittleEndian.Uint64(b[8:]))
}

// judgement says of a copy of a ledger how many transactions it has, or what is wrong.
type judge struct{ *program }

func newJudge(t testing.TB) judge { return judge{run(t, "judge")} }

func (j judge) of(path string) (n int, wrong string) {
	j.t.Helper()
	said := j.ask(path)
	if count, ok := strings.CutPrefix(said, "ok "); ok {
		n, err := strconv.Atoi(count)
		if err != nil {
			j.t.Fatal(err)
		}
		return n, ""
	}
	return 0, said
}

// capture captures the ledger, and judges what came of it.
func (l *ledger) capture(j judge, o Options) (r Result, wrong string) {
	l.t.Helper()
	return l.captureTo(j, l.t.TempDir(), o)
}

// captureTo leaves nothing of the copy.
func (l *ledger) captureTo(j judge, stage string, o Options) (r Result, wrong string) {
	l.t.Helper()
	to := root(l.t, stage)
	_, done := l.notes()
	r, err := Capture(context.Background(), l.dir, ledgerName, to, o)
	if err != nil {
		return r, err.Error()
	}
	begun, _ := l.notes()
	if r.Outcome != Captured {
		return r, ""
	}
	n, wrong := j.of(filepath.Join(to.Name(), ledgerName))
	if wrong == "" && (n < done || n > begun) {
		wrong = fmt.Sprintf("it has %d transactions: %d were done before, %d begun after", n, done, begun)
	}
	if err := os.RemoveAll(stage); err != nil {
		l.t.Fatal(err)
	}
	return r, wrong
}
