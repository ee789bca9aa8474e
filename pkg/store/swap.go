package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/rclone"
)

func (l *Lease) get(ctx context.Context) ([]byte, error) { return Get(ctx, l.bucket, l.key, MaxHead) }

// read reads the head anew; head is nil when there is none.
func (l *Lease) read(ctx context.Context) error {
	body, err := l.get(ctx)
	if errors.Is(err, rclone.ErrNotFound) {
		l.head, l.etag, l.held = nil, "", false
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read head: %w", err)
	}
	h, err := ParseHead(body, l.workspace)
	if err != nil {
		return err
	}
	was := l.head
	l.head, l.etag = h, etagOf(body)
	if l.held && (h.State != Held || h.Holder.Instance != l.self.Instance) {
		l.deprived(was, h) // what we had ended with this
	}
	return nil
}

// write changes the head by compare-and-swap. A request that was added to our
// own head meanwhile is not a loss: the change is made over it.
func (l *Lease) write(ctx context.Context, change func(*Head)) error {
	for {
		h := l.head.Clone()
		h.Seq++
		h.Nonce = NewID()
		change(&h)
		if l.tell != nil && h.Holder.Instance == l.self.Instance {
			l.tell(&h)
		}
		if err := l.send(ctx, h, rclone.IfMatch(l.etag)); !errors.Is(err, errAsked) {
			return err
		}
	}
}

// fencedBy is ErrFenced where no other holder is to blame, in the words of what is.
type fencedBy string

// Errors of a head that is not what was written last.
const (
	errHeadGone = fencedBy("the head is not in the bucket any more: the bucket was emptied; what is in the local tree is kept, and pushed anew")
	errHeadOld  = fencedBy("the head in the bucket is older than what was written there: the store has lost a write that it had confirmed, or the bucket was set back; what is in the local tree is kept, and compared with it")
)

func (f fencedBy) Error() string { return "fenced: " + string(f) }

func (fencedBy) Is(target error) bool { return target == ErrFenced || target == ErrSetBack }

// setBack reports whether a head is older than one that was there before.
func setBack(was, now *Head) bool {
	return was != nil && now.Lineage == was.Lineage && now.Seq < was.Seq
}

// fencedOver is the error of a write over a head that another one had become.
func fencedOver(was, now *Head) error {
	if setBack(was, now) {
		return errHeadOld
	}
	return ErrFenced
}

// errAsked says that the head is still ours and carries a request now.
var errAsked = errors.New("the head was asked for")

// send sends one body, once, and sorts the answer.
func (l *Lease) send(ctx context.Context, h Head, cond rclone.Cond) error {
	if l.proof != nil {
		h.Proven = l.proof
	}
	body, err := h.encode()
	if err != nil {
		return err
	}
	if !l.strong {
		cond = rclone.Cond{}
	}
	return l.try(ctx, &attempt{head: h, body: body, cond: cond})
}

func (l *Lease) try(ctx context.Context, a *attempt) error {
	now := l.clock.Boot()
	if a.sent == 0 {
		a.sent = now
	}
	if done, err := l.glance(ctx, a); done || err != nil {
		return err
	}
	err := l.bucket.PutIf(ctx, l.key, a.body, a.cond)
	switch {
	case err == nil:
		a.sent = now
		l.won(a)
		return nil
	case errors.Is(err, rclone.ErrPrecondition), errors.Is(err, rclone.ErrNotFound): // some stores: If-Match over nothing
		return l.refused(ctx, a)
	default:
		l.inDoubt = a
		return fmt.Errorf("cannot write head: %w: %w", ErrInDoubt, err)
	}
}

// glance is what stands in for a condition where the remote knows none: a head
// that somebody else wrote is not written over. Between glance and write there is
// a gap, which is why such a remote wants lease: {best_effort: true}.
// done says that there is nothing to write any more.
func (l *Lease) glance(ctx context.Context, a *attempt) (done bool, err error) {
	if l.strong {
		return false, nil
	}
	body, err := l.get(ctx)
	switch {
	case errors.Is(err, rclone.ErrNotFound):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("cannot read head: %w", err)
	}
	h, err := ParseHead(body, l.workspace)
	if err != nil {
		return false, err
	}
	if l.head != nil && h.Nonce == l.head.Nonce || h.Nonce == a.head.Nonce {
		return false, nil
	}
	return true, l.met(a, h, body)
}

func (l *Lease) won(a *attempt) {
	l.head, l.etag, l.sent, l.inDoubt = &a.head, etagOf(a.body), a.sent, nil
	l.held = a.head.State == Held && a.head.Holder.Instance == l.self.Instance
}

// refused sorts a 412: somebody else wrote, or a write of ours whose answer was
// lost.
func (l *Lease) refused(ctx context.Context, a *attempt) error {
	l.inDoubt = a // should the read fail
	body, err := l.get(ctx)
	if errors.Is(err, rclone.ErrNotFound) { // the next Acquire begins anew
		was := l.head
		l.inDoubt, l.held, l.head, l.etag = nil, false, nil, ""
		if was == nil {
			return hint.Wrap(fmt.Errorf("cannot write head: the store refuses to make %q as if it were there, and has none to be read", l.key),
				"if this stays, the store has half of it: remove it there")
		}
		return errHeadGone
	}
	if err != nil {
		return fmt.Errorf("cannot read head: %w: %w", ErrInDoubt, err)
	}
	h, err := ParseHead(body, l.workspace)
	if err != nil {
		return err
	}
	return l.met(a, h, body)
}

// met sorts a head that is not the one that a write was made over: the write counted all
// the same, somebody asked for the lease meanwhile, or has it.
func (l *Lease) met(a *attempt, h *Head, body []byte) error {
	if h.Nonce == a.head.Nonce {
		l.won(a)
		return nil
	}
	if h.askedOver(a.head.Nonce) && h.State == Held && h.Holder.Instance == l.self.Instance {
		l.won(a) // it counted, and was asked for since
		l.head, l.etag = h, etagOf(body)
		return nil
	}
	was := l.head
	l.inDoubt = nil
	l.head, l.etag = h, etagOf(body)
	if l.held && was != nil && h.State == Held && h.Epoch == was.Epoch && h.Seq > was.Seq && h.Holder.Instance == l.self.Instance && h.onlyAsked(was) {
		return errAsked
	}
	l.deprived(was, h)
	return fencedOver(was, h)
}

// ResolveDoubt finds out what became of a write in doubt, by sending the same body
// again: a delayed first copy and this one cannot both count.
func (l *Lease) ResolveDoubt(ctx context.Context) error {
	if l.inDoubt == nil {
		return nil
	}
	err := l.try(ctx, l.inDoubt)
	if errors.Is(err, errAsked) {
		return nil // it never counted: whoever made it makes it again over the new head
	}
	return err
}

// InDoubt reports whether a write's outcome is not known.
func (l *Lease) InDoubt() bool { return l.inDoubt != nil }
