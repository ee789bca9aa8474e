package engine

import (
	"sync"
	"time"

	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/status"
)

// meter counts what was asked of the store, within the last hour and in all.
// The zero value is ready; its methods may be called from any goroutine.
type meter struct {
	mu      sync.Mutex
	minutes [60]minute
	all     status.Cost // its counters
}

// minute is what was spent in one minute since 1970.
type minute struct {
	at       int64
	requests int
	bytes    int64
}

// add counts at a time.
func (m *meter) add(now time.Time, s rclone.Spent) {
	at := now.Unix() / 60
	m.mu.Lock()
	defer m.mu.Unlock()
	slot := &m.minutes[at%int64(len(m.minutes))]
	if slot.at != at {
		*slot = minute{at: at}
	}
	slot.requests += s.Requests
	slot.bytes += s.Sent + s.Received
	m.all.Requests += int64(s.Requests)
	m.all.Sent += s.Sent
	m.all.Received += s.Received
}

// fault counts work that failed.
func (m *meter) fault() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all.Errors++
}

// last is what was spent within the hour before a time and in all, with what a month of
// idling takes.
func (m *meter) last(now time.Time, idle float64) status.Cost {
	oldest := now.Unix()/60 - int64(len(m.minutes)) + 1
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.all
	c.IdlePerMonth = idle
	for _, slot := range m.minutes {
		if slot.at >= oldest {
			c.RequestsPerHour += float64(slot.requests)
			c.BytesPerHour += float64(slot.bytes)
		}
	}
	return c
}

// perMonth is how often something is done in thirty days that is done each d.
func perMonth(d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return (30 * 24 * time.Hour).Seconds() / d.Seconds()
}

// idleOf is how many requests a month takes of a replica with so many files, while nothing changes. One that is pushed into a
// snapshot asks nothing; a mirror is listed, once for each thousand objects and as
// often as makes one request for each interval; one that follows another reads
// claim, head and manifest, or lists.
func idleOf(r *scope.Replica, files int) float64 {
	cycles := perMonth(r.Interval)
	switch {
	case r.Blocked != "", r.Direction == scope.PushOnly, r.Writes() && r.Layout != "mirror":
		return 0
	case r.Writes():
		return cycles
	case r.Layout == "mirror":
		return cycles * float64(1+files/1000)
	}
	return cycles * 3
}
