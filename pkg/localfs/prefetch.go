package localfs

import (
	"context"
	"slices"

	"github.com/coltec/coltec/pkg/tree"
)

// InOrder gives entries and unknown paths together, nil at the end.
func InOrder(seen []Entry, unknown []Unknown) func() (*Met, error) {
	all := make([]Met, 0, len(seen)+len(unknown))
	for i := range seen {
		all = append(all, Met{Entry: seen[i]})
	}
	for i := range unknown {
		all = append(all, Met{Unknown: &unknown[i]})
	}
	slices.SortStableFunc(all, func(a, b Met) int { return tree.Compare(a.At(), b.At()) })
	i := -1
	return func() (*Met, error) {
		if i++; i >= len(all) {
			return nil, nil
		}
		return &all[i], nil
	}
}

// prefetchBatch is how many paths a walk hands over at a time.
const prefetchBatch = 256

// Prefetch lets a walk run a little ahead of who asks for what it meets. It ends
// early with ctx.
func Prefetch(ctx context.Context, walk func(ctx context.Context, visit func(*Met)) error) func() (*Met, error) {
	batches := make(chan []Met, 4)
	var failed error // set before the channel is closed
	go func() {
		defer close(batches)
		var batch []Met
		hand := func() {
			if len(batch) == 0 {
				return
			}
			select {
			case batches <- batch:
			case <-ctx.Done():
			}
			batch = make([]Met, 0, prefetchBatch)
		}
		failed = walk(ctx, func(m *Met) {
			if batch = append(batch, *m); len(batch) == prefetchBatch {
				hand()
			}
		})
		hand()
		if failed == nil && ctx.Err() != nil { // the last ones may not have been taken
			failed = context.Cause(ctx)
		}
	}()
	var batch []Met
	i := 0
	return func() (*Met, error) {
		if i == len(batch) {
			var more bool
			if batch, more = <-batches; !more {
				return nil, failed
			}
			i = 0
		}
		i++
		return &batch[i-1], nil
	}
}
