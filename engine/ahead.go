package engine

import (
	"context"
	"errors"

	"github.com/coltec/coltec/pkg/history"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/store"
)

// foreseen is what was read of a writer's prefix while the lease was asked for.
// Reading harms nobody, and most of a start is waiting for one answer after the
// other; whatever is written waits for the lease. It is older than the lease, so
// it counts for that one acquisition only, and only as far as that is as good as
// new:
//   - a claim that was there, and that none was there: see store.Look;
//   - the plain objects of a prefix that the head, once it is ours, has published
//     nothing in: what an earlier tool writes meanwhile it might write a moment
//     after any listing.
type foreseen struct {
	done   chan struct{} // closed when the rest is there
	claim  *store.Claim
	failed error       // to read the claim
	plain  *store.Tree // nil: not listed
}

// lookAhead begins to read, but not each time for who waits until another gives the
// lease back. Where it is not had after all, drop ends it.
func (e *Engine) lookAhead(ctx context.Context) (drop func()) {
	for _, m := range e.members {
		m.forget() // what an acquisition before left
	}
	if e.leaseErr != nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var reads []func()
	for _, m := range e.members {
		if !m.Writes() || m.paused || m.Blocked != "" || e.connect(ctx, m) != nil {
			continue
		}
		var plain scope.Remote
		if m.Layout == "snapshot" {
			plain, _ = e.connectPlain(ctx, m) // whoever needs it says what is wrong
		}
		f := &foreseen{done: make(chan struct{})}
		m.ahead = f
		reads = append(reads, func() {
			defer close(f.done)
			f.read(ctx, m.remote, plain)
		})
	}
	e.clock.beside(func() {
		defer cancel()
		for _, read := range reads { // one by one: the lease is what is waited for
			read()
		}
	})
	return func() {
		cancel()
		for _, m := range e.members {
			m.forget()
		}
	}
}

func (f *foreseen) read(ctx context.Context, remote, plain scope.Remote) {
	f.claim, f.failed = store.ReadClaim(ctx, remote)
	if !errors.Is(f.failed, rclone.ErrNotFound) || plain == nil {
		return
	}
	if t, err := store.NewMirror(plain).Tree(ctx, ""); err == nil {
		f.plain = t
	}
}

// foresight waits for what is read ahead; its zero value when nothing is.
func (m *member) foresight() foreseen {
	if m.ahead == nil {
		return foreseen{}
	}
	<-m.ahead.done
	return *m.ahead
}

// forget drops what was read ahead.
func (m *member) forget() {
	m.foresight()
	m.ahead = nil
}

// stake claims the member's prefix, with what was seen of it ahead.
func (e *Engine) stake(ctx context.Context, m *member) (*store.Claim, error) {
	head, seen := e.lease.Head(), m.foresight()
	return store.Stake(ctx, m.remote, store.Claim{
		Workspace: head.Workspace, Replica: m.Name, Lineage: head.Lineage, Head: history.HeadAt(e.o.HeadRoot(), head.Workspace),
	}, store.Look{
		Found: seen.claim,
		// Of the head's own store it is known what it makes of conditions.
		None: errors.Is(seen.failed, rclone.ErrNotFound) && e.lease.Strong() && m.remote.Service() == e.head.Service(),
	})
}

// listPlain lists the plain objects in the prefix of a member that has published
// nothing, but for where that was done ahead.
func (m *member) listPlain(ctx context.Context, plain *store.Mirror, published bool) (*store.Tree, error) {
	if seen := m.foresight(); seen.plain != nil && !published {
		return seen.plain, nil
	}
	return plain.Tree(ctx, "")
}
