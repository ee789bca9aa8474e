package engine

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/store/storetest"
)

// TestWorkEndsWithTheLease: the store does not answer a renewal, and the lease runs out
// meanwhile. Work under way does not wait for the answer.
func TestWorkEndsWithTheLease(t *testing.T) {
	y := newYard(t, 1)
	a := y.box("a")
	var slept atomic.Int64
	tick := make(chan time.Time, 1)
	a.e.clock.ticker = func(time.Duration) (<-chan time.Time, func()) { return tick, func() {} }
	a.e.clock.Boot = func() time.Duration { return time.Duration(slept.Load()) }
	a.round()
	ended := make(chan struct{})
	y.faults = func(e storetest.Event) error {
		if e.Op != storetest.Put || e.Done {
			return nil
		}
		slept.Store(int64(time.Hour))
		select {
		case <-ended:
		case <-time.After(time.Minute):
			t.Error("the work goes on")
		}
		return errors.New("no answer")
	}
	tick <- time.Time{}
	a.e.renewAt = time.Time{}
	err := a.e.work(t.Context(), func(ctx context.Context) error {
		<-ctx.Done()
		close(ended)
		return context.Cause(ctx)
	})
	if !errors.Is(err, errLapsed) {
		t.Error(err)
	}
}

// TestWorkThatNeedsNoLease: a restore that a person asked for, and a tree that follows another,
// were cut off when the lease ran out.
func TestWorkThatNeedsNoLease(t *testing.T) {
	y := newYard(t, 1)
	a := y.box("a")
	var slept atomic.Int64
	tick := make(chan time.Time)
	a.e.clock.ticker = func(time.Duration) (<-chan time.Time, func()) { return tick, func() {} }
	a.e.clock.Boot = func() time.Duration { return time.Duration(slept.Load()) }
	a.round()
	for name, tt := range map[string]struct {
		work func(context.Context, func(context.Context) error) error
		goes bool
	}{"a restore": {a.e.workApart, true}, "a push": {a.e.work, false}} {
		slept.Store(0)
		err := tt.work(t.Context(), func(ctx context.Context) error {
			slept.Store(int64(time.Hour))
			tick <- time.Time{}
			tick <- time.Time{} // the first one has been looked at
			return ctx.Err()
		})
		if (err == nil) != tt.goes {
			t.Errorf("%s: %v", name, err)
		}
	}
}
