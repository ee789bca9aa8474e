package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// What is in a bucket can be read without Coltec: docs/example/read_bucket.py,
// which knows docs/storage.md and nothing else, writes the same tree.
func TestAnotherLanguageReadsTheBucket(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"python3", "zstd"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("this needs %s: apt-get install %[1]s", tool)
		}
	}
	w := newWorld(t)
	m := w.machine("a")
	m.spec(nil)
	m.seed()
	for name, content := range map[string]string{
		"sp ace/qu'o\"te.txt": "quoted", "new\nline": "newline", "bad\xff\xfe": "no UTF-8", "per%20cent": "percent", "empty.txt": "",
		"ünï/文字": "letters", "large.bin": scrambled(4, 9<<20), "text.txt": string(make([]byte, 200<<10)),
	} {
		m.write(name, content)
	}
	m.chmod("mode.sh", 0o751)
	m.history("repo", 20)
	m.everyKind("repo")
	m.start()
	m.sync()
	first, at := m.files(), m.status().Lease.Generation
	m.write("edit.txt", "so little that the manifest is a difference")
	m.sync()
	second := m.files()
	m.change()
	m.stop()
	read := func(more ...string) map[string]node {
		t.Helper()
		out := t.TempDir()
		args := append([]string{"../docs/example/read_bucket.py", filepath.Join(w.s3.Dir, w.s3.Bucket), workspaceName, out}, more...)
		if text, err := exec.Command("python3", args...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		sameRepository(t, m, filepath.Join(out, "workspace"), "repo")
		return treeOf(t, filepath.Join(out, "workspace"), "repo/.git")
	}
	sameTree(t, m.files(), read())
	sameTree(t, first, read(strconv.FormatInt(at, 10)))
	sameTree(t, second, read(strconv.FormatInt(at+1, 10)))
	var sizes []int64
	for key, size := range w.objects() {
		if strings.Contains(key, "/m/") {
			sizes = append(sizes, size)
		}
	}
	if len(sizes) != 3 || slices.Min(sizes) > slices.Max(sizes)/2 {
		t.Errorf("no manifest is a difference: %v", sizes)
	}
}

// Databases, too: with the log that was written for them any SQLite opens them.
func TestAnotherLanguageReadsDatabases(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine("a")
	m.spec(nil)
	m.ledger("data/l.db", "wal", 100)
	m.ledger("data/m.db", "delete", 100)
	m.once()
	m.ledgerShell("data/l.db", "few", "few").kill()
	m.ledgerShell("data/m.db", "few").kill()
	m.once()
	out := t.TempDir()
	if text, err := exec.Command("python3", "../docs/example/read_bucket.py", filepath.Join(w.s3.Dir, w.s3.Bucket), workspaceName, out).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	holdsLedger(t, "with a log", filepath.Join(out, "workspace/data/l.db"), 2, 2)
	holdsLedger(t, "without", filepath.Join(out, "workspace/data/m.db"), 1, 1)
}

// So are directories with a consistency: each file lies where it belongs, all of a tree too.
func TestAnotherLanguageReadsFrozenDirectories(t *testing.T) {
	t.Parallel()
	for _, consistency := range []any{"freeze", []map[string]any{{"path": "data/db", "by": "freeze"}}} {
		w := newWorld(t)
		m := w.machine("a")
		m.spec(func(o *specOptions) { o.Replicas[0].Consistency = consistency })
		m.write("data/db/sub/1", "one")
		m.write("file", "two")
		m.once()
		out := t.TempDir()
		if text, err := exec.Command("python3", "../docs/example/read_bucket.py", filepath.Join(w.s3.Dir, w.s3.Bucket), workspaceName, out).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		for path, want := range map[string]string{"data/db/sub/1": "one", "file": "two"} {
			if got, err := os.ReadFile(filepath.Join(out, "workspace", path)); err != nil || string(got) != want {
				t.Errorf("%v: %s is %q, %v", consistency, path, got, err)
			}
		}
	}
}

// A change in a large file sends what changed: 1 MB appended to one, and 1 MB
// changed and inserted in its middle. Its copy and its rename send nothing.
func TestChangeInALargeFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine("a")
	m.spec(seldom) // no cycle but those that are asked for
	const mega = 1 << 20
	content := scrambled(5, 128*mega)
	more := scrambled(6, mega)
	m.write("large.bin", content)
	m.start()
	m.sync()
	steps := []struct {
		name  string
		limit int64
		do    func()
	}{
		{"appended", 8e6, func() { content += more; m.write("large.bin", content) }},
		{"changed", 8e6, func() { content = content[:50*mega] + more + content[51*mega:]; m.write("large.bin", content) }},
		{"inserted", 8e6, func() { content = content[:90*mega] + more + content[90*mega:]; m.write("large.bin", content) }},
		{"copied", 1e6, func() { m.write("sub/copy.bin", content) }},
		{"renamed", 1e6, func() { m.remove("large.bin"); m.write("renamed.bin", content) }},
	}
	for _, step := range steps {
		step.do()
		w.proxy.Reset()
		m.sync()
		if total := w.proxy.Total(); total.Sent > step.limit || total.Sent == 0 {
			t.Errorf("%s: %d bytes were sent, want at most %d", step.name, total.Sent, step.limit)
		} else {
			t.Logf("%s: %d bytes were sent", step.name, total.Sent)
		}
	}
	m.stop()
	b := w.machine("b")
	b.spec(nil)
	b.start()
	sameTree(t, m.tree(), b.tree())
}

// The host writes a workspace out without a container: the newest state, and an
// older one.
func TestExport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine("a")
	m.spec(func(o *specOptions) {
		o.Replicas = append(o.Replicas, m.replica("context", m.path("agent context")))
	})
	m.seed()
	m.write("agent context/memory", "first")
	m.start()
	m.sync()
	tree := func(root string) map[string]node {
		return treeOf(t, root, ".coltec", ".devcontainer", "agent context/.coltec")
	}
	first, at := tree(m.dir), m.status().Lease.Generation
	m.change()
	m.write("agent context/memory", "second")
	m.stop()
	export := func(code int, words string, args ...string) {
		t.Helper()
		cmd := m.command(t.Context(), append([]string{"export"}, args...)...)
		cmd.Path = coltec
		out, _ := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != code || !strings.Contains(string(out), words) {
			t.Errorf("coltec export %q ended with %d, want %d and %q:\n%s", args, got, code, words, out)
		}
	}
	m.trust()
	now, then := filepath.Join(t.TempDir(), "now it is"), filepath.Join(t.TempDir(), "then")
	export(0, "workspace: ", m.dir, now)
	sameTree(t, tree(m.dir), tree(now))
	export(0, "context: ", m.dir, then, "--at", strconv.FormatInt(at, 10))
	sameTree(t, first, tree(then))
	alone := filepath.Join(t.TempDir(), "alone")
	export(0, "context: 1 file or directory in "+alone+"\n", m.dir, alone, "--replica", "context")
	if text, err := os.ReadFile(filepath.Join(alone, "memory")); err != nil || string(text) != "second" {
		t.Errorf("%q, %v", text, err)
	}
	export(2, "did you mean context?", m.dir, filepath.Join(t.TempDir(), "x"), "--replica", "contxt")
	again := filepath.Join(t.TempDir(), "again")
	export(0, "context: 1 file or directory in "+filepath.Join(again, "agent context"), m.dir, again)
	export(1, "it is not empty", m.dir, now)
	export(1, "no workspace in", t.TempDir(), filepath.Join(t.TempDir(), "x"))
	delete(m.env, "RCLONE_BUCKET")
	export(1, "RCLONE_BUCKET", m.dir, filepath.Join(t.TempDir(), "x"))
}
