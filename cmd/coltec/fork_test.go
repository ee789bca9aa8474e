//go:build linux

package main

import (
	"context"
	"errors"
	"testing"
)

// What ended the others is the error of all, and not that they were ended: that may be seen first.
func TestSeveral(t *testing.T) {
	why, failed := errors.New("why"), make(chan struct{})
	err := several(t.Context(), []int{0, 1, 2, 3}, func(ctx context.Context, i int) error {
		if i == 3 {
			defer close(failed)
			return why
		}
		<-failed
		<-ctx.Done()
		return ctx.Err()
	})
	if !errors.Is(err, why) {
		t.Errorf("the error is %v", err)
	}
	count := make(chan int, 6)
	if err := several(t.Context(), []int{0, 1, 2, 3, 4, 5}, func(_ context.Context, i int) error { count <- i; return nil }); err != nil || len(count) != 6 {
		t.Errorf("%d were done: %v", len(count), err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if err := several(ctx, []int{0}, func(context.Context, int) error { return nil }); !errors.Is(err, why) {
		t.Errorf("the error is %v", err)
	}
}
