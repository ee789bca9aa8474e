package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/store/storetest"
	"github.com/coltec/coltec/pkg/watch"
)

// TestAStopDuringAHandOver: the end cut off the push of a hand-over, and the lease was given
// back before the last push: who asked for it had an older state, and was not told so.
func TestAStopDuringAHandOver(t *testing.T) {
	y := newYard(t, 1)
	a, b := y.box("a"), y.box("b")
	a.put("f", []byte("f"))
	a.round()
	if err := b.e.takeOver(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	a.put("late", []byte("late"))
	a.e.renewAt = time.Time{}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	y.faults = func(e storetest.Event) error {
		if e.Op == storetest.Upload && !e.Done && ctx.Err() == nil {
			stop()
			return context.Canceled
		}
		if e.Op == storetest.Put && !e.Done && ctx.Err() != nil && y.faults != nil { // as a store that is asked with a context that ended
			y.faults = nil
			return context.Canceled
		}
		return nil
	}
	a.e.round(ctx)
	y.faults = nil
	if ctx.Err() == nil {
		t.Fatal("nothing was handed over")
	}
	err := a.e.finish()
	b.round()
	_, there := os.Lstat(filepath.Join(b.dir, "late"))
	if there != nil {
		t.Errorf("a ended with %v; b has %v, and is told %q", err, there, b.e.lease.LeftBehind())
	}
}

// TestACycleThatItsAskerCutOff: what the watch had told of was forgotten with it, and the
// next cycle found nothing, and said that all was in the bucket.
func TestACycleThatItsAskerCutOff(t *testing.T) {
	y := newYard(t, 1)
	a := y.box("a")
	a.put("f", []byte("f"))
	must(os.MkdirAll(filepath.Join(a.dir, "d"), 0o755))
	a.round()
	m := a.e.members[0]
	a.put("d/new", []byte("new"))
	m.watch.hints.add(watch.Touched{"d": false})
	a.e.stepMember(m, evTouched{})
	ctx, leave := context.WithCancel(t.Context())
	y.faults = func(e storetest.Event) error {
		if e.Op == storetest.Upload && !e.Done {
			leave()
			return context.Canceled
		}
		return nil
	}
	a.e.cycles(ctx)
	y.faults = nil
	if ctx.Err() == nil {
		t.Fatal("nothing was cut off")
	}
	a.e.cycles(t.Context())
	y.note(a.e)
	files, err := y.fetch(y.gens[len(y.gens)-1])
	if err != nil || files["d/new"] != "new" && m.report.here.Empty() {
		t.Errorf("the bucket has %v, %v, and all is said to be there", files, err)
	}
}

// TestACommitThatFailsAgainAndAgain: each failure counted as the first one, and once it went
// through the lease was said to be wrong still.
func TestACommitThatFailsAgainAndAgain(t *testing.T) {
	y := newYard(t, 1)
	a := y.box("a")
	begun := 0
	a.e.o.Failed = func(string, error) { begun++ }
	a.put("f", []byte("f"))
	a.round()
	m := a.e.members[0]
	push := func() {
		a.put("f", []byte(y.now().String()))
		a.e.stepMember(m, evSoon{})
		a.e.push(t.Context())
		y.advance(time.Second)
	}
	for range 70 { // until the log is written to an object of its own
		y.faults = func(e storetest.Event) error {
			if e.Op == storetest.Put && slices.ContainsFunc(e.Keys, func(k string) bool { return strings.Contains(k, "/log-") }) {
				return errors.New("not now")
			}
			return nil
		}
		if push(); m.course.err != nil {
			break
		}
	}
	synced := m.course.synced
	push()
	push()
	if m.course.failures != 3 || begun != 1 || !m.course.synced.Equal(synced) {
		t.Errorf("%d failures, of which the first was told %d times; last synced %s, then %s", m.course.failures, begun, synced, m.course.synced)
	}
	y.faults = nil
	push()
	if m.course.err != nil || a.e.leaseErr != nil {
		t.Errorf("it is well, and has %v, %v", m.course.err, a.e.leaseErr)
	}
}

// TestAFollowerOfAnEmptyPrefix: the word that the prefix is empty stayed when it was filled.
func TestAFollowerOfAnEmptyPrefix(t *testing.T) {
	y := newYard(t, 1)
	a, b := y.box("a"), y.box("b")
	b.e.members[0].Direction = scope.PullOnly
	a.put("f", []byte("f"))
	a.round()
	b.round()
	must(os.Remove(filepath.Join(a.dir, "f")))
	a.e.stepMember(a.e.members[0], evAsked{true})
	a.round()
	b.round()
	if b.e.members[0].report.scanned == nil {
		t.Fatal("nobody says that it is empty")
	}
	a.put("g", []byte("g"))
	a.round()
	b.round()
	if said := b.e.members[0].report.scanned; said != nil {
		t.Errorf("%q", said)
	}
}

// TestARequestOfAnEngineThatEnded: it was never answered.
func TestARequestOfAnEngineThatEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New(Options{})
		ctx, stop := context.WithCancel(t.Context())
		stop()
		if err := e.Run(ctx); err != nil {
			t.Fatal(err)
		}
		asking, leave := context.WithTimeout(t.Context(), time.Hour)
		defer leave()
		if err := e.Retry(asking); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after an hour: %v", err)
		}
	})
}

// TestATreeThatVanishedWithWhatWasOnlyHere: the stop said that nothing was left.
func TestATreeThatVanishedWithWhatWasOnlyHere(t *testing.T) {
	y := newYard(t, 1)
	a := y.box("a")
	a.put("f", []byte("f"))
	a.round()
	a.put("late", []byte("late"))
	y.faults = func(e storetest.Event) error {
		if e.Op == storetest.Upload {
			return errors.New("no network")
		}
		return nil
	}
	_ = a.do(false)
	if len(a.e.left()) == 0 {
		t.Fatal("nothing is only here")
	}
	y.faults = nil
	must(os.Rename(a.dir, a.dir+".away")) // as a volume that goes
	err := a.e.finish()
	if len(a.e.left()) == 0 {
		t.Errorf("%v, and nothing is said to be left: the head is %s", err, a.e.lease.Head().State)
	}
}

// TestARenewalThatFailsWhileTheLeaseHolds: it was due at once again, for ever.
func TestARenewalThatFailsWhileTheLeaseHolds(t *testing.T) {
	y := newYard(t, 1)
	y.bucket.Weak()
	a := y.box("a")
	a.e.o.BestEffort = true
	a.put("f", []byte("f"))
	a.round()
	y.faults = func(storetest.Event) error { return errors.New("no network") }
	a.e.stepMember(a.e.members[0], evPaused{true})
	a.e.renewAt = time.Time{}
	a.e.keepLease(t.Context())
	if a.e.leaseErr == nil || !a.e.writable() {
		t.Fatalf("%v, and it may be written: %v", a.e.leaseErr, a.e.writable())
	}
	if due := (agenda{&a.e.tenure, &a.e.roster}).due(); !due.After(y.now()) {
		t.Errorf("it is renewed again at %s, and it is %s", due, y.now())
	}
}

// TestAStopDuringACommit: the hooks of a failure ran, and nothing had failed.
func TestAStopDuringACommit(t *testing.T) {
	y := newYard(t, 1)
	a := y.box("a")
	var failed []error
	a.e.o.Failed = func(_ string, err error) { failed = append(failed, err) }
	a.put("f", []byte("f"))
	a.round()
	a.put("late", []byte("late"))
	ctx, stop := context.WithCancel(t.Context())
	y.faults = func(e storetest.Event) error {
		if e.Op == storetest.Put && !e.Done && slices.Contains(e.Keys, modelHead) {
			stop()
			return context.Canceled
		}
		return nil
	}
	a.e.stepMember(a.e.members[0], evSoon{})
	a.e.cycles(ctx)
	y.faults = nil
	if ctx.Err() == nil || !a.e.lease.InDoubt() {
		t.Fatal("nothing was cut off")
	}
	if err := a.e.finish(); err != nil || failed != nil || len(a.e.left()) > 0 {
		t.Errorf("%v; failed: %v; left: %v", err, failed, a.e.left())
	}
}

// TestABaseThatCannotBeTraced: it was compared with the bucket again an interval later only.
func TestABaseThatCannotBeTraced(t *testing.T) {
	y := newYard(t, 1)
	a := y.box("a")
	a.put("f", []byte("f"))
	a.round()
	m := a.e.members[0]
	before := m.rep.Base().Header
	before.Generation = 0 // of which no log tells
	must(m.rep.Base().Prepare("nobody's", base.Delta{Header: &before}))
	a.e.stepMember(m, evSoon{})
	a.e.push(t.Context())
	if m.ready() || !m.due(y.now()) {
		t.Errorf("ready: %v, and due at %s", m.ready(), m.course.next)
	}
}

// TestARepairThatIsNotSent: it was said to be done.
func TestARepairThatIsNotSent(t *testing.T) {
	y := newYard(t, 1)
	a := y.box("a")
	a.put("f", []byte("f"))
	a.round()
	key := y.only("/o/1")
	y.bucket.Drop("r/.coltec/" + key)
	r := y.reader(a)
	v, err := r.Verify(t.Context(), a.e.o.Replicas[0], false)
	if err != nil || v.OK() {
		t.Fatal(v, err)
	}
	a.e.stepMember(a.e.members[0], evPaused{true})
	if err := a.e.repair(t.Context(), r, v); err == nil {
		t.Errorf("a paused replica: %+v", v)
	}
}

// TestTheLeaseIsKeptWhileAPrefixIsListed: a large prefix of an earlier tool was listed ahead,
// and the lease ran out while that was waited for; and again, with the next one.
func TestTheLeaseIsKeptWhileAPrefixIsListed(t *testing.T) {
	y := newYard(t, 1)
	a := y.box("a")
	var past atomic.Int64
	tick, over := make(chan time.Time), make(chan struct{})
	defer close(over)
	go func() {
		for {
			select {
			case tick <- time.Time{}:
			case <-over:
				return
			}
		}
	}()
	a.e.clock.Clock = store.Clock{
		Now:  func() time.Time { return y.start.Add(time.Duration(past.Load())) },
		Boot: func() time.Duration { return time.Duration(past.Load()) },
	}
	a.e.clock.ticker = func(time.Duration) (<-chan time.Time, func()) {
		past.Store(int64(30 * time.Second)) // a renewal is due while the loop waits
		return tick, func() {}
	}
	a.e.clock.beside = func(f func()) { go f() }
	a.put("f", []byte("f"))
	taken, renewed := make(chan struct{}), make(chan struct{})
	var puts, lists atomic.Int64
	y.faults = func(e storetest.Event) error {
		switch {
		case e.Op == storetest.Put && e.Done && slices.Contains(e.Keys, modelHead):
			switch puts.Add(1) {
			case 1:
				close(taken)
			case 2:
				close(renewed)
			}
		case e.Op == storetest.List && !e.Done && strings.HasPrefix(e.Keys[0], "r") && lists.Add(1) == 1:
			<-taken
			select {
			case <-renewed:
			case <-time.After(time.Minute):
				t.Error("it is not renewed")
			}
		}
		return nil
	}
	a.e.cycles(t.Context())
	y.faults = nil
	if lists.Load() == 0 || !a.e.members[0].ready() {
		t.Errorf("%d lists; ready: %v, %v", lists.Load(), a.e.members[0].ready(), a.e.members[0].course.err)
	}
}

// TestARepackOverACommitThatTheBaseDoesNotKnow: the base could not note that a commit had
// counted. The generation of a repack was made without what that had brought.
func TestARepackOverACommitThatTheBaseDoesNotKnow(t *testing.T) {
	y := newYard(t, 1)
	a := y.box("a")
	a.put("f", []byte("f"))
	a.round()
	m := a.e.members[0]
	objects := map[string]int64{}
	for key := range y.objects() {
		objects[key] = int64(len(y.bucket.Body("r/.coltec/" + key)))
	}
	a.put("new", []byte("new"))
	a.e.stepMember(m, evSoon{})
	p := a.e.begin(t.Context(), m)
	must(m.rep.Base().Prepare("nonce", p.step.Delta))
	must(a.e.lease.Commit(t.Context(), "nonce", map[string]store.Ref{"r": p.ref}, nil)) // and no room for a word of it
	failed, err := collecting{a.e.loop}.repack(t.Context(), map[*member]map[string]int64{m: objects})
	must(errors.Join(err, failed["r"]))
	y.note(a.e)
	if files, err := y.fetch(y.gens[len(y.gens)-1]); err != nil || files["new"] != "new" {
		t.Errorf("generation %d has %v, %v", y.gens[len(y.gens)-1].Number, files, err)
	}
}
