package e2e

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coltec/coltec/pkg/status"
)

// synced says that no replica has anything left to do.
func synced(doc status.Document) bool {
	return len(doc.Replicas) > 0 && !slices.ContainsFunc(doc.Replicas, func(r status.Replica) bool { return r.State != status.ReplicaSynced })
}

// excluding writes the default spec with further patterns.
func (m *machine) excluding(patterns ...string) {
	m.t.Helper()
	m.spec(func(o *specOptions) { o.Replicas[0].Exclude = append(o.Replicas[0].Exclude, patterns...) })
}

// holds sees that files of a machine have these contents; "" is for one that
// must not be there.
func (m *machine) holds(want map[string]string) {
	m.t.Helper()
	for path, content := range want {
		switch {
		case content == "" && !m.missing(path):
			m.t.Errorf("%s: %s is there", m.name, path)
		case content != "" && m.missing(path):
			m.t.Errorf("%s: %s is gone", m.name, path)
		case content != "" && m.read(path) != content:
			m.t.Errorf("%s: %s is %q, want %q", m.name, path, m.read(path), content)
		}
	}
}

// with gives a copy of a table with changes.
func with(want map[string]string, changes ...string) map[string]string {
	all := map[string]string{}
	for path, content := range want {
		all[path] = content
	}
	for i := 0; i < len(changes); i += 2 {
		all[changes[i]] = changes[i+1]
	}
	return all
}

// TestExcludes: what becomes excluded is forgotten on both sides and deleted on
// neither, wherever it is restored and by whichever spec.
func TestExcludes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	a.spec(nil)
	b.spec(nil)
	all := map[string]string{}
	for n := range 30 { // most of the tree: a brake must not be what saves it
		all[fmt.Sprintf("build/out/obj%02d.o", n)] = fmt.Sprint("object ", n)
	}
	all["build/x.log"], all["src/main.go"], all["src/trace.log"], all["readme"] = "log", "package main", "trace", "read me"
	for path, content := range all {
		a.write(path, content)
	}
	a.once()
	b.once()
	b.holds(all)

	b.excluding("build/**", "*.log")
	b.write("src/main.go", "package main // by b")
	b.write("build/out/obj00.o", "made anew by b")
	b.remove("build/out/obj01.o") // nobody's business any more
	b.once()
	narrow := with(all, "src/main.go", "package main // by b", "build/out/obj00.o", "made anew by b", "build/out/obj01.o", "")
	b.holds(narrow)
	c := w.machine("c")
	c.excluding("build/**", "*.log")
	c.once()
	c.holds(map[string]string{"src/main.go": "package main // by b", "readme": "read me", "build": "", "src/trace.log": ""})
	d := w.machine("d") // restored by the old spec from what the new one published
	d.spec(nil)
	d.once()
	d.holds(map[string]string{"src/main.go": "package main // by b", "readme": "read me", "src/trace.log": ""})

	a.once() // by the old spec, with all of it here
	wide := with(all, "src/main.go", "package main // by b")
	a.holds(wide)
	b.once()
	b.holds(narrow)
	d.once()
	d.holds(wide)

	// The exclusion is taken back.
	b.spec(nil)
	b.once()
	b.holds(wide)
	wantEqual(t, "conflicts", map[string]string{"build/out/obj00.o": "made anew by b"}, kept(t, b.dir, "conflicts"))
	a.once()
	a.holds(wide)
	c.spec(nil)
	c.once()
	c.holds(wide)
	sameTree(t, a.tree(), c.tree())
}

// TestExcludeUnderARunningColtecd: the same by reload.
func TestExcludeUnderARunningColtecd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	a.spec(nil)
	b.spec(nil)
	all := map[string]string{"src/main.go": "package main"}
	for n := range 15 {
		all[fmt.Sprintf("build/obj%02d.o", n)] = fmt.Sprint("object ", n)
	}
	for path, content := range all {
		a.write(path, content)
	}
	a.start()
	a.sync()
	a.excluding("/build/**")
	a.must("reload")
	a.write("src/main.go", "package main // edited")
	a.await("restored after the reload", synced)
	a.sync()
	a.holds(with(all, "src/main.go", "package main // edited"))
	a.spec(nil)
	a.must("reload")
	a.await("restored after the second reload", synced)
	a.sync()
	a.holds(with(all, "src/main.go", "package main // edited"))
	a.stop()
	b.once()
	sameTree(t, a.tree(), b.tree())
	wantEqual(t, "conflicts", 0, len(kept(t, a.dir, "conflicts")))
}

// nesting writes a spec with a second replica inside the first.
func (m *machine) nesting() {
	m.t.Helper()
	m.spec(func(o *specOptions) {
		o.Replicas = append(o.Replicas, m.replica("agent-context", m.path("agent/context")))
	})
}

// contexts are files of a workspace with a tree in it that may be a replica's.
func contexts() map[string]string {
	all := map[string]string{"main.go": "package main", "agent/readme": "about agents"}
	for n := range 20 {
		all[fmt.Sprintf("agent/context/note%02d", n)] = fmt.Sprint("note ", n)
	}
	return all
}

// TestNestedReplicaComes: one tree in another is carried once; that it becomes a
// replica of its own deletes nothing.
func TestNestedReplicaComes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	a.spec(nil)
	b.spec(nil)
	all := contexts()
	for path, content := range all {
		a.write(path, content)
	}
	a.once()
	b.once()

	a.nesting()
	a.write("agent/context/note00", "edited by a")
	all = with(all, "agent/context/note00", "edited by a")
	a.once()
	a.holds(all)
	c := w.machine("c")
	c.nesting()
	c.once()
	c.holds(all)
	sameTree(t, c.bare(), a.bare())

	b.once() // by the old spec: the nested tree is not in what it restores from
	b.holds(with(all, "agent/context/note00", "note 0"))
	b.nesting()
	b.once()
	b.holds(all)
	wantEqual(t, "conflicts in the nested tree", map[string]string{"note00": "note 0"}, kept(t, b.path("agent/context"), "conflicts"))
	c.write("agent/context/note01", "edited by c")
	c.remove("agent/context/note02")
	c.once()
	a.once()
	a.holds(with(all, "agent/context/note01", "edited by c", "agent/context/note02", ""))
	wantEqual(t, "conflicts in the outer tree", 0, len(kept(t, a.dir, "conflicts"))+len(kept(t, b.dir, "conflicts")))
}

// TestNestedReplicaGoes: that a tree is not a replica of its own any more deletes
// nothing, here or where it still is one, nor that it becomes one again.
func TestNestedReplicaGoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, c, d := w.machine("a"), w.machine("c"), w.machine("d")
	a.nesting()
	c.nesting()
	all := contexts()
	for path, content := range all {
		a.write(path, content)
	}
	a.once()
	c.once()
	c.holds(all)

	a.spec(nil)
	a.write("agent/context/note03", "edited without a nested replica")
	a.once()
	edited := with(all, "agent/context/note03", "edited without a nested replica")
	a.holds(edited)
	d.spec(nil)
	d.once()
	d.holds(edited)
	c.once() // by the spec that nests
	c.holds(all)

	d.nesting()
	d.once()
	d.holds(with(all, "agent/context/note03", d.read("agent/context/note03")))
	versions := append(slices.Collect(maps.Values(kept(t, d.path("agent/context"), "conflicts"))), d.read("agent/context/note03"))
	if !slices.Contains(versions, "edited without a nested replica") {
		t.Errorf("the version of the outer replica is nowhere: %q", versions)
	}
	a.nesting()
	a.once()
	a.holds(with(all, "agent/context/note03", d.read("agent/context/note03")))
}

// bare is the tree without what replicas keep for themselves.
func (m *machine) bare() map[string]node {
	m.t.Helper()
	return treeOf(m.t, m.dir, ".coltec", ".devcontainer", "agent/context/.coltec")
}

// TestNothingFeedsBack: nothing that coltecd writes makes it write again: its
// logs, wherever they are, its own directories, a nested replica's.
func TestNothingFeedsBack(t *testing.T) {
	t.Parallel()
	for name, logs := range map[string]string{"logs by default": "", "logs in the tree": "some logs"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a := w.machine("a")
			if logs != "" {
				a.env["COLTEC_LOG_DIR"] = a.path(logs)
			}
			a.env["COLTEC_LOG_LEVEL"] = "debug"
			a.spec(func(o *specOptions) {
				outer := a.replica("workspace", a.dir)
				outer.Exclude, outer.Direction = nil, "push-only" // plain objects: all can be seen
				o.Replicas = []replicaSpec{outer, a.replica("agent-context", a.path("agent/context"))}
				o.Services = []map[string]any{{"name": "talker", "command": []string{"sh", "-c", "while echo x; do sleep 0.1; done"}}}
			})
			a.write("main.go", "package main")
			a.write("agent/context/note", "note")
			a.start()
			a.sync()
			wantEqual(t, "plain objects", []string{".devcontainer/workspace-spec.yaml", "main.go"}, w.keys())
			settled, generation := w.objects(), a.status().Lease.Generation
			for range 3 {
				a.sync()
			}
			// A cycle of its own as well: the next run of each replica.
			before := a.replicaStatus("workspace").LastSync
			if before == nil {
				t.Fatal("a replica that was synced says that it never was")
			}
			doc := a.await("a cycle by itself", func(doc status.Document) bool {
				last := replicaIn(t, doc, "workspace").LastSync
				return last != nil && last.After(*before)
			})
			if doc.Lease.Generation != generation {
				t.Errorf("generation %d became %d while nothing was changed", generation, doc.Lease.Generation)
			}
			onlyHead(t, settled, w.objects())
			for _, r := range doc.Replicas {
				if r.Pending != 0 {
					t.Errorf("replica %s has %d changes pending", r.Name, r.Pending)
				}
			}
			a.stop()
			onlyHead(t, settled, w.objects())
		})
	}
}

// TestScaffoldedFolder: a folder that was made from the template first meets
// its state in the bucket without a conflict; what its user edited is kept.
func TestScaffoldedFolder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	rendered := map[string]string{
		"README.md": "as rendered\n", "scripts/run.sh": "#!/bin/sh\necho as rendered\n", "same.txt": "the same\n", "edited.txt": "as rendered\n",
		"both.txt": "as rendered\n", "sub/dir/equal.txt": "equal\n",
	}
	scaffold := func(m *machine) {
		m.spec(nil)
		for path, content := range rendered {
			m.write(path, content)
			m.write(".devcontainer/.coltec/base/"+path, content)
		}
	}
	scaffold(a)
	a.write("README.md", "as a left it\n")
	a.write("scripts/run.sh", "#!/bin/sh\necho as a left it\n")
	if err := os.Chmod(a.path("scripts/run.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	a.write("both.txt", "edited by a\n")
	a.write("more.txt", "of a\n")
	a.once()

	scaffold(b)
	b.write("edited.txt", "edited by b\n") // only here: but nobody can know that
	b.write("both.txt", "edited by b\n")
	b.write("extra.txt", "of b\n")
	b.start()
	b.holds(map[string]string{
		"README.md": "as a left it\n", "scripts/run.sh": "#!/bin/sh\necho as a left it\n", "same.txt": "the same\n",
		"sub/dir/equal.txt": "equal\n", "both.txt": "edited by a\n", "more.txt": "of a\n", "extra.txt": "of b\n",
	})
	versions := kept(t, b.dir, "conflicts")
	if b.read("edited.txt") != "edited by b\n" && versions["edited.txt"] != "edited by b\n" {
		t.Error("what b edited is nowhere")
	}
	delete(versions, "edited.txt")
	wantEqual(t, "conflicts", map[string]string{"both.txt": "edited by b\n"}, versions)
	b.sync()
	if n := b.replicaStatus("workspace").Conflicts; n < 1 {
		t.Errorf("status tells of %d conflicts", n)
	}
	b.stop()
	a.once()
	sameTree(t, b.tree(), a.tree())
}

// TestClonedFolder: a folder that holds the same files already, from a clone or
// a copy, is not a conflict, and what it has beside them is pushed.
func TestClonedFolder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	a.spec(nil)
	b.spec(nil)
	source := &tender{t: t, root: a.dir}
	clone := &tender{t: t, root: b.dir, n: 1000} // other times
	for n := range 50 {
		rel := fmt.Sprintf("src/%d/file%02d", n%5, n)
		source.file(rel, content(n), 0o644)
		clone.file(rel, content(n), 0o600)
	}
	source.file("bin/tool", []byte("#!/bin/sh\n"), 0o755)
	clone.file("bin/tool", []byte("#!/bin/sh\n"), 0o644)
	source.link("src/1", "link")
	clone.link("src/1", "link")
	clone.link("elsewhere", "another link")
	clone.file("extra/of the clone", []byte("extra"), 0o644)
	clone.dir("extra/empty", 0o750)
	source.file("only in the bucket", []byte("x"), 0o644)
	a.once()
	pushed := w.objects()
	b.once()
	wantEqual(t, "conflicts", 0, len(kept(t, b.dir, "conflicts")))
	wantEqual(t, "replaced", 0, len(kept(t, b.dir, "replaced")))
	want := a.tree()
	for path, n := range want {
		if got := b.tree()[path]; got != n {
			t.Errorf("%s is %+v, want %+v", path, got, n)
		}
	}
	a.once()
	sameTree(t, b.tree(), a.tree())
	more := w.objects()
	maps.DeleteFunc(more, func(key string, _ int64) bool { return pushed[key] > 0 || ofTheHead(key) })
	if len(more) > 3 {
		t.Errorf("%d new objects for one new file: %q", len(more), slices.Collect(maps.Keys(more)))
	}
	if extra := slices.DeleteFunc(names(a.tree()), func(p string) bool { return !strings.HasPrefix(p, "extra") }); len(extra) != 3 {
		t.Errorf("the clone's own files did not arrive: %q", extra)
	}
}

// TestMovedFolder: a folder that was moved or copied keeps what it knows, and
// deletes nothing.
func TestMovedFolder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	a.spec(nil)
	for n := range 15 {
		a.write(fmt.Sprintf("dir/file%02d", n), fmt.Sprint("content ", n))
	}
	a.once()
	if err := os.CopyFS(filepath.Join(b.dir, "dir"), os.DirFS(a.path("dir"))); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(b.dir, ".coltec"), os.DirFS(a.path(".coltec"))); err != nil {
		t.Fatal(err)
	}
	b.spec(nil)
	b.remove("dir/file00")
	b.write("dir/file01", "edited in the copy")
	a.write("dir/file02", "edited in the original")
	a.once()
	b.once()
	a.once()
	sameTree(t, b.tree(), a.tree())
	a.holds(map[string]string{"dir/file00": "", "dir/file01": "edited in the copy", "dir/file02": "edited in the original", "dir/file03": "content 3"})
	wantEqual(t, "conflicts", 0, len(kept(t, b.dir, "conflicts")))
}
