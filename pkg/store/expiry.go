package store

import (
	"context"
	"fmt"
	"path"
	"time"

	"github.com/coltec/coltec/pkg/rclone"
)

// HeldByOther is the error of Acquire while another has the lease.
type HeldByOther struct {
	Holder   Holder
	LastSeen time.Time     // by the store's clock
	Free     time.Duration // from now on, if the holder stays silent
	Age      time.Duration // of the holder's last write, by the store's clock
	Renew    time.Duration // how often the holder writes at least; 0: not known
	Request  bool          // somebody asked for the lease
	Asked    bool          // we did
	Met      bool          // and the holder has seen it
	// Doubt is how long the holder, which may be this machine before a restart, has to
	// be silent; 0: it is another. Reboot says that it was of another boot.
	Doubt  time.Duration
	Reboot bool
}

func (e *HeldByOther) Error() string {
	since := ", which asked for it,"
	if !e.Holder.Since.IsZero() {
		since = " since " + e.Holder.Since.Format(time.RFC3339) + ","
	}
	switch {
	case e.Doubt > 0:
		return e.doubt()
	case e.LastSeen.IsZero():
		return fmt.Sprintf("the lease is held by %s%s not seen yet", e.Holder.name(), since)
	}
	return fmt.Sprintf("the lease is held by %s%s last seen %s", e.Holder.name(), since, e.LastSeen.Format(time.RFC3339))
}

func (e *HeldByOther) doubt() string {
	before := "restart"
	if e.Reboot {
		before = "reboot"
	}
	return fmt.Sprintf("the lease was held by this machine before its %s; waiting up to %.0f s to be sure that no other machine with its identity has it",
		before, e.Doubt.Seconds())
}

// expired returns nil when the owner's time has run out by the store's own clock: the
// head's time against that of an object just written.
func (l *Lease) expired(ctx context.Context, owner Holder) error {
	if err := l.sight(ctx, owner); err != nil {
		return err
	}
	left, err := l.remaining(ctx, owner)
	if err != nil || left <= 0 {
		return err
	}
	held := &HeldByOther{
		Holder: owner, LastSeen: l.seen.last, Free: left, Age: l.storeNow().Sub(l.seen.last), Renew: seconds(l.head.Renew),
	}
	r := l.head.Request
	if held.Request = r != nil; held.Request && l.head.State == Held && r.By.Instance == l.self.Instance {
		held.Asked, held.Met = true, r.Nonce != "" && r.Nonce != l.head.Nonce
	}
	if l.doubtful(owner) {
		held.Doubt, held.Reboot = l.patience(owner)+clockGrain, owner.Boot != l.self.Boot
	}
	return held
}

// remaining is what is left of the owner's time. When that seems to be over the store's
// clock is read anew.
func (l *Lease) remaining(ctx context.Context, owner Holder) (time.Duration, error) {
	left := func() time.Duration { return l.patience(owner) + clockGrain - l.storeNow().Sub(l.seen.last) }
	if !l.store.read.IsZero() && left() > 0 {
		return left(), nil
	}
	if err := l.readClock(ctx); err != nil {
		return 0, err
	}
	return left(), nil
}

// sight finds out when the holder of the head wrote it. It asks nothing while the
// head stays the one that was seen.
func (l *Lease) sight(ctx context.Context, owner Holder) error {
	if l.seen.nonce == l.head.Nonce {
		return nil
	}
	last, asked := l.head.askedAfter()
	if !asked {
		l.renewedBy(owner)
		head, err := l.bucket.Stat(ctx, l.key)
		if err != nil {
			return fmt.Errorf("cannot see how old the lease is: %w", err)
		}
		last = head.ModTime
	}
	l.seen = sighting{nonce: l.head.Nonce, holder: owner.Instance, epoch: l.head.Epoch, last: last}
	return nil
}

// readClock reads the store's clock.
func (l *Lease) readClock(ctx context.Context) error {
	now, err := l.StoreTime(ctx)
	if err != nil {
		return err
	}
	l.store = storeClock{read: now, at: l.clock.Boot()}
	return nil
}

// storeNow is the time by the store's clock, as far as it is known.
func (l *Lease) storeNow() time.Time { return l.store.now(l.clock.Boot()) }

// StoreTime is the time by the store's own clock: that of an object just
// written.
func (l *Lease) StoreTime(ctx context.Context) (time.Time, error) {
	key := path.Join(path.Dir(l.key), "clock-"+l.self.Instance)
	if err := l.bucket.PutIf(ctx, key, []byte(NewID()), rclone.Cond{}); err != nil {
		return time.Time{}, fmt.Errorf("cannot see the store's clock: %w", err)
	}
	now, err := l.bucket.Stat(ctx, key)
	if err != nil {
		return time.Time{}, fmt.Errorf("cannot see the store's clock: %w", err)
	}
	_ = l.bucket.Delete(ctx, []string{key}) // litter, not harm
	return now.ModTime, nil
}
