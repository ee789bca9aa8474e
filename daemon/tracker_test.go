package daemon

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/status"
)

// far is a limit that no test reaches.
const far = 24 * time.Hour

// A change between the look and the wait was seen at the next tick; one that is waited for
// must not be lost.
func TestTrackerLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var k tracker
		began := time.Now()
		seen := k.now()
		k.changed() // after the look, before the wait
		if err := k.wait(t.Context(), seen, far); err != nil || time.Since(began) != 0 {
			t.Errorf("a change before the wait: %v after %v", err, time.Since(began))
		}
		seen = k.now()
		for range 3 { // each of those who wait is woken
			go func() {
				if err := k.wait(t.Context(), seen, far); err != nil || time.Since(began) != time.Second {
					t.Errorf("a change during the wait: %v after %v", err, time.Since(began))
				}
			}()
		}
		synctest.Wait()
		time.Sleep(time.Second)
		k.changed()
		synctest.Wait()
		seen = k.now()
		if err := k.wait(t.Context(), seen, time.Minute); err != nil || time.Since(began) != time.Second+time.Minute {
			t.Errorf("no change: %v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("enough"))
		if err := k.wait(ctx, seen, far); err == nil || err.Error() != "enough" {
			t.Errorf("the end of who waits: %v", err)
		}
	})
}

// changing is an engine whose status a test sets.
type changing struct {
	replicator
	lease    status.Lease
	replicas []status.Replica
	looked   func() // after each look
}

func (e *changing) Takeover(context.Context, bool) error { return nil }

func (e *changing) Status() (status.Lease, []status.Replica, []string) {
	lease, replicas := e.lease, e.replicas
	if e.looked != nil {
		e.looked()
	}
	return lease, replicas, nil
}

// watched is a daemon over an engine that a test changes, with nothing that runs.
func watched(e *changing) *daemon {
	log := slog.New(slog.DiscardHandler)
	d := &daemon{log: &logbook{Logger: log}, end: newTermination()}
	d.replicas = &replication{log: log, engine: e, changed: d.status.changed}
	return d
}

// What the engine says while somebody looks at what it said before ends the wait: the
// services, and who took the lease over, do not wait for the next look.
func TestWaitsForTheEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &changing{replicas: []status.Replica{{Name: "w", State: status.ReplicaRestoring}}}
		d := watched(e)
		e.looked = func() { // at once after the look
			e.looked = nil
			e.replicas = []status.Replica{{Name: "w", State: status.ReplicaPaused}}
			d.status.changed()
		}
		began := time.Now()
		if err := d.awaitSettled(t.Context()); err != nil || time.Since(began) != 0 {
			t.Errorf("settled: %v after %v", err, time.Since(began))
		}
		e.lease = status.Lease{State: status.LeaseWaiting}
		e.looked = func() {
			e.looked = nil
			e.lease = status.Lease{State: status.LeaseHeld, Epoch: 4}
			d.status.changed()
		}
		var said []string
		err := d.awaitLease(t.Context(), func(line string) { said = append(said, line) })
		if err != nil || time.Since(began) != 0 || len(said) != 1 {
			t.Errorf("the lease: %v after %v, %q", err, time.Since(began), said)
		}
	})
}

// Who waits for a lease hears at once of the end of coltecd, and of an engine that a
// reload took away.
func TestWaitEndsWithTheEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &changing{lease: status.Lease{State: status.LeaseWaiting}}
		for name, end := range map[string]func(*daemon){
			control.ErrStopping.Error():                  func(d *daemon) { close(d.end.over); d.status.changed() },
			"cannot take over: " + errNoReplicas.Error(): func(d *daemon) { d.replicas.show(nil) },
		} {
			d := watched(e)
			began := time.Now()
			done := make(chan error, 1)
			go func() { done <- d.awaitLease(t.Context(), func(string) {}) }()
			synctest.Wait()
			end(d)
			if err := <-done; err == nil || err.Error() != name || time.Since(began) != 0 {
				t.Errorf("%v after %v, want %s", err, time.Since(began), name)
			}
		}
	})
}
