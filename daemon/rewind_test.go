package daemon

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coltec/coltec/engine"
	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
)

// doubtful is an engine whose rewinds come out as they are told to, one after the other; the last one again.
type doubtful struct {
	replicator
	outcomes []error
	calls    int
}

func (e *doubtful) Rewind(_ context.Context, o engine.RewindOptions) (engine.Rewound, error) {
	err := e.outcomes[min(e.calls, len(e.outcomes)-1)]
	e.calls++
	if e.calls > 1 && !errors.Is(err, store.ErrInDoubt) { // nothing differs any more
		return engine.Rewound{}, err
	}
	return engine.Rewound{Before: store.Checkpoint{Name: fmt.Sprint("before", e.calls)}}, err
}

func (e *doubtful) Status() (status.Lease, []status.Replica, []string) {
	return status.Lease{Generation: 7}, nil, nil
}

// A rewind that was in doubt and had counted is told as done, also where something is only here: it was told
// as one that had changed nothing, beside that error.
func TestUntilKnown(t *testing.T) {
	doubt, here, other := fmt.Errorf("cannot write head: %w", store.ErrInDoubt), fmt.Errorf("left: %w", account.ErrOnlyHere), errors.New("fenced")
	for _, tt := range []struct {
		outcomes   []error
		err        error
		generation int64
		before     string
		calls      int
	}{
		{[]error{doubt, nil}, nil, 7, "before1", 2},
		{[]error{doubt, doubt, nil}, nil, 7, "before1", 3},
		{[]error{doubt, here}, account.ErrOnlyHere, 7, "before1", 2},
		{[]error{doubt, other}, other, 0, "", 2},
		{[]error{other}, other, 0, "before1", 1},
		{[]error{doubt}, store.ErrInDoubt, 0, "before122", 122}, // two minutes, each second
	} {
		synctest.Test(t, func(t *testing.T) {
			e, began := &doubtful{outcomes: tt.outcomes}, time.Now()
			did, err := untilKnown(t.Context(), e, destination{}, func(string) {})
			if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) || did.Generation != tt.generation || did.Before.Name != tt.before || e.calls != tt.calls {
				t.Errorf("%v: %+v, %v after %d calls in %s", tt.outcomes, did, err, e.calls, time.Since(began))
			}
		})
	}
}
