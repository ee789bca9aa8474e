package e2e

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

var _ = []any{json.Marshal, fmt.Sprint, time.Now, status.Running}
