package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/store"
)

// lapsesMax is how often a lease that runs out during the last push is taken back.
const lapsesMax = 3

// finish is the end: what is only here goes into the bucket, logins too, and the lease back.
func (l *loop) finish() error { return errors.Join(l.finishReplicas(), l.turn.left()) }

// finishReplicas brings what is only here into the bucket, within its bound, and gives the
// lease back; account.ErrKept says that it could not do the latter. It does so in any state: a
// lease that was not taken yet, not taken back after a crash, or lost by a sleep, is
// taken for it where that is possible.
func (l *loop) finishReplicas() error {
	defer l.close()
	if !l.writers() {
		return nil
	}
	bound := time.Duration(l.stop.Load())
	ctx, cancel := context.WithTimeoutCause(context.Background(), bound, fmt.Errorf("the final flush took longer than %s", bound))
	defer cancel()
	l.surveyNow(ctx)
	for _, m := range l.members {
		m.report.unseen = l.pushes(m) // until its tree was walked
	}
	var err error
	for range lapsesMax {
		if err = l.regain(ctx); err == nil && l.writable() && (custody{l}).lastLogins(ctx) && l.flush(ctx) {
			pointReleased.Reach()
			heralding{&l.tenure}.farewell(ctx)
			l.o.Log.Info("lease released with the last commit", "dirty", l.lease.Head().Dirty)
			return nil
		}
		if err != nil || !l.lapsed() || ctx.Err() != nil {
			break
		}
		l.o.Log.Warn("the lease ran out during the last push, taking it again")
	}
	// Within the bound the flush may have used up: a look at what is left, and a
	// release, which is one request.
	last, cancelLast := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancelLast()
	l.surveyNow(last)
	if l.lease == nil || !l.lease.Holds() {
		return err
	}
	switch kept := l.giveBack(last); {
	case errors.Is(kept, store.ErrFenced):
		l.noteLease(kept)
		l.disbelieve(kept, l.now())
		return errors.Join(err, kept)
	case kept != nil:
		return errors.Join(err, fmt.Errorf("%w: %w", account.ErrKept, kept))
	}
	pointReleased.Reach()
	heralding{&l.tenure}.farewell(ctx)
	l.o.Log.Info("lease released", "dirty", l.lease.Head().Dirty)
	return err
}

// disbelieve notes that what was thought to be in the bucket may not be there: its head is
// an older one.
func (r *roster) disbelieve(why error, now time.Time) {
	if !errors.Is(why, store.ErrSetBack) {
		return
	}
	for _, m := range r.members {
		if m.Writes() {
			a := account.FromParts(m.report.here.Parts())
			a.Add(account.Blocked, ".", 0, anchor.OneLine(why))
			m.report.know(a, now)
		}
	}
}

// giveBack releases the lease, after it is known what became of the last write of the
// head: that may have been the release.
func (l *loop) giveBack(ctx context.Context) error {
	if l.lease.InDoubt() {
		if err := l.lease.ResolveDoubt(ctx); err != nil {
			return err
		}
		if err := l.resolve(ctx); err != nil {
			return err
		}
		l.surveyNow(ctx)
	}
	if !l.lease.Holds() {
		return nil
	}
	return l.lease.Release(ctx, l.left())
}

// justTried is how long an attempt to take the lease counts for one at the end.
const justTried = 3 * time.Second

// regain makes sure before the end that the outcome of the last write is known, and
// takes the lease where something is only here, or where the lease is ours already: a
// coltecd before this one that was killed had it, or a write of this one counted
// whose answer was lost.
func (l *loop) regain(ctx context.Context) error {
	if l.lease != nil && l.lease.InDoubt() {
		// Not before it is known: a pending generation that counted must not
		// be dropped.
		err := l.lease.ResolveDoubt(ctx)
		l.noteLease(err)
		if err == nil {
			err = l.resolve(ctx)
		}
		if err != nil {
			return err
		}
	}
	if l.writable() {
		return nil
	}
	if l.leaseErr != nil && l.now().Sub(l.leaseTry) < justTried {
		return l.leaseErr
	}
	if err := l.connectHead(ctx); err != nil {
		l.noteLease(err)
		return err
	}
	if len(l.left()) == 0 {
		if mine, err := l.lease.Mine(ctx); err != nil || !mine {
			return err
		}
	}
	err := l.acquire(ctx)
	l.noteLease(err)
	return err
}

// flush pushes what changed before the end, by priority and small files first,
// and commits each step on its own: what was sent counts, however soon the time
// is over. The last commit gives the lease back too, where it is known to be the
// last: one write of the head less, and some stores take one a second.
func (l *loop) flush(ctx context.Context) (released bool) {
	l.demoteStale()
	var due []*member
	for _, m := range l.members {
		l.stepMember(m, evSoon{})
		if m.Writes() && !m.ready() && !m.report.here.Empty() && m.due(l.now()) && ctx.Err() == nil {
			l.cycle(ctx, m, l.acquireOne) // it has something that can be pushed only then
			l.stepMember(m, evSoon{})
		}
		if m.Writes() && m.ready() && m.due(l.now()) {
			due = append(due, m)
		}
	}
	for i, m := range due {
		m.rep.ShortenSteps()
		tries := motionTries
		for again := true; again && !released && l.writable() && ctx.Err() == nil; {
			again, released = l.flushStep(ctx, m, i == len(due)-1, tries > 0)
			if m.report.here.Of(account.Moving) > 0 {
				tries--
				l.stepMember(m, evSoon{}) // the watches have ended: what moved may have another name
			}
		}
	}
	return released
}

// flushStep pushes one step of a member, and reports whether there may be more: what
// did not fit, and, where it is to be patient, what changed while it was read. With
// the last one of the last member the lease is given back.
func (l *loop) flushStep(ctx context.Context, m *member, last, patient bool) (more, released bool) {
	p := l.begin(ctx, m)
	if p == nil {
		return m.course.err == nil && patient && m.report.here.Of(account.Moving) > 0, false
	}
	more = p.more || patient && p.left.Of(account.Moving) > 0
	last = last && !more
	var changes []func(*store.Head)
	if last {
		l.surveyDue(ctx) // of a replica that failed meanwhile
		changes = append(changes, l.lease.GiveBack(l.left(p)))
	}
	// It was sent within the time; the commit is one request more.
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if l.conclude(bounded, []*prepared{p}, changes...) != nil {
		return false, false
	}
	return more, last
}

func (l *loop) close() {
	if l.lease != nil {
		l.lease.Close()
	}
	for _, m := range l.members {
		m.forget()
		if m.rep != nil {
			m.rep.Leave()
			m.rep.Close()
		}
	}
	l.publish()
}

// handOver flushes and gives the lease to who asked for it.
func (l *loop) handOver(ctx context.Context) {
	if !l.writable() || l.lease.Asked() == nil {
		return
	}
	to := *l.lease.Asked()
	l.o.Log.Info("handing over", "to", to.Host)
	if l.o.Turns != nil {
		bounded, cancel := context.WithTimeout(ctx, l.o.LeaseTTL/4) // nothing renews the lease meanwhile
		l.o.Turns(bounded)
		cancel()
	}
	for _, m := range l.members {
		l.stepMember(m, evSoon{})
	}
	l.handsOver(true)
	l.flushAll(ctx)
	l.handsOver(false)
	if ctx.Err() != nil {
		return // not all was pushed: the end does that, and gives it back
	}
	(custody{l}).lastLogins(ctx)
	if err := l.lease.Release(ctx, l.left()); err != nil {
		l.noteLease(err)
		return
	}
	heralding{&l.tenure}.farewell(ctx)
	l.eachWriter(evDemoted{})
	l.noteLease(&store.HeldByOther{Holder: to, LastSeen: l.now(), Free: l.o.LeaseTTL})
}

// handsOver has what is pushed go as it is, or not: who goes on from here has all of it.
func (r *roster) handsOver(now bool) {
	for _, m := range r.members {
		if m.rep != nil {
			m.rep.HandOver(now)
		}
	}
}

// flushAll pushes all that there is, and brings the accounts up to date of what is not
// pushed.
func (l *loop) flushAll(ctx context.Context) {
	for tries := motionTries; ctx.Err() == nil; tries-- {
		more, moving := l.push(ctx), false
		for _, m := range l.members {
			if l.pushes(m) && tries > 0 && m.report.here.Of(account.Moving) > 0 {
				moving = true
				l.stepMember(m, evSoon{})
			}
		}
		if !more && !moving {
			break
		}
	}
	l.surveyNow(ctx)
}
