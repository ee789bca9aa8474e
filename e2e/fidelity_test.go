package e2e

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// awkward are names that something on the way to a bucket and back may take
// for something else: a shell, a list of names, a filter, an escape, an option,
// or Coltec itself.
var awkward = []string{
	"plain.txt", "two words", " space first", "space last ", "it's", `say "hi"`, `back\slash`, "ünïcödé 日本語",
	"e\u0301 decomposed", "\u00e9 composed", ".dot", "-dash", "--delete", "#hash", "per%20cent%", ";semi;colon", "new\nline",
	"tab\tname", "\xff\xfe no utf-8 \xc3", "cr\rname", "star*", "quest?ion", "[a-z]", "{a,b}", "pipe|colon:", "~tilde", "$HOME",
	"`tick`", "a&b", "x.partial", "link.rclonelink", "CON", "dot.", "...", "␊ symbol", "‛ escape", "\x01\x7f control", ".coltec",
	"- rule", "+ rule", "base.tmp", "@eaDir", "Thumbs.db", ".DS_Store", ".gitignore", strings.Repeat("n", 255),
}

// moment is a time of its own for each n, to the nanosecond.
func moment(n int) time.Time {
	return time.Unix(1_500_000_000+int64(n)*86_461, int64(n)*123_456_789%1_000_000_000)
}

// tender writes files and links and does not go on after an error.
type tender struct {
	t    *testing.T
	root string
	n    int // of what was made: times differ
}

func (x *tender) path(rel string) string { return x.root + "/" + rel }

func (x *tender) ok(err error) {
	x.t.Helper()
	if err != nil {
		x.t.Fatal(err)
	}
}

// stamp gives a path a time of its own, a link too.
func (x *tender) stamp(rel string, at time.Time) {
	x.t.Helper()
	ts, err := unix.TimeToTimespec(at)
	x.ok(err)
	x.ok(unix.UtimesNanoAt(unix.AT_FDCWD, x.path(rel), []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW))
}

func (x *tender) dir(rel string, mode uint32) {
	x.t.Helper()
	x.ok(os.MkdirAll(x.path(rel), 0o755))
	x.ok(unix.Chmod(x.path(rel), mode)) // os.Chmod has its own view of the bits above 0777
}

func (x *tender) file(rel string, content []byte, mode uint32) {
	x.t.Helper()
	x.ok(os.MkdirAll(filepath.Dir(x.path(rel)), 0o755))
	x.ok(os.WriteFile(x.path(rel), content, 0o600))
	x.ok(unix.Chmod(x.path(rel), mode))
	x.n++
	x.stamp(rel, moment(x.n))
}

func (x *tender) link(target, rel string) {
	x.t.Helper()
	x.ok(os.MkdirAll(filepath.Dir(x.path(rel)), 0o755))
	x.ok(os.Symlink(target, x.path(rel)))
	x.n++
	x.stamp(rel, moment(x.n))
}

// noise is content that does not compress, the same for the same seed.
func noise(seed uint64, size int) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)}).Read(b)
	return b
}

// content is that of the nth mixed file: empty, text, noise, and every fifth
// the same as another's.
func content(n int) []byte {
	switch n % 5 {
	case 0:
		return nil
	case 1:
		return []byte("the same in many files\n")
	case 2:
		return noise(uint64(n), n%4096+1)
	case 3:
		return bytes.Repeat([]byte(fmt.Sprintf("line of file %d\n", n)), n%300+1)
	}
	return noise(uint64(n), 40_000+n)
}

var modes = []uint32{0o644, 0o600, 0o755, 0o444, 0o640, 0o400, 0o700, 0o664}

// populate makes 1,000 files and all else that a tree may hold.
func (x *tender) populate() {
	for n := range 1000 - len(awkward) - 12 {
		dir := fmt.Sprintf("src/pkg %d/%c", n%23, 'a'+n%3)
		x.file(fmt.Sprintf("%s/file-%04d.go", dir, n), content(n), modes[n%len(modes)])
	}
	for n, name := range awkward {
		if name == ".coltec" {
			x.file("deep/er/.coltec/base", []byte("not ours"), 0o644) // a name of ours, below: somebody's
			x.file("deep/er/.coltec/conflicts/x", []byte("nor this"), 0o644)
			continue
		}
		x.file("awkward/"+name, content(n+1), modes[n%len(modes)])
		x.file("dirs/"+name+"/inside "+fmt.Sprint(n), content(n), 0o644)
	}
	x.file("big.bin", noise(7, 70<<20), 0o644)
	x.file("zeros.bin", make([]byte, 9<<20), 0o644)
	x.file("setuid", []byte("#!/bin/sh\n"), 0o4755)
	x.file("before 1970", []byte("old"), 0o644)
	x.stamp("before 1970", time.Unix(-123_456, 789))
	x.file("far future", []byte("new"), 0o644)
	x.stamp("far future", time.Unix(7_000_000_000, 1))
	x.file("epoch", nil, 0o644)
	x.stamp("epoch", time.Unix(0, 0))
	x.file(strings.Repeat("a deep directory/", 90)+"leaf", []byte("more bytes in its path than a key of S3 may have"), 0o644)
	x.link("plain", "links/dangling")
	x.link("../src", "links/to a directory")
	x.link("../big.bin", "links/to a file")
	x.link("/etc/passwd", "links/absolute")
	x.link("links", "loop")
	x.link("self", "self")
	x.link("new\nline \xff", "links/awkward target\n\xfe")
	x.link(strings.Repeat("x/", 1000)+"y", "links/long target")
	for _, d := range []string{"empty", "empty nest/a/b/c", "empty\nline", "\xff empty", "deep/empty/.coltec"} {
		x.dir(d, 0o755)
	}
	x.dir("shared", 0o2775)
	x.file("shared/in setgid", []byte("x"), 0o664)
	x.dir("tmp", 0o1777)
	x.dir("private", 0o700)
	x.file("read-only/a", []byte("a"), 0o444)
	x.file("read-only/below/b", []byte("b"), 0o644)
	x.dir("read-only/below", 0o555)
	x.dir("read-only", 0o555)
	x.dir("read-only empty", 0o500)
}

// change does to a populated tree what people and tools do.
func (x *tender) change() {
	for n := range 1000 - len(awkward) - 12 {
		rel := fmt.Sprintf("src/pkg %d/%c/file-%04d.go", n%23, 'a'+n%3, n)
		switch {
		case n%7 == 0:
			x.file(rel, content(n+2), modes[n%len(modes)]) // edited
		case n%11 == 0:
			x.ok(os.Remove(x.path(rel)))
		case n%13 == 0:
			x.ok(os.Rename(x.path(rel), x.path(rel)+" renamed"))
		case n%17 == 0:
			x.ok(unix.Chmod(x.path(rel), modes[(n+1)%len(modes)]))
		case n%19 == 0:
			x.stamp(rel, moment(5000+n)) // touched
		case n%29 == 0:
			x.file(rel+".new", content(n), 0o644)
		}
	}
	x.ok(os.Rename(x.path("awkward"), x.path("more awkward")))
	f, err := os.OpenFile(x.path("big.bin"), os.O_WRONLY|os.O_APPEND, 0)
	x.ok(err)
	_, err = f.WriteString("a tail")
	x.ok(err)
	x.ok(f.Close())
	x.ok(os.Truncate(x.path("zeros.bin"), 1<<20))

	// What was one kind becomes another.
	x.ok(os.Remove(x.path("setuid")))
	x.file("setuid/now a directory", []byte("x"), 0o644)
	x.ok(os.RemoveAll(x.path("empty nest")))
	x.file("empty nest", []byte("now a file"), 0o755)
	x.ok(os.Remove(x.path("links/to a directory")))
	x.file("links/to a directory/now a directory", []byte("x"), 0o644)
	x.ok(os.Remove(x.path("links/to a file")))
	x.file("links/to a file", []byte("now a file"), 0o644)
	x.ok(os.Remove(x.path("epoch")))
	x.link("links/dangling", "epoch")
	x.ok(os.RemoveAll(x.path("dirs/-dash")))
	x.link("--delete", "dirs/-dash")
	x.ok(os.RemoveAll(x.path("empty")))
	x.link("nowhere", "empty")
	x.ok(os.Remove(x.path("loop")))
	x.dir("loop", 0o755)

	x.ok(os.Remove(x.path("links/dangling")))
	x.link("elsewhere", "links/dangling")
	x.stamp("links/absolute", moment(9999))
	x.dir("shared", 0o755)
	x.dir("tmp", 0o700)
	x.ok(os.Remove(x.path("\xff empty")))
	x.dir("\xfe empty", 0o711)
	x.file("private/new", []byte("x"), 0o600)
	x.dir("read-only", 0o755)
	x.ok(os.Remove(x.path("read-only/a")))
	x.file("read-only/c", []byte("c"), 0o444)
	x.dir("read-only", 0o555)
	x.ok(os.Remove(x.path("read-only empty")))
}

// ofTheHead reports whether an object is the head of a workspace, or a digest beside it: they say
// who has the workspace and how it is, and change where no file does.
func ofTheHead(key string) bool {
	dir, name := path.Split(key)
	return strings.HasPrefix(key, ".coltec/fleet/") && (name == "head.json" || path.Base(dir) == "digest")
}

// onlyHead fails when anything but the head differs between two listings of the
// bucket: nothing changed in the tree, so nothing is to be sent.
func onlyHead(t *testing.T, before, after map[string]int64) {
	t.Helper()
	rest := func(objects map[string]int64) map[string]int64 {
		objects = maps.Clone(objects)
		maps.DeleteFunc(objects, func(key string, _ int64) bool { return ofTheHead(key) })
		return objects
	}
	if diff := cmp.Diff(rest(before), rest(after)); diff != "" {
		t.Errorf("the bucket changed (-before +after):\n%s", firstLines(diff, 40))
	}
}

// TestFidelity moves a tree that holds everything between machines, both ways.
func TestFidelity(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	a.spec(nil)
	b.spec(nil)
	files := &tender{t: t, root: a.dir}
	files.populate()
	first := a.tree()
	count(t, first, 1000)

	a.once()
	sameTree(t, first, a.tree()) // pushing leaves the tree as it is
	pushed := w.objects()
	a.once()
	onlyHead(t, pushed, w.objects())

	b.start()
	sameTree(t, first, b.tree())
	b.sync()
	onlyHead(t, pushed, w.objects())

	files.root = b.dir
	files.change()
	second := b.tree()
	b.sync()
	sameTree(t, second, b.tree())
	changed := w.objects()
	if len(changed) <= len(pushed) {
		t.Error("nothing was sent after all these changes")
	}
	b.sync()
	b.stop()
	onlyHead(t, changed, w.objects())

	a.once()
	sameTree(t, second, a.tree())
	onlyHead(t, changed, w.objects())
	if found := kept(t, a.dir, "conflicts"); len(found) > 0 {
		t.Errorf("conflicts of a tree that nobody else edited: %q", slices.Sorted(maps.Keys(found)))
	}

	c := w.machine("c")
	c.spec(nil)
	c.once()
	sameTree(t, second, c.tree())
	t.Logf("%d objects of %d bytes in the bucket, requests %v", len(changed), total(changed), w.proxy.Counts())
}

// count sees that a tree holds as many files as it is said to.
func count(t *testing.T, tree map[string]node, want int) {
	t.Helper()
	n := 0
	for _, x := range tree {
		if x.Kind == "file" {
			n++
		}
	}
	if n < want {
		t.Fatalf("the tree has %d files, want %d", n, want)
	}
}

func total(objects map[string]int64) (n int64) {
	for _, size := range objects {
		n += size
	}
	return n
}

// TestNotCarried: what no tree carries is said once, left alone, and keeps
// nothing else back.
func TestNotCarried(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	a.spec(nil)
	b.spec(nil)
	a.write("file", "x")
	if err := unix.Mkfifo(a.path("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mknod(a.path("socket"), unix.S_IFSOCK|0o600, 0); err != nil {
		t.Fatal(err)
	}
	a.start()
	a.sync()
	doc := a.status()
	if said := strings.Join(doc.Attention, "\n"); !strings.Contains(said, `"fifo"`) || !strings.Contains(said, `"socket"`) {
		t.Errorf("nothing is said of what is not carried: %q", doc.Attention)
	}
	a.stop()
	b.once()
	if _, err := os.Lstat(b.path("fifo")); err == nil {
		t.Error("a fifo came over")
	}
	b.write("file", "y")
	b.once()
	a.once()
	if info, err := os.Lstat(a.path("fifo")); err != nil || info.Mode()&fs.ModeNamedPipe == 0 || a.read("file") != "y" {
		t.Errorf("after a hop there and back: %v %v %q", info, err, a.read("file"))
	}
}

// TestFidelityAsUser: to anybody but root a read-only directory is an obstacle
// and an unreadable file a secret.
func TestFidelityAsUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	for _, m := range []*machine{a, b} {
		m.spec(nil)
		m.asUser()
	}
	files := &tender{t: t, root: a.dir}
	files.file("read-only/change", []byte("1"), 0o444)
	files.file("read-only/delete", []byte("1"), 0o444)
	files.file("read-only/below/chmod", []byte("1"), 0o444)
	files.file("read-only/below/goes/with all", []byte("1"), 0o444)
	files.file("locked/now/open", []byte("1"), 0o400)
	files.file("open/soon/locked", []byte("1"), 0o400)
	for _, dir := range []string{"read-only/below/goes", "read-only/below", "read-only", "locked/now", "locked"} {
		files.dir(dir, 0o555)
	}
	a.own()
	first := a.tree()
	a.once()
	sameTree(t, first, a.tree())
	b.once()
	sameTree(t, first, b.tree())

	files.root = b.dir
	files.file("read-only/change", []byte("2"), 0o444)
	files.ok(os.Remove(b.path("read-only/delete")))
	files.file("read-only/add", []byte("2"), 0o444)
	files.ok(os.RemoveAll(b.path("read-only/below/goes")))
	files.ok(unix.Chmod(b.path("read-only/below/chmod"), 0o555))
	files.dir("read-only/empty", 0o500)
	files.dir("locked/now", 0o755)
	files.dir("locked", 0o755)
	files.dir("open/soon", 0o555)
	files.dir("open", 0o555)
	b.own()
	second := b.tree()
	b.once()
	sameTree(t, second, b.tree())
	a.once()
	sameTree(t, second, a.tree())
	b.once()
	sameTree(t, second, b.tree())
}

// TestUnreadable: a file that cannot be read is neither pushed nor taken for
// deleted, here or there.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	for _, m := range []*machine{a, b} {
		m.spec(nil)
		m.asUser()
	}
	for _, name := range []string{"readable", "shut", "dir/in it", "dir/and/below", "other"} {
		a.write(name, "1")
	}
	a.own()
	a.once()
	b.once()
	for _, name := range []string{"shut", "dir"} {
		if err := os.Chmod(b.path(name), 0); err != nil {
			t.Fatal(err)
		}
	}
	b.write("readable", "2")
	b.start()
	b.leaves([]string{"sync"}, `"shut"`, `"dir"`)
	doc := b.status()
	if said := strings.Join(doc.Attention, "\n"); !strings.Contains(said, `"shut"`) || !strings.Contains(said, `"dir"`) {
		t.Errorf("nothing is said of what cannot be read: %q", doc.Attention)
	}
	b.leaves(stopping, `"shut"`, `"dir"`)
	a.once()
	for name, want := range map[string]string{"readable": "2", "shut": "1", "dir/in it": "1", "dir/and/below": "1", "other": "1"} {
		if got := a.read(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// TestMirrorAsUser: a file that nobody may write comes to who is not root too.
func TestMirrorAsUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	for _, m := range []*machine{a, b} {
		m.spec(func(o *specOptions) { o.Replicas[0].Layout = "mirror" })
		m.asUser()
	}
	files := &tender{t: t, root: a.dir}
	files.file("read-only", []byte("1"), 0o444)
	files.file("secret", []byte("2"), 0o400)
	files.file("plain", []byte("3"), 0o644)
	a.own()
	a.once()
	b.once()
	sameTree(t, a.tree(), b.tree())
}
