package engine

import (
	"context"
	"errors"
	"time"

	"github.com/coltec/coltec/pkg/collection"
)

// Run keeps the replicas until ctx ends, then flushes and releases.
func (e *Engine) Run(ctx context.Context) error {
	defer close(e.ended)
	defer e.watch(ctx)()
	defer e.watchLogins(ctx)()
	for ctx.Err() == nil {
		e.round(ctx)
		e.await(ctx)
	}
	return e.finish()
}

// Once does one full cycle: acquire, restore, push, release.
func (e *Engine) Once(ctx context.Context) error {
	defer close(e.ended)
	e.cycles(ctx)
	for (agenda{&e.tenure, &e.roster}).unsettled() && ctx.Err() == nil {
		e.cycles(ctx)
	}
	if e.writable() && e.now().Sub(collection.Last(e.lease.Head())) > collection.Overdue {
		e.stepLease(evCollect{0})
		collecting{e.loop}.collect(ctx)
	}
	last := e.finish() // what failed before may be done by that
	if last == nil && e.writers() {
		last = e.leaseErr
	}
	return errors.Join(failures(e.members), context.Cause(ctx), last)
}

// await sleeps until something is due, is asked for, or ctx ends.
func (e *Engine) await(ctx context.Context) {
	timer := time.NewTimer(max(agenda{&e.tenure, &e.roster}.due().Sub(e.now()), 0))
	defer timer.Stop()
	rest := time.NewTimer(e.restIn())
	defer rest.Stop()
	for e.asleep(ctx, timer, rest.C) {
		e.rest()
	}
}

const (
	// restAfter is how long nothing happens before the memory of bases is given back:
	// who saves files one after the other does not wait for them to be read again.
	restAfter = 3 * time.Second
	// restSoon is the same after a round that changed nothing: no save follows another.
	restSoon = 100 * time.Millisecond
)

// restIn is how long nothing has to happen from now on before the engine rests.
func (l *loop) restIn() time.Duration {
	if l.generation() == l.rested.generation && l.now().Sub(l.rested.at) >= restAfter {
		return restSoon
	}
	return restAfter
}

// rest gives back what only the last round needed.
func (l *loop) rest() {
	l.rested.generation, l.rested.at = l.generation(), l.now()
	for _, m := range l.members {
		if m.rep == nil || m.rep.Base() == nil {
			continue
		}
		if err := m.rep.Base().Unload(); err != nil {
			l.o.Log.Warn("the base stays in memory", "replica", m.Name, "error", err)
		}
	}
	if l.o.Rested != nil {
		l.o.Rested()
	}
}

// asleep sleeps until something is to be done; true: it was the time to rest.
func (e *Engine) asleep(ctx context.Context, due *time.Timer, rest <-chan time.Time) bool {
	for {
		select {
		case <-rest:
			return true
		case <-ctx.Done():
		case <-due.C:
		case c := <-e.commands:
			c.do()
			close(c.done)
		case m := <-e.touched:
			m.watch.nudged.Store(false)
			e.stepMember(m, evTouched{})
			if in := (agenda{&e.tenure, &e.roster}).due().Sub(e.now()); in > 0 { // it is gathered
				due.Reset(in)
				continue
			}
		case <-e.logins:
			e.turn.changed = true
		case <-e.herald.wakes:
		}
		return false
	}
}

// round does everything that is due, once, and what nobody waits for.
func (l *loop) round(ctx context.Context) {
	l.cycles(ctx)
	heralding{&l.tenure}.announce(ctx)
	collecting{l}.collect(ctx)
}

// cycles does everything that somebody may wait for.
func (l *loop) cycles(ctx context.Context) {
	if l.writers() {
		l.keepLease(ctx)
		l.handOver(ctx)
		custody{l}.keepLogins(ctx)
	}
	for _, m := range l.members {
		if !m.Writes() && m.due(l.now()) {
			l.cycle(ctx, m, l.pull)
		}
	}
	l.restore(ctx)
	l.push(ctx)
	l.surveyDue(ctx)
	l.publish()
}
