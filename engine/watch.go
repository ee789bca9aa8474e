package engine

import (
	"context"
	"sync"

	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/repositories"
	"github.com/coltec/coltec/pkg/scope"
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
			case <-m.restored: // before that there may be no tree
			}
			if fs := watch.Shared(m.Path); fs != "" {
				_ = e.call(ctx, func() { e.noteShared(m, fs) })
			}
			watch.Run(ctx, watch.Options{
				Root: m.Path, Match: m.watchMatcher(),
				Changed: func(dirs watch.Touched) { m.hints.add(dirs); e.nudge(m) },
				Trouble: func(err error) { _ = e.call(ctx, func() { e.noteWatch(m, err) }) },
			})
		})
	}
	return func() {
		cancel()
		watchers.Wait()
	}
}

// watchMatcher matches what of the member's tree is watched.
func (m *member) watchMatcher() watch.Matcher {
	if m.Git == scope.GitWhole {
		return repositories.Watched{Matcher: replica.Carried(m.Filter)}
	}
	return replica.Carried(m.Filter)
}

// openForWatch lets a watch of the member's tree begin: it is there.
func (m *member) openForWatch() {
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

// noteWatch notes whether changes of a member are seen when they are made.
func (e *Engine) noteWatch(m *member, err error) {
	if (err == nil) == (m.unwatched == nil) {
		return
	}
	m.unwatched = err
	if err != nil {
		e.o.Log.Warn("changes are seen at each interval only", "replica", m.Name, "error", err)
	}
	e.publish()
}

// noteShared notes that a member's tree can be changed from where no watch sees it.
func (e *Engine) noteShared(m *member, fs string) {
	m.sharedOn = fs
	e.o.Log.Info("changes made outside this machine or container are seen at each interval only", "replica", m.Name, "filesystem", fs)
	e.publish()
}

// hints gather what a watch tells, from its own goroutine, until a walk takes it.
// The zero value is of a tree of which everything may have changed.
type hints struct {
	mu   sync.Mutex
	dirs watch.Touched
}

func (h *hints) add(dirs watch.Touched) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dirs = h.dirs.Join(dirs)
}

func (h *hints) take() watch.Touched {
	h.mu.Lock()
	defer h.mu.Unlock()
	dirs := h.dirs
	h.dirs = watch.Touched{}
	return dirs
}

// toWalk is what the walk that begins now is of: what was touched since the last
// one, or nil, everything. What was told is taken for either: should the walk, or
// what comes after it, fail, the next one is of everything.
func (e *Engine) toWalk(m *member) map[string]bool {
	dirs := m.hints.take()
	if !m.wholeAt.After(e.now()) {
		dirs = nil
	}
	m.hinted = dirs != nil
	return dirs
}
