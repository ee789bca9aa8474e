package e2e

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/pkg/status"
)

// A save is in the bucket long before the interval is over, without a word from
// anybody; what is excluded wakes nobody.
func TestASaveIsPushedAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine("a")
	m.spec(func(o *specOptions) {
		o.TTL, o.Replicas[0].Interval, o.Replicas[0].Watch = "20s", 24*3600, true // it is soon over
		o.Replicas[0].Exclude = append(o.Replicas[0].Exclude, "node_modules/**")
	})
	m.seed()
	m.start()
	m.sync()
	committed := func(what string, do func()) {
		t.Helper()
		at := m.status().Lease.Generation
		do()
		m.await(what, func(doc status.Document) bool { return doc.Lease.Generation > at })
	}
	m.write("node_modules/noise", "none of it is carried")
	committed("a save", func() { m.write("edit.txt", "saved") })
	committed("a file in new directories", func() { m.write("deep/er/than/before.txt", "new") })
	committed("a file in one of them", func() { m.write("deep/er/again.txt", "new") })
	committed("a chmod", func() { m.chmod("mode.sh", 0o755) })
	if doc := m.status(); doc.State != status.Running {
		t.Errorf("it needs attention: %s", words(doc))
	}
	m.kill9() // nothing is flushed at the end
	b := w.machine("b")
	b.spec(nil)
	b.start()
	sameTree(t, treeOf(t, m.dir, ".coltec", ".devcontainer", "node_modules"), b.tree())
}

// mapped maps a file into memory, and gives what writes its beginning there.
func (m *machine) mapped(rel string) (write func(string)) {
	m.t.Helper()
	f, err := os.OpenFile(m.path(rel), os.O_RDWR, 0)
	if err != nil {
		m.t.Fatal(err)
	}
	memory, err := unix.Mmap(int(f.Fd()), 0, 3, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = unix.Munmap(memory); f.Close() })
	return func(text string) {
		m.t.Helper()
		copy(memory, text)
		if err := unix.Msync(memory, unix.MS_SYNC); err != nil {
			m.t.Fatal(err)
		}
	}
}

// With a day between two walks of the whole tree, what is touched brings everything
// into the bucket: nothing is stopped in order, and the next machine has it all.
func TestWatchAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	for _, m := range []*machine{a, b} {
		m.spec(func(o *specOptions) { o.TTL, o.Replicas[0].Interval, o.Replicas[0].Watch = "20s", 24*3600, true })
	}
	for _, dir := range []string{"src/deep", "lib/one", "lib/two"} {
		a.write(dir+"/f", dir)
		a.write(dir+"/g", dir+" too")
	}
	if err := os.Link(a.path("src/deep/f"), a.path("lib/two/linked")); err != nil {
		t.Fatal(err)
	}
	a.history("repo", 3)
	a.write("quiet/g", "quiet")
	unseen := a.mapped("quiet/g")
	a.start()
	a.sync()
	pushed := func(what string, do func()) {
		t.Helper()
		before := a.status().Lease.Generation
		do()
		a.await(what+" is pushed", func(d status.Document) bool { return d.Lease.Generation > before })
	}
	pushed("the first save", func() { a.write("src/deep/g", "saved") })
	pushed("a save", func() { a.write("src/deep/g", "saved again") })
	pushed("a new tree", func() { a.write("new/in/side/f", "x"); a.write("new/in/g", "y") })
	pushed("a directory that moved", func() { a.rename("new/in", "lib/in") })
	pushed("a save in it", func() { a.write("lib/in/side/f", "after the move") })
	pushed("a removed directory", func() { a.remove("lib/one") })
	pushed("a mode", func() { a.chmod("src/deep", 0o700) })
	pushed("a commit", func() {
		a.git("repo", "commit", "-q", "--allow-empty", "-m", "next")
	})
	pushed("a file of two names", func() { a.write("src/deep/f", "by one of its names") })
	// What is written by memory makes no event: only a walk of the whole tree comes upon it.
	// That shows that there was none.
	unseen("QUI")
	pushed("another save", func() { a.write("src/deep/g", "saved once more") })
	pushed("what nobody told of", func() { a.sync() })

	a.kill9()
	b.start()
	sameTree(t, a.files(), b.files())
	a.same(b, "rev-parse", "HEAD")
}
