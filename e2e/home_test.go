package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/status"
)

// housed is a machine whose user has a home of its own, with a replica of it beside that of
// the folder.
func (w *world) housed(name string, more ...func(*specOptions)) *machine {
	w.t.Helper()
	m := w.machine(name)
	m.env["HOME"] = filepath.Join(filepath.Dir(m.dir), "home")
	if err := os.MkdirAll(m.env["HOME"], 0o750); err != nil {
		w.t.Fatal(err)
	}
	m.spec(func(o *specOptions) {
		home := m.replica("home", "~")
		home.Priority, home.Exclude = 0, []string{"*.lock", ".claude/sessions/**"}
		home.Include = []string{".claude", ".claude.json", ".codex/sessions", ".local/share/opencode", ".gemini/tmp/*/chats"}
		o.Replicas = append(o.Replicas, home)
		for _, change := range more {
			change(o)
		}
	})
	return m
}

// atHome writes a file in the machine's home.
func (m *machine) atHome(path, text string) {
	m.t.Helper()
	file := filepath.Join(m.env["HOME"], path)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

// has holds a file of the home to its text; "" is a file that is not there.
func (m *machine) has(path, want string) {
	m.t.Helper()
	b, err := os.ReadFile(filepath.Join(m.env["HOME"], path))
	if string(b) != want || (err != nil) != (want == "") {
		m.t.Errorf("%s: ~/%s is %q (%v), want %q", m.name, path, b, err, want)
	}
}

// A replica of the home carries what its include lists, and nothing else of it: not there, and
// not in the bucket. What is not listed is never deleted, nor is the home itself touched.
func TestHome(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a, b := w.housed("a"), w.housed("b")
	const canary = "not to be carried"
	a.atHome(".claude/projects/-w/1.jsonl", "{\"turn\":1}\n")
	a.atHome(".claude/sessions/77.json", canary)
	a.atHome(".claude.json", "{}\n")
	a.atHome(".codex/sessions/2026/01/02/rollout-1.jsonl", "{\"turn\":1}\n")
	a.atHome(".codex/auth.json", canary)
	a.atHome(".gemini/tmp/p/chats/session-1.jsonl", "{\"turn\":1}\n")
	a.atHome(".gemini/tmp/p/logs.json", canary)
	a.atHome(".ssh/id_ed25519", canary)
	a.atHome(".git/HEAD", "ref: refs/heads/dotfiles\n") // a home that is a repository is not carried as one
	a.atHome("notes", canary)
	b.atHome(".ssh/id_ed25519", "of b")
	b.atHome(".claude/sessions/78.json", "of b")
	before, err := os.Stat(b.env["HOME"])
	if err != nil {
		t.Fatal(err)
	}
	a.start()
	a.sync()
	a.stop()
	b.start()
	for path, text := range map[string]string{
		".claude/projects/-w/1.jsonl": "{\"turn\":1}\n", ".claude.json": "{}\n", ".gemini/tmp/p/chats/session-1.jsonl": "{\"turn\":1}\n",
		".codex/sessions/2026/01/02/rollout-1.jsonl": "{\"turn\":1}\n", ".ssh/id_ed25519": "of b", ".claude/sessions/78.json": "of b",
		".claude/sessions/77.json": "", ".codex/auth.json": "", ".gemini/tmp/p/logs.json": "", "notes": "", ".git/HEAD": "",
	} {
		b.has(path, text)
	}
	if after, err := os.Stat(b.env["HOME"]); err != nil || after.Mode() != before.Mode() {
		t.Errorf("the home is %v now, and was %v: %v", after.Mode(), before.Mode(), err)
	}
	if err := os.RemoveAll(filepath.Join(b.env["HOME"], ".gemini")); err != nil {
		t.Fatal(err)
	}
	b.sync("--allow-delete")
	b.stop()
	a.start()
	a.has(".gemini/tmp/p/chats/session-1.jsonl", "")
	a.has(".gemini/tmp/p/logs.json", canary)
	a.has(".ssh/id_ed25519", canary)
	// What is not included any more stays, on both machines.
	narrow := func(o *specOptions) { o.Replicas[1].Include = []string{".claude/projects"} }
	a.stop()
	for _, m := range []*machine{a, b} {
		m.spec(func(o *specOptions) {
			home := m.replica("home", "~")
			home.Priority, home.Exclude = 0, nil
			o.Replicas = append(o.Replicas, home)
			narrow(o)
		})
	}
	a.once()
	b.once()
	for _, m := range []*machine{a, b} {
		m.has(".claude.json", "{}\n")
		m.has(".codex/sessions/2026/01/02/rollout-1.jsonl", "{\"turn\":1}\n")
	}
	for name, text := range w.exported("home") {
		if strings.Contains(text, canary) || strings.Contains(text, "dotfiles") {
			t.Errorf("%s in the bucket has what is not included", name)
		}
	}
}

// exported gives the files of a replica's newest generation, by their names.
func (w *world) exported(replica string) map[string]string {
	w.t.Helper()
	m, dir := w.machines[0], filepath.Join(w.t.TempDir(), "out")
	m.must("history", "restore", "--at", "1", "--to", dir, m.env["HOME"])
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var b []byte
			b, err = os.ReadFile(p)
			all[p] = string(b)
		}
		return err
	})
	if err != nil || len(all) == 0 {
		w.t.Fatalf("nothing of %s: %v", replica, err)
	}
	return all
}

// B was used before its restore: two conversations stay two, one that both have under one
// name is kept twice, and a database that both have is kept whole on both sides.
func TestHomeUsedBeforeTheRestore(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a, b := w.housed("a"), w.housed("b")
	const db = ".local/share/opencode/opencode.db"
	a.atHome(".claude/projects/-w/of-a.jsonl", "{\"turn\":\"a\"}\n")
	a.atHome(".claude.json", "{\"of\":\"a\"}\n")
	a.talk(db, "of a", 40)
	a.once()
	b.atHome(".claude/projects/-w/of-b.jsonl", "{\"turn\":\"b\"}\n")
	b.atHome(".claude.json", "{\"of\":\"b\"}\n")
	b.talk(db, "of b", 60)
	b.start()
	b.must("wait", "agents")
	b.has(".claude/projects/-w/of-a.jsonl", "{\"turn\":\"a\"}\n")
	b.has(".claude/projects/-w/of-b.jsonl", "{\"turn\":\"b\"}\n")
	listed := b.must("conflicts")
	for _, path := range []string{".claude.json", db} {
		if !strings.Contains(listed, path) {
			t.Errorf("conflicts does not name %s:\n%s", path, listed)
		}
	}
	talks := map[string]bool{}
	err := filepath.WalkDir(b.env["HOME"], func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.HasPrefix(d.Name(), "opencode") && strings.HasSuffix(d.Name(), ".db") {
			talks[talked(t, p)] = true
		}
		return err
	})
	if err != nil || !talks["of a 40"] || !talks["of b 60"] || len(talks) != 2 {
		t.Errorf("the databases hold %v, want both talks, each whole: %v\n%s", talks, err, listed)
	}
	b.stop()
}

// talk writes turns into a database as opencode does: in a log beside it, and closed without
// bringing them over.
func (m *machine) talk(path, who string, turns int) {
	m.t.Helper()
	file := filepath.Join(m.env["HOME"], path)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		m.t.Fatal(err)
	}
	python(m.t, `
import sqlite3, sys, os
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("pragma journal_mode=wal")
c.execute("create table if not exists turns (who text)")
for _ in range(int(sys.argv[3])): c.execute("insert into turns values (?)", (sys.argv[2],))
os._exit(0)
`, file, who, fmt.Sprint(turns))
}

// talked says what turns a whole database has.
func talked(t *testing.T, file string) string {
	t.Helper()
	return strings.TrimSpace(python(t, `
import sqlite3, sys
c = sqlite3.connect(sys.argv[1])
assert c.execute("pragma integrity_check").fetchone()[0] == "ok"
print(*("%s %d" % row for row in c.execute("select who, count(*) from turns group by who")), sep=", ")
`, file))
}

// A save of a line of one conversation costs three requests, however many agents' directories
// the replica has, and what lies beside them in the home is never looked at.
func TestHomeRequests(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a := w.housed("a", seldom, func(o *specOptions) { o.Replicas[1].Interval = 24 * 3600 })
	for i, path := range []string{".claude/projects/-w/1.jsonl", ".codex/sessions/2026/01/02/rollout-1.jsonl", ".gemini/tmp/p/chats/session-1.jsonl"} {
		a.atHome(path, fmt.Sprintf("{\"turn\":%d}\n", i))
	}
	a.talk(".local/share/opencode/opencode.db", "a", 10)
	a.start()
	a.sync()
	for range 3 {
		w.proxy.Reset()
		f, err := os.OpenFile(filepath.Join(a.env["HOME"], ".claude/projects/-w/1.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteString("{\"turn\":\"next\"}\n")
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		a.sync()
		if got := requested(w.proxy); got < 1 || got > 3 {
			t.Errorf("a line of a conversation: %d requests, want 3: %v", got, requestsOf(w.proxy))
		}
	}
	a.stop()
}

// What is not included is neither walked nor watched: a directory of it is not read. The time
// at which one was read last shows it; that of one that is included shows that it would.
func TestHomeIsNotWalked(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a := w.housed("a", func(o *specOptions) { o.Replicas[1].Watch = true })
	a.atHome(".claude/projects/-w/1.jsonl", "{}\n")
	for i := range sample.Size(2000, 50_000) {
		a.atHome(fmt.Sprintf("node_modules/m%d/index.js", i), "")
	}
	long := time.Unix(1_000_000_000, 0)
	read := func(path string) bool {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(a.env["HOME"], path), &st); err != nil {
			t.Fatal(err)
		}
		return st.Atim.Sec != long.Unix()
	}
	for _, path := range []string{"node_modules", "node_modules/m1", ".claude/projects"} {
		if err := os.Chtimes(filepath.Join(a.env["HOME"], path), long, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	a.start()
	a.sync()
	a.await("the tree is watched", func(d status.Document) bool { return d.State == status.Running })
	a.stop()
	if !read(".claude/projects") {
		t.Fatal("the file system here does not note when a directory is read: TMPDIR on one that does shows it")
	}
	if read("node_modules") || read("node_modules/m1") {
		t.Error("a directory that is not included was read")
	}
}

// A single file became a directory of its name. Programs replace it by renaming; each version
// is seen, and nothing beside it is carried.
func TestHomeFile(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	one := func(m *machine) {
		m.spec(func(o *specOptions) {
			file := m.replica("settings", "~/.claude.json")
			file.File, file.Watch, file.Exclude = true, true, nil
			o.Replicas = append(o.Replicas, file)
		})
	}
	a, b := w.housed("a"), w.housed("b")
	one(a)
	one(b)
	a.atHome("beside", "not carried")
	a.start() // nothing is there yet, and nothing is made
	a.has(".claude.json", "")
	for _, text := range []string{"{}\n", "{\"n\":2}\n"} {
		a.atHome(".claude.json.tmp", text)
		before := a.status().Lease.Generation
		if err := os.Rename(filepath.Join(a.env["HOME"], ".claude.json.tmp"), filepath.Join(a.env["HOME"], ".claude.json")); err != nil {
			t.Fatal(err)
		}
		a.await("the file is saved", func(d status.Document) bool { return d.Lease.Generation > before })
	}
	a.stop()
	b.start()
	b.has(".claude.json", "{\"n\":2}\n")
	b.has("beside", "")
	b.has(".claude.json.tmp", "")
	b.stop()
	if err := os.Remove(filepath.Join(b.env["HOME"], ".claude.json")); err != nil {
		t.Fatal(err)
	}
	b.atHome(".claude.json/odd", "")
	b.must("start")
	b.await("it is told that it is a directory", func(d status.Document) bool {
		return strings.Contains(replicaIn(t, d, "settings").LastError, "is a directory, and the spec says that it is a file")
	})
	if _, _, code := b.run("stop"); code != 6 {
		t.Errorf("stop ended with %d, and what was made here is not in the bucket", code)
	}
}

// python runs a program of Python, whose SQLite is the real one.
func python(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := exec.Command("python3", append([]string{"-c", program}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("python3: %v (apt-get install python3)\n%s", err, out)
	}
	return string(out)
}
