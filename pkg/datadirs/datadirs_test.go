package datadirs

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/replica"
	"golang.org/x/sys/unix"
)

var members = []string{"CURRENT", "LOCK", "MANIFEST-000001", "data.log"}

// of are the rows of data directories, and others.
func of(others []string, dirs ...string) (rows []string) {
	rows = slices.Clone(others)
	for _, dir := range dirs {
		for _, m := range members {
			rows = append(rows, localfs.Join(dir, m))
		}
	}
	slices.Sort(rows)
	return rows
}

// While its server runs nothing of a data directory goes, whatever of it changed, and what an
// earlier generation has of it stays as it was; once the server has stopped all of it goes.
func TestWithheldWhileItRuns(t *testing.T) {
	w := newWorld(t)
	p := w.place()
	p.acquire()
	p.leveldb("d/db", "1")
	p.write("file", "1")
	stop := p.run("d/db")
	p.push()
	w.wantRows("it runs", "file")
	if got := p.account(); !strings.Contains(got, `"d/db"`) || !strings.Contains(got, "LevelDB") {
		t.Errorf("the account says %q", got)
	}
	for _, words := range []string{`LevelDB runs on "d/db"`, "KB", "withheld since 2026-05-04 03:02", "{path: d/db, by: freeze}"} {
		if got := p.notes(); !strings.Contains(got, words) {
			t.Errorf("the notes say %q, and nothing of %q", got, words)
		}
	}
	stop()
	if found, err := p.ScanIn(t.Context(), map[string]bool{}); err != nil || len(found.Edited) == 0 {
		t.Errorf("what was withheld is not looked at again: %v", err) // a walk of nothing
	}
	p.push()
	w.wantRows("it stopped", of([]string{"file"}, "d/db")...)
	if got := p.account() + p.notes(); got != "" {
		t.Errorf("nothing is withheld, and it says %q", got)
	}
	time := w.row("d/db").MTime
	// It runs again: new files, changed ones, one that went, a time of the directory.
	stop = p.run("d/db")
	p.write("d/db/new.log", "2")
	p.write("d/db/data.log", "2")
	p.must(os.Remove(p.at("d/db/MANIFEST-000001")))
	p.leveldb("d/db", "2")
	p.must(os.Remove(p.at("d/db/data.log")))
	p.write("file", "2")
	p.push()
	w.wantRows("it runs again", of([]string{"file"}, "d/db")...)
	if got := w.row("d/db").MTime; got != time {
		t.Error("the time of the directory went")
	}
	q := w.place()
	q.acquire()
	if q.read("file") != "2" || q.read("d/db/MANIFEST-000001") != "1" || q.read("d/db/data.log") != "1" {
		t.Errorf("the next machine has file %q, manifest %q, data %q", q.read("file"), q.read("d/db/MANIFEST-000001"), q.read("d/db/data.log"))
	}
	stop()
	p.push()
	r := w.place()
	r.acquire()
	if r.read("d/db/MANIFEST-000001") != "2" || r.read("d/db/new.log") != "2" || r.read("d/db/data.log") != "" {
		t.Error("what changed while it ran did not go after the stop")
	}
}

// Only something went from a directory whose server runs: that does not go either.
func TestDeletionsAreWithheld(t *testing.T) {
	w := newWorld(t)
	p := w.place()
	p.acquire()
	p.leveldb("db", "1")
	p.push()
	p.Replica.Close()
	p.acquire()
	stop := p.run("db")
	p.must(os.Remove(p.at("db/data.log")))
	p.push()
	w.wantRows("it runs", of(nil, "db")...)
	stop()
	p.push()
	w.wantRows("it stopped", "db/CURRENT", "db/LOCK", "db/MANIFEST-000001")
}

// At the root of a replica, nested, two of them, and those that only look like one.
func TestWhereItLies(t *testing.T) {
	t.Run("at the root", func(t *testing.T) {
		w := newWorld(t)
		p := w.place()
		p.acquire()
		p.leveldb(".", "1")
		stop := p.run(".")
		p.write("other/file", "1")
		p.push()
		w.wantRows("it runs")
		if got := p.account(); !strings.Contains(got, `"."`) {
			t.Errorf("the account says %q", got)
		}
		if got := p.notes(); !strings.Contains(got, `"consistency: freeze"`) {
			t.Errorf("the notes say %q", got)
		}
		stop()
		if found, err := p.ScanIn(t.Context(), map[string]bool{}); err != nil || !slices.ContainsFunc(found.Edited, func(e replica.Edit) bool { return e.Path == "other/file" }) {
			t.Errorf("what was withheld is not looked at again: %+v, %v", found, err)
		}
		p.push()
		w.wantRows("it stopped", of([]string{"other/file"}, "")...)
		stop = p.run(".")
		p.leveldb(".", "2")
		p.push()
		q := w.place()
		q.acquire()
		if got := q.read("data.log"); got != "1" {
			t.Errorf("while it runs again %q is there", got)
		}
		stop()
	})
	t.Run("nested", func(t *testing.T) {
		w := newWorld(t)
		p := w.place()
		p.acquire()
		p.leveldb("outer", "1")
		p.leveldb("outer/inner", "1")
		stop := p.run("outer/inner")
		p.push()
		w.wantRows("the inner one runs", of(nil, "outer")...)
		stop()
		stop = p.run("outer")
		p.push()
		w.wantRows("the outer one runs", of(nil, "outer")...)
		stop()
		p.push()
		w.wantRows("none runs", of(nil, "outer", "outer/inner")...)
	})
	t.Run("in a mount below", func(t *testing.T) {
		w := newWorld(t)
		p := w.place()
		p.must(os.Mkdir(p.at("v"), 0o755))
		if err := unix.Mount("tmpfs", p.at("v"), "tmpfs", 0, ""); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("cannot mount: %v", err)
			}
			t.Skipf("cannot mount, which takes root: %v", err)
		}
		t.Cleanup(func() { _ = unix.Unmount(p.at("v"), unix.MNT_DETACH) })
		p.acquire()
		p.leveldb("v/db", "1")
		p.write("v/file", "1")
		stop := p.run("v/db")
		p.push()
		w.wantRows("it runs", "v/file")
		stop()
		p.push()
		w.wantRows("it stopped", of([]string{"v/file"}, "v/db")...)
	})
	t.Run("many", func(t *testing.T) {
		w := newWorld(t)
		p := w.place()
		p.acquire()
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			p.leveldb("profile/"+name, "1")
			defer p.run("profile/" + name)()
		}
		p.leveldb("profile/f", "1")
		p.push()
		w.wantRows("one does not run", of(nil, "profile/f")...)
		if got := p.notes(); strings.Count(got, "\n") != 0 || !strings.Contains(got, `"profile/a", "profile/b", "profile/c", and 2 more`) {
			t.Errorf("the notes say %q", got)
		}
	})
	t.Run("looks like one", func(t *testing.T) {
		w := newWorld(t)
		p := w.place()
		p.acquire()
		p.write("src/PG_VERSION", "15\n")
		p.write("src/CURRENT", "v1\n")
		p.write("fixture/CURRENT", "MANIFEST-000001\n")
		p.write("fixture/MANIFEST-000001", "x")
		p.push()
		w.wantRows("nothing runs", "fixture/CURRENT", "fixture/MANIFEST-000001", "src/CURRENT", "src/PG_VERSION")
	})
}

// A server that starts, or works, between the walk and the end of the reading leaves the
// directory out of the step, and all else goes.
func TestStartsWhileItIsRead(t *testing.T) {
	for name, work := range map[string]func(p *place){
		"a new file":          func(p *place) { p.write("db/000002.log", "new") },
		"a file is written":   func(p *place) { p.write("db/data.log", "2 and more") },
		"a file goes":         func(p *place) { p.must(os.Remove(p.at("db/data.log"))) },
		"an old file changes": func(p *place) { p.write("db/LOCK", "x") },
		"an old file goes":    func(p *place) { p.must(os.Remove(p.at("db/LOCK"))) },
		"a new directory":     func(p *place) { p.write("db/archive/1.log", "new") },
		"one comes back":      func(p *place) { p.write("db/gone.log", "again") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := w.place()
			p.acquire()
			p.leveldb("db", "1")
			p.write("db/gone.log", "1")
			p.write("file", "1")
			p.push()
			p.leveldb("db", "2")
			p.must(os.Remove(p.at("db/gone.log")))
			p.write("file", "2")
			killpoint.Arm("push:read", 1, func() { work(p) })
			defer killpoint.Arm("push:read", 0, nil)
			unsettled := p.push()
			if len(unsettled) != 1 || unsettled[0].Path != "db" || !unsettled[0].Moving {
				t.Errorf("unsettled: %+v", unsettled)
			}
			q := w.place()
			q.acquire()
			if q.read("file") != "2" || q.read("db/MANIFEST-000001") != "1" || q.read("db/data.log") != "1" || q.read("db/gone.log") != "1" {
				t.Errorf("the next machine has file %q, manifest %q, data %q", q.read("file"), q.read("db/MANIFEST-000001"), q.read("db/data.log"))
			}
			if unsettled := p.push(); len(unsettled) > 0 {
				t.Errorf("then nothing happens, and it does not go: %+v", unsettled)
			}
			r := w.place()
			r.acquire()
			for _, path := range append([]string{"000002.log", "archive/1.log", "gone.log"}, members...) {
				if r.read("db/"+path) != p.read("db/"+path) {
					t.Errorf("%s is %q, want %q", path, r.read("db/"+path), p.read("db/"+path))
				}
			}
		})
	}
}

// Where both sides changed a data directory it becomes the bucket's, to the last file, and the
// local one lies aside, all of it: one that is made of two opens, and lacks rows.
func TestNoneIsMadeOfTwo(t *testing.T) {
	w := newWorld(t)
	p, q := w.place(), w.place()
	p.acquire()
	p.leveldb("db", "1")
	p.write("db/same.log", "same")
	p.push()
	q.acquire()
	p.leveldb("db", "2 by p")
	p.write("db/p.log", "p")
	p.push()
	q.write("db/data.log", "2 by q")
	q.write("db/q.log", "q")
	q.must(os.Remove(q.at("db/MANIFEST-000001")), os.WriteFile(q.at("db/CURRENT"), []byte("MANIFEST-000002\n"), 0o644))
	q.write("db/MANIFEST-000002", "2 by q")
	mine := map[string]string{}
	for _, name := range []string{"CURRENT", "LOCK", "MANIFEST-000002", "data.log", "same.log", "q.log"} {
		mine[name] = q.read("db/" + name)
	}
	out := q.acquire()
	entries, err := os.ReadDir(q.at("db"))
	q.must(err)
	for _, e := range entries {
		if got, want := q.read("db/"+e.Name()), p.read("db/"+e.Name()); got != want {
			t.Errorf("%s is %q, want %q", e.Name(), got, want)
		}
	}
	if len(entries) != 6 {
		t.Errorf("%d files, want 6: %v", len(entries), entries)
	}
	kept, err := filepath.Glob(q.at(".coltec/conflicts/*/db"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept aside: %q, %v; conflicts %q", kept, err, out.Conflicts)
	}
	for name, want := range mine {
		if b, err := os.ReadFile(filepath.Join(kept[0], name)); err != nil || string(b) != want {
			t.Errorf("aside %s is %q, %v, want %q", name, b, err, want)
		}
	}
	if unsettled := q.push(); len(unsettled) > 0 {
		t.Errorf("unsettled: %+v", unsettled)
	}
	r := w.place()
	r.acquire()
	if r.read("db/data.log") != "2 by p" || r.read("db/q.log") != "" {
		t.Error("the bucket has a directory that is made of two")
	}
}

// What changed of a data directory goes in one step, however much it is, or the end near; what
// else there is waits for it or goes before.
func TestInOneStep(t *testing.T) {
	sample.Long(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	noise := func(hurried bool) string { // near an end more than half of what a step has, and none of it is stored smaller
		b := make([]byte, 1000)
		if hurried {
			b = make([]byte, 5<<20)
		}
		_, _ = rnd.Read(b)
		return string(b)
	}
	for _, hurried := range []bool{false, true} {
		w := newWorld(t)
		p := w.place()
		p.acquire()
		p.leveldb("db", "1")
		var old, others []string
		for i := range 90 {
			if i < 30 {
				old = append(old, fmt.Sprintf("db/%02d.old", i))
				p.write(old[i], old[i])
			}
			others = append(others, fmt.Sprintf("other/%02d", i))
			p.write(others[i], others[i])
		}
		p.push()
		before := w.row("db/MANIFEST-000001").Sum
		p.leveldb("db", "2")
		for _, name := range []string{"a", "z"} {
			p.write("db/"+name+".ldb", noise(hurried))
		}
		for _, path := range append(old, others...) {
			p.must(os.Remove(p.at(path)))
		}
		for _, name := range []string{"a", "b"} {
			p.write(name, noise(hurried))
		}
		if hurried {
			p.ShortenSteps()
		}
		for range 6 {
			p.push()
			rows, is := w.rows(), w.row("db/MANIFEST-000001").Sum == before
			for _, path := range []string{"db/a.ldb", "db/z.ldb"} {
				if slices.Contains(rows, path) == is {
					t.Errorf("hurried %v: a generation has it by half: it is the old one: %v, and %s is there: %v", hurried, is, path, !is)
				}
			}
			if slices.Contains(rows, old[0]) != is || slices.Contains(rows, old[29]) != is {
				t.Errorf("hurried %v: a generation has it by half: it is the old one: %v, and of what went there is %v", hurried, is, !is)
			}
		}
		w.wantRows("at the end", of([]string{"a", "b", "db/a.ldb", "db/z.ldb"}, "db")...)
	}
}

// What a server deleted goes with what it wrote, while what people deleted waits.
func TestServersDeletionsAreNotHeld(t *testing.T) {
	w := newWorld(t)
	p := w.place()
	p.acquire()
	p.leveldb("db", "1")
	p.write("db/old.log", "1")
	var others []string
	for i := range 100 {
		others = append(others, fmt.Sprintf("other/%02d", i))
		p.write(others[i], "x")
	}
	p.push()
	p.leveldb("db", "2")
	for _, path := range append(others, "db/old.log") {
		p.must(os.Remove(p.at(path)))
	}
	p.push()
	w.wantRows("at the end", of(others, "db")...)
	if w.row("db/data.log").Sum != localfs.SumOf(p.at("db/data.log")) {
		t.Error("what it wrote did not go")
	}
}

// A server that starts while what comes is fetched has its files as they were.
func TestStartsWhileItIsFetched(t *testing.T) {
	w := newWorld(t)
	p, q := w.place(), w.place()
	p.acquire()
	p.leveldb("db", "1")
	p.write("db/old.log", "1")
	p.push()
	q.acquire()
	p.leveldb("db", "2")
	p.write("db/new.log", "2")
	p.must(os.Remove(p.at("db/old.log")))
	p.push()
	var stop func()
	killpoint.Arm("place:fetched", 1, func() { stop = q.run("db") })
	defer killpoint.Arm("place:fetched", 0, nil)
	out := q.acquire()
	if stop == nil || q.read("db/data.log") != "1" || q.read("db/new.log") != "" || q.read("db/old.log") != "1" || len(out.Problems) != 1 {
		t.Errorf("under a server: data %q, new %q, old %q, problems %+v", q.read("db/data.log"), q.read("db/new.log"), q.read("db/old.log"), out.Problems)
	}
	stop()
	if out := q.settle(); len(out.Problems) > 0 || q.read("db/data.log") != "2" || q.read("db/new.log") != "2" || q.read("db/old.log") != "" {
		t.Errorf("after its stop: data %q, new %q, old %q, problems %+v", q.read("db/data.log"), q.read("db/new.log"), q.read("db/old.log"), out.Problems)
	}
}

// A person who wants an old state back gets it whole, not under a server, and what is brought
// back where it is missing leaves a data directory that is there alone.
func TestRestoreOfAnOldState(t *testing.T) {
	w := newWorld(t)
	p := w.place()
	p.acquire()
	p.leveldb("db", "1")
	p.write("db/old.log", "1")
	p.write("file", "1")
	p.push()
	was, err := p.Layout.Tree(t.Context(), p.ref)
	w.must(err)
	p.leveldb("db", "2")
	p.write("db/new.log", "2")
	p.must(os.Remove(p.at("db/old.log")), os.Remove(p.at("file")))
	p.push()
	past := func(do func(r *replica.Replica) (*replica.Outcome, error)) *replica.Outcome {
		t.Helper()
		r := replica.New(replica.Options{Name: "r", Workspace: "o/p/e", Path: p.Path, Host: "h", Filter: p.Filter, Layout: p.Layout, Comes: Comes(p.Path)})
		out, err := do(r)
		w.must(err)
		return out
	}
	undelete := func(r *replica.Replica) (*replica.Outcome, error) {
		return r.Undelete(t.Context(), "", was, p.Layout, nil)
	}
	restore := func(r *replica.Replica) (*replica.Outcome, error) {
		return r.Restore(t.Context(), "db", was, p.Layout, nil)
	}
	past(undelete)
	if p.read("file") != "1" || p.read("db/old.log") != "" {
		t.Errorf("brought back: file %q, and in the data directory %q", p.read("file"), p.read("db/old.log"))
	}
	stop := p.run("db")
	if out := past(restore); len(out.Problems) != 1 || p.read("db/data.log") != "2" || p.read("db/old.log") != "" {
		t.Errorf("under a server: data %q, problems %+v", p.read("db/data.log"), out.Problems)
	}
	stop()
	if out := past(restore); len(out.Problems) > 0 || p.read("db/data.log") != "1" || p.read("db/old.log") != "1" || p.read("db/new.log") != "" {
		t.Errorf("after its stop: data %q, old %q, new %q, problems %+v", p.read("db/data.log"), p.read("db/old.log"), p.read("db/new.log"), out.Problems)
	}
}

// Nothing is placed where a server runs: it waits, and comes once that has stopped.
func TestNothingIsPlacedUnderAServer(t *testing.T) {
	w := newWorld(t)
	p, q := w.place(), w.place()
	p.acquire()
	p.leveldb("db", "1")
	p.write("db/old.log", "1")
	p.write("file", "1")
	p.must(os.Chmod(p.at("db"), 0o700))
	p.push()
	q.acquire()
	if info, err := os.Stat(q.at("db")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory has not its mode: %v, %v", info, err)
	}
	p.leveldb("db", "2")
	p.write("db/new.log", "2")
	p.must(os.Remove(p.at("db/old.log")))
	p.write("file", "2")
	p.push()
	stop := q.run("db")
	out := q.acquire()
	if q.read("file") != "2" || q.read("db/data.log") != "1" || q.read("db/new.log") != "" || q.read("db/old.log") != "1" {
		t.Errorf("under a server: file %q, data %q, new %q, old %q", q.read("file"), q.read("db/data.log"), q.read("db/new.log"), q.read("db/old.log"))
	}
	if len(out.Problems) != 1 || out.Problems[0].Path != "db" || !strings.Contains(out.Problems[0].Reason, "LevelDB") {
		t.Errorf("the problems are %+v", out.Problems)
	}
	if out = q.settle(); len(out.Problems) != 1 || q.read("db/data.log") != "1" {
		t.Error("it was placed at a second try, under a server")
	}
	stop()
	out = q.settle()
	if q.read("db/data.log") != "2" || q.read("db/new.log") != "2" || q.read("db/old.log") != "" || len(out.Problems) > 0 {
		t.Errorf("after its stop: data %q, new %q, old %q, problems %+v", q.read("db/data.log"), q.read("db/new.log"), q.read("db/old.log"), out.Problems)
	}
}

// A server that was killed leaves a file with its number, which elsewhere is that of another
// process: it does not go, and what an earlier version sent of it goes from the bucket.
func TestLockFileOfAKilledServerStays(t *testing.T) {
	w := newWorld(t)
	p := w.place()
	p.acquire()
	p.write("pg/postmaster.pid", "4194304\n") // no process has that number
	p.push()
	w.wantRows("before it was a data directory", "pg/postmaster.pid")
	p.write("pg/PG_VERSION", "15\n")
	p.write("pg/global/pg_control", "1")
	p.write("pg/pg_wal/1", "1")
	p.write("pg/postmaster.pid", "4194304\n/pg\n")
	p.push()
	w.wantRows("it was killed", "pg/PG_VERSION", "pg/global/pg_control", "pg/pg_wal/1")
	p.write("pg/pg_wal/1", "2")
	p.push()
	q := w.place()
	q.acquire()
	if got := q.read("pg/pg_wal/1"); got != "2" {
		t.Errorf("elsewhere is %q", got)
	}
	if got := p.read("pg/postmaster.pid"); got == "" {
		t.Error("it is gone here")
	}
}
