package engine

import (
	"slices"
	"time"
)

// phase is how far a replica has come with the head that there is.
type phase int

// The phases of a replica. An acquisition goes through them in this order, and begins
// again where the lease was lost, or the base was.
const (
	unclaimed phase = iota // its prefix was not looked at in this epoch
	claimed                // the prefix is ours, and the base is compared with the head
	received               // what the head says is known here, and is placed next
	ready                  // every difference is a local edit: it may be pushed
)

// course is where a replica stands, and when it has its next cycle. It is a value: step
// returns a changed copy, and only step writes it.
type course struct {
	phase    phase
	epoch    int64     // of the lease, in which it became ready
	paused   bool      // by a person
	err      error     // of the last cycle
	failures int       // one after the other
	next     time.Time // when the next cycle is due
	whole    time.Time // when the whole tree is to be walked again, whatever was touched
	survey   time.Time // when to look what is only here, while it is not pushed
	synced   time.Time // the last cycle that went through
	watched  bool      // what is due is so because the watch saw something
	gathers  time.Time // before it nothing that the watch sees brings a cycle forward
	allowed  bool      // somebody said that many deletions are right, for this cycle
	again    bool      // somebody asked for another try to place what could not be placed
}

// walk is what the next cycle depends on of the last one's walk through the tree.
type walk struct {
	hinted   bool      // it was of what was touched alone
	leftOver bool      // and left something to the next one
	putOff   time.Time // until when a step is put off; zero: it is not
	again    time.Time // when files are at rest of which it left out the last line; zero: there are none
	gathers  time.Time // until when changes are gathered; zero: they are not
}

// event is what a course, or the standing of the lease, reacts to: a closed set.
type event interface{ isEvent() }

type (
	evSoon    struct{} // a cycle is wanted at once, with a walk of the whole tree
	evTouched struct{} // the watch saw a change
	evNow     struct{} // a cycle is wanted at once, of what the watch told of
	evPhase   struct { // an acquisition came so far
		phase phase
		epoch int64
	}
	evDemoted struct{} // compare with the head before anything is written
	evWent    struct { // a cycle went through
		walk     walk
		interval time.Duration
	}
	evFailed     struct{ err, reason error } // a cycle failed; the reason says it for people
	evPaused     struct{ paused bool }
	evRetried    struct{ unplaced bool }    // everything that failed is tried again
	evAsked      struct{ allowed bool }     // a sync was asked for
	evAnswered   struct{}                   // and is over
	evUnsurveyed struct{}                   // what is only here is to be looked for now
	evSurveyed   struct{ in time.Duration } // what is only here is looked for again
)

func (evSoon) isEvent()       {}
func (evTouched) isEvent()    {}
func (evNow) isEvent()        {}
func (evPhase) isEvent()      {}
func (evDemoted) isEvent()    {}
func (evWent) isEvent()       {}
func (evFailed) isEvent()     {}
func (evPaused) isEvent()     {}
func (evRetried) isEvent()    {}
func (evAsked) isEvent()      {}
func (evAnswered) isEvent()   {}
func (evSurveyed) isEvent()   {}
func (evUnsurveyed) isEvent() {}

// action is what the engine does after a step.
type action int

const (
	actPublish   action = iota // what Status shows may have changed
	actOpenWatch               // the tree is there: its watch may begin
	actFail                    // it begins to fail
	actDemote                  // every writer compares itself with the head
	actSoon                    // every writer has a cycle at once
	actGather                  // there is something that waits for what else comes
)

// step is the course after an event, with what is to be done about it.
func (c course) step(ev event, at instant) (course, []action) {
	switch ev := ev.(type) {
	case evSoon:
		return c.soon(), nil
	case evTouched:
		return c.touched(at)
	case evNow:
		c.next, c.watched = time.Time{}, false
	case evPhase:
		c.phase = ev.phase
		if ev.phase == ready {
			c.epoch = ev.epoch
			return c, []action{actOpenWatch}
		}
	case evDemoted:
		c.phase = unclaimed
	case evWent:
		return c.went(ev, at), []action{actPublish}
	case evFailed:
		return c.failed(ev, at)
	case evPaused:
		c.paused = ev.paused
		if !ev.paused {
			c = c.soon()
		}
		return c, []action{actPublish}
	case evRetried:
		return c.retried(ev), nil
	case evAsked:
		c.failures, c.allowed, c.survey = 0, ev.allowed, time.Time{}
	case evAnswered:
		c.allowed = false
	case evUnsurveyed:
		c.survey = time.Time{}
	case evSurveyed:
		c.survey = at.now.Add(ev.in)
	}
	return c, nil
}

// touched brings the next cycle forward, to the end of a gathering where there is one: a walk
// before that would find what waits, and the next one would find it again.
func (c course) touched(at instant) (course, []action) {
	switch {
	case c.phase != ready || c.err != nil: // its own time counts
		return c, nil
	case c.paused || !at.now.Before(c.gathers):
		c.next, c.watched = time.Time{}, true // and no walk of the whole tree for it
		return c, nil
	case c.next.IsZero(): // somebody asked for it
		return c, nil
	}
	c.next, c.watched = c.gathers, true
	return c, []action{actGather}
}

func (c course) soon() course {
	c.next, c.whole, c.watched = time.Time{}, time.Time{}, false
	return c
}

// went says when the next cycle is due after one that went through. What was touched
// brings it forward and puts off no walk of the whole tree, and after what was left
// over each is one.
func (c course) went(ev evWent, at instant) course {
	c.err, c.failures, c.again = nil, 0, false
	if ev.walk.putOff.IsZero() {
		c.synced = at.now
	}
	interval := at.jitter(ev.interval)
	if !ev.walk.hinted {
		c.whole = at.now.Add(interval)
	}
	c.next = c.whole
	if ev.walk.leftOver {
		c.whole = time.Time{}
	}
	for _, at := range []time.Time{ev.walk.putOff, ev.walk.again} {
		if at.Before(ev.walk.gathers) && !at.IsZero() {
			at = ev.walk.gathers
		}
		if !at.IsZero() && at.Before(c.next) {
			c.next = at
		}
	}
	c.watched, c.gathers = false, ev.walk.gathers
	return c
}

func (c course) failed(ev evFailed, at instant) (course, []action) {
	did := []action{actPublish}
	if c.err == nil {
		did = slices.Insert(did, 0, actFail)
	}
	c.err, c.again = ev.reason, false
	c.failures++
	c.whole = time.Time{} // what was touched may not have come through
	c.next = at.now.Add(at.delay(c.failures))
	return c, did
}

func (c course) retried(ev evRetried) course {
	if c.err != nil {
		c.err, c.failures = nil, 0
		c = c.soon()
	}
	if ev.unplaced {
		c.again = true
		c = c.soon()
	}
	return c
}

// due reports whether a cycle is due.
func (c course) due(now time.Time) bool { return !c.paused && !c.next.After(now) }
