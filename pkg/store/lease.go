package store

import (
	"errors"
	"time"

	"github.com/coltec/coltec/pkg/rclone"
)

// Lease is the right to write a workspace's prefixes, as one program sees it.
// One goroutine owns it: there is one compare-and-swap in flight, ever.
type Lease struct {
	bucket     Root
	key        string
	workspace  string
	self       Holder
	ttl        time.Duration
	renew      time.Duration
	dead       func(Holder) bool
	tell       func(*Head)
	bestEffort bool
	clock      Clock

	tested  bool          // strong is known
	strong  bool          // the remote compares and swaps
	proof   *Proof        // that we found it out, for the next head
	probed  func() error  // waits until what that took is removed; nil: nothing
	head    *Head         // as last read or written; nil before
	etag    string        // of head
	held    bool          // we wrote head, as its holder
	sent    time.Duration // boot-time clock when the last write that came through was sent
	inDoubt *attempt      // a write whose answer we do not know
	seen    sighting      // of the head, when another held it
	store   storeClock    // as last read
	rival   *Holder       // that has our identity, and lives; nil: none was met
}

// attempt is a write of the head that was sent.
type attempt struct {
	head Head
	body []byte
	cond rclone.Cond
	sent time.Duration // the first time: that copy may be the one that counts
}

// sighting is what is known of a head that another holds.
type sighting struct {
	nonce  string // of the head
	holder string // instance of its owner
	epoch  int64
	last   time.Time // when the holder wrote last, by the store's clock
}

// LeaseOptions say whose lease it is.
type LeaseOptions struct {
	Workspace string // org/project/env
	Self      Holder
	TTL       time.Duration // after this without a sign of life another may take it
	Renew     time.Duration // how often it is renewed
	// Dead says that a holder that looks like ourselves is proven to have ended: a
	// crash, a restarted container. Its lease is taken at once. nil: never.
	Dead func(Holder) bool
	// BestEffort says that a remote without conditional writes will do.
	BestEffort bool
	// Tell adds to each head that the holder writes what it has to say. May be nil.
	Tell func(*Head)
	// Clock is what a test sets; the zero value is this machine's.
	Clock Clock
}

// Errors of a lease that somebody acts on.
var (
	// ErrSetBack says that the bucket does not have what was written there last.
	ErrSetBack = errors.New("the bucket was set back")
	// ErrFenced says that the head is not what we wrote: another holder did, as a rule.
	ErrFenced = errors.New("fenced: another holder took the lease")
	// ErrInDoubt says that the store's answer to a write is not known. Until
	// Settle has found out nothing else is written.
	ErrInDoubt = errors.New("the outcome of the last write is not known")
	// ErrNoStrongLease says that the remote ignores conditional writes.
	ErrNoStrongLease = errors.New("the remote does not support conditional writes")
)

// NewLease makes a lease that is not held. The bucket is the root of the
// workspace's default remote.
func NewLease(b Root, o LeaseOptions) *Lease {
	return &Lease{
		bucket: b, key: HeadKey(o.Workspace), workspace: o.Workspace, self: o.Self, ttl: o.TTL, renew: o.Renew,
		dead: o.Dead, tell: o.Tell, bestEffort: o.BestEffort, clock: o.Clock.orReal(),
	}
}

// Head gives the head as last read or written; nil before the first time.
func (l *Lease) Head() *Head { return l.head }

// Holds reports whether the lease is ours and young enough that nobody else can
// have it: the last write that came through was sent less than the ttl, minus
// a margin, ago.
func (l *Lease) Holds() bool {
	margin := min(l.ttl/4, 20*time.Second)
	return l.held && (!l.strong || l.clock.Boot()-l.sent < l.ttl-margin)
}

// Lasts gives what any goroutine may ask: whether the lease would still hold if nothing
// were written from now on.
func (l *Lease) Lasts() func() bool {
	now := Lease{held: l.held, strong: l.strong, sent: l.sent, ttl: l.ttl, clock: l.clock}
	return now.Holds
}

// Strong reports whether the remote compares and swaps; false before Acquire found
// that out.
func (l *Lease) Strong() bool { return l.strong }

func (l *Lease) mine() error {
	switch {
	case l.inDoubt != nil:
		return ErrInDoubt
	case !l.held:
		return ErrFenced
	}
	return nil
}
