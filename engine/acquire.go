package engine

import (
	"context"
	"errors"

	"github.com/coltec/coltec/pkg/history"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/store"
)

// restore brings every writer that is not ready to the state of the head.
func (l *loop) restore(ctx context.Context) {
	l.demoteStale()
	for _, m := range l.members {
		if !l.writable() {
			return
		}
		if m.Writes() && !m.ready() && m.due(l.now()) && ctx.Err() == nil {
			l.cycle(ctx, m, l.acquireOne)
			if m.course.err == nil {
				l.stepMember(m, evSoon{}) // what was edited meanwhile goes at once
			}
		}
	}
}

// acquireOne makes a writer ready: its prefix is ours, its tree shows what the
// head says, and every difference is a local edit.
func (l *loop) acquireOne(ctx context.Context, m *member) error {
	defer m.forget()
	if err := l.connectMember(ctx, m); err != nil {
		return err
	}
	if err := l.work(ctx, m.ahead.await); err != nil { // it may be a long listing
		return err
	}
	head := l.lease.Head()
	claim, err := l.stake(ctx, m)
	if err != nil {
		return err
	}
	m.lineage = claim.Lineage
	m.report.brake.allowed = head.Deletions[m.Name].Allowed
	l.stepMember(m, evPhase{phase: claimed})
	pointClaimed.Reach()
	if err := l.pass(m).open(head.Lineage, head.Generation); err != nil {
		return err
	}
	if err := l.resolveOne(ctx, m); err != nil {
		return err
	}
	if m.strays(head) {
		if err := l.startOver(m); err != nil {
			return err
		}
	}
	if err := l.run(ctx, m, func(ctx context.Context, p *pass) error { return p.receive(ctx, head) }); err != nil {
		return err
	}
	l.stepMember(m, evPhase{phase: received})
	if err := l.run(ctx, m, func(ctx context.Context, p *pass) error { return p.place(ctx) }); err != nil {
		return err
	}
	if err := l.surpass(ctx, m); err != nil {
		return err
	}
	l.stepMember(m, evPhase{ready, l.lease.Head().Epoch})
	m.count()
	l.o.Log.Info("replica restored", "replica", m.Name, "generation", head.Generation, "without", len(m.report.settled))
	return nil
}

// stake claims the member's prefix, with what was seen of it ahead.
func (t *tenure) stake(ctx context.Context, m *member) (*store.Claim, error) {
	head, seen := t.lease.Head(), m.ahead.wait()
	return store.Stake(ctx, m.remote, store.Claim{
		Workspace: head.Workspace, Replica: m.Name, Lineage: head.Lineage, Head: history.HeadAt(t.o.HeadRoot(), head.Workspace),
	}, store.Look{
		Found: seen.claim,
		// Of the head's own store it is known what it makes of conditions.
		None: errors.Is(seen.failed, rclone.ErrNotFound) && t.lease.Strong() && m.remote.Service() == t.head.Service(),
	})
}

// surpass makes a head that was made anew begin above the epochs of what a lost one
// left in a member's prefix: manifests are found by their epoch, and should this
// head be lost too, the newest must be its own.
func (t *tenure) surpass(ctx context.Context, m *member) error {
	if m.report.origin.epoch < t.lease.Head().Epoch {
		return nil
	}
	return t.lease.Surpass(ctx, m.report.origin.epoch)
}

// pull is one cycle of a pull-only replica.
func (l *loop) pull(ctx context.Context, m *member) error {
	if err := l.connectMember(ctx, m); err != nil {
		return err
	}
	head := l.head
	root := func(ctx context.Context) (_ scope.Remote, err error) {
		if head == nil {
			head, err = l.connect(ctx, scope.Target{Spent: l.spending(&l.heads)})
		}
		return head, err
	}
	err := l.run(ctx, m, func(ctx context.Context, p *pass) error { return p.follow(ctx, root) })
	l.head = head
	if err == nil { // not before all is placed: who waits for the restore looks at it
		l.stepMember(m, evPhase{phase: ready})
	}
	return err
}
