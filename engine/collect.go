package engine

import (
	"context"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/store"
)

// When garbage is looked for: about once a day of the store's time, and not
// while a session has just begun, when a person waits for files.
const (
	collectEvery = 24 * time.Hour
	collectAfter = 10 * time.Minute // a lease was acquired
	collectAgain = time.Hour        // after a failure, and to see whether a day has gone by
	// collectOverdue is from when on also a cycle that runs once collects.
	collectOverdue = 3 * collectEvery
)

// How many small objects are brought together at least. Each is a request for who
// restores; fewer are not worth a generation and the copies.
const (
	scatteredFew  = 16  // in a collection
	scatteredMany = 200 // between two: agents save as often in an hour
)

// The step of a collection at which a crash test kills the process.
var pointMarked = killpoint.New("collect:marked")

// collectDue says whether this machine's clock thinks that it is time. The
// store's decides.
func (e *Engine) collectDue() bool {
	return e.writable() && !e.now().Before(e.collectAt)
}

// collectedAt is when garbage was last looked for; in a workspace where it never
// was, when that began.
func collectedAt(h *store.Head) time.Time {
	switch {
	case !h.Collected.IsZero():
		return h.Collected
	case h.Log != "":
		return time.Time{} // old enough to have a log
	case len(h.Recent) > 0:
		return h.Recent[0].Time
	}
	return h.Holder.Since
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
	if now.Sub(collectedAt(e.lease.Head())) >= collectEvery {
		err = e.collectNow(ctx, now)
	} else {
		err = e.gather(ctx, e.rules.many)
	}
	if err != nil && ctx.Err() == nil {
		e.o.Log.Warn("garbage was not collected", "error", err)
	}
}

// rules are what keeps a collection from deleting too much. A test weakens them
// one by one, to see that it notices.
type rules struct {
	keep     func(gens []store.Generation, now time.Time, keep time.Duration) []store.Generation
	wait     time.Duration // between condemning and deleting
	remark   bool          // what is condemned is spared when a fresh mark needs it
	renumber bool          // what is sent after a condemnation gets other names
	bases    bool          // what a manifest is a difference from is needed too
	sparse   func(live, size int64) bool
	small    func(live, sizes map[string]int64, few int) []string
	many     int // small objects that do not wait for a collection
}

var allRules = rules{
	keep: store.Keep, wait: store.Grace, remark: true, renumber: true, bases: true,
	sparse: store.MostlyDead, small: store.Scattered, many: scatteredMany,
}

// due says whether what was condemned may be deleted.
func (r rules) due(c store.Condemned, now time.Time) bool { return now.Sub(c.Since) >= r.wait }

// collection is one run.
type collection struct {
	rules
	now       time.Time
	kept      []store.Generation
	cut       bool     // the log goes on, with more than can be read
	segments  []string // of the log as it is
	dropped   int      // generations that are not kept
	condemned map[string]store.Condemned
	deleted   int
	found     int                          // keys that were condemned by this run
	repack    map[*member]map[string]int64 // objects that are to be repacked, with their sizes
}

// collectNow marks, sweeps what was condemned long enough ago, condemns, and
// publishes all of it in one write of the head.
func (e *Engine) collectNow(ctx context.Context, now time.Time) error {
	head := e.lease.Head()
	c := &collection{rules: e.rules, now: now, condemned: maps.Clone(head.Condemned), repack: map[*member]map[string]int64{}}
	if c.condemned == nil {
		c.condemned = map[string]store.Condemned{}
	}
	err := e.work(ctx, func(ctx context.Context) error {
		log, err := store.ReadLog(ctx, e.head, head, "")
		if err != nil {
			return err
		}
		c.kept = c.keep(log.Generations, now, e.o.KeepReplaced)
		if c.cut = log.Cut != nil; c.cut {
			e.o.Log.Warn("the oldest generations are dropped", "error", log.Cut)
		}
		c.segments, c.dropped = log.Segments, len(log.Generations)-len(c.kept)
		for _, m := range e.members {
			if err := e.collectMember(ctx, m, head, c); err != nil {
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
	return e.repack(ctx, c.repack)
}

// collectMember collects in one prefix.
func (e *Engine) collectMember(ctx context.Context, m *member, head *store.Head, c *collection) error {
	snapshot, ok := m.layout.(*store.Snapshot)
	switch {
	case !m.Writes() || !m.ready:
		return nil
	case !ok:
		return store.TrimHistory(ctx, m.remote, c.now.Add(-e.o.KeepReplaced))
	}
	sizes, err := c.replica(ctx, m, snapshot, head)
	if err != nil || m.vanished() {
		return err
	}
	live, err := m.rep.Live()
	if err != nil {
		return err
	}
	c.repack[m] = map[string]int64{}
	for _, key := range append(store.Sparse(live, sizes, c.sparse), c.small(live, sizes, scatteredFew)...) {
		c.repack[m][key] = sizes[key]
	}
	return nil
}

// replica sweeps a replica's prefix and condemns anew. It gives the sizes of its
// objects.
func (c *collection) replica(ctx context.Context, m *member, s *store.Snapshot, head *store.Head) (map[string]int64, error) {
	if was, ok := c.condemned[m.Name]; ok && !c.due(was, c.now) {
		return s.Sizes(ctx) // one list at a time
	}
	needed, err := c.needs(ctx, s, m.Name, head)
	if err != nil {
		return nil, err
	}
	return c.in(ctx, store.ReplicaYard(m.remote), m.Name, func(key string) bool { return needed[key] })
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
			live, err := m.rep.Live()
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
			repack[m] = map[string]int64{}
			for _, key := range e.rules.small(live, sizes, many) {
				repack[m][key] = sizes[key]
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return e.repack(ctx, repack)
}

// vanished says that a tree, or its base, is not there: the next cycle says what there
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
	e.leased(err)
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

// needs is everything that a replica's kept generations refer to.
func (c *collection) needs(ctx context.Context, s *store.Snapshot, name string, head *store.Head) (map[string]bool, error) {
	var refs []string
	for _, replicas := range append([]map[string]store.Ref{head.Replicas}, replicasOf(c.kept)...) {
		if ref := replicas[name].Manifest; ref != "" {
			refs = append(refs, ref)
		}
	}
	slices.Sort(refs)
	needed := map[string]bool{}
	if err := s.Needs(ctx, slices.Compact(refs), needed); err != nil {
		return nil, err
	}
	if !c.bases {
		maps.DeleteFunc(needed, func(key string, _ bool) bool { return store.IsManifest(key) && !slices.Contains(refs, key) })
	}
	if key, ok := strings.CutPrefix(head.Adopted[name], store.Dir+"/"); ok {
		needed[key] = true
	}
	return needed, nil
}

func replicasOf(gens []store.Generation) []map[string]store.Ref {
	var out []map[string]store.Ref
	for _, g := range gens {
		out = append(out, g.Replicas)
	}
	return out
}

// in sweeps one yard and condemns anew. It gives the sizes of what is needed.
func (c *collection) in(ctx context.Context, y store.Yard, name string, needed func(string) bool) (sizes map[string]int64, err error) {
	if was, ok := c.condemned[name]; ok {
		spared := needed
		if !c.remark {
			spared = func(string) bool { return false }
		}
		n, err := y.Sweep(ctx, was, spared)
		if err != nil {
			return nil, err
		}
		c.deleted += n
		delete(c.condemned, name)
	}
	garbage, sizes, err := y.Garbage(ctx, needed, c.now)
	if err != nil || len(garbage) == 0 {
		return sizes, err
	}
	next, err := y.Condemn(ctx, garbage, c.now)
	if err != nil {
		return nil, err
	}
	c.condemned[name] = next
	c.found += len(garbage)
	return sizes, nil
}

// publishCollection writes the log of what is kept, and the head that names it
// and what is condemned.
func (e *Engine) publishCollection(ctx context.Context, head *store.Head, c *collection) error {
	rewrite := func(*store.Head) {}
	if c.dropped > 0 || c.cut || len(c.segments) > 1 {
		var err error
		if rewrite, err = e.lease.Compact(ctx, c.kept); err != nil {
			return err
		}
	}
	if was, ok := c.condemned[""]; !ok || c.due(was, c.now) {
		// The segments that go out of use with this write are not needed by
		// the head that it makes, but young enough, or condemned for long
		// enough, for who reads the one before.
		next := head.Clone()
		rewrite(&next)
		needed := func(key string) bool { return next.Log != "" && key == path.Base(next.Log) || key == was.List }
		if err := e.work(ctx, func(ctx context.Context) error {
			_, err := c.in(ctx, store.HeadYard(e.head, head.Workspace), "", needed)
			return err
		}); err != nil {
			return err
		}
	}
	err := e.lease.Collected(ctx, func(h *store.Head) {
		rewrite(h)
		h.Condemned, h.Collected = c.condemned, c.now.UTC()
		if c.found > 0 && c.renumber {
			h.Collection++
		}
	})
	pointMarked.Reach()
	e.leased(err)
	if err == nil {
		e.o.Log.Info("garbage collected", "generations", len(c.kept), "dropped", c.dropped, "condemned", c.found, "deleted", c.deleted)
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
