package engine

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/collection"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/store/storetest"
)

// TestRepack: many files leave a pack and few stay in it. The next collection
// brings those elsewhere, as a generation like any other: nothing else changes,
// old generations stay readable, and when they are not kept any more the pack
// goes, with what it cost.
func TestRepack(t *testing.T) {
	sample.Long(t)
	y := newYard(t, 1)
	a := y.box("a")
	rnd := rand.NewChaCha8([32]byte{1})
	fill := func(from, to int) {
		for i := from; i < to; i++ {
			noise := make([]byte, 60<<10)
			_, _ = rnd.Read(noise)
			if err := os.WriteFile(filepath.Join(a.dir, fmt.Sprintf("f%02d", i)), noise, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.do(false); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(a.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	fill(0, 40)
	old := y.only("r/.coltec/o/")
	fill(5, 40)
	generations := len(y.gens)
	y.advance(25 * time.Hour)
	if err := a.do(true); err != nil {
		t.Fatal(err)
	}
	if err := a.do(false); err != nil {
		t.Fatal(err)
	}
	if len(y.gens) != generations+1 {
		t.Fatalf("%d generations, %d before it", len(y.gens), generations)
	}
	now, before := y.gens[generations], y.gens[generations-1]
	if fmt.Sprint(y.trees[now.Number]) != fmt.Sprint(y.trees[before.Number]) {
		t.Error("a repacked tree is another")
	}
	if live, err := a.e.members[0].rep.Base().Live(); err != nil || live[old] != 0 || len(live) != 2 {
		t.Errorf("the tree lies in %v, %v", live, err)
	}
	if err := y.lost(); err != nil {
		t.Error(err)
	}
	for range 15 {
		y.advance(25 * time.Hour)
		if err := a.do(true); err != nil {
			t.Fatal(err)
		}
	}
	if err := y.same(now); err != nil {
		t.Error(err)
	}
	if len(y.gens) != generations+1 {
		t.Errorf("it was repacked again: %d generations", len(y.gens))
	}
	for _, key := range y.bucket.Keys() {
		if key == "r/.coltec/"+old {
			t.Error("the old pack is still there")
		}
	}
}

// only is the one object whose key has a part.
func (y *yard) only(part string) string {
	y.t.Helper()
	var found []string
	for _, key := range y.bucket.Keys() {
		if strings.Contains(key, part) {
			found = append(found, strings.TrimPrefix(key, "r/.coltec/"))
		}
	}
	if len(found) != 1 {
		y.t.Fatalf("objects: %q", found)
	}
	return found[0]
}

// TestGather: many saves, each an object of its own, are brought together by the
// next collection. Every generation stays readable, and who restores gets the
// same tree. What was brought together is left alone for as long as what comes
// is small beside it.
func TestGather(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	tests := map[string]struct {
		small func(live, sizes map[string]int64, few int) []string
		want  string
	}{
		"as it is": {store.Scattered, ""},
		"nothing is chosen": {func(_, _ map[string]int64, _ int) []string { return nil },
			"20 objects are left of 20"},
		"all, however often": {func(live, _ map[string]int64, _ int) []string { return slices.Collect(maps.Keys(live)) },
			"they were copied"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			y := newYard(t, 1)
			y.rules.Small = tt.small
			err := y.gathers(20, 8)
			if err == nil {
				err = y.fetches()
			}
			if err == nil && tt.want == "" {
				return
			}
			if err == nil || tt.want == "" || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// One replica that could not be repacked made an error of the whole answer of a collection. It is among
// those that failed, with the reason, and the other one is repacked; the next collection does the rest.
func TestARepackBesideABrokenReplica(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	for name, breaks := range map[string]func(e storetest.Event) bool{
		"its objects cannot be fetched": func(e storetest.Event) bool { return e.Op == storetest.Download },
		"its copies cannot be sent":     func(e storetest.Event) bool { return e.Op == storetest.Upload || e.Op == storetest.Put },
		"nothing of it can be copied":   func(e storetest.Event) bool { return e.Op == storetest.Download || e.Op == storetest.Copy },
	} {
		t.Run(name, func(t *testing.T) {
			y := newYard(t, 1)
			y.beside = []scope.Replica{{Name: "m", Layout: "snapshot", Direction: scope.Bidirectional}}
			a := y.box("a")
			must(os.MkdirAll(a.tree("m"), 0o755))
			for i := range 20 {
				must(os.WriteFile(filepath.Join(a.tree("m"), fmt.Sprint(i)), fmt.Append(nil, "beside ", i), 0o644))
				y.advance(time.Second)
				must(a.save(fmt.Sprint(i)))
				must(a.do(false))
			}
			scattered := func(want map[string]bool) {
				t.Helper()
				for _, m := range a.e.members {
					if live, err := m.rep.Base().Live(); err != nil || (len(live) > collection.Few) != want[m.Name] {
						t.Errorf("%s lies in %d objects: %v", m.Name, len(live), err)
					}
				}
			}
			collect := func() Collected {
				t.Helper()
				y.advance(25 * time.Hour)
				now, err := a.e.lease.StoreTime(t.Context())
				must(err)
				done, err := collecting{a.e.loop}.collectNow(t.Context(), now)
				if err != nil {
					t.Errorf("a collection is an error: %v", err)
				}
				must(a.do(false))
				return done
			}
			scattered(map[string]bool{"r": true, "m": true})
			y.faults = func(e storetest.Event) error {
				if !e.Done && slices.ContainsFunc(e.Keys, func(key string) bool { return strings.HasPrefix(key, "m/.coltec/o/") }) && breaks(e) {
					return errors.New("a fault")
				}
				return nil
			}
			done := collect()
			if len(done.Failed) != 1 || !strings.HasPrefix(done.Failed["m"], "cannot repack: ") || !strings.Contains(done.Failed["m"], "a fault") || done.Kept == 0 {
				t.Errorf("%+v", done)
			}
			scattered(map[string]bool{"m": true})
			y.faults = nil
			if done = collect(); len(done.Failed) > 0 {
				t.Errorf("%+v", done)
			}
			scattered(nil)
		})
	}
}

// TestGatherBetweenCollections: very many small objects do not wait for the day to
// go by. A person who waits for a sync does not wait for that.
func TestGatherBetweenCollections(t *testing.T) {
	sample.Long(t)
	y := newYard(t, 1)
	y.rules.Many = 20
	a := y.box("a")
	if err := a.do(false); err != nil {
		t.Fatal(err)
	}
	save := func(want int, names ...string) {
		t.Helper()
		for _, name := range names {
			y.advance(time.Second)
			if err := a.save(name); err != nil {
				t.Fatal(err)
			}
		}
		if live, err := a.e.members[0].rep.Base().Live(); err != nil || len(live) != want {
			t.Fatalf("the tree lies in %d objects, not %d: %v", len(live), want, err)
		}
	}
	due := func() { a.e.collectAt = time.Time{} }
	for i := range 19 {
		save(i+1, fmt.Sprintf("f%02d", i))
	}
	due()
	a.e.round(t.Context())
	save(20, "f19")
	if err := os.WriteFile(filepath.Join(a.dir, "f20"), []byte("waits"), 0o644); err != nil {
		t.Fatal(err)
	}
	due()
	go func() {
		c := <-a.e.commands
		c.do()
		close(c.done)
	}()
	if err := a.e.Sync(t.Context(), nil, SyncOptions{}); err != nil {
		t.Fatal(err)
	}
	save(21)
	generation := a.e.lease.Head().Generation
	a.e.round(t.Context())
	if save(1); a.e.lease.Head().Generation != generation+1 {
		t.Errorf("generation %d, %d before", a.e.lease.Head().Generation, generation)
	}
	due()
	a.e.round(t.Context())
	if a.e.lease.Head().Generation != generation+1 {
		t.Error("it was done again")
	}
	if err := y.fetches(); err != nil {
		t.Error(err)
	}
}

// TestGatherKeepsWhatIsPending: what was seen and could not be pushed is still told
// to who gets the lease.
func TestGatherKeepsWhatIsPending(t *testing.T) {
	y := newYard(t, 1)
	a := y.box("a")
	if err := a.do(false); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		y.advance(time.Second)
		if err := a.save(fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	a.e.rules.Small = eager
	a.e.members[0].report.here.AddCount(account.Deferred, 7, "")
	generation := a.e.lease.Head().Generation
	if err := (collecting{a.e.loop}).gather(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if n := a.e.members[0].report.here.Count(); n != 7 || a.e.lease.Head().Generation != generation+1 {
		t.Errorf("%d changes are pending in generation %d", n, a.e.lease.Head().Generation)
	}
}

// TestGatherElsewhere: a machine that had it all fetches no content again, and what
// was edited there meanwhile is not a conflict.
func TestGatherElsewhere(t *testing.T) {
	y := newYard(t, 1)
	a, b := y.box("a"), y.box("b")
	hop := func(from, to *box) {
		t.Helper()
		if err := errors.Join(from.e.lease.Release(t.Context(), nil), to.do(false)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(a.do(false), a.save("1"), a.save("2"), a.save("3")); err != nil {
		t.Fatal(err)
	}
	hop(a, b)
	hop(b, a)
	a.e.rules.Small = eager
	if err := (collecting{a.e.loop}).gather(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	y.note(a.e)
	if err := os.WriteFile(filepath.Join(b.dir, "2"), []byte("edited at b"), 0o644); err != nil {
		t.Fatal(err)
	}
	var fetched []string
	y.faults = func(e storetest.Event) error {
		for _, key := range e.Keys {
			if e.Op == storetest.Download && e.Done && strings.Contains(key, "/o/") {
				fetched = append(fetched, key)
			}
		}
		return nil
	}
	hop(a, b)
	y.faults = nil
	if len(fetched) > 0 {
		t.Errorf("fetched again: %q", fetched)
	}
	want := map[string]string{"1": "a save of 1", "2": "edited at b", "3": "a save of 3"}
	if got := y.trees[b.e.lease.Head().Generation]; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the tree is %v, not %v", got, want)
	}
	if n := b.e.members[0].report.totals.conflicts; n > 0 {
		t.Errorf("%d conflicts", n)
	}
}

// TestGatherOfNoTree: the tree is gone for the moment, as an unmounted volume is.
// It is not made anew.
func TestGatherOfNoTree(t *testing.T) {
	y := newYard(t, 1)
	a := y.box("a")
	if err := errors.Join(a.do(false), a.save("1"), a.save("2"), a.save("3"), os.RemoveAll(a.dir)); err != nil {
		t.Fatal(err)
	}
	a.e.rules.Small = eager
	generation := a.e.lease.Head().Generation
	if err := (collecting{a.e.loop}).gather(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(a.dir); err == nil || a.e.lease.Head().Generation != generation {
		t.Errorf("the tree is there: %v, generation %d", err == nil, a.e.lease.Head().Generation)
	}
}

// gathers saves so many files one after the other and collects, so many times,
// and says what is not as it should be.
func (y *yard) gathers(saves, times int) error {
	a := y.box("a")
	if err := a.do(false); err != nil {
		return err
	}
	var copied, saved int
	for round := range times {
		for i := range saves {
			y.advance(time.Second)
			if err := a.save(fmt.Sprintf("%02d/%03d", round, i)); err != nil {
				return err
			}
		}
		there := y.objects()
		y.advance(25 * time.Hour)
		if err := errors.Join(a.do(true), a.do(false)); err != nil {
			return err
		}
		live, err := a.e.members[0].rep.Base().Live()
		if err != nil {
			return err
		}
		if len(live) > collection.Few {
			return fmt.Errorf("%d objects are left of %d", len(live), saves)
		}
		for key := range live {
			if !there[key] {
				copied += len(y.bucket.Body("r/.coltec/" + key))
			}
		}
		saved += saves
	}
	if times := float64(copied) / float64(saved*len("a save of 00/000")); times > 3 {
		return fmt.Errorf("they were copied %.1f times", times)
	}
	return nil
}

// save writes a file of its own content and pushes it, without a look at what
// came of it.
func (b *box) save(name string) error {
	file := filepath.Join(b.dir, name)
	err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte("a save of "+name), 0o644))
	b.e.leaseAt = time.Time{}
	b.e.stepMember(b.e.members[0], evSoon{})
	b.e.cycles(b.y.t.Context())
	return errors.Join(err, b.e.members[0].course.err, b.e.leaseErr)
}

// objects are all objects with content.
func (y *yard) objects() map[string]bool {
	there := map[string]bool{}
	for _, key := range y.bucket.Keys() {
		if key, ok := strings.CutPrefix(key, "r/.coltec/"); ok && strings.HasPrefix(key, "o/") {
			there[key] = true
		}
	}
	return there
}

// fetches has all kept generations read, and another machine restore.
func (y *yard) fetches() error {
	a, b := y.boxes[0], y.box("b")
	if err := errors.Join(y.lost(), a.e.lease.Release(y.t.Context(), nil)); err != nil {
		return err
	}
	downloads := 0
	y.faults = func(e storetest.Event) error {
		if e.Op == storetest.Download && e.Done {
			downloads += len(e.Keys)
		}
		return nil
	}
	defer func() { y.faults = nil }()
	if err := b.do(false); err != nil {
		return err
	}
	if downloads > 2*collection.Few {
		return fmt.Errorf("a restore fetched %d objects", downloads)
	}
	for path, content := range y.trees[y.gens[len(y.gens)-1].Number] {
		if got, err := os.ReadFile(filepath.Join(b.dir, path)); err != nil || string(got) != content {
			return fmt.Errorf("%q was restored as %q, not %q: %w", path, got, content, err)
		}
	}
	return nil
}
