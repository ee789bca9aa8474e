package main

import (
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/status"
)

// up waits for what gets better by itself, and not for a store that nobody
// reaches: it once waited ten minutes for a restore that could not begin.
func TestSettling(t *testing.T) {
	const dead = "dial tcp 127.0.0.1:9: connect: connection refused"
	replica := func(state status.ReplicaState, bytes int64) status.Replica {
		r := status.Replica{Name: "w", State: state}
		if bytes > 0 {
			r.Progress = &status.Progress{Bytes: bytes, Files: bytes, TotalFiles: 99}
		}
		if state == status.ReplicaRetrying {
			r.LastError = dead
		}
		return r
	}
	synced := time.Unix(1, 0)
	type step struct {
		at    time.Duration
		r     status.Replica
		again bool
		says  string
	}
	retrying := func(at time.Duration, again bool, says string) step {
		return step{at, replica(status.ReplicaRetrying, 0), again, says}
	}
	tests := map[string][]step{
		"at once":          {{0, replica(status.ReplicaSynced, 0), false, ""}},
		"needs a person":   {{0, replica(status.ReplicaBlocked, 0), false, ""}},
		"pushing":          {{0, status.Replica{State: status.ReplicaSyncing, LastSync: &synced}, false, ""}},
		"a long restore":   {{0, replica(status.ReplicaWaiting, 0), true, "restoring"}, {time.Minute, replica(status.ReplicaRestoring, 7), true, "w: 7 of 99 files"}, {9 * time.Minute, replica(status.ReplicaSynced, 0), false, ""}},
		"a too long one":   {{11 * time.Minute, replica(status.ReplicaRestoring, 7), false, "goes on"}},
		"a fault passes":   {retrying(0, true, dead), retrying(19*time.Second, true, dead), {25 * time.Second, replica(status.ReplicaSynced, 0), false, ""}},
		"a fault stays":    {retrying(0, true, dead), retrying(21*time.Second, false, "")},
		"a late fault":     {{5 * time.Minute, replica(status.ReplicaRestoring, 0), true, ""}, retrying(5*time.Minute, true, dead), retrying(5*time.Minute+21*time.Second, false, "")},
		"a try that hangs": {retrying(0, true, dead), {10 * time.Second, replica(status.ReplicaRestoring, 0), true, "restoring"}, retrying(21*time.Second, false, "")},
		"it gets further":  {retrying(0, true, dead), {19 * time.Second, replica(status.ReplicaRestoring, 3), true, "3 of"}, retrying(30*time.Second, true, dead), {35 * time.Second, replica(status.ReplicaRestoring, 2), true, "2 of"}, retrying(50*time.Second, true, dead), retrying(56*time.Second, false, "")},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			began := time.Unix(100, 0)
			s := &settling{patience: restorePatience, began: began}
			for _, step := range steps {
				again, line := s.look(status.Document{State: status.Running, Replicas: []status.Replica{step.r}}, began.Add(step.at))
				if again != step.again || !strings.Contains(line, step.says) || step.says == "" && !again && line != "" {
					t.Errorf("at %s: %v %q, want %v %q", step.at, again, line, step.again, step.says)
				}
			}
		})
	}
	s := &settling{patience: restorePatience}
	other := status.Document{State: status.Degraded, Lease: status.Lease{State: status.LeaseWaiting}, Replicas: []status.Replica{replica(status.ReplicaWaiting, 0)}}
	if again, _ := s.look(other, time.Unix(0, 0)); again {
		t.Error("it waits for another machine")
	}
}
