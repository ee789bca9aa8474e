package engine

import (
	"context"
	"time"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/status"
)

// scan walks what is to be walked of the tree, and notes what is only here; nil
// where nothing of that is to be sent now.
func (p *pass) scan(ctx context.Context) (*replica.Changes, error) {
	walked := p.toWalk()
	found, err := p.rep.Scan(ctx, walked)
	if err != nil {
		return nil, err
	}
	if found.Loaded != nil {
		p.o.Log.Warn("the base stays in memory", "replica", p.Name, "error", found.Loaded)
	}
	p.know(p.seen(found, account.Deferred, "it is not sent yet"), p.now())
	p.unseen = false
	p.linked = found.Linked || p.linked && p.walk.hinted
	if p.found == nil {
		first := len(found.Edited) + len(found.Gone)
		p.found = &first
	}
	p.show(func(r *status.Replica) { r.Pending, r.OnlyHere = p.here.Count(), p.here.Parts() })
	p.scanned = unknownNotes(p.Name, unread(found.Unknown))
	p.older = p.outdated(found.Edited, found.Unknown)
	if !found.Any && !p.anew {
		p.holds([]string{})
		return nil, nil
	}
	if p.walk.putOff = p.motion.putOff(found, p.watched, p.now(), p.Gather); !p.walk.putOff.IsZero() {
		p.hints.put(walked, found)
		return nil, nil
	}
	p.motion.step(found, p.now())
	return found, nil
}

// stage makes the next generation of the replica, and brings all of it but its name in the
// head to the bucket; nil where there is nothing new.
func (p *pass) stage(ctx context.Context, epoch, generation int64) (next *prepared, err error) {
	found, err := p.scan(ctx)
	if found == nil || err != nil {
		return nil, err
	}
	staged, err := p.rep.Send(ctx, found, epoch, p.progress)
	if err != nil {
		return nil, err
	}
	defer func() {
		if next == nil {
			staged.Spool.Close()
		}
	}()
	p.scanned = append(p.scanned, unknownNotes(p.Name, unread(staged.Unsettled))...)
	passing, err := p.deletions(ctx, staged)
	if err != nil {
		return nil, err
	}
	next, err = p.publishStep(ctx, staged, epoch, generation)
	if err != nil {
		return nil, err
	}
	p.scanned = append(p.scanned, unknownNotes(p.Name, staged.Withheld)...)
	// What moves the next walk looks at, whatever it is of.
	p.walk.again = restOf(staged.Unsettled)
	p.walk.leftOver = len(staged.Deferred)+len(unread(staged.Unsettled))+len(staged.Withheld)+p.held > 0
	left := p.remains(staged)
	if next == nil {
		p.know(left, p.now())
		return nil, nil
	}
	next.left, next.passing = left, passing
	next.step.Delta.Header.Allowed += passing.allowed
	return next, nil
}

// restOf is when the first file is at rest of which the last line does not go yet; the zero
// time for none.
func restOf(unsettled []localfs.Unknown) (rests time.Time) {
	for _, u := range unsettled {
		if !u.Rests.IsZero() && (rests.IsZero() || u.Rests.Before(rests)) {
			rests = u.Rests
		}
	}
	return rests
}

// publishStep gives the next generation of the replica its manifest; nil where there is
// nothing new.
func (p *pass) publishStep(ctx context.Context, staged *replica.Staged, epoch, generation int64) (_ *prepared, err error) {
	step, err := p.rep.MakeStep(staged, p.anew, epoch, generation)
	if staged.Found != nil {
		p.older = p.outdated(staged.Deferred, staged.Unsettled, staged.Found.Unknown, staged.Withheld)
	}
	if step == nil || err != nil {
		return nil, err
	}
	next := &prepared{step: step, more: len(staged.Deferred) > 0, left: p.here}
	next.step.Publication.Older = p.older
	if p.origin.plain != nil {
		if err := p.recordListing(ctx, next); err != nil {
			return nil, err
		}
	}
	if next.ref, err = p.layout.Publish(ctx, next.step.Publication); err != nil {
		return nil, err
	}
	pointPublished.Reach()
	next.ref.Filters = p.Filter.Hash()
	next.step.Delta.Header.Ref = next.ref.Manifest
	return next, nil
}

// toWalk is what the walk that begins now is of: what was touched since the last
// one, or nil, everything. What was told is taken for either: should the walk, or
// what comes after it, fail, the next one is of everything.
func (p *pass) toWalk() map[string]bool {
	dirs := p.hints.take()
	if p.whole {
		dirs = nil
	}
	p.walk.hinted = dirs != nil
	return dirs
}
