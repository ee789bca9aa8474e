package engine

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"time"

	"github.com/coltec/coltec/pkg/collection"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/store"
)

// The step of a collection at which a crash test kills the process.
var pointMarked = killpoint.New("collect:marked")

// collectDue reports whether this machine's clock thinks that it is time. The
// store's decides.
func (t *tenure) collectDue() bool {
	return t.writable() && !t.now().Before(t.collectAt)
}

// collect looks for garbage when a day has gone by since it was last done, by
// the store's clock, and else whether there are very many small objects. Nobody
// waits for it.
func (l collecting) collect(ctx context.Context) {
	if !l.collectDue() || ctx.Err() != nil || l.lease.Asked() != nil {
		return
	}
	l.stepLease(evCollect{collectAgain})
	if len(l.lease.Head().Orphans) > 0 || l.orphaned() {
		// The generations of a lost head are in no log: they would be taken
		// for garbage, and they are all there is of them.
		return
	}
	now, err := l.lease.StoreTime(ctx)
	if err != nil {
		return
	}
	if now.Sub(collection.Last(l.lease.Head())) >= collection.Every {
		_, err = l.collectNow(ctx, now)
	} else {
		err = l.gather(ctx, l.rules.Many)
	}
	if err != nil && ctx.Err() == nil {
		l.o.Log.Warn("garbage was not collected", "error", err)
	}
}

// collecting is what the loop does about garbage.
type collecting struct{ *loop }

// Collected is what a collection did.
type Collected struct {
	Kept      int // generations
	Dropped   int // generations
	Condemned int // objects that are deleted after store.Grace, if nothing needs them then
	Deleted   int // objects
	// Failed are replicas in which not all was done, with the reason: what they have stays.
	// Where it cannot be known what one needs, no generation is dropped.
	Failed map[string]string
}

// Collect looks for garbage now, however long ago that was last done.
func (e *Engine) Collect(ctx context.Context) (done Collected, err error) {
	var outcome error
	err = e.call(ctx, func() { done, outcome = collecting{e.loop}.collectAsked(ctx) })
	if err = errors.Join(err, outcome); err != nil {
		return done, fmt.Errorf("cannot look for garbage: %w", err)
	}
	return done, nil
}

func (l collecting) collectAsked(ctx context.Context) (done Collected, err error) {
	switch {
	case !l.writable():
		return done, errors.Join(errors.New("this machine does not hold the lease"), l.leaseErr)
	case len(l.lease.Head().Orphans) > 0 || l.orphaned():
		return done, errors.New("the head of this workspace was lost: what it referred to is kept")
	}
	now, err := l.lease.StoreTime(ctx)
	if err != nil {
		return done, err
	}
	return l.collectNow(ctx, now)
}

// collectNow marks, sweeps what was condemned long enough ago, condemns, and
// publishes all of it in one write of the head. What goes wrong in one replica keeps what that
// has, and others are collected.
func (l collecting) collectNow(ctx context.Context, now time.Time) (done Collected, err error) {
	head := l.lease.Head()
	m := marked{repack: map[*member]map[string]int64{}, failed: l.unsettled(head)}
	passes := l.settledPasses()
	err = l.work(ctx, func(ctx context.Context) error { return l.mark(ctx, &m, head, now, passes) })
	if err != nil {
		return done, err
	}
	for name, why := range m.failed {
		l.o.Log.Warn("garbage of a replica was not looked for: what is there stays", "replica", name, "error", why)
	}
	c := m.run
	if err := l.publishCollection(ctx, head, c); err != nil {
		return done, err
	}
	l.sweepDigests(ctx, now)
	failed, err := l.repack(ctx, m.repack)
	for name, why := range failed {
		m.failed[name] = hint.Sentence(why)
	}
	return Collected{Kept: len(c.Kept()), Dropped: c.Dropped, Condemned: c.Found, Deleted: c.Deleted, Failed: m.failed}, err
}

// unsettled are the replicas of the head of which it is not known here what they need, with the
// reason.
func (l collecting) unsettled(head *store.Head) map[string]string {
	why := map[string]string{}
	for _, m := range l.members {
		if m.Writes() && !m.ready() && head.Replicas[m.Name].Manifest != "" {
			why[m.Name] = "it is not restored here: coltecd status says why"
		}
	}
	return why
}

// marked is what was looked at by one collection.
type marked struct {
	run    *collection.Run
	repack map[*member]map[string]int64
	failed map[string]string // replica → why nothing was looked for in it
}

// mark looks what each replica needs before it marks anything. Where that cannot be known of one,
// nothing is done in it, and no generation goes: an older one may be the last that has it whole.
// Where something goes wrong later, what is there stays.
func (l collecting) mark(ctx context.Context, m *marked, head *store.Head, now time.Time, passes iter.Seq2[*member, *pass]) (err error) {
	if m.run, err = collection.Begin(ctx, l.rules, l.head, head, now, l.o.KeepReplaced); err != nil {
		return err
	}
	var all int
	var errs []error
	each := func(do func(*member, *pass) error) {
		all = 0
		for member, p := range passes {
			if all++; m.failed[p.Name] != "" || ctx.Err() != nil {
				continue
			}
			if err := do(member, p); err != nil {
				m.failed[p.Name] = hint.Sentence(err)
				errs = append(errs, fmt.Errorf("replica %s: %w", p.Name, err))
			}
		}
	}
	look := func(_ *member, p *pass) error { return p.needs(ctx, m.run) }
	if each(look); len(m.failed) > 0 {
		m.run.Spare()
		each(look)
	} else if why := m.run.Cut(); why != nil {
		l.o.Log.Warn("the oldest generations are dropped", "error", why)
	}
	each(func(member *member, p *pass) (err error) {
		m.repack[member], err = p.collect(ctx, m.run, now.Add(-l.o.KeepReplaced))
		return err
	})
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if len(errs) > 0 && len(errs) == all {
		return errors.Join(errs...)
	}
	return nil
}

// needs finds out what of the replica's prefix is needed.
func (p *pass) needs(ctx context.Context, c *collection.Run) error {
	if snapshot, ok := p.layout.(*store.Snapshot); ok {
		return c.Look(ctx, p.Name, snapshot)
	}
	return nil
}

// sweepDigests deletes digests that no head names. One that cannot be deleted is, the next time.
func (l collecting) sweepDigests(ctx context.Context, now time.Time) {
	if !l.o.Announce {
		return
	}
	names := slices.Clone(l.herald.names)
	if err := l.work(ctx, func(ctx context.Context) error {
		return store.SweepDigests(ctx, l.head, l.o.Workspace.String(), names, now)
	}); err != nil {
		l.o.Log.Debug("digests of before are still there", "error", err)
	}
}

// settledPasses are passes over the replicas that are pushed, in order of priority.
func (l *loop) settledPasses() iter.Seq2[*member, *pass] {
	var members []*member
	var passes []*pass
	for _, m := range l.members {
		if m.Writes() && m.ready() {
			members, passes = append(members, m), append(passes, l.pass(m))
		}
	}
	return func(yield func(*member, *pass) bool) {
		for i := range members {
			if !yield(members[i], passes[i]) {
				return
			}
		}
	}
}

// collect collects in the replica's prefix, and gives what is to be repacked there. Of a
// mirror, what was replaced goes that is from before a time.
func (p *pass) collect(ctx context.Context, c *collection.Run, before time.Time) (map[string]int64, error) {
	snapshot, ok := p.layout.(*store.Snapshot)
	if !ok {
		return nil, store.TrimHistory(ctx, p.remote, before)
	}
	sizes, err := c.Replica(ctx, p.Name, p.remote, snapshot)
	if err != nil || p.vanished() {
		return nil, err
	}
	live, err := p.rep.Base().Live()
	if err != nil {
		return nil, err
	}
	return c.Worn(live, sizes), nil
}

// gather brings small objects together where the tree refers to very many: who
// comes here fetches each.
func (l collecting) gather(ctx context.Context, many int) error {
	repack := map[*member]map[string]int64{}
	passes := l.settledPasses()
	err := l.work(ctx, func(ctx context.Context) (err error) {
		for m, p := range passes {
			if repack[m], err = p.scattered(ctx, l.rules, many); ctx.Err() != nil {
				return context.Cause(ctx)
			} else if err != nil {
				l.o.Log.Warn("small objects of a replica were not brought together", "replica", m.Name, "error", err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	_, err = l.repack(ctx, repack)
	return err
}

// scattered gives the small objects that the tree refers to, where they are very many.
func (p *pass) scattered(ctx context.Context, rules collection.Rules, many int) (map[string]int64, error) {
	snapshot, ok := p.layout.(*store.Snapshot)
	if !ok || p.vanished() {
		return nil, nil
	}
	live, err := p.rep.Base().Live()
	if err != nil || store.Small(live) < many {
		return nil, err
	}
	sizes, err := snapshot.Sizes(ctx)
	if err != nil {
		return nil, err
	}
	return rules.Scattered(live, sizes, many), nil
}

// repack makes a generation that refers to copies of what lies in the objects. Replicas of which it
// cannot be done stay as they are, and others are repacked.
func (l collecting) repack(ctx context.Context, objects map[*member]map[string]int64) (failed map[string]error, err error) {
	var steps []*prepared
	failed = map[string]error{}
	for m, objects := range objects {
		p, err := l.repackMember(ctx, m, objects)
		if err != nil && ctx.Err() == nil {
			failed[m.Name] = fmt.Errorf("cannot repack: %w", err)
			l.o.Log.Warn("a replica was not repacked: it stays as it is", "replica", m.Name, "error", err)
		}
		if p != nil {
			steps = append(steps, p)
		}
	}
	if len(steps) == 0 {
		return failed, context.Cause(ctx)
	}
	err = l.commit(ctx, steps)
	l.noteLease(err)
	return failed, err
}

// repackMember prepares the part of one replica; nil when there is nothing to do.
func (l collecting) repackMember(ctx context.Context, m *member, objects map[string]int64) (next *prepared, err error) {
	if len(objects) == 0 || m.vanished() || m.report.origin.plain != nil { // what is adopted is recorded step by step
		return nil, nil
	}
	if m.rep.Base().Pending != nil { // what was committed last is not in its rows yet
		return nil, nil
	}
	head := l.lease.Head()
	err = l.run(ctx, m, func(ctx context.Context, p *pass) error {
		next, err = p.repack(ctx, head, objects)
		return err
	})
	if next != nil {
		next.member = m
	}
	return next, err
}

// repack copies what lies in the objects, and makes the generation that refers to the copies.
func (p *pass) repack(ctx context.Context, head *store.Head, objects map[string]int64) (*prepared, error) {
	s := p.layout.(*store.Snapshot)
	s.SetCollection(head.Collection)
	pieces, err := p.rep.Pieces(objects)
	if err != nil || len(pieces) == 0 {
		return nil, err
	}
	to, damaged, err := s.Repack(ctx, filepath.Join(p.rep.StageDir(), "repack"), head.Epoch, pieces, objects)
	if err != nil {
		return nil, err
	}
	if len(damaged) > 0 {
		p.o.Log.Warn("objects in the bucket are damaged: verify --repair sends again what it can", "replica", p.Name, "objects", damaged)
	}
	moved, err := p.rep.Moved(to)
	if err != nil || len(moved) == 0 {
		return nil, err
	}
	return p.publishStep(ctx, &replica.Staged{Changes: moved}, head.Epoch, head.Generation+1)
}

// publishCollection writes the log of what is kept, and the head that names it
// and what is condemned.
func (l collecting) publishCollection(ctx context.Context, head *store.Head, c *collection.Run) error {
	rewrite := func(*store.Head) {}
	if c.Compacts() {
		var err error
		if rewrite, err = l.lease.Compact(ctx, c.Kept()); err != nil {
			return err
		}
	}
	if c.HeadDue() {
		next := head.Clone()
		rewrite(&next)
		if err := l.work(ctx, func(ctx context.Context) error { return c.Head(ctx, l.head, next.Log) }); err != nil {
			return err
		}
	}
	err := l.lease.Collected(ctx, func(h *store.Head) {
		rewrite(h)
		c.Mark(h)
	})
	pointMarked.Reach()
	l.noteLease(err)
	if err == nil {
		l.o.Log.Info("garbage collected", "generations", len(c.Kept()), "dropped", c.Dropped, "condemned", c.Found, "deleted", c.Deleted)
	}
	return err
}
