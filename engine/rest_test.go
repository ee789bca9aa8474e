package engine

import (
	"testing"
	"time"
)

// After a round that changed nothing nobody waits for what it had in memory, and yet an
// engine that is woken again and again does not give it back each time.
func TestRestsSoonAfterNothing(t *testing.T) {
	y := newYard(t, 1)
	a := y.box("a")
	y.advance(time.Hour)
	if got := a.e.restIn(); got != restSoon { // before it has asked the bucket
		t.Errorf("at the start it rests after %v, want %v", got, restSoon)
	}
	for _, step := range []struct {
		name  string
		after time.Duration // since the rest before
		saved bool
		want  time.Duration
	}{
		{"the first push", 10 * time.Second, true, restAfter},
		{"an idle round", 10 * time.Second, false, restSoon},
		{"woken at once", time.Second, false, restAfter},
		{"woken at once again", time.Second, false, restAfter},
		{"another idle round", restAfter, false, restSoon},
		{"a save", 10 * time.Second, true, restAfter},
		{"an idle round after it", 10 * time.Second, false, restSoon},
	} {
		y.advance(step.after)
		if step.saved {
			a.put("f", []byte(step.name))
		}
		a.round()
		if got := a.e.restIn(); got != step.want {
			t.Errorf("%s: it rests after %v, want %v", step.name, got, step.want)
		}
		a.e.rest()
	}
}
