package e2e

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/pkg/status"
)

// directed makes the machine's only replica, of its whole folder, go one way.
func (m *machine) directed(direction, layout string) {
	m.t.Helper()
	m.spec(func(o *specOptions) { o.Replicas[0].Direction, o.Replicas[0].Layout = direction, layout })
}

// at is the remote of plain rclone for a key below the default replica's prefix.
func at(key string) string { return "{bucket}/" + prefix("workspace") + "/" + key }

// put writes a plain object below the default replica's prefix, as another tool
// would: with a time and nothing else.
func (w *world) put(key, content string) {
	w.t.Helper()
	file := filepath.Join(w.t.TempDir(), "object")
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		w.t.Fatal(err)
	}
	w.rclone("copyto", file, at(key))
}

// get reads a plain object below the default replica's prefix.
func (w *world) get(key string) string { w.t.Helper(); return w.rclone("cat", at(key)) }

// keys lists the plain objects below the default replica's prefix.
func (w *world) keys() []string {
	w.t.Helper()
	out := w.rclone("lsf", "-R", "--files-only", at(""), "--exclude", "/.coltec/**")
	keys := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if out == "" {
		keys = nil
	}
	slices.Sort(keys)
	return keys
}

// copied is what plain rclone makes of the mirror.
func (w *world) copied() map[string]node {
	w.t.Helper()
	dir := filepath.Join(w.t.TempDir(), "copy")
	w.rclone("copy", "-M", "--links", at(""), dir, "--exclude", "/.coltec/**")
	return plain(treeOf(w.t, dir))
}

// plain is the part of a tree that plain objects have a word for.
func plain(tree map[string]node) map[string]node {
	tree = maps.Clone(tree)
	for path, n := range tree {
		switch n.Kind {
		case "dir":
			delete(tree, path)
		case "link":
			n.MTime = 0
			tree[path] = n
		}
	}
	return tree
}

// history is what the mirror keeps of what was replaced and deleted, by path:
// the contents, oldest first.
func (w *world) history() map[string][]string {
	w.t.Helper()
	root := filepath.Join(w.s3.Dir, w.s3.Bucket)
	top := prefix("workspace") + "/.coltec/history/"
	found := map[string][]string{}
	for _, key := range slices.Sorted(maps.Keys(w.objects())) {
		if rest, ok := strings.CutPrefix(key, top); ok {
			b, err := os.ReadFile(filepath.Join(root, key))
			if err != nil {
				w.t.Fatal(err)
			}
			_, path, _ := strings.Cut(rest, "/")
			found[path] = append(found[path], string(b))
		}
	}
	return found
}

func wantEqual[T any](t *testing.T, what string, want, got T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, firstLines(diff, 60))
	}
}

// awkward makes a file of each awkward name that plain rclone can copy.
func (x *tender) awkward(mode uint32) {
	x.t.Helper()
	for n, name := range awkward {
		switch name {
		case ".coltec": // ours
		case "link.rclonelink": // the object of a link
		case "‛ escape": // rclone quotes its quote, and cannot find the file any more
		default:
			x.file("awkward/"+name, []byte(fmt.Sprint("content of ", n)), mode)
		}
	}
}

// TestPushOnlyMirror: plain objects that plain rclone reads; only what is the
// replica's own is ever replaced or deleted, and then kept.
func TestPushOnlyMirror(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	a.directed("push-only", "")
	w.put("foreign.txt", "foreign")
	w.put("sub/foreign too.txt", "foreign too")
	w.put("both.txt", "theirs")
	files := &tender{t: t, root: a.dir}
	files.file("both.txt", []byte("ours"), 0o644)
	files.file("sub/run.sh", []byte("#!/bin/sh\n"), 0o755)
	files.file("sub/deep/secret", []byte("s"), 0o600)
	files.file("empty file", nil, 0o644)
	files.file("will go", []byte("last words"), 0o644)
	files.file("will move", []byte("moving"), 0o644)
	files.file("large.bin", noise(3, 12<<20), 0o644)
	files.link("sub/run.sh", "a link")
	files.link("nowhere", "dangling")
	files.dir("empty dir", 0o755)
	files.awkward(0o644)
	local := a.tree()
	a.start()
	a.sync()
	sameTree(t, local, a.tree())

	foreign := func(tree map[string]node) map[string]node {
		for _, path := range []string{`"foreign.txt"`, `"sub/foreign too.txt"`} {
			if _, ok := tree[path]; !ok {
				t.Errorf("the foreign object %s is gone", path)
			}
			delete(tree, path)
		}
		return tree
	}
	wantEqual(t, "plain rclone sees", plain(local), foreign(w.copied()))
	wantEqual(t, "history", map[string][]string{"both.txt": {"theirs"}}, w.history())

	before := w.objects()
	a.sync()
	onlyHead(t, before, w.objects())

	files.file("both.txt", []byte("ours, edited"), 0o644)
	files.ok(os.Remove(a.path("will go")))
	files.ok(os.Rename(a.path("will move"), a.path("moved")))
	files.ok(os.Remove(a.path("dangling")))
	files.ok(unix.Chmod(a.path("sub/deep/secret"), 0o640))
	files.stamp("empty file", moment(77))
	files.ok(os.Remove(a.path("a link")))
	files.link("sub/deep", "a link")
	local = a.tree()
	a.sync()
	sameTree(t, local, a.tree())
	wantEqual(t, "plain rclone sees after the edits", plain(local), foreign(w.copied()))
	wantEqual(t, "history after the edits", map[string][]string{
		"both.txt": {"theirs", "ours"}, "will go": {"last words"}, "will move": {"moving"}, "dangling.rclonelink": {"nowhere"},
		"sub/deep/secret": {"s"}, "empty file": {""}, "a link.rclonelink": {"sub/run.sh"},
	}, w.history())

	a.stop()
	before = w.objects()
	a.once()
	onlyHead(t, before, w.objects())
	sameTree(t, local, a.tree())
}

// TestPushOnlyKeepsWhatIsNotItsOwn: objects that others wrote, over ours or
// beside them, are never lost; ours that vanished come back.
func TestPushOnlyKeepsWhatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	a.directed("push-only", "")
	for n := range 6 {
		a.write(fmt.Sprint("file", n), fmt.Sprint("content ", n))
	}
	a.once()
	w.rclone("deletefile", at("file0"))
	w.put("file1", "somebody else's") // and unchanged here
	w.put("file2", "somebody else's") // and edited here
	w.put("file3", "somebody else's") // and deleted here
	w.rclone("deletefile", at("file4"))
	a.write("file2", "edited here")
	a.remove("file3")
	a.remove("file4")
	a.once()
	a.write("file5", "edited here")
	a.once()

	everywhere := w.history()
	for _, key := range w.keys() {
		everywhere[key] = append(everywhere[key], w.get(key))
	}
	for key, want := range map[string]string{
		"file0": "content 0", "file1": "somebody else's", "file2": "somebody else's", "file3": "somebody else's", "file5": "edited here",
	} {
		if !slices.Contains(everywhere[key], want) {
			t.Errorf("%q of %s is nowhere in the prefix: %q", want, key, everywhere[key])
		}
	}
	for key, want := range map[string]string{"file0": "content 0", "file2": "edited here", "file5": "edited here"} {
		if got := w.get(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if slices.Contains(w.keys(), "file4") {
		t.Error("a file deleted on both sides came back")
	}
	wantEqual(t, "local tree", []string{"file0", "file1", "file2", "file5"}, names(a.tree()))
}

// names are the paths of a tree, sorted.
func names(tree map[string]node) []string {
	var list []string
	for _, path := range slices.Sorted(maps.Keys(tree)) {
		list = append(list, strings.Trim(path, `"`))
	}
	return list
}

// TestPushOnlyFromAnEmptyFolder: a second machine, or a lost folder, deletes
// nothing there and gets nothing here.
func TestPushOnlyFromAnEmptyFolder(t *testing.T) {
	t.Parallel()
	for _, layout := range []string{"mirror", "snapshot"} {
		t.Run(layout, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a, b := w.machine("a"), w.machine("b")
			a.directed("push-only", layout)
			b.directed("push-only", layout)
			for n := range 20 {
				a.write(fmt.Sprintf("dir/file%02d", n), fmt.Sprint("content ", n))
			}
			a.once()
			first := a.tree()
			b.write("dir/of b", "b's")
			b.once()
			wantEqual(t, "b's tree", []string{"dir", "dir/of b"}, names(b.tree()))
			a.once()
			wantEqual(t, "a's tree", first, a.tree())

			// The other direction: all of it can still be had.
			c := w.machine("c")
			c.spec(func(o *specOptions) {
				o.Env = "ci"
				o.Replicas[0].RemotePath = prefix("workspace")
				o.Replicas[0].Direction, o.Replicas[0].Layout = "pull-only", layout
			})
			c.once()
			if got := len(names(c.tree())); got != len(first)+1 {
				t.Errorf("the prefix holds %d paths, want those of a and one of b: %d", got, len(first)+1)
			}
		})
	}
}

// TestPushOnlyBrake: an emptied folder waits for a person's word.
func TestPushOnlyBrake(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	a.directed("push-only", "")
	for n := range 12 {
		a.write(fmt.Sprintf("dir/file%02d", n), fmt.Sprint("content ", n))
	}
	a.start()
	a.sync()
	keys := w.keys()
	a.remove("dir")
	a.write("new", "goes on")
	a.leaves([]string{"sync"}, "dir/file00")
	wantEqual(t, "held back", append(slices.Clone(keys), "new"), w.keys())
	if said := strings.Join(a.status().Attention, "\n"); !strings.Contains(said, "--allow-delete") {
		t.Errorf("nothing is said of the deletions that wait: %q", said)
	}
	a.sync("--allow-delete")
	wantEqual(t, "with a word", []string{"new"}, w.keys())
	if got := len(w.history()); got != 12 {
		t.Errorf("%d deleted objects are in the history, want 12", got)
	}
	a.stop()
}

// TestPullOnlyMirror: what plain rclone wrote comes here, and nothing goes there.
func TestPullOnlyMirror(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	a.directed("pull-only", "")
	source := &tender{t: t, root: filepath.Join(t.TempDir(), "source")}
	source.file("run.sh", []byte("#!/bin/sh\n"), 0o755)
	source.file("sub/secret", []byte("s"), 0o600)
	source.file("empty", nil, 0o644)
	source.file("large.bin", noise(3, 9<<20), 0o644)
	source.link("run.sh", "a link")
	source.awkward(0o640)
	for n := range 8 {
		source.file(fmt.Sprint("file", n), []byte(fmt.Sprint("content ", n)), 0o644)
	}
	w.rclone("copy", "-M", "--links", source.root, at(""))
	bucket := w.objects()

	a.write("extra/mine", "local extra")
	a.start()
	tree := a.tree()
	delete(tree, `"extra/mine"`)
	wantEqual(t, "pulled", plain(treeOf(t, source.root)), plain(tree))
	wantEqual(t, "bucket after the first pull", bucket, w.objects())

	a.write("file1", "edited here")
	a.write("file2", "edited here")
	a.remove("file3")
	a.remove("file4")
	w.put("file2", "edited there")
	w.put("file4", "edited there")
	w.put("file5", "edited there")
	w.put("file8", "new there")
	w.rclone("deletefile", at("file6"))
	w.rclone("deletefile", at("file7"))
	a.write("file7", "edited here")
	bucket = w.objects()
	a.sync()
	want := map[string]string{
		"file0": "content 0", "file1": "edited here", "file2": "edited there", "file4": "edited there",
		"file5": "edited there", "file7": "edited here", "file8": "new there", "extra/mine": "local extra",
	}
	for name, content := range want {
		if a.missing(name) || a.read(name) != content {
			t.Errorf("%s is not %q", name, content)
		}
	}
	if !a.missing("file6") {
		t.Error("what was deleted there, and not edited here, is still here")
	}
	if !a.missing("file3") {
		t.Error("what was deleted here, and not changed there, came back")
	}
	wantEqual(t, "conflicts", map[string]string{"file2": "edited here"}, kept(t, a.dir, "conflicts"))
	wantEqual(t, "replaced", map[string]string{"file5": "content 5", "file6": "content 6"}, kept(t, a.dir, "replaced"))

	settled := a.tree()
	a.sync()
	sameTree(t, settled, a.tree())
	a.stop()
	a.once()
	sameTree(t, settled, a.tree())
	wantEqual(t, "the bucket is as it was", bucket, w.objects())
	if n := w.proxy.Counts()[s3test.Put]; n != 0 {
		t.Errorf("a replica that pulls sent %d PUTs", n)
	}
}

// TestPullOnlyNeverEmpties: no listing that is empty, or fails, deletes
// anything.
func TestPullOnlyNeverEmpties(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	a.directed("pull-only", "")
	source := &tender{t: t, root: filepath.Join(t.TempDir(), "source")}
	for n := range 15 {
		source.file(fmt.Sprint("dir/file", n), []byte(fmt.Sprint("content ", n)), 0o644)
	}
	w.rclone("copy", source.root, at(""))
	a.start()
	settled := a.tree()
	count(t, settled, 15)

	faults := map[string]s3test.Fault{
		"refused":   {Kind: s3test.List, Status: 403, Code: "AccessDenied"},
		"broken":    {Kind: s3test.List, Status: 500, Code: "InternalError"},
		"cut":       {Kind: s3test.List, Truncate: true},
		"no bucket": {Kind: s3test.List, Status: 404, Code: "NoSuchBucket"},
	}
	for name, fault := range faults {
		remove := w.proxy.Inject(fault)
		if _, talk, code := a.run("sync"); code == 0 {
			t.Errorf("%s: the sync passes: %s", name, talk)
		}
		remove()
		sameTree(t, settled, a.tree())
	}
	a.sync()
	w.rclone("purge", at(""))
	a.run("sync")
	sameTree(t, settled, a.tree())
	if said := strings.Join(a.status().Attention, "\n"); !strings.Contains(said, "empty") {
		t.Errorf("nothing is said of the empty prefix: %q", said)
	}
	a.stop()
	a.start() // does not wait for what is not there
	sameTree(t, settled, a.tree())
	a.stop()
	a.run("run", "--once")
	sameTree(t, settled, a.tree())

	w.put("dir/file0", "it is back")
	_, _, _ = a.run("run", "--once")
	if a.read("dir/file0") != "it is back" {
		t.Error("what came back is not pulled")
	}
	if got := len(names(a.tree())); got != len(settled) {
		t.Errorf("%d paths are left of %d: so many deletions at once need a word", got, len(settled))
	}
}

// TestPullOnlySnapshot: another workspace follows one that writes, with its own
// extras, without a word in the bucket.
func TestPullOnlySnapshot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	a.spec(nil)
	b.spec(func(o *specOptions) {
		o.Env = "ci"
		o.Replicas[0].RemotePath = prefix("workspace")
		o.Replicas[0].Direction, o.Replicas[0].Layout = "pull-only", "snapshot"
	})
	files := &tender{t: t, root: a.dir}
	files.file("run.sh", []byte("#!/bin/sh\n"), 0o755)
	files.file("new\nline \xff", []byte("x"), 0o600)
	files.dir("empty dir", 0o711)
	files.link("nowhere", "dangling")
	for n := range 5 {
		files.file(fmt.Sprint("file", n), []byte(fmt.Sprint("content ", n)), 0o644)
	}
	a.start()
	a.sync()

	b.write("extra", "local extra")
	w.told("dev")
	bucket := w.objects()
	b.start()
	tree := b.tree()
	delete(tree, `"extra"`)
	sameTree(t, a.tree(), tree)
	eventually(t, "the follower leaves no trace", func() error { // the leader's head is gone for a moment when it is renewed
		if diff := cmp.Diff(keysOf(bucket), keysOf(w.objects())); diff != "" {
			return errors.New(diff)
		}
		return nil
	})

	b.write("file1", "edited by b")
	b.write("file2", "edited by b")
	a.write("file2", "edited by a")
	a.write("file3", "edited by a")
	a.remove("file4")
	a.sync()
	b.sync()
	for name, want := range map[string]string{"file1": "edited by b", "file2": "edited by a", "file3": "edited by a", "extra": "local extra"} {
		if got := b.read(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if !b.missing("file4") {
		t.Error("file4 was deleted by a and is still at b")
	}
	wantEqual(t, "conflicts", map[string]string{"file2": "edited by b"}, kept(t, b.dir, "conflicts"))
	if l := b.status().Lease; l.State != status.LeaseNone {
		t.Errorf("a follower has a lease: %+v", l)
	}
	b.stop()
	a.stop()
}

func keysOf(objects map[string]int64) []string { return slices.Sorted(maps.Keys(objects)) }
