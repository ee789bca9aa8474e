package engine

import (
	"testing"
	"time"
)

// Workspaces that were started together do not renew together, and none too late
// for its ttl.
func TestRenewalsSpread(t *testing.T) {
	now := time.Now()
	for random, want := range map[float64]time.Duration{0: 57 * time.Second, 0.5: time.Minute, 1: 63 * time.Second} {
		e := New(Options{LeaseRenew: time.Minute})
		e.clock.Now, e.clock.random = func() time.Time { return now }, func() float64 { return random }
		e.renewed()
		if got := e.renewAt.Sub(now); got != want {
			t.Errorf("with chance at %v the next renewal is in %v, want %v", random, got, want)
		}
	}
}
