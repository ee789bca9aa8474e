package scope

import "testing"

// Whoever writes a prefix needs the lease. A direction that nobody knows is held to that.
func TestWrites(t *testing.T) {
	for d, want := range map[Direction]bool{Bidirectional: true, PushOnly: true, PullOnly: false, "": true} {
		if got := (&Replica{Direction: d}).Writes(); got != want {
			t.Errorf("%q: %v", d, got)
		}
	}
}
