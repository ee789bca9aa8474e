package engine

import (
	"context"
	"sync"

	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/watch"
)

// watch watches the trees of the replicas that are pushed, until the context
// ends; the result waits for that. What is seen brings a cycle forward: the walk
// at each interval is the truth.
func (e *Engine) watch(ctx context.Context) (wait func()) {
	ctx, cancel := context.WithCancel(ctx)
	var watchers sync.WaitGroup
	for _, m := range e.members {
		if !m.Watch || !m.writes() || m.Blocked != "" {
			continue
		}
		watchers.Go(func() {
			select {
			case <-ctx.Done():
				return
			case <-m.restored: // before that there may be no tree
			}
			watch.Run(ctx, watch.Options{
				Root: m.Path, Match: replica.Carried(m.Filter),
				Changed: func() { e.nudge(m) },
				Trouble: func(err error) { _ = e.call(ctx, func() { e.watched(m, err) }) },
			})
		})
	}
	return func() {
		cancel()
		watchers.Wait()
	}
}

// watchable says that the member's tree is there.
func (m *member) watchable() {
	select {
	case <-m.restored:
	default:
		close(m.restored)
	}
}

// nudge has a member's next cycle run soon. It never waits.
func (e *Engine) nudge(m *member) {
	if !m.nudged.Swap(true) {
		e.touched <- m
	}
}

// watched notes whether changes of a member are seen when they are made.
func (e *Engine) watched(m *member, err error) {
	if (err == nil) == (m.unwatched == nil) {
		return
	}
	m.unwatched = err
	if err != nil {
		e.o.Log.Warn("changes are seen at each interval only", "replica", m.Name, "error", err)
	}
	e.publish()
}
