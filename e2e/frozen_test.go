package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/dbtest"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/status"
)

// storesVariable says how many generations of each store are judged: make soak-stores.
const storesVariable = "COLTEC_STORES"

// stores is how many generations of a store are judged: a few, or as many as are asked for,
// at most.
func stores(t *testing.T, few, most int) int {
	t.Helper()
	asked := os.Getenv(storesVariable)
	if asked == "" {
		return few
	}
	n, err := strconv.Atoi(asked)
	if err != nil {
		t.Fatalf("%s: %v", storesVariable, err)
	}
	return min(n, most)
}

// ready reports whether a unit is.
func ready(unit string) func(status.Document) bool {
	return func(doc status.Document) bool {
		return slices.ContainsFunc(doc.Units, func(u status.Unit) bool { return u.Name == unit && u.State == "ready" })
	}
}

// What is captured of PostgreSQL under load while it stands still starts elsewhere, is sound,
// and has each transaction that was made before the last "synced".
func TestPostgresByFreeze(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	a.asUser()
	p := dbtest.NewPostgres(t, a.path(dataDir))
	a.spec(func(o *specOptions) {
		o.Services = []map[string]any{postgresService(p)}
		o.Replicas[0].Consistency = []map[string]any{{"path": dataDir, "by": "freeze", "units": []string{"postgres"}}}
	})
	a.own()
	a.start()
	a.await("the server runs", ready("postgres"))
	p.Fill(1)
	load := p.Load(4)
	for i := range stores(t, 3, 30) {
		p.Transactions((i + 1) * 50)
		made := sums(t, p).Transactions
		a.saved()
		g := newest(w).Number
		got, err := dbtest.OpenPostgres(t, a.restoreBeside(dataDir, g)).Judge()
		if err != nil {
			t.Fatalf("generation %d: %v", g, err)
		}
		if got.Transactions < made {
			t.Errorf("generation %d has %d transactions, and %d were made before it", g, got.Transactions, made)
		}
	}
	load.Stop()
	a.stop()
	want := fmt.Sprint(newest(w).Number)
	if got := a.restoreBeside(dataDir, newest(w).Number); got == "" {
		t.Errorf("generation %s has nothing", want)
	}
}

// levelDBWriter opens a LevelDB, and counts: each number is a key that is flushed, and then a
// line of a file outside.
const levelDBWriter = `
import os, sys, plyvel
db = plyvel.DB(sys.argv[1], create_if_missing=True, write_buffer_size=64 << 10)
out = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
last = 0
for key, _ in db:
    last = max(last, int(key))
while True:
    last += 1
    db.put(b"%08d" % last, os.urandom(150).hex().encode(), sync=True)
    os.write(out, b"%d\n" % last)
`

// acknowledged is the last number of a writer.
func acknowledged(t *testing.T, file string) int {
	t.Helper()
	body, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	lines := strings.Fields(string(body))
	if len(lines) == 0 {
		return 0
	}
	n, err := strconv.Atoi(lines[len(lines)-1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// What is captured of a LevelDB that is written all the time opens elsewhere, and has each write
// that was acknowledged before the last "synced".
func TestLevelDBByFreeze(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	acks := filepath.Join(filepath.Dir(a.dir), "acks")
	a.spec(func(o *specOptions) {
		o.Services = []map[string]any{{"name": "level", "command": []string{dbtest.Python(t), "-c", levelDBWriter, a.path("db/level"), acks}, "dir": "/"}}
		o.Replicas[0].Consistency = []map[string]any{{"path": "db/level", "by": "freeze"}}
	})
	a.write("db/file", "1")
	a.start()
	for i := range stores(t, 3, 20) {
		a.await("it is written", func(status.Document) bool { return acknowledged(t, acks) > (i+1)*200 })
		before := acknowledged(t, acks)
		a.saved()
		g := newest(w).Number
		db := dbtest.OpenLevelDB(t, a.restoredWith("db/level", "CURRENT", g))
		for n := 1; n <= before; n++ {
			if db.Get(fmt.Sprintf("%08d", n)) == "" {
				t.Fatalf("generation %d lacks write %d of %d", g, n, before)
			}
		}
		db.Close()
	}
}

// Killed while the processes of a service stand still, coltecd leaves them running; the next
// one ends and starts them, and what it captures is sound.
func TestKilledWhileOthersStand(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	acks := filepath.Join(filepath.Dir(a.dir), "acks")
	a.spec(func(o *specOptions) {
		o.Services = []map[string]any{{"name": "level", "command": []string{dbtest.Python(t), "-c", levelDBWriter, a.path("db"), acks}, "dir": "/"}}
		o.Replicas[0].Consistency = "freeze"
	})
	for _, at := range []string{"frozen:stopped:2", "frozen:copied:2"} {
		a.killedAt(at)
		before := acknowledged(t, acks)
		eventually(t, "it goes on", func() error {
			if acknowledged(t, acks) <= before {
				return fmt.Errorf("it stands at %d", before)
			}
			return nil
		})
	}
	a.start()
	a.await("it is written", func(status.Document) bool { return acknowledged(t, acks) > 0 })
	before := acknowledged(t, acks)
	a.saved()
	db := dbtest.OpenLevelDB(t, a.restoredWith("db", "CURRENT", newest(w).Number))
	if db.Get(fmt.Sprintf("%08d", before)) == "" {
		t.Errorf("write %d is not there", before)
	}
	db.Close()
	a.stop()
}

// pgBackup gives what pg_basebackup makes of a server that runs. While none does, the
// directory itself is captured.
const pgBackup = `
if "$0/pg_isready" -q -h "$1"; then
	exec "$0/pg_basebackup" -h "$1" -U bench -D "$COLTEC_CAPTURE" -X stream -c fast
fi
`

// Hooks give what is captured of PostgreSQL under load, here by its own backup: it starts
// elsewhere, is sound, and has each transaction that was made before the last "synced".
func TestPostgresByHook(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	a.asUser()
	b.asUser()
	p := dbtest.NewPostgres(t, a.path(dataDir))
	spec := func(p *dbtest.Postgres) func(o *specOptions) {
		return func(o *specOptions) {
			o.Services = []map[string]any{postgresService(p)}
			o.Replicas[0].Consistency = []map[string]any{{"path": dataDir, "by": "hook"}}
			o.More = map[string]any{"hooks": map[string]any{
				"pre_capture":  []map[string]any{{"name": "backup", "command": []string{"sh", "-c", pgBackup, filepath.Dir(p.Argv()[0]), p.Socket}}},
				"post_capture": []map[string]any{{"name": "after", "command": []string{"sh", "-c", `echo "$COLTEC_PATH" >>"$HOME/after"`}}},
			}}
		}
	}
	a.spec(spec(p))
	a.own()
	a.start()
	a.await("the server runs", ready("postgres"))
	p.Fill(1)
	load := p.Load(2)
	for i := range stores(t, 2, 10) {
		p.Transactions((i + 1) * 50)
		made := sums(t, p).Transactions
		a.saved()
		g := newest(w).Number
		got, err := dbtest.OpenPostgres(t, a.restoreBeside(dataDir, g)).Judge()
		if err != nil {
			t.Fatalf("generation %d: %v", g, err)
		}
		if got.Transactions < made {
			t.Errorf("generation %d has %d transactions, and %d were made before it", g, got.Transactions, made)
		}
	}
	load.Stop()
	want := sums(t, p)
	a.stop()
	if p.Running() {
		t.Error("the server runs after a stop of coltecd")
	}
	q := dbtest.OpenPostgres(t, b.path(dataDir))
	b.spec(spec(q))
	b.own()
	b.once()
	startsSound(t, "on the next machine", b.path(dataDir), want)
}

// Under load and with kills of coltecd in captures, a server goes on, and hops: what comes
// there starts, sound, and what it has by then comes back.
func TestPostgresHops(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	a.asUser()
	b.asUser()
	p, q := dbtest.NewPostgres(t, a.path(dataDir)), dbtest.OpenPostgres(t, b.path(dataDir))
	for m, server := range map[*machine]*dbtest.Postgres{a: p, b: q} {
		m.spec(func(o *specOptions) {
			o.Services = []map[string]any{postgresService(server)}
			o.Replicas[0].Consistency = []map[string]any{{"path": dataDir, "by": "freeze"}}
		})
		m.own()
	}
	a.start()
	a.await("the server runs", ready("postgres"))
	p.Fill(1)
	load := p.Load(2)
	p.Transactions(50)
	a.sync()
	load.Stop()
	want := sums(t, p)
	a.stop()
	b.start()
	b.await("the server runs", ready("postgres"))
	if got := sums(t, q); got != want {
		t.Errorf("there: %+v, want %+v", got, want)
	}
	load = q.Load(2)
	q.Transactions(int(want.Transactions) + 50)
	b.sync()
	load.Stop()
	want = sums(t, q)
	b.stop()
	a.start()
	a.await("the server runs again", ready("postgres"))
	if got := sums(t, p); got != want {
		t.Errorf("back: %+v, want %+v", got, want)
	}
	out, talk, code := a.run("history", "restore", dataDir, "--at", "1")
	if code == 0 || !strings.Contains(out+talk, "has it open") {
		t.Errorf("under a server a restore ends with %d: %s%s", code, out, talk)
	}
	a.stop()
	if err := os.RemoveAll(a.path(dataDir)); err != nil {
		t.Fatal(err)
	}
	a.must("history", "restore", dataDir, "--at", fmt.Sprint(newest(w).Number), "--deleted")
	startsSound(t, "brought back", a.path(dataDir), want)
}

// saved asks for a sync until it says "synced". Where the machine is busy a capture may be given
// up, and is named then.
func (m *machine) saved() {
	m.t.Helper()
	eventually(m.t, m.name+": synced", func() error {
		out, talk, code := m.run("sync")
		switch {
		case code == 0:
			return nil
		case code != 6 || !strings.Contains(out+talk, "500 ms"):
			m.t.Fatalf("%s: sync ended with %d:\n%s%s", m.name, code, out, talk)
		}
		return fmt.Errorf("%s%s", out, talk)
	})
}

// restoredWith restores a path as restoreBeside does: a directory with a file of that name.
func (m *machine) restoredWith(rel, file string, generation int64) string {
	m.t.Helper()
	to := filepath.Join(filepath.Dir(m.dir), "restored", strconv.FormatInt(generation, 10))
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		m.t.Fatal(err)
	}
	m.must("history", "restore", rel, "--at", strconv.FormatInt(generation, 10), "--to", to)
	for _, at := range []string{to, filepath.Join(to, rel), filepath.Join(to, filepath.Base(rel))} {
		if _, err := os.Stat(filepath.Join(at, file)); err == nil {
			return at
		}
	}
	m.t.Fatalf("no %s in %s", file, to)
	return ""
}
