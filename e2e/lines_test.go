package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/status"
)

// linesWriter appends lines of JSON, each with a number and its length, in the ways that
// programs do. It says each file's name once the file is there, and ends with its input.
const linesWriter = `
import json, os, random, sys, threading, time
rng = random.Random(int(sys.argv[1]))
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()

def line(i, size, end=b"\n"):
    text = "".join(rng.choice("ab\u00e9\u20ac\U0001f600\"\\") for _ in range(size))
    return json.dumps({"n": i, "len": len(text), "text": text}, ensure_ascii=False).encode() + end

def pieces(name, size, piece, pause, end=b"\n"):
    with open(name, "wb", buffering=0) as f:
        i = 0
        while not ended.is_set():
            b = line(i, size, end)
            for at in range(0, len(b), piece):
                f.write(b[at:at + piece])
                if ended.wait(pause if at == 0 else 0.002):
                    return
            i += 1

def buffered(name):
    with open(name, "w") as f:  # 8 KiB at a time, wherever a line is
        i = 0
        while not ended.is_set():
            f.write(json.dumps({"n": i, "text": "x" * 700}) + "\n")
            i += 1
            ended.wait(0.02)

def rewritten(name):
    i = 0
    while not ended.is_set():
        with open(name, "wb", buffering=0) as f:  # cut to nothing, and written anew in pieces
            for _ in range(5):
                b = line(i, 200)
                f.write(b[:50])
                ended.wait(0.05)
                f.write(b[50:])
                i += 1
        ended.wait(0.3)

jobs = [
    (pieces, "claude/projects/x/session.jsonl", 300, 150, 0.4),
    (pieces, "codex/rollout-1.jsonl", 150_000, 4096, 0.2),
    (pieces, "copilot/events.jsonl", 40, 7, 0.1),
    (pieces, "crlf.jsonl", 60, 61, 0.2, b"\r\n"),
    (pieces, "events.log", 200, 90, 0.3),
    (buffered, "buffered.jsonl"),
    (rewritten, "rewritten.jsonl"),
]
for job in jobs:
    os.makedirs(os.path.dirname(job[1]) or ".", exist_ok=True)
    threading.Thread(target=job[0], args=job[1:]).start()
print("writing", flush=True)
`

// linesAppender is a program of node that appends long lines.
const linesAppender = `
const fs = require("fs");
let n = 0;
process.stdin.resume().on("end", () => process.exit(0));
const next = () => fs.appendFile("node.jsonl", JSON.stringify({n: n++, text: "é".repeat(200000)}) + "\n", () => setTimeout(next, 50));
next();
console.log("writing");
`

// linesReader reads each line of each file below a directory as JSON, and says how many.
const linesReader = `
import json, os, sys
files = lines = 0
for top, dirs, names in os.walk(sys.argv[1]):
    for name in names:
        path = os.path.join(top, name)
        if not name.endswith((".jsonl", "events.log")):
            continue
        data = open(path, "rb").read()
        if name == "events.log" and b"\n" not in data:
            continue # a name that does not tell: its first whole line does
        files += 1
        for n, text in enumerate(data.splitlines(True)):
            try:
                got = json.loads(text)
                assert got.get("len", 0) == len(got.get("text", "")) or "len" not in got
            except Exception as e:
                print("%s, line %d of %d bytes: %s: %r" % (os.path.relpath(path, sys.argv[1]), n, len(text), e, text[-40:]))
            lines += 1
print("read %d lines of %d files" % (lines, files))
`

// writer runs a program in the machine's folder until the result is called, once it said
// that it writes.
func (m *machine) writer(name string, args ...string) (end func()) {
	m.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Stderr = m.dir, os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err == nil {
		_, err = bufio.NewReader(out).ReadString('\n')
	}
	if err != nil {
		m.t.Fatalf("%s: %v", name, err)
	}
	ended := false
	end = func() {
		if !ended {
			ended = true
			_, _ = in.Close(), cmd.Wait()
		}
	}
	m.t.Cleanup(end)
	return end
}

// lines reads each line of JSON that a generation has, in python.
func (m *machine) lines(generation int64) (wrong []string) {
	m.t.Helper()
	dir := filepath.Join(m.t.TempDir(), "generation")
	m.must("history", "restore", "--at", fmt.Sprint(generation), "--to", dir)
	return m.parse(dir)
}

func (m *machine) parse(dir string) (wrong []string) {
	m.t.Helper()
	out, err := exec.Command("python3", "-c", linesReader, dir).CombinedOutput()
	said := strings.Split(strings.TrimSpace(string(out)), "\n")
	last := said[len(said)-1]
	if err != nil || !strings.HasPrefix(last, "read ") {
		m.t.Fatalf("python3: %v\n%s", err, out)
	}
	m.t.Log(last)
	return said[:len(said)-1]
}

// A generation ended in half a line, of which a reader on the next machine could make nothing.
func TestEachGenerationHasWholeLines(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	for _, m := range []*machine{a, b} {
		m.spec(func(o *specOptions) {
			o.TTL, o.Renew = "120s", "20s"
			o.Replicas[0].Interval, o.Replicas[0].Watch = 24*3600, true
		})
	}
	seed := seedFromEnv(t)
	a.start()
	ends := []func(){a.writer("python3", "-c", linesWriter, fmt.Sprint(seed)), a.writer("node", "-e", linesAppender)}
	first := a.status().Lease.Generation
	for a.status().Lease.Generation < first+5 {
		if _, talk, code := a.run("sync"); code != 0 && code != 6 {
			t.Fatalf("sync ended with %d: %s", code, talk)
		}
	}
	wanted := a.status().Lease.Generation + 2
	a.await("two generations that the watch brought", func(d status.Document) bool { return d.Lease.Generation >= wanted })
	before := a.read("claude/projects/x/session.jsonl")
	a.stop()
	for _, end := range ends {
		end()
	}
	whole := 0
	for _, g := range w.generations() {
		if g.Number > wanted {
			continue // it may be of the stop, which takes all there is
		}
		whole++
		for _, wrong := range b.lines(g.Number) {
			t.Errorf("generation %d: %s", g.Number, wrong)
		}
	}
	if whole < 7 {
		t.Errorf("%d generations were read", whole)
	}
	b.start()
	if got := b.read("claude/projects/x/session.jsonl"); !strings.HasPrefix(got, before) {
		t.Errorf("the next machine has %d bytes, where %d were written before the stop", len(got), len(before))
	}
}

// A last line of which the beginning is written is in the account until it goes, and it goes
// when its rest comes, when nobody writes any more, or at a stop: whatever it ends in.
func TestHalfALineIsOnlyHere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	for _, m := range []*machine{a, b} {
		m.spec(func(o *specOptions) {
			o.TTL, o.Renew = "120s", "20s"
			o.Replicas[0].Interval, o.Replicas[0].Watch = 24*3600, true
		})
	}
	a.write("old.jsonl", "{\"n\":1}\n{\"n\":")
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(a.path("old.jsonl"), old, old); err != nil {
		t.Fatal(err)
	}
	a.write("done.jsonl", "{\"n\":1}\n{\"n\":2}")
	a.write("text.log", "one\ntw")
	a.write("head.bin", "{\"n\":1}\n\x00\x01")
	a.start()
	a.sync()
	const first = "{\"n\":1}\n"
	holds := func(name, want string) {
		t.Helper()
		dir := filepath.Join(t.TempDir(), "now")
		gens := w.generations()
		b.must("history", "restore", "--at", fmt.Sprint(gens[len(gens)-1].Number), "--to", dir)
		if got, err := os.ReadFile(dir + "/" + name); string(got) != want {
			t.Errorf("the bucket has %q of %s, want %q: %v", got, name, want, err)
		}
	}
	holds("old.jsonl", "{\"n\":1}\n{\"n\":")
	holds("text.log", "one\ntw")
	holds("head.bin", "{\"n\":1}\n\x00\x01")

	a.write("s.jsonl", first+`{"n":`)
	a.young("s.jsonl")
	a.leaves([]string{"sync"}, "s.jsonl", "last line is not whole")
	holds("s.jsonl", first)
	a.await("the line is only here", func(d status.Document) bool { // what the watch saw meanwhile may wait for a step
		r := replicaIn(t, d, "workspace")
		return r.State == status.ReplicaSyncing && len(r.OnlyHere) == 1 && r.OnlyHere[0].Reason == account.Unfinished && r.OnlyHere[0].Bytes == 5
	})
	extend(t, a.path("s.jsonl"), "2}\n")
	a.sync()
	holds("s.jsonl", first+"{\"n\":2}\n")

	extend(t, a.path("s.jsonl"), `{"n":3`)
	a.young("s.jsonl")
	a.leaves([]string{"sync"}, "s.jsonl")
	a.await("the file is at rest, and all of it in the bucket", synced) // no other event than time
	holds("s.jsonl", first+"{\"n\":2}\n{\"n\":3")
	extend(t, a.path("s.jsonl"), `4`)
	a.young("s.jsonl")
	a.leaves([]string{"sync"}, "s.jsonl")
	holds("s.jsonl", first+"{\"n\":2}\n{\"n\":3") // what is there is not taken back
	a.write("old.jsonl", first+`{"n`)             // cut short, and written anew
	a.young("old.jsonl", "s.jsonl")
	a.leaves([]string{"sync"}, "old.jsonl", "s.jsonl")
	holds("old.jsonl", first)
	a.write("new.jsonl", `{"n":`)
	a.stop()
	b.start()
	for name, want := range map[string]string{"s.jsonl": first + "{\"n\":2}\n{\"n\":34", "new.jsonl": `{"n":`} {
		if got := b.read(name); got != want {
			t.Errorf("the next machine has %q of %s, want %q", got, name, want)
		}
	}
	if left := w.leftBehind(a.name); len(left) > 0 {
		t.Errorf("the head says %v", left)
	}
}

// TestHalfALineCatchesMutants holds that a "synced" is noticed that is said while the beginning
// of a line is in no generation. A stop leaves none of them, so that TestTruth does not.
func TestHalfALineCatchesMutants(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine("a")
	m.program = mutable(t)
	for _, reason := range []account.Reason{"", account.Unfinished} {
		m.env["COLTEC_TEST_ACCOUNT_MUTANT"] = string(reason)
		m.spec(nil)
		m.write("s.jsonl", "{\"n\":1}\n")
		m.start()
		m.sync()
		extend(t, m.path("s.jsonl"), `{"n":`)
		m.young("s.jsonl")
		_, _, code := m.run("sync")
		dir := filepath.Join(t.TempDir(), "now")
		m.must("history", "restore", "--at", fmt.Sprint(m.status().Lease.Generation), "--to", dir)
		got, err := os.ReadFile(dir + "/s.jsonl")
		if err != nil {
			t.Fatal(err)
		}
		if lies := code == 0 && string(got) != m.read("s.jsonl"); lies != (reason != "") {
			t.Errorf("an account without %q: sync ended with %d, and the bucket has %q", reason, code, got)
		}
		m.stop()
	}
}

// young has files be at rest some seconds later than they are: where the machine is slow a verb
// takes that long.
func (m *machine) young(names ...string) {
	m.t.Helper()
	for _, name := range names {
		at := time.Now().Add(localfs.LinesRest - 2*time.Second)
		if err := os.Chtimes(m.path(name), at, at); err != nil {
			m.t.Fatal(err)
		}
	}
}

// extend appends to a file.
func extend(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		_, err = io.WriteString(f, text)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}
