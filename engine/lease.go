package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
)

// The steps of the lease at which a crash test kills the process.
var (
	pointAcquired = killpoint.New("lease:acquired")
	pointRenewed  = killpoint.New("lease:renewed")
	pointReleased = killpoint.New("lease:released")
)

// keepLease takes the lease when it is not held and renews it when that is
// due.
func (e *Engine) keepLease(ctx context.Context) {
	now := e.now()
	switch {
	case e.writable():
		if now.Before(e.renewAt) {
			return
		}
		e.asked(ctx, e.renew(ctx))
	case now.Before(e.leaseAt):
	default:
		e.asked(ctx, e.acquire(ctx))
	}
}

// asked notes how asking for the lease went, but for an attempt that a stop cut off:
// that is not a failure, and the end makes one of its own.
func (e *Engine) asked(ctx context.Context, err error) {
	if err != nil && ctx.Err() != nil && !errors.As(err, new(*store.HeldByOther)) && !errors.Is(err, store.ErrFenced) {
		return
	}
	e.noteLease(err)
}

// writable reports whether prefixes may be written: the lease is held, and the
// outcome of the last write of the head is known.
func (t *tenure) writable() bool {
	return t.lease != nil && t.lease.Holds() && !t.lease.InDoubt()
}

// noteLease notes how asking for the lease went.
func (e *Engine) noteLease(err error) {
	e.leaseTry = e.now()
	if err == nil {
		e.leaseFail, e.leaseErr, e.wanted = 0, nil, time.Time{}
		e.renewed()
		e.publish()
		return
	}
	e.leaseErr = err
	e.leaseFail++
	e.leaseAt = e.now().Add(e.policy.Delay(e.leaseFail, e.clock.random))
	var other *store.HeldByOther
	if errors.As(err, &other) {
		e.leaseFail, e.looked = 0, e.now()
		e.leaseAt = e.looked.Add(e.lookIn(other))
	}
	if errors.Is(err, store.ErrFenced) {
		e.demoteWriters()
		e.leaseAt = e.now()
	}
	e.o.Log.Warn("no lease", "error", err, "next", e.leaseAt)
	e.publish()
}

// renewed says when the next renewal is due. Workspaces that were started together
// do not renew together; a twentieth later is early enough for a ttl of more than twice that.
func (e *Engine) renewed() { e.renewAt = e.now().Add(e.jitter(e.o.LeaseRenew)) }

// demoteWriters has every writer compare itself with the head before it writes again.
func (e *Engine) demoteWriters() {
	for _, m := range e.members {
		if m.Writes() {
			m.ready = false
		}
	}
}

// unready makes every writer that was acquired in another epoch compare itself
// with the head again: a write that took the lease may turn out to have counted
// at any moment, and others may have written since the epoch before.
func (e *Engine) unready() {
	for _, m := range e.members {
		if m.Writes() && e.writable() && m.epoch != e.lease.Head().Epoch {
			m.ready = false
		}
	}
}

// leaseError says why there is no lease; nil when it is held.
func (t *tenure) leaseError() error {
	if t.writable() {
		return nil
	}
	return t.leaseErr
}

// acquire takes the lease, and finds out what became of commits whose outcome
// a crash or a fault hid.
func (e *Engine) acquire(ctx context.Context) error {
	if err := e.connectHead(ctx); err != nil {
		return err
	}
	wasHeld := e.lease.Holds()
	if e.lease.InDoubt() && wasHeld {
		// A hiccup, not a loss: the same write again.
		if err := e.lease.Settle(ctx); err != nil {
			return err
		}
		return e.resolve(ctx)
	}
	drop := e.lookAhead(ctx)
	if err := e.lease.Acquire(ctx); err != nil {
		drop()
		e.askAgain(ctx, err)
		if told := (*rclone.Error)(nil); errors.As(err, &told) {
			err = fmt.Errorf("%s: %w", e.o.HeadRoot(), err) // the bucket, by name
		}
		return err
	}
	pointAcquired.Reach()
	e.acquired()
	return nil
}

// acquired makes every writer compare itself with the head before it pushes.
func (e *Engine) acquired() {
	e.demoteWriters()
	e.collectAt = e.now().Add(collectAfter)
	for _, m := range e.members {
		if m.Writes() {
			m.soon()
		}
	}
	e.o.Log.Info("lease acquired", "epoch", e.lease.Head().Epoch, "generation", e.lease.Head().Generation)
}

// handOver flushes and gives the lease to who asked for it.
func (e *Engine) handOver(ctx context.Context) {
	if !e.writable() || e.lease.Asked() == nil {
		return
	}
	to := *e.lease.Asked()
	e.o.Log.Info("handing over", "to", to.Host)
	for _, m := range e.members {
		m.soon()
	}
	e.flushAll(ctx)
	if err := e.lease.Release(ctx, e.left()); err != nil {
		e.noteLease(err)
		return
	}
	e.demoteWriters()
	e.noteLease(&store.HeldByOther{Holder: to, LastSeen: e.now(), Free: e.o.LeaseTTL})
}

// flushAll pushes all that there is, and brings the accounts up to date of what is not
// pushed.
func (e *Engine) flushAll(ctx context.Context) {
	for tries := motionTries; ctx.Err() == nil; tries-- {
		more, moving := e.push(ctx), false
		for _, m := range e.members {
			if e.pushes(m) && tries > 0 && m.here.Of(account.Moving) > 0 {
				moving = true
				m.soon()
			}
		}
		if !more && !moving {
			break
		}
	}
	e.stockNow(ctx)
}

// Takeover asks the holder of the lease to flush and hand over. With force it
// takes the lease at once: what the holder did not commit is not here, and it
// merges that when it gets the lease back.
func (e *Engine) Takeover(ctx context.Context, force bool) error {
	var outcome error
	err := e.call(ctx, func() { outcome = e.takeOver(ctx, force) })
	return errors.Join(err, outcome)
}

func (e *Engine) takeOver(ctx context.Context, force bool) error {
	if !e.writers() {
		return errors.New("cannot take over: this workspace has no replica that writes")
	}
	if e.writable() {
		return nil
	}
	if err := e.connectHead(ctx); err != nil {
		return err
	}
	if !force {
		if err := e.lease.Ask(ctx); err != nil {
			return err
		}
		e.wanted, e.leaseAt = e.now(), time.Time{}
		return nil
	}
	if err := e.lease.Seize(ctx); err != nil {
		return err
	}
	e.acquired()
	e.noteLease(nil)
	return nil
}

// connectHead makes the lease of the head.
func (e *Engine) connectHead(ctx context.Context) error {
	root, err := e.root(ctx)
	if err != nil || e.lease != nil {
		return err
	}
	e.lease = store.NewLease(root, store.LeaseOptions{
		Workspace: e.o.Workspace.String(), Self: e.o.Self, TTL: e.o.LeaseTTL, Renew: e.o.LeaseRenew, Dead: e.o.Dead, Tell: e.tellHeld,
		BestEffort: e.o.BestEffort, Clock: e.clock.Clock,
	})
	return nil
}

// root is the remote that holds the head; it is opened once.
func (e *Engine) root(ctx context.Context) (scope.Remote, error) {
	if e.head != nil {
		return e.head, nil
	}
	head, err := e.o.Connect(ctx, scope.Target{Spent: e.spending(&e.heads)})
	if err != nil {
		return nil, &blockedError{err}
	}
	e.head = head
	return head, nil
}

func (e *Engine) renew(ctx context.Context) error {
	if err := e.lease.Renew(ctx); err != nil {
		return err
	}
	pointRenewed.Reach()
	e.o.Log.Debug("lease renewed", "epoch", e.lease.Head().Epoch)
	return nil
}

// resolve makes pending generations of the bases true, or drops them, as the
// head and its ancestry say.
func (e *Engine) resolve(ctx context.Context) error {
	for _, m := range e.members {
		if m.rep == nil || m.rep.Base() == nil {
			continue
		}
		if err := e.resolveOne(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) resolveOne(ctx context.Context, m *member) error {
	base := m.rep.Base()
	if base.Pending == nil {
		return nil
	}
	committed, err := e.lease.Committed(ctx, base.Pending.Nonce, base.Pending.Delta.Header.Generation-1)
	if errors.Is(err, store.ErrForgotten) {
		return e.startOver(m)
	}
	if err != nil {
		return err
	}
	e.o.Log.Info("pending generation resolved", "replica", m.Name, "committed", committed)
	e.adopted(m)
	return base.Resolve(committed)
}

// errLapsed says that the lease ran out unrenewed: nobody else need have it.
var errLapsed = errors.New("the lease ran out before it could be renewed: this machine slept, or the store did not answer")

// lapsed reports whether a lease that was held ran out, so that it has to be taken
// again.
func (t *tenure) lapsed() bool {
	return t.leaseErr == nil && t.lease != nil && !t.lease.Holds()
}

// expiryCheck is how often work under way looks whether the lease still holds:
// timers stand still while a laptop sleeps, the boot-time clock does not, and
// what is sent after the lease ran out lands in somebody else's mirror.
const expiryCheck = time.Second

// work runs something long while the lease is kept. It ends f when the lease
// is lost.
func (e *Engine) work(ctx context.Context, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan error, 1)
	// Before f begins: a machine that slept since has a lease to lose.
	held := e.lease != nil && e.lease.Holds()
	tick, stop := e.clock.ticker(expiryCheck)
	defer stop()
	go func() { done <- f(ctx) }()
	for {
		select {
		case err := <-done:
			return err
		case <-tick:
			switch {
			case !held:
			case !e.lease.Holds():
				cancel(errLapsed)
			case e.now().After(e.renewAt):
				e.renewDuring(ctx, cancel)
			}
		}
	}
}

// guard ends work under way when the lease runs out while an answer about it is waited
// for.
func (e *Engine) guard(cancel context.CancelCauseFunc) (stop func()) {
	lasts, done := e.lease.Lasts(), make(chan struct{})
	go func() {
		tick := time.NewTicker(expiryCheck)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				if !lasts() {
					cancel(errLapsed)
					return
				}
			}
		}
	}()
	return func() { close(done) }
}

// renewDuring renews beside work under way.
func (e *Engine) renewDuring(ctx context.Context, cancel context.CancelCauseFunc) {
	defer e.guard(cancel)()
	err := e.lease.Settle(ctx)
	if err == nil {
		err = e.lease.Renew(ctx)
	}
	e.renewed()
	switch {
	case err == nil:
	case errors.Is(err, store.ErrFenced):
		cancel(store.ErrFenced)
	case !e.lease.Holds():
		cancel(errLapsed)
	default:
		e.renewAt = e.now().Add(e.policy.Delay(1, e.clock.random))
	}
}

// lapsesMax is how often a lease that runs out during the last push is taken back.
const lapsesMax = 3

// finish brings what is only here into the bucket, within its bound, and gives the
// lease back; account.ErrKept says that it could not do the latter. It does so in any state: a
// lease that was not taken yet, not taken back after a crash, or lost by a sleep, is
// taken for it where that is possible.
func (e *Engine) finish() error {
	defer e.close()
	if !e.writers() {
		return nil
	}
	e.mu.Lock()
	bound := e.stop
	e.mu.Unlock()
	ctx, cancel := context.WithTimeoutCause(context.Background(), bound, fmt.Errorf("the final flush took longer than %s", bound))
	defer cancel()
	e.stockNow(ctx)
	for _, m := range e.members {
		m.unsure = e.pushes(m) // until its tree was walked
	}
	var err error
	for range lapsesMax {
		if err = e.regain(ctx); err == nil && e.writable() && e.flush(ctx) {
			pointReleased.Reach()
			e.o.Log.Info("lease released with the last commit", "dirty", e.lease.Head().Dirty)
			return nil
		}
		if err != nil || !e.lapsed() || ctx.Err() != nil {
			break
		}
		e.o.Log.Warn("the lease ran out during the last push, taking it again")
	}
	// Within the bound the flush may have used up: a look at what is left, and a
	// release, which is one request.
	last, cancelLast := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancelLast()
	e.stockNow(last)
	if e.lease == nil || !e.lease.Holds() {
		return err
	}
	switch kept := e.giveBack(last); {
	case errors.Is(kept, store.ErrFenced):
		e.noteLease(kept)
		e.disbelieve(kept)
		return errors.Join(err, kept)
	case kept != nil:
		return errors.Join(err, fmt.Errorf("%w: %w", account.ErrKept, kept))
	}
	pointReleased.Reach()
	e.o.Log.Info("lease released", "dirty", e.lease.Head().Dirty)
	return err
}

// disbelieve notes that what was thought to be in the bucket may not be there: its head is
// an older one.
func (e *Engine) disbelieve(why error) {
	if !errors.Is(why, store.ErrSetBack) {
		return
	}
	for _, m := range e.members {
		if m.Writes() {
			a := account.FromParts(m.here.Parts())
			a.Add(account.Blocked, ".", 0, anchor.OneLine(why))
			m.know(a, e.now())
		}
	}
}

// giveBack releases the lease, after it is known what became of the last write of the
// head: that may have been the release.
func (e *Engine) giveBack(ctx context.Context) error {
	if e.lease.InDoubt() {
		if err := e.lease.Settle(ctx); err != nil {
			return err
		}
		if err := e.resolve(ctx); err != nil {
			return err
		}
		e.stockNow(ctx)
	}
	if !e.lease.Holds() {
		return nil
	}
	return e.lease.Release(ctx, e.left())
}

// justTried is how long an attempt to take the lease counts for one at the end.
const justTried = 3 * time.Second

// regain makes sure before the end that the outcome of the last write is known, and
// takes the lease where something is only here, or where the lease is ours already: a
// coltecd before this one that was killed had it, or a write of this one counted
// whose answer was lost.
func (e *Engine) regain(ctx context.Context) error {
	if e.lease != nil && e.lease.InDoubt() {
		// Not before it is known: a pending generation that counted must not
		// be dropped.
		err := e.lease.Settle(ctx)
		e.noteLease(err)
		if err == nil {
			err = e.resolve(ctx)
		}
		if err != nil {
			return err
		}
	}
	if e.writable() {
		return nil
	}
	if e.leaseErr != nil && e.now().Sub(e.leaseTry) < justTried {
		return e.leaseErr
	}
	if err := e.connectHead(ctx); err != nil {
		e.noteLease(err)
		return err
	}
	if len(e.left()) == 0 {
		if mine, err := e.lease.Mine(ctx); err != nil || !mine {
			return err
		}
	}
	err := e.acquire(ctx)
	e.noteLease(err)
	return err
}

// stockNow brings the accounts up to date of what is not pushed, now.
func (e *Engine) stockNow(ctx context.Context) {
	for _, m := range e.members {
		m.stockAt = time.Time{}
	}
	e.stock(ctx)
}

// flush pushes what changed before the end, by priority and small files first,
// and commits each step on its own: what was sent counts, however soon the time
// is over. The last commit gives the lease back too, where it is known to be the
// last: one write of the head less, and some stores take one a second.
func (e *Engine) flush(ctx context.Context) (released bool) {
	e.unready()
	var due []*member
	for _, m := range e.members {
		m.soon()
		if m.Writes() && !m.ready && !m.here.Empty() && e.isDue(m) && ctx.Err() == nil {
			e.cycle(ctx, m, e.acquireOne) // it has something that can be pushed only then
			m.soon()
		}
		if m.Writes() && m.ready && e.isDue(m) {
			due = append(due, m)
		}
	}
	for i, m := range due {
		m.rep.Hurry()
		tries := motionTries
		for again := true; again && !released && e.writable() && ctx.Err() == nil; {
			again, released = e.flushStep(ctx, m, i == len(due)-1, tries > 0)
			if m.here.Of(account.Moving) > 0 {
				tries--
				m.soon() // the watches have ended: what moved may have another name
			}
		}
	}
	return released
}

// flushStep pushes one step of a member, and reports whether there may be more: what
// did not fit, and, where it is to be patient, what changed while it was read. With
// the last one of the last member the lease is given back.
func (e *Engine) flushStep(ctx context.Context, m *member, last, patient bool) (more, released bool) {
	var p *prepared
	e.cycle(ctx, m, func(ctx context.Context, m *member) (err error) {
		p, err = e.prepare(ctx, m)
		return err
	})
	if p == nil {
		return m.err == nil && patient && m.here.Of(account.Moving) > 0, false
	}
	more = p.more || patient && p.left.Of(account.Moving) > 0
	last = last && !more
	var changes []func(*store.Head)
	if last {
		e.stock(ctx) // of a replica that failed meanwhile
		changes = append(changes, e.lease.GiveBack(e.left(p)))
	}
	// It was sent within the time; the commit is one request more.
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := e.commit(bounded, []*prepared{p}, changes...); err != nil {
		e.note(m, err)
		e.noteLease(err)
		return false, false
	}
	return more, last
}

func (e *Engine) close() {
	if e.lease != nil {
		e.lease.Close()
	}
	for _, m := range e.members {
		m.forget()
		if m.rep != nil {
			m.rep.Leave()
			m.rep.Close()
		}
	}
	e.publish()
}

// leaseView is the lease as status shows it.
func (t *tenure) leaseView() status.Lease {
	v := status.Lease{State: status.LeaseNone}
	if t.lease == nil || t.lease.Head() == nil {
		return v
	}
	h := t.lease.Head()
	v.Epoch, v.Generation = h.Epoch, h.Generation
	if h.State == store.Held {
		v.Holder = holderView(h.Holder)
	}
	var other *store.HeldByOther
	switch {
	case t.lease.Holds() && !t.lease.Strong():
		v.State = status.LeaseBestEffort
	case t.lease.Holds():
		v.State = status.LeaseHeld
	case errors.As(t.leaseErr, &other):
		v.State = status.LeaseWaiting
		t.waitingView(&v, other)
	case errors.Is(t.leaseErr, store.ErrFenced):
		v.State = status.LeaseFenced
	}
	return v
}
