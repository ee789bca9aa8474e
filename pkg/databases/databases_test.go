package databases

import (
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/whole"
)

// A database goes by its shadow alone, with or without a log, and comes as the state that was
// captured, while a process that has it open goes on. A save adds to a log what differs.
func TestThereAndBack(t *testing.T) {
	for _, mode := range []string{"wal", "delete", "truncate", "persist"} {
		t.Run(mode, func(t *testing.T) {
			w := newWorld(t)
			a := w.place()
			a.acquire()
			a.ledger("d/l.db", mode, "400")
			a.write("d/file-wal", "no database's")
			s := a.shell("d/l.db")
			s.do("few")
			a.push()
			if got, want := w.rows(), append(rowsOf("d/l.db", "coltec.json", "db"), "d/file-wal"); !slices.Equal(got, want) {
				t.Fatalf("in the bucket: %q, want %q", got, want)
			}
			s.do("few", "few")
			a.push()
			if got, want := w.rows(), append(rowsOf("d/l.db", "coltec.json", "db", "db-wal"), "d/file-wal"); !slices.Equal(got, want) {
				t.Fatalf("in the bucket: %q, want %q", got, want)
			}
			want(t, "laid out", judge(t, w.laid()+"/d/l.db"), "ok 3")
			b := w.place()
			b.acquire()
			want(t, "there", judge(t, b.at("d/l.db")), "ok 3")
			if got := b.files("d"); !slices.Equal(got, []string{"file-wal", "l.db"}) {
				t.Errorf("there: %q", got)
			}
			b.change("d/l.db", 2)
			b.push()
			s.do("close")
			a.acquire()
			want(t, "back", judge(t, a.at("d/l.db")), "ok 5")
			want(t, "waits", a.account(), "")
			before := w.ref
			a.push()
			want(t, "the generation after nothing", w.ref, before)
			want(t, "conflicts", len(a.copies("conflicts")), 0)
		})
	}
}

// Where both sides have written, the one that was here stays, whole, beside.
func TestBothHaveWritten(t *testing.T) {
	for _, mode := range []string{"wal", "delete"} {
		w := newWorld(t)
		a, b := w.place(), w.place()
		a.acquire()
		a.ledger("l.db", mode, "100")
		a.push()
		b.acquire()
		b.change("l.db", 3)
		b.push()
		s := a.shell("l.db")
		s.do("few")
		s.kill() // its log stays
		a.acquire()
		want(t, "placed", judge(t, a.at("l.db")), "ok 3")
		kept := a.copies("conflicts")
		if len(kept) != 1 {
			t.Fatalf("%s: kept: %q", mode, kept)
		}
		want(t, "kept", judge(t, a.at(".coltec/conflicts/"+kept[0])), "ok 1")
		if got := a.files("."); !slices.Equal(got, []string{"l.db"}) {
			t.Errorf("%s: beside it: %q", mode, got)
		}
	}
}

// A database is not placed while a process has it open; who that is is said.
func TestOpenElsewhere(t *testing.T) {
	w := newWorld(t)
	a, b := w.place(), w.place()
	a.acquire()
	a.ledger("l.db", "wal", "100")
	a.push()
	b.acquire()
	b.change("l.db", 3)
	b.push()
	s := a.shell("l.db")
	a.acquire()
	want(t, "before", judge(t, a.at("l.db")), "ok 0")
	if got := a.account(); got == "" || len(a.carriers.Notes()) != 1 {
		t.Errorf("said: %q, %q", got, a.carriers.Notes())
	}
	a.push() // what waits is not pushed over
	s.do("close")
	a.settle()
	want(t, "after", judge(t, a.at("l.db")), "ok 3")
	want(t, "waits", a.account(), "")
}

// What was carried as files before is a whole once it is written; the rows of the files go,
// and no other machine takes that for a deletion, or for two versions.
func TestFromFiles(t *testing.T) {
	w := newWorld(t)
	a, b := w.placeOf(nil), w.placeOf(nil)
	a.acquire()
	a.ledger("d/l.db", "wal", "100")
	a.push()
	b.acquire()
	if got, want := w.rows(), []string{"d/l.db"}; !slices.Equal(got, want) {
		t.Fatalf("in the bucket: %q, want %q", got, want)
	}
	kinds := w.place().Wholes
	a, b = a.restart(kinds), b.restart(kinds)
	a.acquire()
	a.push()
	s := a.shell("d/l.db")
	s.do("few")
	a.push()
	// It may have been looked at again, and be a whole, before it was written: files that are
	// young are.
	got := slices.DeleteFunc(w.rows(), func(path string) bool { return path == rowsOf("d/l.db", "db-wal")[0] })
	if want := rowsOf("d/l.db", "coltec.json", "db"); !slices.Equal(got, want) {
		t.Fatalf("in the bucket: %q, want %q", got, want)
	}
	b.acquire()
	want(t, "there", judge(t, b.at("d/l.db")), "ok 1")
	want(t, "conflicts", len(b.copies("conflicts")), 0)
	want(t, "replaced", len(b.copies("replaced")), 1)
	before := w.ref
	b.push()
	want(t, "the generation after nothing", w.ref, before)
}

// One that was removed goes elsewhere, too, with all that belongs to it; one that went on
// there stays.
func TestRemoved(t *testing.T) {
	w := newWorld(t)
	a, b := w.place(), w.place()
	a.acquire()
	a.ledger("x.db", "wal", "50")
	a.ledger("y.db", "delete", "50")
	a.push()
	b.acquire()
	b.change("y.db", 1)
	a.must(os.Remove(a.at("x.db")), os.Remove(a.at("y.db")))
	a.push()
	if got := w.rows(); len(got) > 0 {
		t.Fatalf("in the bucket: %q", got)
	}
	b.acquire()
	if got := b.files("."); !slices.Equal(got, []string{"y.db"}) {
		t.Errorf("there: %q", got)
	}
	b.push()
	if got, want := w.rows(), rowsOf("y.db", "coltec.json", "db", "db-wal"); !slices.Equal(got, want) {
		t.Errorf("in the bucket: %q, want %q", got, want)
	}
	a.acquire()
	want(t, "back", judge(t, a.at("y.db")), "ok 1")
}

// A database moves away file by file. A kill after the first left its log, and SQLite played that
// into the next database of the name. What only has the name of a log stays.
func TestGiveWayTakesAnOrphanedLog(t *testing.T) {
	w := newWorld(t)
	p := w.place()
	w.must(p.Open("lineage", 0))
	for at, mode := range map[string]string{"w.db": "WAL", "j.db": "DELETE"} {
		// Half a transaction, spilled to the disk, where there is a journal: so it is hot.
		out, err := exec.Command("python3", "-c", `
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA journal_mode=" + sys.argv[2])
db.execute("PRAGMA cache_size=1")
db.execute("PRAGMA wal_autocheckpoint=0")
db.execute("CREATE TABLE t (x)")
db.execute("BEGIN")
for i in range(200): db.execute("INSERT INTO t VALUES (randomblob(1000))")
if sys.argv[2] == "WAL": db.execute("COMMIT")
os._exit(0)`, p.at(at), mode).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		w.must(os.Remove(p.at(at)))
	}
	p.write("text-wal", "a log of another kind")
	p.write("text-journal", "what happened today")
	replaced := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	o := whole.Options{Replica: "r", Path: p.Path, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return replaced }}
	for at, log := range map[string]string{"w.db": "w.db-wal", "j.db": "j.db-journal", "text": "", "none/x": ""} {
		if log != "" && !p.has(log) {
			t.Fatalf("there is no %s", log)
		}
		moved, err := GiveWay(o, p.Replica, at)
		if err != nil || moved {
			t.Errorf("%s: %v, %v", at, moved, err)
		}
		if log == "" {
			continue
		}
		if _, err := os.Stat(filepath.Join(p.ReplacedDir(replaced), log)); err != nil || p.has(log) {
			t.Errorf("%s is there: %v, and moved: %v", log, p.has(log), err)
		}
	}
	if !p.has("text-wal") || !p.has("text-journal") {
		t.Error("what is no log was moved")
	}
}
