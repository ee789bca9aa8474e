package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/status"
)

// lastRun is an engine that ends in one way, with one account.
type lastRun struct {
	replicator
	how  func() error
	only []account.Part
}

func (e lastRun) Run(context.Context) error { return e.how() }

func (e lastRun) Status() (status.Lease, []status.Replica, []string) {
	return status.Lease{}, []status.Replica{{Name: "w", OnlyHere: e.only}}, nil
}

// An engine that panicked had not looked at what it left: a stop said that all was well.
func TestWhatAnEngineLeaves(t *testing.T) {
	says := func(err error) func() error { return func() error { return err } }
	only := []account.Part{{Reason: account.Waiting, Count: 1, Names: []string{"note"}}}
	for name, tt := range map[string]struct {
		engine lastRun
		want   string
		is     error
	}{
		"nothing":                  {lastRun{how: says(nil)}, "", nil},
		"nothing, and it is alone": {lastRun{how: says(errors.New("held by b"))}, "", nil},
		"the lease":                {lastRun{how: says(fmt.Errorf("%w: throttled", account.ErrKept))}, "everything is in the bucket, but the lease could not be given back: throttled", account.ErrKept},
		"a change":                 {lastRun{how: says(nil), only: only}, `not everything is in the bucket: w: 1 change that waits for the lease: "note"`, account.ErrOnlyHere},
		"a change, and the lease":  {lastRun{how: says(account.ErrKept), only: only}, `not everything is in the bucket: w: 1 change that waits for the lease: "note"`, account.ErrOnlyHere},
		"who knows":                {lastRun{how: func() error { panic("boom") }}, "not everything is in the bucket: the last push ended with an internal error: boom, so more may be only here than was seen before it", account.ErrOnlyHere},
		"who knows, and a change":  {lastRun{how: func() error { panic("boom") }, only: only}, `the last push ended with an internal error: boom, so more may be only here than was seen before it: not everything is in the bucket: w: 1 change`, account.ErrOnlyHere},
	} {
		t.Run(name, func(t *testing.T) {
			r := &replication{log: slog.New(slog.DiscardHandler), engine: tt.engine, fatal: func(error) {}}
			r.start()
			<-r.done
			err := r.outcome(true)
			if !errors.Is(err, tt.is) || errors.Is(err, account.ErrOnlyHere) != (tt.is == account.ErrOnlyHere) || (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v is not %v", err, tt.is)
			}
		})
	}
}

// slow is an engine whose last push takes as long as a test says.
type slow struct {
	replicator
	pushed chan struct{}
}

func (e slow) Run(ctx context.Context) error {
	<-ctx.Done()
	<-e.pushed
	return nil
}

func (e slow) Status() (status.Lease, []status.Replica, []string) { return status.Lease{}, nil, nil }
func (e slow) SetStopTimeout(time.Duration)                       {}

// reloading is a replication that has begun to replace an engine whose last push goes on.
func reloading(t *testing.T) (r *replication, e slow, replaced chan struct{}, built *int) {
	e, built, replaced = slow{pushed: make(chan struct{})}, new(int), make(chan struct{})
	r = &replication{
		log: slog.New(slog.DiscardHandler), fatal: func(error) {}, changed: func() {},
		build: func(setting) (replicator, error) { *built++; return e, nil },
	}
	r.set(wiring(t, "name: w\nmetadata: {org: o, project: p}"))
	go func() {
		r.set(wiring(t, "name: w2\nmetadata: {org: o, project: p}"))
		close(replaced)
	}()
	synctest.Wait()
	return r, e, replaced, built
}

// While a reload waits for the last push of an engine, status is answered, and a stop ends in
// its time. No engine begins after that: it would take the lease, and leave it.
func TestAStopDuringAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, e, replaced, built := reloading(t)
		began := time.Now()
		r.status()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if ended := r.stop(ctx); ended || time.Since(began) != time.Second {
			t.Errorf("ended: %v after %v", ended, time.Since(began))
		}
		close(e.pushed)
		<-replaced
		r.set(wiring(t, "name: w3\nmetadata: {org: o, project: p}"))
		if *built != 1 {
			t.Errorf("%d engines were made", *built)
		}
	})
}

// An end by a signal is one too: what is asked for after it is refused.
func TestRefusedAfterASignal(t *testing.T) {
	d := watched(&changing{})
	signals := make(chan os.Signal, 1)
	signals <- syscall.SIGTERM
	if _, err := d.awaitEnd(signals); err != nil {
		t.Fatal(err)
	}
	if err := d.end.refusal(); !errors.Is(err, control.ErrStopping) {
		t.Error(err)
	}
}

// Who ends all processes of a name sends the keeper a signal and coltecd one, and the keeper
// hands its own on: the last push was cut off at once, as by a person who asks again.
func TestASecondSignal(t *testing.T) {
	term, handed := os.Signal(syscall.SIGTERM), os.Signal(handedOn)
	for name, tt := range map[string]struct {
		first os.Signal
		more  []os.Signal
		want  []bool
	}{
		"killall":               {term, []os.Signal{handed}, []bool{false}},
		"the other way round":   {handed, []os.Signal{term}, []bool{false}},
		"killall twice":         {term, []os.Signal{handed, term, handed}, []bool{false, true, true}},
		"to coltecd, twice":     {term, []os.Signal{term}, []bool{true}},
		"to the keeper, twice":  {handed, []os.Signal{handed}, []bool{true}},
		"after coltecd stop":    {nil, []os.Signal{term}, []bool{true}},
		"^C and another signal": {syscall.SIGINT, []os.Signal{term}, []bool{true}},
	} {
		second := stopRequest{by: tt.first}.seconds()
		var got []bool
		for _, sig := range tt.more {
			got = append(got, second(sig))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}
