package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/coltec/coltec/pkg/account"
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
