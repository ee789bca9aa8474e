package store

import (
	"fmt"
	"time"
)

// What a holder says of itself tells machines apart, and never that two of them are
// one: a clone of a machine has its host name, its machine-id, the inodes of its disk
// and the files of its user; containers of one image have as much in common. So a
// holder that looks like ourselves is one of three:
//
//   - this very run, by its random instance;
//   - proven to have ended, by who knows this machine (LeaseOptions.Dead): its lease
//     is taken at once;
//   - in doubt: this machine before a reboot, or a twin that is alive. One of the two
//     renews its lease. It is taken when that was not done for one renewal.
//
// A twin that was met once is another holder for the rest of this run: else both
// would take the lease from each other by turns.

// ours reports whether a holder is this program, or one before it at the same place
// that is proven to have ended.
func (l *Lease) ours(h Holder) bool {
	if h.Instance == l.self.Instance {
		return true
	}
	return l.rival == nil && h.Same(l.self) && l.dead != nil && l.dead(h)
}

// doubtful reports whether a holder may be this machine before a restart.
func (l *Lease) doubtful(h Holder) bool {
	return l.rival == nil && h.Same(l.self) && l.head.Renew > 0
}

// patience is how old the head must be, by the store's clock, before a holder that
// does not renew it is taken to be gone.
func (l *Lease) patience(h Holder) time.Duration {
	ttl := seconds(l.head.TTL)
	if !l.doubtful(h) {
		return ttl
	}
	return min(ttl, silence(seconds(l.head.Renew)))
}

// silence is what no living holder lets pass: a renewal comes up to a tenth late, so
// that many workspaces do not beat together, and takes its way to the store.
func silence(renew time.Duration) time.Duration {
	return renew + renew/10 + min(renew/2, 5*time.Second)
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

// deprived is called when a head that we held turns out to be another's. One that
// looks like ourselves lives, on another machine: what runs here is kept apart by
// locks. One that has our instance is a copy of this very process, of a machine that
// was cloned while it ran; it keeps the name.
func (l *Lease) deprived(was, now *Head) {
	switch {
	case !l.held || now.Holder.Instance == l.self.Instance && (was == nil || now.Seq <= was.Seq): // the bucket was set back
	case now.Holder.Instance == l.self.Instance:
		l.self.Instance = NewID()
		l.meet(now.Holder)
	case now.Holder.Same(l.self):
		l.meet(now.Holder)
	}
	l.held = false
}

// renewedBy notes that a holder in doubt has written the head since it was looked at.
func (l *Lease) renewedBy(owner Holder) {
	if l.head.State == Held && l.doubtful(owner) && l.seen.holder == owner.Instance && l.head.Epoch == l.seen.epoch {
		l.meet(owner)
	}
}

func (l *Lease) meet(h Holder) { l.rival = &h }

// Rival says which other machine was met that has our identity: "" for none.
func (l *Lease) Rival() string {
	if l.rival == nil {
		return ""
	}
	text := fmt.Sprintf("another machine with the same %s writes this workspace", l.rival.shared(l.self))
	if l.rival.Since.IsZero() {
		return text
	}
	return text + ", since " + l.rival.Since.Format(time.RFC3339)
}
