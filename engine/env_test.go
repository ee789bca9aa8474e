package engine

import (
	"testing"
	"time"
)

// Workspaces that were started together do not renew together, and none more often
// than it is told to.
func TestRenewalsSpread(t *testing.T) {
	now := time.Now()
	for random, want := range map[float64]time.Duration{0: time.Minute, 0.5: 63 * time.Second, 1: 66 * time.Second} {
		e := New(Options{LeaseRenew: time.Minute})
		e.clock.Now, e.clock.random = func() time.Time { return now }, func() float64 { return random }
		e.stepLease(evRenewed{time.Minute})
		if got := e.renewAt.Sub(now); got != want {
			t.Errorf("with chance at %v the next renewal is in %v, want %v", random, got, want)
		}
	}
}
