package engine

import (
	"context"
	"sync"
	"time"

	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/watch"
)

// watch watches the trees of the replicas that are pushed, until the context
// ends; the result waits for that. What is seen brings a cycle forward, which walks
// what was touched: the walk of the whole tree at each interval is the truth.
func (e *Engine) watch(ctx context.Context) (wait func()) {
	ctx, cancel := context.WithCancel(ctx)
	var watchers sync.WaitGroup
	for _, m := range e.members {
		if !m.Watch || !m.Writes() || m.Blocked != "" {
			continue
		}
		watchers.Go(func() {
			select {
			case <-ctx.Done():
				return
			case <-m.watch.open: // before that there may be no tree
			}
			if fs := watch.Shared(m.Path); fs != "" {
				e.noteShared(ctx, m, fs)
			}
			watch.Run(ctx, watch.Options{
				Root: m.Path, Match: m.watchMatcher(), Most: watchMost,
				Changed: func(dirs watch.Touched) { m.watch.hints.add(dirs); e.nudge(m) },
				Trouble: func(err error) { e.noteWatch(ctx, m, err) },
				Asked:   m.watch.asks,
			})
		})
	}
	return func() {
		cancel()
		watchers.Wait()
	}
}

// watchMost is how long what is written all the time waits: with what a step takes, a database
// in the bucket is no more than five seconds old.
const watchMost = 3 * time.Second

// toldMost is how long a watch has to tell of all that was done before it was asked. Above it
// a walk of the whole tree is not much slower.
const toldMost = 500 * time.Millisecond

// told are the members whose watch has told, by now, of all that was done before the call: of
// each a walk of that alone will do.
func (e *Engine) told(ctx context.Context) map[*member]bool {
	ctx, cancel := context.WithTimeout(ctx, toldMost)
	defer cancel()
	done := make([]chan struct{}, len(e.members))
	for i, m := range e.members {
		select {
		case <-m.watch.open:
		default:
			continue // it has not begun
		}
		answered := make(chan struct{})
		select {
		case m.watch.asks <- func(dirs watch.Touched) { m.watch.hints.add(dirs); close(answered) }:
			done[i] = answered
		case <-ctx.Done():
		}
	}
	told := map[*member]bool{}
	for i, m := range e.members {
		if done[i] == nil {
			continue
		}
		select {
		case <-done[i]:
			told[m] = true
		case <-ctx.Done():
		}
	}
	return told
}

// watchMatcher matches what of the member's tree is watched.
func (m *member) watchMatcher() watch.Matcher {
	return m.Wholes.Watched(replica.Carried(m.Filter))
}

// nudge has a member's next cycle run soon. It never waits.
func (e *Engine) nudge(m *member) {
	if !m.watch.nudged.Swap(true) {
		e.touched <- m
	}
}

// noteWatch notes whether changes of a member are seen when they are made.
func (e *Engine) noteWatch(ctx context.Context, m *member, err error) {
	_ = e.call(ctx, func() {
		if (err == nil) == (m.watch.unwatched == nil) {
			return
		}
		m.watch.unwatched = err
		if err != nil {
			e.o.Log.Warn("changes are seen at each interval only", "replica", m.Name, "error", err)
		}
		e.publish()
	})
}

// noteShared notes that a member's tree can be changed from where no watch sees it.
func (e *Engine) noteShared(ctx context.Context, m *member, fs string) {
	_ = e.call(ctx, func() {
		m.watch.sharedOn = fs
		e.o.Log.Info("changes made outside this machine or container are seen at each interval only", "replica", m.Name, "filesystem", fs)
		e.publish()
	})
}
