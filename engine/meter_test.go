package engine

import (
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/status"
)

func TestMeter(t *testing.T) {
	var m meter
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	m.add(noon, rclone.Spent{Requests: 3, Sent: 60, Received: 40})
	m.add(noon.Add(30*time.Second), rclone.Spent{Requests: 1})
	m.add(noon.Add(40*time.Minute), rclone.Spent{Requests: 10, Received: 1})
	m.fault()
	for after, want := range map[time.Duration]status.Cost{
		41 * time.Minute: {RequestsPerHour: 14, BytesPerHour: 101, IdlePerMonth: 7},
		59 * time.Minute: {RequestsPerHour: 14, BytesPerHour: 101, IdlePerMonth: 7},
		60 * time.Minute: {RequestsPerHour: 10, BytesPerHour: 1, IdlePerMonth: 7},
		99 * time.Minute: {RequestsPerHour: 10, BytesPerHour: 1, IdlePerMonth: 7},
		24 * time.Hour:   {IdlePerMonth: 7},
	} {
		want.Requests, want.Sent, want.Received, want.Errors = 14, 60, 41, 1 // these do not grow old
		if got := m.last(noon.Add(after), 7); got != want {
			t.Errorf("after %v: %+v, want %+v", after, got, want)
		}
	}
	m.add(noon.Add(time.Hour), rclone.Spent{Requests: 2}) // the slot of an hour before
	if got := m.last(noon.Add(time.Hour), 0); got.RequestsPerHour != 12 {
		t.Errorf("%+v", got)
	}
}

func TestIdleCost(t *testing.T) {
	for name, tt := range map[string]struct {
		replica scope.Replica
		files   int
		want    float64
	}{
		"snapshot":          {scope.Replica{Direction: scope.Bidirectional, Layout: "snapshot"}, 100_000, 0},
		"pushed":            {scope.Replica{Direction: scope.PushOnly, Layout: "mirror"}, 100_000, 0},
		"mirror":            {scope.Replica{Direction: scope.Bidirectional, Layout: "mirror"}, 100_000, 43_200},
		"followed mirror":   {scope.Replica{Direction: scope.PullOnly, Layout: "mirror"}, 2500, 3 * 43_200},
		"followed snapshot": {scope.Replica{Direction: scope.PullOnly, Layout: "snapshot"}, 100_000, 3 * 43_200},
		"blocked":           {scope.Replica{Direction: scope.PullOnly, Layout: "snapshot", Blocked: "no remote"}, 10, 0},
	} {
		tt.replica.Interval = time.Minute
		if got := idleOf(&tt.replica, tt.files); got != tt.want {
			t.Errorf("%s: %v a month, want %v", name, got, tt.want)
		}
	}
	e := New(Options{LeaseRenew: time.Minute, Replicas: []scope.Replica{{Direction: scope.Bidirectional}}})
	if got := e.idle(); got != 43_200 {
		t.Errorf("the head: %v a month", got)
	}
}
