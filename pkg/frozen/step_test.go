package frozen

import (
	"errors"
	"slices"
	"testing"
)

// check says what is wrong with the order of the actions of a capture; fails are those that
// failed.
func check(did []action, fails map[action]bool) string {
	count := func(a action) (n int) {
		for _, d := range did {
			if d == a {
				n++
			}
		}
		return n
	}
	at := func(a action) int { return slices.Index(did, a) }
	switch {
	case count(actKeep)+count(actDrop) != 1:
		return "it is neither kept nor dropped, or twice"
	case count(actKeep) == 1 && slices.ContainsFunc(did[:len(did)-1], func(a action) bool { return fails[a] }):
		return "what failed is kept"
	case count(actStop) != count(actContinue) || at(actContinue) < at(actStop):
		return "who was stopped does not go on"
	case count(actBefore) != count(actAfter) || at(actAfter) < at(actBefore):
		return "hooks are no pair"
	case count(actStop) == 1 && at(actCopy) >= 0 && (at(actCopy) < at(actStop) || at(actCopy) > at(actContinue)):
		return "it is copied while nobody stands"
	case at(actContinue) >= 0 && at(actAfter) >= 0 && at(actAfter) < at(actContinue):
		return "hooks run while others stand for it"
	}
	return ""
}

// Whatever fails: who was stopped goes on, hooks are pairs, and nothing is kept.
func TestStep(t *testing.T) {
	all := []action{actRehearse, actBefore, actStop, actCopy, actContinue, actAfter, actKeep, actDrop}
	for _, p := range []progress{{by: Freeze}, {by: Freeze, hooks: true}, {by: Hook, hooks: true}, {by: Hook}} {
		for bits := range 1 << len(all) {
			fails := map[action]bool{}
			for i, a := range all {
				fails[a] = bits&(1<<i) != 0
			}
			var did []action
			went := error(nil)
			for q := p; len(did) < 20; {
				var next action
				if q, next = q.step(went); next == actNothing {
					if (q.failed != nil) != slices.ContainsFunc(did, func(a action) bool { return fails[a] }) {
						t.Fatalf("%+v: it failed: %v", p, q.failed)
					}
					break
				}
				did = append(did, next)
				if went = nil; fails[next] {
					went = errors.New(string(next))
				}
			}
			if why := check(did, fails); why != "" {
				t.Fatalf("%+v, failing %v: %q: %s", p, fails, did, why)
			}
			if bits == 0 && p.hooks && p.by == Freeze && len(did) != 7 {
				t.Errorf("it does %q", did)
			}
		}
	}
}
