package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coltec/coltec/engine"
	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
	pathtree "github.com/coltec/coltec/pkg/tree"
)

// The engine is linked for its points alone: with it come those of all rooms
// below it, so that the list of steps is the program's own.
var _ = engine.New

// workspaceName is what the machines' specs make of it.
const workspaceName = "acme/widget/dev"

// crash is a way to come to a step: it kills a machine there, edits while it
// is down, starts it, restores on another machine, and holds that nothing is
// lost.
type crash struct {
	name  string
	steps []string
	run   func(t *testing.T, at string)
}

// crashes are all ways to all steps. A step "name:n" is the n-th time it is
// reached.
var crashes = []crash{
	{"first push", []string{
		"lease:probed", "lease:acquired", "acquire:claimed", "acquire:received", "base:written", "base:renamed",
		"push:read", "push:staged", "push:sent", "push:published", "journal:written:2", "commit:prepared", "commit:committed",
	}, crashInFirstPush},
	{"later push", []string{
		"lease:acquired", "lease:renewed", "push:sent", "push:published", "journal:written", "journal:synced",
		"commit:prepared", "commit:committed", "journal:written:2", "journal:synced:2", "commit:resolved", "lease:released",
	}, crashInLaterPush},
	{"taken over", []string{"push:published", "commit:prepared", "commit:committed", "commit:resolved"}, crashAndTakeover},
	{"restore", []string{
		"acquire:received", "fetch:unpacked", "place:fetched", "place:renamed", "place:renamed:4", "place:placed", "place:recorded", "restore:complete",
	}, crashInRestore},
	{"update", []string{
		"base:written", "base:renamed", "journal:synced", "place:fetched", "place:aside", "place:aside:2", "place:renamed",
		"place:deleted", "place:placed", "place:recorded", "restore:complete",
	}, crashInUpdate},
	{"conflict", []string{"place:aside", "place:renamed", "place:recorded", "restore:complete", "push:sent"}, crashInConflict},
	{"conflict taken", []string{"conflict:linked", "conflict:exchanged", "conflict:noted"}, crashInTake},
	{"conflict dropped", []string{"conflict:moved", "conflict:noted"}, crashInDrop},
	{"adoption", []string{"adopt:listed", "adopt:recorded", "place:fetched", "place:placed", "commit:committed"}, crashInAdoption},
	{"mirror", []string{"push:staged", "mirror:kept", "push:sent", "mirror:moved", "push:published", "commit:committed"}, crashInMirror},
	{"repository pushed", []string{"git:packed", "git:opened", "git:shadowed", "push:sent", "commit:committed"}, crashInCapture},
	{"repository made", []string{"git:made", "git:adopted"}, crashInRepository},
	{"repository joined", []string{"git:linked", "git:refs", "git:trees", "git:joined", "git:adopted"}, crashInJoin},
	{"long log", []string{"commit:spilled"}, crashInLongLog},
	{"checkpoint", []string{"checkpoint:pinned"}, crashInCheckpoint},
	{"checkpoint of what changed", []string{"push:sent", "push:published", "commit:prepared", "commit:committed", "commit:resolved"}, crashInCheckpointOfAChange},
	{"rewind", []string{
		"rewind:kept", "rewind:published", "rewind:committed", "place:renamed:2", "place:deleted", "git:refs", "database:placed", "restore:complete", "rewind:placed",
	}, crashInRewind},
	{"fork", []string{"fork:claimed", "fork:copied", "fork:published", "fork:made"}, crashInFork},
	{"removal from the bucket", []string{"purge:held", "purge:headless", "purge:treeless", "purge:deleted", "purge:emptied"}, crashInPurge},
	{"removal from a host", []string{"rm:ended", "rm:purged", "rm:boxless", "rm:emptied", "rm:cleared"}, crashInRemoval},
	{"hop", []string{"hop:staged", "hop:placed"}, crashInHop},
	{"join of a fork", []string{"join:begun", "place:aside", "place:placed", "join:placed", "join:pushed"}, crashInJoinOfAFork},
	{"database", []string{
		"database:made", "database:kept", "sqlite:linked", "sqlite:replaced", "sqlite:apart", "sqlite:settled",
		"database:placed", "database:taken",
	}, crashInDatabase},
	{"frozen directory", []string{
		"frozen:before", "frozen:stopped", "frozen:copied", "frozen:continued", "frozen:unmarked", "frozen:aside", "frozen:placed",
	}, crashInFrozen},
}

// TestKilledAtEachStep kills coltecd with KILL at the steps that the program names.
//
// COLTEC_STEPS is how many of them are tried, drawn by COLTEC_SEED; make soak-crash
// tries each.
func TestKilledAtEachStep(t *testing.T) {
	t.Parallel()
	type kill struct {
		crash
		at string
	}
	var kills []kill
	reached := map[string]bool{}
	for _, c := range crashes {
		for _, at := range c.steps {
			op, step, _ := strings.Cut(at, ":")
			step, _, _ = strings.Cut(step, ":")
			reached[op+":"+step] = true
			kills = append(kills, kill{c, at})
		}
	}
	for _, name := range killpoint.Names() {
		alone := name == "sqlite:joined" || name == "sqlite:placed"           // coltecd places databases without a log: pkg/sqlite's tests
		alone = alone || name == "conflict:between"                           // needs a file system on which names cannot change places: pkg/replica's tests
		if !reached[name] && !alone && !strings.HasPrefix(name, "collect:") { // needs days of the store's clock: engine/collect_test.go
			t.Errorf("no crash is tried at %q: give it a line in crashes", name)
		}
	}
	all, seed := len(kills), seedFromEnv(t)
	rand.New(rand.NewPCG(uint64(seed), 0)).Shuffle(all, func(i, j int) { kills[i], kills[j] = kills[j], kills[i] })
	kills = kills[:min(fromEnv(t, "COLTEC_STEPS", sample.Size(20, 40)), all)]
	t.Logf("%d of %d steps; COLTEC_SEED=%d repeats them", len(kills), all, seed)
	for _, k := range kills {
		t.Run(k.name+"/"+strings.ReplaceAll(k.at, ":", "-"), func(t *testing.T) {
			t.Parallel()
			k.run(t, k.at)
		})
	}
}

// killedAt runs coltecd until it kills itself at a step.
func (m *machine) killedAt(at string, args ...string) {
	m.t.Helper()
	if len(args) == 0 {
		args = []string{"run"}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := m.command(ctx, args...)
	cmd.Env = append(cmd.Env, killpoint.Variable+"="+at)
	var talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &talk, &talk
	err := cmd.Run()
	ended, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ctx.Err() != nil || !ended.Signaled() || ended.Signal() != syscall.SIGKILL {
		m.t.Fatalf("%s: coltecd %q did not come to %s: %v, %v\n%s", m.name, args, at, err, ctx.Err(), &talk)
	}
}

// seed makes a tree with one of each kind that a push has to bring.
func (m *machine) seed() {
	for i := range 12 {
		m.write(fmt.Sprintf("src/%d.txt", i), fmt.Sprintf("source %d of %s", i, m.name))
	}
	m.write("edit.txt", "before")
	m.write("gone.txt", "to be deleted")
	m.write("old/name.txt", "to be renamed")
	m.write("mode.sh", "#!/bin/sh\n")
	m.write("touched.txt", "to be touched")
	m.write("big.bin", scrambled(1, 300<<10))
	m.link("edit.txt", "link")
	m.mkdir("empty")
}

// change changes one of each kind.
func (m *machine) change() {
	m.write("edit.txt", "after")
	m.remove("gone.txt")
	m.rename("old", "new")
	m.chmod("mode.sh", 0o755)
	m.touch("touched.txt")
	m.write("big.bin", scrambled(2, 300<<10))
	m.write("added.bin", scrambled(3, 100<<10))
	m.write("added.txt", "added")
	m.remove("link")
	m.link("added.txt", "link")
	m.remove("empty")
	m.mkdir("empty too")
}

// changeWhileDown edits what the killed run was about to push, or has pushed.
func (m *machine) changeWhileDown() {
	m.write("edit.txt", "after that")
	m.write("added while down.txt", "added while down")
	m.remove("src/3.txt")
	m.rename("src/4.txt", "src/renamed.txt")
	m.chmod("src/5.txt", 0o700)
	m.touch("src/6.txt")
	m.mkdir("empty three")
}

// changeElsewhere edits what nobody else does.
func (m *machine) changeElsewhere() {
	m.write("src/7.txt", "edited by "+m.name)
	m.remove("src/8.txt")
	m.rename("src/9.txt", "src/nine.txt")
	m.write("by "+m.name+".txt", "added by "+m.name)
}

// elsewhere are the paths of changeElsewhere.
func elsewhere(m *machine) []string {
	return []string{"src/7.txt", "src/8.txt", "src/9.txt", "src/nine.txt", "by " + m.name + ".txt"}
}

// overlaid is a tree with some paths as another tree has them.
func overlaid(under, over map[string]node, paths ...string) map[string]node {
	out := maps.Clone(under)
	for _, p := range paths {
		p = strconv.Quote(p)
		if n, ok := over[p]; ok {
			out[p] = n
		} else {
			delete(out, p)
		}
	}
	return out
}

func crashInFirstPush(t *testing.T, at string) {
	w := newWorld(t)
	a, b := w.pair()
	a.seed()
	a.killedAt(at)
	a.change()
	a.changeWhileDown()
	converge(t, a, b, a.tree(), 0)
}

func crashInLaterPush(t *testing.T, at string) {
	w := newWorld(t)
	a, b := w.pair()
	a.seed()
	a.once()
	committed := a.tree()
	a.change()
	if at == "lease:released" {
		a.killedAt(at, "run", "--once")
	} else {
		a.killedAt(at)
	}
	a.changeWhileDown()
	converge(t, a, b, a.tree(), 0)
	w.stillReadable(committed)
}

// crashAndTakeover lets another machine take the lease before the killed one
// is back: what it committed must be its own in the head's ancestry.
func crashAndTakeover(t *testing.T, at string) {
	w := newWorld(t)
	a, b := w.pair()
	a.seed()
	a.once()
	a.change()
	a.killedAt(at)
	a.changeWhileDown()
	want := a.tree()
	b.start() // waits for the ttl
	b.changeElsewhere()
	want = overlaid(want, b.tree(), elsewhere(b)...)
	b.sync()
	b.stop()
	converge(t, a, b, want, 0)
}

func crashInRestore(t *testing.T, at string) {
	w := newWorld(t)
	a, b := w.pair()
	a.seed()
	a.once()
	b.killedAt(at)
	b.write("added while down.txt", "added while down")
	converge(t, b, a, overlaid(a.tree(), b.tree(), "added while down.txt"), 0)
}

func crashInUpdate(t *testing.T, at string) {
	w := newWorld(t)
	a, b := w.pair()
	a.seed()
	a.once()
	b.once()
	committed := a.tree()
	a.change()
	a.once()
	b.killedAt(at)
	b.changeElsewhere()
	converge(t, b, a, overlaid(a.tree(), b.tree(), elsewhere(b)...), 0)
	w.stillReadable(committed)
}

// crashInConflict kills while a local version loses its name: it must lie
// aside once, however often it is tried.
func crashInConflict(t *testing.T, at string) {
	w := newWorld(t)
	a, b := w.pair()
	a.seed()
	a.once()
	b.once()
	a.write("edit.txt", "by a")
	a.once()
	b.write("edit.txt", "by b")
	b.killedAt(at)
	b.changeElsewhere()
	converge(t, b, a, overlaid(a.tree(), b.tree(), elsewhere(b)...), 1)
	if got := kept(t, b.dir, "conflicts"); got["edit.txt"] != "by b" {
		t.Errorf("kept aside: %q", got)
	}
	w.stillReadable(map[string]node{"edit.txt": {Kind: "file", Sum: sumOf("by b")}})
}

// crashInDatabase has both sides write a database: whenever one is killed, that which came is
// in its place at the end, and the one that was here is kept, both whole.
func crashInDatabase(t *testing.T, at string) {
	w := newWorld(t)
	a, b := w.pair()
	a.ledger("d/l.db", "wal", 200)
	if at == "database:made" {
		a.killedAt(at)
	}
	a.once()
	b.once()
	b.ledgerShell("d/l.db", "few", "few", "few").kill()
	b.once()
	a.ledgerShell("d/l.db", "few").kill() // its log stays
	if at != "database:made" {
		a.killedAt(at)
	}
	a.once()
	holdsLedger(t, "placed", a.path("d/l.db"), 3, 3)
	if got := a.beside("d/l.db"); !slices.Equal(got, []string{"l.db"}) {
		t.Errorf("beside it: %q", got)
	}
	a.once()
	b.once()
	holdsLedger(t, "there", b.path("d/l.db"), 3, 3)
	copies, err := filepath.Glob(a.path(".coltec/conflicts/*/d/l.db*"))
	if err != nil || len(copies) != 1 {
		t.Fatalf("kept: %q, %v", copies, err)
	}
	holdsLedger(t, "kept", copies[0], 1, 1)
}

// crashInFrozen kills a capture of a directory, or its placement.
func crashInFrozen(t *testing.T, at string) {
	w := newWorld(t)
	a, b := w.pair()
	for _, m := range []*machine{a, b} {
		m.spec(func(o *specOptions) {
			o.Replicas[0].Consistency = []map[string]any{{"path": "d", "by": "freeze"}}
			o.More = map[string]any{"hooks": map[string]any{
				"pre_capture":  []map[string]any{{"name": "before", "command": []string{"sh", "-c", `echo before >>"$HOME/hooks"`}}},
				"post_capture": []map[string]any{{"name": "after", "command": []string{"sh", "-c", `echo after >>"$HOME/hooks"`}}},
			}}
		})
	}
	for i := range 5 {
		a.write(fmt.Sprintf("d/sub/%d", i), fmt.Sprint("first ", i))
	}
	placed := at == "frozen:aside" || at == "frozen:placed"
	if !placed {
		a.killedAt(at)
	}
	a.once()
	b.once()
	sameTree(t, a.tree(), b.tree())
	a.write("d/sub/1", "second")
	a.write("d/new", "second")
	a.once()
	if placed {
		b.killedAt(at)
	}
	b.once()
	sameTree(t, a.tree(), b.tree())
	if kept, _ := filepath.Glob(b.path(".coltec/conflicts/*")); len(kept) > 0 {
		t.Errorf("there is a conflict: %q", kept)
	}
	a.start()
	a.sync()
	a.stop()
	body, err := os.ReadFile(filepath.Join(filepath.Dir(a.dir), "hooks"))
	words := strings.Fields(string(body))
	if err != nil && !placed || len(words)%2 > 0 {
		t.Errorf("hooks: %q, %v", words, err)
	}
}

// A restore that was killed while objects came goes on with those that had come.
func TestKilledRestoreFetchesNothingTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.pair()
	const objects, atOnce = 12, 4
	for i := range objects {
		a.write(fmt.Sprintf("src/%d.txt", i), fmt.Sprint("source ", i))
		a.once()
	}
	w.proxy.Reset()
	w.proxy.Link(50*time.Millisecond, 0) // so that the last comes long after the first
	b.killedAt("fetch:unpacked:3")
	w.proxy.Link(0, 0)
	b.once()
	sameTree(t, a.tree(), b.tree())
	asked := 0
	for _, r := range w.proxy.Requests() {
		if r.Kind == s3test.Get && strings.Contains(r.Key, "/workspace/.coltec/o/") {
			asked++
		}
	}
	if asked < objects || asked > objects+atOnce {
		t.Errorf("%d requests for %d objects, of which %d at most were on their way: %v", asked, objects, atOnce, requestsOf(w.proxy))
	}
}

// A file that a killed restore had placed, and not yet recorded, is edited
// before the next start: nobody can tell it from one that was there before the
// restore, so that it may lose its name, but never its content.
func TestEditOfWhatAKilledRestoreHadPlaced(t *testing.T) {
	t.Parallel()
	// The second record is of the small files: the first is of what needs no content.
	for _, at := range []string{"place:placed", "place:recorded:2"} {
		t.Run(strings.ReplaceAll(at, ":", "-"), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a, b := w.pair()
			a.seed()
			a.once()
			b.killedAt(at)
			b.write("src/5.txt", "edited while down")
			b.start()
			b.sync()
			aside := kept(t, b.dir, "conflicts")
			if b.read("src/5.txt") != "edited while down" && aside["src/5.txt"] != "edited while down" {
				t.Errorf("the edit is neither in the tree nor aside: %q", aside)
			}
			if at == "place:recorded:2" && len(aside) > 0 {
				t.Errorf("what was recorded is a conflict: %q", aside)
			}
			w.stillReadable(map[string]node{"src/5.txt": {Kind: "file", Sum: sumOf("edited while down")}})
			b.stop()
			converge(t, a, b, b.tree(), len(aside))
		})
	}
}

// crashInAdoption begins with the plain objects of an earlier tool.
func crashInAdoption(t *testing.T, at string) {
	w := newWorld(t)
	a, b := w.pair()
	plain := w.machine("plain")
	plain.seed()
	plain.write("#1 \"quoted\" ü.txt", "a name nobody likes")
	w.rclone("copy", plain.dir, "{bucket}/"+prefix("workspace"))
	a.write("mine.txt", "mine")
	a.write("src/1.txt", plain.read("src/1.txt"))
	a.killedAt(at)
	a.write("added while down.txt", "added while down")
	want := contentsOf(plain.tree())
	maps.Copy(want, contentsOf(map[string]node{
		`"mine.txt"`: {Kind: "file", Sum: sumOf("mine")}, `"added while down.txt"`: {Kind: "file", Sum: sumOf("added while down")},
	}))
	a.start()
	a.sync()
	if got := contentsOf(a.tree()); !maps.Equal(got, want) {
		t.Errorf("adopted %v, want %v", got, want)
	}
	a.stop()
	converge(t, a, b, a.tree(), 0)
	for name, sum := range contentsOf(plain.tree()) {
		file, _ := strconv.Unquote(name)
		body, err := os.ReadFile(filepath.Join(w.s3.Dir, w.s3.Bucket, prefix("workspace"), file))
		if err != nil || sumOf(string(body)) != sum {
			t.Errorf("the plain object %s is not what it was (%v)", name, err)
		}
	}
}

// contentsOf are the hashes of a tree's files.
func contentsOf(nodes map[string]node) map[string]string {
	out := map[string]string{}
	for name, n := range nodes {
		if n.Kind == "file" {
			out[name] = n.Sum
		}
	}
	return out
}

// crashInMirror kills while plain objects are pushed, which are true at once.
func crashInMirror(t *testing.T, at string) {
	w := newWorld(t)
	a := w.machine("a")
	a.spec(func(o *specOptions) {
		o.Replicas[0].Direction = "push-only"
		o.TTL, o.Renew = "60s", "2s"
	})
	a.seed()
	a.remove("link") // a link's object and its file would differ in name
	a.once()
	before := contentsOf(a.tree())
	a.write("edit.txt", "after")
	a.remove("gone.txt")
	a.rename("old", "new")
	a.write("added.txt", "added")
	a.killedAt(at)
	a.changeWhileDown()
	want := a.tree()
	a.start()
	a.sync()
	sameTree(t, want, a.tree())
	a.quiet()
	a.stop()
	got := treeOf(t, filepath.Join(w.s3.Dir, w.s3.Bucket, prefix("workspace")), ".coltec")
	for name, sum := range contentsOf(want) {
		if got[name].Sum != sum {
			t.Errorf("the object %s has %+v, want %s", name, got[name], sum)
		}
	}
	if len(contentsOf(got)) != len(contentsOf(want)) {
		t.Errorf("there are %d objects and %d files", len(contentsOf(got)), len(contentsOf(want)))
	}
	still := map[string]bool{}
	for _, n := range treeOf(t, filepath.Join(w.s3.Dir, w.s3.Bucket)) {
		still[n.Sum] = true
	}
	for name, sum := range before {
		if !still[sum] {
			t.Errorf("the replaced or deleted %s is nowhere in the bucket", name)
		}
	}
}

// crashInLongLog kills when the head hands a part of its log on.
func crashInLongLog(t *testing.T, at string) {
	w := newWorld(t)
	a, b := w.pair()
	a.seed()
	a.once()
	a.start()
	for i := 1; a.status().Lease.Generation < 64; i++ {
		a.write("edit.txt", fmt.Sprint(i))
		a.sync()
	}
	a.stop()
	a.change()
	a.killedAt(at)
	a.changeWhileDown()
	converge(t, a, b, a.tree(), 0)
}

// crashInCheckpoint kills it after the name is in the head, and before anybody was told.
func crashInCheckpoint(t *testing.T, at string) {
	w := newWorld(t)
	a, b := w.pair()
	a.seed()
	a.once()
	a.change()
	then := a.tree()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := a.command(ctx, "run")
	cmd.Env = append(cmd.Env, killpoint.Variable+"="+at)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	a.await("it has the lease", func(doc status.Document) bool { return doc.Lease.State == status.LeaseHeld })
	if _, talk, code := a.run("checkpoint", "before"); code == 0 {
		t.Errorf("the checkpoint was told: %s", talk)
	}
	_ = cmd.Wait()
	a.changeWhileDown()
	now := a.tree()
	a.start()
	if list := answer[[]control.Checkpoint](a, "checkpoints"); len(list) != 1 {
		t.Fatalf("%+v", list)
	}
	to := filepath.Join(t.TempDir(), "to")
	a.must("history", "restore", "--at", "before", "--to", to)
	sameTree(t, then, treeOf(t, to))
	a.stop()
	converge(t, a, b, now, 0)
}

// crashInCheckpointOfAChange kills it while a checkpoint sends what changed: the name is there with
// the generation, of what was there, or neither is.
func crashInCheckpointOfAChange(t *testing.T, at string) {
	w := newWorld(t)
	a, b := w.pair()
	for _, m := range []*machine{a, b} {
		m.spec(func(o *specOptions) { o.TTL, o.Renew, o.Replicas[0].Interval = "60s", "2s", 3600 })
	}
	a.seed()
	a.once()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := a.command(ctx, "run")
	cmd.Env = append(cmd.Env, killpoint.Variable+"="+at)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	a.await("it is restored", func(doc status.Document) bool {
		return doc.Lease.State == status.LeaseHeld && replicaIn(t, doc, "workspace").State == status.ReplicaSynced
	})
	a.change()
	then := a.tree()
	if _, talk, code := a.run("checkpoint", "before"); code == 0 {
		t.Errorf("the checkpoint was told: %s", talk)
	}
	_ = cmd.Wait()
	a.changeWhileDown()
	now := a.tree()
	a.start()
	list := answer[[]control.Checkpoint](a, "checkpoints")
	if counts := at == "commit:committed" || at == "commit:resolved"; (len(list) == 1) != counts {
		t.Errorf("killed at %s: %+v", at, list)
	}
	if len(list) > 0 {
		to := filepath.Join(t.TempDir(), "to")
		a.must("history", "restore", "--at", "before", "--to", to)
		sameTree(t, then, treeOf(t, to))
	}
	a.must("checkpoint", "after")
	a.stop()
	converge(t, a, b, now, 0)
}

// pair are two machines that look at the lease often.
func (w *world) pair() (a, b *machine) { return w.leased("60s") }

// brief are two machines with a lease that is soon over when its holder is silent.
func (w *world) brief() (a, b *machine) { return w.leased("12s") }

func (w *world) leased(ttl string) (a, b *machine) {
	a, b = w.machine("a"), w.machine("b")
	for _, m := range []*machine{a, b} {
		m.spec(func(o *specOptions) { o.TTL, o.Renew = ttl, "2s" })
	}
	return a, b
}

// converge starts one machine and then the other, and holds that both have
// the tree, that a second cycle does nothing, that there are as many conflicts
// as there should be, and that nothing is left lying about.
func converge(t *testing.T, first, second *machine, want map[string]node, conflicts int) {
	t.Helper()
	first.start()
	first.sync()
	sameTree(t, want, first.tree())
	first.quiet()
	first.stop()
	second.start()
	sameTree(t, want, second.tree())
	second.quiet()
	second.stop()
	first.once()
	sameTree(t, want, first.tree())
	for _, m := range []*machine{first, second} {
		m.tidy()
	}
	if got := len(kept(t, first.dir, "conflicts")) + len(kept(t, second.dir, "conflicts")); got != conflicts {
		t.Errorf("%d versions are kept as conflicts, want %d: %q %q", got, conflicts,
			kept(t, first.dir, "conflicts"), kept(t, second.dir, "conflicts"))
	}
	first.world.stillReadable(want)
}

// quiet holds that a cycle of the running coltecd finds nothing to do.
func (m *machine) quiet() {
	m.t.Helper()
	before, generation := m.world.objects(), m.status().Lease.Generation
	m.sync()
	if got := m.status().Lease.Generation; got != generation {
		m.t.Errorf("%s: a cycle without a change makes generation %d of %d", m.name, got, generation)
	}
	for key := range m.world.objects() {
		if _, was := before[key]; !was && !ofTheHead(key) {
			m.t.Errorf("%s: a cycle without a change writes %s", m.name, key)
		}
	}
}

// tidy holds that nothing is left in the stage, nor a half-written base.
func (m *machine) tidy() {
	m.t.Helper()
	dir := m.path(".coltec")
	left, _ := filepath.Glob(filepath.Join(dir, "*.tmp"))
	_ = filepath.WalkDir(filepath.Join(dir, "stage"), func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			left = append(left, p)
		}
		return nil
	})
	if len(left) > 0 {
		m.t.Errorf("%s: left behind: %q", m.name, left)
	}
}

// stillReadable holds that every content of a tree is in a generation that the
// bucket keeps, and that all of them can be read to the last byte.
func (w *world) stillReadable(want map[string]node) {
	w.t.Helper()
	there := map[string]bool{}
	for _, g := range w.generations() {
		for name, ref := range g.Replicas {
			w.contents(name, ref.Manifest, there)
		}
	}
	for name, n := range want {
		if n.Kind == "file" && !there[n.Sum] && n.Sum != sumOf("") {
			w.t.Errorf("the content of %s is in no generation that is kept", name)
		}
	}
}

// generations are those that the head and its log name.
func (w *world) generations() []store.Generation {
	w.t.Helper()
	var head store.Head
	w.json(store.HeadKey(workspaceName), &head)
	all := head.Recent
	for key := head.Log; key != ""; {
		var segment struct {
			Before      string             `json:"before"`
			Generations []store.Generation `json:"generations"`
		}
		w.json(key, &segment)
		all = append(all, segment.Generations...)
		key = segment.Before
	}
	return all
}

// json reads an object of the bucket.
func (w *world) json(key string, into any) {
	w.t.Helper()
	eventually(w.t, key+" can be read", func() error { return w.look(key, into) })
}

// look reads an object of the bucket as it is in this moment: while it is replaced the server has neither,
// or a part.
func (w *world) look(key string, into any) error {
	body, err := os.ReadFile(filepath.Join(w.s3.Dir, w.s3.Bucket, key))
	if err == nil {
		err = json.Unmarshal(body, into)
	}
	return err
}

// contents reads all content of a manifest; the hashes go to found.
func (w *world) contents(replica, manifest string, found map[string]bool) {
	w.t.Helper()
	if manifest == "" {
		return // a mirror
	}
	bin := rclone.Binary{Path: rclonePath, Version: rclone.Needed}
	backend := rclone.Backend{Name: "primary", Type: "s3", Options: w.s3.Options(w.s3.Endpoint)}
	remote, err := rclone.NewRemote(bin, []rclone.Backend{backend}, rclone.Root("primary", w.s3.Bucket, prefix(replica)), rclone.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	dir := w.t.TempDir()
	layout := store.NewSnapshot(remote, filepath.Join(dir, "manifest"))
	t, err := layout.Tree(w.t.Context(), manifest)
	if err != nil {
		w.t.Fatal(err)
	}
	var files []*pathtree.Entry
	for i := range t.Entries {
		if e := &t.Entries[i]; e.Kind == pathtree.File && !found[e.Sum.String()] {
			files = append(files, e)
			found[e.Sum.String()] = true
		}
	}
	if err := layout.Fetch(w.t.Context(), files, w.t.TempDir(), nil, nil); err != nil {
		w.t.Errorf("manifest %s cannot be restored: %v", manifest, err)
	}
}

// TestRandomKills runs coltecd on two machines while their files are edited,
// and kills it, its keeper and its rclones at random moments. Each machine
// edits a directory of its own at any time, and one that they share while it
// is known to have all of it: so the tree that must come out is known, and
// there is nothing to conflict about.
//
// COLTEC_CRASHES is the number of rounds, COLTEC_SEED repeats a run.
func TestRandomKills(t *testing.T) {
	t.Parallel()
	rounds, seed := fromEnv(t, "COLTEC_CRASHES", sample.Size(25, 50)), seedFromEnv(t)
	t.Logf("%d rounds; COLTEC_SEED=%d repeats them as far as chance allows", rounds, seed)
	h := newHavoc(t, uint64(seed))
	for range rounds {
		h.round()
	}
	h.finish()
	t.Logf("killed: %v", h.killed)
}

// seedFromEnv is COLTEC_SEED, or one of its own for each run.
func seedFromEnv(t *testing.T) int {
	t.Helper()
	return fromEnv(t, "COLTEC_SEED", int(time.Now().UnixNano()&0xffffff))
}

func fromEnv(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// havoc is a run of random kills.
type havoc struct {
	t       *testing.T
	world   *world
	rng     *rand.Rand
	players [2]*player
	active  int // where coltecd is started
	sharer  int // who may edit what is shared
	shared  map[string]node
	killed  map[string]int
}

// player is a machine with what its own directory should hold.
type player struct {
	*machine
	own map[string]node
}

// sharedDir is edited by one machine at a time.
const sharedDir = "shared"

func newHavoc(t *testing.T, seed uint64) *havoc {
	w := newWorld(t)
	h := &havoc{
		t: t, world: w, rng: rand.New(rand.NewPCG(seed, 1)),
		shared: map[string]node{}, killed: map[string]int{},
	}
	a, b := w.brief()
	for i, m := range []*machine{a, b} {
		h.players[i] = &player{m, map[string]node{}}
		// More files than are ever deleted: the brakes are not what is tested.
		for n := range 40 {
			m.write(fmt.Sprintf("%s/kept/%d", m.name, n), fmt.Sprintf("%d of %s", n, m.name))
		}
		h.players[i].own = h.below(h.players[i], m.name)
	}
	for n := range 40 {
		a.write(fmt.Sprintf("%s/kept/%d", sharedDir, n), fmt.Sprint(n))
	}
	h.shared = h.below(h.players[0], sharedDir)
	return h
}

// below describes a directory of a player, by paths from its root on.
func (h *havoc) below(p *player, dir string) map[string]node {
	h.t.Helper()
	found := map[string]node{}
	for name, n := range treeOf(h.t, p.path(dir)) {
		name, _ = strconv.Unquote(name)
		found[strconv.Quote(dir+"/"+name)] = n
	}
	return found
}

// chance is true in n of 100 cases.
func (h *havoc) chance(n int) bool { return h.rng.IntN(100) < n }

// round runs coltecd at the active machine, edits on both, and kills.
func (h *havoc) round() {
	p := h.players[h.active]
	h.begin(p)
	ctx, cancel := context.WithCancel(context.Background())
	synced := make(chan struct{})
	go func() {
		defer close(synced)
		p.keepSyncing(ctx)
	}()
	struck := h.arm(p)
	for range 1 + h.rng.IntN(6) {
		h.edit()
		h.moment(50 * time.Millisecond)
	}
	<-struck
	cancel()
	<-synced
	h.check()
	switch {
	case h.chance(12):
		h.hopInOrder()
	case h.chance(8):
		h.strike(p, "all")
		h.active = 1 - h.active
	}
}

// moment waits a random time: what is tested is that any moment will do.
func (h *havoc) moment(most time.Duration) {
	<-time.After(time.Duration(h.rng.Int64N(int64(most))))
}

// begin makes sure that coltecd runs. A keeper that waits before it starts the
// next one is replaced: its patience is not what is tested.
func (h *havoc) begin(p *player) {
	eventually(h.t, p.name+": a coltecd answers, or the lock is free", func() error {
		if p.answers() {
			return nil
		}
		i, ok := p.instance()
		if !ok {
			return nil
		}
		// The keeper may have begun another one since the lock was read.
		killIf(i.Keeper, i.KeeperStart)
		killIf(i.PID, i.Start)
		return errors.New("it is taken by one that does not answer")
	})
	p.must("start") // no harm where one runs
}

// answers reports whether a coltecd of the machine is there.
func (m *machine) answers() bool {
	i, ok := m.instance()
	if !ok {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second) // one that was killed has no socket
	defer cancel()
	_, err := control.Dial(i.Socket).Status(ctx)
	return err == nil
}

// keepSyncing asks for cycles until ctx ends: the interval of replicas is too
// long for a test. Each may fail, coltecd is killed meanwhile.
func (m *machine) keepSyncing(ctx context.Context) {
	for ctx.Err() == nil {
		if i, ok := m.instance(); ok {
			_ = control.Dial(i.Socket).Sync(ctx, control.SyncRequest{}, func(string) {})
		}
		select {
		case <-ctx.Done():
		case <-time.After(30 * time.Millisecond):
		}
	}
}

// arm kills something of the player soon: at a request to the store, before or
// after the store has seen it, or after a while.
func (h *havoc) arm(p *player) <-chan struct{} {
	what := []string{"coltecd", "coltecd", "both", "both", "rclone", "all", "keeper"}[h.rng.IntN(7)]
	struck := make(chan struct{}, 1)
	strike := func() {
		h.strike(p, what)
		struck <- struct{}{}
	}
	h.killed[what]++
	if h.chance(30) {
		time.AfterFunc(time.Duration(h.rng.IntN(1000))*time.Millisecond, strike)
		return struck
	}
	done := make(chan struct{})
	fault := s3test.Fault{Nth: 1 + h.rng.IntN(20)}
	var once sync.Once
	hit := func(s3test.Request) { once.Do(func() { strike(); close(done) }) }
	if h.chance(50) {
		fault.Before = hit
	} else {
		fault.After = hit
	}
	remove := h.world.proxy.Inject(fault)
	time.AfterFunc(1200*time.Millisecond, func() { hit(s3test.Request{}) }) // nothing more was asked of the store
	go func() { <-done; remove() }()
	return struck
}

// strike kills processes of the player, by their ids.
func (h *havoc) strike(p *player, what string) {
	i, ok := p.instance()
	if !ok {
		return
	}
	left := below(i.PID)
	if what == "both" || what == "all" || what == "keeper" {
		killIf(i.Keeper, i.KeeperStart)
	}
	if what != "rclone" && what != "keeper" {
		killIf(i.PID, i.Start)
	}
	for _, child := range left {
		if what == "rclone" || what == "all" {
			child.kill()
		}
	}
}

// killIf kills pid if it is the process that began at start.
func killIf(pid int, start uint64) {
	if pid > 1 && startOf(pid) == fmt.Sprint(start) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// hopInOrder stops coltecd here and goes on at the other machine, whose
// restore is killed once or not at all. What is shared goes along.
func (h *havoc) hopInOrder() {
	from, to := h.players[h.active], h.players[1-h.active]
	h.begin(from)
	from.await("it is restored", func(doc status.Document) bool {
		state := replicaIn(h.t, doc, "workspace").State
		return state == status.ReplicaSynced || state == status.ReplicaSyncing
	})
	from.must("stop", "--timeout", "150s")
	h.active = 1 - h.active
	h.begin(to)
	if h.chance(60) {
		h.moment(1500 * time.Millisecond)
		h.strike(to, "all")
		h.begin(to)
	}
	to.must("start", "--wait")
	if h.sharer != h.active && h.released(from) {
		h.sharer = h.active
	}
	h.check()
}

// released reports whether the last stop at a machine left nothing behind.
func (h *havoc) released(m *player) bool {
	last := lastLine(m.log(), "lease released")
	return strings.Contains(last, "dirty=0")
}

func lastLine(text, with string) string {
	last := ""
	for line := range strings.Lines(text) {
		if strings.Contains(line, with) {
			last = line
		}
	}
	return last
}

// edit changes one thing at one of the machines, running or not.
func (h *havoc) edit() {
	i := h.rng.IntN(2)
	p := h.players[i]
	dir, model := p.name, p.own
	if h.sharer == i && h.chance(40) {
		dir, model = sharedDir, h.shared
	}
	h.editBelow(p, dir, model)
}

// editBelow changes one thing below a directory and notes it.
func (h *havoc) editBelow(p *player, dir string, model map[string]node) {
	name := func() string { return fmt.Sprintf("%s/d%d/f%d", dir, h.rng.IntN(4), h.rng.IntN(8)) }
	existing := slices.DeleteFunc(slices.Sorted(maps.Keys(model)), func(q string) bool {
		return model[q].Kind == "dir" || strings.Contains(q, "/kept/")
	})
	to := name()
	if h.rng.IntN(3) == 0 || len(existing) == 0 {
		h.write(p, to, model)
		return
	}
	from, _ := strconv.Unquote(existing[h.rng.IntN(len(existing))])
	switch h.rng.IntN(7) {
	case 0:
		p.remove(from)
	case 1:
		if from != to {
			p.mkdir(path.Dir(to))
			p.rename(from, to)
		}
	case 2:
		if model[strconv.Quote(from)].Kind == "file" {
			p.chmod(from, []fs.FileMode{0o644, 0o755, 0o600}[h.rng.IntN(3)])
		}
	case 3:
		p.remove(from)
		p.link("../kept/"+fmt.Sprint(h.rng.IntN(40)), from)
	case 4:
		h.write(p, from, model)
		return
	case 5:
		// As editors save: beside it, then renamed over it.
		p.write(from+"~", h.text())
		p.rename(from+"~", from)
	case 6:
		p.rename(path.Dir(from), path.Dir(from)+"-moved")
		p.rename(path.Dir(from)+"-moved", path.Dir(from))
		p.remove(from)
	}
	h.note(p, from, model)
	h.note(p, to, model)
}

// write writes a file anew, or appends to it in place.
func (h *havoc) write(p *player, to string, model map[string]node) {
	if n := model[strconv.Quote(to)]; n.Kind == "link" {
		p.remove(to)
	} else if n.Kind == "file" && h.chance(30) {
		p.write(to, p.read(to)+h.text())
		h.note(p, to, model)
		return
	}
	p.write(to, h.text())
	h.note(p, to, model)
}

// text is some content: most often little, sometimes more than a pack takes.
func (h *havoc) text() string {
	if h.chance(15) {
		return scrambled(h.rng.Uint64(), 80<<10+h.rng.IntN(200<<10))
	}
	return strings.Repeat(fmt.Sprintf("%x\n", h.rng.Uint64()), h.rng.IntN(40))
}

// note writes down what is at a path now, and the directory above it.
func (h *havoc) note(p *player, rel string, model map[string]node) {
	h.t.Helper()
	for _, rel := range []string{rel, path.Dir(rel)} {
		n, err := nodeOf(p.path(rel))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			delete(model, strconv.Quote(rel))
		case err != nil:
			h.t.Fatal(err)
		default:
			model[strconv.Quote(rel)] = n
		}
	}
}

// check holds that nothing but the test has edited what it has edited.
func (h *havoc) check() {
	h.t.Helper()
	for i, p := range h.players {
		sameTree(h.t, p.own, h.below(p, p.name))
		if i == h.sharer {
			sameTree(h.t, h.shared, h.below(p, sharedDir))
		}
	}
}

// finish brings both machines together.
func (h *havoc) finish() {
	want := maps.Clone(h.shared)
	for _, p := range h.players {
		maps.Copy(want, p.own)
		if _, ok := p.instance(); ok {
			p.kill9()
		}
	}
	for _, dir := range []string{h.players[0].name, h.players[1].name, sharedDir} {
		for _, d := range []string{dir, dir + "/kept"} {
			want[strconv.Quote(d)] = node{Kind: "dir", Mode: "0755"}
		}
	}
	h.check()
	here, there := h.players[h.active], h.players[1-h.active]
	for _, p := range []*player{here, there, here} {
		p.start()
		p.sync()
		p.stop()
	}
	for _, p := range h.players {
		sameTree(h.t, want, p.tree())
		p.tidy()
		if aside := kept(h.t, p.dir, "conflicts"); len(aside) > 0 {
			h.t.Errorf("%s: conflicts where nobody edited what another did: %v", p.name, slices.Sorted(maps.Keys(aside)))
		}
	}
	h.world.stillReadable(want)
}

// link makes a symlink below the machine's folder.
func (m *machine) link(target, rel string) {
	m.t.Helper()
	if err := os.Symlink(target, m.path(rel)); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) mkdir(rel string) {
	m.t.Helper()
	if err := os.MkdirAll(m.path(rel), 0o755); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) rename(from, to string) {
	m.t.Helper()
	if err := os.Rename(m.path(from), m.path(to)); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) chmod(rel string, mode fs.FileMode) {
	m.t.Helper()
	if err := os.Chmod(m.path(rel), mode); err != nil {
		m.t.Fatal(err)
	}
}

// touch gives a file another time and nothing else.
func (m *machine) touch(rel string) {
	m.t.Helper()
	if err := os.Chtimes(m.path(rel), time.Time{}, time.Unix(1_000_000_000, 123_456_789)); err != nil {
		m.t.Fatal(err)
	}
}

// scrambled is content that does not compress, the same for the same seed.
func scrambled(seed uint64, size int) string {
	b := make([]byte, size)
	r := rand.New(rand.NewPCG(seed, 2))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}

// sumOf is the hash of a content as nodes have it.
func sumOf(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

// A stop is killed at each request of its final flush: the next start has all.
func TestKilledWhileStopping(t *testing.T) {
	t.Parallel()
	for nth := 1; nth <= 3; nth++ { // content, manifest, commit with the release
		t.Run(fmt.Sprint("request ", nth), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a, b := w.pair()
			a.seed()
			a.start()
			a.sync()
			reached, killed := make(chan struct{}), make(chan struct{})
			mend := w.proxy.Inject(s3test.Fault{
				If: func(r s3test.Request) bool { return r.Kind == s3test.Put }, Nth: nth,
				Before: func(s3test.Request) { close(reached); <-killed }, Drop: true,
			})
			a.change() // after the fault: a watcher may be quicker than the stop
			stopping := a.command(t.Context(), "stop", "--timeout", "150s")
			if err := stopping.Start(); err != nil {
				t.Fatal(err)
			}
			select {
			case <-reached:
			case <-time.After(patience):
				t.Fatalf("a stop sends less than %d requests", nth)
			}
			a.kill9()
			close(killed)
			mend()
			_ = stopping.Wait() // whatever it says of it
			a.changeWhileDown()
			converge(t, a, b, a.tree(), 0)
		})
	}
}
