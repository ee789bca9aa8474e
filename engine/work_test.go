package engine

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/status"
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

// TestWhatIsCutOffNeedsNobody: a replica whose transfer was cut off because the lease ran out
// was told as one that needs a person, and start --wait gave up a second before it went on.
func TestWhatIsCutOffNeedsNobody(t *testing.T) {
	for name, op := range map[string]storetest.Op{"a push": storetest.Upload, "a restore": storetest.Download} {
		t.Run(name, func(t *testing.T) {
			y := newYard(t, 1)
			a := y.box("a")
			a.put("f", []byte("one"))
			a.round()
			if op == storetest.Download {
				a.leave()
				a = y.box("b")
			} else {
				a.put("f", []byte("another"))
			}
			var slept atomic.Int64
			var cut atomic.Bool
			tick := make(chan time.Time)
			a.e.clock.ticker = func(time.Duration) (<-chan time.Time, func()) { return tick, func() {} }
			a.e.clock.Boot = func() time.Duration { return time.Duration(slept.Load()) }
			y.faults = func(e storetest.Event) error {
				if e.Op != op || e.Done || !cut.CompareAndSwap(false, true) {
					return nil
				}
				slept.Store(int64(time.Hour))
				for range 2 { // the first one has been looked at
					select {
					case tick <- time.Time{}:
					case <-time.After(10 * time.Second):
						return errors.New("nobody keeps the lease")
					}
				}
				return &rclone.Error{Op: string(op), Exit: -1, Class: rclone.Canceled}
			}
			for n := 0; n < 3 && !cut.Load(); n++ {
				a.e.stepMember(a.e.members[0], evSoon{})
				a.e.round(t.Context())
			}
			_, replicas, _ := a.e.Status()
			if r := replicas[0]; r.LastError == "" || r.State != status.ReplicaRetrying {
				t.Errorf("cut off %v: it is %s: %s", cut.Load(), r.State, r.LastError)
			}
		})
	}
}
