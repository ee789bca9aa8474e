package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/status"
)

// undoing is the command that a sentence of the status names to bring files back.
var undoing = regexp.MustCompile(`coltecd (history restore [-a-z ]+--at \d+)`)

// undoes runs the command that the status names for that.
func (m *machine) undoes() string {
	m.t.Helper()
	said := strings.Join(m.status().Attention, "\n")
	found := undoing.FindStringSubmatch(said)
	if found == nil {
		m.t.Fatalf("%s: no command brings anything back:\n%s", m.name, said)
	}
	return m.must(strings.Fields(found[1])...)
}

// underway starts coltecd, and returns after its first round: what is removed during that may go in two
// generations.
func (m *machine) underway() {
	m.t.Helper()
	m.start()
	m.sync()
}

// unasked holds that a person has nothing to decide, and nothing stays here.
func (m *machine) unasked() {
	m.t.Helper()
	if doc := m.status(); doc.State != status.Running || strings.Contains(words(doc), "decision") {
		m.t.Errorf("%s is %s: %s", m.name, doc.State, words(doc))
	}
}

// workingTree is the tree without its repository, which lies in other packs elsewhere.
func (m *machine) workingTree() map[string]node {
	m.t.Helper()
	return treeOf(m.t, m.dir, ".coltec", ".devcontainer", ".git", "goes/project/.git")
}

// writesMany writes that many files below a directory.
func (m *machine) writesMany(dir string, n int) {
	m.t.Helper()
	for i := range n {
		m.write(fmt.Sprintf("%s/%d/%d.txt", dir, i%20, i), fmt.Sprintf("%s %d\n", dir, i))
	}
}

// A switch to a branch that has 5,584 files less had its deletions held, there and here:
// the other machine had the files of both branches. Nobody is asked, on any machine, and
// each has what is checked out.
func TestSwitchOfBranches(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.patient()
	c := w.machine("c")
	c.spec(nil)
	a.git("", "init", "-q")
	a.writesMany("src", 30)
	a.git("", "add", "src")
	a.git("", "commit", "-q", "-m", "less")
	a.git("", "branch", "less")
	a.writesMany("vendor", 5584)
	a.git("", "add", "vendor")
	a.git("", "commit", "-q", "-m", "more")
	a.once()
	b.once()
	more := a.workingTree()

	a.git("", "switch", "-q", "less")
	a.start()
	a.unasked()
	a.stop()
	b.start()
	b.unasked()
	sameTree(t, a.workingTree(), b.workingTree())
	sameAnswers(t, a, b, "")
	b.stop()
	c.once()
	sameAnswers(t, a, c, "")

	b.git("", "switch", "-q", "main")
	b.once()
	a.start()
	a.unasked()
	if got := len(a.workingTree()); got != len(more) {
		t.Errorf("a has %d paths on the branch with more, want %d", got, len(more))
	}
	a.git("", "switch", "-q", "less")
	a.stop() // the last flush is not asked either
	c.once()
	if !c.missing("vendor") {
		t.Error("c has the files of both branches")
	}
}

// What git cleans, stashes or takes out of a sparse checkout goes on the other machine
// too, and what is not in git can be had back by the command that the status names.
func TestWhatGitRemoves(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		args []string
		told bool // git has not all of it: a notice says how it comes back
	}{
		"clean":  {[]string{"clean", "-q", "-fdx", "-e", ".devcontainer"}, true},
		"stash":  {[]string{"stash", "push", "-q", "-u", "--", "build", "src"}, false},
		"sparse": {[]string{"sparse-checkout", "set", "--no-cone", "/src/0/", "/build/"}, false},
		"rm":     {[]string{"rm", "-q", "-r", "lib"}, false},
	}
	for name, tt := range sample.Cases(t, 2, tests) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a, b := w.patient()
			a.git("", "init", "-q")
			a.writesMany("src", 40)
			lib := 0
			if name == "sparse" || name == "rm" {
				lib = 900
			}
			a.writesMany("lib", lib)
			a.git("", "add", ".", ":!.devcontainer", ":!.coltec")
			a.git("", "commit", "-q", "-m", "all")
			build := 900 - lib
			a.writesMany("build", build)
			a.once()
			b.once()
			before := a.workingTree()
			a.git("", tt.args...)
			a.start()
			a.sync()
			a.unasked()
			after := a.workingTree()
			if len(after) >= len(before)/2 {
				t.Fatalf("%d of %d paths are left", len(after), len(before))
			}
			a.stop()
			b.start()
			b.unasked()
			sameAnswers(t, a, b, "")
			sameTree(t, after, b.workingTree())
			said := strings.Join(b.status().Attention, "\n")
			if told := strings.Contains(said, "puts them back"); told != tt.told {
				t.Errorf("b is told: %q", said)
			}
			if tt.told {
				b.undoes()
				b.sync()
				if got := b.read("build/0/0.txt"); got != "build 0\n" {
					t.Errorf("what was cleaned away came back as %q", got)
				}
			}
			b.stop()
		})
	}
}

// A folder with most of the files is removed, and a repository with it: nobody is asked,
// each machine says so for a day, and the command that it names brings all of it back.
func TestRemovalIsUndone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.patient()
	a.writesMany("goes", 60)
	a.history("goes/project", 12)
	a.writesMany("stays", 30)
	a.write("stays/edited", "before")
	a.once()
	b.once()
	before := a.workingTree()
	log := a.git("goes/project", "log", "--format=%H")
	a.underway()
	a.remove("goes")
	a.write("stays/edited", "after")
	a.sync()
	a.unasked()
	a.stop()
	b.start()
	if !b.missing("goes/0") {
		t.Error("it is still there on b")
	}
	b.undoes()
	b.sync()
	if got := b.git("goes/project", "log", "--format=%H"); got != log {
		t.Errorf("the repository came back with %q", got)
	}
	if b.read("stays/edited") != "after" {
		t.Error("what was not deleted was set back too")
	}
	if got := len(b.workingTree()); got != len(before) {
		t.Errorf("%d of %d paths are back", got, len(before))
	}
	b.stop()
	a.once()
	if a.missing("goes/0/0.txt") || a.git("goes/project", "log", "--format=%H") != log {
		t.Error("it is not back on a")
	}
}

// An emptied tree waits. Every machine says so, who holds what, and the command for each
// way works: to put the files back, and to delete them for good, which is said once.
func TestEmptiedTreeWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.patient()
	a.writesMany("src", 30)
	a.write(".dotfile", "stays")
	a.once()
	b.once()
	want := a.workingTree()
	held := func(m *machine, words ...string) {
		t.Helper()
		m.await("it is told", func(doc status.Document) bool {
			said := strings.Join(doc.Attention, "\n")
			for _, word := range append(words, "coltecd sync workspace --allow-delete", "history restore --replica workspace --deleted") {
				if !strings.Contains(said, word) {
					return false
				}
			}
			return true
		})
	}
	a.underway()
	a.remove("src")
	a.refused(cmdline.CodeOnlyHere, "src", "sync")
	held(a, "30 deletions at once wait for your decision")
	a.refused(cmdline.CodeOnlyHere, "src", "stop", "--timeout", "150s")
	b.start()
	sameTree(t, want, b.workingTree())
	b.sync()
	held(b, "30 deletions that were made on a have waited there for a decision")
	b.stop()

	a.start()
	held(a, "30 deletions at once wait for your decision")
	a.undoes()
	a.sync()
	a.unasked()
	if a.read("src/0/0.txt") != "src 0\n" {
		t.Error("they are not back")
	}
	a.stop()
	b.start()
	b.unasked()
	b.stop()

	a.underway()
	a.remove("src")
	a.sync("--allow-delete")
	a.unasked()
	a.stop()
	b.start() // was told there, once
	b.unasked()
	if !b.missing("src") {
		t.Error("the word did not come with the generation")
	}
	b.stop()
}

// Deletions that come from the bucket and would leave nearly nothing here wait here: they
// went in steps of which none was remarkable. They are told until it is decided, after
// each sync and on the other machine too, and either way works.
func TestHeldWhereTheyCome(t *testing.T) {
	t.Parallel()
	for name, keep := range map[string]bool{"kept": true, "deleted": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a, b := w.patient()
			a.writesMany("first", 50)
			a.writesMany("second", 24)
			a.writesMany("third", 5)
			a.once()
			b.once()
			a.remove("first")
			a.once()
			a.remove("second")
			a.once()
			b.start()
			for range 2 {
				b.refused(cmdline.CodeOnlyHere, "first/", "sync")
				b.says("74 deletions at once that were made elsewhere wait for your decision", "--allow-delete")
			}
			b.refused(cmdline.CodeOnlyHere, "first/", "stop", "--timeout", "150s")
			a.start()
			if said := strings.Join(a.status().Attention, "\n"); !strings.Contains(said, "74 files that were deleted elsewhere are still on b") {
				t.Errorf("a is not told: %s", said)
			}
			a.stop()
			b.start()
			if keep {
				b.undoes()
				b.sync()
			} else {
				b.sync("--allow-delete")
			}
			b.unasked()
			b.stop()
			a.start()
			a.unasked()
			for _, m := range []*machine{a, b} {
				if m.missing("first/0/0.txt") == keep || m.missing("second/0/0.txt") == keep || m.missing("third/0/0.txt") {
					t.Errorf("%s has not what was said", m.name)
				}
			}
			a.stop()
		})
	}
}
