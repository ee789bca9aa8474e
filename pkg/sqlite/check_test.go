package sqlite

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/sample"
)

// variants are databases of all shapes, made by the real SQLite.
const variants = `
import os, random, sqlite3, sys
top, rng = sys.argv[1], random.Random(int(sys.argv[2]))
def text(n): return "".join(rng.choice("abcdefgh ") for _ in range(n))
for size in (512, 1024, 4096, 65536):
    for vacuum in (0, 1, 2):
        for journal in ("delete", "wal"):
            logs = {"delete": "without", "wal": "logged"}[journal]
            name = os.path.join(top, "s%d-v%d-%s" % (size, vacuum, logs))
            db = sqlite3.connect(name, isolation_level=None)
            db.execute("PRAGMA page_size=%d" % size)
            db.execute("PRAGMA auto_vacuum=%d" % vacuum)
            db.execute("PRAGMA journal_mode=%s" % journal)
            db.execute("PRAGMA wal_autocheckpoint=%d" % rng.choice((0, 20, 1000)))
            db.execute("PRAGMA synchronous=off")
            db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b BLOB, c REAL)")
            db.execute("CREATE INDEX %s ON t (a, c)" % ("i" * rng.choice((1, 600))))
            db.execute("CREATE TABLE w (k TEXT PRIMARY KEY, v) WITHOUT ROWID")
            db.execute("CREATE VIEW x AS SELECT a FROM t")
            db.execute("CREATE TRIGGER g AFTER DELETE ON t BEGIN DELETE FROM w WHERE k = old.a; END")
            db.execute("CREATE TABLE auto (id INTEGER PRIMARY KEY AUTOINCREMENT, s TEXT UNIQUE)")
            try: db.execute("CREATE VIRTUAL TABLE f USING fts5(s)")
            except sqlite3.OperationalError: db.execute("CREATE TABLE f (s)")
            for i in range(30):
                db.execute("BEGIN")
                for _ in range(rng.randrange(20)):
                    db.execute("INSERT INTO t (a, b, c) VALUES (?, ?, ?)", (text(rng.randrange(60)), rng.randbytes(rng.choice((0, 10, 100, 3000, 9000))), rng.random()))
                    db.execute("INSERT OR REPLACE INTO w VALUES (?, ?)", (text(rng.randrange(1, 200)), text(rng.choice((5, 800)))))
                    db.execute("INSERT INTO auto (s) VALUES (?)", (text(30),))
                    db.execute("INSERT INTO f VALUES (?)", (text(100),))
                if i % 5 == 4:
                    db.execute("DELETE FROM t WHERE id % 3 = ?", (rng.randrange(3),))
                if i == 10:
                    db.execute("INSERT INTO t (id) VALUES (-9223372036854775808), (9223372036854775800)")
                db.execute("COMMIT")
            if vacuum == 2: db.execute("PRAGMA incremental_vacuum(3)")
            if rng.random() < 0.3 and journal == "delete": db.execute("VACUUM")
print("made", flush=True)
os._exit(0)  # the logs stay
`

// integrity is what the real SQLite says of a copy of a database and its log.
func integrity(t *testing.T, dir, name string) string {
	t.Helper()
	aside := t.TempDir()
	for _, role := range []Role{"", Log} {
		b, err := os.ReadFile(filepath.Join(dir, name+string(role)))
		if os.IsNotExist(err) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(aside, name+string(role)), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	out, _ := exec.Command("sqlite3", filepath.Join(aside, name), "PRAGMA integrity_check").CombinedOutput()
	return strings.TrimSpace(string(out))
}

func checked(t *testing.T, dir, name string) []string {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	wrong, err := Check(t.Context(), root, name)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return wrong
}

// made are databases of all shapes, and their names.
func made(t *testing.T, seed int) (dir string, names []string) {
	t.Helper()
	dir = t.TempDir()
	out, err := exec.Command("python3", "-c", variants, dir, fmt.Sprint(seed)).CombinedOutput()
	if err != nil {
		t.Fatalf("python3: %v\n%s", err, out)
	}
	all, err := filepath.Glob(dir + "/s*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range all {
		if _, role, ok := Companion(file); !ok {
			names = append(names, filepath.Base(file))
		} else if role == Log {
			cutLog(t, file)
		}
	}
	return dir, names
}

// cutLog leaves of a log what a capture has of it: what follows is of an earlier use.
func cutLog(t *testing.T, file string) {
	t.Helper()
	from, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.Create(file + ".new")
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if _, err := copyWhole(to, from, math.MaxUint32); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

// Of a database in which the real SQLite finds nothing wrong nothing is said; of torn ones, in
// which a page has a half of another moment or another page, most are found.
func TestCheck(t *testing.T) {
	sample.Long(t)
	seed := rand.IntN(1e6)
	t.Logf("seed %d", seed)
	dir, names := made(t, seed)
	if len(names) != 24 {
		t.Fatalf("made %q", names)
	}
	rng := rand.New(rand.NewPCG(uint64(seed), 0))
	torn, found := 0, 0
	for _, name := range names {
		if is := integrity(t, dir, name); is != "ok" {
			t.Fatalf("%s: to SQLite %s", name, is)
		}
		if wrong := checked(t, dir, name); len(wrong) > 0 {
			t.Errorf("%s: it says %q", name, wrong)
		}
		file := filepath.Join(dir, name)
		sound, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		h, err := ParseHeader(sound)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			tear(t, rng, file, sound, h.PageSize)
			is, wrong := integrity(t, dir, name), checked(t, dir, name)
			if is == "ok" && len(wrong) > 0 {
				t.Errorf("%s: SQLite finds nothing, and it says %q", name, wrong)
			}
			if is != "ok" {
				torn++
			}
			if is != "ok" && len(wrong) > 0 {
				found++
			}
		}
		if err := os.WriteFile(file, sound, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("of %d that are torn to SQLite %d were found", torn, found)
	if torn < 12 || found*2 < torn {
		t.Errorf("of %d that are torn to SQLite %d were found", torn, found)
	}
}

// tear gives the second half of a page what another one has there, or nothing.
func tear(t *testing.T, rng *rand.Rand, file string, sound []byte, size int64) {
	t.Helper()
	b := append([]byte(nil), sound...)
	pages := int64(len(b)) / size
	at := rng.Int64N(pages)*size + size/2
	from := rng.Int64N(pages)*size + size/2
	if rng.IntN(3) == 0 {
		clear(b[at : at+size/2])
	} else {
		copy(b[at:at+size/2], sound[from:from+size/2])
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// What does not need a look into pages is said in words.
func TestCheckOfFiles(t *testing.T) {
	sample.Long(t)
	const name = "db"
	for what, tt := range map[string]struct {
		role Role
		hurt func(b []byte) []byte
		want string
	}{
		"cut short":              {"", func(b []byte) []byte { return b[:len(b)-100] }, "no whole pages"},
		"without its last pages": {"", func(b []byte) []byte { return b[:4096] }, "page"},
		"no header":              {"", func(b []byte) []byte { copy(b, "nothing of SQLite"); return b }, "does not begin as a database"},
		"nothing":                {"", func([]byte) []byte { return nil }, "does not begin as a database"},
		"a bit of the log":       {Log, func(b []byte) []byte { b[len(b)/2] ^= 1; return b }, "its log is sound up to frame"},
		"the log cut short":      {Log, func(b []byte) []byte { return b[:len(b)-100] }, "its log is sound up to frame"},
		"the log's header":       {Log, func(b []byte) []byte { b[0] ^= 1; return b }, "log"},
		"another log":            {Log, func(b []byte) []byte { return append(b, b[logHeaderSize:logHeaderSize+frameHeader+4096]...) }, "and goes on"},
	} {
		dir := t.TempDir()
		python := `
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA journal_mode=wal")
db.execute("CREATE TABLE t (a)")
db.executemany("INSERT INTO t VALUES (?)", [("x" * 500,) for _ in range(100)])
db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
db.executemany("INSERT INTO t VALUES (?)", [("y" * 500,) for _ in range(20)])
os._exit(0)
`
		if out, err := exec.Command("python3", "-c", python, filepath.Join(dir, name)).CombinedOutput(); err != nil {
			t.Fatalf("python3: %v\n%s", err, out)
		}
		if wrong := checked(t, dir, name); len(wrong) > 0 {
			t.Fatalf("of a sound one it says %q", wrong)
		}
		file := filepath.Join(dir, name+string(tt.role))
		b, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(file, tt.hurt(b), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if wrong := strings.Join(checked(t, dir, name), "; "); !strings.Contains(wrong, tt.want) {
			t.Errorf("%s: it says %q, want %q", what, wrong, tt.want)
		}
	}
	if wrong := checked(t, t.TempDir(), "none"); len(wrong) != 1 {
		t.Errorf("of no database it says %q", wrong)
	}
}

// Whatever the pages say, a look at them ends.
func FuzzCheck(f *testing.F) {
	dir := f.TempDir()
	if out, err := exec.Command("sqlite3", filepath.Join(dir, "db"), "PRAGMA page_size=512; CREATE TABLE t (a); CREATE INDEX i ON t (a); INSERT INTO t VALUES (hex(randomblob(900))), (1), (2); DROP INDEX i").CombinedOutput(); err != nil {
		f.Fatalf("sqlite3: %v\n%s", err, out)
	}
	b, err := os.ReadFile(filepath.Join(dir, "db"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "db"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		checked(t, dir, "db")
	})
}

// The rows of each table are those that the real SQLite counts, whatever the shape of the
// database, and whatever lies in its log alone.
func TestTables(t *testing.T) {
	sample.Long(t)
	dir, names := made(t, 1)
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	const ask = `
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
for (name,) in sorted(db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0 AND substr(name, 1, 7) != 'sqlite_'")):
    print(name, db.execute('SELECT count(*) FROM "%s"' % name).fetchone()[0])
`
	for _, name := range names {
		rows, err := Tables(t.Context(), root, name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		aside := filepath.Join(t.TempDir(), "db")
		for _, role := range []Role{"", Log} {
			b, err := os.ReadFile(filepath.Join(dir, name+string(role)))
			if err == nil {
				err = os.WriteFile(aside+string(role), b, 0o600)
			}
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
		}
		out, err := exec.Command("python3", "-c", ask, aside).CombinedOutput()
		if err != nil {
			t.Fatalf("python3: %v\n%s", err, out)
		}
		var got strings.Builder
		for _, table := range slices.Sorted(maps.Keys(rows)) {
			fmt.Fprintln(&got, table, rows[table])
		}
		if got.String() != string(out) {
			t.Errorf("%s has\n%sand the real SQLite counts\n%s", name, got.String(), out)
		}
	}
}

// A table in another encoding has its name, and a page that is used twice is an error and no
// number.
func TestTablesOdd(t *testing.T) {
	for _, encoding := range []string{"UTF-8", "UTF-16le", "UTF-16be"} {
		dir := t.TempDir()
		out, err := exec.Command("sqlite3", filepath.Join(dir, "db"), `PRAGMA encoding = "`+encoding+`"; CREATE TABLE "größe 𝄞" (a); INSERT INTO "größe 𝄞" VALUES (1), (2); CREATE VIEW v AS SELECT 1; CREATE TABLE none (a)`).CombinedOutput()
		if err != nil {
			t.Fatalf("sqlite3: %v\n%s", err, out)
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := Tables(t.Context(), root, "db")
		if err != nil || len(rows) != 2 || rows["größe 𝄞"] != 2 || rows["none"] != 0 {
			t.Errorf("%s: %v, %v", encoding, rows, err)
		}
		body, err := os.ReadFile(filepath.Join(dir, "db"))
		if err != nil {
			t.Fatal(err)
		}
		body[len(body)-4096] = 2 // the last table is an index in the middle
		if err := os.WriteFile(filepath.Join(dir, "db"), body, 0o600); err != nil {
			t.Fatal(err)
		}
		if rows, err := Tables(t.Context(), root, "db"); err == nil {
			t.Errorf("%s, damaged: %v", encoding, rows)
		}
		root.Close()
	}
}
