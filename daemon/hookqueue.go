package daemon

import (
	"context"
	"log/slog"

	"github.com/coltec/coltec/hooks"
)

// hookRequest asks for the hooks of a point.
type hookRequest struct {
	point hooks.Point
	env   []string
}

// hooksQueued bounds how many hooks may wait: a slow hook of a busy workspace
// must not pile up for ever.
const hooksQueued = 32

// hookQueue runs hooks for the engine, which does not wait for them, one after the other.
type hookQueue struct {
	requests chan hookRequest
	log      *slog.Logger
	call     func(ctx context.Context, point hooks.Point, env []string) error
}

func newHookQueue(log *slog.Logger, call func(context.Context, hooks.Point, []string) error) hookQueue {
	return hookQueue{make(chan hookRequest, hooksQueued), log, call}
}

// add asks for hooks. It does not wait.
func (q hookQueue) add(point hooks.Point, env []string) {
	select {
	case q.requests <- hookRequest{point, env}:
	default:
		q.log.Warn("hook left out: too many wait", "point", point)
	}
}

// run runs what is added, until ctx ends.
func (q hookQueue) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case req := <-q.requests:
			err := guarded(q.log, func() error { return q.call(ctx, req.point, req.env) })
			if err != nil && ctx.Err() == nil {
				q.log.Warn("hook failed", "point", req.point, "error", err)
			}
		}
	}
}
