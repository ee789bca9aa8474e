package engine

import (
	"context"
)

// cycle runs one step of a member and notes how it went.
func (l *loop) cycle(ctx context.Context, m *member, step func(context.Context, *member) error) {
	err := step(ctx, m)
	if ctx.Err() != nil && err != nil {
		return // stopping is not a failure
	}
	l.note(m, err)
}
