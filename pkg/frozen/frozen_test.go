package frozen

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/whole"
)

// What is captured of a directory that is written all the time is a state that was, restored
// elsewhere too; its writer goes on.
func TestCaptureUnderAWriter(t *testing.T) {
	w := newWorld(t)
	a := w.place([]Path{{Path: "data/db", By: Freeze}}, nil)
	a.acquire()
	a.write("file", "1")
	a.writer("data/db", "db")
	for range sample.Size(10, 100) {
		a.push()
		a.expectNotes()
		b := w.place([]Path{{Path: "data/db", By: Freeze}}, nil)
		b.acquire()
		if why := torn(b.at("data/db")); why != "" {
			t.Fatal(why)
		}
		if b.has("data/db/" + markName) {
			t.Error("the mark is in the tree")
		}
		a.moves("data/db")
	}
}

// A directory goes in one step, however small steps are: half of it is nothing.
func TestLargeDirectoryInSmallSteps(t *testing.T) {
	w := newWorld(t)
	paths := []Path{{Path: "db", By: Freeze}}
	a := w.place(paths, nil)
	a.acquire()
	a.ShortenSteps()
	for i := range 6 {
		body := make([]byte, 10<<20)
		_, _ = rand.NewChaCha8([32]byte{byte(i)}).Read(body)
		a.write(fmt.Sprintf("db/%d", i), string(body[:5<<20]))
		a.write(fmt.Sprintf("file-%d", i), string(body[5<<20:]))
		a.write(fmt.Sprintf("db/small-%d", i), string(body[:i<<17]))
		a.write(fmt.Sprintf("db-%d", i), string(body[:i<<18+i]))
	}
	for range 20 {
		a.push()
		n := 0
		for _, row := range w.rows() {
			if strings.HasPrefix(row, layout.Dir) {
				n++
			}
		}
		if n != 0 && n != 13 {
			t.Fatalf("of 13 rows there are %d", n)
		}
	}
	if n := len(w.rows()); n != 25 {
		t.Errorf("in the bucket are %d", n)
	}
}

// What is written by somebody who was not stopped is withheld, with what it says; when nobody
// writes any more it goes.
func TestCaptureUnderAStranger(t *testing.T) {
	w := newWorld(t)
	paths := []Path{{Path: "db", By: Freeze, Units: []string{"db"}}}
	a := w.place(paths, nil)
	a.acquire()
	stop := a.writer("db", "other")
	a.write("file", "1")
	a.push()
	a.expectNotes(`the directory "db" is withheld since 2026-05-04T03:`)
	a.expectNotes("written by a process that is none of the units")
	if rows := w.rows(); !slices.Equal(rows, []string{"file"}) {
		t.Errorf("in the bucket: %q", rows)
	}
	stop()
	a.push()
	a.expectNotes()
	if why := torn(a.at(layout.Dir + "/db")); why != "" || !slices.Contains(w.rows(), layout.Dir+"/db/"+markName) {
		t.Errorf("%q; in the bucket: %q", why, w.rows())
	}
}

// What takes too long is given up: who was stopped goes on, the last state stays.
func TestCaptureThatTakesTooLong(t *testing.T) {
	w := newWorld(t)
	slow := false
	a := w.place([]Path{{Path: "db", By: Freeze}}, func(k *Kind) {
		made := k.Means.Stopper
		k.Means.Stopper = func() (Stopper, error) {
			s, err := made()
			if slow {
				return late{s}, err
			}
			return s, err
		}
	})
	a.acquire()
	a.writer("db", "db")
	a.push()
	a.expectNotes()
	before := w.rows()
	was := shardIn(a.at(layout.Dir+"/db"), 0)
	slow = true
	a.push()
	a.expectNotes("copying takes longer than 500 ms: use a file system with reflink, or a hook")
	a.moves("db")
	if now := shardIn(a.at(layout.Dir+"/db"), 0); now != was || !slices.Equal(before, w.rows()) {
		t.Errorf("the shadow had %d, and has %d; in the bucket: %q", was, now, w.rows())
	}
	slow = false
	a.push()
	a.expectNotes()
	if why := torn(a.at(layout.Dir + "/db")); why != "" {
		t.Error(why)
	}
}

// late has no time left.
type late struct{ Stopper }

func (late) Left() time.Duration { return 0 }

// A directory comes elsewhere as it is: modes, links, empty directories, times. Nothing is
// captured again while nothing changes.
func TestPlacement(t *testing.T) {
	for _, path := range []string{"data/pg", "pg", ""} {
		t.Run("at "+path, func(t *testing.T) {
			w := newWorld(t)
			paths := []Path{{Path: path, By: Freeze}}
			a, b := w.place(paths, nil), w.place(paths, nil)
			at := func(p string) string { return filepath.Join(path, p) }
			a.acquire()
			a.write(at("PG_VERSION"), "15\n")
			a.write(at("postmaster.pid"), "123\n")
			a.write(at("base/1/2"), "content")
			a.write(at("base/1/3"), "more")
			w.must(os.Mkdir(a.at(at("empty")), 0o700), os.Symlink("base/1/2", a.at(at("link"))), os.Chmod(a.at(at("base/1")), 0o500), os.Chmod(a.at(at("base/1/3")), 0o400))
			if path != "" {
				w.must(os.Chmod(a.at(path), 0o700))
			}
			a.push()
			a.expectNotes()
			generation := w.generation
			a.push()
			if w.generation != generation {
				t.Error("a generation was made though nothing changed")
			}
			b.acquire()
			b.expectNotes()
			w.must(os.Remove(a.at(at("postmaster.pid"))), os.Chmod(a.at(at("base/1")), 0o700), os.Chmod(b.at(at("base/1")), 0o700))
			compare := func(what string, x, y *place) {
				t.Helper()
				if path == "" {
					for _, name := range []string{"PG_VERSION", "base", "empty", "link"} {
						if why := differs(x.at(name), y.at(name)); why != "" {
							t.Errorf("%s: %s: %s", what, name, why)
						}
					}
				} else if why := differs(x.at(path), y.at(path)); why != "" {
					t.Errorf("%s: %s", what, why)
				}
			}
			compare("placed", a, b)
			b.push() // the modes of directories alone
			b.write(at("base/1/2"), "changed")
			w.must(os.Remove(b.at(at("base/1/3"))), os.Remove(b.at(at("link"))), os.Remove(b.at(at("empty"))), os.WriteFile(b.at(at("empty")), []byte("a file now"), 0o600))
			b.push()
			b.expectNotes()
			a.acquire()
			a.expectNotes()
			compare("and back", a, b)
			if got, _ := filepath.Glob(a.at(".coltec/replaced/*/" + at("base/1/3"))); len(got) != 1 {
				t.Errorf("what was replaced is not kept: %q", got)
			}
		})
	}
}

// Where both sides changed, the one that is here goes whole to the conflict copies, and the
// other one whole in its place.
func TestPlacementOfBoth(t *testing.T) {
	w := newWorld(t)
	paths := []Path{{Path: "db", By: Freeze}}
	a, b := w.place(paths, nil), w.place(paths, nil)
	a.acquire()
	for _, name := range []string{"1", "2", "3"} {
		a.write("db/"+name, "first")
	}
	a.push()
	b.acquire()
	a.write("db/1", "of a")
	a.push()
	b.write("db/2", "of b")
	b.write("db/4", "of b")
	b.acquire()
	if got := b.read("db/1") + b.read("db/2"); got != "of afirst" || b.has("db/4") {
		t.Errorf("in its place: %q, 4: %v", got, b.has("db/4"))
	}
	kept, _ := filepath.Glob(b.at(".coltec/conflicts/*/db/*"))
	if len(kept) != 4 {
		t.Errorf("kept: %q", kept)
	}
	b.push()
	if rows := w.rows(); !slices.ContainsFunc(rows, func(r string) bool {
		return strings.HasPrefix(r, ".coltec/conflicts/") && strings.HasSuffix(r, "/db/4")
	}) {
		t.Errorf("in the bucket: %q", rows)
	}
}

// The same on both sides is no conflict, whoever made it.
func TestPlacementOfTheSame(t *testing.T) {
	w := newWorld(t)
	paths := []Path{{Path: "db", By: Freeze}}
	a, b := w.place(paths, nil), w.place(paths, nil)
	a.acquire()
	a.write("db/1", "x")
	a.push()
	b.write("db/1", "x")
	w.must(os.Chmod(b.at("db"), 0o755), os.Chmod(a.at("db"), 0o755))
	b.acquire()
	b.expectNotes()
	if b.has(".coltec/conflicts") || b.has(".coltec/replaced") {
		t.Error("something was kept")
	}
}

// Nothing is placed under a process that works in a directory.
func TestPlacementUnderAUser(t *testing.T) {
	w := newWorld(t)
	paths := []Path{{Path: "db", By: Freeze}}
	a, b := w.place(paths, nil), w.place(paths, nil)
	a.acquire()
	stop := a.writer("db", "db")
	a.push()
	stop()
	b.acquire()
	a.write("db/new", "1")
	a.push()
	stop = b.writer("db", "db")
	b.acquire()
	b.expectNotes("has it open: it is placed once that has ended")
	if b.has("db/new") {
		t.Error("it was placed under a process")
	}
	b.moves("db")
	stop()
	b.acquire()
	b.expectNotes()
	if !b.has("db/new") {
		t.Error("it was not placed after it ended")
	}
	if why := torn(b.at("db")); why != "" {
		t.Error(why)
	}
	kept, _ := filepath.Glob(b.at(".coltec/conflicts/*/db/shard-00"))
	if len(kept) != 1 {
		t.Errorf("what was written meanwhile is not kept: %q", kept)
	}
}

// A directory that is removed goes elsewhere, too, and stays with what was replaced; one that
// went on there stays. One that is only empty is no removed one.
func TestRemoved(t *testing.T) {
	w := newWorld(t)
	paths := []Path{{Path: "x/db", By: Freeze}, {Path: "other", By: Freeze}}
	a, b, c := w.place(paths, nil), w.place(paths, nil), w.place(paths, nil)
	a.acquire()
	a.write("x/db/1", "1")
	a.write("x/file", "1")
	a.write("other/1", "1")
	a.push()
	b.acquire()
	c.acquire()
	w.must(os.RemoveAll(a.at("x/db")), os.Remove(a.at("other/1")))
	a.push()
	a.expectNotes("nothing is in it any more")
	if rows := w.rows(); !slices.Equal(rows, []string{layout.Dir + "/other/1", layout.Dir + "/other/" + markName, "x/file"}) {
		t.Errorf("in the bucket: %q", rows)
	}
	c.write("x/db/1", "went on")
	b.acquire()
	c.acquire()
	if kept, _ := filepath.Glob(b.at(".coltec/replaced/*/x/db/1")); b.has("x/db") || len(kept) != 1 {
		t.Errorf("it is there: %v; kept: %q", b.has("x/db"), kept)
	}
	c.push()
	if !c.has("x/db/1") || !slices.Contains(w.rows(), layout.Dir+"/x/db/1") {
		t.Errorf("what went on is gone; in the bucket: %q", w.rows())
	}
}

// What was files is a whole from now on, and again files; here and on another machine.
func TestFilesAndBack(t *testing.T) {
	w := newWorld(t)
	paths := []Path{{Path: "db", By: Freeze}}
	a, b := w.place(nil, nil), w.place(nil, nil)
	a.acquire()
	a.write("db/1", "1")
	a.write("db/2", "2")
	a.push()
	b.acquire()
	fresh := w.place(paths, nil)
	fresh.acquire()
	fresh.expectNotes()
	if got := fresh.read("db/1") + fresh.read("db/2"); got != "12" {
		t.Errorf("from files: %q", got)
	}
	a.kind.Paths, b.kind.Paths = paths, paths
	a.restart()
	a.push()
	a.expectNotes()
	shadow := []string{layout.Dir + "/db/1", layout.Dir + "/db/2", layout.Dir + "/db/" + markName}
	if rows := w.rows(); !slices.Equal(rows, shadow) {
		t.Errorf("as a whole: %q", rows)
	}
	b.restart()
	b.expectNotes()
	if got := b.read("db/1") + b.read("db/2"); got != "12" || b.has(".coltec/conflicts") {
		t.Errorf("elsewhere: %q, conflicts %v", got, b.has(".coltec/conflicts"))
	}
	b.kind.Paths = nil
	b.restart()
	b.push()
	if rows := w.rows(); !slices.Equal(rows, []string{"db/1", "db/2"}) {
		t.Errorf("as files again: %q", rows)
	}
	a.kind.Paths = nil
	a.restart()
	if got := a.read("db/1") + a.read("db/2"); got != "12" {
		t.Errorf("as files again elsewhere: %q", got)
	}
}

// What the bucket says leads nowhere: not to coltecd's own directory, not to git, not to a
// directory that the spec does not name.
func TestHostileRows(t *testing.T) {
	w := newWorld(t)
	paths := []Path{{Path: "db", By: Freeze}, {Path: "x", By: Freeze}}
	a := w.place(append(paths, Path{Path: "other", By: Freeze}), nil)
	a.acquire()
	a.write("db/1", "1")
	a.write("x/1", "1")
	a.write("other/1", "1")
	a.push()
	a.write("x/sub/.GIT/config", "[core]")
	a.push()
	a.expectNotes("a repository cannot be in a directory that is captured as a whole")
	a.write(layout.Dir+"/x/.git/config", "[core]")
	a.push()
	b := w.place(paths, nil)
	b.acquire()
	b.expectNotes("a repository cannot be in", "the spec here has no consistency for it")
	if !b.has("db/1") || b.has("x") || b.has("other") {
		t.Error("it was placed")
	}
	b.push()
	if rows := w.rows(); !slices.Contains(rows, layout.Dir+"/other/1") || !slices.Contains(rows, layout.Dir+"/x/1") {
		t.Errorf("in the bucket: %q", rows)
	}
	b.kind.Paths = append(paths, Path{Path: "other", By: Freeze})
	b.restart()
	if !b.has("other/1") {
		t.Error("what the spec names now did not come")
	}
	for _, path := range []string{"", "x"} {
		if _, problems, err := Bring(t.Context(), whole.Options{Path: b.Path, Now: time.Now}, b, Past{Under: path, Entries: []tree.Entry{
			{Path: layout.Dir + "/.coltec/" + markName, Kind: tree.File}, {Path: layout.Dir + "/.git/" + markName, Kind: tree.File},
		}}); err != nil || len(problems) > 0 {
			t.Errorf("%v, %v", problems, err)
		}
	}
}
