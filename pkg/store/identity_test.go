package store

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/store/storetest"
)

// age is a bucket and machines whose clocks go along with it.
type age struct {
	*storetest.Bucket
	t    *testing.T
	boot time.Duration
}

func newAge(t *testing.T) *age { return &age{Bucket: storetest.New(), t: t, boot: time.Hour} }

func (a *age) pass(d time.Duration) {
	a.Advance(d)
	a.boot += d
}

// machine is one that nothing proves another dead to. Its lease runs out after three
// renewals.
func (a *age) machine(boot string, change ...func(*LeaseOptions)) *Lease {
	all := append([]func(*LeaseOptions){func(o *LeaseOptions) {
		o.Self.Boot, o.Renew, o.Dead = boot, 20*time.Second, nil
		o.Clock.Boot = func() time.Duration { return a.boot }
	}}, change...)
	return machineOf(a.t, a.Bucket, "m", all...)
}

func self(f func(*Holder)) func(*LeaseOptions) { return func(o *LeaseOptions) { f(&o.Self) } }

func heldBy(t *testing.T, err error) *HeldByOther {
	t.Helper()
	var other *HeldByOther
	if !errors.As(err, &other) {
		t.Fatalf("got %v", err)
	}
	return other
}

// Another boot counted as proof of death: a clone took the lease of the machine that it
// was made of. Who looks like us has to be silent for one renewal, anybody else for
// the ttl.
func TestLeaseInDoubtOfItsHolder(t *testing.T) {
	const quiet, ttl = 27 * time.Second, time.Minute // 20 s, a tenth, and 5 s for the way
	both := func(f func(*Holder)) [2]func(*Holder) { return [2]func(*Holder){f, f} }
	tests := map[string]struct {
		ids  [2]func(*Holder) // of the holder, and of who comes
		old  bool             // the holder says not how often it renews
		want time.Duration
	}{
		"a reboot":                  {both(func(h *Holder) { h.Machine, h.ID = "m", "i" }), false, quiet},
		"no ids":                    {both(func(*Holder) {}), false, quiet},
		"no machine-id":             {both(func(h *Holder) { h.ID = "i" }), false, quiet},
		"only one could keep an id": {[2]func(*Holder){func(h *Holder) { h.ID = "i" }, func(*Holder) {}}, false, quiet},
		"another host name, one id": {[2]func(*Holder){func(h *Holder) { h.Host, h.ID = "before", "i" }, func(h *Holder) { h.ID = "i" }}, false, quiet},
		"another host name, no id":  {[2]func(*Holder){func(h *Holder) { h.Host = "before" }, func(*Holder) {}}, false, ttl},
		"another machine-id":        {[2]func(*Holder){func(h *Holder) { h.Machine, h.ID = "m", "i" }, func(h *Holder) { h.Machine, h.ID = "n", "i" }}, false, ttl},
		"another id":                {[2]func(*Holder){func(h *Holder) { h.Machine, h.ID = "m", "i" }, func(h *Holder) { h.Machine, h.ID = "m", "j" }}, false, ttl},
		"another container":         {[2]func(*Holder){func(h *Holder) { h.Container, h.ID = "d", "i" }, func(h *Holder) { h.ID = "i" }}, false, ttl},
		"another folder":            {[2]func(*Holder){func(h *Holder) { h.Place, h.ID = "3:4", "i" }, func(h *Holder) { h.ID = "i" }}, false, ttl},
		"a holder of before":        {both(func(*Holder) {}), true, ttl},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a := newAge(t)
			first := a.machine("one", self(tt.ids[0]), func(o *LeaseOptions) {
				if tt.old {
					o.Renew = 0
				}
			})
			mustAcquire(t, first)
			second := a.machine("two", self(tt.ids[1]))
			other := heldBy(t, second.Acquire(t.Context()))
			if doubt := tt.want == quiet; (other.Doubt > 0) != doubt || doubt != strings.Contains(other.Error(), "was held by this machine before its reboot") {
				t.Errorf("it says %q, in doubt for %s", other, other.Doubt)
			}
			a.pass(tt.want)
			heldBy(t, second.Acquire(t.Context()))
			a.pass(2 * clockGrain)
			mustAcquire(t, second)
		})
	}
}

// A twin that lives renews: then it is another, for good, and its ttl counts.
func TestLeaseOfATwin(t *testing.T) {
	a := newAge(t)
	first, second := a.machine("one"), a.machine("two")
	mustAcquire(t, first)
	for range 4 {
		heldBy(t, second.Acquire(t.Context()))
		a.pass(20 * time.Second)
		wantErr(t, first.Renew(t.Context()), nil)
	}
	if other := heldBy(t, second.Acquire(t.Context())); other.Doubt > 0 || !strings.Contains(second.Rival(), "the same host name") {
		t.Errorf("%v; rival %q", other, second.Rival())
	}
	a.pass(59 * time.Second)
	heldBy(t, second.Acquire(t.Context()))
	a.pass(3 * time.Second)
	mustAcquire(t, second)
	if first.Rival() != "" {
		t.Errorf("the first has met %q", first.Rival())
	}
	// And the one that lost waits for its turn too, even where it could prove that the
	// other is dead: a machine that was cloned while it ran has the same boot.
	first.dead = func(Holder) bool { return true }
	wantErr(t, first.Renew(t.Context()), ErrFenced)
	for range 4 {
		heldBy(t, first.Acquire(t.Context()))
		a.pass(20 * time.Second)
		wantErr(t, second.Renew(t.Context()), nil)
	}
	if first.Rival() == "" {
		t.Error("it does not know that it has a twin")
	}
}

// To ask is not a renewal: the holder in doubt is not a twin for it.
func TestLeaseInDoubtAndAskedFor(t *testing.T) {
	a := newAge(t)
	mustAcquire(t, a.machine("one"))
	second, third := a.machine("two"), machineOf(t, a.Bucket, "third", func(o *LeaseOptions) { o.Dead = nil })
	heldBy(t, second.Acquire(t.Context()))
	a.pass(15 * time.Second)
	wantErr(t, third.Ask(t.Context()), nil)
	heldBy(t, second.Acquire(t.Context()))
	a.pass(15 * time.Second)
	mustAcquire(t, second)
	if second.Rival() != "" {
		t.Errorf("met %q", second.Rival())
	}
}

// A machine that was cloned while it ran has the very process twice, its instance
// included: each took the lease back from the other.
func TestLeaseOfAClonedProcess(t *testing.T) {
	a := newAge(t)
	one := a.machine("one")
	mustAcquire(t, one)
	clone := *one
	two := &clone
	wantErr(t, one.Renew(t.Context()), nil)
	wantErr(t, two.Renew(t.Context()), ErrFenced)
	for range 4 {
		heldBy(t, two.Acquire(t.Context()))
		a.pass(20 * time.Second)
		wantErr(t, one.Renew(t.Context()), nil)
	}
	if one.Head().Epoch != 1 || two.Rival() == "" || one.Rival() != "" {
		t.Errorf("epoch %d, rivals %q and %q", one.Head().Epoch, one.Rival(), two.Rival())
	}
	// Somebody asks: neither writes over what the other wrote.
	three := *one
	wantErr(t, one.Commit(t.Context(), NewID(), map[string]Ref{"r": {Manifest: "one"}}, nil), nil)
	wantErr(t, two.Ask(t.Context()), nil)
	wantErr(t, three.Commit(t.Context(), NewID(), map[string]Ref{"r": {Manifest: "three"}}, nil), ErrFenced)
	wantErr(t, one.Renew(t.Context()), nil)
	if got := one.Head(); got.Replicas["r"].Manifest != "one" || one.Asked() == nil {
		t.Errorf("%+v, asked %v", got.Replicas, one.Asked())
	}
}

// Asking wrote the head, and so gave a dead holder another ttl.
func TestLeaseAskIsNoSignOfLife(t *testing.T) {
	tests := map[string]struct {
		then func(t *testing.T, a *age, holder *Lease) // after it was asked for, 40 s into its minute
		free time.Duration                             // from then on
	}{
		"the holder is dead": {func(*testing.T, *age, *Lease) {}, 21 * time.Second},
		"another asks too": {func(t *testing.T, a *age, _ *Lease) {
			a.pass(5 * time.Second)
			wantErr(t, machineOf(t, a.Bucket, "third", func(o *LeaseOptions) { o.Dead = nil }).Ask(t.Context()), nil)
		}, 16 * time.Second},
		"the holder renews": {func(t *testing.T, a *age, holder *Lease) {
			a.pass(5 * time.Second)
			wantErr(t, holder.Renew(t.Context()), nil)
		}, 61 * time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a := newAge(t)
			holder := a.machine("one")
			mustAcquire(t, holder)
			a.pass(40 * time.Second)
			asker := a.machine("two", self(func(h *Holder) { h.Host = "asker" }))
			wantErr(t, asker.Ask(t.Context()), nil)
			tt.then(t, a, holder)
			a.pass(tt.free - 2*time.Second)
			if other := heldBy(t, asker.Acquire(t.Context())); other.Free > 3*time.Second {
				t.Errorf("free in %s", other.Free)
			}
			a.pass(3 * time.Second)
			mustAcquire(t, asker)
		})
	}
}

// A write in doubt that counted, and that was asked over, counts: it was made again.
func TestLeaseInDoubtAndAskedOver(t *testing.T) {
	a := newAge(t)
	holder := a.machine("one")
	mustAcquire(t, holder)
	a.Inject(storetest.Fault{Op: storetest.Put, Kind: storetest.After})
	nonce := NewID()
	wantErr(t, holder.Commit(t.Context(), nonce, map[string]Ref{"r": {Manifest: "m"}}, nil), ErrInDoubt)
	asker := a.machine("two", self(func(h *Holder) { h.Host = "asker" }))
	wantErr(t, asker.Ask(t.Context()), nil)
	wantErr(t, holder.ResolveDoubt(t.Context()), nil)
	if !holder.Holds() || holder.Asked() == nil || holder.Head().Generation != 1 {
		t.Errorf("holds %v, asked by %v, %+v", holder.Holds(), holder.Asked(), holder.Head())
	}
	if ok, err := holder.Committed(t.Context(), nonce, 0); err != nil || !ok {
		t.Errorf("committed %v, %v", ok, err)
	}
	wantErr(t, holder.Release(t.Context(), nil), nil)
	mustAcquire(t, asker)
	if asker.Head().Generation != 1 {
		t.Errorf("generation %d", asker.Head().Generation)
	}
}

// The holder renews at the moment at which it is asked: it is asked again.
func TestLeaseAskMeetsARenewal(t *testing.T) {
	a := newAge(t)
	holder := a.machine("one")
	mustAcquire(t, holder)
	asker := a.machine("two", self(func(h *Holder) { h.Host = "asker" }))
	raced := false
	a.Hook(func(e storetest.Event) error {
		if e.Op == storetest.Stat && !e.Done && !raced {
			raced = true
			return holder.Renew(t.Context())
		}
		return nil
	})
	wantErr(t, asker.Ask(t.Context()), nil)
	a.Hook(nil)
	wantErr(t, holder.Renew(t.Context()), nil)
	if holder.Asked() == nil {
		t.Error("the holder was not asked")
	}
	if other := heldBy(t, asker.Acquire(t.Context())); !other.Asked || !other.Met || other.Renew != 20*time.Second {
		t.Errorf("%+v", other)
	}
}

// Who waits asks for one object, while nothing changes there.
func TestLeaseWaitingIsCheap(t *testing.T) {
	a := newAge(t)
	mustAcquire(t, a.machine("one"))
	second := a.machine("two", self(func(h *Holder) { h.Host = "asker" }))
	heldBy(t, second.Acquire(t.Context()))
	before := a.Counts()
	for range 10 {
		a.pass(5 * time.Second)
		heldBy(t, second.Acquire(t.Context()))
	}
	now := a.Counts()
	for op, n := range now {
		if d := n - before[op]; op == storetest.Get && d != 10 || op != storetest.Get && d != 0 {
			t.Errorf("%s: %d more", op, d)
		}
	}
}

// No time that is not known is shown.
func TestHeldByOtherWithoutTimes(t *testing.T) {
	for want, e := range map[string]HeldByOther{
		"the lease is held by b, which asked for it, not seen yet":                          {Holder: Holder{Host: "b"}},
		"the lease is held by b, which asked for it, last seen 2030-01-01T00:00:00Z":        {Holder: Holder{Host: "b"}, LastSeen: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)},
		"the lease is held by b since 2030-01-01T00:00:00Z, last seen 2030-01-01T00:00:00Z": {Holder: Holder{Host: "b", Since: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}, LastSeen: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		if got := e.Error(); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}
