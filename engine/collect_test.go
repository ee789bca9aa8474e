package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/collection"
	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/history"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/store/storetest"
	"github.com/coltec/coltec/pkg/tree"
)

// yard is a workspace whose garbage is collected, with a clock of its own.
type yard struct {
	t      testing.TB
	rnd    *rand.Rand
	bucket *storetest.Bucket
	start  time.Time
	past   time.Duration
	rules  collection.Rules
	gens   []store.Generation          // all that were ever committed
	trees  map[int64]map[string]string // what they were
	faults func(storetest.Event) error // nil: none
	boxes  []*box
	named  map[string]int64 // checkpoints, by name → generation, as far as they were made for sure
	beside []scope.Replica  // that each box has too, with trees beside its own: see [box.tree]
}

// box is one machine of it.
type box struct {
	y    *yard
	dir  string
	self store.Holder
	e    *Engine
}

func newYard(t testing.TB, seed uint64) *yard {
	y := &yard{
		t: t, rnd: rand.New(rand.NewPCG(seed, 1)), bucket: storetest.New(), rules: collection.All,
		start: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), trees: map[int64]map[string]string{}, named: map[string]int64{},
	}
	y.bucket.Hook(func(e storetest.Event) error {
		if y.faults != nil {
			return y.faults(e)
		}
		return nil
	})
	return y
}

func (y *yard) now() time.Time { return y.start.Add(y.past) }

func (y *yard) advance(d time.Duration) {
	y.past += d
	y.bucket.Advance(d)
}

func (y *yard) connect(_ context.Context, t scope.Target) (scope.Remote, error) {
	if t.Replica == "" {
		return y.bucket, nil
	}
	return y.bucket.At(t.Replica), nil
}

// box makes a machine with a tree of its own.
func (y *yard) box(name string) *box {
	b := &box{y: y, dir: filepath.Join(shm(y.t), name), self: store.Holder{Host: name, Place: name}}
	b.restart()
	y.boxes = append(y.boxes, b)
	return b
}

// end ends a history: its machines leave nothing open, and nothing on the disk.
func (y *yard) end() {
	for _, b := range y.boxes {
		b.e.close()
		dir := filepath.Dir(b.dir)
		if open := openBelow(dir); len(open) > 0 {
			y.t.Errorf("after its end a machine has open %q", open)
		}
		must(os.RemoveAll(dir))
	}
	y.boxes = nil
}

// openBelow are the files below a directory that this process has open.
func openBelow(dir string) (files []string) {
	fds, err := filepath.Glob("/proc/self/fd/*")
	must(err)
	for _, fd := range fds {
		if file, err := os.Readlink(fd); err == nil && strings.HasPrefix(file, dir+"/") { // else it was closed meanwhile
			files = append(files, file)
		}
	}
	return files
}

// shm is a temporary directory in memory where there is such a thing.
func shm(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "coltec-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// tree is the directory of a replica beside the first.
func (b *box) tree(name string) string { return b.dir + "-" + name }

// restart is a new process over the same tree.
func (b *box) restart() {
	if b.e != nil {
		b.e.close()
	}
	y := b.y
	b.self.Instance = store.NewID()
	replicas := []scope.Replica{{
		Name: "r", Path: b.dir, Direction: scope.Bidirectional, Layout: "snapshot", Interval: time.Second, Filter: &filter.Filter{},
	}}
	for _, x := range y.beside {
		x.Path, x.Interval, x.Filter = b.tree(x.Name), time.Second, &filter.Filter{}
		replicas = append(replicas, x)
	}
	b.e = New(Options{
		Workspace: status.Workspace{Org: "o", Project: "p", Env: "e"}, Self: b.self,
		HeadRoot: func() string { return "mem:" }, Connect: y.connect, Dead: func(store.Holder) bool { return true },
		LeaseTTL: time.Minute, LeaseRenew: 20 * time.Second, StopTimeout: time.Minute, KeepReplaced: 7 * 24 * time.Hour,
		Replicas: replicas,
	})
	b.e.rules = y.rules
	b.e.clock = clock{
		Clock:  store.Clock{Now: y.now, Boot: func() time.Duration { return y.past }},
		random: y.rnd.Float64,
		ticker: func(time.Duration) (<-chan time.Time, func()) { return nil, func() {} },
		beside: func(f func()) { f() },
	}
}

// do is a round in which everything is due.
func (b *box) do(collect bool) error {
	b.e.renewAt, b.e.leaseAt = time.Time{}, time.Time{}
	for range 3 { // acquire, place, push
		for _, m := range b.e.members {
			b.e.stepMember(m, evSoon{})
		}
		b.e.round(b.y.t.Context())
	}
	b.y.note(b.e)
	if collect && b.e.writable() {
		now, err := b.e.lease.StoreTime(b.y.t.Context())
		if err != nil {
			return err
		}
		done, err := collecting{b.e.loop}.collectNow(b.y.t.Context(), now)
		for name, why := range done.Failed {
			if strings.Contains(why, "cannot repack") {
				err = errors.Join(err, fmt.Errorf("replica %s: %s", name, why))
			}
		}
		return err
	}
	return errors.Join(b.e.members[0].course.err, b.e.leaseErr)
}

// note remembers what was committed.
func (y *yard) note(e *Engine) {
	if e.lease == nil || e.lease.Head() == nil || !e.lease.Holds() {
		return
	}
	for _, g := range e.lease.Head().Recent {
		y.remember(g)
	}
}

// remember remembers what a generation has, when it is seen first.
func (y *yard) remember(g store.Generation) {
	if y.trees[g.Number] != nil {
		return
	}
	files, err := y.fetch(g)
	if err != nil {
		y.t.Fatalf("generation %d cannot be read when it is new: %v", g.Number, err)
	}
	y.gens, y.trees[g.Number] = append(y.gens, g), files
}

// fetch reads all files of a generation.
func (y *yard) fetch(g store.Generation) (map[string]string, error) {
	if g.Replicas["r"].Manifest == "" {
		return map[string]string{}, nil
	}
	dir, err := os.MkdirTemp(shm(y.t), "")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	quiet := y.faults
	y.faults = nil
	defer func() { y.faults = quiet }()
	s := store.NewSnapshot(y.bucket.At("r"), dir)
	t, err := s.Tree(context.Background(), g.Replicas["r"].Manifest)
	if err != nil {
		return nil, err
	}
	var wanted []*tree.Entry
	for i := range t.Entries {
		if t.Entries[i].Kind == tree.File {
			wanted = append(wanted, &t.Entries[i])
		}
	}
	if err := s.Fetch(context.Background(), wanted, dir, nil, nil); err != nil {
		return nil, err
	}
	files := map[string]string{}
	for i, e := range wanted {
		body, err := os.ReadFile(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			return nil, err
		}
		files[e.Path] = string(body)
	}
	return files, nil
}

// lost names the first kept generation that is not there any more as it was.
func (y *yard) lost() error {
	for _, g := range store.Keep(y.gens, y.now(), 7*24*time.Hour) {
		if err := y.same(g); err != nil {
			return err
		}
	}
	for name, number := range y.named {
		i := slices.IndexFunc(y.gens, func(g store.Generation) bool { return g.Number == number })
		if err := y.same(y.gens[i]); err != nil {
			return fmt.Errorf("checkpoint %s: %w", name, err)
		}
	}
	return nil
}

// name makes a checkpoint, or removes one.
func (b *box) name() {
	y := b.y
	for name := range y.named {
		if y.rnd.IntN(3) == 0 {
			delete(y.named, name) // a removal in doubt is one, as far as nobody counts on the name
			_ = naming{b.e.loop}.removeCheckpoint(y.t.Context(), name)
			return
		}
		break
	}
	name := fmt.Sprint("c", y.past)
	made, err := naming{b.e.loop}.checkpoint(y.t.Context(), name, "")
	y.note(b.e)
	if err == nil {
		y.remember(made.Generation)
		y.named[name] = made.Number
	}
}

func (y *yard) same(g store.Generation) error {
	files, err := y.fetch(g)
	if err != nil {
		return fmt.Errorf("generation %d of %s: %w", g.Number, g.Time, err)
	}
	if fmt.Sprint(files) != fmt.Sprint(y.trees[g.Number]) {
		return fmt.Errorf("generation %d was %v and is %v", g.Number, y.trees[g.Number], files)
	}
	return nil
}

// names is how many files there may be: so many that a change of one makes the
// next manifest a difference.
const names = 12

// edit writes, removes or renames something. There are few contents, so that
// old ones come back. Large ones have objects of their own.
func (b *box) edit() {
	rnd := b.y.rnd
	name := func() string { return filepath.Join(b.dir, string(rune('a'+rnd.IntN(names)))) }
	switch rnd.IntN(6) {
	case 0:
		_ = os.Remove(name())
	case 1:
		_ = os.Rename(name(), name())
	default:
		size := 10
		if rnd.IntN(2) == 0 {
			size = 70 << 10
		}
		_ = os.MkdirAll(b.dir, 0o755)
		if err := os.WriteFile(name(), []byte(strings.Repeat(string(rune('0'+rnd.IntN(6))), size)), 0o644); err != nil {
			b.y.t.Fatal(err)
		}
	}
}

// history runs one random history and says what it lost.
func (y *yard) history(steps int) error {
	y.rules.Sparse = func(live, size int64) bool { return live < size }
	y.rules.Small = eager
	a := y.box("a")
	y.box("b")
	for range names {
		a.edit()
	}
	var reading *store.Generation // by somebody who is slow
	var since time.Duration
	for range steps {
		switch y.rnd.IntN(13) {
		case 12:
			a.name()
		case 0:
			a = y.hop(a)
		case 1: // crash
			a.restart()
		case 2: // faults, for this step alone
			n := y.rnd.IntN(12)
			y.faults = func(storetest.Event) error {
				if n--; n == 0 {
					return errors.New("the network is gone")
				}
				return nil
			}
		case 3: // suspended while it deletes, and fenced
			y.faults = y.takenOverAt(a)
		case 4, 5:
			if a.e.writable() {
				_ = collecting{a.e.loop}.gather(y.t.Context(), 2)
				y.note(a.e)
			}
		}
		if y.rnd.IntN(3) > 0 {
			a.edit()
		}
		y.advance(time.Duration(y.rnd.Int64N(int64([]time.Duration{time.Minute, time.Hour, 12 * time.Hour, 60 * time.Hour}[y.rnd.IntN(4)]))))
		_ = a.do(y.rnd.IntN(3) == 0)
		y.faults = nil
		if err := y.lost(); err != nil {
			return err
		}
		if reading != nil && y.past-since < store.Grace {
			if err := y.same(*reading); err != nil {
				return fmt.Errorf("under a reader: %w", err)
			}
		} else if reading = nil; a.e.lease != nil && a.e.lease.Head() != nil {
			log, err := store.ReadLog(y.t.Context(), y.bucket, a.e.lease.Head(), y.t.TempDir())
			if err == nil && len(log.Generations) > 0 && a.e.lease.Holds() {
				reading, since = &log.Generations[y.rnd.IntN(len(log.Generations))], y.past
				y.remember(*reading) // it may be of a commit whose answer was lost
			}
		}
	}
	return nil
}

// hop is a machine that goes on from another, if it is not that one: the other has given the
// lease back, or it has run out.
func (y *yard) hop(from *box) *box {
	next := y.boxes[y.rnd.IntN(len(y.boxes))]
	if next != from {
		if from.e.writable() && y.rnd.IntN(2) == 0 {
			_ = from.e.lease.Release(y.t.Context(), nil)
		}
		y.advance(2 * time.Minute)
	}
	return next
}

// other is the machine beside one of two.
func (y *yard) other(a *box) *box {
	if y.boxes[0] == a {
		return y.boxes[1]
	}
	return y.boxes[0]
}

// eager brings small objects together where there are two.
func eager(live, sizes map[string]int64, _ int) []string { return store.Scattered(live, sizes, 2) }

// takenOverAt has the other machine take over, and bring old content back, at
// a's next deletion of objects.
func (y *yard) takenOverAt(a *box) func(storetest.Event) error {
	done := false
	return func(e storetest.Event) error {
		if done || e.Op != storetest.Delete || e.Done || !slices.ContainsFunc(e.Keys, func(k string) bool { return strings.Contains(k, "/o/") }) {
			return nil
		}
		done = true
		y.advance(2 * time.Minute)
		b := y.other(a)
		for range 4 {
			b.edit()
			_ = b.do(false)
			y.advance(time.Second)
		}
		return nil
	}
}

// TestCollectionLosesNothing: no collection at any time, with crashes, faults,
// hops and suspended holders, takes what a kept generation or a slow reader
// needs.
func TestCollectionLosesNothing(t *testing.T) {
	yards(t, sample.Size(2, 15), func(y *yard) error { return y.history(60) })
}

// yards runs random histories, each in a yard of its own, from a seed that is printed.
func yards(t *testing.T, usual int, history func(*yard) error) {
	t.Helper()
	sample.Long(t)
	t.Parallel()
	first, n := fromEnv("COLTEC_FIRST", rand.Uint64N(1<<32)), fromEnv("COLTEC_HISTORIES", uint64(usual))
	t.Logf("%d histories from seed %d", n, first)
	for seed := first; seed < first+n; seed++ {
		y := newYard(t, seed)
		if err := history(y); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		y.end()
	}
}

// TestCollectionMutants holds the test above: without a rule it finds a loss.
func TestCollectionMutants(t *testing.T) {
	sample.Long(t)
	const seeds = 100
	tests := map[string]struct {
		weaken func(*collection.Rules)
		first  uint64 // the seed that is tried first: one that showed a loss
	}{
		"nothing but the newest is kept": {func(r *collection.Rules) {
			r.Keep = func(gens []store.Generation, _ time.Time, _ time.Duration) []store.Generation {
				return gens[max(len(gens)-1, 0):]
			}
		}, 0},
		"what a manifest is a difference from goes": {func(r *collection.Rules) { r.Bases = false }, 1},
		"checkpoints keep nothing":                  {func(r *collection.Rules) { r.Pins = false }, 0},
		"deleted at once":                           {func(r *collection.Rules) { r.Wait = 0 }, 3},
	}
	for name, tt := range sample.Cases(t, 1, tests) {
		t.Run(name, func(t *testing.T) {
			for i := range uint64(seeds) {
				seed := (tt.first + i) % seeds
				y := newYard(t, seed)
				tt.weaken(&y.rules)
				if err := y.history(60); err != nil {
					t.Logf("seed %d: %v", seed, err)
					return
				}
				y.end()
			}
			t.Error("nothing was lost")
		})
	}
}

// TestCondemnedContentComesBack: the same bytes, sent again by the same holder
// while the first ones are condemned. A fresh mark saves them, and so does
// another name, each alone; without both they are lost.
func TestCondemnedContentComesBack(t *testing.T) {
	tests := map[string]struct {
		remark, renumber, lost bool
	}{
		"both rules":     {true, true, false},
		"no fresh mark":  {false, true, false},
		"no other names": {true, false, false},
		"neither":        {false, false, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			y := newYard(t, 1)
			y.rules.Remark, y.rules.Renumber = tt.remark, tt.renumber
			a := y.box("a")
			a.e.clock.Boot = func() time.Duration { return 0 } // it never loses the lease: one epoch
			once := strings.Repeat("once ", 20<<10)
			a.condemned(once)
			a.write(once)
			for range 3 {
				y.advance(25 * time.Hour)
				a.collect()
			}
			if err := y.lost(); err != nil != tt.lost {
				t.Error(err)
			}
		})
	}
}

// write writes the one file and pushes it.
func (b *box) write(content string) {
	b.y.t.Helper()
	err := errors.Join(os.MkdirAll(b.dir, 0o755), os.WriteFile(filepath.Join(b.dir, "f"), []byte(content), 0o644), b.do(false))
	if err != nil {
		b.y.t.Fatal(err)
	}
}

// condemned writes content, replaces it, and collects until its object is
// condemned; it returns the object's key.
func (b *box) condemned(content string) string {
	y := b.y
	y.t.Helper()
	b.write(content)
	key := ""
	for _, k := range y.bucket.Keys() {
		if strings.HasPrefix(k, "r/.coltec/o/") {
			key = strings.TrimPrefix(k, "r/.coltec/")
		}
	}
	b.write("another")
	for !strings.Contains(string(y.bucket.Body("r/.coltec/"+b.e.lease.Head().Condemned["r"].List)), key) {
		if y.advance(25 * time.Hour); y.past > 20*24*time.Hour {
			y.t.Fatal("it is never condemned")
		}
		b.collect() // replaced, then not kept any more, then condemned
	}
	return key
}

// TestACollectionWaitsForAReader: somebody who saw a generation in the log just
// before it was dropped can restore it until shortly before the grace is over,
// however often the holder collects meanwhile. Afterwards it goes.
func TestACollectionWaitsForAReader(t *testing.T) {
	y := newYard(t, 1)
	a := y.box("a")
	a.write(strings.Repeat("old ", 20<<10))
	old := y.gens[len(y.gens)-1]
	a.write("new")
	var r *history.Reader
	for kept := true; kept; {
		if y.advance(25 * time.Hour); y.past > 20*24*time.Hour {
			t.Fatal("it is never dropped")
		}
		r = y.reader(a)
		if _, err := r.Log(t.Context()); err != nil {
			t.Fatal(err)
		}
		a.collect()
		_, err := y.reader(a).At(t.Context(), fmt.Sprint(old.Number), y.now())
		kept = err == nil
	}
	for range 4 {
		y.advance(store.Grace/4 - time.Minute)
		a.collect()
	}
	g, err := r.At(t.Context(), fmt.Sprint(old.Number), y.now())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := r.Export(t.Context(), a.e.o.Replicas[0], "", g, dir, history.ExportOptions{}); err != nil {
		t.Fatalf("under a reader: %v", err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "f")); err != nil || string(got) != y.trees[old.Number]["f"] {
		t.Errorf("%d bytes were restored, %d are wanted: %v", len(got), len(y.trees[old.Number]["f"]), err)
	}
	for range 3 {
		y.advance(25 * time.Hour)
		a.collect()
	}
	if y.same(old) == nil {
		t.Error("it is still there: the collection was after something else")
	}
}

// reader reads the bucket as a program of its own.
func (y *yard) reader(b *box) *history.Reader {
	y.t.Helper()
	r, err := history.NewReader(history.Options{Workspace: b.e.o.Workspace, Replicas: b.e.o.Replicas, Host: b.e.o.Self.Host, Connect: b.e.o.Connect})
	if err != nil {
		y.t.Fatal(err)
	}
	y.t.Cleanup(r.Close)
	return r
}

// TestAFencedSweepDeletesNothingNeeded: a holder is suspended at the very
// request that deletes condemned content. Another takes over and commits the
// same bytes anew; then the request goes through.
func TestAFencedSweepDeletesNothingNeeded(t *testing.T) {
	y := newYard(t, 1)
	a, b := y.box("a"), y.box("b")
	once := strings.Repeat("once ", 20<<10)
	key := a.condemned(once)
	woken := false
	y.faults = func(e storetest.Event) error {
		if woken || e.Op != storetest.Delete || e.Done || !slices.Contains(e.Keys, "r/.coltec/"+key) {
			return nil
		}
		woken = true
		for range 10 {
			y.advance(2 * time.Minute)
			if _ = b.do(false); b.e.writable() {
				break
			}
		}
		b.write(once)
		return nil
	}
	for range 3 {
		y.advance(25 * time.Hour)
		if _ = a.do(true); woken { // it is told that it is fenced
			break
		}
	}
	y.faults = nil
	newest := y.gens[len(y.gens)-1]
	switch {
	case !woken:
		t.Fatal("it is never deleted")
	case slices.Contains(y.bucket.Keys(), "r/.coltec/"+key):
		t.Error("the deletion of the fenced holder did not go through")
	case y.trees[newest.Number]["f"] != once || newest.Number != b.e.lease.Head().Generation:
		t.Errorf("the new holder did not commit the content: generation %d", newest.Number)
	}
	if err := errors.Join(y.same(newest), y.lost()); err != nil {
		t.Error(err)
	}
}

// collect collects garbage now.
func (b *box) collect() {
	b.y.t.Helper()
	if err := b.do(true); err != nil {
		b.y.t.Fatal(err)
	}
}

// TestCollectionDeletes: what nothing needs any more goes, in time.
func TestCollectionDeletes(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	y := newYard(t, 1)
	a := y.box("a")
	for i := range 100 {
		a.write(fmt.Sprint("content ", i))
		a.collect()
		y.advance(10 * time.Minute)
	}
	before := len(y.bucket.Keys())
	for range 20 {
		y.advance(25 * time.Hour)
		a.collect()
	}
	after := y.bucket.Keys()
	if len(after) > 12 {
		t.Errorf("of %d objects %d are left: %v", before, len(after), after)
	}
	if err := y.lost(); err != nil {
		t.Error(err)
	}
	if h := a.e.lease.Head(); h.Collection == 0 || len(h.Recent) != 1 {
		t.Errorf("the head is %+v", h)
	}
	a.write("content 3") // it comes back
	if err := y.lost(); err != nil {
		t.Error(err)
	}
}

// One replica that could not be read ended a collection for all. The others are collected; of
// the broken one nothing goes, nor a generation, which may be the last that has it whole. Once it
// is read again, all of it goes as ever.
func TestACollectionBesideABrokenReplica(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	for name, tt := range map[string]struct {
		breaks func(e storetest.Event) bool
		unread bool // what it needs cannot be known
		before bool // it is broken when the machine starts
	}{
		"nothing of it answers":              {func(storetest.Event) bool { return true }, true, false},
		"nothing of it answered from before": {func(storetest.Event) bool { return true }, true, true},
		"a manifest is not there":            {func(e storetest.Event) bool { return strings.Contains(e.Keys[0], "/m/") }, true, false},
		"it cannot be listed":                {func(e storetest.Event) bool { return e.Op == storetest.List }, false, false},
		"nothing in it goes":                 {func(e storetest.Event) bool { return e.Op == storetest.Delete }, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			y := newYard(t, 1)
			y.beside = []scope.Replica{{Name: "m", Layout: "snapshot", Direction: scope.Bidirectional}}
			a := y.box("a")
			must(os.MkdirAll(a.tree("m"), 0o755))
			save := func(i int) {
				must(os.WriteFile(filepath.Join(a.tree("m"), "g"), fmt.Append(nil, "beside ", i), 0o644))
				a.write(fmt.Sprint("content ", i))
				y.advance(time.Minute)
			}
			of := func(prefix string) (keys []string) {
				for _, key := range y.bucket.Keys() {
					if strings.HasPrefix(key, prefix+"/.coltec/") {
						keys = append(keys, key)
					}
				}
				return keys
			}
			collect := func() (Collected, error) {
				now, err := a.e.lease.StoreTime(t.Context())
				must(err)
				done, err := collecting{a.e.loop}.collectNow(t.Context(), now)
				y.note(a.e)
				return done, err
			}
			for i := range 6 {
				save(i)
			}
			y.advance(8 * 24 * time.Hour) // all but the newest are kept no longer
			must(a.do(true))
			for i := range 6 {
				save(100 + i)
			}
			y.advance(8 * 24 * time.Hour)
			must(a.do(false))
			before, beside := len(of("r")), of("m")
			breaks := func(e storetest.Event) error {
				if !e.Done && slices.ContainsFunc(e.Keys, func(key string) bool { return strings.HasPrefix(key, "m/") }) && tt.breaks(e) {
					return errors.New("a fault")
				}
				return nil
			}
			why := "a fault"
			if tt.before {
				must(os.RemoveAll(filepath.Join(a.tree("m"), localfs.Dir)))
				y.faults, why = breaks, "it is not restored here"
			}
			if tt.unread { // else it is not asked for
				must(os.RemoveAll(filepath.Join(a.tree("m"), localfs.Dir, "manifests")))
				a.restart()
				if err := a.do(false); err != nil && !tt.before {
					t.Fatal(err)
				}
			}
			y.faults = breaks
			log, err := store.ReadLog(t.Context(), y.bucket, a.e.lease.Head(), "")
			must(err)
			done, err := collect()
			if err != nil || len(done.Failed) != 1 || !strings.Contains(done.Failed["m"], why) || tt.unread != (done.Dropped == 0) || done.Kept+done.Dropped != len(log.Generations) {
				t.Fatalf("of %d generations: %+v, %v", len(log.Generations), done, err)
			}
			if done.Deleted == 0 || len(of("r")) >= before {
				t.Errorf("nothing of the other one went: %+v, %d objects of %d", done, len(of("r")), before)
			}
			gone := slices.DeleteFunc(slices.Clone(beside), func(key string) bool { return slices.Contains(of("m"), key) })
			if tt.unread && len(gone) > 0 {
				t.Errorf("of the broken one went %q", gone)
			}
			for _, g := range log.Generations[done.Dropped:] {
				if err := y.same(g); err != nil {
					t.Errorf("a generation that is still there: %v", err)
				}
			}
			y.faults = nil
			if tt.before {
				y.advance(time.Hour)
				must(a.do(false))
			}
			for range 3 {
				y.advance(49 * time.Hour)
				if done, err = collect(); err != nil || len(done.Failed) > 0 {
					t.Fatalf("%+v, %v", done, err)
				}
			}
			if len(of("m")) >= len(beside) || len(a.e.lease.Head().Recent) != 1 {
				t.Errorf("once it is read again: %d objects of %d, %d generations", len(of("m")), len(beside), len(a.e.lease.Head().Recent))
			}
			y.faults = func(e storetest.Event) error {
				if !e.Done && slices.ContainsFunc(e.Keys, func(key string) bool { return strings.HasPrefix(key, "m/") || strings.HasPrefix(key, "r/") }) {
					return errors.New("a fault")
				}
				return nil
			}
			if _, err := collect(); err == nil || !strings.Contains(err.Error(), "replica r: ") || !strings.Contains(err.Error(), "replica m: ") {
				t.Errorf("where each is broken: %v", err)
			}
		})
	}
}
