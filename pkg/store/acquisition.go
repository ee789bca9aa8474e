package store

import (
	"context"
	"errors"
	"time"

	"github.com/coltec/coltec/pkg/rclone"
)

// Acquire takes the lease, or says in a *HeldByOther who has it. A remote that
// ignores conditions is ErrNoStrongLease, but for a best effort.
func (l *Lease) Acquire(ctx context.Context) error {
	if err := l.look(ctx); err != nil {
		return err
	}
	if l.head == nil {
		return l.create(ctx)
	}
	if other := l.head.owner(); other != nil && !l.ours(*other) {
		if err := l.expired(ctx, *other); err != nil {
			return err
		}
	}
	return l.next(ctx)
}

// look reads the head, with the outcome of a write in doubt in it, and makes sure
// that it can be written.
func (l *Lease) look(ctx context.Context) error {
	if err := l.ResolveDoubt(ctx); err != nil {
		return err
	}
	if err := l.read(ctx); err != nil {
		return err
	}
	return l.prove(ctx)
}

// next takes the next epoch.
func (l *Lease) next(ctx context.Context) error {
	err := l.write(ctx, func(h *Head) {
		h.keepCount(l.clock.Now())
		h.Epoch++
		h.State, h.Dirty, h.Request = Held, 0, nil
		h.Holder = l.self
		h.Holder.Since = l.clock.Now().UTC().Truncate(time.Second)
		h.TTL, h.Renew = l.ttl.Seconds(), l.renew.Seconds()
	})
	if errors.Is(err, ErrFenced) {
		return l.lost(err)
	}
	return err
}

// Mine reads the head, and reports whether it says that the lease is ours: this
// program's, or that of one before it at the same place that has ended. A write in
// doubt must be settled first.
func (l *Lease) Mine(ctx context.Context) (bool, error) {
	if err := l.read(ctx); err != nil {
		return false, err
	}
	return l.head != nil && l.head.State == Held && l.ours(l.head.Holder), nil
}

// Seize takes the next epoch whoever holds the lease: the holder is fenced, and
// what it did not commit it merges later.
func (l *Lease) Seize(ctx context.Context) error {
	if err := l.look(ctx); err != nil {
		return err
	}
	for try := 1; ; try++ {
		if l.head == nil {
			return l.create(ctx)
		}
		// The holder may renew between the look and the write; what it wrote is known then.
		err := l.next(ctx)
		if !errors.As(err, new(*HeldByOther)) || try == seizures {
			return err
		}
	}
}

// seizures is how often a lease is tried to be taken by force: its holder does not write
// the head more than once in a second or so.
const seizures = 5

// lost is the answer to a race for a free lease that another won; err where none did.
func (l *Lease) lost(err error) error {
	if l.head == nil {
		return err
	}
	return &HeldByOther{Holder: l.head.Holder, LastSeen: l.clock.Now(), Free: l.ttl, Renew: seconds(l.head.Renew)}
}

// create writes the first head.
func (l *Lease) create(ctx context.Context) error {
	self := l.self
	self.Since = l.clock.Now().UTC().Truncate(time.Second)
	h := Head{
		Format: headFormat, Workspace: l.workspace, Lineage: NewID(), Epoch: 1, Seq: 1, Nonce: NewID(),
		State: Held, Holder: self, TTL: l.ttl.Seconds(), Renew: l.renew.Seconds(), Replicas: map[string]Ref{}, Recent: []Generation{},
	}
	err := l.send(ctx, h, rclone.IfAbsent)
	if errors.Is(err, ErrFenced) {
		return l.lost(err)
	}
	return err
}
