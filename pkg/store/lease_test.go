package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/store/storetest"
)

const workspace = "acme/widget/dev"

// machineOf is a lease of one run of the program on a host.
func machineOf(t testing.TB, b *storetest.Bucket, host string, o ...func(*LeaseOptions)) *Lease {
	t.Helper()
	opts := LeaseOptions{
		Workspace: workspace, TTL: time.Minute,
		Self: Holder{Host: host, Container: "c", Place: "1:2", Instance: NewID()},
		Dead: func(Holder) bool { return true }, BestEffort: true,
	}
	for _, f := range o {
		f(&opts)
	}
	return NewLease(b, opts)
}

func mustAcquire(t testing.TB, l *Lease) {
	t.Helper()
	if err := l.Acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !l.Holds() {
		t.Fatal("acquired and not held")
	}
}

func wantErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

func TestLeaseCreateRace(t *testing.T) {
	b := storetest.New()
	const n = 16
	var wg sync.WaitGroup
	won := make(chan *Lease, n)
	for i := range n {
		l := machineOf(t, b, fmt.Sprint("host", i))
		wg.Go(func() {
			err := l.Acquire(t.Context())
			var other *HeldByOther
			switch {
			case err == nil:
				won <- l
			case !errors.As(err, &other) || other.Holder.Host == l.self.Host:
				t.Errorf("the loser was told %v", err)
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Fatalf("%d winners", len(won))
	}
	if h := (<-won).Head(); h.Epoch != 1 || h.Seq != 1 || h.Lineage == "" {
		t.Errorf("the first head is %+v", h)
	}
}

func TestLeaseAcquireFromOther(t *testing.T) {
	tests := map[string]struct {
		before func(t *testing.T, b *storetest.Bucket, first *Lease)
		self   string
		dead   bool
		want   string // of the error; "" for none
		dirty  int
	}{
		"released": {before: func(t *testing.T, _ *storetest.Bucket, l *Lease) {
			wantErr(t, l.Release(t.Context(), nil), nil)
		}, self: "b"},
		"dirty": {before: func(t *testing.T, _ *storetest.Bucket, l *Lease) {
			wantErr(t, l.Release(t.Context(), somethingLeft(3)), nil)
		}, self: "b", dirty: 3},
		"held":    {before: func(*testing.T, *storetest.Bucket, *Lease) {}, self: "b", want: "the lease is held by a (container c)"},
		"expired": {before: func(_ *testing.T, b *storetest.Bucket, _ *Lease) { b.Advance(62 * time.Second) }, self: "b"},
		"nearly expired": {before: func(_ *testing.T, b *storetest.Bucket, _ *Lease) { b.Advance(60 * time.Second) },
			self: "b", want: "the lease is held by a"},
		"expired, then renewed": {before: func(t *testing.T, b *storetest.Bucket, l *Lease) {
			b.Advance(62 * time.Second)
			wantErr(t, l.Renew(t.Context()), nil)
		}, self: "b", want: "the lease is held by a"},
		"the same place, dead":  {before: func(*testing.T, *storetest.Bucket, *Lease) {}, self: "a", dead: true},
		"the same place, alive": {before: func(*testing.T, *storetest.Bucket, *Lease) {}, self: "a", want: "the lease is held by a"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := storetest.New()
			first := machineOf(t, b, "a")
			mustAcquire(t, first)
			tt.before(t, b, first)
			second := machineOf(t, b, tt.self, func(o *LeaseOptions) { o.Dead = func(Holder) bool { return tt.dead } })
			err := second.Acquire(t.Context())
			if tt.want != "" {
				if err == nil || !strings.HasPrefix(err.Error(), tt.want) || second.Holds() {
					t.Errorf("got %v, want %s", err, tt.want)
				}
				return
			}
			if err != nil || second.Head().Epoch != 2 || leftBehind(second) != tt.dirty {
				t.Fatalf("got %v, %+v, dirty %d", err, second.Head(), leftBehind(second))
			}
			if second.Head().Lineage != first.Head().Lineage {
				t.Error("another lineage")
			}
			if keys := b.Keys(); len(keys) != 1 {
				t.Errorf("litter: %v", keys)
			}
		})
	}
}

// The zombie: it believed to hold the lease, and another took it.
func TestLeaseFenced(t *testing.T) {
	ops := map[string]func(context.Context, *Lease) error{
		"renew":   func(ctx context.Context, l *Lease) error { return l.Renew(ctx) },
		"commit":  func(ctx context.Context, l *Lease) error { return l.Commit(ctx, NewID(), nil, nil) },
		"release": func(ctx context.Context, l *Lease) error { return l.Release(ctx, nil) },
	}
	for name, op := range ops {
		t.Run(name, func(t *testing.T) {
			b := storetest.New()
			zombie, next := machineOf(t, b, "a"), machineOf(t, b, "b")
			mustAcquire(t, zombie)
			b.Advance(time.Hour)
			mustAcquire(t, next)
			body := b.Body(HeadKey(workspace))
			wantErr(t, op(t.Context(), zombie), ErrFenced)
			if zombie.Holds() || zombie.Head().Holder.Host != "b" {
				t.Errorf("it still holds, or does not know who does: %+v", zombie.Head().Holder)
			}
			wantErr(t, op(t.Context(), zombie), ErrFenced)
			if string(b.Body(HeadKey(workspace))) != string(body) {
				t.Error("the zombie wrote the head")
			}
			wantErr(t, next.Renew(t.Context()), nil)
		})
	}
}

func TestLeaseHoldsNoLongerThanItsWrite(t *testing.T) {
	b := storetest.New()
	l := machineOf(t, b, "a")
	mustAcquire(t, l)
	l.sent -= l.ttl - l.ttl/4 + time.Millisecond
	if l.Holds() {
		t.Error("held though the last write is nearly a ttl old")
	}
	wantErr(t, l.Renew(t.Context()), nil)
	if !l.Holds() {
		t.Error("not held after a renewal")
	}
}

// Settle once dated a write by the time of its second sending, though the first
// copy was the one that the store had: the holder believed in its lease longer
// than the store did.
func TestLeaseSettleCountsFromTheFirstSending(t *testing.T) {
	b := storetest.New()
	l := machineOf(t, b, "a")
	mustAcquire(t, l)
	b.Inject(storetest.Fault{Op: storetest.Put, Kind: storetest.After})
	wantErr(t, l.Renew(t.Context()), ErrInDoubt)
	l.inDoubt.sent -= l.ttl
	wantErr(t, l.ResolveDoubt(t.Context()), nil)
	if l.InDoubt() || l.Holds() {
		t.Errorf("in doubt %v, held %v", l.InDoubt(), l.Holds())
	}
}

func TestLeaseInDoubt(t *testing.T) {
	tests := map[string]struct {
		kind    storetest.Kind
		class   rclone.Class
		between func(t *testing.T, b *storetest.Bucket)
		settle  error
		commits bool
	}{
		"it never arrived":                 {kind: storetest.Before, commits: true},
		"the answer was lost":              {kind: storetest.After, commits: true},
		"throttled":                        {kind: storetest.Before, class: rclone.Throttled, commits: true},
		"busy":                             {kind: storetest.After, class: rclone.Conflict, commits: true},
		"it lands before the second":       {kind: storetest.Late, between: func(_ *testing.T, b *storetest.Bucket) { b.Land() }, commits: true},
		"it lands after the second":        {kind: storetest.Late, commits: true},
		"another took over in between":     {kind: storetest.Before, between: takeOver, settle: ErrFenced},
		"it landed, another took over":     {kind: storetest.After, between: takeOver, settle: ErrFenced, commits: true},
		"another took over, then it lands": {kind: storetest.Late, between: takeOver, settle: ErrFenced},
		"the bucket was emptied": {kind: storetest.After, settle: ErrFenced,
			between: func(_ *testing.T, b *storetest.Bucket) { b.Drop(HeadKey(workspace)) }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := storetest.New()
			l := machineOf(t, b, "a")
			mustAcquire(t, l)
			b.Inject(storetest.Fault{Op: storetest.Put, Kind: tt.kind, Class: tt.class})
			nonce := NewID()
			wantErr(t, l.Commit(t.Context(), nonce, map[string]Ref{"r": {Manifest: "m"}}, nil), ErrInDoubt)
			wantErr(t, l.Renew(t.Context()), ErrInDoubt)
			wantErr(t, l.Release(t.Context(), nil), ErrInDoubt)
			if tt.between != nil {
				tt.between(t, b)
			}
			wantErr(t, l.ResolveDoubt(t.Context()), tt.settle)
			b.Land()
			if l.InDoubt() {
				t.Fatal("still in doubt")
			}
			if got, err := l.Committed(t.Context(), nonce, 0); err != nil || got != tt.commits {
				t.Errorf("committed = %v, %v", got, err)
			}
			if tt.settle == nil {
				wantErr(t, l.Renew(t.Context()), nil)
				if l.Head().Generation != 1 {
					t.Errorf("generation %d", l.Head().Generation)
				}
			}
		})
	}
}

// takeOver is another machine that takes the lease when it has run out.
func takeOver(t *testing.T, b *storetest.Bucket) {
	t.Helper()
	b.Advance(time.Hour)
	mustAcquire(t, machineOf(t, b, "other"))
}

// A first head whose answer was lost, and one that arrives late.
func TestLeaseCreateInDoubt(t *testing.T) {
	for _, kind := range []storetest.Kind{storetest.Before, storetest.After, storetest.Late} {
		t.Run(string(kind), func(t *testing.T) {
			b := storetest.New()
			l := machineOf(t, b, "a")
			b.Inject(storetest.Fault{Op: storetest.Put, Kind: kind})
			wantErr(t, l.Acquire(t.Context()), ErrInDoubt)
			mustAcquire(t, l)
			b.Land()
			wantErr(t, l.Renew(t.Context()), nil)
		})
	}
}

// contrary says of the head that there is one to who makes it, and that there is none to who
// reads it, as a server did in whose files a write that was cut off had left half.
type contrary struct{ *storetest.Bucket }

func (contrary) Get(context.Context, string, int64) ([]byte, error) { return nil, rclone.ErrNotFound }

// A store that contradicts itself is no other holder, and no bucket that was emptied.
func TestLeaseOfAContraryStore(t *testing.T) {
	b := storetest.New()
	b.Set(HeadKey(workspace), []byte("half"))
	l := NewLease(contrary{b}, LeaseOptions{Workspace: workspace, TTL: time.Minute, Self: Holder{Host: "a", Instance: NewID()}})
	for range 2 {
		err := l.Acquire(t.Context())
		if err == nil || errors.Is(err, ErrFenced) || l.Holds() || l.InDoubt() || !strings.Contains(err.Error(), "none to be read") {
			t.Errorf("it said %v", err)
		}
	}
	b.Drop(HeadKey(workspace))
	mustAcquire(t, l)
}

func TestLeaseEmptiedBucket(t *testing.T) {
	b := storetest.New()
	l := machineOf(t, b, "a")
	mustAcquire(t, l)
	lineage := l.Head().Lineage
	b.Drop(HeadKey(workspace))
	wantErr(t, l.Renew(t.Context()), ErrFenced)
	mustAcquire(t, l)
	if l.Head().Lineage == lineage {
		t.Error("a new head has the lineage of the one that was lost")
	}
}

func TestLeaseFaultsOfReading(t *testing.T) {
	b := storetest.New()
	mustAcquire(t, machineOf(t, b, "a"))
	for _, op := range []storetest.Op{storetest.Get, storetest.Stat, storetest.Put} {
		b.Inject(storetest.Fault{Op: op})
		l := machineOf(t, b, "b")
		var other *HeldByOther
		if err := l.Acquire(t.Context()); err == nil || errors.As(err, &other) || l.Holds() || l.InDoubt() {
			t.Errorf("%s fails: %v", op, err)
		}
	}
	b.Set(HeadKey(workspace), []byte(`{"format": 99}`))
	if err := machineOf(t, b, "b").Acquire(t.Context()); err == nil || !strings.Contains(err.Error(), "format 99 is not known") {
		t.Errorf("a head of the future: %v", err)
	}
}

func TestLeaseLogOfGenerations(t *testing.T) {
	sample.Long(t)
	b := storetest.New()
	l := machineOf(t, b, "a")
	mustAcquire(t, l)
	var nonces []string
	for i := range 3 * recentMax {
		nonces = append(nonces, NewID())
		wantErr(t, l.Commit(t.Context(), nonces[i], map[string]Ref{"r": {Manifest: fmt.Sprint(i)}}, nil), nil)
		if i%7 == 0 {
			wantErr(t, l.Renew(t.Context()), nil)
		}
	}
	if n := len(l.Head().Recent); n > recentMax {
		t.Errorf("the head carries %d generations", n)
	}
	if l.Head().Generation != 3*recentMax || l.Head().Replicas["r"].Manifest != fmt.Sprint(3*recentMax-1) {
		t.Errorf("the head is at %d, %+v", l.Head().Generation, l.Head().Replicas)
	}
	wantErr(t, l.Release(t.Context(), nil), nil)
	again := machineOf(t, b, "b")
	mustAcquire(t, again)
	for i, nonce := range nonces {
		// The base that asks is at the generation before.
		if ok, err := again.Committed(t.Context(), nonce, int64(i)); err != nil || !ok {
			t.Errorf("generation %d is not found: %v", i+1, err)
		}
	}
	gets := b.Counts()[storetest.Get]
	if ok, err := again.Committed(t.Context(), NewID(), 3*recentMax-1); err != nil || ok {
		t.Errorf("found a nonce that never was: %v", err)
	}
	if n := b.Counts()[storetest.Get] - gets; n > 1 {
		t.Errorf("%d reads to look for a recent nonce", n)
	}
	b.Inject(storetest.Fault{Op: storetest.Get})
	if _, err := again.Committed(t.Context(), nonces[0], 0); err == nil {
		t.Error("a log that cannot be read was taken for one without the nonce")
	}
}

func TestLeaseSpillFails(t *testing.T) {
	b := storetest.New()
	l := machineOf(t, b, "a")
	mustAcquire(t, l)
	for range recentMax {
		wantErr(t, l.Commit(t.Context(), NewID(), nil, nil), nil)
	}
	b.Inject(storetest.Fault{Op: storetest.Put, Key: "/log-"})
	if err := l.Commit(t.Context(), NewID(), nil, nil); err == nil || l.InDoubt() {
		t.Errorf("got %v, in doubt %v", err, l.InDoubt())
	}
	wantErr(t, l.Commit(t.Context(), NewID(), nil, nil), nil)
	if l.Head().Generation != recentMax+1 || l.Head().Log == "" {
		t.Errorf("%+v", l.Head())
	}
}

func TestLeaseWeakRemote(t *testing.T) {
	for name, b := range map[string]Root{
		"ignores conditions": storetest.New().Weak(),
		"an entity tag that is no MD5 cannot be matched": &tried{
			Bucket: storetest.New(), result: rclone.ProbeResult{Create: true, Match: true},
		},
	} {
		l := NewLease(b, LeaseOptions{Workspace: workspace})
		for what, err := range map[string]error{"acquire": l.Acquire(t.Context()), "seize": l.Seize(t.Context())} {
			if wantErr(t, err, ErrNoStrongLease); len(hint.Of(err)) == 0 {
				t.Errorf("%s, %s: no hint", name, what)
			}
		}
		if _, err := ReadHead(t.Context(), b, workspace); !errors.Is(err, rclone.ErrNotFound) {
			t.Errorf("%s: a head was written all the same: %v", name, err)
		}
	}
}

// tried is a store that was put behind a bucket's address: what it is, and what a
// probe finds.
type tried struct {
	*storetest.Bucket
	identity string
	result   rclone.ProbeResult
	fails    error
	probes   int
}

func (b *tried) Identity() string { return b.identity }

func (b *tried) Probe(context.Context, string) (rclone.ProbeResult, error) {
	b.probes++
	return b.result, b.fails
}

// What one machine found out of the store the next one need not: until the store
// is another, or the proof is old.
func TestLeaseProof(t *testing.T) {
	strong := rclone.ProbeResult{Create: true, Match: true, ETagIsMD5: true}
	now := time.Now()
	bucket := storetest.New()
	hop := func(b *tried, o ...func(*LeaseOptions)) (*Lease, error) {
		opts := LeaseOptions{
			Workspace: workspace, TTL: time.Minute, Self: Holder{Host: "h", Instance: NewID()},
			Clock: Clock{Now: func() time.Time { return now }},
		}
		for _, f := range o {
			f(&opts)
		}
		b.Bucket = bucket
		l := NewLease(b, opts)
		if err := l.Acquire(t.Context()); err != nil {
			return l, err
		}
		return l, l.Release(t.Context(), nil)
	}
	for _, tt := range []struct {
		name   string
		store  *tried
		after  time.Duration
		probes int
		err    error
	}{
		{"the first", &tried{identity: "s3 one", result: strong}, 0, 1, nil},
		{"the next", &tried{identity: "s3 one", result: strong}, time.Hour, 0, nil},
		{"copied to a store that ignores conditions", &tried{identity: "s3 two"}, time.Hour, 2, ErrNoStrongLease},
		{"and back", &tried{identity: "s3 one", result: strong}, time.Hour, 0, nil},
		{"copied to one that does not", &tried{identity: "s3 three", result: strong}, time.Hour, 1, nil},
		{"a proof from the future", &tried{identity: "s3 three", result: strong}, -2 * proofGood, 1, nil},
		{"an old one", &tried{identity: "s3 three", result: strong}, proofGood, 1, nil},
	} {
		now = now.Add(tt.after)
		was := bucket.Body(HeadKey(workspace))
		l, err := hop(tt.store)
		if !errors.Is(err, tt.err) {
			t.Fatalf("%s: got %v", tt.name, err)
		}
		if err != nil { // a second try is no better
			wantErr(t, l.Acquire(t.Context()), tt.err)
			if is := bucket.Body(HeadKey(workspace)); !bytes.Equal(was, is) {
				t.Errorf("%s: the head was written over: %s", tt.name, is)
			}
		}
		if tt.store.probes != tt.probes {
			t.Errorf("%s: %d probes, want %d", tt.name, tt.store.probes, tt.probes)
		}
	}
	// Asking writes the head too, and a store that could not be tried is not taken
	// for a good one.
	holder := machineOf(t, bucket, "holder")
	mustAcquire(t, holder)
	for _, b := range []*tried{{identity: "x", fails: errors.New("no way")}, {identity: "y"}} {
		b.Bucket = bucket
		was := bucket.Body(HeadKey(workspace))
		err := NewLease(b, LeaseOptions{Workspace: workspace}).Ask(t.Context())
		if err == nil || b.probes != 1 || !bytes.Equal(was, bucket.Body(HeadKey(workspace))) {
			t.Errorf("%s: asked, got %v after %d probes", b.identity, err, b.probes)
		}
	}
}

// Best effort is not a lock; but a head that another wrote is seen before it is
// written over.
func TestLeaseBestEffort(t *testing.T) {
	b := storetest.New().Weak()
	boot := time.Hour
	goesAlong := func(o *LeaseOptions) { o.Clock.Boot = func() time.Duration { return boot } }
	first, second := machineOf(t, b, "a", goesAlong), machineOf(t, b, "b", goesAlong)
	mustAcquire(t, first)
	var other *HeldByOther
	if err := second.Acquire(t.Context()); !errors.As(err, &other) {
		t.Fatalf("got %v", err)
	}
	b.Advance(time.Hour)
	boot += time.Hour // the machines wait by their own clocks
	mustAcquire(t, second)
	nonce := NewID()
	wantErr(t, second.Commit(t.Context(), nonce, nil, nil), nil)
	wantErr(t, first.Renew(t.Context()), ErrFenced)
	if first.Holds() || !second.Holds() {
		t.Error("the wrong one holds")
	}
	wantErr(t, second.Renew(t.Context()), nil)
	if !second.Head().Holds(nonce) {
		t.Error("a generation was written over")
	}
	b.Inject(storetest.Fault{Op: storetest.Put, Kind: storetest.After})
	wantErr(t, second.Renew(t.Context()), ErrInDoubt)
	wantErr(t, second.ResolveDoubt(t.Context()), nil)
	wantErr(t, second.Release(t.Context(), nil), nil)
}

// crossed is a store in which something happens right before a write.
type crossed struct {
	Root
	before func()
}

func (c crossed) PutIf(ctx context.Context, key string, body []byte, cond rclone.Cond) error {
	c.before()
	return c.Root.PutIf(ctx, key, body, cond)
}

// The holder renews between the look and the write of who takes its lease by force: that
// is no reason to give up.
func TestLeaseIsSeizedInTheMiddleOfARenewal(t *testing.T) {
	b := storetest.New()
	first := machineOf(t, b, "a")
	mustAcquire(t, first)
	var once sync.Once
	second := NewLease(crossed{b, func() { once.Do(func() { wantErr(t, first.Renew(t.Context()), nil) }) }}, LeaseOptions{
		Workspace: workspace, Self: Holder{Host: "b", Instance: NewID()}, TTL: time.Minute, Renew: time.Second,
	})
	wantErr(t, second.Seize(t.Context()), nil)
	if !second.Holds() {
		t.Error("it does not have it")
	}
	wantErr(t, first.Renew(t.Context()), ErrFenced)
}

// Where the store knows no conditions, who is asked for the lease still has it, sees that
// it was asked, and takes nobody for its twin.
func TestLeaseBestEffortIsAsked(t *testing.T) {
	b := storetest.New().Weak()
	first, second := machineOf(t, b, "a"), machineOf(t, b, "b")
	mustAcquire(t, first)
	if err := second.Acquire(t.Context()); !errors.As(err, new(*HeldByOther)) {
		t.Fatalf("got %v", err)
	}
	wantErr(t, second.Ask(t.Context()), nil)
	wantErr(t, first.Renew(t.Context()), nil)
	if asked := first.Asked(); asked == nil || asked.Host != "b" {
		t.Errorf("asked for by %+v", asked)
	}
	if rival := first.Rival(); rival != "" || !first.Holds() {
		t.Errorf("its twin is %q, and it holds: %v", rival, first.Holds())
	}
	wantErr(t, first.Release(t.Context(), nil), nil)
	mustAcquire(t, second)
}

func TestStake(t *testing.T) {
	ours := Claim{Workspace: "a/b/c", Replica: "r", Lineage: "1", Head: "s3:x"}
	tests := map[string]struct {
		there *Claim
		want  string
	}{
		"nobody's":        {nil, ""},
		"ours":            {&ours, ""},
		"another lineage": {&Claim{Workspace: "a/b/c", Replica: "r", Lineage: "2", Head: "s3:x"}, ""},
		"another's":       {&Claim{Workspace: "a/b/d", Replica: "r", Head: "s3:x"}, "claimed by replica \"r\" of a/b/d"},
		"another replica": {&Claim{Workspace: "a/b/c", Replica: "q", Head: "s3:x"}, "claimed by replica \"q\" of a/b/c"},
		"another head":    {&Claim{Workspace: "a/b/c", Replica: "r", Head: "s3:y"}, "under the head \"s3:y\""},
	}
	for name, tt := range tests {
		for _, weak := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, weak %v", name, weak), func(t *testing.T) {
				b := storetest.New()
				if weak {
					b.Weak()
				}
				if tt.there != nil {
					_, err := Stake(t.Context(), b, *tt.there, Look{})
					wantErr(t, err, nil)
				}
				got, err := Stake(t.Context(), b, ours, Look{})
				if tt.want == "" {
					if wantErr(t, err, nil); tt.there != nil && got.Lineage != tt.there.Lineage || tt.there == nil && got.Lineage != ours.Lineage {
						t.Errorf("the claim that is there is said to be %+v", got)
					}
					return
				}
				if wantErr(t, err, ErrClaimed); err == nil || !strings.Contains(err.Error(), tt.want) || len(hint.Of(err)) == 0 {
					t.Errorf("got %v, hints %v", err, hint.Of(err))
				}
			})
		}
	}
}

// The claim was looked for, a moment ago or just now, and made by another before
// ours arrived.
func TestStakeRace(t *testing.T) {
	for _, seen := range []Look{{}, {None: true}} {
		b := storetest.New()
		theirs := Claim{Workspace: "x/y/z", Replica: "r"}
		raced := false
		b.Hook(func(e storetest.Event) error {
			if e.Op == storetest.Put && !e.Done && !raced {
				raced = true
				_, err := Stake(t.Context(), b, theirs, Look{})
				return err
			}
			return nil
		})
		_, err := Stake(t.Context(), b, Claim{Workspace: "a/b/c", Replica: "r"}, seen)
		wantErr(t, err, ErrClaimed)
		there, err := ReadClaim(t.Context(), b)
		if wantErr(t, err, nil); there.Workspace != theirs.Workspace {
			t.Errorf("%+v: the claim was written over: %+v", seen, there)
		}
	}
}

// What was seen is not asked for again, and binds all the same.
func TestStakeSeen(t *testing.T) {
	b := storetest.New()
	b.Hook(func(e storetest.Event) error { return fmt.Errorf("asked: %v", e.Op) })
	ours := Claim{Workspace: "a/b/c", Replica: "r", Lineage: "1"}
	_, err := Stake(t.Context(), b, ours, Look{Found: &Claim{Workspace: "x/y/z", Replica: "r"}})
	wantErr(t, err, ErrClaimed)
	_, err = Stake(t.Context(), b, ours, Look{Found: &ours})
	wantErr(t, err, nil)
}

// somethingLeft are n paths that stay on a machine.
func somethingLeft(n int) []account.Left {
	var a account.Account
	a.AddCount(account.Moving, n, "it changes while it is read")
	return []account.Left{{Replica: "r", Parts: a.Parts()}}
}

// leftBehind counts what other machines left behind.
func leftBehind(l *Lease) int {
	n := 0
	for _, b := range l.LeftBehind() {
		n += account.CountOf(b.Left)
	}
	return n
}
