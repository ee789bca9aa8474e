package engine

import (
	"context"
	"errors"
	"time"

	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
)

// tenure is the lease, and how it stands with it. The goroutine of Run owns it; while
// work is under way it waits for that, and renews alone.
type tenure struct {
	*env
	standing
	lease  *store.Lease
	head   scope.Remote      // the root that holds the head
	turn   loginTurn         // of the logins
	heads  meter             // what the head costs: all replicas share it
	tell   func(*store.Head) // what each head that is written says
	herald herald            // of those who look at many workspaces
}

// writable reports whether prefixes may be written: the lease is held, and the
// outcome of the last write of the head is known.
func (t *tenure) writable() bool {
	return t.lease != nil && t.lease.Holds() && !t.lease.InDoubt()
}

// leaseError says why there is no lease; nil when it is held.
func (t *tenure) leaseError() error {
	if t.writable() {
		return nil
	}
	return t.leaseErr
}

// lapsed reports whether a lease that was held ran out, so that it has to be taken
// again.
func (t *tenure) lapsed() bool {
	return t.leaseErr == nil && t.lease != nil && !t.lease.Holds()
}

// leaseless reports whether a member waits for the lease.
func (t *tenure) leaseless(m *member) bool {
	return m.Writes() && (t.lease == nil || !t.lease.Holds())
}

// knownHead is the head as it is known; nil: it is not.
func (t *tenure) knownHead() *store.Head {
	if t.lease == nil {
		return nil
	}
	return t.lease.Head()
}

// generation is the last one that is known to be committed; 0 for none.
func (t *tenure) generation() int64 {
	if head := t.knownHead(); head != nil {
		return head.Generation
	}
	return 0
}

// connectHead makes the lease of the head.
func (t *tenure) connectHead(ctx context.Context) error {
	root, err := t.root(ctx)
	if err != nil || t.lease != nil {
		return err
	}
	t.lease = store.NewLease(root, store.LeaseOptions{
		Workspace: t.o.Workspace.String(), Self: t.o.Self, TTL: t.o.LeaseTTL, Renew: t.o.LeaseRenew, Dead: t.o.Dead, Tell: t.tell,
		BestEffort: t.o.BestEffort, Clock: t.clock.Clock,
	})
	return nil
}

// root is the remote that holds the head; it is opened once.
func (t *tenure) root(ctx context.Context) (scope.Remote, error) {
	if t.head != nil {
		return t.head, nil
	}
	head, err := t.connect(ctx, scope.Target{Spent: t.spending(&t.heads)})
	if err != nil {
		return nil, err
	}
	t.head = head
	return head, nil
}

// asked is who holds the lease that we ask for.
func (t *tenure) asked() store.Holder {
	if h := t.knownHead(); h != nil {
		return h.Holder
	}
	return store.Holder{}
}

// askAgain asks the holder again where the request is gone: one that slept past its
// lease takes it anew, and knows of no request. Nobody else's is written over.
func (t *tenure) askAgain(ctx context.Context, err error) {
	var other *store.HeldByOther
	if t.wanted.IsZero() || !errors.As(err, &other) || other.Request {
		return
	}
	if err := t.lease.Ask(ctx); err != nil {
		t.o.Log.Warn("the holder could not be asked again", "error", err)
	}
}

// checkpointsShown is how many checkpoints status names: the newest are what one goes back to.
const checkpointsShown = 20

// leaseView is the lease as status shows it.
func (t *tenure) leaseView() status.Lease {
	v := status.Lease{State: status.LeaseNone}
	h := t.knownHead()
	if h == nil {
		return v
	}
	v.Epoch, v.Generation = h.Epoch, h.Generation
	for _, c := range h.Checkpoints[max(0, len(h.Checkpoints)-checkpointsShown):] {
		v.Checkpoints = append(v.Checkpoints, c.Name)
	}
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

// holderView is a holder as status shows it.
func holderView(h store.Holder) *status.Holder {
	return &status.Holder{Host: h.Host, Container: h.Container, Since: h.Since}
}

// waitingView says whom the lease is waited for, and how far a request for it is. Who
// was promised the lease is not in the head as its holder yet.
func (s standing) waitingView(v *status.Lease, other *store.HeldByOther) {
	v.Holder = holderView(other.Holder)
	v.Holder.LastSeen = moment(other.LastSeen)
	if other.Doubt > 0 {
		v.Doubt = other.Error()
	}
	if s.wanted.IsZero() {
		return
	}
	v.Request = &status.Request{Time: s.wanted, Seen: other.Met}
	if !other.Asked {
		return
	}
	wrote := s.looked.Add(-other.Age)
	v.Request.Renewed, v.Request.Free = moment(wrote), moment(s.looked.Add(other.Free))
	if other.Renew > 0 && !other.Met {
		v.Request.Due = moment(wrote.Add(other.Renew + other.Renew/10))
	}
}

// moment copies a time for a document; nil for none.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
