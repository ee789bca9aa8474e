package engine

import (
	"context"
)

// cycle runs one step of a member and notes how it went.
func (l *loop) cycle(ctx context.Context, m *member, step func(context.Context, *member) error) {
	l.noteStep(ctx, m, step(ctx, m))
}

// noteStep notes how a step of a member went. One that was cut off did not fail; what the
// watch had told of went with it, so the next one is of everything.
func (l *loop) noteStep(ctx context.Context, m *member, err error) {
	if ctx.Err() != nil && err != nil {
		l.stepMember(m, evSoon{})
		return
	}
	l.note(m, err)
}
