package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/store"
)

// The steps of the lease at which a crash test kills the process.
var (
	pointAcquired = killpoint.New("lease:acquired")
	pointRenewed  = killpoint.New("lease:renewed")
	pointReleased = killpoint.New("lease:released")
)

// keepLease takes the lease when it is not held and renews it when that is
// due.
func (l *loop) keepLease(ctx context.Context) {
	now := l.now()
	switch {
	case l.writable():
		if now.Before(l.renewAt) {
			return
		}
		err := l.renew(ctx)
		l.noteAttempt(ctx, err)
		if err != nil && l.writable() {
			l.stepLease(evUnkept{}) // else it is due at once again
		}
	case now.Before(l.leaseAt):
	default:
		l.noteAttempt(ctx, l.acquire(ctx))
	}
}

// noteAttempt notes how asking for the lease went, but for an attempt that a stop cut off:
// that is not a failure, and the end makes one of its own.
func (l *loop) noteAttempt(ctx context.Context, err error) {
	if err != nil && ctx.Err() != nil && !errors.As(err, new(*store.HeldByOther)) && !errors.Is(err, store.ErrFenced) {
		return
	}
	l.noteLease(err)
}

// demoteStale makes every writer that was acquired in another epoch compare itself
// with the head again: a write that took the lease may turn out to have counted
// at any moment, and others may have written since the epoch before.
func (l *loop) demoteStale() {
	for _, m := range l.members {
		if m.Writes() && l.writable() && m.course.epoch != l.lease.Head().Epoch {
			l.stepMember(m, evDemoted{})
		}
	}
}

// acquire takes the lease, and finds out what became of commits whose outcome
// a crash or a fault hid.
func (l *loop) acquire(ctx context.Context) error {
	if err := l.connectHead(ctx); err != nil {
		return err
	}
	wasHeld := l.lease.Holds()
	if l.lease.InDoubt() && wasHeld {
		// A hiccup, not a loss: the same write again.
		if err := l.lease.ResolveDoubt(ctx); err != nil {
			return err
		}
		return l.resolve(ctx)
	}
	drop := l.lookAhead(ctx)
	if err := l.lease.Acquire(ctx); err != nil {
		drop()
		if l.outrun(err) {
			l.stepLease(evOutrun{})
		}
		l.askAgain(ctx, err)
		if told := (*rclone.Error)(nil); errors.As(err, &told) {
			err = fmt.Errorf("%s: %w", l.o.HeadRoot(), err) // the bucket, by name
		}
		return err
	}
	pointAcquired.Reach()
	l.acquired()
	return nil
}

// acquired makes every writer compare itself with the head before it pushes.
func (l *loop) acquired() {
	l.stepLease(evAcquired{})
	l.o.Log.Info("lease acquired", "epoch", l.lease.Head().Epoch, "generation", l.lease.Head().Generation)
}

func (l *loop) takeOver(ctx context.Context, force bool) error {
	if !l.writers() {
		return errors.New("cannot take over: this workspace has no replica that writes")
	}
	if l.writable() {
		return nil
	}
	if err := l.connectHead(ctx); err != nil {
		return err
	}
	if !force {
		if err := l.lease.Ask(ctx); err != nil {
			return err
		}
		l.stepLease(evWanted{l.asked()})
		return nil
	}
	if err := l.lease.Seize(ctx); err != nil {
		return err
	}
	l.acquired()
	l.noteLease(nil)
	return nil
}

func (t *tenure) renew(ctx context.Context) error {
	if err := t.lease.Renew(ctx); err != nil {
		return err
	}
	pointRenewed.Reach()
	t.o.Log.Debug("lease renewed", "epoch", t.lease.Head().Epoch)
	return nil
}
