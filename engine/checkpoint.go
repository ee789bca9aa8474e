package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

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
	var outcome error
	err = e.call(ctx, func() { made, outcome = naming{e.loop}.checkpoint(ctx, name, text) })
	return made, errors.Join(err, outcome)
}

func (l naming) checkpoint(ctx context.Context, name, text string) (made store.Checkpoint, err error) {
	if err := l.mayCheckpoint(); err != nil {
		return made, fmt.Errorf("cannot make checkpoint %s: %w", name, err)
	}
	if _, is := l.lease.Head().Checkpoint(name); is { // before anything is sent for it
		return made, l.lease.Head().MayPin(name, text)
	}
	l.askAll(evAsked{})
	l.syncAll(ctx, l.members)
	l.askAll(evAnswered{})
	failed := failures(slices.DeleteFunc(slices.Clone(l.members), func(m *member) bool { return !m.Writes() }))
	if failed = errors.Join(failed, l.mayCheckpoint()); failed != nil {
		return made, fmt.Errorf("cannot make checkpoint %s: %w", name, withOnlyHere(failed, l.members))
	}
	if err := l.lease.Head().MayPin(name, text); err != nil {
		return made, err
	}
	if err := l.named(ctx, func(h *store.Head) { h.Pin(name, text, l.o.Self.Host, l.now()) }); err != nil {
		return made, fmt.Errorf("cannot make checkpoint %s: %w", name, err)
	}
	made, _ = l.lease.Head().Checkpoint(name)
	l.o.Log.Info("checkpoint", "name", name, "generation", made.Number)
	return made, withOnlyHere(nil, l.members)
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
