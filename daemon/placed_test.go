package daemon

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/coltec/coltec/pkg/status"
)

// A restore that has ended is news once, and nobody who looks meanwhile takes what was seen before.
func TestPlaced(t *testing.T) {
	done := time.Now()
	home := status.Replica{Name: "home", State: "restoring"}
	back := status.Replica{Name: "home", State: status.ReplicaSynced, LastSync: &done}
	folder := status.Replica{Name: "workspace", State: status.ReplicaSynced, LastSync: &done}
	var p placed
	for i, step := range []struct {
		replicas []status.Replica
		want     bool
	}{
		{nil, false}, {[]status.Replica{home}, false}, {[]status.Replica{back}, true}, {[]status.Replica{back}, false},
		{[]status.Replica{back, folder}, true}, {[]status.Replica{home, folder}, true}, {[]status.Replica{home, folder}, false},
	} {
		got := false
		p.look(status.Document{Replicas: step.replicas}, func() {
			got = true
			if p.mu.TryLock() {
				t.Errorf("step %d: somebody may look before what was seen is forgotten", i)
			}
		})
		if got != step.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
}

// coltec up said nothing of the agents of a home that had just been restored: who had asked a
// moment before was told of none, and so was up.
func TestAgentsOfAHomeThatIsBack(t *testing.T) {
	s, talk := agentHome(t)
	synctest.Test(t, func(t *testing.T) {
		var all turns
		talks := func() int { return all.status(s, looksEvery)[0].Talks }
		if n := talks(); n != 0 {
			t.Fatalf("%d conversations in a new home", n)
		}
		said(t, talk, claudeAnswer)
		time.Sleep(looksEvery / 2)
		all.forget()
		if n := talks(); n != 1 {
			t.Errorf("%d conversations after the restore, want 1", n)
		}
	})
}
