package frozen

// A capture is decided by step, which is pure: what was done last, and how it went, says what is
// to be done next. capture.go does it.

// action is what is to be done next.
type action string

// The actions.
const (
	actRehearse action = "rehearse"   // copy what changed, until little is left
	actBefore   action = "run before" // the hooks before
	actStop     action = "stop"       // have the writers stand still
	actCopy     action = "copy"       // copy what changed since
	actContinue action = "continue"   // have the writers go on
	actAfter    action = "run after"  // the hooks after
	actKeep     action = "keep"       // make what was copied the shadow
	actDrop     action = "drop"       // leave the shadow as it is
	actNothing  action = "do nothing" // it is over
)

// progress is how far a capture is. Only step writes it.
type progress struct {
	by      By
	hooks   bool   // there are hooks around it
	last    action // that was begun; "" before the first one
	stopped bool   // a stop was begun, and no continue
	owed    bool   // hooks before were begun, and none after
	failed  error  // the first thing that went wrong
}

// step takes over how the last action went, and gives the next one. Whatever fails: who was
// stopped goes on, and hooks after follow hooks before.
func (p progress) step(went error) (progress, action) {
	if p.failed == nil {
		p.failed = went
	}
	next := p.next()
	switch next {
	case actStop:
		p.stopped = true
	case actContinue:
		p.stopped = false
	case actBefore:
		p.owed = true
	case actAfter:
		p.owed = false
	}
	p.last = next
	return p, next
}

func (p progress) next() action {
	switch {
	case p.last == actKeep, p.last == actDrop, p.last == actNothing:
		return actNothing
	case p.stopped && (p.failed != nil || p.last == actCopy):
		return actContinue
	case p.failed != nil && p.owed:
		return actAfter
	case p.failed != nil:
		return actDrop
	}
	order := p.order()
	for i, a := range order {
		if a == p.last {
			return order[i+1]
		}
	}
	return order[0]
}

// order is that of a capture in which nothing fails. Hooks that make writers wait come late;
// those that have much written come before what that is copied in.
func (p progress) order() []action {
	switch {
	case p.by == Hook:
		return []action{actRehearse, actBefore, actCopy, actAfter, actKeep}
	case p.hooks:
		return []action{actBefore, actRehearse, actStop, actCopy, actContinue, actAfter, actKeep}
	}
	return []action{actRehearse, actStop, actCopy, actContinue, actKeep}
}
