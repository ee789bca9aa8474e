package databases

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/pkg/localfs"
)

// told is what a walk says to a person.
func told(unknown []localfs.Unknown) string {
	var out []string
	for _, u := range unknown {
		if !u.Quiet {
			out = append(out, u.Path+": "+u.Reason)
		}
	}
	return strings.Join(out, "\n")
}

func (w *world) carries(t *testing.T, what string, want ...string) {
	t.Helper()
	if got := w.rows(); !slices.Equal(got, want) {
		t.Errorf("%s: in the bucket: %q, want %q", what, got, want)
	}
}

// What is a database is told by what a file begins with, each time that it is another.
func TestWhatIsADatabase(t *testing.T) {
	w := newWorld(t)
	a := w.place("/excluded.db")
	a.acquire()
	a.ledger("excluded.db", "delete", "10")
	a.ledger("repo/.git/l.db", "delete", "10")
	begin := "SQLite format 3\x00"
	a.write("short", begin)
	a.write("damaged", begin+strings.Repeat("x", 1024-len(begin)))
	a.write("odd", begin+strings.Repeat("x", 1000))
	a.write("empty.db", "")
	a.write("empty.db-journal", "left")
	a.write("becomes", "text")
	a.ledger("ends", "wal", "10")
	a.push()
	w.carries(t, "at first", slices.Concat(rowsOf("ends", "coltec.json", "db"),
		[]string{"becomes", "damaged", "empty.db", "empty.db-journal", "odd", "repo/.git/l.db", "short"})...)
	a.must(os.Remove(a.at("becomes")), os.Rename(a.at("ends"), a.at("becomes")))
	a.write("ends", strings.Repeat("no database ", 100))
	a.push()
	w.carries(t, "exchanged", slices.Concat(rowsOf("becomes", "coltec.json", "db"),
		[]string{"damaged", "empty.db", "empty.db-journal", "ends", "odd", "repo/.git/l.db", "short"})...)
	b := w.place()
	b.acquire()
	want(t, "there", judge(t, b.at("becomes")), "ok 0")
	want(t, "waits", b.account(), "")
}

// A database that somebody has for himself is withheld with all that belongs to it, what the
// bucket has of it stays, and it goes once it is free.
func TestWithheld(t *testing.T) {
	w := newWorld(t)
	a := w.place()
	a.acquire()
	a.ledger("l.db", "delete", "50")
	a.push()
	before := w.tree().Entries
	s := a.shell("l.db")
	s.do("few", "BEGIN EXCLUSIVE", "UPDATE accounts SET n=n+1")
	a.write("file", "x")
	if got := told(a.push()); !strings.Contains(got, "l.db: the database is withheld: process") {
		t.Errorf("told: %q", got)
	}
	w.carries(t, "withheld", append(rowsOf("l.db", "coltec.json", "db"), "file")...)
	for i, e := range before {
		if now := w.tree().Entries[i]; now.Path != e.Path || now.Sum != e.Sum {
			t.Errorf("%s is another one", e.Path)
		}
	}
	want(t, "as it was", judge(t, w.laid()+"/l.db"), "ok 0")
	s.do("ROLLBACK")
	if got := told(a.push()); got != "" {
		t.Errorf("told: %q", got)
	}
	want(t, "afterwards", judge(t, w.laid()+"/l.db"), "ok 1")
}

// A shadow begins anew where pages have another size, or the log becomes larger than the
// database; it follows when the database becomes smaller, and has its mode.
func TestShadowsGoOn(t *testing.T) {
	w := newWorld(t)
	a := w.place()
	a.acquire()
	a.ledger("l.db", "delete", "2000")
	a.push()
	s := a.shell("l.db")
	sizes := map[string]int64{}
	push := func(what string, n string) {
		t.Helper()
		if got := told(a.push()); got != "" {
			t.Errorf("%s: told %q", what, got)
		}
		want(t, what, judge(t, w.laid()+"/l.db"), n)
		clear(sizes)
		for _, e := range w.tree().Entries {
			sizes[e.Path[strings.LastIndexByte(e.Path, '/')+1:]] = e.Size
		}
	}
	s.do("few")
	push("a log", "ok 1")
	if sizes["db-wal"] == 0 || sizes["db-wal"] > sizes["db"]/4 {
		t.Errorf("sizes: %v", sizes)
	}
	s.do("everything")
	push("nearly all of it", "ok 2")
	s.do("everything")
	push("all of it again", "ok 3")
	if sizes["db-wal"] > sizes["db"] {
		t.Errorf("the log did not begin anew: %v", sizes)
	}
	s.do("PRAGMA page_size=8192", "VACUUM")
	push("pages of another size", "ok 3")
	want(t, "its log", sizes["db-wal"], 0)
	s.do("few")
	s.do("DROP INDEX by_n", "VACUUM")
	push("smaller", "ok 4")
	a.must(os.Chmod(a.at("l.db"), 0o600))
	a.push()
	b := w.place()
	b.acquire()
	info, err := os.Stat(b.at("l.db"))
	b.must(err)
	want(t, "mode", info.Mode().Perm(), 0o600)
	want(t, "there", judge(t, b.at("l.db")), "ok 4")
}

// A coltecd that starts again, or that has lost its base, finds what it had: nothing is two
// versions that is one.
func TestStartedAgain(t *testing.T) {
	w := newWorld(t)
	a := w.place()
	a.acquire()
	a.ledger("l.db", "wal", "50")
	a.push()
	s := a.shell("l.db")
	s.do("few")
	a.push()
	before := w.ref
	a = a.restart(a.Wholes)
	a.acquire()
	a.push()
	want(t, "the generation after a start", w.ref, before)
	s.do("close")
	a.Close()
	a.must(os.Remove(a.at(".coltec/base")))
	a = a.restart(a.Wholes)
	a.acquire()
	want(t, "conflicts", len(a.copies("conflicts")), 0)
	want(t, "replaced", len(a.copies("replaced")), 0)
	a.push()
	want(t, "afterwards", judge(t, a.at("l.db")), "ok 1")
}

// Two machines that never met have a database of one name: both stay, whole.
func TestBothNew(t *testing.T) {
	w := newWorld(t)
	a, b := w.place(), w.place()
	a.acquire()
	a.ledger("l.db", "wal", "50")
	a.change("l.db", 2)
	a.push()
	b.ledger("l.db", "wal", "60")
	s := b.shell("l.db")
	s.do("few")
	s.kill()
	b.acquire()
	want(t, "placed", judge(t, b.at("l.db")), "ok 2")
	kept := b.copies("conflicts")
	if len(kept) != 1 {
		t.Fatalf("kept: %q", kept)
	}
	want(t, "kept", judge(t, b.at(".coltec/conflicts/"+kept[0])), "ok 1")
	b.push()
	if got := w.rows(); !slices.Contains(got, ".coltec/conflicts/"+kept[0]) {
		t.Errorf("in the bucket: %q", got)
	}
}

// What became a file elsewhere is a file here, without a log beside it; what became a database
// is one.
func TestBecameAnother(t *testing.T) {
	w := newWorld(t)
	a, b := w.place(), w.place()
	a.acquire()
	a.ledger("x", "wal", "50")
	a.write("y", "text")
	a.push()
	b.acquire()
	s := b.shell("x")
	s.do("SELECT count(*) FROM accounts")
	s.kill() // leaves an empty log
	a.must(os.Rename(a.at("x"), a.at("z")), os.Remove(a.at("y")), os.Rename(a.at("z"), a.at("y")))
	a.write("x", "text")
	a.push()
	w.carries(t, "exchanged", append(rowsOf("y", "coltec.json", "db"), "x")...)
	b.acquire()
	if got := b.files("."); !slices.Equal(got, []string{"x", "y"}) {
		t.Errorf("there: %q", got)
	}
	want(t, "conflicts", len(b.copies("conflicts")), 0)
	want(t, "there", judge(t, b.at("y")), "ok 0")
	b.push()
	w.carries(t, "afterwards", append(rowsOf("y", "coltec.json", "db"), "x")...)
}

// A bucket that leads elsewhere leads nowhere: what it says of a database is held to be one.
func TestHostile(t *testing.T) {
	w := newWorld(t)
	a, b := w.place(), w.place()
	a.acquire()
	a.ledger("l.db", "wal", "50")
	a.ledger("m.db", "wal", "50")
	a.push()
	a.write(layout.Dir+"/l.db/db", "no database")
	a.write(layout.Dir+"/m.db/coltec.json", `{"format": 2}`)
	found, err := a.Layout.Tree(t.Context(), w.ref)
	a.must(err)
	_ = found
	a.carriers = nil
	a.Capture = nil
	a.push()
	b.acquire()
	if b.has("l.db") || b.has("m.db") {
		t.Error("it was placed")
	}
	if got := strings.Join(b.carriers.Notes(), "\n"); !strings.Contains(got, "does not begin as a database") || !strings.Contains(got, "format 2") {
		t.Errorf("said: %q", got)
	}
}

// A shadow that begins anew goes with all that it is and is not any more, whatever else does not
// fit into the step: the log of the old one beside the new database is torn.
func TestStepsKeepDatabasesTogether(t *testing.T) {
	w := newWorld(t)
	a := w.place()
	a.acquire()
	a.ledger("l.db", "delete", "2000")
	a.push()
	s := a.shell("l.db")
	s.do("few")
	a.push()
	if !slices.Contains(w.rows(), rowsOf("l.db", "db-wal")[0]) {
		t.Fatal("there is no log")
	}
	a.ledger("m.db", "delete", "20000")
	a.ledger("n.db", "delete", "20000")
	s.do("everything") // its log would be larger than it
	a.ShortenSteps()
	for _, at := range []string{"l.db", "m.db", "n.db"} {
		a.push()
		out := w.laid()
		want(t, "the database that goes", strings.TrimSuffix(judge(t, out+"/"+at), "2"), map[bool]string{true: "ok ", false: "ok 0"}[at == "l.db"])
		want(t, "the one that went", judge(t, out+"/l.db"), "ok 2")
	}
	before := w.ref
	a.push()
	want(t, "the generation after all", w.ref, before)
}

// A large database that is written all the time is captured at a pace; what somebody asks for
// does not wait.
func TestPace(t *testing.T) {
	w := newWorld(t)
	a := w.place()
	a.acquire()
	a.ledger("l.db", "delete", "50")
	a.push()
	s := a.shell("l.db")
	d := a.carriers[0].(*Databases)
	for end := time.Now().Add(hang); d.written("l.db", d.known["l.db"]) && time.Now().Before(end); { // it is young
		a.push()
	}
	d.known["l.db"].again = time.Now().Add(time.Hour)
	touched := func() string {
		t.Helper()
		found, err := a.ScanIn(t.Context(), map[string]bool{})
		a.must(err)
		return told(found.Unknown)
	}
	want(t, "nothing was written", touched(), "")
	s.do("few")
	if said := touched(); !strings.Contains(said, "it is large and written all the time") {
		t.Errorf("it was written: %q", said)
	}
	want(t, "somebody asked", told(a.push()), "")
	want(t, "captured", judge(t, w.laid()+"/l.db"), "ok 1")
}

// A database in a volume within the tree is placed, kept and moved aside, too: no rename leads
// from there to what is ours.
func TestInAVolume(t *testing.T) {
	w := newWorld(t)
	a, b := w.place(), w.place()
	a.acquire()
	a.ledger("v/l.db", "wal", "50")
	a.push()
	b.must(os.Mkdir(b.at("v"), 0o755))
	if err := unix.Mount("tmpfs", b.at("v"), "tmpfs", 0, ""); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("cannot mount: %v", err)
		}
		t.Skipf("cannot mount, which takes root: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(b.at("v"), unix.MNT_DETACH) })
	b.write("v/"+placing+"/in/l.db", "half") // a crash left it
	b.write("v/"+placing+"/out/l.db", "replaced")
	b.acquire()
	want(t, "placed", judge(t, b.at("v/l.db")), "ok 0")
	want(t, "replaced by the one that crashed", len(b.copies("replaced")), 1)
	s := b.shell("v/l.db")
	s.do("few")
	s.kill()
	a.change("v/l.db", 2)
	a.push()
	b.acquire()
	want(t, "waits", b.account(), "")
	want(t, "placed again", judge(t, b.at("v/l.db")), "ok 2")
	kept := b.copies("conflicts")
	if len(kept) != 1 {
		t.Fatalf("kept: %q", kept)
	}
	want(t, "kept", judge(t, b.at(".coltec/conflicts/"+kept[0])), "ok 1")
	b.push()
	a.acquire()
	a.must(os.Remove(a.at("v/l.db")))
	a.push()
	b.acquire()
	if got := b.files("v"); len(got) > 0 {
		t.Errorf("there: %q", got)
	}
	if b.has("v/" + placing) {
		t.Error("something is left")
	}
	want(t, "replaced", len(b.copies("replaced")), 3)
}
