package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/store"
)

// The step of a checkpoint at which a crash test kills the process.
var pointPinned = killpoint.New("checkpoint:pinned")

// naming gives generations names, and takes them away.
type naming struct{ *loop }

// Checkpoint brings what changed to the bucket, and gives the generation that results a
// name. An error that is account.ErrOnlyHere comes with the checkpoint: what it names is in
// the checkpoint in an older state, or not at all. After any other error there is none, but
// for one that is store.ErrInDoubt.
func (e *Engine) Checkpoint(ctx context.Context, name, text string) (made store.Checkpoint, err error) {
	if err := store.CheckCheckpoint(name, text); err != nil {
		return made, err
	}
	told := e.told(ctx)
	var outcome error
	err = e.call(ctx, func() { made, outcome = naming{e.loop}.checkpointOf(ctx, pinning{name: name, text: text}, told, nil) })
	if err = errors.Join(err, outcome); err != nil {
		for _, m := range e.members { // what the watches told of waits for no walk now
			if m.Watch && m.Writes() {
				e.nudge(m)
			}
		}
	}
	return made, err
}

// pinning is a checkpoint that is to be made.
type pinning struct {
	name, text string
	undo       bool // it is made to go back by, and nobody named it
	drop       bool // and others of its kind go in the same write, where there are too many
}

// may says why the head's generation cannot become that checkpoint.
func (p pinning) may(h *store.Head) error { return h.MayPin(p.name, p.text, p.undo) }

// checkpoint walks the trees whole.
func (l naming) checkpoint(ctx context.Context, name, text string) (store.Checkpoint, error) {
	return l.checkpointOf(ctx, pinning{name: name, text: text}, nil, nil)
}

// checkpointOf walks of the trees whose watch has told what that told of, and the others whole.
// Deletions that wait for a word go in the members that are allowed to.
func (l naming) checkpointOf(ctx context.Context, p pinning, told, allowed map[*member]bool) (made store.Checkpoint, err error) {
	name := p.name
	if err := l.mayCheckpoint(); err != nil {
		return made, fmt.Errorf("cannot make checkpoint %s: %w", name, err)
	}
	if _, is := l.lease.Head().Checkpoint(name); is { // before anything is sent for it
		return made, p.may(l.lease.Head())
	}
	pin := func(h *store.Head) {
		h.Pin(name, p.text, l.o.Self.Host, l.now())
		if p.undo {
			h.MarkUndo(name)
		}
		if p.drop {
			h.DropUndos()
		}
	}
	for _, m := range l.members {
		l.stepMember(m, evAsked{allowed[m]})
	}
	defer l.askAll(evAnswered{})
	done, err := l.atOnce(ctx, told, p, pin)
	if err != nil {
		return made, fmt.Errorf("cannot make checkpoint %s: %w", name, err)
	}
	if !done {
		if err := l.whole(ctx, p, pin); err != nil {
			return made, err
		}
	}
	made, _ = l.lease.Head().Checkpoint(name)
	l.o.Log.Info("checkpoint", "name", name, "generation", made.Number)
	return made, withOnlyHere(nil, l.members)
}

// whole pushes until all is in the bucket, as far as it can be, and gives that the name.
func (l naming) whole(ctx context.Context, p pinning, pin func(*store.Head)) error {
	l.syncAll(ctx, l.members)
	failed := failures(slices.DeleteFunc(slices.Clone(l.members), func(m *member) bool { return !m.Writes() }))
	if failed = errors.Join(failed, l.mayCheckpoint()); failed != nil {
		return fmt.Errorf("cannot make checkpoint %s: %w", p.name, withOnlyHere(failed, l.members))
	}
	if err := p.may(l.lease.Head()); err != nil {
		return err
	}
	if err := l.named(ctx, pin); err != nil {
		return fmt.Errorf("cannot make checkpoint %s: %w", p.name, err)
	}
	return nil
}

// atOnce brings what changed to the bucket in one step, and has the write of the head that
// makes it a generation give it the name. It reports false, and nothing has a name, where that
// cannot be: a replica fails, is to be handed over, or has more than a step holds.
func (l naming) atOnce(ctx context.Context, told map[*member]bool, p pinning, pin func(*store.Head)) (done bool, err error) {
	for _, m := range l.members {
		switch {
		case !m.Writes():
		case told[m] && m.ready() && m.course.err == nil && m.watch.unwatched == nil && m.watch.sharedOn == "" && !m.report.linked:
			l.stepMember(m, evNow{})
		default:
			l.stepMember(m, evSoon{})
		}
	}
	if !l.writable() { // else the write of the head renews it, and so does long work
		l.keepLease(ctx)
	}
	if !l.writable() || l.lease.Asked() != nil || p.may(l.lease.Head()) != nil {
		return false, nil
	}
	ready := l.prepareDue(ctx)
	l.surveyDue(ctx)
	switch {
	case !l.writable():
		l.abandon(ready)
		return false, nil
	case !l.complete(ready):
		if len(ready) > 0 {
			_ = l.conclude(ctx, ready) // what is wrong is noted, and the walk of all meets it
		}
		return false, nil
	case len(ready) == 0:
		return true, l.named(ctx, pin)
	}
	changes := []func(*store.Head){pin}
	if l.toldOfLeft() {
		changes = append(changes, l.lease.NoteLeftBehind(l.left(ready...)))
	}
	err = l.conclude(ctx, ready, changes...)
	pointPinned.Reach()
	return err == nil, err
}

// complete reports whether steps have all that there is, but for what no walk would bring.
func (l naming) complete(steps []*prepared) bool {
	for _, m := range l.members {
		here, more := m.report.here, false
		for _, p := range steps {
			if p.member == m {
				here, more = p.left, p.more
			}
		}
		if m.Writes() && (m.course.err != nil || more || !m.ready() && m.Blocked == "" && !m.course.paused || here.Of(account.Deferred)+here.Of(account.Moving)+here.Of(account.Unfinished) > 0) {
			return false
		}
	}
	return true
}

// askAll has the course of every member take a step.
func (l naming) askAll(ev event) {
	for _, m := range l.members {
		l.stepMember(m, ev)
	}
}

// RemoveCheckpoint takes a name away. What only it referred to becomes garbage.
func (e *Engine) RemoveCheckpoint(ctx context.Context, name string) error {
	var outcome error
	err := e.call(ctx, func() { outcome = naming{e.loop}.removeCheckpoint(ctx, name) })
	if err = errors.Join(err, outcome); err != nil {
		return fmt.Errorf("cannot remove checkpoint %s: %w", name, err)
	}
	return nil
}

func (l naming) removeCheckpoint(ctx context.Context, name string) error {
	if err := l.mayCheckpoint(); err != nil {
		return err
	}
	if _, is := l.lease.Head().Checkpoint(name); !is {
		return store.ErrNoCheckpoint
	}
	return l.named(ctx, func(h *store.Head) { h.Unpin(name) })
}

// named writes a head in which the names of generations changed.
func (l naming) named(ctx context.Context, change func(*store.Head)) error {
	if err := l.lease.ResolveDoubt(ctx); err != nil {
		return err
	}
	err := l.lease.Collected(ctx, change)
	pointPinned.Reach()
	if err == nil {
		l.stepLease(evRenewed{l.o.LeaseRenew})
	}
	if err != nil && !l.writable() {
		l.noteAttempt(ctx, err)
	}
	return err
}

// mayCheckpoint says why no head can be written now.
func (l naming) mayCheckpoint() error {
	switch {
	case !l.writers():
		return errors.New("this workspace has no replica that writes")
	case l.writable():
		return nil
	}
	return errors.Join(errors.New("this machine does not hold the lease"), l.leaseErr)
}
