package store

import (
	"context"
	"errors"
	"slices"

	"github.com/coltec/coltec/pkg/account"
)

// LeftBehind is what other machines left behind, as the head says.
func (l *Lease) LeftBehind() []LeftBehind {
	if l.head == nil {
		return nil
	}
	now := l.clock.Now()
	return slices.DeleteFunc(slices.Clone(l.head.LeftBehind), func(b LeftBehind) bool {
		return b.Of(l.self) || now.Sub(b.Time) > leftBehindFor
	})
}

// NoteLeftBehind is the change of a head that notes what this machine leaves behind; nothing
// takes back what it left before.
func (l *Lease) NoteLeftBehind(left []account.Left) func(*Head) {
	return func(h *Head) { h.leave(l.self, left, l.clock.Now()) }
}

// Commit publishes a new generation: refs for the replicas that changed. The
// nonce is the one that the bases of these replicas prepared.
func (l *Lease) Commit(ctx context.Context, nonce string, refs map[string]Ref, more func(*Head)) error {
	if err := l.mine(); err != nil {
		return err
	}
	if err := l.spill(ctx); err != nil {
		return err
	}
	return l.write(ctx, func(h *Head) {
		h.Nonce = nonce
		h.Commit(refs, l.clock.Now())
		if more != nil {
			more(h)
		}
	})
}

// Renew writes the head as it is, for the store's clock.
func (l *Lease) Renew(ctx context.Context) error {
	if err := l.mine(); err != nil {
		return err
	}
	return l.write(ctx, func(*Head) {})
}

// Surpass takes an epoch above another one, if ours is not.
func (l *Lease) Surpass(ctx context.Context, epoch int64) error {
	if err := l.mine(); err != nil {
		return err
	}
	return l.write(ctx, func(h *Head) { h.Epoch = max(h.Epoch, epoch+1) })
}

// Release gives the lease back and says what is left behind.
func (l *Lease) Release(ctx context.Context, left []account.Left) error {
	if err := l.mine(); err != nil {
		return err
	}
	return l.write(ctx, l.GiveBack(left))
}

// GiveBack is the change of a head that gives the lease back: of a Release, or of
// the last Commit.
func (l *Lease) GiveBack(left []account.Left) func(*Head) {
	return func(h *Head) {
		l.NoteLeftBehind(left)(h)
		h.State, h.Dirty = Released, account.CountOf(left)
		if h.Dirty > 0 {
			h.State = Dirty
		}
	}
}

// Collected publishes the outcome of a collection, or of what else makes no generation:
// change is made to the head in one write, which is a renewal too.
func (l *Lease) Collected(ctx context.Context, change func(*Head)) error {
	if err := l.mine(); err != nil {
		return err
	}
	return l.write(ctx, change)
}

// ErrForgotten says that the log of generations is too thin to tell: the one in
// question was collected since.
var ErrForgotten = errors.New("the log of generations does not reach back so far")

// Committed reports whether the generation that follows the given one was
// committed by a write with the nonce. It looks through the head's ancestry.
func (l *Lease) Committed(ctx context.Context, nonce string, after int64) (bool, error) {
	if l.head == nil {
		return false, nil
	}
	if l.head.Holds(nonce) {
		return true, nil
	}
	follows := func(g Generation) bool { return g.Number == after+1 }
	if l.head.Generation <= after || slices.ContainsFunc(l.head.Recent, follows) {
		return false, nil
	}
	log, err := ReadLog(ctx, l.bucket, l.head, "")
	if err != nil {
		return false, err
	}
	for _, g := range log.Generations {
		if g.Nonce == nonce {
			return true, nil
		}
	}
	if !slices.ContainsFunc(log.Generations, follows) {
		return false, ErrForgotten
	}
	return false, nil
}
