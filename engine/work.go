package engine

import (
	"context"
	"errors"
	"time"

	"github.com/coltec/coltec/pkg/store"
)

// errLapsed says that the lease ran out unrenewed: nobody else need have it.
var errLapsed = errors.New("the lease ran out before it could be renewed: this machine slept, or the store did not answer")

// expiryCheck is how often work under way looks whether the lease still holds:
// timers stand still while a laptop sleeps, the boot-time clock does not, and
// what is sent after the lease ran out lands in somebody else's mirror.
const expiryCheck = time.Second

// run has a worker pass over a replica while the lease is kept, and takes over its
// report, however far it came.
func (l *loop) run(ctx context.Context, m *member, f func(ctx context.Context, p *pass) error) error {
	p := l.pass(m)
	work := l.work
	if !m.Writes() {
		work = l.workApart
	}
	err := work(ctx, func(ctx context.Context) error { return f(ctx, p) })
	m.report = p.report
	return err
}

// pass gives a worker what it needs of a member.
func (l *loop) pass(m *member) *pass {
	return &pass{
		env: l.env, Replica: m.Replica, connected: m.connected, report: m.report,
		lineage: m.lineage, ahead: m.ahead, whole: !m.course.whole.After(l.now()), watched: m.course.watched, allowed: m.course.allowed,
		hints: &m.watch.hints, waits: &m.waits, cost: &m.cost, show: l.shown.underWay(m),
	}
}

// work runs something long while the lease is kept. It ends f when the lease
// is lost.
func (l *loop) work(ctx context.Context, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	return l.keepDuring(ctx, cancel, f)
}

// workApart is work that needs no lease: it goes on when that is lost.
func (l *loop) workApart(ctx context.Context, f func(ctx context.Context) error) error {
	return l.keepDuring(ctx, func(error) {}, f)
}

// keepDuring keeps the lease while f runs. cancel is called when it is lost.
func (l *loop) keepDuring(ctx context.Context, cancel context.CancelCauseFunc, f func(ctx context.Context) error) error {
	done := make(chan error, 1)
	// Before f begins: a machine that slept since has a lease to lose.
	held := l.lease != nil && l.lease.Holds()
	tick, stop := l.clock.ticker(expiryCheck)
	defer stop()
	go func() { done <- f(ctx) }()
	for {
		select {
		case err := <-done:
			return err
		case <-tick:
			switch {
			case !held:
			case !l.lease.Holds():
				cancel(errLapsed)
			case l.now().After(l.renewAt):
				l.renewDuring(ctx, cancel)
			case heralding{&l.tenure}.dueDuring():
				l.announceDuring(ctx, cancel)
			}
		}
	}
}

// guard ends work under way when the lease runs out while an answer about it is waited
// for.
func (t *tenure) guard(cancel context.CancelCauseFunc) (stop func()) {
	lasts, done := t.lease.Lasts(), make(chan struct{})
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

// announceDuring says how the workspace is beside work under way.
func (l *loop) announceDuring(ctx context.Context, cancel context.CancelCauseFunc) {
	defer l.guard(cancel)()
	heralding{&l.tenure}.announce(ctx)
}

// renewDuring renews beside work under way.
func (l *loop) renewDuring(ctx context.Context, cancel context.CancelCauseFunc) {
	defer l.guard(cancel)()
	err := l.lease.ResolveDoubt(ctx)
	if err == nil {
		err = l.lease.Renew(ctx)
	}
	l.stepLease(evRenewed{l.o.LeaseRenew})
	switch {
	case err == nil:
	case errors.Is(err, store.ErrFenced):
		cancel(store.ErrFenced)
	case !l.lease.Holds():
		cancel(errLapsed)
	default:
		l.stepLease(evUnkept{})
	}
}
