package localfs

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// drained are the paths that come, and the error that ends them.
func drained(next func() (*Met, error)) (paths []string, err error) {
	for {
		m, err := next()
		if m == nil || err != nil {
			return paths, err
		}
		paths = append(paths, m.At())
	}
}

func TestInOrder(t *testing.T) {
	got, err := drained(InOrder([]Entry{{Path: "a"}, {Path: "d"}, {Path: "d/x"}}, []Unknown{{Path: "d-"}, {Path: "b"}}))
	if diff := cmp.Diff([]string{"a", "b", "d", "d/x", "d-"}, got); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
}

func TestPrefetch(t *testing.T) {
	walk := func(n int, err error) func(context.Context, func(*Met)) error {
		return func(_ context.Context, visit func(*Met)) error {
			var m Met // one for all, as a walk has it
			for i := range n {
				m = Met{Entry: Entry{Path: fmt.Sprint(i)}}
				visit(&m)
			}
			return err
		}
	}
	broken := errors.New("it cannot be read")
	for _, n := range []int{0, 1, prefetchBatch, 9*prefetchBatch + 1} {
		for _, err := range []error{nil, broken} {
			got, failed := drained(Prefetch(t.Context(), walk(n, err)))
			if len(got) != n || !errors.Is(failed, err) {
				t.Errorf("%d of %d, %v", len(got), n, failed)
			}
			for i := range got {
				if got[i] != fmt.Sprint(i) {
					t.Fatalf("%d is %q", i, got[i])
				}
			}
		}
	}
}

// A walk that was stopped is none, though its function saw no error: its last paths may
// have gone nowhere.
func TestPrefetchStopped(t *testing.T) {
	stop := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	next := Prefetch(ctx, func(_ context.Context, visit func(*Met)) error {
		visit(&Met{Entry: Entry{Path: "a"}})
		cancel(stop)
		return nil
	})
	if _, err := drained(next); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
}
