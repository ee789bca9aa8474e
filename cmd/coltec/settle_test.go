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
		"a too long one":   {{11 * time.Minute, replica(status.ReplicaRestoring, 7), false, "the restore is not finished; it continues in the background"}},
		"a fault passes":   {retrying(0, true, dead), retrying(19*time.Second, true, dead), {25 * time.Second, replica(status.ReplicaSynced, 0), false, ""}},
		"a fault stays":    {retrying(0, true, dead), retrying(21*time.Second, false, "")},
		"a late fault":     {{5 * time.Minute, replica(status.ReplicaRestoring, 0), true, ""}, retrying(5*time.Minute, true, dead), retrying(5*time.Minute+21*time.Second, false, "")},
		"a try that hangs": {retrying(0, true, dead), {10 * time.Second, replica(status.ReplicaRestoring, 0), true, "restoring"}, retrying(21*time.Second, false, "")},
		"it gets further":  {retrying(0, true, dead), {19 * time.Second, replica(status.ReplicaRestoring, 3), true, "3 of"}, retrying(30*time.Second, true, dead), {35 * time.Second, replica(status.ReplicaRestoring, 2), true, "2 of"}, retrying(50*time.Second, true, dead), retrying(56*time.Second, false, "")},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			began := time.Unix(100, 0)
			s := &restoreWatch{patience: restorePatience, began: began}
			for _, step := range steps {
				again, line := s.look(status.Document{State: status.Running, Replicas: []status.Replica{step.r}}, began.Add(step.at))
				if again != step.again || !strings.Contains(line, step.says) || step.says == "" && !again && line != "" {
					t.Errorf("at %s: %v %q, want %v %q", step.at, again, line, step.again, step.says)
				}
			}
		})
	}
	s := &restoreWatch{patience: restorePatience, began: time.Unix(0, 0)}
	other := status.Document{State: status.Degraded, Lease: status.Lease{State: status.LeaseWaiting}, Replicas: []status.Replica{replica(status.ReplicaWaiting, 0)}}
	if again, _ := s.look(other, time.Unix(0, 0)); again {
		t.Error("it waits for another machine")
	}
	// A replica that only pulls gets further whoever holds the lease.
	reads := replica(status.ReplicaRestoring, 3)
	reads.Direction = "pull-only"
	other.Replicas = append(other.Replicas, reads)
	if again, line := s.look(other, time.Unix(0, 0)); !again || line != "w: 3 of 99 files" {
		t.Errorf("it does not wait for a reader: %v %q", again, line)
	}
}

// up --timeout 0 has no end, as that of start --wait, and who runs out of time is told
// apart from who fails.
func TestSettlingInTime(t *testing.T) {
	restoring := status.Document{State: status.Running, Replicas: []status.Replica{{Name: "w", State: status.ReplicaRestoring}}}
	dead := status.Document{State: status.Degraded, Replicas: []status.Replica{{Name: "w", State: status.ReplicaRetrying}}}
	began := time.Unix(100, 0)
	for _, tt := range []struct {
		patience, at time.Duration
		doc          status.Document
		again, late  bool
	}{
		{0, 100 * time.Hour, restoring, true, false},
		{time.Minute, 59 * time.Second, restoring, true, false},
		{time.Minute, 61 * time.Second, restoring, false, true},
		{time.Second, 2 * time.Second, dead, false, true},
	} {
		s := &restoreWatch{patience: tt.patience, began: began}
		if again, _ := s.look(tt.doc, began.Add(tt.at)); again != tt.again || s.late != tt.late {
			t.Errorf("%+v: again %v, late %v", tt, again, s.late)
		}
	}
	s := &restoreWatch{patience: time.Hour, began: began}
	s.look(dead, began)
	if again, _ := s.look(dead, began.Add(time.Minute)); again || s.late {
		t.Errorf("a fault that stays: again %v, late %v", again, s.late)
	}
}

func TestHolds(t *testing.T) {
	since := time.Unix(1, 0)
	for want, h := range map[string]status.Holder{
		"a has the lease": {Host: "a"},
		"a has held the lease since " + since.Local().Format(time.DateTime): {Host: "a", Since: since},
	} {
		if got := holds(h); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
