package store

import (
	"context"
	"errors"
	"time"
)

// asks is how often it is asked again when the holder writes at the same moment.
const asks = 3

// Ask asks the holder to flush and hand over. The lease is taken by Acquire,
// once it was given back, which nobody else can do before us.
func (l *Lease) Ask(ctx context.Context) error {
	if err := l.ResolveDoubt(ctx); err != nil && !errors.Is(err, ErrFenced) {
		return err
	}
	for try := 1; ; try++ {
		err := l.ask(ctx)
		if try == asks || !errors.Is(err, ErrFenced) {
			return err
		}
	}
}

func (l *Lease) ask(ctx context.Context) error {
	if err := l.read(ctx); err != nil {
		return err
	}
	if l.head == nil || l.head.State != Held || l.ours(l.head.Holder) || l.head.askedBy(l.self) {
		return nil
	}
	if err := l.prove(ctx); err != nil {
		return err
	}
	if err := l.sight(ctx, l.head.Holder); err != nil {
		return err
	}
	over := l.head.Nonce
	switch r := l.head.Request; {
	case r == nil:
	case r.Nonce == "": // by an earlier version, which may have written last
		over = ""
	case r.Nonce == l.head.Nonce:
		over = r.Over
	}
	return l.write(ctx, func(h *Head) {
		h.Request = &Request{
			By: l.self, Time: l.clock.Now().UTC().Truncate(time.Second),
			Seen: l.seen.last.UTC(), Over: over, Nonce: h.Nonce,
		}
	})
}

// Asked says who asks us to hand the lease over; nil when nobody does.
func (l *Lease) Asked() *Holder {
	if !l.held || l.head.Request == nil || l.head.Request.By.Instance == l.self.Instance {
		return nil
	}
	return &l.head.Request.By
}
