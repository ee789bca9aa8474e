package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/status"
)

// workState is all that a rewind takes back, as programs that know nothing of coltecd see it.
type workState struct {
	Files    map[string]node
	Git      map[string]string
	Database string
}

// state looks at a machine whose repository is repo and whose database is data/l.db.
func (m *machine) state() workState {
	m.t.Helper()
	s := workState{Files: treeOf(m.t, m.dir, ".coltec", ".devcontainer", "repo/.git", "data"), Git: map[string]string{}}
	for _, q := range questions {
		s.Git[strings.Join(q, " ")] = m.git("repo", q...)
	}
	if out, err := m.tryGit("repo", "fsck", "--full", "--strict"); err != nil {
		m.t.Errorf("git fsck: %v\n%s", err, out)
	}
	s.Database = dump(m.t, m.path("data/l.db"))
	return s
}

// dump is a database as SQL, which must be sound.
func dump(t *testing.T, path string) string {
	t.Helper()
	const program = `import hashlib, sqlite3, sys
c = sqlite3.connect(sys.argv[1])
print(c.execute("PRAGMA integrity_check").fetchall(), hashlib.sha256("\n".join(c.iterdump()).encode()).hexdigest())`
	out, err := exec.Command("python3", "-c", program, path).CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "[('ok',)]") {
		t.Errorf("%s: %v\n%s", path, err, out)
	}
	return string(out)
}

// work makes a workspace with something of each kind.
func (m *machine) work() {
	m.t.Helper()
	m.seed()
	for i := range 60 {
		m.write(fmt.Sprintf("many/%d", i), fmt.Sprint("one of many ", i))
	}
	m.history("repo", 3)
	m.everyKind("repo")
	m.ledger("data/l.db", "wal", 200)
}

// workOn changes all of it, and takes most files away.
func (m *machine) workOn() {
	m.t.Helper()
	m.change()
	m.remove("many")
	m.write("many", "a file now")
	m.git("repo", "commit", "-q", "--allow-empty", "-m", "later")
	m.git("repo", "branch", "another")
	m.write("repo/more.txt", "not committed")
	m.ledgerShell("data/l.db", "few", "few", "few").kill()
}

// A workspace goes back to a checkpoint and again to where it was: each file, repository and
// database equals what it was, and who asks git or SQLite sees no difference. Services stand
// still meanwhile.
func TestRewind(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	starts := filepath.Join(t.TempDir(), "starts")
	a.spec(func(o *specOptions) {
		o.Services = []map[string]any{{"name": "web", "command": []string{"sh", "-c", "echo x >> " + starts + "; exec sleep 1000"}, "after": []string{"restore"}}}
	})
	a.work()
	a.start()
	a.must("checkpoint", "good")
	then := a.state()
	a.workOn()
	a.must("sync", "--allow-delete")
	now := a.state()

	a.refused(2, "nobody can be asked", "rewind", "good")
	would := answer[control.Rewound](a, "rewind", "good", "--dry-run")
	if len(would.Replicas) != 1 || would.Generation != 0 || would.Replicas[0].Added == 0 || would.Replicas[0].Changed == 0 || would.Replicas[0].Removed == 0 {
		t.Errorf("%+v", would)
	}
	if diff := cmp.Diff(now, a.state()); diff != "" {
		t.Errorf("a dry run has changed something: %s", diff)
	}
	done := answer[control.Rewound](a, "rewind", "good", "--yes")
	if diff := cmp.Diff(then, a.state()); diff != "" {
		t.Errorf("it is not what it was: %s", firstLines(diff, 80))
	}
	if !slices.Equal(done.Stopped, []string{"web"}) || done.Generation == 0 || done.Generation != a.status().Lease.Generation {
		t.Errorf("%+v", done)
	}
	eventually(t, "the service runs again", func() error {
		b, err := os.ReadFile(starts)
		if string(b) != "x\nx\n" {
			return fmt.Errorf("%q, %v", b, err)
		}
		return nil
	})
	if got := kept(t, a.dir, "conflicts"); len(got) > 0 {
		t.Errorf("nobody edited meanwhile, and aside are %q", got)
	}
	if doc := a.status(); len(doc.Attention) > 0 {
		t.Errorf("attention: %q", doc.Attention)
	}
	again := answer[control.Rewound](a, "rewind", "good", "--yes")
	if again.Generation != 0 || again.Before != "" {
		t.Errorf("there was nothing to do: %+v", again)
	}
	a.must("rewind", done.Before, "--yes")
	if diff := cmp.Diff(now, a.state()); diff != "" {
		t.Errorf("there and back it is not what it was: %s", firstLines(diff, 80))
	}
	if list := answer[[]control.Checkpoint](a, "checkpoints"); len(list) != 3 {
		t.Errorf("%+v", list)
	}
	a.stop()
	b := w.machine("b")
	b.spec(nil)
	b.start()
	sameTree(t, now.Files, treeOf(t, b.dir, ".coltec", ".devcontainer", "repo/.git", "data"))
	sameRepository(t, a, b.dir, "repo")
	if got := dump(t, b.path("data/l.db")); got != now.Database {
		t.Errorf("elsewhere the database is %s, and was %s", got, now.Database)
	}
}

// Only a path goes back, with the wholes in it.
func TestRewindPath(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	a.spec(nil)
	a.work()
	a.start()
	a.must("checkpoint", "good")
	then := a.state()
	a.workOn()
	a.must("sync", "--allow-delete")
	now := a.state()
	a.refused(1, "only valid as a whole", "rewind", "good", "--path", a.path("repo/.git/HEAD"), "--yes")
	a.refused(1, "nothing at that path", "rewind", "good", "--path", a.path("nowhere"), "--yes")
	a.must("rewind", "good", "--path", a.path("repo"), "--yes")
	got := a.state()
	if diff := cmp.Diff(then.Git, got.Git); diff != "" {
		t.Errorf("the repository is not what it was: %s", firstLines(diff, 80))
	}
	if got.Database != now.Database {
		t.Error("the database is beside the path")
	}
	a.must("rewind", "good", "--path", a.path("data"), "--yes")
	if got := a.state(); got.Database != then.Database {
		t.Error("the database is not what it was")
	}
	a.must("rewind", "good", "--path", a.path("many"), "--yes")
	a.must("rewind", "good", "--path", a.path("edit.txt"), "--yes")
	want := overlaid(now.Files, then.Files, "many", "edit.txt")
	for at, n := range then.Files {
		if strings.HasPrefix(at, `"many/`) || strings.HasPrefix(at, `"repo/`) {
			want[at] = n
		}
	}
	delete(want, `"repo/more.txt"`)
	sameTree(t, want, a.state().Files)
}

// Two states are compared by names and contents of files, by refs of repositories, and
// databases as one.
func TestCompare(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	a.spec(nil)
	a.work()
	a.start()
	a.must("checkpoint", "good")
	first := strings.TrimSpace(a.git("repo", "rev-parse", "HEAD"))
	a.workOn()
	second := strings.TrimSpace(a.git("repo", "rev-parse", "HEAD"))
	a.must("sync", "--allow-delete")
	found := answer[control.Comparison](a, "compare", "good", "--diff")
	by := map[string]control.Difference{}
	for _, d := range found.Replicas["workspace"] {
		by[d.Path] = d
	}
	for path, want := range map[string]control.Difference{
		"edit.txt":    {What: "changed", Kind: "file", Before: 6, After: 5, Diff: "--- edit.txt\n+++ edit.txt\n@@ -1 +1 @@\n-before\n\\ No newline at end of file\n+after\n\\ No newline at end of file\n"},
		"gone.txt":    {What: "removed", Kind: "file", Before: 13},
		"mode.sh":     {What: "mode or time", Kind: "file", Before: 10, After: 10},
		"link":        {What: "changed", Kind: "link"},
		"empty too":   {What: "added", Kind: "directory"},
		"big.bin":     {What: "changed", Kind: "file", Before: 300 << 10, After: 300 << 10, Note: "too large to compare"},
		"data/l.db":   {What: "changed", Kind: "database"},
		"repo/.git":   {What: "changed", Kind: "repository"},
		"src/0.txt":   {},
		"many/0":      {What: "removed", Kind: "file", Before: 13},
		"added.txt":   {What: "added", Kind: "file", After: 5},
		"repo/no.txt": {},
	} {
		got := by[path]
		if want.Diff == "" && want.Kind != "" {
			got.Diff = ""
		}
		if want.Kind == "database" || want.Kind == "repository" || want.Kind == "link" {
			got.Before, got.After = 0, 0
		}
		if got.Path, got.Refs = "", nil; !cmp.Equal(want, got) {
			t.Errorf("%s: %+v", path, by[path])
		}
	}
	head := strings.TrimSpace(a.git("repo", "symbolic-ref", "HEAD"))
	want := []control.RefChange{{Ref: head, Before: first, After: second}, {Ref: "refs/heads/another", After: second}}
	for _, ref := range want {
		if !slices.Contains(by["repo/.git"].Refs, ref) {
			t.Errorf("%+v is not among %+v", ref, by["repo/.git"].Refs)
		}
	}
	a.comparesWholes(head)
	if out := a.must("compare", "good", "now", a.path("src")); strings.TrimSpace(out) != "" {
		t.Errorf("nothing in it differs: %s", out)
	}
	if out := a.must("compare", "good", "good", "--stat"); !strings.HasPrefix(out, "workspace: 0 added, 0 changed, 0 removed") {
		t.Errorf("it says %q", out)
	}
	a.refused(2, "compare needs A", "compare")
	a.refused(1, "neither a generation nor a time", "compare", "nothing")
}

// comparesWholes holds what a comparison says of commits and rows against git and SQLite.
func (m *machine) comparesWholes(branch string) {
	m.t.Helper()
	found := answer[control.Comparison](m, "compare", "good", "--wholes")
	opened := 0
	for _, d := range found.Replicas["workspace"] {
		switch d.Path {
		case "repo/.git":
			opened++
			i := slices.IndexFunc(d.Commits, func(c control.CommitChange) bool { return c.Ref == branch })
			if i < 0 || d.Commits[i].Ahead != 1 || d.Commits[i].Behind != 0 || !strings.HasSuffix(d.Commits[i].Subjects[0], " later") {
				m.t.Errorf("the branch %s: %+v", branch, d)
			}
		case "data/l.db":
			opened++
			if len(d.Tables) == 0 {
				m.t.Errorf("of its rows nothing is said: %+v", d)
			}
			for _, table := range d.Tables {
				rows, err := exec.Command("sqlite3", m.path("data/l.db"), `SELECT count(*) FROM "`+table.Table+`"`).CombinedOutput()
				if err != nil || strings.TrimSpace(string(rows)) != fmt.Sprint(table.After) || table.Before == table.After || table.Before == 0 {
					m.t.Errorf("table %+v has %s rows, %v", table, rows, err)
				}
			}
		}
	}
	if opened != 2 {
		m.t.Errorf("%d were opened, want 2", opened)
	}
	if out := m.must("compare", "good", "--wholes"); !strings.Contains(out, " ahead, 0 behind\n") || !strings.Contains(out, "  table ") {
		m.t.Errorf("it says %s", out)
	}
}

// What is edited while it is taken back is not lost: it stays, or lies aside.
func TestRewindUnderEdits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	a.spec(nil)
	a.work()
	a.start()
	a.must("checkpoint", "good")
	a.workOn()
	a.must("sync", "--allow-delete")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan map[string]string)
	go func() { // each edit is a file of its own content
		wrote := map[string]string{}
		for i := 0; ctx.Err() == nil; i++ {
			rel, body := fmt.Sprintf("src/%d.txt", i%12), fmt.Sprint("edit ", i)
			if err := os.WriteFile(a.path(rel), []byte(body), 0o644); err == nil {
				wrote[rel] = body
			}
		}
		ended <- wrote
	}()
	_, _, _ = a.run("rewind", "good", "--yes") // what is written all the time may be said to be missing
	cancel()
	wrote := <-ended
	a.sync()
	aside := kept(t, a.dir, "conflicts")
	for rel, body := range wrote {
		if a.missing(rel) || a.read(rel) != body && aside[rel] != body {
			t.Errorf("%s: %q was written last, and is neither there nor aside", rel, body)
		}
	}
	if a.read("edit.txt") != "before" {
		t.Error("what nobody edited is not what it was")
	}
}

// What a program has deleted by mistake comes back, also where so much is gone that it waits
// for a person's word.
func TestRewindOfHeldDeletions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	a.spec(nil)
	a.seed()
	for i := range 60 {
		a.write(fmt.Sprintf("many/%d", i), fmt.Sprint("one of many ", i))
	}
	a.start()
	a.must("checkpoint", "good")
	then := a.tree()
	a.remove("many")
	a.remove("src")
	now := a.tree()
	_, _, _ = a.run("sync")
	held := a.replicaStatus("workspace").OnlyHere
	a.must("rewind", "good", "--yes")
	sameTree(t, then, a.tree())
	list := answer[[]control.Checkpoint](a, "checkpoints")
	a.must("rewind", list[len(list)-1].Name, "--yes")
	sameTree(t, now, a.tree())
	a.quiet()
	t.Logf("what waited: %+v", held)
}

// A program of a service may ask for a rewind, which stops the service: it goes on without whom
// it was for, and the service runs again.
func TestRewindByAService(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	asked, spec := filepath.Join(t.TempDir(), "asked"), a.path(".devcontainer/workspace-spec.yaml")
	program := a.command(t.Context()).Path
	a.spec(func(o *specOptions) {
		script := fmt.Sprintf(`if rm %q; then exec %q --config %q rewind good --yes; fi; exec sleep 1000`, asked, program, spec)
		o.Services = []map[string]any{{"name": "agent", "command": []string{"sh", "-c", script}, "after": []string{"restore"}}}
	})
	a.seed()
	a.start()
	a.must("checkpoint", "good")
	then := a.tree()
	a.change()
	a.sync()
	if err := os.WriteFile(asked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	a.must("restart", "agent")
	a.await("what it was, and the service", func(doc status.Document) bool {
		return doc.Lease.Generation > 2 && len(doc.Units) == 1 && doc.Units[0].State == "running" && cmp.Equal(then, a.tree())
	})
}

// crashInRewind kills it in a rewind: the next start is at either side, whole, and what was
// stopped for it runs again.
func crashInRewind(t *testing.T, at string) {
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	b.spec(nil)
	a.spec(func(o *specOptions) { // nobody else takes it: the lease of a killed one is its own
		o.Services = []map[string]any{{"name": "web", "command": []string{"sleep", "1000"}, "after": []string{"restore"}}}
	})
	a.work()
	a.start()
	a.must("checkpoint", "good")
	then := a.state()
	a.workOn()
	a.must("sync", "--allow-delete")
	now := a.state()
	a.stop()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := a.command(ctx, "run")
	cmd.Env = append(cmd.Env, killpoint.Variable+"="+at)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	running := func(doc status.Document) bool {
		return doc.Lease.State == status.LeaseHeld && slices.ContainsFunc(doc.Units, func(u status.Unit) bool { return u.Name == "web" && u.State == "running" })
	}
	a.await("the service runs", running)
	if _, talk, code := a.run("rewind", "good", "--yes"); code == 0 {
		t.Errorf("the rewind was told: %s", talk)
	}
	_ = cmd.Wait()
	a.write("added while down.txt", "added while down")
	a.start()
	a.await("the service runs again", running)
	a.sync()
	want := now
	if at != "rewind:kept" && at != "rewind:published" {
		want = then
	}
	want.Files["\"added while down.txt\""], _ = nodeOf(a.path("added while down.txt"))
	got := a.state()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("after a kill at %s it is at neither side: %s", at, firstLines(diff, 80))
	}
	a.stop()
	b.start()
	sameTree(t, got.Files, treeOf(t, b.dir, ".coltec", ".devcontainer", "repo/.git", "data"))
	sameRepository(t, a, b.dir, "repo")
}
