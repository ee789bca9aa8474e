package store

import (
	"context"
	"errors"
	"time"
)

// Request asks the holder to flush and hand over. Who asks writes it into the
// head; the holder meets it at its next write.
type Request struct {
	By   Holder    `json:"by"`
	Time time.Time `json:"time"`
	// Seen is when the holder had written last, by the store's clock: the head is
	// younger by now, and its holder need not be.
	Seen  time.Time `json:"seen,omitzero"`
	Over  string    `json:"over,omitempty"`  // nonce of what the holder wrote last
	Nonce string    `json:"nonce,omitempty"` // of the write that asked
}

// asks is how often it is asked again when the holder writes at the same moment.
const asks = 3

// Ask asks the holder to flush and hand over. The lease is taken by Acquire,
// once it was given back, which nobody else can do before us.
func (l *Lease) Ask(ctx context.Context) error {
	if err := l.Settle(ctx); err != nil && !errors.Is(err, ErrFenced) {
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

func (h *Head) askedBy(who Holder) bool {
	return h.Request != nil && h.Request.By.Instance == who.Instance
}

// onlyAsked reports whether all that came over the head before is that somebody
// asked. A version before this one does not say what it wrote over.
func (h *Head) onlyAsked(before *Head) bool {
	return h.Request != nil && (h.Request.Over == "" || h.askedOver(before.Nonce))
}

// askedOver reports whether the only change since the write with that nonce is that
// somebody asked.
func (h *Head) askedOver(nonce string) bool {
	return h.Request != nil && h.Request.Nonce == h.Nonce && h.Request.Over == nonce
}

// Asked says who asks us to hand the lease over; nil when nobody does.
func (l *Lease) Asked() *Holder {
	if !l.held || l.head.Request == nil || l.head.Request.By.Instance == l.self.Instance {
		return nil
	}
	return &l.head.Request.By
}
