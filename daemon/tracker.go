package daemon

import (
	"context"
	"sync"
	"time"
)

// tracker counts the changes of the status, and wakes those who wait for the next one. To
// miss none, read the index, look, and then wait from that index on: a change between the
// look and the wait ends the wait at once. The zero value
// is ready to use.
type tracker struct {
	mu    sync.Mutex
	index uint64
	next  chan struct{} // closed at the next change; nil: nobody waits for it
}

// newTracker makes a tracker whose index no coltecd before this one had: clients compare
// theirs with it.
func newTracker() tracker { return tracker{index: uint64(time.Now().UnixMilli())} }

// changed records that the status is another one. It never waits.
func (t *tracker) changed() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.index++
	if t.next != nil {
		close(t.next)
		t.next = nil
	}
}

// now is the index of the last change.
func (t *tracker) now() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.index
}

// after gives a channel that is closed once there was a change after index.
func (t *tracker) after(index uint64) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.index != index {
		done := make(chan struct{})
		close(done)
		return done
	}
	if t.next == nil {
		t.next = make(chan struct{})
	}
	return t.next
}

// wait returns after a change that is later than index, after limit, or with ctx, whose
// cause is its error.
func (t *tracker) wait(ctx context.Context, index uint64, limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.after(index):
	case <-timer.C:
	}
	return nil
}

// pause lets time pass, however much changes. The error is that ctx ended.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
