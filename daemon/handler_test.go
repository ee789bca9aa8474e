package daemon

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/logfile"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/supervisor"
)

func TestChanges(t *testing.T) {
	sample := func() status.Document {
		return status.Document{
			State: status.Degraded, Lease: status.Lease{State: status.LeaseWaiting},
			Units:     []status.Unit{{Name: "web", State: "running"}, {Name: "bad", State: "failed"}},
			Replicas:  []status.Replica{{Name: "workspace", State: status.ReplicaRestoring}, {Name: "agents", State: status.ReplicaRetrying}},
			Attention: []string{"do this"},
		}
	}
	was, is := sample(), sample()
	is.State = status.Running
	is.Lease.State = status.LeaseHeld
	is.Units = append(is.Units[:1:1], status.Unit{Name: "new", State: "starting"})
	is.Replicas[0].State = status.ReplicaSynced
	is.Attention = append(is.Attention, "and that")
	var got []string
	for _, e := range changes(was, is) {
		got = append(got, strings.Join([]string{e.Subject, e.Name, e.From, e.To, e.Text}, "|"))
	}
	want := []string{
		"workspace||degraded|running|", "lease||waiting|held|",
		"unit|new||starting|", "unit|bad|failed||removed",
		"replica|workspace|restoring|synced|", "attention||||and that",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if again := changes(is, is); again != nil {
		t.Errorf("changes between equal documents: %v", again)
	}
}

// Who listens hears of a change at once, of many changes four times a second, of what
// nothing tells soon, and of the end.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := watched(&changing{})
		var state atomic.Value
		state.Store(status.Running)
		var got []string
		began := time.Now()
		done := make(chan error, 1)
		go func() {
			done <- d.follow(t.Context(), func() status.Document { return status.Document{State: state.Load().(status.State)} }, func(e control.Event) error {
				got = append(got, fmt.Sprintf("%s after %v", e.To, time.Since(began)))
				return nil
			})
		}()
		synctest.Wait()
		time.Sleep(time.Second)
		state.Store(status.Degraded)
		d.status.changed()
		for _, s := range []status.State{status.Running, status.Stopped, status.Disabled} {
			synctest.Wait()
			state.Store(s)
			d.status.changed()
		}
		time.Sleep(time.Second)
		state.Store(status.Running) // and nobody tells
		time.Sleep(unnotifiedEvery)
		close(d.end.over)
		d.status.changed()
		if err := <-done; err != nil {
			t.Error(err)
		}
		want := []string{"degraded after 1s", "disabled after 1.25s", "running after 3.5s"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// Who waits for the next status gets it at the change, at once where it is another one
// already, be it another coltecd's, and after a moment in any case.
func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := watched(&changing{})
		d.status = newTracker()
		look := func() status.Document { return status.Document{State: status.Degraded} }
		await := func(after uint64, want time.Duration) {
			t.Helper()
			began := time.Now()
			if doc, err := d.await(t.Context(), after, look); err != nil || doc.State != status.Degraded || time.Since(began) != want {
				t.Errorf("after %d: %v, %v in %v, want %v", after, doc.State, err, time.Since(began), want)
			}
		}
		index := d.status.now()
		d.status.changed()
		await(index, 0)
		index = d.status.now()
		go func() {
			time.Sleep(time.Second)
			d.status.changed()
		}()
		await(index, time.Second)
		await(d.status.now(), unnotifiedEvery)
		index = d.status.now()
		d.status = newTracker() // of the next coltecd, which has come as far
		d.status.changed()
		d.status.changed()
		await(index, 0)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := d.await(ctx, d.status.now(), look); err == nil {
			t.Error("it answers a client that went away")
		}
	})
}

// What changes while coltecd looks is after the status that it answers with: whoever waits
// from there on is not kept waiting.
func TestIndexOfAStatus(t *testing.T) {
	e := &changing{}
	d := watched(e)
	d.sup = supervisor.New(supervisor.Options{Logger: d.log.Logger})
	d.log.files = logfile.New(logfile.Options{Dir: t.TempDir()})
	d.rest = time.AfterFunc(far, func() {})
	d.conf.now = wiring(t, "name: w\nmetadata: {org: o, project: p}")
	e.looked = d.status.changed
	first := d.Status(t.Context()).Index
	if second := d.Status(t.Context()).Index; first != 0 || second != 1 {
		t.Errorf("the first status has index %d, the second %d: each look brings a change", first, second)
	}
}
