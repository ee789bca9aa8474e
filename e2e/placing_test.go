package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/pkg/status"
)

// Files that were more than one batch came one in each cycle: status said synced, and
// what was fetched for the others was fetched again each time.
func TestMoreThanABatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	for _, m := range []*machine{a, b} {
		m.spec(seldom)
	}
	const size = 140 << 20 // two of them are more than a batch
	for i := range 3 {
		a.write(fmt.Sprintf("big/%d.bin", i), scrambled(uint64(i), size))
	}
	a.write("big/copy.bin", a.read("big/0.bin"))
	for i := range 200 {
		a.write(fmt.Sprintf("src/%d.txt", i), fmt.Sprint("source ", i))
	}
	a.start()
	a.sync()
	a.stop()
	w.proxy.Reset()
	b.start()
	doc := b.status()
	sameTree(t, a.tree(), b.tree())
	if len(doc.Attention) > 0 || !strings.Contains(b.log(), "replica restored") {
		t.Errorf("attention: %q", doc.Attention)
	}
	b.sync()
	if got, most := w.proxy.Total().Received, int64(3*size)*105/100; got > most {
		t.Errorf("received %d bytes for %d of content", got, 3*size)
	}
	asked := map[string]int{}
	for _, r := range w.proxy.Requests() {
		if r.Kind == s3test.Get && strings.Contains(r.Key, "/.coltec/o/") {
			asked[r.Key]++
		}
	}
	for key, n := range asked {
		if n > 1 {
			t.Errorf("%s was asked for %d times", key, n)
		}
	}
	b.stageIsEmpty("")
	b.stop()
}

// stageIsEmpty holds that nothing is staged in a tree.
func (m *machine) stageIsEmpty(rel string) {
	m.t.Helper()
	err := filepath.WalkDir(filepath.Join(m.path(rel), ".coltec/stage"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			m.t.Errorf("%s is in the stage", path)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.t.Error(err)
	}
}

// sparse makes a file of zeros with a little data at an offset.
func (m *machine) sparse(rel string, size, at int64) {
	m.t.Helper()
	m.write(rel, "")
	f, err := os.OpenFile(m.path(rel), os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt([]byte(strings.Repeat("data", 1024)), at)
		err = errors.Join(err, f.Truncate(size), f.Close())
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

// onDisk is what a file takes there.
func (m *machine) onDisk(rel string) int64 {
	m.t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(m.path(rel), &st); err != nil {
		m.t.Fatal(err)
	}
	return st.Blocks * 512
}

// A sparse file of a gigabyte filled a small disk where it came, and a file that had no
// room kept every other one away; what had come of it kept the disk full.
func TestSmallDisk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	for _, m := range []*machine{a, b} {
		m.apart()
	}
	a.disk("data", "128m") // what is staged is sparse too
	b.disk("data", "32m")
	for i := range 12 {
		a.write(fmt.Sprintf("data/src/%d.txt", i), fmt.Sprint("source ", i))
	}
	a.sparse("data/disk.img", 1<<30, 300<<20)
	a.once()
	a.write("data/a-big.bin", scrambled(1, 48<<20))
	a.write("data/z", "the last one")
	a.once()
	a.stageIsEmpty("data")

	b.stuck(`"a-big.bin" is not here`, "the disk of this machine is full", "free up space")
	b.says(`"a-big.bin" is not synced`, "the disk of this machine is full", "free up space")
	want := treeOf(t, a.path("data"), ".coltec")
	delete(want, `"a-big.bin"`)
	sameTree(t, want, treeOf(t, b.path("data"), ".coltec"))
	if got := b.onDisk("data/disk.img"); got > 1<<20 {
		t.Errorf("the sparse file takes %d bytes", got)
	}
	b.stageIsEmpty("data")
	b.write("data/mine", "written here")
	b.sync()
	b.stop()
	b.stageIsEmpty("data")

	b.resize("data", "200m")
	b.start()
	b.await("it is restored", func(doc status.Document) bool { return doc.State == status.Running })
	b.stop()
	a.once()
	sameTree(t, treeOf(t, a.path("data"), ".coltec"), treeOf(t, b.path("data"), ".coltec"))
}

// The times of directories were those of the restore.
func TestDirectoryTimes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.pair()
	a.seed()
	times := func(m *machine) map[string]int64 {
		found := map[string]int64{}
		for _, dir := range []string{"src", "old", "empty"} {
			info, err := os.Stat(m.path(dir))
			if err != nil {
				t.Fatal(err)
			}
			found[dir] = info.ModTime().UnixNano()
		}
		return found
	}
	for i, dir := range []string{"src", "old", "empty"} {
		at := time.Unix(1_000_000_000+int64(i), 123_456_789)
		if err := os.Chtimes(a.path(dir), at, at); err != nil {
			t.Fatal(err)
		}
	}
	same := func(from, to *machine) {
		t.Helper()
		from.once()
		want := times(from)
		to.once()
		if got := times(to); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	same(a, b)
	b.write("src/new.txt", "new")
	b.write("old/name.txt", "edited in place")
	same(b, a)
	pushed := w.objects()
	a.touch("empty")
	a.once()
	onlyHead(t, pushed, w.objects()) // the time alone is not a change
}
