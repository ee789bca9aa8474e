package engine

import (
	"context"
	"errors"
	"time"

	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
)

// How often the head is looked at while another holds the lease. A look is one GET
// while nothing changes.
const (
	lookIdle  = 15 * time.Second // to see it given back
	lookAsked = 5 * time.Second  // who asked has a person waiting
	lookPush  = 2 * time.Second  // the holder pushes what it has, and is done any moment
	lookDue   = time.Second      // the holder's renewal, at which it sees the request, is due
)

// lookIn says when to look at another's lease again.
func (t *tenure) lookIn(other *store.HeldByOther) time.Duration {
	free := max(other.Free, time.Second)
	if t.wanted.IsZero() {
		return min(free, lookIdle)
	}
	late := other.Age - other.Renew // since the renewal was due
	switch {
	case other.Met:
		return min(free, lookPush)
	case other.Renew == 0 || late > other.Renew/10+lookPush: // not known, or overdue
		return min(free, lookAsked)
	case late < 0:
		return min(free, lookAsked, max(-late, lookDue))
	}
	return min(free, lookDue)
}

// askAgain asks the holder again where the request is gone: one that slept past its
// lease takes it anew, and knows of no request. Nobody else's is written over.
func (e *Engine) askAgain(ctx context.Context, err error) {
	var other *store.HeldByOther
	if e.wanted.IsZero() || !errors.As(err, &other) || other.Request {
		return
	}
	if err := e.lease.Ask(ctx); err != nil {
		e.o.Log.Warn("the holder could not be asked again", "error", err)
	}
}

// holderView is a holder as status shows it.
func holderView(h store.Holder) *status.Holder {
	return &status.Holder{Host: h.Host, Container: h.Container, Since: h.Since}
}

// waitingView says whom the lease is waited for, and how far a request for it is. Who
// was promised the lease is not in the head as its holder yet.
func (t *tenure) waitingView(v *status.Lease, other *store.HeldByOther) {
	v.Holder = holderView(other.Holder)
	v.Holder.LastSeen = moment(other.LastSeen)
	if other.Doubt > 0 {
		v.Doubt = other.Error()
	}
	if t.wanted.IsZero() {
		return
	}
	v.Request = &status.Request{Time: t.wanted, Seen: other.Met}
	if !other.Asked {
		return
	}
	wrote := t.looked.Add(-other.Age)
	v.Request.Renewed, v.Request.Free = moment(wrote), moment(t.looked.Add(other.Free))
	if other.Renew > 0 && !other.Met {
		v.Request.Due = moment(wrote.Add(other.Renew + other.Renew/10))
	}
}

// twinAttention warns that another machine has our identity.
func (e *Engine) twinAttention() []string {
	if e.lease == nil || e.lease.Rival() == "" {
		return nil
	}
	text := e.lease.Rival() + ": give each an identity of its own"
	if e.o.Distinct != "" {
		text += ": " + e.o.Distinct
	}
	return []string{text}
}
