package e2e

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/dbtest"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
	pathtree "github.com/coltec/coltec/pkg/tree"
)

// dataDir is where the machines of these tests have PostgreSQL.
const dataDir = "data/pg"

// postgresService is a service of the spec that runs a server.
func postgresService(p *dbtest.Postgres) map[string]any {
	return map[string]any{
		"name": "postgres", "command": p.Argv(), "after": []string{"restore"},
		"stop":  map[string]string{"signal": "INT"}, // TERM waits for the clients
		"ready": map[string]any{"exec": p.IsReady()},
	}
}

// lasting gives a spec a lease that a busy machine does not lose: servers and their load keep
// it busy.
func lasting(o *specOptions) { o.TTL, o.Renew = "5m", "20s" }

// rowsBelow are the files below a directory in a generation, with their sums.
func (w *world) rowsBelow(g store.Generation, replica, dir string) map[string]string {
	w.t.Helper()
	rows := map[string]string{}
	ref := g.Replicas[replica]
	if ref.Manifest == "" {
		return rows
	}
	bin := rclone.Binary{Path: rclonePath, Version: rclone.Needed}
	backend := rclone.Backend{Name: "primary", Type: "s3", Options: w.s3.Options(w.s3.Endpoint)}
	remote, err := rclone.NewRemote(bin, []rclone.Backend{backend}, rclone.Root("primary", w.s3.Bucket, prefix(replica)), rclone.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	t, err := store.NewSnapshot(remote, filepath.Join(w.t.TempDir(), "manifest")).Tree(w.t.Context(), ref.Manifest)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range t.Entries {
		if e := &t.Entries[i]; e.Kind == pathtree.File && pathtree.Within(e.Path, dir) {
			rows[e.Path] = e.Sum.String()
		}
	}
	return rows
}

// sums is the state of a server that runs.
func sums(t *testing.T, p *dbtest.Postgres) dbtest.Sums {
	t.Helper()
	s, err := p.Sums()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// startsSound holds that a data directory starts, is sound, and has a state.
func startsSound(t *testing.T, what, dir string, want dbtest.Sums) {
	t.Helper()
	if got, err := dbtest.OpenPostgres(t, dir).Judge(); err != nil || got != want {
		t.Errorf("%s: %+v, %v, want %+v", what, got, err, want)
	}
}

// Nothing of a data directory is in any generation while its server runs, and what an earlier
// one has of it stays as it was there; status names it, and what carries it. It goes with the
// first save after a stop of the server, and at a stop of coltecd, which ends services first.
// What comes out of the bucket starts, and has the state of the stop, every row of it.
func TestPostgresIsWithheldWhileItRuns(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	a.asUser()
	b.asUser()
	p := dbtest.NewPostgres(t, a.path(dataDir))
	a.write("file", "1")
	a.spec(lasting)
	a.own()
	p.Start()
	p.Fill(1)

	a.start()
	load := p.Load(2)
	saves := sample.Size(3, 30)
	for i := range saves {
		p.Transactions((i + 1) * 20)
		a.write("file", strings.Repeat("x", i))
		a.leaves([]string{"sync"}, dataDir, "PostgreSQL")
	}
	for _, g := range w.generations() {
		if rows := w.rowsBelow(g, "workspace", dataDir); len(rows) > 0 {
			t.Fatalf("generation %d has %d files of a server that runs", g.Number, len(rows))
		}
	}
	doc := a.status()
	if text := words(doc); !strings.Contains(text, `PostgreSQL runs on \"data/pg\"`) && !strings.Contains(text, `PostgreSQL runs on "data/pg"`) || !strings.Contains(text, "{path: data/pg, by: freeze}") {
		t.Errorf("status does not name it: %s", text)
	}
	part := uncaptured(t, doc)
	if !slices.Contains(part.Names, dataDir) || part.Bytes < 10<<20 || part.Since.IsZero() {
		t.Errorf("the account has %+v", part)
	}
	load.Stop()
	want := sums(t, p)
	p.Stop()
	a.sync()
	if doc := a.status(); len(replicaIn(t, doc, "workspace").OnlyHere) > 0 {
		t.Errorf("the server has stopped, and only here is %s", inline(doc))
	}
	startsSound(t, "after a stop of the server", a.restoreBeside(dataDir, newest(w).Number), want)
	a.stop()

	// As a service, under load until coltecd stops.
	a.spec(func(o *specOptions) { lasting(o); o.Services = []map[string]any{postgresService(p)} })
	a.own()
	a.start()
	a.await("the server runs", func(status.Document) bool { return p.Running() && answers(p) })
	before := newest(w)
	had := w.rowsBelow(before, "workspace", dataDir)
	load = p.Load(2)
	p.Transactions(int(want.Transactions) + 50)
	a.write("file", "under the service")
	a.leaves([]string{"sync"}, dataDir)
	after := newest(w)
	if after.Number <= before.Number {
		t.Error("the other file did not go")
	}
	if got := w.rowsBelow(after, "workspace", dataDir); !maps.Equal(got, had) || len(had) == 0 {
		t.Errorf("under a server the generation has other files of it: %d, it had %d", len(got), len(had))
	}
	load.Stop()
	want = sums(t, p)
	a.stop() // with 0: nothing is left here
	if p.Running() {
		t.Error("the server runs after a stop of coltecd")
	}
	q := dbtest.OpenPostgres(t, b.path(dataDir))
	b.spec(func(o *specOptions) { lasting(o); o.Services = []map[string]any{postgresService(q)} })
	b.own()
	b.once()
	if info, err := os.Stat(b.path(dataDir)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory has another mode: %v, %v", info, err)
	}
	startsSound(t, "on the next machine", b.path(dataDir), want)
}

// What comes under a server waits until it has stopped, and status names it. Both have gone on
// by then: the directory is the bucket's, and the one that was here lies aside. Each of them
// starts, and has all of its own rows.
func TestPostgresComesUnderAServer(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	a.asUser()
	b.asUser()
	p := dbtest.NewPostgres(t, a.path(dataDir))
	p.Start()
	p.Fill(1)
	p.Stop()
	a.write("file", "1")
	a.spec(lasting)
	a.own()
	a.once()
	b.spec(lasting)
	b.own()
	b.once()
	work := func(p *dbtest.Postgres, transactions int) dbtest.Sums {
		t.Helper()
		load := p.Load(2)
		p.Transactions(transactions)
		load.Stop()
		return sums(t, p)
	}
	p.Start()
	theirs := work(p, 50)
	p.Stop()
	a.write("file", "2")
	a.once()

	q := dbtest.OpenPostgres(t, b.path(dataDir))
	q.Start()
	ours := work(q, 80)
	b.run("start", "--wait")
	doc := b.await("the file comes", func(status.Document) bool { return b.read("file") == "2" })
	if text := inline(replicaIn(t, doc, "workspace").Unplaced) + words(doc); !strings.Contains(text, dataDir) || !strings.Contains(text, "PostgreSQL") {
		t.Errorf("status does not name what waits: %s", text)
	}
	if got := sums(t, q); got != ours {
		t.Errorf("under the server its rows are others: %+v, want %+v", got, ours)
	}
	q.Stop()
	b.await("it comes", func(doc status.Document) bool {
		b.run("sync")
		return len(replicaIn(t, doc, "workspace").Unplaced) == 0
	})
	b.stop()
	kept, _ := filepath.Glob(b.path(".coltec/conflicts/*/" + dataDir))
	if len(kept) != 1 {
		t.Fatalf("kept aside: %q", kept)
	}
	startsSound(t, "the bucket's", b.path(dataDir), theirs)
	startsSound(t, "the one aside", kept[0], ours)
}

// A server that was killed left what a power cut leaves, and its lock file: that goes as it is,
// and starts elsewhere.
func TestPostgresThatWasKilledIsCarried(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	a.asUser()
	p := dbtest.NewPostgres(t, a.path(dataDir))
	a.spec(lasting)
	a.own()
	p.Start()
	p.Fill(1)
	a.start()
	load := p.Load(2)
	p.Transactions(100)
	a.leaves([]string{"sync"}, dataDir)
	p.Kill()
	load.Stop()
	a.sync()
	q := dbtest.OpenPostgres(t, a.restoreBeside(dataDir, newest(w).Number))
	if got, err := q.Judge(); err != nil || got.Transactions < 100 {
		t.Errorf("after a kill: %+v, %v", got, err)
	}
}

// A LevelDB that a program has open is withheld, and comes out whole once it was closed.
func TestLevelDBIsWithheldWhileItIsOpen(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	a.spec(lasting)
	a.mkdir("profile")
	db := dbtest.OpenLevelDB(t, a.path("profile/db"))
	put := func(from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			db.Put(strconv.Itoa(i), strings.Repeat("v", 1000)+strconv.Itoa(i))
		}
	}
	put(0, 100)
	a.start()
	a.leaves([]string{"sync"}, `"profile/db"`, "LevelDB")
	put(100, 200)
	a.leaves([]string{"sync"}, `"profile/db"`)
	for _, g := range w.generations() {
		if rows := w.rowsBelow(g, "workspace", "profile/db"); len(rows) > 0 {
			t.Errorf("generation %d has %d files of it", g.Number, len(rows))
		}
	}
	db.Close()
	a.sync()
	elsewhere := dbtest.OpenLevelDB(t, a.restoreBeside("profile/db", newest(w).Number))
	for i := range 200 {
		if got := elsewhere.Get(strconv.Itoa(i)); got != strings.Repeat("v", 1000)+strconv.Itoa(i) {
			t.Fatalf("%d is %q", i, got)
		}
	}
	elsewhere.Close()
}

// A server that takes longer to end than units usually get before the last push is waited for:
// its directory goes with that push.
func TestStopWaitsForAServer(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	a.write("db/CURRENT", "MANIFEST-000001\n")
	a.write("db/MANIFEST-000001", "1")
	a.write("db/LOCK", "")
	a.write("serve.sh", `exec 9<>db/LOCK
flock 9
echo open >>db/MANIFEST-000001
trap 'sleep 12; echo 2 >db/MANIFEST-000001; exit 0' TERM
while :; do sleep 0.1; done
`)
	a.spec(func(o *specOptions) {
		lasting(o)
		o.Services = []map[string]any{{"name": "server", "command": []string{"sh", "serve.sh"}, "dir": a.dir, "after": []string{"restore"}, "stop": map[string]string{"grace": "30s"}}}
	})
	a.start()
	a.await("the server has its database open", func(doc status.Document) bool {
		a.run("sync")
		return slices.ContainsFunc(replicaIn(t, a.status(), "workspace").OnlyHere, func(p account.Part) bool { return p.Reason == account.Uncaptured })
	})
	a.must("stop", "--timeout", "40s")
	if got := w.rowsBelow(newest(w), "workspace", "db")["db/MANIFEST-000001"]; got != sumOf("2\n") {
		t.Errorf("the manifest in the bucket is %q", got)
	}
}

// A data directory of which a part cannot be read goes once all of it can.
func TestDataDirectoryWithAnUnreadableFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	a.asUser()
	for name, content := range map[string]string{"CURRENT": "MANIFEST-000001\n", "MANIFEST-000001": "1", "LOCK": "", "000002.log": "1"} {
		a.write("db/"+name, content)
	}
	a.write("file", "1")
	a.chmod("db/000002.log", 0)
	a.spec(lasting)
	a.own()
	a.start()
	a.leaves([]string{"sync"}, `"db"`, "000002.log")
	if rows := w.rowsBelow(newest(w), "workspace", "db"); len(rows) > 0 {
		t.Errorf("a part of it went: %v", rows)
	}
	if rows := w.rowsBelow(newest(w), "workspace", "file"); len(rows) != 1 {
		t.Error("what is beside it did not go")
	}
	a.chmod("db/000002.log", 0o600)
	a.sync()
	if rows := w.rowsBelow(newest(w), "workspace", "db"); len(rows) != 4 {
		t.Errorf("all of it can be read, and in the bucket are %v", rows)
	}
}

// answers reports whether a server takes connections.
func answers(p *dbtest.Postgres) bool {
	_, err := p.Query("select 1")
	return err == nil
}

// newest is the newest generation of the bucket.
func newest(w *world) store.Generation {
	w.t.Helper()
	return slices.MaxFunc(w.generations(), func(x, y store.Generation) int { return int(x.Number - y.Number) })
}

// uncaptured is what of the account could not be captured.
func uncaptured(t *testing.T, doc status.Document) account.Part {
	t.Helper()
	for _, part := range replicaIn(t, doc, "workspace").OnlyHere {
		if part.Reason == account.Uncaptured {
			return part
		}
	}
	t.Errorf("nothing is uncaptured: %s", inline(doc))
	return account.Part{}
}

// restoreBeside restores a path of the workspace, as a generation has it, outside of it, and
// says where it is there.
func (m *machine) restoreBeside(rel string, generation int64) string {
	m.t.Helper()
	to := filepath.Join(filepath.Dir(m.dir), "restored-"+strconv.FormatInt(generation, 10))
	m.must("history", "restore", rel, "--at", strconv.FormatInt(generation, 10), "--to", to)
	return filepath.Join(to, filepath.Base(rel))
}
