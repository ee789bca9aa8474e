package engine

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/coltec/coltec/pkg/digest"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/store"
)

// herald says how the workspace is to those who look at many: the holder of the lease writes a
// digest beside the head when it is another than the last. The goroutine of Run owns it, but for
// what is told.
type herald struct {
	told  atomic.Pointer[digest.Digest] // of what is not in the head; any goroutine
	wakes chan struct{}                 // has room for one: that is another

	epoch   int64         // of the lease, in which all that follows is so
	began   time.Time     // when that was first seen
	said    digest.Digest // what was written last
	at      time.Time     // when; zero: nothing yet
	serial  int64
	names   []string // of the digests that there are, as far as is known, oldest first
	rests   refused
	behind  bool // what was to be deleted is there still: it is tried again with another digest
	pace    pace
	named   named
	leaving leaving
}

// named is what is told of checkpoints, which are made one after the other: before each step of
// an agent.
type named struct {
	newest digest.Digest // the last one that was seen; its checkpoint alone
	at     time.Time     // when that was seen first
	first  time.Time     // since when the newest is another than was told; zero: it is not
}

// refused says when the store is asked again for what this machine may not do there.
type refused struct{ writes, deletes time.Time }

// leaving is the digest of a head that gives the lease back.
type leaving struct{ name string }

const (
	// heraldPatience bounds the writing of a digest: it holds up what comes after it.
	heraldPatience = 5 * time.Second
	// farewellPatience bounds that of the last one, for which an end waits.
	farewellPatience = 2 * time.Second
	// heraldRests is for how long a new epoch has nothing to say while work is under way: most
	// often what it comes to is known by then.
	heraldRests = 3 * time.Second
	// namedRests is for how long no other checkpoint is made before the newest is told of, within
	// the five seconds in which what changes is to be seen; those without a rest are told of each
	// paceEvery.
	namedRests = 2 * time.Second
	// heraldAgain is how old a digest may be: a version that writes none may have taken the lease
	// since, so who looks believes none of a day.
	heraldAgain = 20 * time.Hour
	// refusedRests is for how long nothing is tried again that this machine's key may not do: each
	// try is a request, and holds up what comes after it.
	refusedRests = 10 * time.Minute
	// leftOver is how many digests of earlier epochs may lie there before the first of a new one
	// deletes them: whoever takes the lease, and changes nothing more, does not wait for that.
	leftOver = 8
)

// Tell gives what daemon knows of the workspace, for who looks at many. Any goroutine may call
// it.
func (e *Engine) Tell(told digest.Digest) {
	was := e.herald.told.Swap(&told)
	if was != nil && was.Same(told) {
		return
	}
	select {
	case e.herald.wakes <- struct{}{}:
	default:
	}
}

// heralding is what the lease's holder does about digests.
type heralding struct{ *tenure }

// digest is what is to be said of a head.
func (t heralding) digest(h *store.Head) digest.Digest {
	d := h.Digest()
	if told := t.herald.told.Load(); told != nil {
		d = d.With(*told)
	}
	return d.Rounded()
}

// begin begins with a new epoch: what lies there is what its head knew of.
func (t heralding) begin() {
	h, head := &t.herald, t.lease.Head()
	if h.epoch != head.Epoch {
		h.epoch, h.began, h.at, h.serial, h.names, h.behind = head.Epoch, t.now(), time.Time{}, 0, head.DigestNames(), false
	}
}

// next is when a digest is to be written; wants is false where there is nothing new.
func (t heralding) next() (d digest.Digest, at time.Time, wants bool) {
	if !t.o.Announce || !t.writable() || t.now().Before(t.herald.rests.writes) {
		return d, at, false
	}
	t.begin()
	h := &t.herald
	d = t.digest(t.lease.Head())
	switch {
	case h.at.IsZero():
		return d, h.pace.next(true), true
	case !d.Same(h.said):
		at := h.pace.next(d.NeedsMore(h.said))
		if calm := t.calm(d); d.SameButCheckpoint(h.said) && calm.After(at) {
			at = calm
		}
		return d, at, true
	}
	h.named.first = time.Time{}
	if h.behind {
		return d, h.pace.next(false), true
	}
	again := h.at.Add(heraldAgain)
	return d, again, !again.After(t.now())
}

// calm is when it is told that another checkpoint is the newest, and nothing else: whoever makes
// one after the other does not wait for that between them.
func (t heralding) calm(d digest.Digest) time.Time {
	n := &t.herald.named
	if !d.SameCheckpoint(n.newest) {
		n.newest, n.at = d, t.now()
	}
	switch {
	case d.SameCheckpoint(t.herald.said):
		n.first = time.Time{}
	case n.first.IsZero():
		n.first = t.now()
	}
	at := n.at.Add(namedRests)
	if last := n.first.Add(paceEvery); !n.first.IsZero() && last.Before(at) {
		return last
	}
	return at
}

// announce writes a digest, where one is due.
func (t heralding) announce(ctx context.Context) {
	d, at, wants := t.next()
	if wants && !at.After(t.now()) && ctx.Err() == nil {
		t.write(ctx, d)
	}
}

// dueDuring reports whether one is due while work is under way.
func (t heralding) dueDuring() bool {
	_, at, wants := t.next()
	rests := t.herald.at.IsZero() && t.now().Sub(t.herald.began) < heraldRests
	return wants && !rests && !at.After(t.now())
}

// write writes a digest, then deletes those before it: a listing finds one at any moment. What
// goes wrong is only logged, and tried again when the pace allows it.
func (t heralding) write(ctx context.Context, d digest.Digest) {
	h := &t.herald
	h.pace = h.pace.taken(t.now())
	h.serial++
	d.Serial = h.serial
	ctx, cancel := context.WithTimeout(ctx, heraldPatience)
	defer cancel()
	name, err := store.DigestName(t.o.Workspace.String(), d)
	if err != nil {
		h.said, h.at = d, t.now() // the name of the workspace has no room for it: who looks reads the head
		return
	}
	before, first := h.names, h.at.IsZero()
	h.names = store.LastDigests(append(slices.Clone(before), name)) // others go with garbage
	if err := t.put(ctx, name); err != nil {
		h.rests.writes = t.restsAfter(err)
		t.o.Log.Debug("the digest was not written", "error", err)
		return
	}
	h.said, h.at, h.named.first = d, t.now(), time.Time{}
	if len(before) == 0 || first && len(before) <= leftOver || t.now().Before(h.rests.deletes) {
		return
	}
	var keys []string
	for _, name := range before {
		keys = append(keys, store.DigestKey(t.o.Workspace.String(), name))
	}
	err = t.head.Delete(ctx, keys)
	h.behind = false
	if err != nil {
		h.rests.deletes = t.restsAfter(err)
		h.behind = h.rests.deletes.IsZero() // what may not be deleted waits for the next digest
		t.o.Log.Debug("digests of before were not deleted", "error", err)
		return
	}
	h.names = []string{name}
}

// restsAfter is until when something is not tried again that failed. Of a store that is out of
// reach the pace is enough: it is to be told at once when it is back.
func (t heralding) restsAfter(err error) time.Time {
	if rclone.ClassOf(err) != rclone.Unauthorized {
		return time.Time{}
	}
	return t.now().Add(refusedRests)
}

func (t heralding) put(ctx context.Context, name string) error {
	return t.head.PutIf(ctx, store.DigestKey(t.o.Workspace.String(), name), []byte(store.DigestBody), rclone.Cond{})
}

// note says in each head that is written which digests there are, so that the next holder can
// delete them. One that gives the lease back names that of itself, which is written after it.
func (t heralding) note(h *store.Head) {
	if !t.o.Announce {
		return
	}
	names, serial := h.DigestNames(), int64(0)
	if t.herald.epoch == h.Epoch {
		names, serial = store.LastDigests(t.herald.names), t.herald.serial
	}
	h.Digests, t.herald.leaving = names, leaving{}
	if h.State == store.Held {
		return
	}
	d := t.digest(h)
	d.Serial = serial + 1
	if name, err := store.DigestName(t.o.Workspace.String(), d); err == nil {
		h.Digests = store.LastDigests(append(h.Digests, name))
		t.herald.leaving = leaving{name}
	}
}

// farewell writes the digest of a head that has given the lease back.
func (t heralding) farewell(ctx context.Context) {
	name := t.herald.leaving.name
	if t.herald.leaving = (leaving{}); name == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewellPatience)
	defer cancel()
	if err := t.put(ctx, name); err != nil {
		t.o.Log.Debug("the last digest was not written", "error", err)
	}
}

// pace bounds how often digests are written, whatever goes back and forth: never two within
// paceGap, paceMost at once, and then one in paceEvery. The last paceKept are for what somebody
// is needed for.
type pace struct {
	last time.Time // when one was written
	full time.Time // when all are there again
}

const (
	paceGap   = 3 * time.Second
	paceEvery = time.Minute
	paceMost  = 5
	paceKept  = 2
)

// next is when one may be written.
func (p pace) next(pressing bool) time.Time {
	most := paceMost
	if !pressing {
		most -= paceKept
	}
	at := p.full.Add(-time.Duration(most-1) * paceEvery)
	if gap := p.last.Add(paceGap); gap.After(at) {
		return gap
	}
	return at
}

// taken is the pace after one was written.
func (p pace) taken(now time.Time) pace {
	if p.full.Before(now) {
		p.full = now
	}
	return pace{last: now, full: p.full.Add(paceEvery)}
}
