package engine

import (
	"context"
	"errors"
	"slices"

	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/store"
)

// push brings what changed into the bucket: every replica that is due, and one
// commit for all of them. It reports whether there is more than fitted into a step.
func (l *loop) push(ctx context.Context) (more bool) {
	ready := l.prepareDue(ctx)
	if len(ready) == 0 || l.conclude(ctx, ready) != nil {
		return false
	}
	return slices.ContainsFunc(ready, func(p *prepared) bool { return p.more })
}

// prepareDue prepares the next step of every replica that is due; none where the lease was
// lost meanwhile.
func (l *loop) prepareDue(ctx context.Context) (ready []*prepared) {
	l.demoteStale()
	for _, m := range l.members {
		if !l.writable() {
			l.abandon(ready)
			return nil
		}
		if !m.Writes() || !m.ready() || !m.due(l.now()) || ctx.Err() != nil {
			continue
		}
		if p := l.begin(ctx, m); p != nil {
			ready = append(ready, p)
		}
	}
	return ready
}

// begin prepares a member's next step; where there is none it is noted how that went.
func (l *loop) begin(ctx context.Context, m *member) *prepared {
	p, err := l.prepare(ctx, m)
	if p != nil {
		return p
	}
	l.noteStep(ctx, m, err)
	if err == nil && !m.ready() {
		l.stepMember(m, evSoon{}) // it is restored again, not an interval later
	}
	return nil
}

// conclude commits steps, and notes how that went: before it no cycle went through.
func (l *loop) conclude(ctx context.Context, steps []*prepared, changes ...func(*store.Head)) error {
	err := l.commit(ctx, steps, changes...)
	for _, p := range steps {
		if b := p.member.rep.Base(); b == nil || b.Pending == nil { // else it is freed once it is known what came of it
			p.step.Delta.Spool.Close()
		}
		l.noteStep(ctx, p.member, err)
		if err == nil && p.more {
			l.stepMember(p.member, evSoon{})
		}
	}
	if err != nil && !l.writable() { // else it is not the lease that is wrong
		l.noteAttempt(ctx, err)
	}
	return err
}

// abandon drops what cannot be committed now: the next cycle finds it again.
func (l *loop) abandon(steps []*prepared) {
	for _, p := range steps {
		p.step.Delta.Spool.Close()
		l.stepMember(p.member, evSoon{})
	}
}

// prepare scans, stages, sends and publishes. It is nil when nothing changed.
func (l *loop) prepare(ctx context.Context, m *member) (*prepared, error) {
	if err := m.rep.Check(); err != nil {
		if errors.Is(err, replica.ErrLost) {
			l.stepMember(m, evDemoted{})
		}
		return nil, err
	}
	// A commit that was in doubt may have been settled beside other work, and one of
	// several bases may have failed to note it.
	if err := l.resolveOne(ctx, m); err != nil {
		return nil, err
	}
	if !m.ready() { // it started over
		return nil, nil
	}
	var next *prepared
	head := l.lease.Head()
	epoch, generation := head.Epoch, head.Generation+1
	m.report.brake.allowed = head.Deletions[m.Name].Allowed
	if s, ok := m.layout.(*store.Snapshot); ok {
		s.SetCollection(head.Collection)
	}
	err := l.run(ctx, m, func(ctx context.Context, p *pass) (err error) {
		if err = p.refresh(ctx, head); err == nil {
			next, err = p.stage(ctx, epoch, generation)
		}
		return err
	})
	if next != nil {
		next.member = m
	}
	return next, err
}

// commit publishes all prepared replicas as one generation, with other changes of
// the head in the same write.
func (l *loop) commit(ctx context.Context, steps []*prepared, changes ...func(*store.Head)) error {
	if err := l.lease.ResolveDoubt(ctx); err != nil { // a renewal beside the work may be in doubt
		return err
	}
	nonce := store.NewID()
	refs := map[string]store.Ref{}
	for _, p := range steps {
		if err := p.member.rep.Base().Prepare(nonce, p.step.Delta); err != nil {
			return err
		}
		refs[p.member.Name] = p.ref
	}
	pointPrepared.Reach()
	if len(changes) == 0 && l.toldOfLeft() { // it is taken back once that is in the bucket
		changes = append(changes, l.lease.NoteLeftBehind(l.left(steps...)))
	}
	if err := l.lease.Commit(ctx, nonce, refs, func(h *store.Head) {
		adoptions(steps)(h)
		tellPassed(steps)(h)
		for _, change := range changes {
			change(h)
		}
	}); err != nil {
		if errors.Is(err, store.ErrInDoubt) {
			return err // the bases stay pending until it is known
		}
		return errors.Join(err, l.resolve(ctx))
	}
	pointCommitted.Reach()
	l.stepLease(evRenewed{l.o.LeaseRenew})
	for _, p := range steps {
		if err := p.member.rep.Base().Resolve(true); err != nil {
			return err
		}
		l.pushed(p)
	}
	pointResolved.Reach()
	l.publish()
	return nil
}

// pushed notes that a step is in the bucket.
func (l *loop) pushed(p *prepared) {
	m := p.member
	m.report.know(p.left, l.now())
	m.report.anew = false
	m.adopted(l.lease.Head())
	m.count()
	l.o.Log.Info("committed", "replica", m.Name, "generation", l.lease.Head().Generation,
		"changes", p.step.Delta.Len(), "deleted", p.step.Deleted)
	if l.o.Synced != nil {
		l.o.Synced(m.Name)
	}
}

// toldOfLeft reports whether the head says that this machine left something behind.
func (t *tenure) toldOfLeft() bool {
	return slices.ContainsFunc(t.lease.Head().LeftBehind, func(b store.LeftBehind) bool { return b.Of(t.o.Self) })
}

// adoptions notes in the head what the steps adopted, or were made anew from.
func adoptions(steps []*prepared) func(*store.Head) {
	return func(h *store.Head) {
		for _, p := range steps {
			if p.member.report.origin.orphan != "" {
				if h.Orphans == nil {
					h.Orphans = map[string]string{}
				}
				h.Orphans[p.member.Name] = p.member.report.origin.orphan
			}
			if p.adopted == "" {
				continue
			}
			if h.Adopted == nil {
				h.Adopted = map[string]string{}
			}
			h.Adopted[p.member.Name] = p.adopted
		}
	}
}

// tellPassed says in the head which deletions go with the steps of a commit.
func tellPassed(steps []*prepared) func(*store.Head) {
	return func(h *store.Head) {
		for _, p := range steps {
			h.Pass(p.member.Name, p.passing.allowed, p.passing.many)
		}
	}
}
