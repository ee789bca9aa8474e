package engine

import (
	"errors"
	"time"

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

// When garbage is looked for by this machine's clock: not while a session has just begun,
// when a person waits for files.
const (
	collectAfter = 10 * time.Minute // a lease was acquired
	collectAgain = time.Hour        // after a failure, and to see whether a day has gone by
)

// standing is how asking for the lease went, and when it is asked for, renewed, and used
// to collect garbage. It is a value: step returns a changed copy, and only step writes it.
// Whether the lease holds at a moment its clock says (store.Lease).
type standing struct {
	renewAt   time.Time
	leaseAt   time.Time    // when to ask for the lease again
	leaseFail int          // attempts that failed one after the other
	leaseErr  error        // of the last one
	leaseTry  time.Time    // when that was
	looked    time.Time    // when another's lease was looked at
	wanted    time.Time    // when we asked the holder to hand over; zero: we did not
	wantedOf  store.Holder // whom
	collectAt time.Time    // when to look for garbage
}

type (
	evRenewed  struct{ every time.Duration } // the lease is ours, from now on
	evHeld     struct{ every time.Duration } // asking for it, or writing with it, went well
	evNoLease  struct{ err error }           // it did not
	evAcquired struct{}                      // it is ours, and was another's or nobody's
	evUnkept   struct{}                      // a renewal failed, and it is ours still
	evWanted   struct{ of store.Holder }     // the holder was asked for it
	evOutrun   struct{}                      // another got it, who asked for it too
	evAskNow   struct{}                      // it is asked for at once
	evAskAnew  struct{}                      // and what went wrong before is not told any more
	evCollect  struct{ in time.Duration }    // garbage is looked for then
)

func (evRenewed) isEvent()  {}
func (evHeld) isEvent()     {}
func (evNoLease) isEvent()  {}
func (evAcquired) isEvent() {}
func (evUnkept) isEvent()   {}
func (evWanted) isEvent()   {}
func (evOutrun) isEvent()   {}
func (evAskNow) isEvent()   {}
func (evAskAnew) isEvent()  {}
func (evCollect) isEvent()  {}

// step is the standing after an event, with what is to be done about it.
func (s standing) step(ev event, at instant) (standing, []action) {
	switch ev := ev.(type) {
	case evRenewed:
		return s.renewed(ev.every, at), nil
	case evHeld:
		s.leaseTry = at.now
		s.leaseFail, s.leaseErr, s.wanted, s.wantedOf = 0, nil, time.Time{}, store.Holder{}
		return s.renewed(ev.every, at), []action{actPublish}
	case evNoLease:
		return s.refused(ev.err, at)
	case evAcquired:
		s.collectAt = at.now.Add(at.jitter(collectAfter))
		return s, []action{actDemote, actSoon}
	case evUnkept:
		s.renewAt = at.now.Add(at.delay(max(1, s.leaseFail)))
	case evWanted:
		s.wanted, s.wantedOf, s.leaseAt = at.now, ev.of, time.Time{}
	case evOutrun:
		s.wanted, s.wantedOf = time.Time{}, store.Holder{}
	case evAskNow:
		s.leaseAt = time.Time{}
	case evAskAnew:
		s.leaseAt, s.leaseFail, s.leaseErr = time.Time{}, 0, nil
	case evCollect:
		s.collectAt = at.now.Add(at.jitter(ev.in))
	}
	return s, nil
}

// renewed says when the next renewal is due. Workspaces that were started together
// do not renew together; a twentieth later is early enough for a ttl of more than twice that.
func (s standing) renewed(every time.Duration, at instant) standing {
	s.renewAt = at.now.Add(at.jitter(every))
	return s
}

// refused says when the lease is asked for again.
func (s standing) refused(err error, at instant) (standing, []action) {
	s.leaseTry, s.leaseErr = at.now, err
	s.leaseFail++
	s.leaseAt = at.now.Add(at.delay(s.leaseFail))
	var other *store.HeldByOther
	if errors.As(err, &other) {
		s.leaseFail, s.looked = 0, at.now
		s.leaseAt = at.now.Add(s.lookIn(other))
	}
	if errors.Is(err, store.ErrFenced) {
		s.leaseAt = at.now
		return s, []action{actDemote, actPublish}
	}
	return s, []action{actPublish}
}

// outrun reports whether another machine got the lease that this one asked for: it keeps it,
// or two that ask at once would take it from each other.
func (s standing) outrun(err error) bool {
	var other *store.HeldByOther
	return !s.wanted.IsZero() && errors.As(err, &other) && (other.Holder.Host != s.wantedOf.Host || other.Holder.Container != s.wantedOf.Container)
}

// lookIn says when to look at another's lease again.
func (s standing) lookIn(other *store.HeldByOther) time.Duration {
	free := max(other.Free, time.Second)
	if s.wanted.IsZero() {
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
