package engine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/digest"
	"github.com/coltec/coltec/pkg/fleet"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/store/storetest"
)

// reading is the root of a bucket that notes whether a head was read.
type reading struct {
	scope.Remote
	read bool
}

func (r *reading) Download(ctx context.Context, keys []string, dir string, progress store.Progress) (rclone.Transfer, error) {
	r.read = true
	return r.Remote.Download(ctx, keys, dir, progress)
}

// onlooker looks at a bucket as another machine does.
type onlooker struct {
	t    *testing.T
	root scope.Remote
}

// sees waits until the one workspace of the bucket is as wanted, by what the listing says alone.
func (o onlooker) sees(what string, wanted func(fleet.Row) bool) {
	o.t.Helper()
	o.waits(what, func(ctx context.Context) (bool, any) {
		b := &reading{Remote: o.root}
		seen, _, err := fleet.Heads(ctx, b, time.Now(), time.Minute, time.Minute)
		if err != nil {
			o.t.Fatalf("%s: %v", what, err)
		}
		rows := fleet.Rows(nil, seen, time.Now())
		return len(rows) == 1 && wanted(rows[0]) && !b.read, rows
	})
}

// waits looks until what is wanted is there; instead is what is.
func (o onlooker) waits(what string, look func(context.Context) (is bool, instead any)) {
	o.t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(o.t.Context(), 5*time.Minute) // what a slow store has not done is tried again when the pace allows it
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		is, instead := look(ctx)
		if is {
			o.t.Logf("%s: seen after %.1f s", what, time.Since(began).Seconds())
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			o.t.Fatalf("%s is not seen: %+v", what, instead)
		}
	}
}

// digests are the digests that lie in the bucket.
func (o onlooker) digests() (names []string) {
	o.t.Helper()
	list, err := o.root.List(o.t.Context(), ".coltec/fleet")
	if err != nil {
		o.t.Fatal(err)
	}
	for _, x := range list {
		if _, name, is := store.SplitDigestKey(path.Join(".coltec/fleet", x.Key)); is {
			names = append(names, name)
		}
	}
	return names
}

// runs runs an engine. stop has it give the lease back.
func runs(t *testing.T, o Options) (e *Engine, stop func()) {
	t.Helper()
	e = New(o)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
	return e, stop
}

// What the holder of a lease says is seen by who lists the bucket, without a look at the head:
// that it is held, what an agent waits for, a checkpoint, that it was given back, who has it
// next. What another says in a lease that has ended does not count, and nothing is left there.
func TestHerald(t *testing.T) {
	connect := realRemotes(t, s3test.Start(t))
	root, err := connect(t.Context(), scope.Target{})
	if err != nil {
		t.Fatal(err)
	}
	look := onlooker{t, root}
	at := func(host string) Options {
		o := optionsAt(filepath.Join(t.TempDir(), host), connect)
		o.Self.Host, o.Announce = host, true
		write(t, o.Replicas[0].Path, "note", host)
		return o
	}
	a, stop := runs(t, at("a"))
	look.sees("it is held", func(r fleet.Row) bool { return r.State == fleet.Elsewhere && r.Where == "a" && r.Needs == "" })
	waits := digest.Digest{Needs: []status.Need{status.NeedAnswer}, Agents: []digest.Agent{{Name: "claude", State: status.AgentWaits}}}
	a.Tell(waits)
	look.sees("an agent asks", func(r fleet.Row) bool { return r.Needs == status.NeedAnswer && len(r.Agents) == 1 })
	if _, err := a.Checkpoint(t.Context(), "here", ""); err != nil {
		t.Fatal(err)
	}
	look.sees("a checkpoint", func(r fleet.Row) bool { return r.Checkpoint != nil && r.Checkpoint.Name == "here" })
	late := look.digests()
	a.Tell(digest.Digest{Conflicts: 2, Needs: []status.Need{status.NeedConflicts}, Only: []digest.Part{{Reason: account.Unread, Count: 1}}})
	look.sees("a conflict", func(r fleet.Row) bool {
		return r.Needs == status.NeedConflicts && r.Conflicts == 2 && len(r.OnlyHere) == 1
	})
	look.waits("one digest is there, those before it are deleted", func(context.Context) (bool, any) {
		names := look.digests()
		return len(names) == 1, names
	})
	stop()
	look.sees("it was given back", func(r fleet.Row) bool {
		return r.State == fleet.Free && r.Needs == status.NeedConflicts && len(r.Agents) == 0
	})

	b, stop := runs(t, at("b"))
	look.sees("another has it", func(r fleet.Row) bool { return r.State == fleet.Elsewhere && r.Where == "b" && r.Needs == "" })
	for _, name := range late {
		if err := root.PutIf(t.Context(), store.DigestKey("acme/widget/dev", name), []byte(store.DigestBody), rclone.Cond{}); err != nil {
			t.Fatal(err)
		}
	}
	look.sees("still", func(r fleet.Row) bool { return r.Where == "b" && r.Needs == "" })
	b.Tell(waits)
	look.sees("an agent asks there", func(r fleet.Row) bool { return r.Needs == status.NeedAnswer })
	stop()
	look.sees("all is over", func(r fleet.Row) bool { return r.State == fleet.Free })
	head, err := store.ReadHead(t.Context(), root, "acme/widget/dev")
	if err != nil {
		t.Fatal(err)
	}
	known := head.DigestNames()
	for _, name := range look.digests() {
		if !strings.Contains(strings.Join(append(known, late...), " "), name) {
			t.Errorf("nobody knows of %s", name)
		}
	}
	if err := store.SweepDigests(t.Context(), root, head.Workspace, known, time.Now().Add(store.Grace+time.Minute)); err != nil {
		t.Fatal(err)
	}
	if names := look.digests(); len(names) > len(known) {
		t.Errorf("%q are left, and %q known", names, known)
	}
}

// However much goes back and forth, digests are written six at once and then one a minute, never
// two within three seconds; what somebody is needed for does not wait behind what is of no
// urgency.
func TestPace(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		var p pace
		var times []time.Time
		began := time.Unix(1.8e9, 0)
		now := began
		for now.Before(began.Add(time.Hour)) {
			now = now.Add(time.Duration(rnd.Int64N(int64(7 * time.Second))))
			if next := p.next(rnd.IntN(2) == 0); !next.After(now) {
				p = p.taken(now)
				times = append(times, now)
			}
		}
		for i := range times {
			if i > 0 && times[i].Sub(times[i-1]) < paceGap {
				t.Fatalf("two within %s", times[i].Sub(times[i-1]))
			}
			for j := i; j < len(times); j++ {
				if n, most := j-i+1, paceMost+int(times[j].Sub(times[i])/paceEvery)+1; n > most {
					t.Fatalf("%d within %s", n, times[j].Sub(times[i]))
				}
			}
		}
		if len(times) < 60 {
			t.Fatalf("%d within an hour in which something always changed", len(times))
		}
	}
	var p pace
	now := time.Unix(1.8e9, 0)
	n := 0
	for ; !p.next(false).After(now); n++ {
		p, now = p.taken(now), now.Add(paceGap)
	}
	if pressing := p.next(true); n != paceMost-paceKept || pressing.After(now) {
		t.Errorf("after %d somebody who waits is told of at %s, and it is %s", n, pressing, now)
	}
}

// heralds is a machine in memory that says how its workspace is, and what it asks for of digests.
func heralds(t *testing.T) (y *yard, b *box, asked map[storetest.Op]int) {
	y = newYard(t, 1)
	b, asked = y.box("a"), map[storetest.Op]int{}
	b.e.o.Announce = true
	y.faults = func(e storetest.Event) error {
		if !e.Done && strings.Contains(strings.Join(e.Keys, " "), "/digest/") {
			asked[e.Op] += len(e.Keys)
		}
		return nil
	}
	b.write("content")
	return y, b, asked
}

// refuse has the store refuse an operation on digests.
func (y *yard) refuse(op storetest.Op) {
	count := y.faults
	y.faults = func(e storetest.Event) error {
		if err := count(e); err != nil {
			return err
		}
		if e.Op == op && !e.Done && strings.Contains(strings.Join(e.Keys, " "), "/digest/") {
			return &rclone.Error{Op: string(op), Key: e.Keys[0], Exit: 1, Class: rclone.Unauthorized, Text: "AccessDenied"}
		}
		return nil
	}
}

// A key that may not delete fills no head with the names of digests, and asks for what it may not
// do now and then alone: saves go on, and who looks sees the last digest.
func TestHeraldMayNotDelete(t *testing.T) {
	y, b, asked := heralds(t)
	y.refuse(storetest.Delete)
	const hours = 8
	for i := range hours * 120 {
		y.advance(time.Minute / 2)
		b.e.Tell(digest.Digest{Conflicts: []int64{1, 10, 100}[i%3]})
		if err := b.do(false); err != nil {
			t.Fatal(err)
		}
	}
	head, err := store.ReadHead(t.Context(), y.bucket, "o/p/e")
	if err != nil {
		t.Fatal(err)
	}
	if written := asked[storetest.Put]; written < hours*50 || len(head.Digests) > 32 || len(y.bucket.Body(store.HeadKey("o/p/e"))) > 16<<10 {
		t.Errorf("%d were written; the head has %d bytes and names %d of them", written, len(y.bucket.Body(store.HeadKey("o/p/e"))), len(head.Digests))
	}
	if n := asked[storetest.Delete]; n == 0 || n > hours*6*32 {
		t.Errorf("%d were to be deleted", n)
	}
	seen, _, err := fleet.Heads(t.Context(), y.bucket, y.now(), time.Minute, time.Minute)
	if err != nil || len(seen) != 1 || seen[0].Digest.Conflicts == 0 {
		t.Errorf("%+v, %v", seen, err)
	}
	written := asked[storetest.Put]
	for range 3 * 120 { // nothing is new
		y.advance(time.Minute / 2)
		must(b.do(false))
	}
	if more := asked[storetest.Put] - written; more > 1 {
		t.Errorf("in three hours in which nothing was new %d were written", more)
	}
	y.faults = nil
	y.advance(refusedRests + time.Minute)
	b.e.Tell(digest.Digest{Conflicts: 500})
	if err := b.do(false); err != nil {
		t.Fatal(err)
	}
	y.advance(store.Grace + time.Hour)
	b.e.Tell(digest.Digest{Conflicts: 1000})
	b.collect()
	if left := y.digests(); len(left) > 2 { // the last lease's, and the first of this
		t.Errorf("once it may delete, %d are left", len(left))
	}
}

// digests are the keys of those that lie in the bucket.
func (y *yard) digests() []string {
	return slices.DeleteFunc(y.bucket.Keys(), func(key string) bool { return !strings.Contains(key, "/digest/") })
}

// A key that may not write digests asks now and then whether it may; once it may, it does.
func TestHeraldMayNotWrite(t *testing.T) {
	y, b, asked := heralds(t)
	y.refuse(storetest.Put)
	before := asked[storetest.Put]
	for i := range 120 {
		y.advance(time.Minute / 2)
		b.e.Tell(digest.Digest{Conflicts: []int64{1, 10, 100}[i%3]})
		if err := b.do(false); err != nil {
			t.Fatal(err)
		}
	}
	if n := asked[storetest.Put] - before; n == 0 || n > 7 {
		t.Errorf("in an hour it tried %d times", n)
	}
	y.faults = nil
	y.advance(refusedRests + time.Minute)
	b.e.Tell(digest.Digest{Conflicts: 100})
	if err := b.do(false); err != nil {
		t.Fatal(err)
	}
	seen, _, err := fleet.Heads(t.Context(), y.bucket, y.now(), time.Minute, time.Minute)
	if err != nil || len(seen) != 1 || seen[0].Digest.Conflicts != 100 {
		t.Errorf("%+v, %v", seen, err)
	}
}

// A store that is out of reach for a moment is told again as soon as the pace allows it.
func TestHeraldOfAStoreThatIsAway(t *testing.T) {
	y, b, _ := heralds(t)
	count := y.faults
	y.faults = func(e storetest.Event) error {
		if e.Op == storetest.Put && !e.Done && strings.Contains(e.Keys[0], "/digest/") {
			return &rclone.Error{Op: "put", Key: e.Keys[0], Exit: 1, Class: rclone.Unreachable, Text: "no route"}
		}
		return count(e)
	}
	y.advance(time.Minute / 2)
	waits := digest.Digest{Needs: []status.Need{status.NeedAnswer}}
	b.e.Tell(waits)
	if err := b.do(false); err != nil {
		t.Fatal(err)
	}
	y.faults = nil
	y.advance(paceGap)
	if err := b.do(false); err != nil {
		t.Fatal(err)
	}
	seen, _, err := fleet.Heads(t.Context(), y.bucket, y.now(), time.Minute, time.Minute)
	if err != nil || len(seen) != 1 || !slices.Contains(seen[0].Digest.Needs, status.NeedAnswer) {
		t.Errorf("%+v, %v", seen, err)
	}
}

// What could not be deleted was there until something else was to be told: hours, of a workspace in
// which nothing happens.
func TestHeraldDeletesLater(t *testing.T) {
	y, b, asked := heralds(t)
	count := y.faults
	during := func(long time.Duration) { // it keeps its lease
		for range long / (time.Minute / 2) {
			y.advance(time.Minute / 2)
			must(b.do(false))
		}
	}
	tell := func(n int64) {
		b.e.Tell(digest.Digest{Conflicts: n})
		during(time.Minute)
	}
	tell(1)
	y.faults = func(e storetest.Event) error {
		if e.Op == storetest.Delete && !e.Done && strings.Contains(e.Keys[0], "/digest/") {
			return &rclone.Error{Op: "delete", Key: e.Keys[0], Exit: 1, Class: rclone.Unreachable, Text: "no route"}
		}
		return count(e)
	}
	tell(10)
	if there := y.digests(); len(there) < 2 {
		t.Fatalf("%q are there", there)
	}
	y.faults = count
	during(5 * time.Minute)
	if there := y.digests(); len(there) != 1 {
		t.Errorf("%q are there", there)
	}
	written := asked[storetest.Put]
	during(time.Hour)
	if more := asked[storetest.Put] - written; more > 0 {
		t.Errorf("%d more were written", more)
	}
}

// Checkpoints that are made one after the other cost no digest between them: the newest is told of
// once two seconds pass without another one, and each minute where none do. What somebody is
// needed for does not wait for that.
func TestHeraldOfCheckpoints(t *testing.T) {
	y, b, asked := heralds(t)
	n := 0
	edit := func() { // as many bytes as before
		if err := os.WriteFile(filepath.Join(b.dir, "f"), fmt.Appendf(nil, "%07d", n), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	series := func(every time.Duration, times int) (digests int) {
		t.Helper()
		was := asked[storetest.Put]
		for range times {
			y.advance(every)
			n++
			edit()
			if _, err := (naming{b.e.loop}).checkpoint(t.Context(), fmt.Sprintf("c%d", n), ""); err != nil {
				t.Fatal(err)
			}
			if n > 50 { // a hundred fit
				if err := (naming{b.e.loop}).removeCheckpoint(t.Context(), fmt.Sprintf("c%d", n-50)); err != nil {
					t.Fatal(err)
				}
			}
			heralding{&b.e.tenure}.announce(t.Context())
		}
		return asked[storetest.Put] - was
	}
	rest := func() (digests int) {
		was := asked[storetest.Put]
		for range 5 {
			y.advance(time.Second)
			heralding{&b.e.tenure}.announce(t.Context())
		}
		return asked[storetest.Put] - was
	}
	newest := func() string {
		seen, _, err := fleet.Heads(t.Context(), y.bucket, y.now(), time.Minute, time.Minute)
		if err != nil || len(seen) != 1 {
			t.Fatal(seen, err)
		}
		return seen[0].Digest.Checkpoint
	}
	pass := func() { // long enough for the pace to have all again
		y.advance(10 * time.Minute)
		if err := b.do(false); err != nil {
			t.Fatal(err)
		}
		rest()
	}
	pass()
	if one, then := series(time.Second, 1), rest(); one != 0 || then != 1 || newest() != "c1" {
		t.Errorf("of one checkpoint %d were written at once, %d within five seconds, and it says %q", one, then, newest())
	}
	pass()
	if many, then := series(time.Second/2, 40), rest(); many != 0 || then != 1 || newest() != "c41" {
		t.Errorf("between 40 checkpoints %d were written, %d after them, and it says %q", many, then, newest())
	}
	pass()
	if many := series(time.Second, 190); many != 3 {
		t.Errorf("in three minutes of checkpoints %d were written", many)
	}
	rest()
	series(time.Second, 2)
	b.e.Tell(digest.Digest{Needs: []status.Need{status.NeedAnswer}})
	if n := series(time.Second, 1); n != 1 {
		t.Errorf("of an agent that asks %d were written", n)
	}
}

// What else was to be told, and waited, counted as a checkpoint that nobody had been told of: the first one
// after it was told of before it had rested.
func TestHeraldOfNoCheckpoint(t *testing.T) {
	y, b, asked := heralds(t)
	y.advance(10 * time.Minute)
	must(b.do(false))
	h := &b.e.herald
	h.pace = pace{last: y.now().Add(55 * time.Second)}
	announced := func() (digests int) {
		was := asked[storetest.Put]
		heralding{&b.e.tenure}.announce(t.Context())
		return asked[storetest.Put] - was
	}
	b.e.Tell(digest.Digest{Conflicts: 10})
	if n := announced(); n != 0 || !h.named.first.IsZero() {
		t.Errorf("%d were written, and a checkpoint is not told of since %s", n, h.named.first)
	}
	y.advance(30 * time.Second)
	must(b.do(false)) // the lease is renewed
	y.advance(29 * time.Second)
	b.e.Tell(digest.Digest{})
	if _, err := (naming{b.e.loop}).checkpoint(t.Context(), "c", ""); err != nil {
		t.Fatal(err)
	}
	var written []int
	for range 3 {
		written = append(written, announced())
		y.advance(time.Second)
	}
	if fmt.Sprint(written) != "[0 0 1]" {
		t.Errorf("second by second %d were written", written)
	}
}

// A checkpoint renews the lease with the write that names it, and with no other.
func TestCheckpointRenews(t *testing.T) {
	y, b, _ := heralds(t)
	heads := 0
	y.faults = func(e storetest.Event) error {
		if !e.Done && e.Op == storetest.Put && strings.HasSuffix(e.Keys[0], "head.json") {
			heads++
		}
		return nil
	}
	for i, edited := range []bool{true, false} {
		y.advance(b.e.o.LeaseRenew + time.Second)
		if edited {
			b.edit()
		}
		if _, err := (naming{b.e.loop}).checkpoint(t.Context(), fmt.Sprintf("c%d", i), ""); err != nil {
			t.Fatal(err)
		}
		b.e.keepLease(t.Context())
		if heads != 1 {
			t.Errorf("edited %v: the head was written %d times", edited, heads)
		}
		heads = 0
	}
}
