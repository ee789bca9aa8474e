package e2e

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// plainKeys are the objects below the default replica's prefix that are not
// Coltec's own, with their content.
func (w *world) plainKeys() map[string]string {
	w.t.Helper()
	found := map[string]string{}
	top := prefix("workspace") + "/"
	for key := range w.objects() {
		rest, ok := strings.CutPrefix(key, top)
		if !ok || strings.HasPrefix(rest, ".coltec/") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(w.s3.Dir, w.s3.Bucket, key))
		if err != nil {
			w.t.Fatal(err)
		}
		found[rest] = string(b)
	}
	return found
}

// earlier is what an earlier tool synced: made as a tree, copied with plain
// rclone.
func (w *world) earlier(flags ...string) *tender {
	w.t.Helper()
	x := &tender{t: w.t, root: filepath.Join(w.t.TempDir(), "earlier")}
	x.file("run.sh", []byte("#!/bin/sh\n"), 0o755)
	x.file("sub/deep/secret", []byte("s"), 0o600)
	x.file("empty", nil, 0o644)
	x.file("large.bin", noise(9, 9<<20), 0o644)
	x.awkward(0o644)
	for n := range 40 {
		x.file(fmt.Sprintf("dir/file%02d", n), []byte(fmt.Sprint("content ", n)), 0o644)
	}
	x.link("sub/deep", "a link")
	w.rclone(append([]string{"copy", x.root, at("")}, flags...)...)
	return x
}

// usualModes is what arrives of a tree whose objects tell no modes.
func usualModes(tree map[string]node) map[string]node {
	tree = maps.Clone(tree)
	for path, n := range tree {
		if n.Kind == "file" {
			n.Mode = "0644"
			tree[path] = n
		}
	}
	return tree
}

// TestAdoption: a prefix of plain objects becomes a workspace, and stays as it is.
func TestAdoption(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		flags []string
		want  func(map[string]node) map[string]node
	}{
		"plain":         {[]string{"--links"}, usualModes},
		"with metadata": {[]string{"--links", "-M"}, func(tree map[string]node) map[string]node { return tree }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a, b := w.machine("a"), w.machine("b")
			a.spec(nil)
			b.spec(nil)
			before := w.earlier(x.flags...)
			objects := w.plainKeys()
			a.start()
			wantEqual(t, "restored", x.want(plain(treeOf(t, before.root))), plain(a.tree()))
			a.sync()
			if said := strings.Join(a.status().Attention, "\n"); !strings.Contains(said, "adopt --finish") {
				t.Errorf("nothing is said of the adoption: %q", said)
			}
			adopted := a.tree()
			a.stop()
			wantEqual(t, "plain prefix", objects, w.plainKeys())

			b.once()
			sameTree(t, adopted, b.tree())
			wantEqual(t, "conflicts", 0, len(kept(t, a.dir, "conflicts"))+len(kept(t, b.dir, "conflicts")))

			// What is edited now is published in the snapshot alone.
			b.write("dir/file01", "edited by b")
			b.once()
			a.once()
			sameTree(t, b.tree(), a.tree())
			wantEqual(t, "plain prefix", objects, w.plainKeys())
			settled := w.objects()
			a.once()
			onlyHead(t, settled, w.objects())
		})
	}
}

// TestAdoptedPrefixIsWatched: what the earlier tool goes on writing arrives at
// the next acquire; what it deletes stays; what both changed is kept twice.
func TestAdoptedPrefixIsWatched(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	a.spec(nil)
	b.spec(nil)
	w.earlier()
	a.once()
	b.once()

	w.put("dir/file00", "written by the earlier tool")
	w.put("new dir/new", "new of the earlier tool")
	w.rclone("deletefile", at("dir/file02"))
	w.rclone("deletefile", at("run.sh"))
	b.once()
	want := map[string]string{
		"dir/file00": "written by the earlier tool", "new dir/new": "new of the earlier tool",
		"dir/file02": "content 2", "run.sh": "#!/bin/sh\n",
	}
	expect := func(m *machine) {
		t.Helper()
		for path, content := range want {
			if m.missing(path) || m.read(path) != content {
				t.Errorf("%s: %s is not %q", m.name, path, content)
			}
		}
	}
	expect(b)
	a.once()
	expect(a)
	sameTree(t, b.tree(), a.tree())

	// Changed by both: once published, once not yet.
	a.write("dir/file03", "published by a")
	a.write("dir/file05", "the same by both")
	a.once()
	w.put("dir/file05", "the same by both")
	w.put("dir/file03", "also by the earlier tool")
	w.put("dir/file04", "also by the earlier tool")
	a.write("dir/file04", "not published by a")
	a.once()
	want["dir/file03"], want["dir/file04"] = "published by a", "also by the earlier tool"
	expect(a)
	wantEqual(t, "conflicts", map[string]string{
		"dir/file03": "also by the earlier tool", "dir/file04": "not published by a",
	}, kept(t, a.dir, "conflicts"))
	a.once()
	b.start()
	expect(b)
	if n := b.replicaStatus("workspace").Conflicts; n != 2 {
		t.Errorf("the other machine is told of %d conflicts, want 2", n)
	}
	b.stop()

	// The earlier tool's copy is cleaned up at last.
	plainly := w.plainKeys()
	w.rclone("delete", at(""), "--exclude", "/.coltec/**")
	if left := w.plainKeys(); len(plainly) == 0 || len(left) > 0 {
		t.Fatalf("the clean-up left %q", slices.Sorted(maps.Keys(left)))
	}
	settled := a.tree()
	a.once()
	sameTree(t, settled, a.tree())
	c := w.machine("c")
	c.spec(nil)
	c.once()
	sameTree(t, settled, c.tree())
}

// TestAdoptionIntoAFolder: what lies in the folder already is nobody's to
// overwrite in silence.
func TestAdoptionIntoAFolder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	a.spec(nil)
	w.earlier()
	files := &tender{t: t, root: a.dir}
	files.file("run.sh", []byte("#!/bin/sh\n"), 0o755) // equal, and its bit is known here alone
	files.file("dir/file05", []byte("content 5"), 0o644)
	files.file("dir/file06", []byte("edited here"), 0o644)
	files.file("only here", []byte("only here"), 0o644)
	objects := w.plainKeys()
	a.once()
	for path, want := range map[string]string{
		"run.sh": "#!/bin/sh\n", "dir/file05": "content 5", "dir/file06": "content 6", "only here": "only here", "dir/file07": "content 7",
	} {
		if got := a.read(path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	wantEqual(t, "conflicts", map[string]string{"dir/file06": "edited here"}, kept(t, a.dir, "conflicts"))
	if n := a.tree()[`"run.sh"`]; n.Mode != "0755" {
		t.Errorf("the local exec bit is lost: %s", n.Mode)
	}
	wantEqual(t, "plain prefix", objects, w.plainKeys())
	b := w.machine("b")
	b.spec(nil)
	b.once()
	sameTree(t, a.tree(), b.tree())
}

// TestMirrorBothWays: a replica may be plain objects and go both ways; what
// others write there arrives at the next acquire.
func TestMirrorBothWays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	a.directed("bidirectional", "mirror")
	b.directed("bidirectional", "mirror")
	w.earlier("-M", "--links")
	a.once()
	a.once()
	first := a.tree()
	b.once()
	sameTree(t, plain(first), plain(b.tree()))
	files := &tender{t: t, root: b.dir}
	files.file("‛ escape", []byte("a name that plain rclone cannot copy"), 0o644)
	files.file("dir/file01", []byte("edited by b"), 0o755)
	files.ok(os.Remove(b.path("dir/file02")))
	files.ok(os.Remove(b.path("a link")))
	files.link("nowhere", "a link")
	b.once()
	w.put("dir/file03", "written by another tool")
	w.rclone("deletefile", at("dir/file04"))
	a.once()
	if a.read("dir/file03") != "written by another tool" || !a.missing("dir/file04") {
		t.Error("what another tool wrote and deleted did not arrive")
	}
	b.once()
	if diff := cmp.Diff(plain(a.tree()), plain(b.tree())); diff != "" {
		t.Errorf("after the hops:\n%s", firstLines(diff, 60))
	}
	if a.read("dir/file01") != "edited by b" || !a.missing("dir/file02") {
		t.Error("what b edited and deleted did not arrive")
	}
	settled := w.objects()
	a.once()
	b.once()
	onlyHead(t, settled, w.objects())
}
