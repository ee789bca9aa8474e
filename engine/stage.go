package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// scan walks what is to be walked of the tree, and notes what is only here; nil
// where nothing of that is to be sent now.
func (p *pass) scan(ctx context.Context) (*replica.Changes, error) {
	// What follows reads the base in order: its rows need not be in memory.
	if err := p.rep.Base().Unload(); err != nil {
		p.o.Log.Warn("the base stays in memory", "replica", p.Name, "error", err)
	}
	walked := p.toWalk()
	found, err := p.rep.ScanIn(ctx, walked)
	if err != nil {
		return nil, err
	}
	p.know(p.seen(found, account.Deferred, "it is not sent yet"), p.now())
	p.unseen = false
	if p.found == nil {
		first := len(found.Edited) + len(found.Gone)
		p.found = &first
	}
	p.show(func(r *status.Replica) { r.Pending, r.OnlyHere = p.here.Count(), p.here.Parts() })
	p.scanned = unknownNotes(p.Name, found.Unknown)
	p.older = p.outdated(found.Edited, found.Unknown)
	if found.Empty() && !p.anew {
		p.holds([]string{})
		return nil, p.trust()
	}
	if p.walk.putOff = p.motion.putOff(found, p.watched, p.now()); !p.walk.putOff.IsZero() {
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
	dir := filepath.Join(p.rep.Stage(), "out")
	if err = os.RemoveAll(dir); err != nil {
		return nil, err
	}
	batch := p.layout.Begin(dir, epoch, p.progress)
	defer func() {
		if err != nil { // the next cycle stages anew: until then the disk has the room
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	staged, err := p.send(ctx, batch, found)
	if err != nil {
		return nil, err
	}
	defer func() {
		if next == nil {
			staged.Spool.Close()
		}
	}()
	gone, passing, err := p.deletions(ctx, found, staged)
	if err == nil {
		err = p.trust()
	}
	var waits []localfs.Unknown
	if err == nil {
		waits, err = p.rep.Withhold(staged, gone, found.Forgotten)
	}
	if err != nil {
		return nil, err
	}
	p.scanned = append(p.scanned, unknownNotes(p.Name, waits)...)
	// What moves the next walk looks at, whatever it is of.
	p.walk.leftOver = len(staged.Rest)+len(unread(staged.Unsettled))+len(waits)+p.held > 0
	p.older = p.outdated(staged.Rest, staged.Unsettled, found.Unknown, waits)
	next, err = p.publishStep(ctx, staged, gone, found.Forgotten, epoch, generation)
	if err != nil {
		return nil, err
	}
	left := p.remains(found, staged, waits)
	if next == nil {
		p.know(left, p.now())
		return nil, nil
	}
	next.left, next.passing = left, passing
	next.step.Delta.Header.Allowed += passing.allowed
	return next, nil
}

// send stages what was edited, and brings its content to the bucket.
func (p *pass) send(ctx context.Context, batch store.Batch, found *replica.Changes) (*replica.Staged, error) {
	staged, err := p.rep.StageEdits(ctx, batch, found.Staging())
	if err != nil {
		return nil, err
	}
	p.scanned = append(p.scanned, unknownNotes(p.Name, unread(staged.Unsettled))...)
	pointStaged.Reach()
	if err := batch.Send(ctx); err != nil {
		staged.Spool.Close()
		return nil, err
	}
	pointSent.Reach()
	return staged, nil
}

// publishStep gives the next generation of the replica its manifest; nil where there is
// nothing new.
func (p *pass) publishStep(ctx context.Context, staged *replica.Staged, gone []tree.Entry, forgotten []string, epoch, generation int64) (_ *prepared, err error) {
	if err := p.rep.Base().Refresh(staged.Refreshed); err != nil {
		return nil, err
	}
	if staged.Len()+len(gone)+len(forgotten) == 0 && !p.anew {
		return nil, nil
	}
	next := &prepared{more: len(staged.Rest) > 0, left: p.here}
	if next.step, err = p.rep.Next(staged, gone, forgotten, epoch, generation); err != nil {
		return nil, err
	}
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
