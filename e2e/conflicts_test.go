package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/control"
)

// clash has two machines write the same files: a's versions have the names, b's are kept aside,
// and b runs.
func (w *world) clash(names ...string) (a, b *machine) {
	w.t.Helper()
	a, b = w.pair()
	for _, name := range names {
		a.write(name, "line\ncommon\n")
	}
	a.once()
	b.once()
	for _, name := range names {
		a.write(name, "by a\ncommon\n")
		b.write(name, "by b\ncommon\n")
	}
	a.once()
	b.start()
	return a, b
}

// aside lists what is kept aside, by path.
func (m *machine) aside() map[string]control.Conflict {
	m.t.Helper()
	found := map[string]control.Conflict{}
	for _, k := range answer[[]control.Conflict](m, "conflicts") {
		found[k.Path] = k
	}
	return found
}

// oddNames are of files that a command line, a terminal or JSON may take for something else.
var oddNames = []string{"one", "-two", "three\nlines", "fo\xffur", "five 100%0A.txt", "d/s'ix", "se\x1b[2Jven"}

// Whatever a file is called, what is decided about is what was shown: an edit since then is
// refused, and loses nothing.
func TestConflictsAreDecidedAsShown(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	_, b := w.clash(oddNames...)
	list := answer[[]control.Conflict](b, "conflicts")
	if len(list) != len(oddNames) {
		t.Fatalf("%+v", list)
	}
	for _, k := range list {
		name := oddNames[slices.IndexFunc(oddNames, func(name string) bool {
			return strings.ToValidUTF8(name, "\uFFFD") == k.Path
		})]
		shown := answer[control.Conflict](b, "conflicts", "diff", k.ID)
		if shown.Seen == "" || !strings.Contains(shown.Diff, "-by a\n+by b\n common") || shown.Now == nil || shown.Now.Size != 12 {
			t.Errorf("%q: %+v", name, shown)
		}
		b.write(name, "by an agent\n")
		b.refused(1, "it changed since it was shown", "conflicts", "take", k.ID, "--seen", shown.Seen)
		b.refused(1, "it changed since it was shown", "conflicts", "drop", k.ID, "--seen", shown.Seen)
		if got := b.read(name); got != "by an agent\n" {
			t.Errorf("%q is %q", name, got)
		}
		if out := b.must("conflicts", "take", k.ID, "--dry-run"); !strings.Contains(out, "would be the version of b") || b.read(name) != "by an agent\n" {
			t.Errorf("%q: asked only: %s", name, out)
		}
		shown = answer[control.Conflict](b, "conflicts", "show", k.ID)
		taken := answer[control.Conflict](b, "conflicts", "take", k.ID, "--seen", shown.Seen)
		if got := b.read(name); got != "by b\ncommon\n" {
			t.Errorf("%q was taken, and is %q", name, got)
		}
		back, _, _ := strings.Cut(taken.Undo, ", as long as")
		if strings.Contains(back, "\uFFFD") {
			continue // JSON has no such name
		}
		if out, err := exec.Command("sh", "-c", back).CombinedOutput(); err != nil || b.read(name) != "by an agent\n" {
			t.Errorf("%q: %s: %v %s, and it is %q", name, back, err, out, b.read(name))
		}
	}
	if left := b.aside(); len(left) > 0 {
		t.Errorf("still aside: %+v", left)
	}
	b.stop()
}

// What was dropped is got back as the answer says: from this machine, or from an older generation.
func TestDroppedConflictComesBack(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a, b := w.clash("here", "there")
	b.sync()
	k := b.aside()["here"]
	dropped := answer[control.Conflict](b, "conflicts", "drop", k.ID)
	text, err := os.ReadFile(b.path(dropped.Replaced))
	if err != nil || string(text) != "by b\ncommon\n" || !strings.Contains(dropped.Undo, dropped.Replaced) {
		t.Errorf("dropped: %q, %v; %+v", text, err, dropped)
	}
	if got := b.read("here"); got != "by a\ncommon\n" {
		t.Errorf("what has the name is %q", got)
	}
	b.sync()
	b.stop()

	a.start()
	generation := fmt.Sprint(a.status().Lease.Generation)
	k = a.aside()["there"]
	if k.Here {
		t.Fatalf("%+v", k)
	}
	dropped = answer[control.Conflict](a, "conflicts", "drop", k.ID)
	words, _, _ := strings.Cut(strings.TrimPrefix(dropped.Undo, "coltecd history restore "), " --at ")
	path := strings.Trim(words, "'")
	a.sync()
	if left := a.aside(); len(left) > 0 {
		t.Errorf("still aside: %+v", left)
	}
	to := filepath.Join(t.TempDir(), "back")
	a.must("history", "restore", path, "--at", generation, "--to", to)
	if text, err := os.ReadFile(filepath.Join(to, "there")); err != nil || string(text) != "by b\ncommon\n" {
		t.Errorf("got back: %q, %v", text, err)
	}
	a.stop()
}

// All at once: what would be done is told first, nothing is done unless somebody agreed, and of
// two versions of one path none is guessed.
func TestAllConflicts(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a, b := w.clash("one", "two", "three")
	b.stop()
	a.once()
	a.write("three", "by a again\n")
	a.once()
	b.write("three", "by b again\n")
	b.start()
	before := b.tree()
	would := answer[control.Decided](b, "conflicts", "take", "--all", "--dry-run")
	if len(would.Done) != 2 || len(would.Left) != 2 || would.Seen == "" || !strings.Contains(would.Left[0].Note, "2 versions of it are kept") {
		t.Errorf("%+v", would)
	}
	sameTree(t, before, b.tree())
	b.refused(2, "nobody can be asked", "conflicts", "take", "--all")
	b.refused(1, "it changed since it was shown", "conflicts", "take", "--all", "--yes", "--seen", "0123456789abcdef")
	b.write("one", "by an agent\n")
	b.refused(1, "it changed since it was shown", "conflicts", "take", "--all", "--yes", "--seen", would.Seen)
	if len(b.aside()) != 3 || b.read("two") != "by a\ncommon\n" {
		t.Errorf("%+v", b.aside())
	}
	if none := answer[control.Decided](b, "conflicts", "take", "--all", "--yes", "--of", "nobody"); len(none.Done)+len(none.Left) > 0 {
		t.Errorf("%+v", none)
	}
	b.refused(1, "2 versions are left as they are", "conflicts", "take", "--all", "--yes")
	if b.read("one") != "by b\ncommon\n" || b.read("two") != "by b\ncommon\n" || b.read("three") != "by a again\n" {
		t.Errorf("taken: %q, %q, %q", b.read("one"), b.read("two"), b.read("three"))
	}
	done := answer[control.Decided](b, "conflicts", "drop", "--all", "--yes", "--of", "b")
	if len(done.Done) != 2 || len(b.aside()) > 0 || b.read("three") != "by a again\n" {
		t.Errorf("%+v", done)
	}
	if got := kept(t, b.dir, "replaced"); got["one"] != "by an agent\n" || got["two"] != "by a\ncommon\n" {
		t.Errorf("replaced: %q", got)
	}
	b.sync()
	b.stop()
	a.once()
	if a.read("one") != "by b\ncommon\n" || len(a.aside()) > 0 {
		t.Errorf("elsewhere: %q, %+v", a.read("one"), a.aside())
	}
}

// Several people decide about one version at once: one of them does.
func TestConflictsTakenAtOnce(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	_, b := w.clash("one")
	k := b.aside()["one"]
	var mu sync.Mutex
	var together sync.WaitGroup
	won := 0
	for i := range 6 {
		together.Go(func() {
			out, said, code := b.run("conflicts", []string{"take", "drop"}[i%2], k.ID)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case code == 0:
				won++
			case !strings.Contains(said, "not kept aside any more") && !strings.Contains(said, "cannot find a version"):
				t.Errorf("%d: %s%s", code, out, said)
			}
		})
	}
	together.Wait()
	if won != 1 || len(b.aside()) > 0 {
		t.Errorf("%d have decided, and %+v is left", won, b.aside())
	}
	held := fmt.Sprint(kept(t, b.dir, "replaced"))
	if now := b.read("one"); !strings.Contains(now+held, "by a") || !strings.Contains(now+held, "by b") {
		t.Errorf("there is %q, and replaced %s", now, held)
	}
	b.stop()
}

// Of two databases there are words, and no bytes; of what is no text too.
func TestConflictsInWords(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a, b := w.pair()
	a.ledger("d/l.db", "wal", 20)
	a.write("image.png", "\x89PNG\x00\x01")
	a.once()
	b.once()
	b.ledgerShell("d/l.db", "few", "few", "few").kill()
	a.ledgerShell("d/l.db", "few").kill()
	a.write("image.png", "\x89PNG\x00by a")
	b.write("image.png", "\x89PNG\x00by b, larger")
	a.once()
	b.start()
	list := b.aside()
	if len(list) != 2 {
		t.Fatalf("%+v", list)
	}
	shown := answer[control.Conflict](b, "conflicts", "diff", list["d/l.db"].ID)
	if shown.Kind != "database" || shown.Now.Kind != "database" || len(shown.Tables) == 0 || shown.Diff != "" {
		t.Errorf("%+v", shown)
	}
	if out := b.must("conflicts", "diff", "d/l.db"); !strings.Contains(out, "now, ") || !strings.Contains(out, "kept aside") || strings.Contains(out, "\x00") {
		t.Errorf("%q", out)
	}
	if out := b.must("conflicts", "diff", "image.png"); !strings.Contains(out, "binary files differ: now a file of 9 bytes, kept aside a file of 17 bytes") {
		t.Errorf("%q", out)
	}
	taken := answer[control.Conflict](b, "conflicts", "take", "d/l.db", "--seen", shown.Seen)
	holdsLedger(t, "taken", b.path("d/l.db"), 3, 3)
	holdsLedger(t, "replaced", b.path(taken.Replaced), 1, 1)
	b.stop()
}

// Where no coltecd runs, what is kept aside is compared with what the bucket has, and decided
// about nowhere. A terminal is not needed for it.
func TestConflictsFromTheHost(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	f := newEstate(t, 2, []*place{
		{env: "calm", make: (*place).calm, want: told{state: "running", where: "here"}},
		{env: "conflicted", make: (*place).conflicted, want: told{state: "degraded", where: "here", says: "conflict", need: "conflicts"}},
	})
	m := f.find("conflicted").m
	host := func(code int, words string, args ...string) string {
		t.Helper()
		out, err := f.desk.host(append([]string{"conflicts", m.dir}, args...)...)
		got := 0
		if ended, is := err.(*exec.ExitError); is {
			got = ended.ExitCode()
		}
		if got != code || !strings.Contains(out, words) {
			t.Errorf("coltec conflicts %q ended with %d (%v), want %d and %q:\n%s", args, got, err, code, words, out)
		}
		return out
	}
	m.sync()
	host(0, "notes.txt")
	host(0, "-by the laptop", "diff", "notes.txt")
	host(2, "conflicts take needs PATH, or --all", "take")
	host(2, `unknown conflicts command "lose"`, "lose", "x")
	host(0, "would be the version of desk", "take", "--all", "--dry-run")
	f.desk.box(m, "conflicted", false)
	host(1, "bring it up: coltec up", "take", "notes.txt")
	host(1, "bring it up: coltec up", "drop", "--all", "--yes")
	m.stop()
	f.desk.knows(m)
	host(0, "-by the laptop", "diff", "notes.txt")
	host(0, "is compared with what the bucket has", "diff", "notes.txt")
	m.start()
	f.desk.box(m, "conflicted", true)
	host(0, "notes.txt is the version of desk again", "take", "notes.txt")
	if got := m.read("notes.txt"); got != "by the desk" {
		t.Errorf("it is %q", got)
	}
	host(0, "no conflicts")
	m.stop()
}

// On a disk that is full nothing is decided, or all of it: both versions are there.
func TestConflictsOnAFullDisk(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	for _, m := range []*machine{a, b} {
		m.mkdir("data")
		m.disk("data", "8m")
		m.spec(func(o *specOptions) { o.Replicas = []replicaSpec{m.replica("data", m.path("data"))} })
	}
	a.write("data/f", "common")
	a.once()
	b.once()
	a.write("data/f", "by a")
	a.once()
	b.write("data/f", "by b")
	b.start()
	k := b.aside()["f"]
	for _, what := range []string{"take", "drop"} {
		b.fill("data/filler")
		_, said, code := b.run("conflicts", what, k.ID)
		now, aside, replaced := b.read("data/f"), kept(t, b.path("data"), "conflicts"), kept(t, b.path("data"), "replaced")
		held := fmt.Sprint(now, aside, replaced)
		if !strings.Contains(held, "by a") || !strings.Contains(held, "by b") || code != 0 && (now != "by a" || aside["f"] != "by b") {
			t.Errorf("%s ended with %d: %s: %s", what, code, said, held)
		}
		t.Logf("%s on a full disk ended with %d: %s", what, code, said)
		if noted, _ := os.ReadFile(b.path("data/.coltec/dropped")); len(noted) > 0 && !strings.HasSuffix(string(noted), "\n") {
			t.Errorf("%s wrote half a line: %q", what, noted)
		}
		b.remove("data/filler")
	}
	if len(b.aside()) > 0 {
		b.must("conflicts", "take", k.ID)
	}
	b.sync()
	b.stop()
}

// crashInTake kills while a version gets its name back: at each moment one of both has the name,
// both are on the disk, and a second try ends it.
func crashInTake(t *testing.T, at string) {
	w := newWorld(t)
	a, b := crashWithConflict(w)
	k := b.aside()["edit.txt"]
	b.killedAt(at, "conflicts", "take", k.ID)
	if now := b.read("edit.txt"); now != "by a" && now != "by b" {
		t.Errorf("after the kill it is %q", now)
	}
	holdsBoth(t, b)
	b.must("conflicts", "take", k.ID)
	if now := b.read("edit.txt"); now != "by b" {
		t.Errorf("taken again it is %q", now)
	}
	settled(t, a, b, "by b")
}

// crashInDrop kills while a version is dropped.
func crashInDrop(t *testing.T, at string) {
	w := newWorld(t)
	a, b := crashWithConflict(w)
	k := b.aside()["edit.txt"]
	b.killedAt(at, "conflicts", "drop", k.ID)
	holdsBoth(t, b)
	if len(b.aside()) > 0 {
		b.must("conflicts", "drop", k.ID)
	}
	settled(t, a, b, "by a")
}

// crashWithConflict has the bucket know of a version that is kept aside on b.
func crashWithConflict(w *world) (a, b *machine) {
	a, b = w.pair()
	a.write("edit.txt", "before")
	a.once()
	b.once()
	a.write("edit.txt", "by a")
	a.once()
	b.write("edit.txt", "by b")
	b.once()
	return a, b
}

// holdsBoth holds that a machine has both versions.
func holdsBoth(t *testing.T, m *machine) {
	t.Helper()
	held := fmt.Sprint(m.read("edit.txt"), kept(t, m.dir, "conflicts"), kept(t, m.dir, "replaced"))
	if !strings.Contains(held, "by a") || !strings.Contains(held, "by b") {
		t.Errorf("there is only %s", held)
	}
}

// settled holds that a decision is one everywhere.
func settled(t *testing.T, a, b *machine, text string) {
	t.Helper()
	b.once()
	a.once()
	b.once()
	for _, m := range []*machine{a, b} {
		if got, left := m.read("edit.txt"), m.aside(); got != text || len(left) > 0 {
			t.Errorf("%s has %q, and aside %+v", m.name, got, left)
		}
	}
	holdsBoth(t, b)
}
