package engine

import (
	"context"
	"errors"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
)

// SyncOptions say how to sync.
type SyncOptions struct {
	AllowDelete bool // many deletions at once are right
}

// Sync runs the replicas' cycles now and waits for the outcome. No names mean
// all.
func (e *Engine) Sync(ctx context.Context, names []string, o SyncOptions) error {
	members, err := e.find(names)
	if err != nil {
		return err
	}
	var outcome error
	err = e.call(ctx, func() {
		for _, m := range members {
			e.stepMember(m, evAsked{o.AllowDelete})
		}
		e.stepLease(evAskNow{})
		e.syncAll(ctx, members)
		for _, m := range members {
			e.stepMember(m, evAnswered{})
		}
		if outcome = failures(members); outcome == nil && e.writers() {
			outcome = e.leaseError()
		}
		outcome = withOnlyHere(outcome, members)
	})
	return errors.Join(err, outcome)
}

// syncAll runs the members' cycles until all is in the bucket, as far as it can be.
func (l *loop) syncAll(ctx context.Context, members []*member) {
	for tries := motionTries; ; {
		for _, m := range members {
			l.stepMember(m, evSoon{})
		}
		before := l.generation()
		l.cycles(ctx)
		again, goesOn := false, tries > 0 || l.generation() > before
		for _, m := range members {
			if l.pushes(m) && m.Writes() {
				again = again || goesOn && m.report.here.Of(account.Deferred) > 0 || tries > 0 && m.report.here.Of(account.Moving)+m.report.here.Of(account.Unfinished) > 0
			}
		}
		if tries--; !again || ctx.Err() != nil {
			return
		}
	}
}

// Pause stops a replica's cycles until Resume. A transfer under way ends first.
func (e *Engine) Pause(ctx context.Context, name string) error {
	return e.change(ctx, name, evPaused{true})
}

// Resume goes on with a paused replica, at once.
func (e *Engine) Resume(ctx context.Context, name string) error {
	return e.change(ctx, name, evPaused{false})
}

func (e *Engine) change(ctx context.Context, name string, ev event) error {
	members, err := e.find([]string{name})
	if err != nil {
		return err
	}
	return e.call(ctx, func() { e.stepMember(members[0], ev) })
}

// Alone runs do in the engine's own goroutine, so that no cycle runs meanwhile,
// and the replica's next one at once after it.
func (e *Engine) Alone(ctx context.Context, name string, do func(ctx context.Context) error) error {
	var outcome error
	err := e.call(ctx, func() {
		outcome = e.workApart(ctx, do)
		if m := e.member(name); m != nil {
			e.stepMember(m, evSoon{})
		}
	})
	return errors.Join(err, outcome)
}

// Retry tries everything that failed or is blocked again, at once: a person may
// have mended it. Until it was tried Status does not repeat what went wrong before.
func (e *Engine) Retry(ctx context.Context) error {
	return e.call(ctx, func() {
		if e.leaseErr != nil && e.leaseView().State == status.LeaseNone {
			e.stepLease(evAskAnew{})
		}
		for _, m := range e.members {
			if m.Blocked == "" {
				e.stepMember(m, evRetried{len(m.report.unplaced) > 0})
			}
		}
		e.publish()
	})
}

// Takeover asks the holder of the lease to flush and hand over. With force it
// takes the lease at once: what the holder did not commit is not here, and it
// merges that when it gets the lease back.
func (e *Engine) Takeover(ctx context.Context, force bool) error {
	var outcome error
	err := e.call(ctx, func() { outcome = e.takeOver(ctx, force) })
	return errors.Join(err, outcome)
}

// FinishAdoption stops looking at the plain prefixes. Nothing in them is
// deleted.
func (e *Engine) FinishAdoption(ctx context.Context, names []string) error {
	members, err := e.find(names)
	if err != nil {
		return err
	}
	var outcome error
	err = e.call(ctx, func() {
		if !e.writable() {
			outcome = errors.Join(errors.New("the lease is not held"), e.leaseErr)
			return
		}
		outcome = e.lease.Commit(ctx, store.NewID(), nil, func(h *store.Head) {
			for _, m := range members {
				delete(h.Adopted, m.Name)
			}
		})
		for _, m := range members {
			if outcome == nil {
				m.report.origin.plain = nil
			}
		}
	})
	if err == nil {
		err = outcome
	}
	return err
}
