package store

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/wholefile"
	"golang.org/x/sys/unix"
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

// Clock is the time as a machine has it. Neither decides whether somebody
// else's lease has run out: that the store's own clock does.
type Clock struct {
	Now  func() time.Time     // for people
	Boot func() time.Duration // goes on while the machine sleeps
}

// orReal fills in what is missing.
func (c Clock) orReal() Clock {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Boot == nil {
		c.Boot = bootTime
	}
	return c
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

func (h Holder) name() string {
	if h.Container == "" || h.Container == h.Host {
		return h.Host
	}
	return h.Host + " (container " + h.Container + ")"
}

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

// Holds says whether the lease is ours and young enough that nobody else can
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

// Strong says whether the remote compares and swaps; false before Acquire found
// that out.
func (l *Lease) Strong() bool { return l.strong }

// bootTime is a clock that goes on while the machine sleeps; Go's monotonic
// clock stops.
func bootTime() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) // cannot fail for this clock
	return time.Duration(ts.Nano())
}

// proofGood is for how long the proof in a head counts: what stands behind an
// address may be replaced, and nothing in a bucket tells of it.
const proofGood = 30 * 24 * time.Hour

// The step of the lease at which a crash test kills the process.
var pointProbed = killpoint.New("lease:probed")

// prove finds out, once, whether the remote compares and swaps. The head that was
// read tells of the same store by what it was proven for; a store that it tells
// nothing of is tried. Nothing is written over a head before this.
func (l *Lease) prove(ctx context.Context) error {
	if l.tested {
		return nil
	}
	store, now := l.bucket.Identity(), l.clock.Now().UTC().Truncate(time.Second)
	if l.head != nil && l.head.Proven.holds(store, now) {
		l.tested, l.strong = true, true
		return nil
	}
	res, err := l.bucket.Probe(ctx, path.Join(path.Dir(l.key), "probe-"+NewID()))
	if err != nil {
		return fmt.Errorf("cannot test the remote: %w", err)
	}
	l.probed = res.Gone
	pointProbed.Reach()
	if !res.Strong() && !l.bestEffort {
		return hint.Wrap(fmt.Errorf("cannot take the lease: %w", ErrNoStrongLease),
			"use a remote with conditional writes (S3, R2, MinIO), or set persistence.lease.best_effort: true and never open the workspace twice")
	}
	l.tested, l.strong = true, res.Strong()
	if l.strong {
		l.proof = &Proof{Store: store, Host: l.self.Host, Time: now}
	}
	return nil
}

// Close waits for what is removed beside the work. A lease that is held stays so.
func (l *Lease) Close() {
	if l.probed != nil {
		_ = l.probed() // litter, not harm
	}
}

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
	if err := l.Settle(ctx); err != nil {
		return err
	}
	if err := l.read(ctx); err != nil {
		return err
	}
	return l.prove(ctx)
}

// owner is who has, or was promised, the lease; nil when it is free.
func (h *Head) owner() *Holder {
	switch {
	case h.State == Held:
		return &h.Holder
	case h.Request != nil:
		return &h.Request.By
	}
	return nil
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

// Behind is the change of a head that notes what this machine leaves behind; nothing
// takes back what it left before.
func (l *Lease) Behind(left []account.Left) func(*Head) {
	return func(h *Head) { h.leave(l.self, left, l.clock.Now()) }
}

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

// ReadHead reads a workspace's head. The error wraps rclone.ErrNotFound when
// there is none.
func ReadHead(ctx context.Context, b Bucket, workspace string) (*Head, error) {
	body, err := Get(ctx, b, HeadKey(workspace), MaxHead)
	if err != nil {
		return nil, fmt.Errorf("cannot read head of %q: %w", workspace, err)
	}
	return ParseHead(body, workspace)
}

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
		l.Behind(left)(h)
		h.State, h.Dirty = Released, account.CountOf(left)
		if h.Dirty > 0 {
			h.State = Dirty
		}
	}
}

func (l *Lease) mine() error {
	switch {
	case l.inDoubt != nil:
		return ErrInDoubt
	case !l.held:
		return ErrFenced
	}
	return nil
}

// The step of a long log at which a crash test kills the process.
var pointSpilled = killpoint.New("commit:spilled")

// recentMax bounds what the head carries of the log of generations; half of it
// goes to an object of its own when it is full. With many replicas it is less: a
// generation names each of them in 300 bytes.
const (
	recentMax  = 64
	recentRefs = 1 << 10
)

// room is how many generations the head has room for.
func (h *Head) room() int {
	return min(recentMax, max(2, recentRefs/max(1, len(h.Replicas))))
}

// logSegment is a stretch of the log of generations, oldest first. Immutable.
type logSegment struct {
	Format      int          `json:"format"`
	Before      string       `json:"before,omitempty"` // key of the segment before
	Generations []Generation `json:"generations"`
}

// spill moves the older half of the head's generations to an object, so that
// the head stays small. The head names it from the next write on.
func (l *Lease) spill(ctx context.Context) error {
	n := l.head.room()
	if len(l.head.Recent) < n {
		return nil
	}
	n = len(l.head.Recent) - n/2
	old := l.head.Recent[:n]
	key, err := l.putSegments(ctx, l.head.Log, old)
	if err != nil {
		return err
	}
	pointSpilled.Reach()
	h := l.head.Clone()
	h.Log, h.Recent = key, h.Recent[n:]
	l.head = &h
	return nil
}

// segmentBounds are what a segment may have.
type segmentBounds struct {
	rows   int64 // that one is written with: some 10 MB
	bytes  int
	values int
}

// usualSegment may be lowered by a test.
var usualSegment = segmentBounds{rows: 1 << 15, bytes: maxSegment, values: segmentValues}

// putSegments writes the stretch of the log that follows the segment of key before, in as
// many as it takes, and gives the key of the last.
func (l *Lease) putSegments(ctx context.Context, before string, gens []Generation) (key string, err error) {
	rows := int64(0)
	for i := range gens {
		rows += gens[i].rows()
	}
	b := usualSegment
	split := len(gens) > 1 && rows > b.rows
	var body []byte
	if !split {
		if body, err = encodeJSON(logSegment{Format: headFormat, Before: before, Generations: gens}); err != nil {
			return "", err
		}
		split = len(gens) > 1 && (len(body) > b.bytes || wholefile.Values(body) > b.values)
	}
	if split {
		half := len(gens) / 2
		if before, err = l.putSegments(ctx, before, gens[:half]); err != nil {
			return "", err
		}
		return l.putSegments(ctx, before, gens[half:])
	}
	key = path.Join(path.Dir(l.key), fmt.Sprintf("%s%d-%d-%s", logPrefix, l.head.Epoch, gens[len(gens)-1].Number, NewID()))
	if err := l.bucket.PutIf(ctx, key, body, rclone.Cond{}); err != nil {
		return "", fmt.Errorf("cannot write the log of generations: %w", err)
	}
	return key, nil
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

// Settle finds out what became of a write in doubt, by sending the same body
// again: a delayed first copy and this one cannot both count.
func (l *Lease) Settle(ctx context.Context) error {
	if l.inDoubt == nil {
		return nil
	}
	err := l.try(ctx, l.inDoubt)
	if errors.Is(err, errAsked) {
		return nil // it never counted: whoever made it makes it again over the new head
	}
	return err
}

// InDoubt says whether a write's outcome is not known.
func (l *Lease) InDoubt() bool { return l.inDoubt != nil }

// ErrForgotten says that the log of generations is too thin to tell: the one in
// question was collected since.
var ErrForgotten = errors.New("the log of generations does not reach back so far")

// Committed says whether the generation that follows the given one was
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
