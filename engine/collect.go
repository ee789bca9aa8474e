package engine

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/coltec/coltec/pkg/collection"
	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/store"
)

// When garbage is looked for by this machine's clock: not while a session has just begun,
// when a person waits for files.
const (
	collectAfter = 10 * time.Minute // a lease was acquired
	collectAgain = time.Hour        // after a failure, and to see whether a day has gone by
)

// The step of a collection at which a crash test kills the process.
var pointMarked = killpoint.New("collect:marked")

// collectDue reports whether this machine's clock thinks that it is time. The
// store's decides.
func (e *Engine) collectDue() bool {
	return e.writable() && !e.now().Before(e.collectAt)
}

// collect looks for garbage when a day has gone by since it was last done, by
// the store's clock, and else whether there are very many small objects. Nobody
// waits for it.
func (e *Engine) collect(ctx context.Context) {
	if !e.collectDue() || ctx.Err() != nil || e.lease.Asked() != nil {
		return
	}
	e.collectAt = e.now().Add(collectAgain)
	if len(e.lease.Head().Orphans) > 0 || e.orphaned() {
		// The generations of a lost head are in no log: they would be taken
		// for garbage, and they are all there is of them.
		return
	}
	now, err := e.lease.StoreTime(ctx)
	if err != nil {
		return
	}
	if now.Sub(collection.Last(e.lease.Head())) >= collection.Every {
		err = e.collectNow(ctx, now)
	} else {
		err = e.gather(ctx, e.rules.Many)
	}
	if err != nil && ctx.Err() == nil {
		e.o.Log.Warn("garbage was not collected", "error", err)
	}
}

// collectNow marks, sweeps what was condemned long enough ago, condemns, and
// publishes all of it in one write of the head.
func (e *Engine) collectNow(ctx context.Context, now time.Time) error {
	head := e.lease.Head()
	var c *collection.Run
	repack := map[*member]map[string]int64{}
	err := e.work(ctx, func(ctx context.Context) (err error) {
		if c, err = collection.Begin(ctx, e.rules, e.head, head, now, e.o.KeepReplaced); err != nil {
			return err
		}
		if why := c.Cut(); why != nil {
			e.o.Log.Warn("the oldest generations are dropped", "error", why)
		}
		for _, m := range e.members {
			if repack[m], err = m.collect(ctx, c, now.Add(-e.o.KeepReplaced)); err != nil {
				return fmt.Errorf("replica %s: %w", m.Name, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := e.publishCollection(ctx, head, c); err != nil {
		return err
	}
	return e.repack(ctx, repack)
}

// collect collects in the member's prefix, and gives what is to be repacked there. Of a
// mirror, what was replaced goes that is from before a time.
func (m *member) collect(ctx context.Context, c *collection.Run, before time.Time) (map[string]int64, error) {
	snapshot, ok := m.layout.(*store.Snapshot)
	switch {
	case !m.Writes() || !m.ready:
		return nil, nil
	case !ok:
		return nil, store.TrimHistory(ctx, m.remote, before)
	}
	sizes, err := c.Replica(ctx, m.Name, m.remote, snapshot)
	if err != nil || m.vanished() {
		return nil, err
	}
	live, err := m.rep.Base().Live()
	if err != nil {
		return nil, err
	}
	return c.Worn(live, sizes), nil
}

// gather brings small objects together where the tree refers to very many: who
// comes here fetches each.
func (e *Engine) gather(ctx context.Context, many int) error {
	repack := map[*member]map[string]int64{}
	err := e.work(ctx, func(ctx context.Context) error {
		for _, m := range e.members {
			snapshot, ok := m.layout.(*store.Snapshot)
			if !m.Writes() || !m.ready || !ok || m.vanished() {
				continue
			}
			live, err := m.rep.Base().Live()
			if err != nil {
				return err
			}
			if store.Small(live) < many {
				continue
			}
			sizes, err := snapshot.Sizes(ctx)
			if err != nil {
				return err
			}
			repack[m] = e.rules.Scattered(live, sizes, many)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return e.repack(ctx, repack)
}

// vanished reports whether a tree, or its base, is not there: the next cycle says what there
// is to say of it.
func (m *member) vanished() bool { return m.rep.Present() != nil || m.rep.Lost() }

// repack makes a generation that refers to copies of what lies in the objects.
func (e *Engine) repack(ctx context.Context, objects map[*member]map[string]int64) error {
	var steps []*prepared
	for m, objects := range objects {
		p, err := e.repackMember(ctx, m, objects)
		if err != nil {
			return fmt.Errorf("cannot repack replica %s: %w", m.Name, err)
		}
		if p != nil {
			steps = append(steps, p)
		}
	}
	if len(steps) == 0 {
		return nil
	}
	err := e.commit(ctx, steps)
	e.noteLease(err)
	return err
}

// repackMember prepares the part of one replica; nil when there is nothing to do.
func (e *Engine) repackMember(ctx context.Context, m *member, objects map[string]int64) (p *prepared, err error) {
	if len(objects) == 0 || m.vanished() || m.plain != nil { // what is adopted is recorded step by step
		return nil, nil
	}
	head := e.lease.Head()
	s := m.layout.(*store.Snapshot)
	s.SetCollection(head.Collection)
	err = e.work(ctx, func(ctx context.Context) error {
		pieces, err := m.rep.Pieces(objects)
		if err != nil || len(pieces) == 0 {
			return err
		}
		to, damaged, err := s.Repack(ctx, filepath.Join(m.rep.Stage(), "repack"), head.Epoch, pieces, objects)
		if err != nil {
			return err
		}
		if len(damaged) > 0 {
			e.o.Log.Warn("objects in the bucket are damaged: verify --repair sends again what it can", "replica", m.Name, "objects", damaged)
		}
		moved, err := m.rep.Moved(to)
		if err != nil || len(moved) == 0 {
			return err
		}
		p, err = e.publishStep(ctx, m, &replica.Staged{Changes: moved}, nil, nil, head.Epoch, head.Generation+1)
		return err
	})
	return p, err
}

// publishCollection writes the log of what is kept, and the head that names it
// and what is condemned.
func (e *Engine) publishCollection(ctx context.Context, head *store.Head, c *collection.Run) error {
	rewrite := func(*store.Head) {}
	if c.Compacts() {
		var err error
		if rewrite, err = e.lease.Compact(ctx, c.Kept()); err != nil {
			return err
		}
	}
	if c.HeadDue() {
		next := head.Clone()
		rewrite(&next)
		if err := e.work(ctx, func(ctx context.Context) error { return c.Head(ctx, e.head, next.Log) }); err != nil {
			return err
		}
	}
	err := e.lease.Collected(ctx, func(h *store.Head) {
		rewrite(h)
		c.Mark(h)
	})
	pointMarked.Reach()
	e.noteLease(err)
	if err == nil {
		e.o.Log.Info("garbage collected", "generations", len(c.Kept()), "dropped", c.Dropped, "condemned", c.Found, "deleted", c.Deleted)
	}
	return err
}

// startOver drops a base that cannot, or must not, be compared with the head: both
// sides are merged, and nothing is deleted.
func (e *Engine) startOver(m *member) error {
	head := e.lease.Head()
	e.o.Log.Warn("what was last agreed on cannot be traced in the bucket: both sides are merged", "replica", m.Name)
	m.ready = false
	return m.rep.StartOver(head.Lineage, head.Generation)
}
