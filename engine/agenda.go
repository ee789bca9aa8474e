package engine

import "time"

// agenda says what is to be done next, and when.
type agenda struct {
	*tenure
	*roster
}

// unsettled reports whether another round at once brings things further.
func (a agenda) unsettled() bool {
	holds := a.writable() || a.lapsed()
	for _, m := range a.members {
		if m.course.err == nil && m.due(a.now()) && (holds || !m.Writes()) {
			return true
		}
	}
	return false
}

// due is when the next thing is to be done.
func (a agenda) due() time.Time {
	due := a.now().Add(time.Hour)
	earlier := func(t time.Time) {
		if t.Before(due) {
			due = t
		}
	}
	holds := a.writable()
	if holds {
		earlier(a.renewAt)
		earlier(a.collectAt)
		if _, at, wants := (heralding{a.tenure}).next(); wants {
			earlier(at)
		}
		if a.loginsDue() {
			earlier(a.turn.next)
		}
	} else if a.writers() {
		earlier(a.leaseAt)
	}
	for _, m := range a.members {
		if !m.course.paused && m.Blocked == "" && (holds || !m.Writes()) {
			earlier(m.course.next)
		}
	}
	return due
}
